"""How commands fail: in one line, with an exit code that scripts can use."""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any


class UsageError(Exception):
    """Arguments or input that cannot be worked with, found before any work is done: exit code 2."""


class WorkError(Exception):
    """Something failed while working: exit code 1."""


def one_line(text: object, length: int = 400) -> str:
    """Return a text as one line that a terminal shows as it is, and that is not too long."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= length else f"{line[: length - 3]}..."


def printable(text: str) -> str:
    """Return a text with escapes for what is not shown, or would move or colour the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def listed(names: Iterable[object], most: int = 8) -> str:
    """Return names as a message lists them."""
    shown = [repr(name) for name in names]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return one_line(", ".join(shown[:most])) + more


def needs(package: str, what: str, extra: str, module: str | None = None) -> None:
    """Refuse what needs a package, whose module may have another name, that is not installed."""
    if find_spec(module or package) is None:
        raise UsageError(f'{what} needs {package}; install it with: pip install "normlime-fast[{extra}]"')


def check_readable(path: str) -> None:
    """Refuse a path without a file."""
    if not Path(path).exists():
        raise UsageError(f"there is no file {path}")
    if Path(path).is_dir():
        raise UsageError(f"{path} is a folder, not a file")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path} may not be read")


def check_writable(path: str, force: bool) -> None:
    """Refuse a path that cannot be written, or has a file already."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder} to write {Path(path).name} to")
    if Path(path).is_dir():
        raise UsageError(f"{path} is a folder, not a file")
    if Path(path).exists() and not force:
        raise UsageError(f"{path} exists; --force overwrites it")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"the folder {folder} may not be written to")


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show warnings as lines, without the places in the source that they come from."""

    def show(message: Any, *where: Any, **more: Any) -> None:
        print(f"normlime-fast: warning: {one_line(message)}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning, module="normlime_fast")
        warnings.showwarning = show
        yield
