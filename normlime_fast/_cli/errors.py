"""How commands fail: in one line, with an exit code that scripts can use."""

import os
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from normlime_fast._checks import printable
from normlime_fast._messages import Message, Numbers, Term


class UsageError(Exception):
    """Arguments or input that cannot be worked with, found before any work is done: exit code 2."""


class WorkError(Exception):
    """Something failed while working: exit code 1."""


OPTIONS = {  # terms of the library, and how users of the command line know them
    "n_jobs": "--jobs",
    "n_samples": "--samples",
    "n_features": "--features",
    "min_count": "--min-count",
    "shrink": "--shrink",
    "checkpoint": "--checkpoint",
    "kind": "--kind",
    "sign": "--sign",
    "targets": "--targets",
    "width": "--width",
    "X of shape": "data of shape",
    "X of dtype": "data of dtype",
    "values of X": "values of data",
    "features of X": "columns of the data",
    "predict": "the model",
    "instance": "row",
    "instances": "rows",
}


def in_options(text: object) -> str:
    """Return a message of the library, or part of it, with options in the place of parameters, and rows from 1."""
    message = text.args[0] if isinstance(text, Exception) and len(text.args) == 1 else text
    if isinstance(message, Message):
        return "".join(map(in_options, message.parts))
    if isinstance(message, Term):
        return OPTIONS.get(message, message)
    if isinstance(message, Numbers) and message.of in ("instance", "row"):
        return message.told("data row", first=1)
    return str(text)


def one_line(text: object, length: int = 400) -> str:
    """Return a text as one line that a terminal shows as it is, and that is not too long."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= length else f"{line[: length - 3]}..."


def join_names(names: Iterable[object], most: int = 8) -> str:
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
