"""Categories of table columns: their values, their frequencies and the numbers that represent them in rows."""

import math
import numbers
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from normlime_fast._checks import Array, ignoring_float_errors, short_repr
from normlime_fast._inputs.frames import factorized
from normlime_fast._messages import Message, Numbers

Unseen = Literal["explain", "raise"]
MISSING = "missing"  # the name of a missing value among categories


@dataclass(frozen=True, eq=False)
class Categories:
    """The categories of some columns of a table.

    If all categories of a column are numbers, rows hold these; otherwise they hold codes: positions among the sorted
    categories, after which come those of categories that only these rows have, and not the data. A missing value is the
    category None, which is NaN in rows.
    """

    columns: tuple[int, ...] = ()  # ascending
    values: tuple[tuple[Any, ...], ...] = ()  # sorted categories of each column
    frequencies: tuple[Array, ...] = ()  # their shares of the data
    unseen: Unseen = "explain"  # what happens to rows with another category

    @classmethod
    @ignoring_float_errors
    def from_data(cls, columns: Mapping[int, Any], unseen: Unseen = "explain", name: str = "X") -> "Categories":
        """Find the categories of columns, given by position."""
        values, frequencies = [], []
        for column in columns.values():
            uniques, counts = _counted(column, name)
            values.append(tuple(uniques))
            frequencies.append(counts / len(column))
        return cls(tuple(columns), tuple(values), tuple(frequencies), unseen)

    def mask(self, d: int, name: str = "X") -> Array:
        """Return which of d columns have categories, (d,) bool."""
        if self.columns and self.columns[-1] >= d:
            last = self.columns[-1]
            raise ValueError(f"{name} must have more than {last} columns, as column {last} has categories, got {d}")
        mask = np.zeros(d, bool)
        mask[list(self.columns)] = True
        return mask

    def is_coded(self, k: int) -> bool:
        """Return whether rows hold codes for the categories of columns[k]."""
        return self._numbers[k] is None

    def numbers(self, k: int) -> Array:
        """Return the numbers that represent the categories of columns[k] in rows; NaN for "missing"."""
        own = self._numbers[k]
        if own is not None:
            return own
        return np.array(
            [math.nan if value is None else position for position, value in enumerate(self.values[k])], float
        )

    def names(self, k: int) -> tuple[str, ...]:
        """Return the categories of columns[k] as text for people."""
        return tuple(_name(value) for value in self.values[k])

    @cached_property
    def _numbers(self) -> tuple[Array | None, ...]:
        """The categories of each column if all are numbers, otherwise None."""
        return tuple(
            np.array([math.nan if value is None else value for value in values], np.float64)
            if values != (None,) and all(value is None or _is_number(value) for value in values)
            else None
            for values in self.values
        )

    def encoded(self, k: int, column: Any, name: str) -> tuple[Array, list[Any]]:
        """Return the numbers that represent a DataFrame's column, columns[k], in rows, and the categories not known."""
        codes, uniques = factorized(column, name)
        known = set(self.values[k])
        coded = self.is_coded(k)
        others = [value for value in (*uniques, *[None] * bool((codes < 0).any())) if value not in known]
        allowed = [] if self.unseen == "raise" else [v for v in others if coded or v is None or _is_number(v)]
        refused = set(others).difference(allowed)
        if refused:
            bad = np.array([*(value in refused for value in uniques), None in refused])[codes]  # -1: missing
            row = int(bad.argmax())
            self.refuse(uniques[codes[row]] if codes[row] >= 0 else None, short_repr(column.name), row, name)
        every = self.extended({k: allowed})
        number_of = dict(zip(every.values[k], every.numbers(k).tolist(), strict=True))
        return np.array([*(number_of[value] for value in uniques), math.nan])[codes], allowed

    def extended(self, others: Mapping[int, list[Any]]) -> "Categories":
        """Return the categories with others of columns[k], for rows that have them."""
        values = list(self.values)
        for k, added in others.items():
            values[k] = (
                (*values[k], *added) if self.is_coded(k) else tuple(sorted((*values[k], *added), key=_last_none))
            )
        return replace(self, values=tuple(values)) if any(others.values()) else self

    @classmethod
    def united(cls, parts: "list[Categories]") -> "Categories":
        """Return the categories of all parts, which are extensions of those of one table."""
        others = {}
        for k, own in enumerate(parts[0].values):
            others[k] = list(dict.fromkeys(value for part in parts for value in part.values[k] if value not in own))
        return parts[0].extended(others)

    def recoded(self, values: Array, every: "Categories") -> Array:
        """Return rows with the codes of `every`, which has all of these categories."""
        values = values.copy()
        for k, column in enumerate(self.columns):
            if self.is_coded(k):
                place = {value: position for position, value in enumerate(every.values[k])}
                codes = np.array([place[value] for value in self.values[k]], values.dtype)
                known = ~np.isnan(values[:, column])
                values[known, column] = codes[values[known, column].astype(np.intp)]
        return values

    def is_unseen(self, values: Array) -> Array:
        """Return where rows have categories that the data does not have, (m, d) bool."""
        unseen = np.zeros(values.shape, bool)
        for k, column in enumerate(self.columns):
            unseen[:, column] = ~_is_among(values[:, column], self.numbers(k))
        return unseen

    def count_unseen(self, values: Array, of_rows: "Categories", labels: Any) -> "Counter[tuple[str, str]]":
        """Return how many rows have which unseen category, by column and category as text."""
        counts: Counter[tuple[str, str]] = Counter()
        unseen = self.is_unseen(values)
        for k, column in enumerate(self.columns):
            for number, count in zip(*np.unique(values[unseen[:, column], column], return_counts=True), strict=True):
                if np.isnan(number):
                    category = MISSING
                else:
                    category = short_repr(of_rows.values[k][int(number)] if self.is_coded(k) else _whole(number.item()))
                counts[labels(column), category] += int(count)
        return counts

    def check_array(self, values: Array, name: str) -> None:
        """Refuse an array with unknown categories."""
        self.mask(values.shape[1], name)
        for k, column in enumerate(self.columns):
            if self.is_coded(k):
                examples = short_repr(list(self.values[k][:3]))
                raise TypeError(f"{name} must be a DataFrame, as column {column} has the categories {examples} ...")
            unknown = ~_is_among(values[:, column], self.numbers(k))
            if unknown.any() and self.unseen == "raise":
                row = int(unknown.argmax())
                self.refuse(values[row, column].item(), str(column), row, name)

    def refuse(self, value: object, column: str, row: int, name: str) -> None:
        """Raise the error about a row with an unseen value."""
        advice = "; leave such rows out, or make the neighborhood from data that has them"
        raise ValueError(
            Message(
                f"{name} must have known categories in column {column}, got {_quoted(value)} in ",
                Numbers("row", np.array([row])),
                advice + ", or with unseen='explain'" * (self.unseen == "raise"),
            )
        )


def _is_among(values: Array, numbers: Array) -> Array:
    """Return which values are among numbers, where NaN equals NaN."""
    return np.isin(values, numbers) | (np.isnan(values) & np.isnan(numbers).any())


def _name(value: Any) -> str:
    return MISSING if value is None else short_repr(_whole(value), str)


def _quoted(value: Any) -> str:
    return "a missing value" if value is None or value != value else short_repr(value)


def _last_none(value: Any) -> tuple[bool, Any]:
    """Key of a sort that puts None, a missing value, last."""
    return value is None, 0 if value is None else value


def _whole(value: Any) -> Any:
    """Return a whole number as an int, as people write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_number(value: object) -> bool:
    """Return whether a category is a number that rows can hold."""
    try:
        return isinstance(value, numbers.Real) and float(value) == value
    except OverflowError:
        return False


def as_unseen(unseen: Any) -> Unseen:
    """Return what happens to rows with categories that the data does not have."""
    if not isinstance(unseen, str) or unseen not in get_args(Unseen):
        raise ValueError(f'unseen must be "explain" or "raise", got {short_repr(unseen)}')
    return unseen  # type: ignore[return-value]


def positions_of(entries: Any, d: int, names: Sequence[Any] | None, option: str, name: str) -> tuple[int, ...]:
    """Return the sorted positions of columns that `option` gives by name or position."""
    if isinstance(entries, str | bytes | dict) or not hasattr(entries, "__iter__"):
        raise TypeError(f"{option} must be a list of columns, got {short_repr(entries)}")
    columns = []
    for entry in entries:
        column = column_at(entry, d, names)
        if column is None:
            identifiers = "positions of columns" if names is None else "names or positions of columns"
            expected = f"positions from 0 to {d - 1}" if _is_position(entry) else f"{identifiers} of {name}"
            raise ValueError(f"{option} must hold {expected}, got {short_repr(entry)}")
        columns.append(column)
        if columns[-1] in columns[:-1]:
            raise ValueError(f"{option} must not contain duplicates, got {short_repr(entry)} twice")
    return tuple(sorted(columns))


def column_at(entry: Any, d: int, names: Any) -> int | None:
    """Return the position of a column among d, given by one of `names` or by position; None if there is none."""
    if names is not None and _is_in(entry, names):
        return list(names).index(entry)
    return int(entry) if _is_position(entry) and 0 <= int(entry) < d else None


def _is_position(entry: Any) -> bool:
    return isinstance(entry, numbers.Integral) and not isinstance(entry, bool | np.bool_)


def _is_in(entry: Any, names: Any) -> bool:
    try:
        return entry in names
    except TypeError:  # not hashable
        return False


def _counted(column: Any, name: str) -> tuple[list[Any], Array]:
    """Return the sorted categories of a column, the last of which may be None for missing values, and their counts."""
    if isinstance(column, np.ndarray):
        numbers, counts = np.unique(column, return_counts=True)
        return [None if math.isnan(number) else number for number in numbers.tolist()], counts
    codes, uniques = factorized(column, name)
    if any(isinstance(value, float) and math.isinf(value) for value in uniques):
        raise ValueError(f"{name} must be finite, got infinite values in column {short_repr(column.name)}")
    try:
        order = sorted(range(len(uniques)), key=uniques.__getitem__)
    except TypeError:  # of several types: by type
        order = sorted(
            range(len(uniques)), key=lambda position: (type(uniques[position]).__name__, str(uniques[position]))
        )
    counts, missing = np.bincount(codes[codes >= 0], minlength=len(uniques))[order], np.count_nonzero(codes < 0)
    values = [uniques[position] for position in order]
    return ([*values, None], np.append(counts, missing)) if missing else (values, counts)
