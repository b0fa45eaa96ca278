"""One run at a time in a folder: a lock that ends with the process that holds it, whatever ends that."""

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
HELD = errno.EACCES, errno.EAGAIN  # what POSIX and Windows answer; all else is from file systems without locks
AGAIN = 100  # times that a lock may vanish while it is taken: some file systems do not know a file again

_at_work: dict[tuple[int, int, int], int] = {}  # threads, by process and folder


@contextmanager
def only_run(folder: Path) -> Iterator[bool]:
    """Keep other runs out of a folder, and yield whether they are: not every file system has locks.

    Raises
    ------
    CheckpointMismatchError
        If another run is at work there.
    """
    found = folder.stat()
    place, thread = (os.getpid(), found.st_dev, found.st_ino), threading.get_ident()
    # The locks of POSIX are between processes. What an interrupt left of this thread's own is no other run.
    if _at_work.setdefault(place, thread) != thread:
        raise _in_use(folder, _here())
    try:
        with _locked(folder) as locked:
            yield locked
    finally:
        _at_work.pop(place, None)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    path = folder / LOCK
    for _ in range(AGAIN):
        with ExitStack() as stack:
            file = stack.enter_context(_opened(path))
            locked = file is not None and _lock(file, folder)
            if file is not None and locked:
                if not _is_at(path, file):  # whoever held it has removed it since
                    continue
                stack.callback(_remove, path)
                with suppress(OSError):
                    file.truncate(0)
                    file.write(_here().encode())
            yield locked
            stack.close()  # here, since an interrupt may come between the block and what `with` does at its end
            return
    yield False


def _opened(path: Path) -> AbstractContextManager[FileIO | None]:
    try:
        return path.open("a+b", buffering=0)
    except OSError:  # such as in a folder that may only be read
        return nullcontext()


def _remove(path: Path) -> None:
    with suppress(OSError):  # Windows does not remove what is open
        path.unlink()


def _lock(file: FileIO, folder: Path) -> bool:
    """Lock a file, and return whether the file system can; refuse if another process has it."""
    try:
        if sys.platform == "win32":
            file.seek(1 << 30)  # what is locked cannot be read, and the beginning says by whom
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:  # not flock: forked workers would inherit it, and hold it when the run is dead
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in HELD:
            return False
        holder = ""
        with suppress(OSError):
            file.seek(0)
            holder = file.read(400).decode("ascii", "replace")
        known = re.fullmatch(r"process \d+ on [\w.-]+", holder)
        raise _in_use(folder, holder if known else "another process") from None
    return True


def _is_at(path: Path, file: FileIO) -> bool:
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False


def _here() -> str:
    return f"process {os.getpid()} on {platform.node() or 'this machine'}"


def _in_use(folder: Path, holder: str) -> CheckpointMismatchError:
    wait = f" {folder} is in use: {holder} is at work on it; wait until it ends, or use another folder"
    return CheckpointMismatchError(Message(Term("checkpoint"), wait))
