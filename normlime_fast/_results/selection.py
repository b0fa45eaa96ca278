"""Rows and features of a result selected by position, mask, id or name."""

import operator
from typing import Any

import numpy as np

from normlime_fast._checks import Array, as_array, check_unmasked, short_repr, similar


def rows_at(rows: Any, n: int) -> slice | Array:
    """Return the rows, out of n, that a key in brackets selects by position, as in NumPy; an int selects one row.

    Raises
    ------
    IndexError
        If a position is out of range or the shape of a mask is wrong.
    TypeError
        If the key is not an integer, a slice, a boolean mask or an array of integers.
    """
    if isinstance(rows, slice):
        return rows
    if not isinstance(rows, bool | np.bool_) and hasattr(type(rows), "__index__") and np.ndim(rows) == 0:
        row = operator.index(rows)
        if not -n <= row < n:
            raise IndexError(f"row {short_repr(row)} is out of range for {n} explanations")
        return slice(row % n, row % n + 1)
    places = _as_places(rows)
    if places.dtype.kind == "b":
        if places.shape != (n,):
            raise IndexError(f"a boolean mask must have one entry per explanation, shape ({n},), got {places.shape}")
        return np.flatnonzero(places)
    if places.ndim != 1:
        raise IndexError(f"rows must be an integer or 1-D, got shape {places.shape}")
    for place in (places.min(), places.max()) if places.size else ():
        if not -n <= int(place) < n:
            raise IndexError(f"row {place} is out of range for {n} explanations")
    return places.astype(np.int64)


def _as_places(rows: Any) -> Array:
    expected = "rows must be an integer, a slice, a boolean mask or an array of integers"
    if rows is None or isinstance(rows, str | bytes | tuple | set | dict | bool | np.bool_) or rows is Ellipsis:
        raise TypeError(f"{expected}, got {short_repr(rows)}")
    check_unmasked(rows, "rows")
    places = as_array(rows, "rows")
    if places.size == 0 and isinstance(rows, list):
        return places.astype(np.int64)  # NumPy makes an empty list an array of floats
    if places.ndim == 0 or places.dtype.kind not in "biu":
        raise TypeError(f"{expected}, got {short_repr(rows)}")
    return places


def rows_with(ids: Array, wanted: list[int]) -> Array:
    """Return the rows with the wanted ids, in the order of `wanted`; rows with the same id keep their order."""
    limits = np.iinfo(ids.dtype)
    possible = np.array([wanted_id for wanted_id in wanted if limits.min <= wanted_id <= limits.max], ids.dtype)
    order = np.argsort(ids, kind="stable")
    first, last = (np.searchsorted(ids, possible, side, sorter=order) for side in ("left", "right"))
    parts = [order[start:end] for start, end in zip(first, last, strict=True)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def as_instance_ids(wanted: Any, ids: Array) -> list[int]:
    """Return ids as a list of integers, all of which occur."""
    wanted_ids = [_as_id(value, "instance") for value in _listed(wanted, "instance")]
    explained = set(ids.tolist())
    for wanted_id in wanted_ids:
        if wanted_id not in explained:
            raise KeyError(f"there is no explanation of instance {wanted_id}")
    return wanted_ids


def as_target_ids(wanted: Any, ids: Array, names: tuple[str, ...] | None) -> list[int]:
    """Return targets, given by number or name, as a list of numbers that occur or have a name."""
    valid = {*ids.tolist(), *range(len(names or ()))}
    targets = []
    for value in _listed(wanted, "target"):
        if isinstance(value, str):
            if names is None:
                raise KeyError(f"targets have no names, got {short_repr(value)}; use their numbers")
            targets.append(position_of(value, names, "target"))
        else:
            targets.append(_as_id(value, "target"))
            if targets[-1] not in valid:
                raise KeyError(f"there is no explanation of target {targets[-1]}")
    return targets


def _listed(wanted: Any, name: str) -> list[Any]:
    if isinstance(wanted, np.ndarray):
        wanted = wanted[()]  # an array of no dimensions becomes a scalar
    if isinstance(wanted, str) or not hasattr(type(wanted), "__iter__"):
        return [wanted]
    if isinstance(wanted, bytes | set | dict):
        raise TypeError(f"{name} must be an id or a list of ids, got {short_repr(wanted)}")
    return list(wanted)


def _as_id(value: Any, name: str) -> int:
    if isinstance(value, bool | np.bool_):
        raise TypeError(
            f"{name} must be an id or a list of ids, got a bool; a mask goes in brackets, as in local[mask]"
        )
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an id or a list of ids, got {short_repr(value)}") from None


def column_of(feature: Any, names: tuple[str, ...] | None, d: int) -> int:
    """Return the column of a feature, given by name or, if features have no names, by number."""
    if isinstance(feature, str):
        if names is None:
            raise KeyError(f"features have no names, got {short_repr(feature)}; use a number from 0 to {d - 1}")
        return position_of(feature, names, "feature")
    if isinstance(feature, bool | np.bool_) or not hasattr(type(feature), "__index__") or np.ndim(feature):
        raise TypeError(f"a feature must be {'its number' if names is None else 'its name'}, got {short_repr(feature)}")
    column = operator.index(feature)
    if names is not None:
        raise KeyError(
            f"features must be given by name, got {short_repr(column)}; use values[..., {short_repr(column)}]"
        )
    if not 0 <= column < d:
        raise KeyError(f"there is no feature {short_repr(column)}; use a number from 0 to {d - 1}")
    return column


def position_of(name: str, names: tuple[str, ...], noun: str) -> int:
    """Return the position of a name among `names`, in which it must be unique."""
    count = names.count(name)
    if count == 1:
        return names.index(name)
    if count:
        raise KeyError(f"there are {count} {noun}s named {short_repr(name)}; use their numbers")
    raise KeyError(f"there is no {noun} {short_repr(name)}; {similar(name, names)}")


def as_one_object(result: object, dtype: Any = None) -> Array:
    """Return an array of no dimensions that holds a result, which NumPy would otherwise convert as a sequence."""
    array = np.empty(1, object)
    array[0] = result
    try:
        return array.reshape(()).astype(dtype or object)
    except ValueError:
        raise TypeError(
            f"{type(result).__name__} is not an array of {np.dtype(dtype)}; use its fields, which are arrays"
        ) from None
