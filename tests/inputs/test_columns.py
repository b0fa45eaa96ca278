"""What columns are taken for: the rules, one by one, and how they are shown."""

from datetime import timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from normlime_fast._inputs.columns import Columns

N = 200
RNG = np.random.default_rng(0)
DECIMALS = RNG.normal(10.0, 3.0, N)
WHOLE = RNG.permutation(N) + 5  # each once
HALF = (np.arange(N) % 2).astype(int)
DAYS = np.datetime64("2024-01-01") + (np.arange(N) % 90).astype("timedelta64[D]")
WORDS = np.array(["red", "blue", "green"])[np.arange(N) % 3]
PANDAS = {
    "decimal numbers": (pd.Series(DECIMALS), "number", f"decimal numbers from {DECIMALS.min():.4g} to"),
    "float32": (pd.Series(DECIMALS.astype(np.float32)), "number", "decimal numbers from"),
    "Float64": (pd.Series(DECIMALS, dtype="Float64"), "number", "decimal numbers from"),
    "double[pyarrow]": (pd.Series(DECIMALS, dtype="double[pyarrow]"), "number", "decimal numbers from"),
    "whole numbers": (pd.Series(WHOLE), "integer", "whole numbers from 5 to 204"),
    "uint8": (pd.Series(WHOLE.astype(np.uint8)), "integer", "whole numbers from 5 to 204"),
    "Int16": (pd.Series(WHOLE, dtype="Int16"), "integer", "whole numbers from 5 to 204"),
    "int64[pyarrow]": (pd.Series(WHOLE, dtype="int64[pyarrow]"), "integer", "whole numbers from 5 to 204"),
    "floats that are whole": (pd.Series(WHOLE.astype(float)), "integer", "whole numbers from 5 to 204"),
    "negative": (pd.Series(-WHOLE), "integer", "whole numbers from -204 to -5"),
    "str": (pd.Series(WORDS), "category", "text; 3 values"),
    "objects": (pd.Series(WORDS.astype(object), dtype=object), "category", "text; 3 values"),
    "string[python]": (pd.Series(WORDS, dtype="string[python]"), "category", "text; 3 values"),
    "string[pyarrow]": (pd.Series(WORDS, dtype="string[pyarrow]"), "category", "text; 3 values"),
    "category": (pd.Series(WORDS, dtype="category"), "category", "a categorical dtype; 3 values"),
    "category of numbers": (pd.Series(WHOLE, dtype="category"), "category", "a categorical dtype; 200 values"),
    "tuples": (pd.Series([(1, 2), (3,)] * (N // 2)), "category", "objects; 2 values"),
    "bool": (pd.Series(HALF == 1), "category", "True and False; 2 values"),
    "boolean": (pd.Series(HALF == 1, dtype="boolean"), "category", "True and False; 2 values"),
    "bool[pyarrow]": (pd.Series(HALF == 1, dtype="bool[pyarrow]"), "category", "True and False; 2 values"),
    "days": (pd.Series(DAYS), "date", "dates from 2024-01-01 to 2024-03-30"),
    "days somewhere": (pd.Series(DAYS).dt.tz_localize("UTC"), "date", "dates from 2024-01-01 to 2024-03-30"),
    "days in New York": (
        pd.Series(DAYS).dt.tz_localize("America/New_York"),
        "date",
        "dates from 2024-01-01T05:00:00 to",
    ),
    "durations": (pd.Series(DAYS - DAYS[0]), "date", "durations from 0:00:00 to 89 days, 0:00:00"),
    "one number": (pd.Series(np.full(N, 2.5)), "constant", "one value, 2.5"),
    "one integer": (pd.Series(np.full(N, 7)), "constant", "one value, 7"),
    "one text": (pd.Series(["x"] * N), "constant", "one value, x"),
    "one day": (pd.Series(DAYS[[0] * N]), "constant", "one value"),
    "nothing": (pd.Series(np.full(N, np.nan)), "constant", "no values"),
    "no objects": (pd.Series([None] * N, dtype=object), "constant", "no values"),
    "no texts": (pd.Series([None] * N, dtype="string"), "constant", "no values"),
    "no days": (pd.Series(np.full(N, "NaT", "datetime64[s]")), "constant", "no values"),
}


def of(column, **options):
    """What one column is taken for, in a table that has another one, too."""
    frame = pd.DataFrame({"x": column, "other": np.arange(len(column)) * 0.5})
    return Columns.from_data(frame, **options)[0]


@pytest.mark.parametrize("name", PANDAS)
def test_pandas(name):
    column, kind, reason = PANDAS[name]
    found = of(column)
    assert (found.name, found.kind) == ("x", kind)
    assert found.reason.startswith(reason)


POLARS = {
    "Float64": (pl.Series(DECIMALS), "number", "decimal numbers from"),
    "Float32": (pl.Series(DECIMALS, dtype=pl.Float32), "number", "decimal numbers from"),
    **{
        str(dtype): (pl.Series(WHOLE % 120, dtype=dtype), "integer", "whole numbers from 0 to 119")
        for dtype in (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
    },
    "String": (pl.Series(WORDS), "category", "text; 3 values"),
    "Categorical": (pl.Series(WORDS, dtype=pl.Categorical), "category", "a categorical dtype; 3 values"),
    "Enum": (pl.Series(WORDS, dtype=pl.Enum(["blue", "green", "red", "unused"])), "category", "a categorical dtype; 3"),
    "Boolean": (pl.Series(HALF == 1), "category", "True and False; 2 values"),
    "Date": (pl.Series(DAYS), "date", "dates from 2024-01-01 to 2024-03-30"),
    "Datetime": (pl.Series(DAYS).cast(pl.Datetime("ns", "Asia/Tokyo")), "date", "dates from 2024-01-01 to 2024-03-30"),
    "Duration": (
        pl.Series((DAYS - DAYS[0]).astype("timedelta64[us]")),
        "date",
        "durations from 0:00:00 to 89 days, 0:00:00",
    ),
    "Decimal": (pl.Series(WHOLE / 2).cast(pl.Decimal(10, 2)), "number", "decimal numbers from 2.5 to 102"),
    "Null": (pl.Series([None] * N), "constant", "no values"),
}


@pytest.mark.parametrize("name", POLARS)
@pytest.mark.parametrize("arrow", [False, True])
def test_polars_and_pyarrow(name, arrow):
    column, kind, reason = POLARS[name]
    frame = pl.DataFrame({"x": column, "other": DECIMALS})
    found = Columns.from_data(frame.to_arrow() if arrow else frame)[0]
    assert (found.name, found.kind) == ("x", kind)
    assert found.reason.startswith(reason)


def test_arrays():
    X = np.column_stack([DECIMALS, WHOLE, HALF, np.full(N, 3.5)])
    columns = Columns.from_data(X)
    assert [column.kind for column in columns] == ["number", "integer", "category", "constant"]
    assert [column.name for column in columns] == ["0", "1", "2", "3"]
    assert columns.table is None
    assert [column.kind for column in Columns.from_data(X.astype(np.float32))] == [column.kind for column in columns]
    assert Columns.from_data(X.tolist())[0].kind == "number"
    assert Columns.from_data(np.stack([WHOLE * 2**50, WHOLE], 1))[0].reason.startswith("whole numbers too large")


# --- 0 and 1, whole numbers that are codes


@pytest.mark.parametrize(
    "dtype", ["int8", "int64", "uint8", "float32", "float64", "Int64", "Float64", "int32[pyarrow]", "double[pyarrow]"]
)
@pytest.mark.parametrize("ones", [1, N // 2, N - 1])
def test_0_and_1_are_categories_of_any_dtype_and_share(dtype, ones):
    found = of(pd.Series((np.arange(N) < ones).astype(int)).astype(dtype))
    assert (found.kind, found.reason) == ("category", "0 and 1; 2 values")


def test_0_and_1_of_an_array():
    for dtype in (bool, int, float, np.float32):
        assert Columns.from_data(np.column_stack([HALF, HALF]).astype(dtype))[0].kind == "category"


def repeated(*counts, first=1, n=None):
    """Whole numbers from `first` on, each so often."""
    return pd.Series(np.repeat(np.arange(len(counts)) + first, counts))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (repeated(*[20] * 10), "category"),
        (repeated(*[20] * 11), "integer"),  # more than 10 values
        (repeated(100, 95, 5), "category"),
        (repeated(100, 96, 4), "integer"),  # one of them fewer than 5 times
        (repeated(980, 1000, 20), "category"),
        (repeated(981, 1000, 19), "integer"),  # one of them in less than one row of a hundred
        (repeated(5, 5), "category"),
        (repeated(4, 4), "integer"),
        (repeated(50, 50).astype(float), "category"),
        (repeated(50, 50) + 0.5, "number"),  # no whole numbers
        (repeated(50, 50, first=-1), "category"),
    ],
)
def test_few_whole_numbers_that_occur_often_are_categories(column, kind):
    found = of(column)
    assert found.kind == kind
    assert found.reason.startswith("whole numbers, each of which occurs often; ") == (kind == "category")


def test_many_values_after_few_in_the_first_thousand_rows():
    """The first thousand rows spare a sort of columns with many values; the others count as well."""
    assert of(pd.Series(np.append(np.arange(1000) % 3 + 5, np.arange(1000)))).kind == "integer"
    assert of(pd.Series(np.append(np.arange(1000) % 3 + 5, np.arange(1000) % 10 + 5))).kind == "category"


def test_missing_values_count_as_rows_but_are_no_value():
    column = repeated(100, 95, 5).astype(float)
    found = of(pd.concat([column, pd.Series([np.nan] * 100)], ignore_index=True))
    assert (found.kind, found.missing) == ("category", 1 / 3)
    assert found.reason == "whole numbers, each of which occurs often; 3 values; 33.3% missing"
    more = of(pd.concat([column, pd.Series([np.nan] * 301)], ignore_index=True))  # 5 of 501 rows
    assert more.kind == "integer"


def test_whole_numbers_that_floats_do_not_tell_apart():
    codes = of(pd.Series(WHOLE + 2**60))
    assert (codes.kind, codes.reason) == ("category", "whole numbers too large to calculate with; 200 values")
    assert of(pd.Series(WHOLE + 2**53 - 1000)).kind == "integer"
    assert of(pd.Series(WHOLE * 1e18)).kind == "number"  # floats: nothing is lost that was there
    named = of(pd.Series(WHOLE + 2**60), numeric=["x"])
    assert (named.kind, named.step) == ("integer", 1.0)


# --- what users decide


@pytest.mark.parametrize("by", ["x", 0, np.int64(0)])
def test_categorical(by):
    for column in (DECIMALS, WHOLE, DAYS, HALF, WORDS):
        found = of(pd.Series(column), categorical=[by])
        assert found.kind == "category"
        assert found.reason == f"named in categorical; {len(np.unique(column))} values"


def test_numeric():
    found = of(repeated(*[40] * 5), numeric=["x"])
    assert (found.kind, found.step, found.low, found.high) == ("integer", 1.0, 1.0, 5.0)
    assert found.reason == "named in numeric, from 1 to 5"
    floats = of(repeated(*[40] * 5).astype(float), numeric=["x"])  # floats may be between
    assert (floats.kind, floats.step) == ("number", 0.0)
    assert of(pd.Series(HALF), numeric=[0]).kind == "integer"
    with pytest.raises(TypeError, match=r"^numeric must name columns of numbers, got column 'x' of dtype bool$"):
        of(pd.Series(HALF == 1), numeric=["x"])
    with pytest.raises(TypeError, match=r"^numeric must name columns of numbers, got column 'x' of dtype str$"):
        of(pd.Series(WORDS), numeric=["x"])
    with pytest.raises(ValueError, match=r"^numeric must not have columns that categorical has, got 'x'$"):
        of(pd.Series(WHOLE), numeric=["x"], categorical=[0])


# --- numbers far outside the rest


def mixed(number, count, rest):
    return pd.Series(np.append(np.full(count, float(number)), rest))


REST = np.linspace(0, 100, 1000)  # of which 1 to 99 without a hundredth at either end


@pytest.mark.parametrize(
    ("number", "count", "apart"),
    [
        (-999, 150, True),
        (9999, 150, True),
        (-999, 10, True),
        (-999, 9, False),  # held by fewer than 10 rows
        (-98.5, 150, True),  # farther from 0 than 98 wide
        (-97.5, 150, False),
        (198.5, 150, True),
        (197.5, 150, False),
        (50, 150, False),  # inside
        (-999, 9000, True),
        (-999, 10_000, True),  # held by most
    ],
)
def test_numbers_far_outside_that_many_rows_hold(number, count, apart):
    found = of(mixed(number, count, REST))
    assert found.kind == "number"
    share = count / (1000 + count)
    assert found.special == ((number,) if apart else ())
    assert found.shares == ((share,) if apart else ())
    assert (f"; {number:g} apart ({share:.1%})" in found.reason) == apart
    if apart:
        assert (found.low, found.high) == (0.0, 100.0)
        assert number not in found.levels


def test_many_rows_of_a_large_table():
    """Two in a thousand."""
    rest = np.linspace(0, 100, 10_000)
    assert of(mixed(-999, 21, rest)).special == (-999.0,)
    assert of(mixed(-999, 19, rest)).special == ()


def test_several_numbers_outside():
    column = pd.concat([mixed(-999, 20, REST), mixed(-5000, 20, []), mixed(1e6, 30, [])], ignore_index=True)
    found = of(column)
    assert found.special == (-5000.0, -999.0, 1e6)
    assert found.shares == (20 / 1070, 20 / 1070, 30 / 1070)
    assert found.reason.count("apart") == 3


def test_a_sentinel_of_integers_and_of_dates():
    found = of(pd.Series(np.append(WHOLE, [-999] * 50)))
    assert (found.kind, found.special, found.low, found.high) == ("integer", (-999.0,), 5.0, 204.0)
    assert found.reason == "whole numbers from 5 to 204; -999 apart (20.0%)"
    default = of(pd.Series(np.append(DAYS, np.full(50, "1970-01-01", "datetime64[D]"))))
    assert (default.kind, default.special) == ("date", (0.0,))
    assert default.reason == "dates from 2024-01-01 to 2024-03-30; 1970-01-01 apart (20.0%)"


def test_a_sentinel_beside_missing_values():
    found = of(pd.Series(np.concatenate([DECIMALS, [-999.0] * 100, [np.nan] * 100])))
    assert (found.special, found.shares, found.missing) == ((-999.0,), (0.25,), 0.25)
    assert found.reason.endswith("; -999 apart (25.0%); 25.0% missing")


# --- dates


@pytest.mark.parametrize(
    ("unit", "step"), [("D", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 10**6), ("ms", 1000)]
)
def test_steps_of_dates(unit, step):
    found = of(pd.Series(np.datetime64("2024-01-01", "us") + np.arange(1, 50).astype(f"timedelta64[{unit}]")))
    assert (found.kind, found.step) == ("date", step)
    lasting = of(pd.Series(np.arange(1, 50).astype("timedelta64[ms]") * (step // 1000)))
    assert (lasting.kind, lasting.step, lasting.is_duration) == ("date", step, True)


def test_dates_as_people_write_them():
    found = of(pd.Series(DAYS))
    assert [found.text(number) for number in (found.low, found.high)] == ["2024-01-01", "2024-03-30"]
    minutes = of(pd.Series(DAYS) + pd.to_timedelta(np.arange(N), unit="min"))
    assert minutes.text(minutes.low) == "2024-01-01T00:00:00"
    lasting = of(pd.Series(DAYS - DAYS[0]))
    assert lasting.text(lasting.high) == str(timedelta(days=89))


# --- as a whole


TABLE = pd.DataFrame(
    {
        "pay": np.where(np.arange(N) % 4 == 0, np.nan, DECIMALS),
        "age": WHOLE,
        "word": pd.Series(WORDS).where(np.arange(N) % 2 == 0),
        "flag": HALF,
        "day": DAYS,
        "one": 1.5,
    }
)
REPR = f"""\
pay   number    decimal numbers from {np.nanmin(TABLE.pay):.4g} to {np.nanmax(TABLE.pay):.4g}; 25.0% missing
age   integer   whole numbers from 5 to 204
word  category  text; 3 values; 50.0% missing
flag  category  0 and 1; 2 values
day   date      dates from 2024-01-01 to 2024-03-30
one   constant  one value, 1.5"""


def test_repr_and_summary():
    columns = Columns.from_data(TABLE)
    assert repr(columns) == REPR
    assert columns.summary() == "1 number, 1 integer, 2 categories, 1 date, 1 constant; 2 with missing values"
    assert Columns.from_data(TABLE[["age"]]).summary() == "1 integer"
    assert Columns.from_data(TABLE[["one", "age"]].assign(two=2)).summary() == "2 constants, 1 integer"


def test_it_is_a_sequence():
    columns = Columns.from_data(TABLE)
    assert len(columns) == 6
    assert [column.name for column in columns] == [*TABLE] == [*columns.table]
    assert columns[-1] is columns.entries[5]
    assert columns[1:3] == columns.entries[1:3]
    assert_array_equal(columns.is_category, [False, False, True, True, False, False])
    assert_array_equal(columns.steps, [0, 1, 0, 0, 86_400_000_000, 0])


def test_repr_of_many_columns():
    lines = repr(Columns.from_data(np.arange(200).reshape(2, 100) * 0.5)).split("\n")
    assert len(lines) == 51
    assert lines[40] == "... 50 more ..."
    assert lines[39].startswith("39 ")
    assert lines[41].startswith("90 ")
    assert len(repr(Columns.from_data(np.arange(120).reshape(2, 60) * 0.5)).split("\n")) == 60


def test_levels_are_numbers_that_occur_spread_over_the_rows():
    found = of(pd.Series(np.arange(1000) / 2 + 0.25))
    assert len(found.levels) == 64
    assert np.isin(found.levels, np.arange(1000) / 2 + 0.25).all()
    steps = [b - a for a, b in pairwise(found.levels)]
    assert max(steps) - min(steps) <= 0.5
    assert (found.levels[0], found.levels[-1]) == (0.25, 499.75)


def test_states():
    sentinel = np.where(np.arange(N) % 10 == 0, -999.0, DECIMALS)
    columns = Columns.from_data(TABLE.assign(pay=np.where(np.arange(N) % 4 == 1, np.nan, sentinel)))
    assert [*columns.special] == [0]  # a category has its own
    numbers, shares = columns.special[0]
    assert_array_equal(numbers, [-999.0, np.nan])
    assert_array_equal(shares, [0.1, 0.25])
    values = np.array([[-999.0, 1, 0, 0, 0, 1.5], [np.nan] * 6, [3.0, -999.0, 0, 0, 0, 1.5]])
    assert_array_equal(columns.is_regular(values)[:, :2], [[False, True], [False, False], [True, True]])


def test_beyond():
    columns = Columns.from_data(TABLE.drop(columns=["word", "one"]).assign(pay=DECIMALS))
    low, high = DECIMALS.min().item(), DECIMALS.max().item()
    day = 1_704_067_200_000_000.0  # 2024-01-01
    inside = np.array([[low, 5.0, 0.0, day], [high, 204.0, 1.0, day], [np.nan, 7.0, np.nan, day]])
    assert columns.beyond(inside) is None
    outside = inside + np.array([[-1.0, 0, 0, 0], [0, 0, 5, 0], [0, 0, 0, 0]])  # a category is not outside of a range
    assert columns.beyond(outside) == (
        f"the noise left the range of the data: column 'pay' had values down to {low - 1:g}, below the least value"
        f" of the data, {columns[0].text(low)}; Binned and Pool keep to what occurs"
    )
    both = columns.beyond(inside + np.array([[-1.0, -9.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 0]]))
    assert f"column 'pay' had values down to {low - 1:g}, below the least" in both
    assert f" and up to {high + 2:g}, above the greatest, {columns[0].text(high)}; column 'age' had values down" in both
    above = columns.beyond(inside + np.array([[0, 0, 0, 0], [0, 6.0, 0, 0], [0, 0, 0, 0]]))
    assert "column 'age' had values up to 210, above the greatest, 204; " in above


def test_beyond_names_three_columns():
    columns = Columns.from_data(np.linspace(0, 1, 50).reshape(10, 5))
    text = columns.beyond(np.full((1, 5), 7.0))
    assert text.count("column '") == 3
    assert "; and 2 more columns; Binned" in text


def test_what_the_data_does_not_have():
    columns = Columns.from_data(TABLE)
    values = np.array([[np.nan, np.nan, np.nan, np.nan, np.nan, 2.0], [1.0, 999.0, 2.0, 7.0, 0.0, 1.5]])
    expected = [[False, True, False, True, True, False], [False, False, False, True, False, False]]
    assert_array_equal(columns.is_unseen(values), expected)


# --- refusals


REFUSED = {
    "infinite": (
        pd.DataFrame({"a": [1.0, np.inf, -np.inf], "b": 0.5}),
        ValueError,
        r"X must be finite, got 2 infinite values in column 'a', the first in row 1; replace them by a missing value$",
    ),
    "an infinite array": (
        np.array([[1.0, np.inf]]),
        ValueError,
        "X must be finite, got 1 .* in column '?1'?, ",
    ),
    "nothing but missing": (pd.DataFrame({"a": [np.nan] * 3, "b": None}), ValueError, "X must have values, got only"),
    "an array of nothing": (np.full((3, 2), np.nan), ValueError, "X must have values, got only missing ones$"),
    "no rows": (TABLE[:0], ValueError, r"X must not be empty, got shape \(0, 6\)$"),
    "lists": (pl.DataFrame({"a": [[1], [2]]}), TypeError, "X must hold numbers, .*, got column 'a' of dtype List.*"),
    "structs": (pl.DataFrame({"a": [{"b": 1}]}), TypeError, "X must hold numbers, text, .*; leave it out$"),
    "bytes": (pa.table({"a": [b"x"]}), TypeError, "X must hold numbers, .* 'a' of dtype binary; leave it out$"),
    "complex": (pd.DataFrame({"a": [1j]}), TypeError, "X must hold numbers, .* 'a' of dtype complex128; leave it out$"),
    "a lazy frame": (
        pl.LazyFrame({"a": [1]}),
        TypeError,
        r"X must be .*, got a LazyFrame; pass X\.collect\(\)",
    ),
    "twice": (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "X must have unique column names, got .*'a'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name):
    X, error, message = REFUSED[name]
    with pytest.raises(error, match=f"^{message}") as caught:
        Columns.from_data(X)
    assert "\n" not in str(caught.value)
