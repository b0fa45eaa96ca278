"""Errors of commands: one line each, with an exit code for scripts."""

import os
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from normlime_fast._checks import printable
from normlime_fast._messages import Message, Numbers, Term


class UsageError(Exception):
    """Wrong arguments or input, detected before any work is done: exit code 2."""


class WorkError(Exception):
    """Failure during the run: exit code 1."""


OPTIONS = {  # terms of the library, and those of the command line
    "n_jobs": "--jobs",
    "n_samples": "--samples",
    "n_features": "--features",
    "min_count": "--min-count",
    "shrink": "--shrink",
    "debias": "--debias",
    "checkpoint": "--checkpoint",
    "kind": "--kind",
    "sign": "--sign",
    "targets": "--targets",
    "target_names": "--target-names",
    "link": "--link",
    "width": "--width",
    "X of shape": "data of shape",
    "X of dtype": "data of dtype",
    "values of X": "values of data",
    "predict": "the model",
    "instance": "row",
    "instances": "rows",
}


def in_options(text: object) -> str:
    """Return a message of the library, or part of it, with options instead of parameters, and rows counted from 1."""
    message = text.args[0] if isinstance(text, Exception) and len(text.args) == 1 else text
    if isinstance(message, Message):
        return "".join(map(in_options, message.parts))
    if isinstance(message, Term):
        return OPTIONS.get(message, message)
    if isinstance(message, Numbers) and message.of in ("instance", "row"):
        return message.text("data row", first=1)
    return str(text)


def one_line(text: object, length: int = 400) -> str:
    """Return a text as one line of printable characters, cut at `length`."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= length else f"{line[: length - 3]}..."


def join_names(names: Iterable[object], limit: int = 8) -> str:
    """Return names in quotes, separated by commas, for a message."""
    shown = [repr(name) for name in names]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return one_line(", ".join(shown[:limit])) + more


def needs(package: str, dependent: str, extra: str, module: str | None = None) -> None:
    """Refuse to go on if the package that `dependent` needs is not installed; `module` is its name in imports."""
    if find_spec(module or package) is None:
        raise UsageError(f'{dependent} needs {package}; install it with: pip install "normlime-fast[{extra}]"')


def check_readable(path: str) -> None:
    """Refuse a path that is not a readable file."""
    if not Path(path).exists():
        raise UsageError(f"there is no file {path}")
    if Path(path).is_dir():
        raise UsageError(f"{path} is a folder, not a file")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path} is not readable")


def check_writable(path: str, force: bool) -> None:
    """Refuse a path that cannot be written, or, without `force`, an existing file."""
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
        raise UsageError(f"the folder {folder} is not writable: {error.strerror}") from None
