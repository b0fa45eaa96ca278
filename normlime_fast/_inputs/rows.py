"""The user's rows of any kind, and how to make more of the same kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from normlime_fast._checks import (
    Array,
    as_array,
    as_dense,
    as_frame,
    as_names,
    as_numbers,
    check_finite,
    check_is_table,
    check_unmasked,
    ignoring_float_errors,
    is_sparse,
    short_repr,
)
from normlime_fast._inputs import frames
from normlime_fast._inputs.categories import Categories
from normlime_fast._inputs.columns import Column, Columns, infinite_values
from normlime_fast._messages import Message, Numbers

_OF_HEADER = "_header", "columns", "float32", "_facts", "_is_plain"  # what depends on the header alone
LARGEST32 = np.finfo(np.float32).max


@dataclass(frozen=True)
class Rows:
    """The user's rows, in the form that samplers read and write.

    `values` is a table (n, d) of float32 or float64, C-contiguous, where NaN stands for a missing value, numbers stand
    for categories (see `Categories`) and microseconds for dates; or an array (n, ...) of numbers of any dtype, such
    as images; or a csr matrix or array, whichever the user has; or texts, (n,) of dtype object.
    """

    values: Any
    header: Any = None  # the user's table without its rows, of pandas, polars or pyarrow
    categories: Categories | None = None  # of a table
    usable: Array | None = None  # False for copies of other rows, in place of rows that cannot be used; None: all True
    fault: str | None = None  # error of the first row that cannot be used
    dtype: Any = None  # of the user's array, if the model gets this in place of floats
    nulls: frozenset[int] = frozenset()  # columns where a missing value is null rather than NaN
    decimal: frozenset[int] = frozenset()  # columns of integers that have decimals in the neighborhood's data

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    @cached_property
    def _header(self) -> Any:
        return as_frame(self.header, "X")

    @cached_property
    def columns(self) -> tuple[Any, ...] | None:
        """Column names of any type, if X has them."""
        return None if self.header is None else tuple(self._header.columns)

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Column names as text, if X has them."""
        return None if self.columns is None else as_names(self.columns)

    @cached_property
    def float32(self) -> Array:
        """Which columns of a table the model gets as float32, (d,) bool, even if `values` are float64."""
        if self.header is None:
            return np.full(self.values.shape[1], self.values.dtype == np.float32)
        return np.array([column.float_bytes == 4 for column in self._facts])

    @property
    def whole(self) -> list[int]:
        """The columns of a table of an integer dtype."""
        return [] if self.header is None else [k for k, column in enumerate(self._facts) if column.is_integer]

    def label(self, k: int) -> str:
        """Return the name of a column of a table, for messages."""
        return str(k) if self.columns is None else short_repr(self.columns[k])

    def take(self, selection: slice | Array) -> "Rows":
        """Return some of the rows."""
        usable = None if self.usable is None else self.usable[selection]
        rows = replace(self, values=self.values[selection], usable=usable)
        known = {name: self.__dict__[name] for name in _OF_HEADER if name in self.__dict__}
        rows.__dict__.update(known)  # which takes long to find for many columns
        return rows

    def identity(self) -> dict[str, Any]:
        """Return named properties that distinguish these rows from others."""
        names = self.columns and [
            f"{name} {column.dtype}" for name, column in zip(self.columns, self._facts, strict=True)
        ]
        return {
            "X of shape": list(self.values.shape),
            "X of dtype": str(self.values.dtype if self.dtype is None else self.dtype),
            "columns": names,
            "values of X": self.values if self.usable is None else [self.values, self.usable],
            "categories of X": None if self.categories is None else [*map(list, self.categories.values)],
        }

    @ignoring_float_errors
    def like(self, values: Any) -> Any:
        """Convert perturbed `values` (m, ...) to the type of X: an array, a csr matrix, a list of str or a table.

        A table has the columns and dtypes of X. Only float16 columns become float64: they have too few digits to be
        perturbed; so do integers and bools of an X whose columns are not known to be any.
        """
        if self.header is None:
            if self.dtype is not None and not np.isnan(values).any():
                return values.astype(self.dtype)
            return values.tolist() if values.dtype == object else values
        if self._is_plain and values.dtype == self.values.dtype:
            return type(self.header)(values, columns=self.header.columns, copy=False)
        return frames.assembled(self._header, [self._column(k, values[:, k]) for k in range(values.shape[1])])

    @cached_property
    def _is_plain(self) -> bool:
        """Whether the model gets the values as they are, in a DataFrame of pandas."""
        if not frames.is_pandas(self._header) or (self.categories is not None and self.categories.columns):
            return False
        float64 = np.dtype(np.float64)
        dtypes = {float64 if self._becomes_float(k) else column.dtype for k, column in enumerate(self._facts)}
        return dtypes == {self.values.dtype}

    def _becomes_float(self, k: int) -> bool:
        """Whether column k of numbers becomes float64, whatever its dtype is."""
        width = self._facts[k].float_bytes
        return k in self.decimal or 0 < width < 4 or (width == 0 and self.categories is None)

    @cached_property
    def _facts(self) -> list[frames.Facts]:
        return frames.facts(self._header)

    def _column(self, k: int, values: Array) -> Any:
        """Return a column of a table from the numbers that stand for its values."""
        like = self._header[:, k]
        if self.categories is not None and k in self.categories.columns:
            return self._category(self.categories.columns.index(k), like, values, k in self.nulls)
        if frames.holds(like) == "dates":
            return frames.dates_like(like, values)
        if self._becomes_float(k):
            return frames.floats_like(like, values)
        if self.float32[k] and values.dtype != np.float32 and np.nanmax(np.abs(values), initial=0.0) > LARGEST32:
            raise ValueError(overflow_message("float32", self.label(k)))
        return frames.numbers_like(like, values, k in self.nulls)

    def _category(self, k: int, like: Any, values: Array, null: bool) -> Any:
        """Return a column of categories.columns[k] from the numbers that represent its categories."""
        assert self.categories is not None
        if not self.categories.is_coded(k) and frames.holds(like) in ("numbers", "bools"):
            return frames.numbers_like(like, values, null)
        missing = np.isnan(values)
        has_missing = bool(missing.any())
        key = k, has_missing
        if key not in self._choices:
            self._choices[key] = frames.values_like(like, self._known(k) + [None] * has_missing)
        positions = np.searchsorted(self._numbers(k), values)
        return frames.taken(self._choices[key], positions)

    def _known(self, k: int) -> list[Any]:
        assert self.categories is not None
        return [value for value in self.categories.values[k] if value is not None]

    def _numbers(self, k: int) -> Array:
        """Return the numbers that represent the categories of columns[k] other than a missing value, which ascend."""
        assert self.categories is not None
        numbers = self.categories.numbers(k)
        return numbers[~np.isnan(numbers)]

    @cached_property
    def _choices(self) -> dict[tuple[int, bool], Any]:
        """The categories of columns in the user's dtype, without and with a missing value at the end."""
        return {}


def overflow_message(dtype: str, label: str) -> str:
    """Return the message for a column whose perturbed values overflow its dtype."""
    advice = "lower its scale" + (", or pass float64" if "float32" in dtype.lower() else "")
    return f"X must not overflow {dtype} when it is perturbed, got an overflow in column {label}; {advice}"


def joined(parts: Sequence[Any]) -> Any:
    """Concatenate values of rows of one kind."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    from scipy.sparse import vstack

    return vstack(parts, format="csr")


def with_one_coding(parts: list[Rows]) -> list[Rows]:
    """Return tables with the same codes for the same categories, also for those that only some parts have."""
    known = [part.categories for part in parts if part.categories is not None]
    if all(one.values == known[0].values for one in known):
        return parts
    every = Categories.united(known)
    return [
        part
        if part.categories is None
        else replace(part, values=part.categories.recoded(part.values, every), categories=every)
        for part in parts
    ]


# --- tables


@ignoring_float_errors
def as_rows(X: object, name: str = "X", columns: Columns | None = None, table: tuple[str, ...] | None = None) -> Rows:
    """Return the user's X, an array-like or a table of pandas, polars or pyarrow, as `Rows`.

    If it is known what the columns are, rows may have missing values, and the model will get them in their own dtypes.
    """
    check_is_table(X, name)
    frame = as_frame(X, name)
    if frame is None:
        return _as_rows_of_array(X, name, columns)
    check_names(as_names(frame.columns), columns.table if columns is not None else table, name)
    categories = Categories() if columns is None else columns.categories
    _check_width(frame.shape[1], columns, name)
    facts, coded = frames.facts(frame), set(categories.columns)
    plain = [j for j in range(frame.shape[1]) if j not in coded]
    for j in plain:
        _check_numeric(facts[j], frame.columns[j], "number" if columns is None else columns[j].kind, name)
    single = all(column.float_bytes == 4 for column in facts)
    values = np.empty(frame.shape, np.float32 if single else np.float64)
    others = {}
    frames.fill(frame, facts, plain, values)
    for k, j in enumerate(categories.columns):
        values[:, j], others[k] = categories.encoded(k, frame[:, j], name)
    if values.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {values.shape}")
    _check_table(values, name, columns, lambda j: short_repr(frame.columns[j]))
    missing = set(np.flatnonzero(np.isnan(values).any(axis=0)).tolist())  # elsewhere, the neighborhood's may be null
    header = frame[:0].to_native()
    known = None if columns is None else categories.extended(others)
    nulls = frozenset(j for j in range(len(values[0])) if j not in missing or frames.has_nulls(frame[:, j]))
    decimal = () if columns is None else (j for j in plain if facts[j].is_integer and _has_decimals(columns[j]))
    rows = Rows(values, header, known, nulls=nulls, decimal=frozenset(decimal))
    if columns is not None:
        _check_dtypes(rows, frame, facts, columns, name)
    return rows


def _as_rows_of_array(X: object, name: str, columns: Columns | None) -> Rows:
    values = np.ascontiguousarray(as_numbers(X, name, ndim=(2,), missing=columns is not None))
    if columns is None:
        return Rows(values)
    columns.categories.check_array(values, name)
    _check_width(values.shape[1], columns, name)
    _check_table(values, name, columns, str)
    dtype = getattr(X, "dtype", None)
    whole = getattr(dtype, "kind", "f") in "iub" and not any(_has_decimals(column) for column in columns)
    return Rows(values, None, columns.categories, dtype=dtype if whole else None)


def _check_width(d: int, columns: Columns | None, name: str) -> None:
    if columns is not None and len(columns) != d:
        raise ValueError(f"{name} must have the {len(columns)} columns of the neighborhood's data, got {d}")


def _has_decimals(column: Column) -> bool:
    return column.kind == "number" and not column.step


def _check_numeric(column: frames.Facts, label: Any, kind: str, name: str) -> None:
    """Refuse a column of text and the like in place of numbers or dates."""
    held = column.holds
    expected = "dates" if kind == "date" else "numbers"
    if held == expected or (expected == "numbers" and held == "bools") or (kind == "constant" and held == "dates"):
        return
    label, dtype = short_repr(label), short_repr(column.dtype, str)
    if kind == "number":
        advice = "Gaussian, Pool and Binned made by from_data take columns of any kind"
        raise TypeError(f"{name} must hold real numbers, got column {label} of dtype {dtype}; {advice}")
    raise TypeError(
        f"{name} must hold {expected} in column {label}, as the neighborhood's data does, got dtype {dtype}"
    )


def _check_table(values: Array, name: str, columns: Columns | None, label: Callable[[int], str]) -> None:
    """Refuse infinite values, and missing ones if it is not known what the columns are."""
    if columns is None:
        bad = ~np.isfinite(values)
        if bad.any():
            row, j = np.argwhere(bad)[0]
            raise ValueError(
                Message(
                    f"{name} must be finite, got {bad.sum()} NaN or infinite values, the first in column {label(j)}, ",
                    Numbers("row", np.array([row])),
                    "; Gaussian, Pool and Binned made by from_data take missing values",
                )
            )
        return
    infinite = np.isinf(values).any(axis=0)
    if infinite.any():
        j = int(infinite.argmax())
        raise infinite_values(values[:, j], label(j), name)
    if columns.categories.unseen == "raise" and (unseen := columns.is_unseen(values)).any():
        j = int(unseen.any(axis=0).argmax())
        columns.categories.refuse(None, label(j), int(unseen[:, j].argmax()), name)


def _check_dtypes(rows: Rows, frame: Any, facts: list[frames.Facts], columns: Columns, name: str) -> None:
    """Refuse a column whose dtype cannot hold all categories or integers of the data."""
    for j, column in enumerate(columns):
        is_whole = facts[j].is_integer and j not in rows.decimal and np.isfinite(column.low)
        if is_whole and not frames.can_hold(frame[:, j], [int(column.low), int(column.high)]):
            got, label = short_repr(facts[j].dtype, str), short_repr(frame.columns[j])
            raise ValueError(
                f"{name} must have a dtype for {column.text(column.low)} to {column.text(column.high)} in column"
                f" {label}, got {got}; give it the dtype of the neighborhood's data"
            )
    for k, j in enumerate(columns.categories.columns):
        if not columns.categories.is_coded(k) and facts[j].holds in ("numbers", "bools"):
            continue
        known = [value for value in columns.categories.values[k] if value is not None]
        if not frames.can_hold(frame[:, j], known):
            got, label = short_repr(facts[j].dtype, str), short_repr(frame.columns[j])
            raise ValueError(
                f"{name} must have a dtype for all known categories in column {label}, got {got};"
                " give it the dtype of the neighborhood's data"
            )


def names_of(values: Any) -> tuple[str, ...] | None:
    """Return the names in the index of a pandas Series; None for other values."""
    return as_names(values.index) if hasattr(values, "to_frame") and hasattr(values, "index") else None


def check_names(names: tuple[str, ...] | None, expected: tuple[str, ...] | None, name: str) -> None:
    """Refuse a table whose columns are not those of `expected`, in that order."""
    if names is None or expected is None or names == expected:
        return
    missing, extra = ([name for name in a if name not in b] for a, b in ((expected, names), (names, expected)))
    got = f"none of {short_repr(missing)}" if missing else short_repr(extra) if extra else "another order"
    raise ValueError(
        f"{name} must have the columns that the neighborhood was made of, {short_repr(list(expected))}, got {got}"
    )


# --- other kinds of rows


@ignoring_float_errors
def as_arrays(X: object, name: str = "X") -> Rows:
    """Return an array of numbers with 2 or more dimensions as `Rows`, of its own dtype."""
    if as_frame(X, name) is not None:
        raise TypeError(f"{name} must be an array, got a DataFrame; pass {name}.to_numpy()")
    array = as_dense(X, name)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {short_repr(array.dtype, str)}")
    check_unmasked(X, name)
    if array.ndim < 2:
        raise ValueError(f"{name} must have 2 dimensions or more, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    check_finite(array, name)
    return Rows(np.require(array, array.dtype.newbyteorder("="), ["C", "A"]))


@ignoring_float_errors
def as_sparse_rows(X: Any, name: str = "X") -> Rows:
    """Return a sparse matrix or array of scipy as `Rows`: csr, each entry once and in order, none of them 0."""
    if not is_sparse(X):
        raise TypeError(f"{name} must be a scipy sparse matrix, got {type(X).__name__}; pass csr_array({name})")
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be 2-D with real numbers, got shape {X.shape} and dtype {X.dtype}")
    if 0 in X.shape:
        raise ValueError(f"{name} must not be empty, got shape {X.shape}")
    matrix = X.tocsr()
    try:
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(f"{name} must be a valid sparse matrix: {short_repr(error, str)}") from None
    if not matrix.has_canonical_format or not matrix.data.all():
        matrix = matrix.copy() if matrix is X else matrix
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    if matrix.dtype != np.float32:
        matrix = matrix.astype(np.float64, copy=False)
    check_finite(matrix.data, name, lambda bad: _place(matrix, int(bad.argmax())))
    return Rows(matrix)


def as_texts(X: Any, name: str = "X") -> Rows:
    """Return a list, array or Series of strings as `Rows`."""
    if isinstance(X, str):
        raise TypeError(f"{name} must be a list of str, got a single str; pass [{name}]")
    if not isinstance(X, list | tuple) and len(getattr(X, "shape", ())) != 1:
        raise TypeError(f"{name} must be a list of str, got {type(X).__name__}")
    texts = list(X) if isinstance(X, list | tuple) else X.tolist()
    if not texts:
        raise ValueError(f"{name} must not be empty")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"{name} must hold only str, got {short_repr(text)} at position {position}")
    values = np.empty(len(texts), object)
    values[:] = texts
    return Rows(values)


def as_any_rows(X: Any, name: str = "X") -> Rows:
    """Return a table, an array, a sparse matrix or texts as `Rows`."""
    if is_sparse(X):
        return as_sparse_rows(X, name)
    if hasattr(X, "columns") or hasattr(X, "schema"):
        return as_rows(X, name)
    array = X if isinstance(X, np.ndarray) else as_array(X, name)
    if array.ndim == 1 and (array.dtype.kind == "U" or array.dtype == object):
        return as_texts(X, name)
    return as_rows(array, name) if array.ndim <= 2 else as_arrays(array, name)


@ignoring_float_errors
def as_dtype(values: Any, dtype: Any, requirement: str) -> Any:
    """Return finite values, an array or a csr matrix, in a floating dtype; refuse an overflow."""
    cast = values.astype(dtype, copy=False)
    if cast is not values and not np.isfinite(getattr(cast, "data", cast) if is_sparse(cast) else cast).all():
        raise ValueError(f"{requirement} that fit into {dtype}, got an overflow")
    return cast


def _place(matrix: Any, entry: int) -> tuple[int, int]:
    """Return row and column of a csr matrix's entry."""
    return int(np.searchsorted(matrix.indptr, entry, side="right")) - 1, int(matrix.indices[entry])
