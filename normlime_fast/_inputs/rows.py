"""The user's rows of any kind, and how to make more of the same kind."""

import sys
from collections.abc import Sequence
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
    check_unmasked,
    ignoring_float_errors,
    is_sparse,
    short_repr,
)
from normlime_fast._inputs.categories import Categories, python_values


@dataclass(frozen=True)
class Rows:
    """The user's rows, in the form that samplers read and write.

    `values` is a table (n, d) of float32 or float64, C-contiguous; or an array (n, ...) of numbers of any dtype, such
    as images; or a csr matrix or array, whichever the user has; or texts, (n,) of dtype object.
    """

    values: Any
    frame: Any = None  # the DataFrame that a table came from, without its rows
    categories: Categories | None = None  # of a table
    usable: Array | None = None  # False for copies of other rows, in place of rows that cannot be used; None: all True
    fault: str | None = None  # error of the first row that cannot be used

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Column names, if X has them."""
        return None if self.frame is None else as_names(self.frame.columns)

    @cached_property
    def float32(self) -> Array:
        """Which columns of a table the model gets as float32, (d,) bool, even if `values` are float64."""
        if self.frame is None:
            return np.full(self.values.shape[1], self.values.dtype == np.float32)
        return np.array([dtype.kind == "f" and _width(dtype) == 4 for dtype in self._dtypes])

    def label(self, k: int) -> str:
        """Return the name of a column of a table, for messages."""
        return str(k) if self.frame is None else short_repr(self.frame.columns[k])

    def take(self, selection: slice | Array) -> "Rows":
        """Return some of the rows."""
        usable = None if self.usable is None else self.usable[selection]
        return replace(self, values=self.values[selection], usable=usable)

    def identity(self) -> dict[str, Any]:
        """Return named properties that distinguish these rows from others."""
        frame = self.frame
        return {
            "X of shape": list(self.values.shape),
            "X of dtype": str(self.values.dtype),
            "columns": None if frame is None else [f"{name} {dtype}" for name, dtype in frame.dtypes.items()],
            "values of X": self.values if self.usable is None else [self.values, self.usable],
            "categories of X": None if self.categories is None else [*map(list, self.categories.values)],
        }

    @ignoring_float_errors
    def like(self, values: Any) -> Any:
        """Convert perturbed `values` (m, ...) to the type of X: an array, a csr matrix, a list of str or a DataFrame.

        A DataFrame has the columns and float dtypes of X, and X's categories in X's dtype. float16 columns become
        float64, as ints do: they have too few digits to be perturbed.
        """
        if self.frame is None:
            return values.tolist() if values.dtype == object else values
        floats = {}
        for k, dtype in enumerate(self._dtypes):
            if dtype.kind == "f" and dtype != values.dtype and _width(dtype) >= 4:
                floats[self.frame.columns[k]] = dtype
                if _width(dtype) == 4 and np.abs(values[:, k]).max() > np.finfo(np.float32).max:
                    raise ValueError(overflow_message(str(dtype), self.label(k)))
        if not self._choices:
            frame = type(self.frame)(values, columns=self.frame.columns, copy=False)
        else:
            frame = type(self.frame)({k: self._column(k, values[:, k]) for k in range(values.shape[1])}, copy=False)
            frame.columns = self.frame.columns
        return frame.astype(floats) if floats else frame

    def _column(self, k: int, values: Array) -> Any:
        """Return a column of a DataFrame; its categories, if the values represent categories."""
        if k not in self._choices:
            return values
        choices, sorted_numbers = self._choices[k]
        if isinstance(choices, np.dtype):
            return values.astype(choices)
        positions = values.astype(np.intp) if sorted_numbers is None else np.searchsorted(sorted_numbers, values)
        column, dtype = choices.take(positions), self._dtypes[k]
        plain = isinstance(dtype, np.dtype)  # pandas would infer another dtype from its objects
        return sys.modules["pandas"].Series(column, dtype=dtype, copy=False) if plain else column

    @cached_property
    def _dtypes(self) -> list[Any]:
        return list(self.frame.dtypes)

    @cached_property
    def _choices(self) -> dict[int, tuple[Any, Array | None]]:
        """The `Categories.choices` of a DataFrame's columns, by position."""
        if self.frame is None or self.categories is None:
            return {}
        return {
            column: self.categories.choices(k, self._dtypes[column]) for k, column in enumerate(self.categories.columns)
        }


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
def as_rows(X: object, name: str = "X", categories: Categories | None = None) -> Rows:
    """Return the user's X, an array-like or a DataFrame (pandas, Arrow or Polars), as `Rows`."""
    frame = as_frame(X, name)
    if frame is None:
        values = np.ascontiguousarray(as_numbers(X, name, ndim=(2,)))
        if categories is not None:
            categories.check_array(values, name)
        return Rows(values, None, categories)
    expected = categories or Categories()
    check_names(as_names(frame.columns), expected.table, name)
    mask = expected.mask(frame.shape[1], name)
    numeric = frame.loc[:, ~mask] if mask.any() else frame
    for column, dtype in numeric.dtypes.items():
        if dtype.kind not in "fiub":
            raise TypeError(
                f"{name} must hold real numbers, got column {short_repr(column)} of dtype {short_repr(dtype, str)}"
            )
    dtype = np.float32 if all(dtype == np.float32 for dtype in frame.dtypes) else np.float64
    values = numeric.to_numpy(dtype=dtype, na_value=np.nan)
    if mask.any():
        continuous, values = values, np.empty(frame.shape, dtype)
        values[:, ~mask] = continuous
        others = {}
        for k, column in enumerate(expected.columns):
            values[:, column], others[k] = expected.encoded(k, frame.iloc[:, column], name)
        categories = expected = expected.extended(others)
    rows = Rows(np.ascontiguousarray(as_numbers(values, name, ndim=(2,))), frame.iloc[:0], categories)
    for k, (column, (choices, _)) in enumerate(rows._choices.items()):
        if not isinstance(choices, np.dtype) and python_values(choices) != list(expected.values[k]):
            got = short_repr(frame.dtypes.iloc[column], str)
            label = short_repr(frame.columns[column])
            raise ValueError(
                f"{name} must have a dtype for all known categories in column {label}, got {got};"
                " give it the dtype of the neighborhood's data"
            )
    return rows


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


def _width(dtype: Any) -> int:
    """Return the bytes of a number, also for the dtype of a sparse column."""
    return int(getattr(dtype, "subtype", dtype).itemsize)


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
