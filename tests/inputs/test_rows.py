"""The user's rows as samplers see them, and back: what the model gets is what the user has."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse

from normlime_fast._inputs.columns import Columns
from normlime_fast._inputs.rows import Rows, as_arrays, as_rows, as_sparse_rows, as_texts, joined

WORDS = ["zebra", "ant", "cow", "bee"]

# kinds of columns with categories, made from numbers from 0 to 3
KINDS = {
    "str": lambda codes: pd.Series(np.array(WORDS)[codes]),
    "string": lambda codes: pd.Series(np.array(WORDS)[codes], dtype="string"),
    "string[python]": lambda codes: pd.Series(np.array(WORDS)[codes], dtype="string[python]"),
    "objects": lambda codes: pd.Series(np.array(WORDS, object)[codes], dtype=object),
    "objects that are numbers": lambda codes: pd.Series(codes.tolist(), dtype=object),
    "tuples": lambda codes: pd.Series([(2, "b"), (1, "a"), (1, "b"), (0, "a")]).take(codes),
    "category": lambda codes: pd.Series(pd.Categorical.from_codes(codes, [*WORDS, "unused"])),
    "ordered category": lambda codes: pd.Series(pd.Categorical.from_codes(codes, WORDS, ordered=True)),
    "category of ints": lambda codes: pd.Series(pd.Categorical.from_codes(codes, [7, -3, 40, 5])),
    "category of intervals": lambda codes: pd.Series(pd.cut(codes, [-1, 0, 1, 2, 3])),
    "int8": lambda codes: pd.Series(codes.astype(np.int8)),
    "int64": lambda codes: pd.Series(codes * 1000 - 7),
    "large ints": lambda codes: pd.Series(codes + 2**60),  # which float64 does not tell apart
    "bool": lambda codes: pd.Series(codes > 1),
    "boolean": lambda codes: pd.Series(codes > 1, dtype="boolean"),
    "Int64": lambda codes: pd.Series(codes, dtype="Int64"),
    "Float64": lambda codes: pd.Series(codes / 3, dtype="Float64"),
    "float64": lambda codes: pd.Series(codes / 3),
    "float32": lambda codes: pd.Series((codes / 3).astype(np.float32)),
    "days": lambda codes: pd.Series(np.datetime64("2020-01-01") + codes),
    "days somewhere": lambda codes: pd.Series(np.datetime64("2020-01-01") + codes).dt.tz_localize("UTC"),
    "pyarrow": lambda codes: pd.Series(np.array(WORDS)[codes], dtype="string[pyarrow]"),
}


@st.composite
def frames(draw):
    """A frame of columns of any kind, some with missing values, and which of them are named as categories."""
    n = draw(st.integers(1, 9))
    columns, categorical = [], []
    names = draw(st.permutations(["a", "b", 3, ("c", "d"), 0]))[: draw(st.integers(1, 5))]
    for position, name in enumerate(names):
        has_categories = draw(st.booleans())
        kind = draw(st.sampled_from([*KINDS]))
        codes = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
        column = KINDS[kind](codes).reset_index(drop=True)
        if draw(st.booleans()) and column.dtype != bool and "int" not in str(column.dtype):
            column = column.mask(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))))
        columns.append(column)
        by_name = draw(st.booleans()) or position in (0, 3)  # where a position is another column's name
        categorical += [name if by_name else position] * has_categories
    frame = pd.DataFrame(dict(enumerate(columns)))
    frame.columns = pd.Index(names, tupleize_cols=False)
    return frame, draw(st.permutations(categorical))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(frames(), st.booleans())
def test_a_frame_comes_back_as_it_was(drawn, again):
    frame, categorical = drawn
    before = frame.copy(deep=True)
    rows = as_rows(frame, columns=Columns.from_data(frame, categorical))
    assert rows.values.shape == frame.shape
    assert rows.values.flags.c_contiguous
    assert rows.values.dtype == (np.float32 if (frame.dtypes == np.float32).all() else np.float64)
    if again:
        rows = pickle.loads(pickle.dumps(rows))
    for _ in range(1 + again):
        pd.testing.assert_frame_equal(rows.like(rows.values), frame, check_exact=True)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("kind", KINDS)
def test_other_categories_than_the_rows_have(kind):
    """Perturbed rows get any category of the data, as X has it, though X may have others."""
    codes = np.random.default_rng(0).integers(4, size=40)
    data = pd.DataFrame({"x": np.zeros(40), "c": KINDS[kind](codes).to_numpy()})
    data["c"] = KINDS[kind](codes).reset_index(drop=True)
    columns = Columns.from_data(data, ["c"])
    categories = columns.categories
    rows = as_rows(data[:1], columns=columns)
    order = np.random.default_rng(1).integers(len(categories.values[0]), size=100)
    values = np.zeros((100, 2))
    values[:, 1] = categories.numbers(0)[order]
    frame = rows.like(values)
    assert frame.dtypes.tolist() == data.dtypes.tolist()
    assert frame["c"].tolist() == [categories.values[0][k] for k in order]
    assert set(frame["c"]) == set(data["c"])


def test_what_categories_are():
    frame = pd.DataFrame(
        {
            "word": ["b", "a", "b", "b"],
            "x": [0.5, 0.0, 1.0, 2.0],
            "flag": [True, False, False, False],
            "code": pd.Categorical([30, -1, 30, 7], categories=[30, 9, 7, -1]),
        }
    )
    columns = Columns.from_data(frame, ["code", 0, "flag"])
    categories = columns.categories
    assert categories.columns == (0, 2, 3)
    assert categories.values == (("a", "b"), (False, True), (-1, 7, 30))
    assert [share.tolist() for share in categories.frequencies] == [[0.25, 0.75], [0.75, 0.25], [0.25, 0.25, 0.5]]
    assert [categories.is_coded(k) for k in range(3)] == [True, False, False]
    assert [categories.numbers(k).tolist() for k in range(3)] == [[0.0, 1.0], [0.0, 1.0], [-1.0, 7.0, 30.0]]
    assert {categories.numbers(k).dtype for k in range(3)} == {np.dtype(np.float64)}
    assert [categories.names(k) for k in range(3)] == [("a", "b"), ("False", "True"), ("-1", "7", "30")]
    assert categories.mask(5).tolist() == [True, False, True, True, False]
    rows = as_rows(frame, columns=columns)
    assert_array_equal(rows.values, [[1, 0.5, 1, 30], [0, 0, 0, -1], [1, 1, 0, 30], [1, 2, 0, 7]])
    assert rows.categories is categories
    assert rows.feature_names == ("word", "x", "flag", "code")


def test_categories_of_an_array():
    X = np.array([[3, 0.5], [1, 0.25], [3, 0.5], [2, 0.5]])
    columns = Columns.from_data(X, np.array([1, 0]))
    categories = columns.categories
    assert categories.values == ((1.0, 2.0, 3.0), (0.25, 0.5))
    assert [share.tolist() for share in categories.frequencies] == [[0.25, 0.25, 0.5], [0.25, 0.75]]
    assert [categories.names(k) for k in range(2)] == [("1", "2", "3"), ("0.25", "0.5")]
    rows = as_rows(X.astype(np.float32), columns=columns)
    assert rows.values.dtype == np.float32
    assert rows.like(rows.values) is rows.values
    frame = pd.DataFrame(X).astype({0: np.int16})
    assert_array_equal(as_rows(frame, columns=columns).values, X)  # frames have numbers as arrays do
    pd.testing.assert_frame_equal(as_rows(frame, columns=columns).like(X), frame)


def test_columns_that_nothing_is_known_of():
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 0.25]})
    rows = as_rows(frame)
    assert_array_equal(rows.values, [[1, 0.5], [2, 0.25]])
    given = rows.like(rows.values)
    assert given.dtypes.tolist() == [np.float64, np.float64]  # an int that may be perturbed
    assert np.shares_memory(given.to_numpy(), rows.values)


FRAME = pd.DataFrame({"x": [0.0, 1.0, 2.0], "c": ["a", "b", "a"], "i": [300, 2, 300]})
KNOWN = Columns.from_data(FRAME, ["c", "i"])
EMPTY = FRAME[:0]

FROM_DATA_REFUSED = {
    "a name": (FRAME, "c", TypeError, "categorical must be a list of columns, got 'c'"),
    "a number": (FRAME, 1, TypeError, "categorical must be a list of columns, got 1"),
    "unknown": (FRAME, ["z"], ValueError, r"categorical must hold names or positions of columns of X, got 'z'"),
    "not hashable": (FRAME, [["c"]], ValueError, r"categorical must hold names or positions of .* X, got \['c'\]"),
    "a bool": (np.eye(2), [True], ValueError, "categorical must hold positions of columns of X, got True"),
    "a name of an array's": (np.eye(2), ["a"], ValueError, "categorical must hold positions of columns of X, got 'a'"),
    "too large": (FRAME, [3], ValueError, "categorical must hold positions from 0 to 2, got 3"),
    "negative": (FRAME, [-1], ValueError, "categorical must hold positions from 0 to 2, got -1"),
    "twice": (FRAME, ["c", 1], ValueError, "categorical must not contain duplicates, got 1 twice"),
    "infinite": (FRAME.replace(1.0, np.inf), ["x"], ValueError, "X must be finite, got infinite .* column 'x'"),
    "infinite number": (
        FRAME.replace(1.0, np.inf),
        [],
        ValueError,
        "X must be finite, got 1 .* 'x', the first in row 1",
    ),
    "lists": (FRAME.assign(c=[[1], [2], [1]]), ["c"], TypeError, r"X must have values .* column 'c', got \[1\]"),
    "no rows": (EMPTY, ["c"], ValueError, r"X must not be empty, got shape \(0, 3\)"),
    "strings in an array": (np.array([["a", 1]], object), [0], TypeError, "X must hold real numbers"),
}


def refuse(error, message, call):
    with pytest.raises(error, match=f"^{message}") as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FROM_DATA_REFUSED)
def test_data_without_categories(name):
    X, categorical, error, message = FROM_DATA_REFUSED[name]
    refuse(error, message, lambda: Columns.from_data(X, categorical))


ARRAY = np.array([[0.0, 1.0], [0.5, 3.0]])
OF_ARRAY = Columns.from_data(ARRAY, [1], unseen="raise")
STRICT = Columns.from_data(FRAME, ["c", "i"], unseen="raise")

ROWS_REFUSED = {
    "unseen": (FRAME.replace("b", "z"), STRICT, ValueError, "X must have known .* column 'c', got 'z' in row 1"),
    "missing": (
        FRAME.replace("b", None),
        STRICT,
        ValueError,
        "X must have known .* column 'c', got a missing value in row 1",
    ),
    "text for a number": (
        FRAME.assign(i=[300, "3", 300]),
        KNOWN,
        ValueError,
        "X must have known .* 'i', got '3' in row 1",
    ),
    "unseen number": (FRAME.replace(2, 3), STRICT, ValueError, "X must have known .* column 'i', got 3 in row 1"),
    "of an array": (ARRAY + 1, OF_ARRAY, ValueError, r"X must have known .* column 1, got 2\.0 in row 0"),
    "between": (ARRAY - [0, 0.5], OF_ARRAY, ValueError, r"X must have known .* column 1, got 0\.5 in row 0"),
    "missing in an array": (
        ARRAY * np.nan,
        OF_ARRAY,
        ValueError,
        "X must have known .* 1, got a missing value in row 0",
    ),
    "too few columns": (ARRAY[:, :1], OF_ARRAY, ValueError, "X must have more than 1 columns, .*, got 1"),
    "too few in a frame": (FRAME[["x"]], KNOWN, ValueError, "X must have the columns .*, got none of "),
    "an array": (ARRAY, KNOWN, ValueError, "X must have more than 2 columns, as column 2 has categories, got 2"),
    "an array of codes": (np.eye(3), KNOWN, TypeError, r"X must be a DataFrame, as column 1 has the .* \['a', 'b'\]"),
    "a smaller dtype": (
        FRAME[1:2].astype({"i": np.int8}),
        KNOWN,
        ValueError,
        "X must have a dtype for 2 to 300 in column 'i', got int8; give it the dtype of",
    ),
    "fewer categories": (
        FRAME[:1].astype({"c": "category"}),
        KNOWN,
        ValueError,
        "X must have a dtype for all known categories in column 'c', got category",
    ),
    "other columns": (
        FRAME.assign(x=["a", "b", "c"]),
        KNOWN,
        TypeError,
        "X must hold numbers in column 'x', as .* got",
    ),
    "lists": (FRAME.assign(c=[[1], [2], [1]]), KNOWN, TypeError, "X must have values .* compared in column 'c'"),
}


@pytest.mark.parametrize("name", ROWS_REFUSED)
def test_rows_with_other_categories(name):
    X, columns, error, message = ROWS_REFUSED[name]
    refuse(error, message, lambda: as_rows(X, columns=columns))


# ---- Arrays, sparse rows, texts


@pytest.mark.parametrize("dtype", ["u1", "i4", "?", "f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 3)])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, lambda X: np.repeat(X, 2, 0)[::2]])
def test_arrays(dtype, shape, layout):
    X = layout(np.arange(np.prod(shape)).reshape(shape).astype(dtype))
    rows = as_arrays(X)
    assert rows.values.dtype == np.dtype(dtype).newbyteorder("=")
    assert rows.values.flags.c_contiguous
    assert_array_equal(rows.values, X)
    assert rows.like(rows.values) is rows.values
    assert (rows.count, rows.feature_names) == (2, None)
    if X.flags.c_contiguous and X.dtype.isnative:
        assert np.shares_memory(rows.values, X)


FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]


@pytest.mark.parametrize("of", [sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int8, np.bool_])
@pytest.mark.parametrize("format", FORMATS)
def test_sparse_rows(format, dtype, of):
    dense = (np.random.default_rng(2).integers(-2, 2, (6, 9)) * np.eye(6, 9, 1)).astype(dtype)
    X = of(dense).asformat(format)
    rows = as_sparse_rows(X)
    assert type(rows.values) is of
    assert rows.values.dtype == (np.float32 if dtype == np.float32 else np.float64)
    assert_array_equal(rows.values.toarray(), dense)
    assert_array_equal(X.toarray(), dense)
    assert rows.values.nnz == np.count_nonzero(dense)
    assert rows.values.has_canonical_format
    assert rows.like(rows.values) is rows.values
    assert (rows.count, rows.feature_names) == (6, None)


@pytest.mark.parametrize("of", [sparse.csr_array, sparse.csr_matrix])
def test_sparse_rows_are_put_in_order_and_the_users_stay(of):
    parts = np.array([1.0, 2, 3, 0, 4, -4]), np.array([2, 0, 2, 1, 1, 1]), np.array([0, 3, 6])
    X = of(tuple(part.copy() for part in parts), shape=(2, 3))
    rows = as_sparse_rows(X)
    assert_array_equal(rows.values.data, [2, 4])
    assert_array_equal(rows.values.indices, [0, 2])
    assert_array_equal(rows.values.indptr, [0, 2, 2])
    for name, part in zip(("data", "indices", "indptr"), parts, strict=True):
        assert_array_equal(getattr(X, name), part)
    zeros = of((np.array([1.0, 0, 2]), np.array([0, 1, 2]), np.array([0, 2, 3])), shape=(2, 3))
    assert_array_equal(as_sparse_rows(zeros).values.data, [1, 2])
    assert_array_equal(zeros.data, [1, 0, 2])
    tidy = of(np.eye(3))
    assert np.shares_memory(as_sparse_rows(tidy).values.data, tidy.data)


def test_texts():
    texts = ["one", "", "three words here\n", "\N{SNOWMAN}"]
    series = pd.Series(texts, index=[3, 1, 0, 2])
    for X in (texts, tuple(texts), np.array(texts), np.array(texts, object), series, series.astype(object)):
        rows = as_texts(X)
        assert (rows.values.dtype, rows.values.shape) == (object, (4,))
        assert (rows.count, rows.feature_names) == (4, None)
        assert rows.like(rows.values) == texts
        assert type(rows.like(rows.values)) is list
        assert {type(text) for text in rows.like(rows.values)} == {str}


MASKED = np.ma.masked_equal(np.ones((2, 2)), 1.0)
BROKEN = sparse.csr_array(np.eye(3))
BROKEN.indices[1] = 7
NOT_FINITE = np.array([[0.0, 2.0, 0.0], [0.0, np.inf, 1.0]])

REFUSED = {
    "1-D": (as_arrays, [1.0], ValueError, r"X must have 2 dimensions or more, got shape \(1,\)"),
    "no images": (as_arrays, np.zeros((0, 2, 2)), ValueError, r"X must not be empty, got shape \(0, 2, 2\)"),
    "complex": (as_arrays, [[1j]], TypeError, "X must hold real numbers, got dtype complex128"),
    "objects": (as_arrays, [[None]], TypeError, "X must hold real numbers, got dtype object"),
    "NaN": (as_arrays, [[[1.0, np.nan], [np.inf, 0]]], ValueError, r"X must be finite, got 2 NaN .* \(0, 0, 1\)$"),
    "ragged": (as_arrays, [[1.0], [1.0, 2.0]], ValueError, "X must be an array, got a list whose rows differ"),
    "masked": (as_arrays, MASKED, ValueError, "X must not have masked values"),
    "sparse": (as_arrays, BROKEN, TypeError, "X must be a dense array, got a sparse matrix"),
    "a frame": (as_arrays, FRAME[["x"]], TypeError, r"X must be an array, got a DataFrame; pass X\.to_numpy\(\)"),
    "dense": (as_sparse_rows, np.eye(2), TypeError, "X must be a scipy sparse matrix, got ndarray; pass csr_array"),
    "a row": (as_sparse_rows, sparse.coo_array([1.0, 2.0]), TypeError, r"X must be 2-D .*, got shape \(2,\)"),
    "complex entries": (as_sparse_rows, sparse.csr_array([[1j]]), TypeError, "X must be 2-D with real .* complex128"),
    "no sparse rows": (as_sparse_rows, sparse.csr_array((0, 3)), ValueError, r"X must not be empty, .* \(0, 3\)"),
    "indices beyond": (as_sparse_rows, BROKEN, ValueError, "X must be a valid sparse matrix: .*"),
    "infinite": (
        as_sparse_rows,
        sparse.csr_array(NOT_FINITE),
        ValueError,
        r"X must be finite, got 1 NaN .* at \(1, 1\)$",
    ),
    "one text": (as_texts, "text", TypeError, r"X must be a list of str, got a single str; pass \[X\]"),
    "bytes": (as_texts, ["a", b"b"], TypeError, "X must hold only str, got b'b' at position 1"),
    "a missing text": (as_texts, pd.Series(["a", None, "b"]), TypeError, "X must hold .* got (nan|None) at position 1"),
    "no texts": (as_texts, [], ValueError, "X must not be empty"),
    "a frame of texts": (as_texts, FRAME, TypeError, "X must be a list of str, got DataFrame"),
    "a table of texts": (as_texts, np.array([["a"]]), TypeError, "X must be a list of str, got ndarray"),
    "a generator": (as_texts, iter(["a"]), TypeError, "X must be a list of str, got list_iterator"),
    "a dict": (as_texts, {"a": "b"}, TypeError, "X must be a list of str, got dict"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_rows(name):
    make, X, error, message = REFUSED[name]
    refuse(error, message, lambda: make(X))


def test_messages_have_the_name():
    for make in (as_rows, as_arrays, as_sparse_rows, as_texts):
        with pytest.raises((TypeError, ValueError), match=r"^batch must"):
            make(3, "batch")


# ---- Parts and wholes

ROWS = {
    "table": as_rows(np.arange(12.0).reshape(4, 3)),
    "frame": as_rows(FRAME, columns=KNOWN),
    "images": as_arrays(np.arange(48, dtype=np.uint8).reshape(4, 3, 4)),
    "csr_array": as_sparse_rows(sparse.csr_array(np.eye(4, 3))),
    "csr_matrix": as_sparse_rows(sparse.csr_matrix(np.eye(4, 3))),
    "texts": as_texts(["a", "b", "c", "d"]),
}


def dense(values):
    return values.toarray() if sparse.issparse(values) else values


@pytest.mark.parametrize("kind", ROWS)
def test_parts_are_joined(kind):
    rows = ROWS[kind]
    cut = [rows.take(slice(0, 1)), rows.take(slice(1, 9))]
    assert [part.count for part in cut] == [1, rows.count - 1]
    assert all(part.header is rows.header and part.categories is rows.categories for part in cut)
    whole = joined([part.values for part in cut])
    assert type(whole) is type(rows.values)
    assert whole.dtype == rows.values.dtype
    assert_array_equal(dense(whole), dense(rows.values))
    assert joined([rows.values]) is rows.values
    some = rows.take(np.arange(rows.count) % 2 == 1)
    assert_array_equal(dense(some.values), dense(rows.values)[1::2])


@pytest.mark.parametrize("kind", ROWS)
def test_identity(kind):
    rows = ROWS[kind]
    identity = rows.identity()
    columns = ["x float64", f"c {FRAME['c'].dtype}", "i int64"] if kind == "frame" else None
    assert [*identity] == ["X of shape", "X of dtype", "columns", "values of X", "categories of X"]
    assert identity["X of shape"] == list(rows.values.shape)
    assert identity["X of dtype"] == str(rows.values.dtype)
    assert identity["columns"] == columns
    assert identity["values of X"] is rows.values


def test_rows_that_overflow_a_float32_column():
    rows = Rows(np.zeros((1, 2)), pd.DataFrame({"a": np.zeros(0, np.float32), "b": np.zeros(0)}))
    refuse(ValueError, "X must not overflow float32 when it is perturbed", lambda: rows.like(np.array([[1e39, 0]])))
    assert rows.like(np.array([[0, 1e39]]))["b"].tolist() == [1e39]
