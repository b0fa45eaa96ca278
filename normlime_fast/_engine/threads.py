"""Pieces of work on a pool of threads, with the same bits for any number of threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

Pieces = list[Future[None]]
Start = Callable[[Callable[[slice], None], int, int], Pieces]


@contextmanager
def pool(n_jobs: int) -> Iterator[Start]:
    """Yield `start(task, count, length)`, which calls task(slice) on pieces of range(count), at most `length` long.

    It returns at once, with futures of the pieces; with one job, it runs them itself. Every item is computed
    independently, so the cuts between pieces change no result. With one job, Ctrl-C waits for one piece.
    """
    executor = ThreadPoolExecutor(n_jobs, thread_name_prefix="normlime_fast") if n_jobs > 1 else None

    def start(task: Callable[[slice], None], count: int, length: int) -> Pieces:
        length = max(1, min(length, -(-count // n_jobs)))
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
