"""The user's rows, whatever they are made of, and how to make more of the same kind."""

import math
import numbers
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from normlime_fast.checks import Array, as_array, as_numbers, quiet, shown


@dataclass(frozen=True)
class Rows:
    """The user's rows as what samplers read and fill.

    values is a table (n, d) of float32 or float64, C-contiguous; or an array (n, ...) of numbers of any dtype, such as
    images; or a csr matrix or array, as the user has it; or texts, (n,) of dtype object.
    """

    values: Any
    frame: Any = None  # the DataFrame that a table came from, without its rows
    categories: "Categories | None" = None  # of a table

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.values.shape[0])

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Column names, where X has them."""
        return None if self.frame is None else _names(self.frame.columns)

    def take(self, here: slice | Array) -> "Rows":
        """Return some of the rows."""
        return replace(self, values=self.values[here])

    def identity(self) -> dict[str, Any]:
        """What tells these rows from others, by name."""
        frame = self.frame
        return {
            "X of shape": list(self.values.shape),
            "X of dtype": str(self.values.dtype),
            "columns": None if frame is None else [f"{name} {dtype}" for name, dtype in frame.dtypes.items()],
            "values of X": self.values,
        }

    @quiet
    def like(self, values: Any) -> Any:
        """Wrap perturbed `values` (m, ...) as what X is: an array, a csr matrix, a list of str, or a DataFrame.

        A DataFrame has the columns and float dtypes of X; its categories are X's own, of X's dtype. float16 columns
        become float64, as ints do: they have too few digits to be perturbed.
        """
        if self.frame is None:
            return values.tolist() if values.dtype == object else values
        floats = {}
        for k, dtype in enumerate(self._dtypes):
            if dtype.kind == "f" and dtype != values.dtype and _width(dtype) >= 4:
                floats[self.frame.columns[k]] = dtype
                if _width(dtype) == 4 and np.abs(values[:, k]).max() > np.finfo(np.float32).max:
                    got = f"got an overflow in column {k}"
                    raise ValueError(f"X and scale must leave room to perturb in {dtype}, {got}")
        if not self._choices:
            frame = type(self.frame)(values, columns=self.frame.columns, copy=False)
        else:
            frame = type(self.frame)({k: self._column(k, values[:, k]) for k in range(values.shape[1])}, copy=False)
            frame.columns = self.frame.columns
        return frame.astype(floats) if floats else frame

    def _column(self, k: int, values: Array) -> Any:
        """Return a column of a DataFrame: its categories, where these values stand for them."""
        if k not in self._choices:
            return values
        choices, sorted_numbers = self._choices[k]
        if isinstance(choices, np.dtype):
            return values.astype(choices)
        where = values.astype(np.intp) if sorted_numbers is None else np.searchsorted(sorted_numbers, values)
        column, dtype = choices.take(where), self._dtypes[k]
        plain = isinstance(dtype, np.dtype)  # in whose objects pandas would look for another dtype
        return sys.modules["pandas"].Series(column, dtype=dtype, copy=False) if plain else column

    @cached_property
    def _dtypes(self) -> list[Any]:
        return list(self.frame.dtypes)

    @cached_property
    def _choices(self) -> dict[int, tuple[Any, Array | None]]:
        """The categories of a DataFrame's columns, as arrays of their dtypes, and the numbers that rows hold for them.

        Instead of an array a dtype, if it has the numbers that rows hold; no numbers, if rows hold codes.
        """
        if self.frame is None or self.categories is None:
            return {}
        return {
            column: _choices(self.categories, k, self._dtypes[column])
            for k, column in enumerate(self.categories.columns)
        }


def joined(parts: Sequence[Any]) -> Any:
    """Put values of rows of one kind together."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    from scipy.sparse import vstack

    return vstack(parts, format="csr")


# --- tables


@quiet
def as_rows(X: object, name: str = "X", categories: "Categories | None" = None) -> Rows:
    """Return the user's X, an array-like or a DataFrame (pandas, or what becomes one: Arrow, Polars), as `Rows`."""
    frame = _as_frame(X, name)
    if frame is None:
        values = np.ascontiguousarray(as_numbers(X, name, ndim=(2,)))
        if categories is not None:
            categories._check_array(values, name)
        return Rows(values, None, categories)
    known = categories or Categories()
    check_names(_names(frame.columns), known.table, name)
    mask = known.mask(frame.shape[1], name)
    numeric = frame.loc[:, ~mask] if mask.any() else frame
    for column, dtype in numeric.dtypes.items():
        if dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers, got column {shown(column)} of dtype {shown(dtype, str)}")
    dtype = np.float32 if all(dtype == np.float32 for dtype in frame.dtypes) else np.float64
    values = numeric.to_numpy(dtype=dtype, na_value=np.nan)
    if mask.any():
        continuous, values = values, np.empty(frame.shape, dtype)
        values[:, ~mask] = continuous
        for k, column in enumerate(known.columns):
            values[:, column] = known._encoded(k, frame.iloc[:, column], name)
    rows = Rows(np.ascontiguousarray(as_numbers(values, name, ndim=(2,))), frame.iloc[:0], categories)
    for k, (column, (choices, _)) in enumerate(rows._choices.items()):
        if not isinstance(choices, np.dtype) and _listed(choices) != list(known.values[k]):
            got = shown(frame.dtypes.iloc[column], str)
            label = shown(frame.columns[column])
            raise ValueError(
                f"{name} must have a dtype for all known categories in column {label}, got {got};"
                " give it the dtype of the neighborhood's data"
            )
    return rows


def _as_frame(X: Any, name: str) -> Any:
    """Return X as a pandas DataFrame, or None if it is none."""
    if hasattr(X, "schema") and hasattr(X, "to_pandas"):
        X = X.to_pandas()
    pandas = sys.modules.get("pandas")  # whoever has a DataFrame has imported it
    if pandas is None or not isinstance(X, pandas.DataFrame):
        return None
    if not X.columns.is_unique:
        twice = shown(list(X.columns[X.columns.duplicated()]))
        raise ValueError(f"{name} must have unique column names, got {twice} twice")
    return X


def _names(index: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in index)


def names_of(values: Any) -> tuple[str, ...] | None:
    """Return the names of columns that a pandas Series has numbers for."""
    return _names(values.index) if hasattr(values, "to_frame") and hasattr(values, "index") else None


def check_names(names: tuple[str, ...] | None, known: tuple[str, ...] | None, name: str) -> None:
    """Refuse a table with other columns than those that are known, or in another order."""
    if names is None or known is None or names == known:
        return
    missing, more = ([each for each in a if each not in b] for a, b in ((known, names), (names, known)))
    got = f"none of {shown(missing)}" if missing else shown(more) if more else "another order"
    raise ValueError(f"{name} must have the columns that the neighborhood was made of, {shown(list(known))}, got {got}")


def _width(dtype: Any) -> int:
    """Bytes of a number; of a sparse column's, whose dtype does not tell."""
    return int(getattr(dtype, "subtype", dtype).itemsize)


# --- categories of columns of tables


@dataclass(frozen=True, eq=False)
class Categories:
    """The categories of some columns of a table.

    Where all of a column's are numbers, rows hold these; otherwise they hold codes, which count the sorted categories.
    """

    columns: tuple[int, ...] = ()  # ascending
    values: tuple[tuple[Any, ...], ...] = ()  # sorted categories of each
    frequencies: tuple[Array, ...] = ()  # their shares of the data
    table: tuple[str, ...] | None = None  # names of all columns, where they are known

    @classmethod
    @quiet
    def from_data(cls, X: Any, categorical: Any, name: str = "X") -> "Categories":
        """Find the categories of the columns of X with these names or positions."""
        frame = _as_frame(X, name)
        table = as_numbers(X, name, ndim=(2,)) if frame is None else frame
        columns = _positions(categorical, table.shape[1], None if frame is None else frame.columns, name)
        if not len(table):
            raise ValueError(f"{name} must not be empty, got shape {table.shape}")
        values, frequencies = [], []
        for column in columns:
            if frame is None:
                unique, counts = np.unique(table[:, column], return_counts=True)
                found = unique.tolist()
            else:
                found, counts = _found(frame.iloc[:, column], name)
            values.append(tuple(found))
            frequencies.append(counts / len(table))
        return cls(columns, tuple(values), tuple(frequencies), None if frame is None else _names(frame.columns))

    def mask(self, d: int, name: str = "X") -> Array:
        """Return which of d columns have categories."""
        if self.columns and self.columns[-1] >= d:
            last = self.columns[-1]
            raise ValueError(f"{name} must have more than {last} columns, as column {last} has categories, got {d}")
        mask = np.zeros(d, bool)
        mask[list(self.columns)] = True
        return mask

    def is_coded(self, k: int) -> bool:
        """Whether rows hold codes for the categories of columns[k]."""
        return self._numbers[k] is None

    def numbers(self, k: int) -> Array:
        """What rows hold for the categories of columns[k]."""
        known = self._numbers[k]
        return np.arange(float(len(self.values[k]))) if known is None else known

    def names(self, k: int) -> tuple[str, ...]:
        """Return the categories of columns[k] as people read them."""
        whole = (int(v) if isinstance(v, float) and v.is_integer() else v for v in self.values[k])
        return tuple(shown(v, str) for v in whole)

    @cached_property
    def _numbers(self) -> tuple[Array | None, ...]:
        """The categories that are numbers, None for those that are not."""
        return tuple(
            np.array(values, np.float64) if all(_is_number(value) for value in values) else None
            for values in self.values
        )

    def _encoded(self, k: int, column: Any, name: str) -> Array:
        """Return what rows hold for a DataFrame's column, columns[k]."""
        codes, uniques = _factorized(column, name)
        positions = {value: position for position, value in enumerate(self.values[k])}
        where = np.array([*(positions.get(value, -1) for value in uniques), -1])[codes]  # code -1: a missing value
        if (where < 0).any():
            row = int((where < 0).argmax())
            self._refuse(_listed([column.iloc[row]])[0], column.name, row, name)
        encoded: Array = self.numbers(k)[where]
        return encoded

    def _check_array(self, values: Array, name: str) -> None:
        """Refuse an array with other categories."""
        self.mask(values.shape[1], name)
        for k, column in enumerate(self.columns):
            if self.is_coded(k):
                some = shown(list(self.values[k][:3]))
                raise TypeError(f"{name} must be a DataFrame, as column {column} has the categories {some} ...")
            unknown = ~np.isin(values[:, column], self.numbers(k))
            if unknown.any():
                row = int(unknown.argmax())
                self._refuse(values[row, column].item(), column, row, name)

    @staticmethod
    def _refuse(value: object, column: object, row: int, name: str) -> None:
        raise ValueError(
            f"{name} must have known categories in column {shown(column)}, got {shown(value)} in row {row};"
            " leave such rows out, or make the neighborhood from data that has them"
        )


def _is_number(value: object) -> bool:
    """Whether a category is a number that rows can hold."""
    try:
        return isinstance(value, numbers.Real) and float(value) == value
    except OverflowError:
        return False


def _positions(categorical: Any, d: int, names: Any, name: str) -> tuple[int, ...]:
    """Return the positions of the columns that are named, or given by position."""
    if isinstance(categorical, str | bytes | dict) or not hasattr(categorical, "__iter__"):
        raise TypeError(f"categorical must be a list of columns, got {shown(categorical)}")
    columns = []
    for entry in categorical:
        if names is not None and _is_in(entry, names):
            columns.append(int(names.get_loc(entry)))
        elif isinstance(entry, numbers.Integral) and not isinstance(entry, bool | np.bool_):
            if not 0 <= int(entry) < d:
                raise ValueError(f"categorical must hold positions from 0 to {d - 1}, got {shown(entry)}")
            columns.append(int(entry))
        else:
            known = "positions of columns" if names is None else "names or positions of columns"
            raise ValueError(f"categorical must hold {known} of {name}, got {shown(entry)}")
        if columns[-1] in columns[:-1]:
            raise ValueError(f"categorical must have every column once, got {shown(entry)} twice")
    return tuple(sorted(columns))


def _is_in(entry: Any, names: Any) -> bool:
    try:
        return entry in names
    except TypeError:  # not hashable
        return False


def _found(column: Any, name: str) -> tuple[list[Any], Array]:
    """Return the sorted categories of a DataFrame's column, and how many rows have each."""
    codes, uniques = _factorized(column, name)
    label = shown(column.name)
    if (codes < 0).any():
        raise ValueError(f"{name} must not miss categories, got none in column {label}, row {(codes < 0).argmax()}")
    if any(isinstance(value, float) and not math.isfinite(value) for value in uniques):
        raise ValueError(f"{name} must be finite, got infinite values in column {label}")
    try:
        order = sorted(range(len(uniques)), key=uniques.__getitem__)
    except TypeError:
        some = shown(uniques[:3])
        raise TypeError(f"{name} must have categories that can be sorted in column {label}, got {some} ...") from None
    return [uniques[position] for position in order], np.bincount(codes)[order]


def _factorized(column: Any, name: str) -> tuple[Array, list[Any]]:
    """Return the distinct values of a DataFrame's column, and which of them each row has; -1 for none."""
    pandas = sys.modules["pandas"]
    try:
        codes, uniques = pandas.factorize(column)
    except TypeError:  # not hashable
        label = shown(column.name)
        raise TypeError(f"{name} must have categories that can be sorted in column {label}") from None
    return codes, _listed(uniques)


def _listed(values: Any) -> list[Any]:
    """The entries of an array as Python's own, where they are numbers."""
    return [value.item() if isinstance(value, np.number | np.bool_) else value for value in values]


def _choices(categories: Categories, k: int, dtype: Any) -> tuple[Any, Array | None]:
    """Return the categories of columns[k] for a DataFrame's column of this dtype, as `Rows._choices` has them."""
    pandas = sys.modules["pandas"]
    values = list(categories.values[k])
    known = None if categories.is_coded(k) else categories.numbers(k)
    if isinstance(dtype, pandas.CategoricalDtype):
        positions = {value: position for position, value in enumerate(_listed(dtype.categories))}
        codes = [positions.get(value, -1) for value in values]
        return pandas.Categorical.from_codes(codes, dtype=dtype), known
    try:
        choices = pandas.Series(values, dtype=dtype).array
    except (TypeError, ValueError, OverflowError):  # it cannot hold them, as will be said
        return [], known
    plain = isinstance(dtype, np.dtype) and dtype.kind in "fiub" and known is not None
    return (dtype if plain and _listed(choices) == values else choices), known


# --- other kinds of rows


@quiet
def as_arrays(X: object, name: str = "X") -> Rows:
    """Return an array of numbers with 2 or more dimensions as `Rows`, of its own dtype."""
    if _as_frame(X, name) is not None:
        raise TypeError(f"{name} must be an array, got a DataFrame; pass {name}.to_numpy()")
    if _is_sparse(X):
        raise TypeError(f"{name} must be a dense array, got a sparse matrix; pass {name}.toarray()")
    array = as_array(X, name)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {shown(array.dtype, str)}")
    if np.ma.is_masked(X):
        raise ValueError(f"{name} must not have masked values; fill them, as in {name}.filled(...)")
    if array.ndim < 2:
        raise ValueError(f"{name} must have 2 dimensions or more, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    _check_finite(array, name, lambda bad: np.argwhere(bad)[0])
    return Rows(np.require(array, array.dtype.newbyteorder("="), ["C", "A"]))


@quiet
def as_sparse_rows(X: Any, name: str = "X") -> Rows:
    """Return a sparse matrix or array of scipy as `Rows`: csr, each entry once and in order, none of them 0."""
    if not _is_sparse(X):
        raise TypeError(f"{name} must be a scipy sparse matrix, got {type(X).__name__}; pass csr_array({name})")
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be 2-D with real numbers, got shape {X.shape} and dtype {X.dtype}")
    if 0 in X.shape:
        raise ValueError(f"{name} must not be empty, got shape {X.shape}")
    matrix = X.tocsr()
    try:
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(f"{name} must be a valid sparse matrix: {shown(error, str)}") from None
    if not matrix.has_canonical_format or not matrix.data.all():
        matrix = matrix.copy() if matrix is X else matrix
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    if matrix.dtype != np.float32:
        matrix = matrix.astype(np.float64, copy=False)
    entry = lambda bad: _place(matrix, int(bad.argmax()))  # noqa: E731
    _check_finite(matrix.data, name, entry)
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
            raise TypeError(f"{name} must hold str alone, got {shown(text)} at position {position}")
    values = np.empty(len(texts), object)
    values[:] = texts
    return Rows(values)


def as_any_rows(X: Any, name: str = "X") -> Rows:
    """Return a table, an array, a sparse matrix or texts as `Rows`."""
    if _is_sparse(X):
        return as_sparse_rows(X, name)
    if hasattr(X, "columns") or hasattr(X, "schema"):
        return as_rows(X, name)
    array = X if isinstance(X, np.ndarray) else as_array(X, name)
    if array.ndim == 1 and (array.dtype.kind == "U" or array.dtype == object):
        return as_texts(X, name)
    return as_rows(array, name) if array.ndim <= 2 else as_arrays(array, name)


def as_dtype(values: Any, dtype: Any, what: str) -> Any:
    """Return finite values, an array or a csr matrix, in a floating dtype that can hold them."""
    cast = values.astype(dtype, copy=False)
    if cast is not values and not np.isfinite(getattr(cast, "data", cast) if _is_sparse(cast) else cast).all():
        raise ValueError(f"{what} that {dtype} can hold, got an overflow")
    return cast


def _is_sparse(X: object) -> bool:
    return "scipy.sparse" in sys.modules and bool(sys.modules["scipy.sparse"].issparse(X))


def _place(matrix: Any, entry: int) -> tuple[int, int]:
    """Row and column of a csr matrix's entry."""
    return int(np.searchsorted(matrix.indptr, entry, side="right")) - 1, int(matrix.indices[entry])


def _check_finite(values: Array, name: str, place: Callable[[Array], Any]) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(i) for i in place(bad))
        count = np.count_nonzero(bad)
        raise ValueError(f"{name} must be finite, got {count} NaN or infinite values, the first at {first}")
