"""Threads: fixed pieces of work over a pool, the same bits for any number of threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

Map = Callable[[Callable[[slice], None], int, int], None]


@contextmanager
def pool(n_jobs: int) -> Iterator[Map]:
    """Yield `run(task, count, most)`: it calls task(slice) on pieces of range(count), none longer than `most`.

    Every item is computed on its own, so where the pieces are cut changes no result. Short pieces keep Ctrl-C prompt:
    the caller's thread only waits, or, with one job, runs the pieces itself.
    """
    executor = ThreadPoolExecutor(n_jobs, thread_name_prefix="normlime_fast") if n_jobs > 1 else None

    def run(task: Callable[[slice], None], count: int, most: int) -> None:
        length = max(1, min(most, -(-count // n_jobs)))
        pieces = [slice(start, min(start + length, count)) for start in range(0, count, length)]
        for _ in executor.map(task, pieces) if executor else map(task, pieces):
            pass

    try:
        yield run
    finally:
        if executor:
            executor.shutdown(cancel_futures=True)
