"""The border: what users pass in is cast and checked here, once, with one line that says what was wrong."""

import math
import numbers
import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


def as_count(value: object, name: str, minimum: int = 1) -> int:
    """Return `value` as an int of at least `minimum`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    return int(value)


def as_nonnegative(value: object, name: str) -> float:
    """Return `value` as a finite float of at least 0."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be finite and at least 0, got {value}")
    return number


def as_seed(rng: object) -> np.uint64:
    """Draw the 64-bit key of all samples from `rng`: None, an int, a SeedSequence or a numpy Generator (SPEC 7)."""
    try:
        generator = np.random.default_rng(rng)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(
            f"rng must be None, an integer >= 0, a numpy SeedSequence or a numpy Generator, got {rng!r}"
        ) from None
    return generator.integers(2**64, dtype=np.uint64)


def as_jobs(n_jobs: int | None) -> int:
    """Return the number of threads: None is 1, -1 is every core this process may use."""
    if n_jobs is None:
        return 1
    if n_jobs == -1:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(n_jobs, numbers.Integral) and n_jobs < 1:
        raise ValueError(f"n_jobs must be None, -1 or at least 1, got {n_jobs}")
    return as_count(n_jobs, "n_jobs")


def as_array(values: object, name: str) -> Array:
    """Return `values` as whatever array NumPy makes of it."""
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{name} must be an array, got a {type(values).__name__} whose rows differ in length"
        ) from None


def as_numbers(values: object, name: str, *, ndim: tuple[int, ...]) -> Array:
    """Return `values` as a finite float32 or float64 array (float32 stays, all else becomes float64)."""
    if "scipy.sparse" in sys.modules and sys.modules["scipy.sparse"].issparse(values):
        raise TypeError(f"{name} must be a dense array, got a sparse matrix; pass {name}.toarray()")
    if np.ma.is_masked(values):
        raise ValueError(f"{name} must not have masked values; fill them, as in {name}.filled(...)")
    array = as_array(values, name)
    if array.dtype != np.float32:
        try:
            if array.dtype.kind not in "fiubO" or (
                array.dtype == object and any(isinstance(v, str) for v in array.flat)
            ):
                raise TypeError
            with np.errstate(over="ignore"):  # of a long double: infinite, which is said below
                array = array.astype(np.float64, copy=False)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}") from None
    if array.ndim not in ndim:
        expected = " or ".join(f"{n}-D" for n in ndim)
        raise ValueError(f"{name} must be {expected}, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        count = array.size - np.count_nonzero(finite)
        raise ValueError(f"{name} must be finite, got {count} NaN or infinite values, the first at {place}")
    return array


@dataclass(frozen=True)
class Rows:
    """The user's rows as numbers, and how to make more of the same kind."""

    values: Array  # (n, d) float32 or float64, C-contiguous
    frame: Any = None  # the DataFrame they came from

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Column names, where X has them."""
        return None if self.frame is None else tuple(str(name) for name in self.frame.columns)

    def like(self, values: Array) -> Any:
        """Wrap perturbed `values` (m, d) as what X is: an ndarray, or a DataFrame with its columns and float dtypes.

        float16 columns become float64, as ints do: they have too few digits to be perturbed.
        """
        if self.frame is None:
            return values
        frame = type(self.frame)(values, columns=self.frame.columns, copy=False)
        dtypes = self.frame.dtypes
        floats = {name: dtype for name, dtype in dtypes.items() if dtype.kind == "f" and dtype.itemsize >= 4}
        narrow = {name: dtype for name, dtype in floats.items() if dtype != values.dtype}
        return frame.astype(narrow) if narrow else frame


def as_rows(X: object, name: str = "X") -> Rows:
    """Return the user's X, an array-like or a pandas DataFrame, as `Rows`."""
    pandas = sys.modules.get("pandas")  # whoever has a DataFrame has imported it
    if pandas is None or not isinstance(X, pandas.DataFrame):
        return Rows(np.ascontiguousarray(as_numbers(X, name, ndim=(2,))))
    if not X.columns.is_unique:
        raise ValueError(f"{name} must have unique column names, got {list(X.columns[X.columns.duplicated()])} twice")
    for column, dtype in X.dtypes.items():
        if dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers, got column {column!r} of dtype {dtype}")
    dtype = np.float32 if all(dtype == np.float32 for dtype in X.dtypes) else np.float64
    values = X.to_numpy(dtype=dtype, na_value=np.nan)
    return Rows(np.ascontiguousarray(as_numbers(values, name, ndim=(2,))), X.iloc[:0])


def as_labels(labels: ArrayLike, name: str, length: int, of: str) -> Array:
    """Return `labels` as a 1-D array of the given length."""
    array = as_array(labels, name)
    if array.shape != (length,):
        raise ValueError(f"{name} must have one label per {of}, shape ({length},), got shape {array.shape}")
    if (array.dtype.kind == "f" and not np.isfinite(array).all()) or np.any(array != array):
        raise ValueError(f"{name} must not have NaN or infinite labels")
    if array.dtype == object:
        try:
            np.sort(array)
        except TypeError:
            raise TypeError(f"{name} must have labels that can be sorted, got {array[:3].tolist()} ...") from None
    return array
