"""How commands fail: in one line, with an exit code that scripts can use."""

import os
import re
import tempfile
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from normlime_fast._checks import printable


class UsageError(Exception):
    """Arguments or input that cannot be worked with, found before any work is done: exit code 2."""


class WorkError(Exception):
    """Something failed while working: exit code 1."""


def _rows(found: re.Match[str]) -> str:
    """Return numbers of instances, or of a row, as users count rows."""
    return f"data row{found[1]} " + re.sub(r"\d+", lambda number: str(int(number[0]) + 1), found[2])


OPTIONS: dict[str, str | Callable[[re.Match[str]], str]] = {  # what the library says, and how users know it
    r"\bn_jobs\b": "--jobs",
    r"\bn_samples\b": "--samples",
    r"\bn_features\b": "--features",
    r"\bmin_count\b": "--min-count",
    r"\bshrink\b": "--shrink",
    r"^(checkpoint|kind|sign|targets|width)(?= )": r"--\1",
    r"\bfeatures of X\b": "columns of the data",
    r"\bbegun with (values of )?X\b": r"begun with \1data",
    r"\bpredict (?=must|failed|was)": "the model ",
    r"\binstance(s?) (\d+((, | to )\d+)*)": _rows,
    r"(?<=in )row() (\d+)": _rows,
    r"\binstance(s?)\b": r"row\1",
}


def in_options(message: str) -> str:
    """Return a message of the library with options in the place of parameters, and rows counted from 1."""
    for pattern, replacement in OPTIONS.items():
        message = re.sub(pattern, replacement, message)
    return message


def one_line(text: object, length: int = 400) -> str:
    """Return a text as one line that a terminal shows as it is, and that is not too long."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= length else f"{line[: length - 3]}..."


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
    try:
        tempfile.NamedTemporaryFile(dir=Path(path).resolve().parent, prefix=".normlime_fast-").close()
    except OSError as error:
        raise UsageError(f"the folder {folder} may not be written to: {error.strerror}") from None
