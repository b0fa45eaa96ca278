"""Bins of tables, as in lime: quantile bins of continuous columns, and categories."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_count, as_numbers, ignoring_float_errors, short_repr
from normlime_fast._inputs.categories import MISSING, column_at
from normlime_fast._inputs.columns import UNITS, Column, Columns
from normlime_fast._inputs.rows import Rows

DAY = UNITS[0]


class Interval(NamedTuple):
    """Bins of a column of numbers: bin b contains x if edges[b - 1] < x <= edges[b], for b = 0, 1, ...

    After these come bins of one value each, `special`, which are not in the intervals: such as many zeros, or NaN for
    missing values, the last.
    """

    names: tuple[str, ...]  # of intervals and special values
    frequencies: Array  # shares of the training rows
    edges: Array  # one fewer than intervals
    means: Array  # of the training values in the interval
    stds: Array  # of the same values, plus 1e-11 as in lime
    mins: Array  # as in lime: the lower edge, which is outside the bin, or the least training value
    maxs: Array  # the upper edge, or the largest training value
    lowest: Array  # the least and greatest number of the column's dtype in the interval
    highest: Array
    special: Array
    missing: str  # name of a missing value
    step: float  # of integers and dates; 0 for others

    def name(self, code: int) -> str:
        """Return the name of a bin."""
        return self.names[code] if code < len(self.names) else self.missing

    def codes(self, values: Array) -> Array:
        """Return the bins of the values; one past the end for a missing value if no training value is missing."""
        codes = np.searchsorted(self.edges, values)
        first = len(self.means)
        for position, number in enumerate(self.special.tolist()):
            codes[values == number] = first + position
        last = len(self.names) - 1 if np.isnan(self.special).any() else len(self.names)
        codes[np.isnan(values)] = last
        return codes

    @ignoring_float_errors
    def draw(self, codes: Array, uniform: Array) -> Array:
        """Return a value of each bin: quantiles of its truncated normal.

        lime's values have the same distribution, except that it returns 0 for bins of one value, mins == maxs.
        """
        from scipy.special import ndtr, ndtri  # takes long to import

        n_intervals = len(self.means)
        if len(self.special):
            values: Array = np.append(np.zeros(n_intervals), self.special)[codes]
            inside = codes < n_intervals
            if inside.any():
                values[inside] = self._replace(special=self.special[:0]).draw(codes[inside], uniform[inside])
            return values
        means, stds = self.means[codes], self.stds[codes]
        lower, upper = (self.mins[codes] - means) / stds, (self.maxs[codes] - means) / stds
        # Of the two tail probabilities, the smaller one is more accurate.
        below = ndtr(lower) * (1 - uniform) + ndtr(upper) * uniform
        above = ndtr(-lower) * (1 - uniform) + ndtr(-upper) * uniform
        values = means + stds * np.where(below < above, ndtri(below), -ndtri(above))
        if self.step:
            values = np.rint(values / self.step) * self.step
            lowest, highest = (
                np.ceil(self.lowest / self.step) * self.step,
                np.floor(self.highest / self.step) * self.step,
            )
            return values.clip(lowest[codes], highest[codes])
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
        found = self.numbers[positions.clip(max=len(self.numbers) - 1)]
        return np.where((found == values) | (np.isnan(found) & np.isnan(values)), positions, len(self.numbers))

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
    def from_data(
        cls,
        rows: Rows,
        columns: Columns,
        quantiles: int,
        edges: Mapping[int | str, ArrayLike] | None = None,
        spikes: bool = True,
    ) -> "Bins":
        """Cut columns of numbers at quantiles, or at the user's edges, given by name or position.

        With `spikes`, a number that more rows hold than a bin would is a bin of its own, and so is a special one of
        `columns`. The rest is cut into as many bins as its share of the rows demands.

        lime's bins without training rows (between two edges without a row between them; above the last edge if that is
        the maximum) are merged into the bin below, so that values can be drawn from every bin.
        """
        quantiles = as_count(quantiles, "quantiles", minimum=2)
        own = {} if edges is None else _own_edges(edges, rows, tuple(column.name for column in columns))
        categories = columns.categories
        found: list[Interval | Choice] = []
        for j, column in enumerate(columns):
            if j not in categories.columns:
                found.append(_interval(rows.values[:, j], column, quantiles, own.get(j), spikes))
                continue
            if j in own:
                raise ValueError(
                    f"edges must be of columns of numbers, got the categorical column {column.name}; name it in numeric"
                )
            k = categories.columns.index(j)
            named = tuple(_equal(column.name, category) for category in categories.names(k))
            other = f"{column.name} = another"
            found.append(Choice(named, categories.frequencies[k], categories.numbers(k), other))
        return cls(tuple(found))

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
        j = column_at(key, len(names), rows.columns)
        if j is None:
            raise ValueError(f"edges must be of columns of X, by name or position, got {short_repr(key)}")
        if j in own:
            raise ValueError(f"edges must not contain duplicates, got column {names[j]} twice")
        own[j] = as_numbers(values, f"edges of column {names[j]}", ndim=(1,)).astype(np.float64)
        if (np.diff(own[j]) <= 0).any():
            raise ValueError(f"edges of column {names[j]} must ascend, got {short_repr(own[j].tolist())}")
    return own


def _equal(name: str, value: str) -> str:
    return f"{name} is missing" if value == MISSING else f"{name} = {value}"


def _interval(values: Array, column: Column, quantiles: int, own: Array | None, spikes: bool) -> Interval:
    """Return the bins of a column."""
    dtype, n = values.dtype, len(values)
    values = values.astype(np.float64)
    special = _special(values, column, quantiles, spikes and own is None)
    regular = values[~(np.isin(values, special) | np.isnan(values))]
    largest = np.abs(regular).max(initial=0.0)
    if not np.isfinite(n * largest**2):
        raise ValueError(f"X must have values whose squares can be summed, got an overflow in column {column.name}")
    edges = own
    if edges is None:
        n_bins = math.ceil(quantiles * len(regular) / n - 1e-9)
        edges = np.unique(np.percentile(regular, 100 * np.arange(1, n_bins) / n_bins)) if n_bins > 1 else np.empty(0)
        edges = edges[np.bincount(np.searchsorted(edges, regular), minlength=len(edges) + 1)[1:] > 0]
    codes = np.searchsorted(edges, regular)
    n_intervals = len(edges) + 1 if len(regular) or own is not None else 0
    names = _interval_names(column, edges, regular.min(), regular.max(), special) if len(regular) else ()
    counts = np.bincount(codes, minlength=n_intervals)
    if not counts.all():
        empty = names[counts.argmin()] if names else column.name
        raise ValueError(f"edges must leave training rows in every bin, got none in the bin {empty}")
    members = [regular[codes == b] for b in range(n_intervals)]
    ends = (regular.min(), regular.max()) if len(regular) else (0.0, 0.0)
    mins, maxs = np.append(ends[0], edges)[:n_intervals], np.append(edges, ends[1])[:n_intervals]
    means, stds = np.array([part.mean() for part in members]), np.array([part.std() + 1e-11 for part in members])
    lowest, highest = mins.astype(dtype), maxs.astype(dtype)
    lowest[1:] = np.where(lowest <= mins, np.nextafter(lowest, dtype.type(np.inf)), lowest)[1:]
    highest = np.where(highest > maxs, np.nextafter(highest, dtype.type(-np.inf)), highest)
    held = [np.count_nonzero(np.isnan(values) if np.isnan(number) else values == number) for number in special]
    names += tuple(_equal(column.name, MISSING if np.isnan(x) else column.text(x)) for x in special)
    frequencies = np.append(counts, np.array(held, int)) / n
    missing = f"{column.name} is missing"
    return Interval(names, frequencies, edges, means, stds, mins, maxs, lowest, highest, special, missing, column.step)


def _special(values: Array, column: Column, quantiles: int, spikes: bool) -> Array:
    """Return the values that are bins of their own, ascending, NaN last."""
    present = values[~np.isnan(values)]
    found = list(column.special) if spikes else []
    if spikes and column.kind != "constant" and len(present):
        often = np.unique(np.percentile(present, 100 * np.arange(quantiles + 1) / quantiles, method="nearest"))
        found += [x for x in often.tolist() if np.count_nonzero(present == x) * quantiles > len(values)]
        rest = present[~np.isin(present, found)]
        if len(rest) and rest.min() == rest.max():
            found.append(float(rest[0]))
    return np.array([*sorted(set(found)), *[math.nan] * (len(present) < len(values))])


def _interval_names(column: Column, edges: Array, least: float, largest: float, special: Array) -> tuple[str, ...]:
    """Name bins by their edges.

    Edges of integers and days are the last and first value of a bin. Others are rounded to four digits of the edge, or
    of the gap to the next edge or end of the data, so that different edges have different texts.
    """
    name, step = column.name, column.step
    whole = step > 0.0 and (column.kind == "integer" or step == DAY)
    marks = np.array([least, *edges, largest])
    lows, highs = [], []
    for edge in edges.tolist():
        if whole:
            last = math.floor(edge / step) * step
            highs.append(column.text(last))
            lows.append(column.text(last + step))
            continue
        if column.kind == "date":
            text = column.text(edge)
        else:
            gaps = np.abs(marks - edge)
            digits = 3 - math.floor(math.log10(gaps[gaps > 0].min(initial=abs(edge) or 1.0)))
            text = repr(round(edge, max(0, digits)) + 0.0).removesuffix(".0")
        highs.append(text)
        lows.append(text)
    special = special[~np.isnan(special)]
    below, above = (
        [column.text(x) for x in end] for end in (special[special < least][-1:], special[special > largest][:1])
    )
    first = f"{below[0]} < " if below else ""
    last = f" < {above[0]}" if above else ""
    if not highs:
        alone = f"{first}{name}{last}" if above or not below else f"{name} > {below[0]}"
        holes = [column.text(x) for x in special if least < x < largest]
        return (alone + f" (not {', '.join(holes)})" * bool(holes),)
    inside = special[(special > least) & (special < largest)].tolist()
    bounds = [-math.inf, *edges.tolist(), math.inf]
    texts = []
    for low, high, from_, to in zip(bounds[:-1], bounds[1:], [None, *lows], [*highs, None], strict=True):
        within = [x for x in inside if low < x <= high]
        if whole and within and from_ == column.text(within[0]):
            from_ = column.text(within.pop(0) + step)
        if whole and within and to == column.text(within[-1]):
            to = column.text(within.pop() - step)
        if from_ is None:
            text = f"{first}{name} <= {to}"
        elif to is None and above:
            text = f"{from_} {'<=' if whole else '<'} {name}{last}"
        elif to is None:
            text = f"{name} {'>=' if whole else '>'} {from_}"
        elif whole and from_ == to:
            text = f"{name} = {from_}"
        else:
            text = f"{from_} {'<=' if whole else '<'} {name} <= {to}"
        texts.append(text + f" (not {', '.join(map(column.text, within))})" * bool(within))
    return tuple(texts)
