"""What each column of a table is taken for: its kind, found once from the data, and what sampling must know of it."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from normlime_fast._checks import (
    Array,
    as_frame,
    as_numbers,
    check_is_table,
    ignoring_float_errors,
    short_repr,
)
from normlime_fast._inputs import frames
from normlime_fast._inputs.categories import MISSING, Categories, Unseen, as_unseen, positions_of
from normlime_fast._messages import Message, Numbers

Kind = Literal["number", "integer", "category", "date", "constant"]
Forced = Literal["category", "number"] | None  # by the user

FEW = 10  # whole numbers of at most so many values are categories, if each is held by
OFTEN = 5, 0.01  # so many rows, and this share of them
MANY = 10, 0.002  # the same of a value far outside the rest that is a state of its own
EXACT = 2.0**53  # larger whole numbers are not all floats: they are names
UNITS = 86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000, 1  # days to microseconds


LEVELS = 64
NONE = np.empty(0)


class Column(NamedTuple):
    """What a column is taken for.

    Attributes
    ----------
    name : str
        Its name, or its position.
    kind : {"number", "integer", "category", "date", "constant"}
        What it is taken for. Integers and dates are perturbed to whole steps; categories are kept or replaced.
    reason : str
        Why.
    missing : float
        Share of the rows without a value.
    special : tuple of float
        Numbers far outside the rest that many rows hold, such as -999: states of their own, like a missing value.
    shares : tuple of float
        Their shares of the rows.
    step : float
        Distance of neighbouring integers, or of dates in microseconds; 0 for others.
    low, high : float
        The least and greatest value that is not special; NaN where there is none, and of names.
    levels : ndarray
        Some numbers that occur and are not special, from rows evenly spread over the data: for samples of an instance
        that has none.
    is_duration : bool
        Whether dates are durations.
    """

    name: str
    kind: Kind
    reason: str
    missing: float = 0.0
    special: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    step: float = 0.0
    low: float = math.nan
    high: float = math.nan
    levels: Array = NONE
    is_duration: bool = False

    def text(self, number: float) -> str:
        """Return a number, date or duration of this column as people write it."""
        if self.is_duration and math.isfinite(number):
            return str(timedelta(microseconds=number))
        if self.kind != "date" or not math.isfinite(number):
            return repr(int(number) if number == int(number) else number) if math.isfinite(number) else str(number)
        time = np.datetime64(int(number), "us")
        return str(time.astype("datetime64[D]" if self.step == UNITS[0] else "datetime64[s]"))


@dataclass(frozen=True, eq=False, repr=False)
class Columns(Sequence[Column]):
    """What the columns of a table are taken for; an entry is a `Column`, and the repr lists them."""

    entries: tuple[Column, ...]
    categories: Categories
    named: bool  # whether the columns have names

    @overload
    def __getitem__(self, position: int) -> Column: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Column, ...]: ...
    def __getitem__(self, position: int | slice) -> Column | tuple[Column, ...]:
        return self.entries[position]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.entries)

    def __repr__(self) -> str:
        shown = self.entries if len(self) <= 60 else (*self.entries[:40], *self.entries[-10:])
        width = max(len(column.name) for column in shown)
        lines = [f"{column.name:<{width}}  {column.kind:<8}  {column.reason}" for column in shown]
        if len(shown) < len(self):
            lines.insert(40, f"... {len(self) - len(shown)} more ...")
        return "\n".join(lines)

    def summary(self) -> str:
        """Return how many columns are of which kind, and how many have missing values."""
        kinds = [column.kind for column in self.entries]
        plurals = {"number": "numbers", "integer": "integers", "category": "categories", "date": "dates"}
        counts: dict[str, int] = Counter(kinds)
        parts = [
            f"{count} {kind if count == 1 else plurals.get(kind, 'constants')}"
            for kind, count in counts.items()
            if count
        ]
        missing = sum(column.missing > 0 for column in self.entries)
        return ", ".join(parts) + f"; {missing} with missing values" * (missing > 0)

    def described(self, name: str, options: str) -> str:
        """Return the repr of a neighborhood: its options, and what each column is taken for."""
        return f"<{name}: {self.summary()}; {options}>\n{self!r}"

    @property
    def table(self) -> tuple[str, ...] | None:
        """Names of the columns, if they have some."""
        return tuple(column.name for column in self.entries) if self.named else None

    @cached_property
    def is_category(self) -> Array:
        """Which columns hold categories, (d,) bool."""
        return self.categories.mask(len(self))

    @cached_property
    def steps(self) -> Array:
        """The step of each column, (d,)."""
        return np.array([column.step for column in self.entries])

    @cached_property
    def special(self) -> dict[int, tuple[Array, Array]]:
        """The states of their own of columns that have some, by position: numbers, the last may be NaN, and shares."""
        states = {}
        for j, column in enumerate(self.entries):
            if (column.special or column.missing) and not self.is_category[j]:
                missing = ([math.nan], [column.missing]) if column.missing else ([], [])
                states[j] = np.array([*column.special, *missing[0]]), np.array([*column.shares, *missing[1]])
        return states

    def is_regular(self, values: Array) -> Array:
        """Return where values (m, d) are neither missing nor special, (m, d) bool."""
        regular = ~np.isnan(values)
        for j, (numbers, _) in self.special.items():
            for number in numbers[~np.isnan(numbers)]:
                regular[:, j] &= values[:, j] != number
        return regular

    def regular(self, values: Array) -> Array:
        """Return values (m, d) with NaN in place of those that are special."""
        return np.where(self.is_regular(values), values, np.nan)

    def beyond(self, values: Array) -> str | None:
        """Say in which columns perturbed values (m, d) lie outside the data, for a model that failed on them."""
        lows, highs = (np.array([getattr(column, end) for column in self.entries]) for end in ("low", "high"))
        regular = self.is_regular(values) & ~self.is_category
        texts = []
        for j in np.flatnonzero((regular & ((values < lows) | (values > highs))).any(axis=0)):
            column, own = self.entries[j], values[regular[:, j], j]
            least, greatest = float(own.min()), float(own.max())
            below = f"{least:g}, below the least value of the data, {column.text(column.low)}" * (least < column.low)
            above = f"{greatest:g}, above the greatest, {column.text(column.high)}" * (greatest > column.high)
            texts.append(f"column {column.name!r} had values down to {below}" if below else "")
            texts[-1] += (
                (" and up to " if below else f"column {column.name!r} had values up to ") + above if above else ""
            )
        if not texts:
            return None
        more = f"; and {len(texts) - 3} more columns" if len(texts) > 3 else ""
        return (
            f"the noise left the range of the data: {'; '.join(texts[:3])}{more}; Binned and Pool keep to what occurs"
        )

    def is_unseen(self, values: Array) -> Array:
        """Return where rows have categories, or missing values, that the data does not have in this column, (m, d)."""
        unseen = self.categories.is_unseen(values)
        return unseen | (np.isnan(values) & ~self._may_be_missing)

    @cached_property
    def _may_be_missing(self) -> Array:
        return np.array([column.missing > 0.0 for column in self.entries])

    def count_unseen(self, values: Array, of_rows: Categories, labels: Any) -> "Counter[tuple[str, str]]":
        """Return how many rows have which unseen value, by column and value as text."""
        counts = self.categories.count_unseen(values, of_rows, labels)
        missing = np.isnan(values) & ~self._may_be_missing & ~self.is_category
        for j in np.flatnonzero(missing.any(axis=0)):
            counts[labels(j), MISSING] += int(missing[:, j].sum())
        return counts

    @classmethod
    @ignoring_float_errors
    def from_data(
        cls, X: Any, categorical: Any = (), numeric: Any = (), unseen: Unseen = "explain", name: str = "X"
    ) -> "Columns":
        """Find what the columns of data are; `categorical` and `numeric` name those that the user decides."""
        unseen = as_unseen(unseen)
        check_is_table(X, name)
        frame = as_frame(X, name)
        table = as_numbers(X, name, ndim=(2,), missing=True) if frame is None else frame
        names = None if frame is None else frame.columns
        d = table.shape[1]
        if not len(table):
            raise ValueError(f"{name} must not be empty, got shape {tuple(table.shape)}")
        forced: dict[int, Forced] = dict.fromkeys(positions_of(categorical, d, names, "categorical", name), "category")
        for j in positions_of(numeric, d, names, "numeric", name):
            if j in forced:
                got = short_repr(j if names is None else names[j])
                raise ValueError(f"numeric must not have columns that categorical has, got {got}")
            forced[j] = "number"
        labels = [str(j) if names is None else str(names[j]) for j in range(d)]
        whole = frame is None and getattr(getattr(X, "dtype", None), "kind", "f") in "iub"
        facts = [_OF_AN_ARRAY._replace(is_integer=whole)] * d if frame is None else frames.facts(frame)
        numbers, is_filled = table, [frame is None] * d
        if frame is not None and frames.is_pandas(frame):  # many columns at once
            plain = [j for j in range(d) if facts[j].holds == "numbers" and forced.get(j) != "category"]
            numbers = np.empty(frame.shape)
            frames.fill(frame, facts, plain, numbers)
            is_filled = np.isin(np.arange(d), plain).tolist()
        found = [
            _found(numbers[:, j] if is_filled[j] else table[:, j], facts[j], labels[j], forced.get(j), name)
            for j in range(d)
        ]
        coded = {j: table[:, j] for j in range(d) if isinstance(found[j], str)}
        categories = Categories.from_data(coded, unseen, name)
        for k, j in enumerate(categories.columns):
            found[j] = _of_category(labels[j], str(found[j]), categories, k)
        columns = tuple(column for column in found if isinstance(column, Column))
        if all(column.missing == 1.0 for column in columns):
            raise ValueError(f"{name} must have values, got only missing ones")
        return cls(columns, categories, names is not None)


_OF_AN_ARRAY = frames.Facts(None, "numbers", 8, False)


def _found(column: Any, facts: frames.Facts, label: str, forced: "Forced", name: str) -> Column | str:
    """Return what a column of numbers or dates is taken for, or the reason why it is one of categories."""
    kind = facts.holds
    if kind == "nothing usable":
        raise TypeError(
            f"{name} must hold numbers, text, categories or dates, got column {short_repr(label)} of dtype"
            f" {facts.dtype}; leave it out"
        )
    if forced == "category":
        return "named in categorical"
    if kind not in ("numbers", "dates"):
        if forced == "number":
            got = f"column {short_repr(label)} of dtype {facts.dtype}"
            raise TypeError(f"numeric must name columns of numbers, got {got}")
        return "True and False" if kind == "bools" else _names(column)
    values = column if isinstance(column, np.ndarray) else frames.as_floats(column)
    shown = label if facts.dtype is None else short_repr(label)
    found = _of_numbers(values, label, shown, kind == "dates", facts.is_integer, forced, name)
    if isinstance(found, str):
        return found
    found = found._replace(is_duration=kind == "dates" and str(column.dtype).startswith("Duration"))
    if kind == "dates" and found.kind == "constant" and not found.reason:
        return found._replace(reason=f"one value, {found._replace(kind='date').text(found.low)}")
    return found._replace(reason=found.reason or _reason(found, forced))


def _names(column: Any) -> str:
    """Say what kind of values other than numbers, bools and dates a column holds."""
    dtype = str(column.dtype).split("(")[0]
    known = {"String": "text", "Object": "objects", "Categorical": "a categorical dtype", "Enum": "a categorical dtype"}
    return known.get(dtype, f"dtype {frames.native_dtype(column)}")


def _of_numbers(
    values: Array, label: str, shown: str, dates: bool, whole: bool, forced: "Forced", name: str
) -> Column | str:
    """Return what numbers or microseconds are taken for, or the reason why they are categories."""
    absent = np.isnan(values)
    regular = values[~absent].astype(np.float64)
    if not len(regular):
        return Column(label, "constant", "no values", 1.0)
    low, high = float(regular.min()), float(regular.max())
    if math.isinf(low) or math.isinf(high):
        raise infinite_values(values, shown, name)
    always_whole = whole
    whole = not dates and (whole or bool((regular == np.rint(regular)).all()))
    if (
        not dates
        and whole
        and forced != "number"
        and (reason := _reason_for_category(regular, len(values), always_whole))
    ):
        return reason
    special, shares = _apart(regular, len(values))
    regular = regular[~np.isin(regular, special)] if special else regular
    low, high = float(regular.min()), float(regular.max())
    step = 0.0
    if dates:
        step = float(next(unit for unit in UNITS if unit == 1 or not (regular % unit).any()))
    elif always_whole or (whole and forced != "number" and max(-low, high) < EXACT):
        step = 1.0
    kind: Kind = "date" if dates else "integer" if step else "number"
    missing = float(absent.mean())
    if low == high and not special and not missing:
        kind = "constant"
    levels = regular[np.linspace(0, len(regular) - 1, LEVELS).astype(int)]
    return Column(label, kind, "", missing, special, shares, step, low, high, levels)


def _reason(column: Column, forced: "Forced") -> str:
    """Say why a column is taken for what it is."""
    if column.kind == "number":
        low, high = f"{column.low:.4g}", f"{column.high:.4g}"
    else:
        low, high = column.text(column.low), column.text(column.high)
    what = {"number": "decimal numbers", "integer": "whole numbers", "date": "dates", "constant": "one value,"}[
        column.kind
    ]
    if column.is_duration:
        what = "durations"
    if forced == "number":
        what = "named in numeric,"
    parts = [f"{what} {low}" if column.low == column.high else f"{what} from {low} to {high}"]
    parts += [f"{column.text(x)} apart ({q:.1%})" for x, q in zip(column.special, column.shares, strict=True)]
    parts += [f"{column.missing:.1%} missing"] * (column.missing > 0)
    return "; ".join(parts)


def _reason_for_category(regular: Array, n: int, whole_dtype: bool) -> str | None:
    """Return why whole numbers are categories, if they are."""
    if regular.min() == 0.0 and regular.max() == 1.0:
        return "0 and 1"
    if whole_dtype and np.abs(regular).max() > EXACT:
        return "whole numbers too large to calculate with"
    if len(np.unique(regular[:1000])) > FEW:
        return None
    numbers, counts = np.unique(regular, return_counts=True)
    often = max(OFTEN[0], OFTEN[1] * n)
    return "whole numbers, each of which occurs often" if 2 <= len(numbers) <= FEW and counts.min() >= often else None


def _apart(regular: Array, n: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return numbers far outside the rest that many rows hold, ascending, and their shares of all n rows.

    Far is farther from the next number than the rest, without a hundredth at either end, is wide. There may be several
    side by side, such as -9, -8 and -7.
    """
    many = max(MANY[0], MANY[1] * n)
    found: dict[float, float] = {}
    for _ in range(3):  # the other end may hide one: 9999 stretches the rest, as long as it is part of it
        before = len(found)
        for sign in (1.0, -1.0):
            if not len(regular) or np.count_nonzero(regular == sign * (sign * regular).min()) < many:
                continue
            numbers, counts = np.unique(sign * regular, return_counts=True)
            for m in range(1, min(FEW, len(numbers) - FEW)):  # of few values, none is apart
                if counts[m - 1] < many:
                    break
                low, high = np.percentile(sign * regular[sign * regular > numbers[m - 1]], [1, 99])
                if numbers[m] - numbers[m - 1] > high - low:
                    found |= dict(zip((sign * numbers[:m]).tolist(), (counts[:m] / n).tolist(), strict=True))
                    regular = regular[sign * regular > numbers[m - 1]]
                    break
        if len(found) == before:
            break
    return tuple(sorted(found)), tuple(found[number] for number in sorted(found))


def _of_category(label: str, reason: str, categories: Categories, k: int) -> Column:
    """Return a column of categories, of which nothing but its number of values is known."""
    values, shares = categories.values[k], categories.frequencies[k]
    missing = float(shares[-1]) if values[-1] is None else 0.0
    count = len(values) - (missing > 0)
    numbers = categories.numbers(k)
    if not count:
        return Column(label, "constant", "no values", missing)
    if count == 1 and not missing:
        return Column(label, "constant", f"one value, {categories.names(k)[0]}")
    text = f"{reason}; {count} value{'s' * (count != 1)}" + f"; {missing:.1%} missing" * (missing > 0)
    is_number = not categories.is_coded(k) and count > 0
    low, high = (float(np.nanmin(numbers)), float(np.nanmax(numbers))) if is_number else (math.nan, math.nan)
    return Column(label, "category", text, missing, low=low, high=high)


def infinite_values(values: Array, label: str, name: str) -> ValueError:
    """Return the error for a column with infinite values."""
    bad = np.isinf(values)
    count, row = int(bad.sum()), int(bad.argmax())
    return ValueError(
        Message(
            f"{name} must be finite, got {count} infinite value{'s' * (count > 1)} in column {label}, the first in ",
            Numbers("row", np.array([row])),
            "; replace them by a missing value",
        )
    )
