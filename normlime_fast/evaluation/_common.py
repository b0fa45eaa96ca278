"""Shared by the evaluations: importances as arrays, orders with ties, rank correlations, intervals."""

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
from normlime_fast._results.export import sizes_of
from normlime_fast._results.importance import Importance


def importances(results: Any, name: str) -> tuple[Array, Array | None]:
    """Return the |values| of one or several results, (r, d) or by group (r, g, d), and the labels of the groups."""
    several = isinstance(results, list | tuple)
    named = {f"{name}[{i}]": result for i, result in enumerate(results)} if several else {name: results}
    for label, result in named.items():
        _check_kind(result, label)
    _check_names([_names(result, label) for label, result in named.items()], name)
    results = [results] if isinstance(results, Importance) else results
    if isinstance(results, list | tuple) and any(isinstance(result, Importance) for result in results):
        rows = [_values(result, f"{name}[{i}]") for i, result in enumerate(results)]
        _check_alike([row.shape for row in rows], name, "the same shape")
        all_groups = [result.groups for result in results if isinstance(result, Importance)]
        _check_alike([None if groups is None else groups.tolist() for groups in all_groups], name, "the same groups")
        return np.abs(np.stack(rows)), all_groups[0]
    array = as_numbers(results, name, ndim=(1, 2, 3))
    array = array[None] if array.ndim == 1 else array
    return np.abs(array), np.arange(array.shape[1]) if array.ndim == 3 else None


def _values(result: Any, name: str) -> Array:
    if not isinstance(result, Importance):
        return as_numbers(result, name, ndim=(1, 2))
    check_finite(result.values, name)
    return sizes_of(result)


def _check_kind(result: Any, name: str) -> None:
    if callable(getattr(type(result), "importance", None)):  # LocalExplanations, statistics
        got = type(result).__name__
        raise TypeError(f"{name} must be an Importance or an array, got {got}; pass its .importance()")
    if isinstance(result, Mapping | Iterator | set):
        expected = "an Importance, an array or a list of these"
        raise TypeError(f"{name} must be {expected}, got a {type(result).__name__}")


def _names(result: Any, name: str) -> tuple[str, ...] | None:
    """Return the names of the features, or None if they have none."""
    if isinstance(result, Importance):
        return result.feature_names
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(result, pandas.Series | pandas.DataFrame):
        return None
    index = result.axes[-1]
    if index.dtype.kind not in "iu" or sorted(index) != list(range(len(index))):
        return as_names(index)
    if not index.is_monotonic_increasing:
        raise ValueError(f"{name} must be in the order of the features, got the index {short_repr(index.tolist())}")
    return None  # the default index of pandas


def _check_names(all_names: list[tuple[str, ...] | None], name: str) -> None:
    first, *others = [names for names in all_names if names is not None] or [()]
    for names in others:
        if len(names) != len(first):
            raise ValueError(f"{name} must have the same feature_names, got {len(first)} and {len(names)}")
        for j, (expected, feature) in enumerate(zip(first, names, strict=True)):
            if feature != expected:
                got = f"got {short_repr(expected)} and {short_repr(feature)} for feature {j}"
                raise ValueError(f"{name} must have the same feature_names in the same order, {got}")


def _check_alike(values: list[Any], name: str, expected: str) -> None:
    for value in values[1:]:
        if value != values[0]:
            raise ValueError(f"{name} must have {expected}, got {short_repr(values[0])} and {short_repr(value)}")


def order_with_ties(sizes: Array, rng: np.random.Generator) -> Array:
    """Return the features by descending size, ties in random order."""
    shuffled = rng.permutation(len(sizes))
    order: Array = shuffled[np.argsort(-sizes[shuffled], kind="stable")].astype(np.int64, copy=False)
    return order


def top(sizes: Array, k: int) -> Array:
    """Return a mask of the k largest, including ties with the k-th but never 0."""
    nonzero: Array = sizes > 0
    return nonzero & (sizes >= np.partition(sizes, -k)[-k]) if k < len(sizes) else nonzero


@ignoring_float_errors
def pearson(a: Array, b: Array) -> float:
    """Return the correlation of two arrays; NaN if one is constant or has fewer than two numbers."""
    if len(a) < 2:
        return float("nan")
    a, b = ((x / np.abs(x).max()).astype(np.float64) for x in (a, b))  # no square overflows; a constant is exactly 1
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1.0, 1.0))


def spearman(a: Array, b: Array) -> float:
    """Return the correlation of the ranks; equal numbers share a rank."""
    return pearson(_shared_ranks(a), _shared_ranks(b))


def _shared_ranks(values: Array) -> Array:
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[position]
    return ranks


def kendall(a: Array, b: Array) -> float:
    """Return Kendall's tau-b; NaN if one array is constant or has fewer than two numbers."""
    a, b = (np.unique(x, return_inverse=True)[1] for x in (a, b))
    in_all = len(a) * (len(a) - 1) // 2
    tied_a, tied_b, tied_both = (_pairs(np.unique(x, return_counts=True)[1]) for x in (a, b, a * (len(b) + 1) + b))
    if in_all in (tied_a, tied_b):
        return float("nan")
    discordant = _inversions(b[np.lexsort((b, a))])  # ties of a are sorted by b: no inversions
    excess = in_all - tied_a - tied_b + tied_both - 2 * discordant
    return excess / math.sqrt((in_all - tied_a) * (in_all - tied_b))


def _pairs(counts: Array) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _inversions(ranks: Array) -> int:
    """Count the pairs in descending order, by the highest bit in which they differ: a 1 before a 0."""
    total = 0
    for bit in range(int(ranks.max()).bit_length()):
        order = np.argsort(ranks >> (bit + 1), kind="stable")  # groups those that agree above the bit
        above, ones = ranks[order] >> (bit + 1), (ranks[order] >> bit) & 1
        before = np.cumsum(ones) - ones
        starts = np.searchsorted(above, above)
        total += int((before - before[starts])[ones == 0].sum())
    return total


@ignoring_float_errors
def half_width(variances: list[tuple[Array, int]], confidence: float) -> Array:
    """Return half the length of Student's interval of a mean whose variance is the sum of (variance, n values) parts.

    The degrees of freedom are Satterthwaite's. Parts with fewer than two values have no known variance and are left
    out. NaN where the sum is 0: equal values carry no information about the spread.
    """
    from scipy.special import stdtrit

    parts = [(variance, n - 1) for variance, n in variances if n > 1]
    if not parts:
        return np.full(variances[0][0].shape, np.nan)
    total = np.sum([variance for variance, _ in parts], axis=0)
    squares = np.sum([variance**2 / freedom for variance, freedom in parts], axis=0)
    freedom = np.where(total > 0, total**2 / squares, np.nan)
    half: Array = -stdtrit(freedom, (1 - confidence) / 2) * np.sqrt(total)
    return half


def deviation(values: Array, axis: int) -> Array:
    """Return the standard deviation; NaN for fewer than two values."""
    if values.shape[axis] < 2:
        return np.full(np.delete(values.shape, axis), np.nan)
    result: Array = values.std(axis=axis, ddof=1)
    return result


def to_dataframe(columns: dict[str, Any]) -> Any:
    """Return columns as a pandas DataFrame."""
    return import_optional("pandas", "to_frame", "pandas").DataFrame(columns)
