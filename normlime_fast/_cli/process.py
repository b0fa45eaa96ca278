"""Streams, signals and warnings of the process in which a command runs."""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from normlime_fast._cli.errors import in_options, one_line


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def open_streams() -> None:
    """Discard output if the caller has closed stdout or stderr, which are then None."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end


def tell(text: str, end: str = "\n") -> None:
    """Print on stderr; discard the text if its reader has gone."""
    try:
        print(text, end=end, file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: Any) -> None:
    """Discard what is written to a stream from now on, and what it has buffered."""
    with suppress(OSError, ValueError):  # raised by streams without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def prints_on_stderr() -> Iterator[None]:
    """Send to stderr what a model prints, also from compiled code: only results go to stdout."""
    with ExitStack() as after:
        with suppress(OSError, ValueError, AttributeError):  # raised by streams without descriptors, as in notebooks
            stdout, stderr = sys.stdout.fileno(), sys.stderr.fileno()
            sys.stdout.flush()
            after.callback(_restore, stdout, os.dup(stdout))
            os.dup2(stderr, stdout)
        after.enter_context(redirect_stdout(sys.stderr))
        yield


def _restore(stdout: int, kept: int) -> None:
    with suppress(OSError):
        sys.stdout.flush()  # text buffered through another reference to it
    os.dup2(kept, stdout)
    os.close(kept)


@contextmanager
def _handled(handlers: dict[int, Any]) -> Iterator[None]:
    """Install signal handlers for a while; outside the main thread, where that is impossible, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM stop the command as Ctrl-C does, so that finished explanations are kept."""

    def stop(number: int, frame: object) -> None:
        raise Terminated

    with _handled({signal.SIGTERM: stop}):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM, so that a second one does not interrupt the response to the first."""
    with _handled({signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}):
        yield


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show each warning once, in one line, without its place in the source."""
    shown: set[str] = set()

    def show(message: Any, category: Any, filename: str, *where: Any, **more: Any) -> None:
        line = one_line(in_options(message))
        if line not in shown:
            shown.add(line)
            tell(f"normlime-fast: warning: {line}")

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning, module="normlime_fast")
        warnings.showwarning = show
        yield
