"""Casts and checks of users' arguments: done once, with errors of one line."""

import math
import numbers
import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normlime_fast._messages import Message, Term

Array = NDArray[Any]

_COMPARED = 10_000  # names that an unknown one is compared with; all of 2^24 hashed words would take a minute

ignoring_float_errors = np.errstate(all="ignore")  # for public functions, in case the caller has set NumPy to raise


@ignoring_float_errors
def short_repr(value: object, as_text: Callable[[object], str] = repr) -> str:
    """Return `value` as one line of at most 80 characters, for messages."""
    try:
        text = printable(" ".join(as_text(value).split()))
    except Exception:  # from a user's __repr__, or an int with too many digits
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def printable(text: str) -> str:
    """Return a text with escapes for characters that are invisible or would control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def error_text(error: BaseException | None) -> str:
    """Return the class and message of an error, for messages."""
    return f"{type(error).__name__}: {short_repr(error, str)}"


def outer_level() -> int:
    """Return the `stacklevel` with which the calling function warns the first caller outside of this package."""
    frame, level = sys._getframe(1), 1
    inner = "normlime_fast", "numpy", "contextlib"  # the latter two run functions with `ignoring_float_errors`
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in inner:
        frame, level = frame.f_back, level + 1
    return level


def import_optional(package: str, feature: str, install: str) -> Any:
    """Import an optional package; the error for a missing one names the feature and what to install."""
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(f"{feature} needs {package}; install it with: pip install {install}") from error


def as_count(value: object, name: str, minimum: int = 1) -> int:
    """Return `value` as an int of at least `minimum`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(Message(Term(name), f" must be an integer, got {short_repr(value)}"))
    if value < minimum:
        raise ValueError(Message(Term(name), f" must be at least {minimum}, got {short_repr(value)}"))
    return int(value)


def as_min_count(value: object) -> int | None:
    """Return `min_count` as an int of at least 1, or None."""
    return None if value is None else as_count(value, "min_count")


def as_flag(value: object, name: str) -> bool:
    """Return `value` as a bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {short_repr(value)}")
    return bool(value)


def as_nonnegative(value: object, name: str) -> float:
    """Return `value` as a finite float of at least 0."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(Message(Term(name), f" must be a number, got {short_repr(value)}"))
    try:
        number = float(value)
    except OverflowError:  # from an int or a Fraction
        number = math.inf
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(Message(Term(name), f" must be finite and at least 0, got {short_repr(value)}"))
    return number


def as_probability(value: float, name: str) -> float:
    """Return `value` as a float between 0 and 1."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(Message(Term(name), f" must be a number, got {short_repr(value)}"))
    if not 0 < value < 1:
        raise ValueError(f"{name} must be between 0 and 1, got {short_repr(value, str)}")
    return float(value)


def as_positive(value: object, name: str) -> float:
    """Return `value` as a finite float larger than 0."""
    number = as_nonnegative(value, name)
    if number == 0.0:
        raise ValueError(Message(Term(name), " must be larger than 0, got 0.0"))
    return number


def as_seed(rng: object) -> np.uint64:
    """Draw the 64-bit key of all samples from `rng`: None, an int, a SeedSequence or a numpy Generator (SPEC 7)."""
    accepted = numbers.Integral | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator
    if not (rng is None or isinstance(rng, accepted)) or (isinstance(rng, numbers.Integral) and rng < 0):
        # NumPy would iterate over anything else, endlessly over an np.matrix
        raise TypeError(
            f"rng must be None, an integer >= 0, a numpy SeedSequence or a numpy Generator, got {short_repr(rng)}"
        )
    return np.random.default_rng(rng).integers(2**64, dtype=np.uint64)  # type: ignore[arg-type]


def as_jobs(n_jobs: int | None) -> int:
    """Return the number of threads: 1 for None, every core available to this process for -1."""
    if n_jobs is None:
        return 1
    if isinstance(n_jobs, numbers.Integral) and n_jobs == -1:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(n_jobs, numbers.Integral) and n_jobs < 1:
        raise ValueError(Message(Term("n_jobs"), f" must be None, -1 or at least 1, got {short_repr(n_jobs)}"))
    return as_count(n_jobs, "n_jobs")


def as_array(values: object, name: str) -> Array:
    """Return `values` as an array of any dtype."""
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{name} must be an array, got a {type(values).__name__} whose rows differ in length"
        ) from None


def as_frame(X: Any, name: str) -> Any:
    """Return a table of pandas, polars or pyarrow as a narwhals DataFrame; None if X is something else."""
    if X is None or isinstance(X, np.ndarray | list | tuple | str | bytes | dict) or is_sparse(X):
        return None
    import narwhals

    try:
        frame = narwhals.from_native(X, pass_through=True)
    except narwhals.exceptions.DuplicateError:
        names = list(getattr(X, "column_names", getattr(X, "columns", ())))
        twice = sorted({column for column in names if names.count(column) > 1}, key=names.index)
        raise ValueError(f"{name} must have unique column names, got {short_repr(twice)} twice") from None
    if isinstance(frame, narwhals.LazyFrame):
        advice = "compute" if type(X).__module__.startswith("dask") else "collect"
        raise TypeError(f"{name} must be a table in memory, got a {type(X).__name__}; pass {name}.{advice}()")
    if isinstance(frame, narwhals.DataFrame):
        return frame
    return as_frame(X.to_pandas(), name) if hasattr(X, "schema") and hasattr(X, "to_pandas") else None


def check_is_table(X: Any, name: str) -> None:
    """Refuse a Series, sparse rows, and arrays of objects or text in place of a table."""
    if hasattr(X, "to_frame") and hasattr(X, "to_list"):
        raise TypeError(f"{name} must be a table, got a Series; to take one row of a DataFrame, pass df[:1]")
    if is_sparse(X):
        raise TypeError(
            f"{name} must be a dense table, got a sparse matrix; Mask() takes sparse rows, or pass {name}.toarray()"
        )
    if not isinstance(X, list | tuple | np.ndarray):
        return
    array = X if isinstance(X, np.ndarray) else as_array(X, name)
    if array.dtype.kind in "USO" and array.size and any(isinstance(entry, str | dict) for entry in array.flat):
        got = f"got dtype {short_repr(array.dtype, str)}"
        raise TypeError(f"{name} must hold real numbers, {got}; pass a DataFrame, whose columns may be text")


def as_explained(X: Any, shape: tuple[int, int], names: tuple[str, ...] | None) -> Any:
    """Return the explained table, of this shape: narwhals' of these columns, a sparse matrix or an array."""
    frame = as_frame(X, "X")
    table: Any = frame if frame is not None else X if is_sparse(X) else as_array(X, "X")
    if table.shape != shape:
        expected = f"X must have one row per instance and one column per feature, shape {shape}"
        raise ValueError(f"{expected}, got shape {table.shape}; leave X out if features are not its columns")
    columns = None if frame is None else as_names(frame.columns)
    for expected, name in zip(names or (), columns or (), strict=False):
        if name != expected:
            got = f"{short_repr(name)} in place of {short_repr(expected)}"
            raise ValueError(f"X must have the columns that were explained, got {got}")
    return table


def as_names(index: Any) -> tuple[str, ...]:
    """Return column names as text."""
    return tuple(str(name) for name in index)


@ignoring_float_errors
def as_numbers(values: object, name: str, *, ndim: tuple[int, ...], missing: bool = False) -> Array:
    """Return `values` as a finite float32 or float64 array (float32 stays, other dtypes become float64).

    If some may be `missing`, NaN and infinite values are left to the caller.
    """
    array = as_dense(values, name)
    try:
        if array.dtype.kind not in "fiubO" or (
            array.dtype == object and any(isinstance(v, str | bytes) or v is np.ma.masked for v in array.flat)
        ):
            raise TypeError
        if array.dtype != np.float32:
            array = array.astype(np.float64, copy=False)  # a long double may become infinite: refused below
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must hold real numbers, got dtype {short_repr(array.dtype, str)}") from None
    check_unmasked(values, name)
    if array.ndim not in ndim:
        expected = " or ".join(f"{n}-D" for n in ndim)
        raise ValueError(f"{name} must be {expected}, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if not missing:
        check_finite(array, name)
    return array


def as_row_weights(weights: object, n: int, of: str, zeros: bool = False) -> Array:
    """Return the weights of n rows as float64; `zeros`: all of them may be 0."""
    name = f"weights of {of}s"
    array = as_numbers(weights, name, ndim=(1,)).astype(np.float64)
    if array.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), got shape {array.shape}")
    if array.min() < 0:
        raise ValueError(f"{name} must be at least 0, got {array.min()}")
    if not (zeros or array.any()):
        raise ValueError(f"{name} must not all be 0, got only zeros")
    return array


def is_sparse(values: object) -> bool:
    """Return whether this is a sparse matrix or array of scipy."""
    return "scipy.sparse" in sys.modules and bool(sys.modules["scipy.sparse"].issparse(values))


def as_dense(values: object, name: str) -> Array:
    """Return `values` as an array of any dtype; refuse sparse matrices."""
    if is_sparse(values):
        raise TypeError(f"{name} must be a dense array, got a sparse matrix; pass {name}.toarray()")
    return as_array(values, name)


def check_unmasked(values: object, name: str) -> None:
    """Refuse an array with masked entries."""
    if np.ma.is_masked(values):
        raise ValueError(f"{name} must not have masked values; fill them, as in {name}.filled(...)")


def check_finite(values: Array, name: str, place: Callable[[Array], Any] = lambda bad: np.argwhere(bad)[0]) -> None:
    """Refuse NaN and infinite values; `place` returns the position of the first True in a mask of them."""
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(i) for i in place(bad))
        count = np.count_nonzero(bad)
        raise ValueError(f"{name} must be finite, got {count} NaN or infinite values, the first at {first}")


@ignoring_float_errors
def as_labels(labels: ArrayLike, name: str, length: int, of: str) -> Array:
    """Return `labels` as a 1-D array of the given length."""
    array = as_array(labels, name)
    if array.shape != (length,):
        raise ValueError(f"{name} must have one label per {of}, shape ({length},), got shape {array.shape}")
    try:
        masked, unequal = np.ma.is_masked(labels), bool(np.any(array != array))
        if array.dtype == object and not unequal:
            np.sort(array)
    except (TypeError, ValueError):  # from comparisons that fail, or return an array
        examples = short_repr(array[:3].tolist())
        raise TypeError(f"{name} must have labels that can be sorted, got {examples} ...") from None
    if masked:
        raise ValueError(f"{name} must not have masked labels")
    if unequal or (array.dtype.kind == "f" and not np.isfinite(array).all()):
        raise ValueError(f"{name} must not have NaN or infinite labels")
    return array


def as_executor(executor: Any) -> Any:
    """Return an object with the method `submit` of an executor, or None."""
    if callable(getattr(executor, "get_executor", None)):
        raise TypeError("executor must be a concurrent.futures.Executor, got a Dask client; use client.get_executor()")
    if executor is not None and (isinstance(executor, type) or not callable(getattr(executor, "submit", None))):
        raise TypeError(f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}")
    return executor


def as_on_error(on_error: str) -> bool:
    """Return whether errors of the model are skipped."""
    if not isinstance(on_error, str) or on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip", got {short_repr(on_error)}')
    return on_error == "skip"


def as_index(index: ArrayLike | None, n_instances: int, of: str = "row of X") -> Array:
    """Return the instances' numbers, by default their positions."""
    if index is None:
        return np.arange(n_instances)
    instance_ids = as_array(index, "index")
    check_unmasked(index, "index")
    if instance_ids.shape != (n_instances,):
        raise ValueError(
            f"index must have one integer per {of}, shape ({n_instances},),"
            f" got shape {instance_ids.shape} and dtype {short_repr(instance_ids.dtype, str)}"
        )
    if instance_ids.dtype.kind not in "iu" or instance_ids.min(initial=0) < 0:
        given = np.asarray(index, object)  # NumPy may turn integers of 2^63 and more into floats or objects
        for number in given:
            if isinstance(number, bool) or not isinstance(number, numbers.Integral) or not 0 <= int(number) < 2**64:
                raise ValueError(f"index must hold integers from 0 to 2^64 - 1, got {short_repr(number)}")
        instance_ids = given.astype(np.int64 if max(given, default=0) < 2**63 else np.uint64)
    unique, counts = np.unique(instance_ids, return_counts=True)
    if len(unique) < n_instances:
        raise ValueError(f"index must not contain duplicates; {unique[counts.argmax()]} occurs {counts.max()} times")
    return instance_ids


def as_targets(targets: str | int | ArrayLike, names: tuple[str, ...] | None = None) -> str | Array:
    """Return the outputs to explain: "predicted", "all" or their numbers, which may be given as names."""
    if isinstance(targets, str) and targets in ("predicted", "all"):
        return targets
    expected = Message(Term("targets"), ' must be "predicted", "all", a number, a name or a list of them, got ')
    listed: Any = [targets] if isinstance(targets, str) else getattr(targets, "tolist", lambda: targets)()
    if isinstance(listed, list | tuple) and listed and all(isinstance(entry, str) for entry in listed):
        if names is None:
            unknown = Message(short_repr(targets), "; the outputs have no names: pass ", Term("target_names"))
            raise ValueError(Message(expected, unknown))
        targets = [position_of_name(entry, names, expected) for entry in listed]
    numbers = np.atleast_1d(as_array(targets, "targets"))
    if numbers.ndim != 1 or numbers.size == 0 or numbers.dtype.kind not in "iu":
        raise TypeError(Message(expected, short_repr(targets)))
    if numbers.min() < 0 or len(np.unique(numbers)) < len(numbers):
        raise ValueError(
            Message(Term("targets"), f" must be distinct integers of at least 0, got {short_repr(targets)}")
        )
    return numbers


def position_of_name(name: str, names: tuple[str, ...], expected: Message) -> int:
    """Return the position of a name among `names`, in which it must be unique."""
    count = names.count(name)
    if count != 1:
        hint = f"the name of {count} outputs; use their numbers" if count else similar(name, names)
        raise ValueError(Message(expected, short_repr(name), ", " if count else "; ", hint))
    return names.index(name)


def similar(name: str, names: tuple[str, ...]) -> str:
    """Return a hint at names that are like an unknown one, for messages."""
    near = get_close_matches(name, islice(names, _COMPARED), n=3) or [
        candidate for candidate in names if candidate.lower() == name.lower()
    ]
    if near:
        return f"did you mean {' or '.join(map(short_repr, near))}?"
    return "there are " + ", ".join(map(short_repr, names[:5])) + (", ..." if len(names) > 5 else "")


def dask_client(executor: object) -> Any:
    """Return the Dask client that an executor belongs to, or None."""
    client = getattr(executor, "_client", None)
    return client if hasattr(client, "nthreads") else None


def check_count(count: int, n_features: int, name: str) -> None:
    """Refuse fewer samples than a fit of `n_features` features needs."""
    if count < n_features + 2:
        minimum = Message(Term("n_features"), f" + 2 = {n_features + 2}")
        raise ValueError(Message(Term(name), " must be at least ", minimum, f", got {count}"))
