"""Fingerprint of a run: its settings and the user's objects as JSON, the same in every process."""

import dataclasses
import functools
import hashlib
import json
import math
import re
from contextlib import suppress
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._engine.settings import Settings
from normlime_fast._version import installed_version

LONG = 2000  # characters of a setting in the manifest; longer ones are digested
DEEP = 3  # depth of functions in closures of functions; deeper ones are identified by name


def fingerprint(settings: Settings, identity: dict[str, Any], instance_ids: Array, size: int) -> dict[str, Any]:
    """Return everything that explanations depend on, except the model, by names that the user knows."""
    neighborhood = settings.neighborhood
    names = ["n_features", "n_samples", "targets", "selection", "standardize", "ridge", "tol", "shared_samples"]
    names += ["target_names", "feature_names"]
    return {
        "normlime_fast": installed_version(),
        **{name: _plain(getattr(settings, name)) for name in names},
        "link": _plain(settings.model.link),
        "rng": int(settings.seed),
        "neighborhood": type(neighborhood).__name__ if dataclasses.is_dataclass(neighborhood) else _name(neighborhood),
        **{f"neighborhood {name.lstrip('_')}": _plain(value) for name, value in _fields(neighborhood).items()},
        **{name: _plain(value) for name, value in identity.items()},
        "index": _plain(instance_ids.astype(np.uint64)),
        "block_size": size,
    }


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields or attributes of an object by name."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return dict(getattr(value, "__dict__", {}))


def _plain(value: Any, depth: int = 0) -> Any:
    """Return the value as JSON, the same in every process; a digest if that is long."""
    plain = _as_json(value, depth)
    text = json.dumps(plain, sort_keys=True)
    return plain if len(text) <= LONG else digest_of(text.encode())


def _as_json(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))  # a NaN would not equal itself
    if isinstance(value, np.ndarray) and value.size > 20 and not value.dtype.hasobject:
        return digest_of(np.ascontiguousarray(value).tobytes())
    if isinstance(value, list | tuple):
        return [_plain(entry, depth) for entry in value]
    if isinstance(value, dict):
        return {str(key): _plain(entry, depth) for key, entry in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(_plain(entry, depth)) for entry in value)
    if hasattr(value, "__qualname__"):  # a function or a class
        name = f"{getattr(value, '__module__', None)}.{value.__qualname__}"
        code = getattr(value, "__code__", None)
        return name if code is None or depth > DEEP else {"function": name, **_function(value, code, depth + 1)}
    if isinstance(value, functools.partial):
        return [_plain(part, depth) for part in (value.func, value.args, value.keywords)]
    if dataclasses.is_dataclass(value):
        return {"class": _name(value), **{name: _plain(entry, depth) for name, entry in _fields(value).items()}}
    if hasattr(value, "tocsr"):
        matrix = value.tocsr()
        parts = (matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64))
        return {"shape": list(matrix.shape), "csr": [_plain(part) for part in parts]}
    if hasattr(value, "iloc"):  # a DataFrame or Series
        dtype = getattr(value, "dtype", None)
        if dtype is None:
            return {str(name): _plain(column) for name, column in value.items()}
        return [str(dtype), _plain(getattr(dtype, "categories", None)), _plain(value.to_numpy())]
    if callable(getattr(value, "tolist", None)):  # an array or a scalar of NumPy, an Index of pandas
        listed = value.tolist()
        return repr(value) if type(listed) is type(value) else _plain(listed, depth)
    return _as_json_object(value, depth)


def _function(function: Any, code: CodeType, depth: int) -> dict[str, Any]:
    """Return code, defaults and closure of a function: functions of one name may differ, as those made in a loop."""
    properties = {"code": digest_of(_code(code)), "defaults": _plain(function.__defaults__, depth)}
    properties["keywords"] = _plain(function.__kwdefaults__, depth)
    owner = getattr(function, "__self__", None)  # of a method
    if owner is not None and not isinstance(owner, ModuleType):
        fields = _fields(owner) if depth == 1 else {}  # deeper, only the class of a method's owner
        properties["of"] = {"class": _name(owner), **{name: _plain(entry, depth) for name, entry in fields.items()}}
    with suppress(ValueError):  # from a cell that is still empty
        properties["closure"] = [_plain(cell.cell_contents, depth) for cell in function.__closure__ or ()]
    return properties


def _code(code: CodeType) -> bytes:
    return b"\0".join([code.co_code, repr(code.co_names).encode(), *map(_constant, code.co_consts)])


def _constant(value: Any) -> bytes:
    if isinstance(value, CodeType):
        return _code(value)
    if isinstance(value, tuple | frozenset):
        parts = [_constant(entry) for entry in value]
        return b"(" + b",".join(parts if isinstance(value, tuple) else sorted(parts)) + b")"
    return repr(value).encode()


def _as_json_object(value: object, depth: int) -> Any:
    """Return the class, repr and fields of an object; objects in its fields are described without their fields."""
    properties = {"class": _name(value)}
    without_repr = type(value).__repr__ is object.__repr__
    if not without_repr:
        with suppress(Exception):  # from the user's __repr__
            properties["repr"] = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    fields = {name: entry for name, entry in _fields(value).items() if without_repr or not name.startswith("_")}
    return properties | ({name: _plain(entry, depth + 1) for name, entry in fields.items()} if depth == 0 else {})


def _name(value: object) -> str:
    """Return the name of an object's class; ours without the module, which may change between releases."""
    kind = type(value)
    own = kind.__module__.split(".")[0] == __name__.split(".")[0]
    return kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"


def digest_of(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:32]
