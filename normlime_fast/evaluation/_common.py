"""What the evaluations share: importances as arrays, orders with ties, rank correlations, intervals."""

import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from normlime_fast._checks import (
    Array,
    as_names,
    as_numbers,
    check_finite,
    ignoring_float_errors,
    import_optional,
    short_repr,
)
from normlime_fast._results.importance import Importance


def importances(results: Any, name: str) -> tuple[Array, Array | None]:
    """Return the |values| of one or several results, (r, d) or by group (r, g, d), and the labels of the groups."""
    several = isinstance(results, list | tuple)
    named = {f"{name}[{i}]": one for i, one in enumerate(results)} if several else {name: results}
    for label, one in named.items():
        _check_kind(one, label)
    _check_names([_names(one, label) for label, one in named.items()], name)
    given = [results] if isinstance(results, Importance) else results
    if isinstance(given, list | tuple) and any(isinstance(one, Importance) for one in given):
        rows = [_one(one, f"{name}[{i}]") for i, one in enumerate(given)]
        _check_alike([row.shape for row in rows], name, "one shape")
        known = [one for one in given if isinstance(one, Importance)]
        groups = known[0].groups
        _check_alike([None if one.groups is None else one.groups.tolist() for one in known], name, "the same groups")
        return np.abs(np.stack(rows)), groups
    array = as_numbers(given, name, ndim=(1, 2, 3))
    array = array[None] if array.ndim == 1 else array
    return np.abs(array), np.arange(array.shape[1]) if array.ndim == 3 else None


def _one(result: Any, name: str) -> Array:
    if not isinstance(result, Importance):
        return as_numbers(result, name, ndim=(1, 2))
    check_finite(result.values, name)
    return result.values


def _check_kind(one: Any, name: str) -> None:
    if callable(getattr(type(one), "importance", None)):  # LocalExplanations, statistics
        what = type(one).__name__
        raise TypeError(f"{name} must be an Importance or an array, got {what}; pass its .importance()")
    if isinstance(one, Mapping | Iterator | set):
        expected = "an Importance, an array or a list of these"
        raise TypeError(f"{name} must be {expected}, got a {type(one).__name__}")


def _names(one: Any, name: str) -> tuple[str, ...] | None:
    """Return the names of the features, or None if they have none."""
    if isinstance(one, Importance):
        return one.feature_names
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(one, pandas.Series | pandas.DataFrame):
        return None
    index = one.axes[-1]
    if index.dtype.kind not in "iu" or sorted(index) != list(range(len(index))):
        return as_names(index)
    if not index.is_monotonic_increasing:
        raise ValueError(f"{name} must be in the order of the features, got the index {short_repr(index.tolist())}")
    return None  # what pandas has where nobody gives names


def _check_names(of_each: list[tuple[str, ...] | None], name: str) -> None:
    known = [names for names in of_each if names is not None]
    for names in known[1:]:
        if len(names) != len(known[0]):
            raise ValueError(f"{name} must have the same feature_names, got {len(known[0])} and {len(names)}")
        for j, (one, other) in enumerate(zip(known[0], names, strict=True)):
            if one != other:
                got = f"got {short_repr(one)} and {short_repr(other)} for feature {j}"
                raise ValueError(f"{name} must have the same feature_names in the same order, {got}")


def _check_alike(of_each: list[Any], name: str, what: str) -> None:
    for one in of_each[1:]:
        if one != of_each[0]:
            raise ValueError(f"{name} must have {what}, got {short_repr(of_each[0])} and {short_repr(one)}")


def order_with_ties(sizes: Array, rng: np.random.Generator) -> Array:
    """Return the features, the largest first; those of one size are in random order."""
    shuffled = rng.permutation(len(sizes))
    order: Array = shuffled[np.argsort(-sizes[shuffled], kind="stable")].astype(np.int64, copy=False)
    return order


def top(sizes: Array, k: int) -> Array:
    """Return which are among the k largest, as are those that are as large as the k-th; 0 never is."""
    found: Array = sizes > 0
    return found & (sizes >= np.partition(sizes, -k)[-k]) if k < len(sizes) else found


@ignoring_float_errors
def pearson(a: Array, b: Array) -> float:
    """Return the correlation of two arrays; NaN if one is constant or has fewer than two numbers."""
    if len(a) < 2:
        return float("nan")
    a, b = (
        (one / np.abs(one).max()).astype(np.float64) for one in (a, b)
    )  # no square overflows; a constant is exactly 1
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1.0, 1.0))


def spearman(a: Array, b: Array) -> float:
    """Return the correlation of the ranks, which equal numbers share."""
    return pearson(_shared_ranks(a), _shared_ranks(b))


def _shared_ranks(values: Array) -> Array:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def kendall(a: Array, b: Array) -> float:
    """Return Kendall's tau-b; NaN if one array is constant or has fewer than two numbers."""
    a, b = (np.unique(one, return_inverse=True)[1] for one in (a, b))
    in_all = len(a) * (len(a) - 1) // 2
    tied_a, tied_b, tied_both = (_pairs(np.unique(one, return_counts=True)[1]) for one in (a, b, a * (len(b) + 1) + b))
    if in_all in (tied_a, tied_b):
        return float("nan")
    discordant = _inversions(b[np.lexsort((b, a))])  # ties of a are in the order of b: no inversions
    excess = in_all - tied_a - tied_b + tied_both - 2 * discordant
    return excess / math.sqrt((in_all - tied_a) * (in_all - tied_b))


def _pairs(counts: Array) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _inversions(ranks: Array) -> int:
    """Count the pairs in falling order, by the highest bit in which they differ: a 1 before a 0."""
    total = 0
    for bit in range(int(ranks.max()).bit_length()):
        order = np.argsort(ranks >> (bit + 1), kind="stable")  # those that agree above the bit, side by side
        above, ones = ranks[order] >> (bit + 1), (ranks[order] >> bit) & 1
        before = np.cumsum(ones) - ones
        starts = np.searchsorted(above, above)
        total += int((before - before[starts])[ones == 0].sum())
    return total


@ignoring_float_errors
def half_width(variances: list[tuple[Array, int]], confidence: float) -> Array:
    """Return half the length of Student's interval of a mean with these variances (each of so many values) in sum.

    The degrees of freedom are Satterthwaite's. Parts of fewer than two values are not known and left out. NaN where the
    sum is 0: equal values do not say how far others could be.
    """
    from scipy.special import stdtrit

    known = [(variance, n - 1) for variance, n in variances if n > 1]
    if not known:
        return np.full(variances[0][0].shape, np.nan)
    total = np.sum([variance for variance, _ in known], axis=0)
    squares = np.sum([variance**2 / freedom for variance, freedom in known], axis=0)
    freedom = np.where(total > 0, total**2 / squares, np.nan)
    half: Array = -stdtrit(freedom, (1 - confidence) / 2) * np.sqrt(total)
    return half


def deviation(values: Array, axis: int) -> Array:
    """Return the standard deviation; NaN of fewer than two values."""
    if values.shape[axis] < 2:
        return np.full(np.delete(values.shape, axis), np.nan)
    found: Array = values.std(axis=axis, ddof=1)
    return found


def to_dataframe(columns: dict[str, Any]) -> Any:
    """Return columns as a pandas DataFrame."""
    return import_optional("pandas", "to_frame", "pandas").DataFrame(columns)
