"""Tables of pandas, polars and pyarrow, through narwhals: columns to numbers and back, in the user's own dtypes."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from normlime_fast._checks import Array, ignoring_float_errors, short_repr

Holds = Literal["numbers", "dates", "bools", "values", "nothing usable"]


def holds(column: Any) -> Holds:
    """Return what the dtype of a column says about its values; "values" can only be told apart."""
    import narwhals

    dtype, native = column.dtype, native_dtype(column)
    if dtype.is_numeric() or (is_pandas(column) and dtype == narwhals.Unknown and getattr(native, "kind", "") in "fiu"):
        return "numbers"
    if dtype == narwhals.Boolean:
        return "bools"
    if dtype in (narwhals.Date, narwhals.Datetime, narwhals.Duration) or getattr(native, "kind", "") == "M":
        return "dates"  # narwhals does not know pandas' dtypes of all time zones
    unknown = dtype == narwhals.Unknown and column.implementation.is_pyarrow() and str(native) != "null"
    nested = dtype.is_nested() or dtype == narwhals.Binary or str(native).startswith("complex")
    return "nothing usable" if nested or unknown else "values"


class Facts(NamedTuple):
    """What the dtype of a column says."""

    dtype: Any  # as its own library calls it
    holds: Holds
    float_bytes: int  # size of the numbers of a column of floats; 0 for other columns
    is_integer: bool


def facts(frame: Any) -> list[Facts]:
    """Return what the dtypes of the columns say; a table of many columns has few of them."""
    native = frame.to_native()
    dtypes = list(native.dtypes) if hasattr(native, "dtypes") else native.schema.types
    known: dict[Any, Facts] = {}
    for j, dtype in enumerate(dtypes):
        if dtype not in known:
            column = frame[:, j]
            known[dtype] = Facts(dtype, holds(column), float_bytes(column), bool(column.dtype.is_integer()))
    return [known[dtype] for dtype in dtypes]


def float_bytes(column: Any) -> int:
    """Return the size of the numbers of a column of floats; 0 for other columns."""
    if column.dtype.is_float():
        return {"Float16": 2, "Float32": 4}.get(str(column.dtype), 8)
    dtype: Any = native_dtype(column) if is_pandas(column) else None
    return int(getattr(dtype, "subtype", dtype).itemsize) if getattr(dtype, "kind", "") == "f" else 0


def native_dtype(column: Any) -> Any:
    """Return the dtype of a column as its own library calls it."""
    native = column.to_native()
    return getattr(native, "dtype", getattr(native, "type", None))


def is_pandas(frame: Any) -> bool:
    """Return whether a narwhals object is one of pandas, or works like one."""
    return bool(frame.implementation.is_pandas_like())


@ignoring_float_errors
def as_floats(column: Any) -> Array:
    """Return a column of numbers, bools or dates as floats, (n,) float32 or float64; NaN where it has no value.

    Dates and durations are microseconds, which float64 holds exactly for 285 years from 1970 on.
    """
    import narwhals

    kind = holds(column)
    if kind == "dates":
        if column.dtype == narwhals.Unknown:
            column = narwhals.from_native(column.to_native().dt.tz_convert("UTC"), series_only=True)
        times = column.dt
        column = times.total_microseconds() if column.dtype == narwhals.Duration else times.timestamp("us")
    elif column.dtype == narwhals.Decimal:
        column = column.cast(narwhals.Float64)
    column = _dense(column)
    if is_pandas(column):
        values = column.to_native().to_numpy(dtype=_float_dtype(column), na_value=np.nan)
    else:
        values = column.to_numpy()
    values = np.asarray(values)
    if values.dtype == object:  # bools with missing values
        values = np.array([np.nan if value is None else value for value in values.tolist()], np.float64)
    return values if values.dtype == np.float32 else values.astype(np.float64)


def _float_dtype(column: Any) -> Any:
    return np.float32 if float_bytes(column) == 4 else np.float64


def _dense(column: Any) -> Any:
    """Return a column of pandas' sparse numbers as a dense one; others as they are."""
    if not is_pandas(column) or not hasattr(column.to_native(), "sparse"):
        return column
    import narwhals

    return narwhals.from_native(column.to_native().sparse.to_dense(), series_only=True)


def fill(frame: Any, known: list[Facts], positions: Sequence[int], out: Array) -> None:
    """Write columns of numbers, bools or dates to the columns of `out` with the same positions."""
    plain = [j for j in positions if is_pandas(frame) and known[j].holds != "dates"]
    if plain:  # at once: a DataFrame holds them together
        block = frame.to_native().iloc[:, plain] if len(plain) < frame.shape[1] else frame.to_native()
        out[:, plain] = block.to_numpy(dtype=out.dtype, na_value=np.nan)
    for j in set(positions).difference(plain):
        out[:, j] = as_floats(frame[:, j])


def has_nulls(column: Any) -> bool:
    """Return whether a column has missing values that are not NaN."""
    return bool(column.null_count())


def factorized(column: Any, name: str) -> tuple[Array, list[Any]]:
    """Return each row's code, -1 where it has no value, and the values that codes stand for, as Python's objects."""
    try:
        if is_pandas(column):
            import pandas

            codes, uniques = pandas.factorize(_dense(column).to_native())
            return codes, python_values(uniques)
        code_of: dict[Any, int] = {}
        entries = [-1 if v is None or v != v else code_of.setdefault(v, len(code_of)) for v in column.to_list()]
        return np.array(entries, np.intp), list(code_of)
    except TypeError:  # not hashable
        label, got = short_repr(column.name), short_repr(column.to_list()[0])
        raise TypeError(
            f"{name} must have values that can be compared in column {label}, got {got} ...; leave it out"
        ) from None


def python_values(values: Any) -> list[Any]:
    """Return the entries of an array, NumPy's numbers as Python's."""
    return [value.item() if isinstance(value, np.number | np.bool_) else value for value in values]


# --- back


@ignoring_float_errors
def numbers_like(column: Any, values: Array, null: bool) -> Any:
    """Return floats as a column of the same dtype as a column of numbers or bools; NaN is null if that has `null`."""
    if is_pandas(column):
        dtype = native_dtype(column)
        if isinstance(dtype, np.dtype) and dtype.kind in "iub" and np.isnan(values).any():
            return values  # the data has missing values, these rows have none
        if not isinstance(dtype, np.dtype):
            import pandas

            if dtype.kind in "iub" and not isinstance(dtype, pandas.SparseDtype):
                return pandas.Series(values, dtype="Float64").astype(dtype)
        series = type(column.to_native())(values, copy=False)
        return series if series.dtype == dtype else series.astype(dtype)
    import narwhals

    series = narwhals.new_series("", np.ascontiguousarray(values), backend=column.implementation)
    return _cast(series.fill_nan(None) if null else series, column)


def floats_like(column: Any, values: Array) -> Any:
    """Return floats as a column of float64 of the same library."""
    values = np.ascontiguousarray(values, np.float64)
    if is_pandas(column):
        return values
    import narwhals

    return narwhals.new_series("", values, backend=column.implementation).to_native()


def dates_like(column: Any, values: Array) -> Any:
    """Return microseconds as a column of the same dtype as a column of dates or durations."""
    import narwhals

    whole = np.where(np.isnan(values), 0, values).astype(np.int64)
    duration = column.dtype == narwhals.Duration
    times = whole.view("timedelta64[us]" if duration else "datetime64[us]").copy()
    times[np.isnan(values)] = "NaT"
    series = narwhals.new_series("", times, backend=column.implementation)
    if getattr(column.dtype, "time_zone", None) or column.dtype == narwhals.Unknown:
        series = series.dt.replace_time_zone("UTC")
    return _cast(series, column)


def values_like(column: Any, values: Sequence[Any]) -> Any:
    """Return Python's objects, None where there is no value, as a column of the same dtype as another."""
    dtype = native_dtype(column)
    if is_pandas(column):
        import pandas

        if isinstance(dtype, pandas.CategoricalDtype):
            positions = {value: position for position, value in enumerate(python_values(dtype.categories))}
            codes = [positions.get(value, -1) for value in values]
            return pandas.Series(pandas.Categorical.from_codes(codes, dtype=dtype))
        return pandas.Series(values, dtype=dtype)
    import narwhals

    if column.implementation.is_pyarrow():
        import pyarrow

        plain = pyarrow.array(values, getattr(dtype, "value_type", dtype))
        if pyarrow.types.is_dictionary(dtype):
            codes = pyarrow.array([None if v is None else k for k, v in enumerate(values)], dtype.index_type)
            plain = pyarrow.DictionaryArray.from_arrays(codes, plain, ordered=dtype.ordered)
        return narwhals.from_native(pyarrow.chunked_array([plain]), series_only=True)
    return narwhals.from_native(type(column.to_native())("", values, dtype=dtype), series_only=True)


def _cast(series: Any, column: Any) -> Any:
    """Return a narwhals series in the dtype that its own library has for a column."""
    native, dtype = series.to_native(), native_dtype(column)
    if is_pandas(column):
        return native if native.dtype == dtype else native.astype(dtype)
    return native.cast(dtype)


def can_hold(column: Any, values: Sequence[Any]) -> bool:
    """Return whether the dtype of a column holds these of Python's objects as they are."""
    try:
        held = values_like(column, values)
    except Exception:  # of the user's library, such as for a number among texts
        return False
    return python_values(held.array if is_pandas(column) else held.to_list()) == list(values)


def taken(choices: Any, positions: Array) -> Any:
    """Return the entries of `values_like` at these positions."""
    if hasattr(choices, "array"):
        return type(choices)(choices.array.take(positions), dtype=choices.dtype, copy=False)
    return choices[positions].to_native()


def assembled(header: Any, columns: Sequence[Any]) -> Any:
    """Return a table of a user's library from its columns, with the names of `header`."""
    if is_pandas(header):
        native = header.to_native()
        frame = type(native)(dict(enumerate(columns)), copy=False)
        frame.columns = native.columns
        return frame
    import narwhals

    names = dict(zip(header.columns, columns, strict=True))
    return narwhals.from_dict(names, backend=header.implementation).to_native()
