"""Bins of tables, as in lime: quantile bins of continuous columns, and categories."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_count, as_numbers, ignoring_float_errors, short_repr
from normlime_fast._inputs.categories import Categories, column_at
from normlime_fast._inputs.rows import Rows


class Interval(NamedTuple):
    """Bins of a continuous column: bin b contains x if edges[b - 1] < x <= edges[b], for b = 0, 1, ..."""

    names: tuple[str, ...]
    frequencies: Array  # shares of the training rows
    edges: Array  # one fewer than bins
    means: Array  # of the training values in the bin
    stds: Array  # of the same values, plus 1e-11 as in lime
    mins: Array  # as in lime: the lower edge, which is outside the bin, or the least training value
    maxs: Array  # the upper edge, or the largest training value
    lowest: Array  # the least and greatest number of the column's dtype in the bin
    highest: Array

    def name(self, code: int) -> str:
        """Return the name of a bin."""
        return self.names[code]

    def codes(self, values: Array) -> Array:
        """Return the bins of the values."""
        return np.searchsorted(self.edges, values)

    @ignoring_float_errors
    def draw(self, codes: Array, uniform: Array) -> Array:
        """Return a value of each bin: quantiles of its truncated normal.

        lime's values have the same distribution, except that it returns 0 for bins of one value, mins == maxs.
        """
        from scipy.special import ndtr, ndtri  # takes long to import

        means, stds = self.means[codes], self.stds[codes]
        lower, upper = (self.mins[codes] - means) / stds, (self.maxs[codes] - means) / stds
        # Of the two tail probabilities, the smaller one is more accurate.
        below = ndtr(lower) * (1 - uniform) + ndtr(upper) * uniform
        above = ndtr(-lower) * (1 - uniform) + ndtr(-upper) * uniform
        values: Array = means + stds * np.where(below < above, ndtri(below), -ndtri(above))
        return values.astype(self.lowest.dtype).clip(self.lowest[codes], self.highest[codes])


class Choice(NamedTuple):
    """Categories of a column."""

    names: tuple[str, ...]
    frequencies: Array  # shares of the training rows
    numbers: Array  # ascending: represent the categories in rows
    other: str  # name of a category that no training row has

    def name(self, code: int) -> str:
        """Return the name of a category, by its position as `codes` returns it."""
        return self.names[code] if code < len(self.names) else self.other

    def codes(self, values: Array) -> Array:
        """Return the positions of the values among the categories; one past the end if no training row has it."""
        positions = np.searchsorted(self.numbers, values)
        known = self.numbers[positions.clip(max=len(self.numbers) - 1)] == values
        return np.where(known, positions, len(self.numbers))

    def draw(self, codes: Array, uniform: Array) -> Array:
        """Return the numbers that represent these categories."""
        return self.numbers[codes]


@dataclass(frozen=True, eq=False, repr=False)
class Bins:
    """The bins or categories of every column, learned from training rows."""

    columns: tuple[Interval | Choice, ...]

    def __repr__(self) -> str:
        return f"<Bins: {', '.join(str(len(column.names)) for column in self.columns)}>"

    @classmethod
    @ignoring_float_errors
    def from_data(cls, rows: Rows, quantiles: int = 4, edges: Mapping[int | str, ArrayLike] | None = None) -> "Bins":
        """Cut continuous columns at quantiles, as lime does, or at the user's edges, given by name or position.

        lime's bins without training rows (between two edges without a row between them; above the last edge if that is
        the maximum) are merged into the bin below, so that values can be drawn from every bin.
        """
        quantiles = as_count(quantiles, "quantiles", minimum=2)
        names = rows.feature_names or tuple(str(j) for j in range(rows.values.shape[1]))
        own = {} if edges is None else _own_edges(edges, rows, names)
        categories = rows.categories or Categories()
        columns: list[Interval | Choice] = []
        for j, name in enumerate(names):
            if j not in categories.columns:
                columns.append(_interval(rows.values[:, j], j, name, quantiles, own.get(j)))
                continue
            if j in own:
                raise ValueError(f"edges must be of continuous columns, got the categorical column {name}")
            k = categories.columns.index(j)
            named = tuple(f"{name} = {category}" for category in categories.names(k))
            other = f"{name} = another"
            columns.append(Choice(named, categories.frequencies[k], categories.numbers(k), other))
        return cls(tuple(columns))

    def codes(self, values: Array) -> Array:
        """Return the numbers of the bins, or positions of the categories, of values (m, d)."""
        codes = np.empty(values.shape)
        for j, column in enumerate(self.columns):
            codes[:, j] = column.codes(values[:, j])
        return codes

    def draw(self, seed: np.uint64, n: int) -> Array:
        """Draw n rows, (n, d), each column independently by its frequencies.

        The first rows are the same for every n. Values of float32 columns are float32 numbers.
        """
        values = np.empty((n, len(self.columns)))
        for j, column in enumerate(self.columns):
            words = np.random.Philox(key=np.array([seed, j], np.uint64)).random_raw(2 * n).reshape(n, 2)
            uniform = ((words >> np.uint64(12)) + 0.5) * 2.0**-52  # in (0, 1), like 1 - uniform, which is exact
            chosen = np.searchsorted(np.cumsum(column.frequencies)[:-1], uniform[:, 0], side="right")
            values[:, j] = column.draw(chosen, uniform[:, 1])
        return values

    def names(self, codes: Array) -> list[str]:
        """Return the names of an instance's codes (d,), such as "37 < age <= 48" and "workclass = Private"."""
        return [column.name(int(code)) for column, code in zip(self.columns, codes, strict=True)]

    def feature_names_by_bin(self) -> tuple[str, ...]:
        """Return the names of all bins, column by column."""
        return tuple(name for column in self.columns for name in column.names)

    @property
    def offsets(self) -> Array:
        """(d,) ints: bin b of column j has number offsets[j] + b among all bins."""
        return np.cumsum([0, *(len(column.names) for column in self.columns[:-1])])


def _own_edges(edges: Mapping[int | str, ArrayLike], rows: Rows, names: tuple[str, ...]) -> dict[int, Array]:
    """Return the user's edges by number of column."""
    if not isinstance(edges, Mapping):
        raise TypeError(f"edges must be a dict of columns and their edges, got {short_repr(edges)}")
    own = {}
    for key, values in edges.items():
        j = column_at(key, len(names), None if rows.frame is None else rows.frame.columns)
        if j is None:
            raise ValueError(f"edges must be of columns of X, by name or position, got {short_repr(key)}")
        if j in own:
            raise ValueError(f"edges must not contain duplicates, got column {names[j]} twice")
        own[j] = as_numbers(values, f"edges of column {names[j]}", ndim=(1,)).astype(np.float64)
        if (np.diff(own[j]) <= 0).any():
            raise ValueError(f"edges of column {names[j]} must ascend, got {short_repr(own[j].tolist())}")
    return own


def _interval(column: Array, j: int, name: str, quantiles: int, own: Array | None) -> Interval:
    """Return the bins of a column."""
    dtype = column.dtype
    column = column.astype(np.float64)
    least, largest = column.min(), column.max()
    if not np.isfinite(len(column) * max(-least, largest) ** 2):
        raise ValueError(f"X must have values whose squares can be summed, got an overflow in column {j}")
    edges = own
    if edges is None:
        edges = np.unique(np.percentile(column, 100 * np.arange(1, quantiles) / quantiles))
        edges = edges[np.bincount(np.searchsorted(edges, column), minlength=len(edges) + 1)[1:] > 0]
    codes = np.searchsorted(edges, column)
    names = _interval_names(name, edges, least, largest)
    counts = np.bincount(codes, minlength=len(names))
    if not counts.all():
        raise ValueError(f"edges must leave training rows in every bin, got none in the bin {names[counts.argmin()]}")
    members = [column[codes == b] for b in range(len(names))]
    mins, maxs = np.append(least, edges), np.append(edges, largest)
    means, stds = np.array([part.mean() for part in members]), np.array([part.std() + 1e-11 for part in members])
    lowest, highest = mins.astype(dtype), maxs.astype(dtype)
    lowest[1:] = np.where(lowest <= mins, np.nextafter(lowest, dtype.type(np.inf)), lowest)[1:]
    highest = np.where(highest > maxs, np.nextafter(highest, dtype.type(-np.inf)), highest)
    return Interval(names, counts / len(column), edges, means, stds, mins, maxs, lowest, highest)


def _interval_names(name: str, edges: Array, least: float, largest: float) -> tuple[str, ...]:
    """Name bins by their edges, rounded to four digits of the edge or of the gap to the next edge or end of the data.

    So different edges have different texts; whole numbers are never rounded.
    """
    marks = np.array([least, *edges, largest])
    texts = []
    for edge in edges.tolist():
        gaps = np.abs(marks - edge)
        digits = 3 - math.floor(math.log10(gaps[gaps > 0].min(initial=abs(edge) or 1.0)))
        texts.append(repr(round(edge, max(0, digits)) + 0.0).removesuffix(".0"))
    if not texts:
        return (name,)
    between = (f"{low} < {name} <= {high}" for low, high in pairwise(texts))
    return (f"{name} <= {texts[0]}", *between, f"{name} > {texts[-1]}")
