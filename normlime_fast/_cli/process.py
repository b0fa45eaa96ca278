"""What a command changes of the process that it runs in: streams, signals and warnings."""

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
    """SIGTERM, by which a command ends as it does by Ctrl-C."""


def open_streams() -> None:
    """Let what is printed go nowhere where the caller has closed stdout or stderr, which are then None."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end


def tell(text: str, end: str = "\n") -> None:
    """Print on stderr; once nobody reads that any more, nothing."""
    try:
        print(text, end=end, file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: Any) -> None:
    """Let what is written to a stream go nowhere from now on, also what it still holds back."""
    with suppress(OSError, ValueError):  # of streams without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def prints_on_stderr() -> Iterator[None]:
    """Send to stderr what a model prints meanwhile, also from compiled code: results alone go to stdout."""
    with ExitStack() as after:
        with suppress(OSError, ValueError, AttributeError):  # of streams without descriptors, as in notebooks
            stdout, stderr = sys.stdout.fileno(), sys.stderr.fileno()
            sys.stdout.flush()
            after.callback(_restore, stdout, os.dup(stdout))
            os.dup2(stderr, stdout)
        after.enter_context(redirect_stdout(sys.stderr))
        yield


def _restore(stdout: int, kept: int) -> None:
    with suppress(OSError):
        sys.stdout.flush()  # what was written to it under another name
    os.dup2(kept, stdout)
    os.close(kept)


@contextmanager
def _handled(handlers: dict[int, Any]) -> Iterator[None]:
    """Handle signals so, where that can be done: in the main thread."""
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
    """Let SIGTERM stop what runs as Ctrl-C does, so that what is finished is kept."""

    def stop(number: int, frame: object) -> None:
        raise Terminated

    with _handled({signal.SIGTERM: stop}):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C, or SIGTERM, not stop what the first one began."""
    with _handled({signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}):
        yield


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show warnings as lines, each once, without the places in the source that they come from."""
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
