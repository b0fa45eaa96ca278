"""The one decorator of all kernels: one set of compiler options and one cache policy.

Compiled code is cached on disk as numba's ``cache=True`` does, but the cache never fails: what cannot be read, written
or trusted is compiled again. numba loads damaged machine code as it is, so every file here carries its SHA-256.
"""

import functools
import hashlib
import logging
import pickle
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numba
from numba.core import config
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.dispatcher import Dispatcher

_Function = TypeVar("_Function", bound=Callable[..., Any])

_HONEST_FASTMATH = {"contract", "reassoc", "nsz"}  # those that keep NaN and infinity as they are
_logger = logging.getLogger("normlime_fast")


def _verified(digest: bytes, payload: bytes) -> object:
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError("checksum mismatch")
    return pickle.loads(payload)


class _Checked:
    """Unpickles as a call of `_verified`, so that numba's own reader checks before it loads."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    def __reduce__(self) -> tuple[Callable[[bytes, bytes], object], tuple[bytes, bytes]]:
        return _verified, (hashlib.sha256(self._payload).digest(), self._payload)


class _CheckedFiles(IndexDataCacheFile):
    def _dump(self, obj: object) -> bytes:
        return pickle.dumps(_Checked(super()._dump(obj)))

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except Exception:  # a damaged index must not keep a new one from being saved
            _logger.debug("kernel cache index not read", exc_info=True)
            return {}

    # Two processes that fill a cold cache may choose the same file for two signatures: a file says whose it is.
    def save(self, key: object, data: object) -> None:
        super().save(key, (key, data))

    def load(self, key: object) -> object:
        stored_key, data = super().load(key) or (None, None)
        return data if stored_key == key else None


@functools.cache
def _stamp_of(folder: Path) -> str:
    """Digest of all sources beside a kernel and of ours: numba's own stamp does not cover kernels that it calls."""
    sources = [*sorted(folder.glob("*.py")), *sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()


class _TolerantCache(FunctionCache):
    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        super().__init__(function)
        stamp = (_stamp_of(Path(function.__code__.co_filename).parent), repr(options), config.BOUNDSCHECK)
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
    flags = dict.fromkeys(sorted(fastmath), True)  # in the order that makes the cache's stamp the same every time
    options = {"nogil": True, "error_model": "numpy", "fastmath": flags, "inline": inline, "no_cfunc_wrapper": True}

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if isinstance(dispatcher, Dispatcher):  # a plain function under NUMBA_DISABLE_JIT
            try:
                dispatcher._cache = _TolerantCache(function, options)
            except Exception:
                _logger.debug("kernel cache not available", exc_info=True)
        return dispatcher

    return decorate if function is None else decorate(function)
