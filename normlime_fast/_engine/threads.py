"""Threads: fixed pieces of work over a pool, the same bits for any number of threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

Pieces = list[Future[None]]
Start = Callable[[Callable[[slice], None], int, int], Pieces]


@contextmanager
def pool(n_jobs: int) -> Iterator[Start]:
    """Yield `start(task, count, most)`: it calls task(slice) on pieces of range(count), none longer than `most`.

    It returns at once, with futures of the pieces; with one job it runs them itself. Every item is computed on its own,
    so where the pieces are cut changes no result. With one job, Ctrl-C waits for one piece.
    """
    executor = ThreadPoolExecutor(n_jobs, thread_name_prefix="normlime_fast") if n_jobs > 1 else None

    def start(task: Callable[[slice], None], count: int, most: int) -> Pieces:
        length = max(1, min(most, -(-count // n_jobs)))
        pieces = [slice(begin, min(begin + length, count)) for begin in range(0, count, length)]
        if executor is not None:
            return [executor.submit(task, piece) for piece in pieces]
        for piece in pieces:
            task(piece)
        return []

    try:
        yield start
    finally:
        if executor:
            executor.shutdown(cancel_futures=True)
