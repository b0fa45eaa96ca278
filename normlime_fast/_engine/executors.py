"""Run calls on any `concurrent.futures.Executor`, with a bounded number in flight."""

import hashlib
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

from normlime_fast._checks import dask_client, short_repr
from normlime_fast._errors import IncompleteRunError, attach_partial_result

AHEAD = 2  # calls in flight per worker: one that runs and one that waits
# Results that are needed in order wait for the oldest unfinished call: how far calls may run ahead of it, in multiples
# of the number in flight.
WINDOW = 8

_received: dict[bytes, "Shipped"] = {}  # the latest value received by this process


class Shipped:
    """A value that all calls share, such as a model: pickled once, and unpickled once per receiving process."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._parcel: tuple[bytes, bytes] | None = None

    def __reduce__(self) -> tuple[Callable[[bytes, bytes], "Shipped"], tuple[bytes, bytes]]:
        if self._parcel is None:
            payload = _pickled(self.value)
            self._parcel = hashlib.sha256(payload).digest(), payload
        return _receive, self._parcel


def _receive(digest: bytes, payload: bytes) -> Shipped:
    shipped = _received.get(digest)
    if shipped is None:
        shipped = Shipped(pickle.loads(payload))
        _received.clear()
        _received[digest] = shipped
    return shipped


def _pickled(value: object) -> bytes:
    """Pickle by cloudpickle, if it is installed: it supports lambdas, and definitions in a script or notebook."""
    try:
        from cloudpickle import dumps
    except ImportError:
        from pickle import dumps
    try:
        return bytes(dumps(value))
    except Exception as error:
        raise mark_ours(
            TypeError(
                "predict and the neighborhood must be picklable to go to another process; define them in a module, or"
                f" install cloudpickle: {type(error).__name__}: {short_repr(error, str)}"
            )
        ) from None


def mark_ours(error: Exception) -> Exception:
    """Mark an exception as raised by the work, not by the executor."""
    with suppress(Exception):
        error._normlime_fast = True  # type: ignore[attr-defined]
    return error


class Returned(NamedTuple):
    """The result of a call with the call's number: a faulty executor may return that of another call."""

    number: int
    result: Any


def _called(home: int, number: int, function: Callable[..., Any], *arguments: Any) -> Returned:
    """Call a function in a worker; outside the process `home`, replace exceptions that cannot be pickled."""
    try:
        return Returned(number, function(*arguments))
    except Exception as error:
        failure = mark_ours(error) if os.getpid() == home else make_picklable(error)
    raise failure  # outside of `except`, so that it has no context


def make_picklable(error: Exception) -> Exception:
    """Return the exception, marked; if it cannot be pickled, one with the same message and notes."""
    try:
        pickle.loads(pickle.dumps(mark_ours(error)))
    except Exception:
        substitute = RuntimeError(f"{type(error).__name__}: {short_repr(error, str)}")
        attach_partial_result(substitute, getattr(error, "finished", None))
        for note in getattr(error, "__notes__", ()):
            substitute.add_note(note)
        return mark_ours(substitute)
    return error


def run(
    executor: Executor, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]], take: Callable[[int, Any], None]
) -> None:
    """Call function(*call) on the executor, and take(k, result) in this thread as results arrive, in any order.

    `calls` is read only as calls are sent. After an error, but not after Ctrl-C, calls that have begun are waited for.
    In both cases finished results are taken.
    """
    running: dict[int, Future[Any]] = {}
    ended: SimpleQueue[int] = SimpleQueue()
    unsent = iter(calls)
    sent, more = 0, True
    limit = AHEAD * workers_of(executor)

    def put(number: int, future: Future[Any]) -> None:  # also if a closing pool cancels it, which `wait` misses
        ended.put(number)

    try:
        while running or more:
            while more and len(running) < limit and sent < min(running, default=sent) + WINDOW * limit:
                call = next(unsent, None)
                more = call is not None
                if call is not None:
                    running[sent] = _sent(executor, sent, function, call)
                    running[sent].add_done_callback(partial(put, sent))
                    sent += 1
            if not running:  # no call was left to send
                break
            number = ended.get()
            result = _result(running[number], number)
            del running[number]
            take(number, result)
    except BaseException as error:
        begun = {number: future for number, future in running.items() if not future.cancel()}
        if isinstance(error, Exception):
            wait(begun.values())
        for number, future in begun.items():
            with suppress(Exception):  # only the first error is raised
                if future.done():
                    take(number, _result(future, number))
        raise


def workers_of(executor: Executor) -> int:
    """Return the number of the executor's workers, or of this machine's cores if it is unknown."""
    client = dask_client(executor)
    count = getattr(executor, "_max_workers", None) if client is None else sum(client.nthreads().values())
    return count if isinstance(count, int) and count > 0 else os.cpu_count() or 1


def _sent(executor: Executor, number: int, function: Callable[..., Any], call: tuple[Any, ...]) -> Future[Any]:
    # By default Dask runs equal calls only once, and would return a cached error for a call that failed before.
    options = {} if dask_client(executor) is None else {"pure": False}
    with _separating_executor_errors():
        future = executor.submit(_called, os.getpid(), number, function, *call, **options)
    if not isinstance(future, Future):
        raise TypeError(f"executor.submit must return a concurrent.futures.Future, got {type(future).__name__}")
    return future


def _result(future: Future[Any], number: int) -> Any:
    with _separating_executor_errors():
        returned = future.result()
    if not isinstance(returned, Returned) or returned.number != number:
        got = "that of another call" if isinstance(returned, Returned) else short_repr(returned)
        raise IncompleteRunError(f"executor.submit must return a future of what its call returns, got {got}")
    return returned.result


@contextmanager
def _separating_executor_errors() -> Iterator[None]:
    """Raise errors of the work unchanged; turn all others into errors of the executor."""
    try:
        yield
    except Exception as error:
        for cause in (error, error.__cause__):
            if cause is not None and getattr(cause, "_normlime_fast", False):
                raise cause  # noqa: B904
        text = short_repr(error, str)
        raise IncompleteRunError(f"the executor failed with {type(error).__name__}{text and f': {text}'}") from error
