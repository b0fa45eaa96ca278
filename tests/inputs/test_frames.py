"""Tables of polars and pyarrow, and of pandas backed by these: what comes back is what went in, dtype for dtype."""

import datetime
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy import sparse

import normlime_fast as nlf
from normlime_fast._inputs.columns import Columns
from normlime_fast._inputs.rows import as_rows

WORDS = ["zebra", "ant", "cow", "bee"]
DAY = datetime.date(2020, 2, 28)
TIME = datetime.datetime(2020, 2, 28, 23, 30, 15, 250_000)
LASTING = datetime.timedelta(days=1, seconds=7)
TEXT, NUMBER, WHOLE = WORDS, [0.5, -3.25, 0.0, 1e3], [0, 3, 7, 100]
BOOLS = [True, False, False, True]
DAYS = [DAY + datetime.timedelta(days=k) for k in (0, 1, 400, -20_000)]
TIMES = [TIME + datetime.timedelta(minutes=k) for k in (0, 1, 400, -20_000)]
LASTINGS = [LASTING * k for k in (0, 1, 400, -20)]
ZONE = "America/New_York"

# dtypes and four values of each
POLARS = {
    "String": (pl.String(), TEXT),
    "Categorical": (pl.Categorical(), TEXT),
    "Enum": (pl.Enum([*WORDS, "unused"]), TEXT),
    **{
        f"{sign}Int{bits}": (getattr(pl, f"{sign}Int{bits}")(), WHOLE) for sign in ("", "U") for bits in (8, 16, 32, 64)
    },
    "large": (pl.Int64(), [2**60, 2**60 + 1, -(2**62), 5]),
    "larger": (pl.UInt64(), [2**63, 2**63 + 1, 2**64 - 1, 5]),
    "Float32": (pl.Float32(), NUMBER),
    "Float64": (pl.Float64(), NUMBER),
    "Boolean": (pl.Boolean(), BOOLS),
    "Date": (pl.Date(), DAYS),
    **{f"Datetime {unit}": (pl.Datetime(unit), TIMES) for unit in ("ms", "us", "ns")},
    "Datetime there": (pl.Datetime("ms", ZONE), [time.replace(tzinfo=datetime.UTC) for time in TIMES]),
    **{f"Duration {unit}": (pl.Duration(unit), LASTINGS) for unit in ("ms", "us", "ns")},
}
ARROW = {
    "string": (pa.string(), TEXT),
    "large_string": (pa.large_string(), TEXT),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), TEXT),
    "ordered dictionary": (pa.dictionary(pa.int32(), pa.large_string(), ordered=True), TEXT),
    **{
        f"{sign}int{bits}": (getattr(pa, f"{sign}int{bits}")(), WHOLE) for sign in ("", "u") for bits in (8, 16, 32, 64)
    },
    "large": (pa.int64(), [2**60, 2**60 + 1, -(2**62), 5]),
    "float32": (pa.float32(), NUMBER),
    "float64": (pa.float64(), NUMBER),
    "bool": (pa.bool_(), BOOLS),
    "date32": (pa.date32(), DAYS),
    **{f"timestamp {unit}": (pa.timestamp(unit), TIMES) for unit in ("ms", "us", "ns")},
    "timestamp there": (pa.timestamp("us", ZONE), [time.replace(tzinfo=datetime.UTC) for time in TIMES]),
    **{f"duration {unit}": (pa.duration(unit), LASTINGS) for unit in ("ms", "us", "ns")},
}
PANDAS = {
    "str": ("str", TEXT),
    "string[pyarrow]": ("string[pyarrow]", TEXT),
    "category": (pd.CategoricalDtype([*WORDS, "unused"]), TEXT),
    "int64[pyarrow]": ("int64[pyarrow]", WHOLE),
    "double[pyarrow]": ("double[pyarrow]", NUMBER),
    "bool[pyarrow]": ("bool[pyarrow]", BOOLS),
    "UInt8": ("UInt8", WHOLE),
    "Float32": ("Float32", NUMBER),
    "boolean": ("boolean", BOOLS),
    **{f"datetime64[{unit}]": (f"datetime64[{unit}]", TIMES) for unit in ("ms", "us", "ns")},
    "there": (f"datetime64[us, {ZONE}]", [time.replace(tzinfo=datetime.UTC) for time in TIMES]),
    **{f"timedelta64[{unit}]": (f"timedelta64[{unit}]", LASTINGS) for unit in ("ms", "us", "ns")},
    "timestamp[us][pyarrow]": ("timestamp[us][pyarrow]", TIMES),
}
MAKE = {
    "polars": lambda columns: pl.DataFrame({name: pl.Series(values, dtype=dtype) for name, dtype, values in columns}),
    "pyarrow": lambda columns: pa.table({name: arrow(dtype, values) for name, dtype, values in columns}),
    "pandas": lambda columns: pd.DataFrame({name: pd.Series(values, dtype=dtype) for name, dtype, values in columns}),
}
KINDS = {"polars": POLARS, "pyarrow": ARROW, "pandas": PANDAS}


def arrow(dtype, values):
    if pa.types.is_dictionary(dtype):
        return pa.array(values, dtype.value_type).dictionary_encode().cast(dtype)
    return pa.array(values, dtype)


def equal(one, other):
    """Whether tables are equal, NaN apart from null."""
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
        return
    if isinstance(one, pa.Table):
        assert one.schema == other.schema
        one, other = (pl.DataFrame(table) for table in (one, other))  # pyarrow's NaN equals nothing
    assert_frame_equal(one, other, check_exact=True, categorical_as_str=True)


@st.composite
def tables(draw, library, least=1):
    """A table with columns of any dtype, some with missing values, and which of them are named as categories."""
    n = draw(st.integers(least, 9))
    columns, categorical, firsts = [], [], []
    for name in draw(st.permutations("abcde"))[: draw(st.integers(1, 5))]:
        kind = draw(st.sampled_from([*KINDS[library]]))
        dtype, known = KINDS[library][kind]
        values = [known[k] for k in draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))]
        is_float = "loat" in kind or "double" in kind
        if draw(st.booleans()) and not kind.startswith("large"):
            for k in draw(st.sets(st.integers(0, n - 1))):
                values[k] = None
        elif draw(st.booleans()) and is_float and library != "pandas" and n > 1:
            for k in draw(st.sets(st.integers(1, n - 1))):
                values[k] = float("nan")
        firsts.append(known[0])
        columns.append((name, dtype, values))
        if draw(st.booleans()):
            categorical.append(name)
    if all(value is None or value != value for _, _, values in columns for value in values):
        columns[0][2][0] = firsts[0]  # a table of nothing is refused
    return MAKE[library](columns), categorical


@pytest.mark.parametrize("library", KINDS)
@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data(), st.booleans())
def test_a_table_comes_back_as_it_was(library, data, again):
    frame, categorical = data.draw(tables(library))
    rows = as_rows(frame, columns=Columns.from_data(frame, categorical))
    assert rows.values.shape == frame.shape
    if again:
        rows = pickle.loads(pickle.dumps(rows))
    for _ in range(1 + again):
        equal(rows.like(rows.values), frame)


every_dtype = pytest.mark.parametrize(
    ("library", "kind"), [(library, kind) for library, kinds in KINDS.items() for kind in kinds]
)


def column(library, kind, which):
    dtype, known = KINDS[library][kind]
    return MAKE[library](
        [("x", dtype, [None if k is None else known[k] for k in which]), ("n", FLOATS[library], [0.5] * len(which))]
    )


FLOATS = {"polars": pl.Float64(), "pyarrow": pa.float64(), "pandas": "float64"}


@every_dtype
def test_other_values_than_the_rows_have(library, kind):
    """Perturbed rows hold what the data holds, also a missing value that the rows themselves do not have."""
    which = [*np.random.default_rng(0).integers(4, size=60).tolist(), *[None] * (0 if kind.startswith("large") else 20)]
    data = column(library, kind, which)
    columns = Columns.from_data(data)
    of_data = as_rows(data, columns=columns)
    assert bool(columns[0].missing) == (None in which)
    one = column(library, kind, [1])
    rows = as_rows(one, columns=columns)
    equal(rows.like(rows.values), one)
    given = rows.like(of_data.values)
    assert type(given) is type(data)
    if library != "pandas" or isinstance(data["x"].dtype, pd.api.extensions.ExtensionDtype):
        assert (given.schema if library != "pandas" else given["x"].dtype) == (
            data.schema if library != "pandas" else data["x"].dtype
        )
    missing = of_data.values[:, 0] != of_data.values[:, 0]
    got = given["x"].to_pylist() if library == "pyarrow" else given["x"].to_list()
    expected = data["x"].to_pylist() if library == "pyarrow" else data["x"].to_list()
    for value, wanted, absent in zip(got, expected, missing, strict=True):
        assert (pd.isna(value) and pd.isna(wanted)) if absent else value == wanted


@pytest.mark.parametrize("library", KINDS)
def test_numbers_that_stand_for_values(library):
    """Dates are microseconds since 1970; NaN is a missing value of every dtype."""
    names = {"polars": ("Date", "Duration us", "Int8", "Boolean"), "pyarrow": ("date32", "duration us", "int8", "bool")}
    names["pandas"] = ("datetime64[us]", "timedelta64[us]", "UInt8", "boolean")
    kinds = [KINDS[library][name] for name in names[library]]
    frame = MAKE[library]([(str(k), dtype, [*values, None]) for k, (dtype, values) in enumerate(kinds)])
    values = as_rows(frame, columns=Columns.from_data(frame)).values
    days = DAYS if library != "pandas" else TIMES
    since = [np.datetime64(day, "us").astype(np.int64) for day in days]
    np.testing.assert_array_equal(values[:, 0], [*since, np.nan])
    np.testing.assert_array_equal(
        values[:, 1], [*(lasting / datetime.timedelta(microseconds=1) for lasting in LASTINGS), np.nan]
    )
    np.testing.assert_array_equal(values[:, 2], [*WHOLE, np.nan])
    np.testing.assert_array_equal(values[:, 3], [1, 0, 0, 1, np.nan])


def test_nan_and_null_are_both_missing_and_each_comes_back():
    null, nan = pl.DataFrame({"x": [0.5, None, 1.5]}), pl.DataFrame({"x": [0.5, float("nan"), 1.5]})
    for frame in (null, nan, null.to_arrow(), nan.to_arrow()):
        columns = Columns.from_data(frame)
        assert columns[0].missing == 1 / 3
        rows = as_rows(frame, columns=columns)
        equal(rows.like(rows.values), frame)


def test_a_missing_value_that_only_the_data_has_is_null():
    """As polars and pyarrow call it; a row without missing values says nothing of them."""
    data = pl.DataFrame({"x": [0.5, None, 1.5], "n": [0.5, 0.25, 0.75]})
    for frame in (data, data.to_arrow()):
        rows = as_rows(frame[:1], columns=Columns.from_data(frame))
        equal(rows.like(np.array([[0.5, 0.5], [np.nan, 0.25], [1.5, 0.75]])), frame)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "Sparse[float64]", "float16", "complex64"])
def test_other_dtypes_of_pandas(dtype):
    frame = pd.DataFrame({"x": pd.Series([1, 0, 3, 200]).astype(dtype), "n": 0.5})
    if dtype == "complex64":
        with pytest.raises(TypeError, match=r"^X must hold numbers, .* column 'x' of dtype complex64; leave it out$"):
            Columns.from_data(frame)
        return
    rows = as_rows(frame, columns=Columns.from_data(frame))
    expected = frame.astype({"x": "float64"}) if dtype == "float16" else frame  # too few digits to be perturbed
    equal(rows.like(rows.values), expected)


def test_slices_chunks_and_order_of_columns():
    frame = pl.DataFrame({"b": [1.5, None, 2.5, 0.0], "a": ["x", None, "y", "x"]})
    for table in (frame[1:3], pl.concat([frame, frame], rechunk=False), frame.to_arrow().slice(1, 2)):
        rows = as_rows(table, columns=Columns.from_data(table))
        equal(rows.like(rows.values), table)
    with pytest.raises(
        ValueError, match=r"^X must have the columns that the neighborhood was made of, .*another order$"
    ):
        as_rows(frame[["a", "b"]], columns=Columns.from_data(frame))


# --- what the model gets


@pytest.mark.parametrize("kind", ["Gaussian", "Pool", "Binned"])
@pytest.mark.parametrize("library", ["polars", "pyarrow", "pandas"])
def test_the_model_gets_the_kind_of_table_with_its_dtypes(kind, library):
    """As in a model of polars, which selects by expressions."""
    rng = np.random.default_rng(0)
    n = 300
    data = pl.DataFrame(
        {
            "a": rng.normal(size=n),
            "b": pl.Series(rng.normal(size=n), dtype=pl.Float32),
            "kind": pl.Series(rng.choice(["x", "y"], n), dtype=pl.Enum(["x", "y"])),
            "n": pl.Series(rng.integers(0, 90, n), dtype=pl.Int16),
            "flag": rng.random(n) < 0.5,
            "day": pl.Series(np.datetime64("2024-01-01") + rng.integers(0, 90, n)),
        }
    )
    data = data.with_columns(pl.when(pl.int_range(n) % 5 > 0).then(pl.col("a")).alias("a"))
    data = {"polars": data, "pyarrow": data.to_arrow(), "pandas": data.to_pandas()}[library]
    schema = data.dtypes.to_dict() if library == "pandas" else data.schema

    def model(rows):
        assert type(rows) is type(data)
        assert (rows.dtypes.to_dict() if library == "pandas" else rows.schema) == schema
        frame = pl.from_pandas(rows) if library == "pandas" else pl.DataFrame(rows)
        signal = 2 * pl.col("a").fill_null(-1) + (pl.col("kind") == "x").cast(pl.Float64)
        return frame.select(signal.alias("y"))["y"].to_numpy()

    explainer = nlf.NormLIME(model, getattr(nlf, kind).from_data(data), n_features=None, n_samples=600, rng=0)
    local = explainer.explain(data[:40])
    assert local.feature_names == ("a", "b", "kind", "n", "flag", "day")
    assert np.isin(local.status, [0, 1, 10]).all()
    weights = local.importance("mean_abs").values
    assert weights[0] == weights.max()
    assert weights[2] > 2 * weights[[1, 3, 4, 5]].max()


@pytest.mark.parametrize("kind", ["Gaussian", "Pool", "Binned"])
@pytest.mark.parametrize("library", KINDS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_any_table_is_explained_with_its_own_dtypes(kind, library, data):
    frame, categorical = data.draw(tables(library, least=7))
    schema = schema_of(frame)

    def model(rows):
        assert type(rows) is type(frame)
        assert schema_of(rows) == schema
        return np.random.default_rng(len(rows)).normal(size=len(rows))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = getattr(nlf, kind).from_data(frame, categorical=categorical)
        local = nlf.NormLIME(model, made, n_features=None, n_samples=40, rng=0).explain(frame)
    assert len(local) == len(frame)
    assert np.isfinite(local.weights.data).all()
    assert local.feature_names == tuple(frame.column_names if library == "pyarrow" else frame.columns)


def schema_of(frame):
    return frame.dtypes.to_dict() if isinstance(frame, pd.DataFrame) else frame.schema


# --- refusals


LAZY = pl.LazyFrame({"a": [1.0, 2.0]})
REFUSED = {
    "lazy": (LAZY, TypeError, r"{} must be a table in memory, got a LazyFrame; pass {}\.collect\(\)$"),
    "series of pandas": (pd.Series([1.0]), TypeError, r"{} must be a table, got a Series; .* pass df\[:1\]$"),
    "series of polars": (pl.Series([1.0]), TypeError, r"{} must be a table, got a Series; .* pass df\[:1\]$"),
    "one row": (pd.DataFrame({"a": [1.0]}).iloc[0], TypeError, r"{} must be a table, got a Series; .* pass df\[:1\]$"),
    "sparse": (
        sparse.csr_array(np.eye(2)),
        TypeError,
        r"{} must be a dense table, got a sparse matrix; Mask\(\) takes",
    ),
    "objects": (
        np.array([["a", 1.0]], object),
        TypeError,
        r"{} must hold real numbers, got dtype object; pass a DataFrame",
    ),
    "texts": (np.array([["a"]]), TypeError, r"{} must hold real numbers, got dtype <U1; pass a DataFrame"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ["Gaussian", "Pool", "Binned"])
def test_what_is_no_table_is_refused_in_one_line(kind, name):
    X, error, message = REFUSED[name]
    from_data = getattr(nlf, kind).from_data
    good = from_data(np.random.default_rng(0).normal(size=(20, 1)))
    with pytest.raises(error, match="^" + message.replace("{}", "X")) as caught:
        from_data(X)
    assert "\n" not in str(caught.value)
    with pytest.raises(error, match="^" + message.replace("{}", "X")) as caught:
        nlf.NormLIME(pytest.fail, good).explain(X)
    assert "\n" not in str(caught.value)
