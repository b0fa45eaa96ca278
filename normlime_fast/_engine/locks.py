"""A lock that admits one run at a time to a folder, and ends with the process that holds it, even if it is killed."""

import errno
import os
import platform
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from io import FileIO
from pathlib import Path

from normlime_fast._errors import CheckpointMismatchError
from normlime_fast._messages import Message, Term

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".normlime_fast-lock"
HELD = errno.EACCES, errno.EAGAIN  # errors for a held lock on POSIX and Windows; others mean that there are no locks
AGAIN = 100  # attempts if the lock file is removed meanwhile; some file systems always report another file

_at_work: dict[tuple[int, int, int], int] = {}  # threads, by process and folder


@contextmanager
def only_run(folder: Path) -> Iterator[bool]:
    """Lock a folder against other runs, and yield whether it is locked: not every file system has locks.

    Raises
    ------
    CheckpointMismatchError
        If another run uses it.
    """
    status = folder.stat()
    key, thread = (os.getpid(), status.st_dev, status.st_ino), threading.get_ident()
    # POSIX locks work only between processes. An entry of this thread is left from an interrupt, not another run.
    if _at_work.setdefault(key, thread) != thread:
        raise _in_use(folder, _this_process())
    try:
        with _locked(folder) as locked:
            yield locked
    finally:
        _at_work.pop(key, None)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    path = folder / LOCK
    for _ in range(AGAIN):
        with ExitStack() as stack:
            file = stack.enter_context(_opened(path))
            locked = file is not None and _lock(file, folder)
            if file is not None and locked:
                if not _is_at(path, file):  # its holder has removed it since
                    continue
                stack.callback(_remove, path)
                with suppress(OSError):
                    file.truncate(0)
                    file.write(_this_process().encode())
            yield locked
            stack.close()  # now, since an interrupt may come before `with` does it
            return
    yield False


def _opened(path: Path) -> AbstractContextManager[FileIO | None]:
    try:
        return path.open("a+b", buffering=0)
    except OSError:  # such as in a read-only folder
        return nullcontext()


def _remove(path: Path) -> None:
    with suppress(OSError):  # Windows does not remove open files
        path.unlink()


def _lock(file: FileIO, folder: Path) -> bool:
    """Lock a file, and return whether the file system has locks; raise if another process holds it."""
    try:
        if sys.platform == "win32":
            file.seek(1 << 30)  # a locked byte cannot be read, and the beginning names the holder
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:  # not flock: forked workers would inherit it, and hold it after the run has died
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in HELD:
            return False
        holder = ""
        with suppress(OSError):
            file.seek(0)
            holder = file.read(400).decode("ascii", "replace")
        valid = re.fullmatch(r"process \d+ on [\w.-]+", holder)
        raise _in_use(folder, holder if valid else "another process") from None
    return True


def _is_at(path: Path, file: FileIO) -> bool:
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False


def _this_process() -> str:
    return f"process {os.getpid()} on {platform.node() or 'this machine'}"


def _in_use(folder: Path, holder: str) -> CheckpointMismatchError:
    wait = f" {folder} is in use: {holder} is at work on it; wait until it ends, or use another folder"
    return CheckpointMismatchError(Message(Term("checkpoint"), wait))
