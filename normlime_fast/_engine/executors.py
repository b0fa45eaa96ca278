"""Work on any `concurrent.futures.Executor`: calls go out, a bounded number at a time, and results come back."""

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

AHEAD = 2  # calls in flight for every worker: one at work, one that waits for it
WINDOW = 8  # times as many may be finished, or at work, after the oldest that is not: whoever wants them in order waits

_received: dict[bytes, "Shipped"] = {}  # the latest of those that came to this process


class Shipped:
    """What all calls share, such as a model: pickled once, and unpickled once by each process it goes to."""

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
    """Pickle by cloudpickle, where it is installed: it takes lambdas, and what a script or notebook defines."""
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
    """Mark an exception as not the executor's own."""
    with suppress(Exception):
        error._normlime_fast = True  # type: ignore[attr-defined]
    return error


class Returned(NamedTuple):
    """What a call returned, and which one: an executor may give the result of another."""

    number: int
    result: Any


def _called(home: int, number: int, function: Callable[..., Any], *arguments: Any) -> Returned:
    """Call a function in a worker; if that is not in the process `home`, not every exception would arrive there."""
    try:
        return Returned(number, function(*arguments))
    except Exception as error:
        failure = mark_ours(error) if os.getpid() == home else make_picklable(error)
    raise failure  # here, where no other one hangs on to it


def make_picklable(error: Exception) -> Exception:
    """Return the exception marked, or one that says the same if it would not arrive in another process."""
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
    """Call function(*call) on the executor, and take(k, result) here as results arrive, in any order.

    `calls` is read as far as calls are sent. After an error the calls that have begun are waited for, but not after
    Ctrl-C; what is finished is taken.
    """
    running: dict[int, Future[Any]] = {}
    ended: SimpleQueue[int] = SimpleQueue()
    unsent = iter(calls)
    sent, more = 0, True
    most = AHEAD * workers_of(executor)

    def tell(number: int, future: Future[Any]) -> None:  # also of one that a closing pool cancels, which `wait` misses
        ended.put(number)

    try:
        while running or more:
            while more and len(running) < most and sent < min(running, default=sent) + WINDOW * most:
                call = next(unsent, None)
                more = call is not None
                if call is not None:
                    running[sent] = _sent(executor, sent, function, call)
                    running[sent].add_done_callback(partial(tell, sent))
                    sent += 1
            if not running:  # there was nothing to send
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
            with suppress(Exception):  # the first one is what the user hears of
                if future.done():
                    take(number, _result(future, number))
        raise


def workers_of(executor: Executor) -> int:
    """How many calls the executor works on at a time, as far as it tells."""
    client = dask_client(executor)
    most = getattr(executor, "_max_workers", None) if client is None else sum(client.nthreads().values())
    return most if isinstance(most, int) and most > 0 else os.cpu_count() or 1


def _sent(executor: Executor, number: int, function: Callable[..., Any], call: tuple[Any, ...]) -> Future[Any]:
    # Dask takes equal calls for one, and would answer what failed before by the same error, as long as that is kept.
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
    """Let errors of the work pass, and say of others that they are the executor's."""
    try:
        yield
    except Exception as error:
        for cause in (error, error.__cause__):
            if cause is not None and getattr(cause, "_normlime_fast", False):
                raise cause  # noqa: B904
        text = short_repr(error, str)
        raise IncompleteRunError(f"the executor failed with {type(error).__name__}{text and f': {text}'}") from error
