"""Labels of rows: find missing ones, check that a file can hold them, and bring parts to one dtype."""

import re
import sys
from typing import Any

import numpy as np

from normlime_fast._checks import Array, ignoring_float_errors, short_repr

_NUMBER = r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]"
_TIME = r"[<>][mM]8(?:\[\d{0,9}(?:[YMWDhms]|[munpfa]s)\])?"
_TEXT = r"[<>]U[1-9]\d{0,8}|\|S[1-9]\d{0,8}"
LABEL = f"{_NUMBER}|{_TIME}|{_TEXT}"
EXACT = 2**53  # float64 holds every int up to this one


@ignoring_float_errors
def without(labels: Array) -> Array:
    """Return which labels are absent: masked, missing or infinite."""
    if labels.dtype.kind == "O":
        absent = np.array([_is_none(label) for label in np.ma.getdata(labels).tolist()], bool)
    else:
        values = np.ma.getdata(labels)
        absent = ~np.isfinite(values) if values.dtype.kind in "fmM" else values != values
    return np.asarray(np.ma.getmaskarray(labels) | absent)


def _is_none(label: object) -> bool:
    try:
        return label is None or bool(label != label) or (isinstance(label, float) and abs(label) == np.inf)
    except TypeError:  # from pandas' NA, whose comparisons have no truth value
        return True
    except ValueError:  # from an array
        return False


def row_labels(X: Any) -> Array | None:
    """Return the labels of the rows of a pandas DataFrame or Series; None where rows are only numbered.

    Labels that a file cannot hold, such as those of several levels, count as none.
    """
    pandas, index = sys.modules.get("pandas"), getattr(X, "index", None)
    if pandas is None or not isinstance(index, pandas.Index) or index.nlevels > 1:
        return None
    if isinstance(index, pandas.RangeIndex) and (index.start, index.step) == (0, 1):
        return None
    labels = plain(np.array(index))
    if labels.dtype == object:
        objects = all(type(label) in (str, int, float, bool) for label in labels.tolist())
        return labels if objects and not without(labels).any() else None
    return labels if re.fullmatch(LABEL, labels.dtype.str) else None


def savable(labels: Array, name: str) -> Array:
    """Return labels in a dtype other than object, if possible; refuse labels that `save` refuses."""
    labels = plain(labels)
    if labels.dtype == object:
        wrong = [label for label in labels.tolist() if type(label) is not int]  # ints may have more than 64 bits
    else:
        wrong = [] if re.fullmatch(LABEL, labels.dtype.str) else labels[:1].tolist()
    if wrong:
        kinds = sorted({type(label).__name__ for label in labels.tolist()})
        got = (
            f"{short_repr(wrong[0])} of type {type(wrong[0]).__name__}" if len(kinds) == 1 else f"{' and '.join(kinds)}"
        )
        raise TypeError(f"{name} must be numbers, strings, bools or NumPy's dates, of one kind, got {got}; pass str")
    return labels


def plain(labels: Array) -> Array:
    """Return objects that are all str, bools or numbers in such a dtype; other objects and larger ints unchanged."""
    if labels.dtype.kind == "T":  # strings of variable width
        labels = labels.astype(object)
    if labels.dtype != object:
        return labels
    values = labels.tolist()
    kinds = {_kind(value) for value in values}
    if kinds == {"U"} and not any(value.endswith("\0") for value in values):  # arrays of str drop it
        return labels.astype(str)
    if kinds == {"b"}:
        return labels.astype(bool)
    if kinds == {"f"}:
        return labels.astype(np.float64)
    if kinds == {"i"}:
        return _ints([int(value) for value in values])
    if kinds == {"i", "f"}:
        whole = np.array([_kind(value) == "i" for value in values])
        exact = max(abs(int(value)) for value in labels[whole]) <= EXACT
        return labels.astype(np.float64) if exact else labels
    return labels


def _kind(value: object) -> str:
    kinds = {"b": bool | np.bool_, "": np.timedelta64, "i": int | np.integer, "f": float | np.floating, "U": str}
    return next((kind for kind, types in kinds.items() if isinstance(value, types)), "")


def _ints(values: list[int]) -> Array:
    least, greatest = min(values), max(values)
    dtype = (
        np.int64 if -(2**63) <= least and greatest < 2**63 else np.uint64 if 0 <= least and greatest < 2**64 else object
    )
    return np.array(values, dtype)


@ignoring_float_errors
def unified(first: Array, second: Array, needs: str) -> tuple[Array, Array]:
    """Return the labels of two parts in one dtype that holds them exactly; without one, the error starts by `needs`."""
    parts = first, second = plain(first), plain(second)
    kinds = {first.dtype.kind, second.dtype.kind}
    try:
        if len(kinds) > 1 and not kinds <= set("iufO"):
            raise TypeError
        dtype = np.result_type(first, second)  # durations in years and days have none
        if dtype.kind == "O":
            np.sort(np.concatenate(parts))
    except TypeError:
        raise ValueError(f"{needs} labels of one kind, got {first.dtype} and {second.dtype}") from None
    ends = [int(end) for part in parts if part.dtype.kind in "iu" for end in (part.min(), part.max())]
    if kinds == {"i", "u"}:
        dtype = _ints(ends).dtype
    inexact = "f" in kinds and dtype.kind != "O" and max(map(abs, ends), default=0) > EXACT
    try:
        new = first.astype(dtype), second.astype(dtype)
        if dtype.kind in "mM":  # the common unit may have a smaller range
            inexact = any((back.astype(before.dtype) != before).any() for back, before in zip(new, parts, strict=True))
    except OverflowError:  # from dates; before NumPy 2.5 they wrap around
        inexact = True
    if inexact:
        raise ValueError(f"{needs} labels that {dtype} can hold exactly, got {first.dtype} and {second.dtype}")
    return new
