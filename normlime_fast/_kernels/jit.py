"""The decorator of all kernels: one set of compiler options and one cache policy.

Compiled code is cached on disk as with numba's ``cache=True``, but the cache never fails: code that cannot be read,
written or trusted is compiled again. A file is trusted if, by owner and mode of folder and file, only this user and
root could have written it (on Windows always). The SHA-256 in every file only detects damage, which numba does not.
"""

import functools
import hashlib
import logging
import os
import pickle
import stat
import sys
import threading
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numba
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

_Function = TypeVar("_Function", bound=Callable[..., Any])

_HONEST_FASTMATH = {"contract", "reassoc", "nsz"}  # flags that preserve NaN and infinity
_logger = logging.getLogger("normlime_fast")


def _is_private(gid: int, uid: int) -> bool:
    """Whether a group is a user's private group, which may write: umask 002, common with such groups, allows it."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return (user.pw_gid, user.pw_name) == (gid, group.gr_name) and set(group.gr_mem) <= {user.pw_name}


def _why_not_trusted(found: os.stat_result) -> str | None:
    if sys.platform == "win32":
        return None
    if found.st_uid not in (0, os.geteuid()):
        return f"user {found.st_uid} owns it"
    if found.st_mode & stat.S_IWOTH:
        return "everybody can write to it"
    if found.st_mode & stat.S_IWGRP and not _is_private(found.st_gid, found.st_uid):
        return f"group {found.st_gid} can write to it"
    return None


def _trusted(path: str, found: os.stat_result) -> bool:
    reason = _why_not_trusted(found)
    if reason:
        _logger.debug("kernel cache %s not used: %s", path, reason)
    return not reason


def _if_trusted(locator: Any) -> Any:
    """Make a locator of numba skip folders that are not trusted, so that the next locator is tried."""

    def ensure_cache_path(self: Any) -> None:
        locator.ensure_cache_path(self)
        folder = self.get_cache_path()
        if not _trusted(folder, Path(folder).stat()):
            raise PermissionError(folder)

    return type(locator.__name__, (locator,), {"ensure_cache_path": ensure_cache_path})


class _Results(CompileResultCacheImpl):
    _locator_classes = tuple(map(_if_trusted, CompileResultCacheImpl._locator_classes))


class _CheckedFiles(IndexDataCacheFile):
    """Files that begin with a digest of their content. Files that others could have written are never unpickled."""

    def _dump(self, obj: object) -> bytes:
        payload: bytes = super()._dump(obj)
        return hashlib.sha256(payload).digest() + payload

    def _load_data(self, name: str) -> Any:
        path = self._data_path(name)
        with Path(path).open("rb") as file:
            if not _trusted(path, os.fstat(file.fileno())):
                raise FileNotFoundError(path)  # numba then writes the file
            digest, payload = file.read(32), file.read()
        if hashlib.sha256(payload).digest() != digest:
            raise ValueError(f"{path} does not fit its checksum")
        return pickle.loads(payload)

    def _save_index(self, overloads: dict[object, str]) -> None:
        self._save_data(self._index_name, (self._source_stamp, overloads))

    def _load_index(self) -> dict[object, str]:
        if not _trusted(self._cache_path, Path(self._cache_path).stat()):
            raise PermissionError(self._cache_path)
        try:
            stamp, overloads = self._load_data(self._index_name)
        except FileNotFoundError:
            return {}
        except Exception:  # a damaged index must not keep a new one from being saved
            _logger.debug("kernel cache index not read", exc_info=True)
            return {}
        return overloads if stamp == self._source_stamp else {}

    # Two processes that fill a cold cache may choose the same file for two signatures, and a process stopped between
    # index and file leaves an older file: so every file holds its own key.
    def save(self, key: object, data: object) -> None:
        super().save(key, (self._source_stamp, key, data))

    def load(self, key: object) -> object:
        *whose, data = super().load(key) or (None,)
        return data if whose == [self._source_stamp, key] else None


@functools.cache
def _stamp_of(folder: Path) -> str:
    """Digest of all sources next to a kernel and of ours, or of their zip: numba's stamp ignores called kernels."""
    digest = hashlib.sha256()
    for place in (folder, Path(__file__).parent):
        sources = sorted(place.glob("*.py")) or [file for file in (place, *place.parents) if file.is_file()]
        if not sources:
            raise FileNotFoundError(f"no sources in {place}")
        for file in sources:
            digest.update(file.read_bytes())
    return digest.hexdigest()


class _TolerantCache(FunctionCache):
    _impl_class = _Results

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        super().__init__(function)
        sources = _stamp_of(Path(function.__code__.co_filename).parent)
        stamp = (numba.__version__, sources, repr(options), config.BOUNDSCHECK)
        self._cache_file = _CheckedFiles(self.cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: object, target_context: object) -> object:
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            _logger.debug("kernel cache not read", exc_info=True)
            return None

    def save_overload(self, sig: object, data: object) -> None:
        try:
            super().save_overload(sig, data)
        except Exception:
            _logger.debug("kernel cache not written", exc_info=True)


def _aside(compile_: Callable[[object], object]) -> Callable[[object], object]:
    """Compile in another thread: in the main one, a KeyboardInterrupt within a callback of LLVM would be lost."""

    def compile_aside(signature: object) -> object:
        locked = global_compiler_lock.is_locked()  # this thread is compiling a caller of the kernel
        if locked or threading.current_thread() is not threading.main_thread():
            return compile_(signature)
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(compile_, signature).result()

    return compile_aside


@overload
def kernel(function: _Function, /) -> _Function: ...
@overload
def kernel(
    *, fastmath: Set[str] = ..., inline: Literal["never", "always"] = ...
) -> Callable[[_Function], _Function]: ...
def kernel(
    function: Callable[..., Any] | None = None,
    /,
    *,
    fastmath: Set[str] = frozenset(),
    inline: Literal["never", "always"] = "never",
) -> Any:
    """Compile a function at its first call; it releases the GIL and divides as IEEE 754 does.

    Parameters
    ----------
    fastmath : set of str, optional
        LLVM fast-math flags, of "contract", "reassoc" and "nsz".
    inline : {"never", "always"}, default "never"
        Whether numba inlines the function into its callers.

    Raises
    ------
    ValueError
        If `fastmath` names another flag.
    """
    if not fastmath <= _HONEST_FASTMATH:
        raise ValueError(f"fastmath must be among {sorted(_HONEST_FASTMATH)}, got {sorted(fastmath)}")
    flags = dict.fromkeys(sorted(fastmath), True)  # sorted, so that the stamp of the cache is reproducible
    options = {"nogil": True, "error_model": "numpy", "fastmath": flags, "inline": inline, "no_cfunc_wrapper": True}

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if isinstance(dispatcher, Dispatcher):  # a plain function under NUMBA_DISABLE_JIT
            dispatcher.compile = _aside(dispatcher.compile)
            try:
                dispatcher._cache = _TolerantCache(function, options)
            except Exception:
                _logger.debug("kernel cache not available", exc_info=True)
        return dispatcher

    return decorate if function is None else decorate(function)
