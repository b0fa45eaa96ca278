"""Categories of table columns: their values, their frequencies and the numbers that represent them in rows."""

import math
import numbers
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from normlime_fast._checks import Array, as_frame, as_names, as_numbers, ignoring_float_errors, short_repr
from normlime_fast._messages import Message, Numbers

Unseen = Literal["explain", "raise"]


@dataclass(frozen=True, eq=False)
class Categories:
    """The categories of some columns of a table.

    If all categories of a column are numbers, rows hold these; otherwise they hold codes: positions among the sorted
    categories, after which come those of categories that only these rows have, and not the data.
    """

    columns: tuple[int, ...] = ()  # ascending
    values: tuple[tuple[Any, ...], ...] = ()  # sorted categories of each column
    frequencies: tuple[Array, ...] = ()  # their shares of the data
    table: tuple[str, ...] | None = None  # names of all columns, if they are known
    unseen: Unseen = "explain"  # what happens to rows with another category

    @classmethod
    @ignoring_float_errors
    def from_data(cls, X: Any, categorical: Any, unseen: Unseen = "explain", name: str = "X") -> "Categories":
        """Find the categories of the columns of X with these names or positions."""
        if not isinstance(unseen, str) or unseen not in get_args(Unseen):
            raise ValueError(f'unseen must be "explain" or "raise", got {short_repr(unseen)}')
        frame = as_frame(X, name)
        table = as_numbers(X, name, ndim=(2,)) if frame is None else frame
        columns = _positions(categorical, table.shape[1], None if frame is None else frame.columns, name)
        if not len(table):
            raise ValueError(f"{name} must not be empty, got shape {table.shape}")
        values, frequencies = [], []
        for column in columns:
            if frame is None:
                unique, counts = np.unique(table[:, column], return_counts=True)
                uniques = unique.tolist()
            else:
                uniques, counts = _counted(frame.iloc[:, column], name)
            values.append(tuple(uniques))
            frequencies.append(counts / len(table))
        names = None if frame is None else as_names(frame.columns)
        return cls(columns, tuple(values), tuple(frequencies), names, unseen)

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
        """Return the numbers that represent the categories of columns[k] in rows."""
        own = self._numbers[k]
        return np.arange(float(len(self.values[k]))) if own is None else own

    def names(self, k: int) -> tuple[str, ...]:
        """Return the categories of columns[k] as text for people."""
        return tuple(short_repr(_whole(value), str) for value in self.values[k])

    @cached_property
    def _numbers(self) -> tuple[Array | None, ...]:
        """The categories of each column if all are numbers, otherwise None."""
        return tuple(
            np.array(values, np.float64) if all(_is_number(value) for value in values) else None
            for values in self.values
        )

    def encoded(self, k: int, column: Any, name: str) -> tuple[Array, list[Any]]:
        """Return the numbers that represent a DataFrame's column, columns[k], in rows, and the categories not known."""
        codes, uniques = _factorized(column, name)
        known = set(self.values[k])
        coded = self.is_coded(k)
        others = [value for value in uniques if value not in known]
        allowed = [] if self.unseen == "raise" else [value for value in others if coded or _is_number(value)]
        numbers = self.numbers(k) if coded else np.array([*self.numbers(k), *map(float, allowed)])
        if coded:
            numbers = np.arange(float(len(known) + len(allowed)))
        number_of = dict(zip((*self.values[k], *allowed), numbers.tolist(), strict=True))
        encoded = np.array([*(number_of.get(value, np.nan) for value in uniques), np.nan])[codes]  # -1: missing value
        if np.isnan(encoded).any():
            row = int(np.isnan(encoded).argmax())
            self._refuse(python_values([column.iloc[row]])[0], column.name, row, name)
        return encoded, allowed

    def extended(self, others: Mapping[int, list[Any]]) -> "Categories":
        """Return the categories with others of columns[k], for rows that have them."""
        values = list(self.values)
        for k, added in others.items():
            values[k] = (*values[k], *added) if self.is_coded(k) else tuple(sorted((*values[k], *added)))
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
                values[:, column] = codes[values[:, column].astype(np.intp)]
        return values

    def is_unseen(self, values: Array) -> Array:
        """Return where rows have categories that the data does not have, (m, d) bool."""
        unseen = np.zeros(values.shape, bool)
        for k, column in enumerate(self.columns):
            unseen[:, column] = ~np.isin(values[:, column], self.numbers(k))
        return unseen

    def count_unseen(self, values: Array, of_rows: "Categories", labels: Any) -> "Counter[tuple[str, str]]":
        """Return how many rows have which unseen category, by column and category as text."""
        counts: Counter[tuple[str, str]] = Counter()
        unseen = self.is_unseen(values)
        for k, column in enumerate(self.columns):
            for number, count in zip(*np.unique(values[unseen[:, column], column], return_counts=True), strict=True):
                category = of_rows.values[k][int(number)] if self.is_coded(k) else _whole(number.item())
                counts[labels(column), short_repr(category)] += int(count)
        return counts

    def check_array(self, values: Array, name: str) -> None:
        """Refuse an array with unknown categories."""
        self.mask(values.shape[1], name)
        for k, column in enumerate(self.columns):
            if self.is_coded(k):
                examples = short_repr(list(self.values[k][:3]))
                raise TypeError(f"{name} must be a DataFrame, as column {column} has the categories {examples} ...")
            unknown = ~np.isin(values[:, column], self.numbers(k))
            if unknown.any() and self.unseen == "raise":
                row = int(unknown.argmax())
                self._refuse(values[row, column].item(), column, row, name)

    def choices(self, k: int, dtype: Any) -> tuple[Any, Array | None]:
        """Return the categories of columns[k] as an array of a DataFrame's dtype, and the numbers that represent them.

        The array is replaced by the dtype if that holds the rows' own numbers. The numbers are None if rows hold codes.
        """
        pandas = sys.modules["pandas"]
        values = list(self.values[k])
        numbers = None if self.is_coded(k) else self.numbers(k)
        if isinstance(dtype, pandas.CategoricalDtype):
            positions = {value: position for position, value in enumerate(python_values(dtype.categories))}
            codes = [positions.get(value, -1) for value in values]
            return pandas.Categorical.from_codes(codes, dtype=dtype), numbers
        try:
            choices = pandas.Series(values, dtype=dtype).array
        except (TypeError, ValueError, OverflowError):  # it cannot hold them: the caller refuses
            return [], numbers
        plain = isinstance(dtype, np.dtype) and dtype.kind in "fiub" and numbers is not None
        return (dtype if plain and python_values(choices) == values else choices), numbers

    def _refuse(self, value: object, column: object, row: int, name: str) -> None:
        advice = "; leave such rows out, or make the neighborhood from data that has them"
        raise ValueError(
            Message(
                f"{name} must have known categories in column {short_repr(column)}, got {short_repr(value)} in ",
                Numbers("row", np.array([row])),
                advice + ", or with unseen='explain'" * (self.unseen == "raise"),
            )
        )


def _whole(value: Any) -> Any:
    """Return a whole number as an int, as people write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_number(value: object) -> bool:
    """Return whether a category is a number that rows can hold."""
    try:
        return isinstance(value, numbers.Real) and float(value) == value
    except OverflowError:
        return False


def _positions(categorical: Any, d: int, names: Any, name: str) -> tuple[int, ...]:
    """Return the sorted positions of columns given by name or position."""
    if isinstance(categorical, str | bytes | dict) or not hasattr(categorical, "__iter__"):
        raise TypeError(f"categorical must be a list of columns, got {short_repr(categorical)}")
    columns = []
    for entry in categorical:
        column = column_at(entry, d, names)
        if column is None:
            identifiers = "positions of columns" if names is None else "names or positions of columns"
            expected = f"positions from 0 to {d - 1}" if _is_position(entry) else f"{identifiers} of {name}"
            raise ValueError(f"categorical must hold {expected}, got {short_repr(entry)}")
        columns.append(column)
        if columns[-1] in columns[:-1]:
            raise ValueError(f"categorical must not contain duplicates, got {short_repr(entry)} twice")
    return tuple(sorted(columns))


def column_at(entry: Any, d: int, names: Any) -> int | None:
    """Return the position of a column among d, given by one of `names` or by position; None if there is none."""
    if names is not None and _is_in(entry, names):
        return int(names.get_loc(entry))
    return int(entry) if _is_position(entry) and 0 <= int(entry) < d else None


def _is_position(entry: Any) -> bool:
    return isinstance(entry, numbers.Integral) and not isinstance(entry, bool | np.bool_)


def _is_in(entry: Any, names: Any) -> bool:
    try:
        return entry in names
    except TypeError:  # not hashable
        return False


def _counted(column: Any, name: str) -> tuple[list[Any], Array]:
    """Return the sorted categories of a DataFrame's column, and their counts."""
    codes, uniques = _factorized(column, name)
    label = short_repr(column.name)
    if (codes < 0).any():
        raise ValueError(
            f"{name} must not have missing categories, got one in column {label}, row {(codes < 0).argmax()};"
            " fill it, such as by 'missing'"
        )
    if any(isinstance(value, float) and not math.isfinite(value) for value in uniques):
        raise ValueError(f"{name} must be finite, got infinite values in column {label}")
    try:
        order = sorted(range(len(uniques)), key=uniques.__getitem__)
    except TypeError:
        got = f"got {short_repr(uniques[:3])} ..."
        raise TypeError(f"{name} must have categories that can be sorted in column {label}, {got}") from None
    return [uniques[position] for position in order], np.bincount(codes)[order]


def _factorized(column: Any, name: str) -> tuple[Array, list[Any]]:
    """Return each row's code in a DataFrame's column, -1 for a missing value, and the values that codes stand for."""
    pandas = sys.modules["pandas"]
    try:
        codes, uniques = pandas.factorize(column)
    except TypeError:  # not hashable
        label = short_repr(column.name)
        raise TypeError(f"{name} must have categories that can be sorted in column {label}") from None
    return codes, python_values(uniques)


def python_values(values: Any) -> list[Any]:
    """Return the entries of an array, NumPy's numbers as Python's."""
    return [value.item() if isinstance(value, np.number | np.bool_) else value for value in values]
