"""What the model gets, in which calls, and what it may return."""

import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import normlime_fast as nlf
from normlime_fast._inputs.rows import as_arrays, as_rows, as_sparse_rows, as_texts
from normlime_fast._model import Model


def explain(predict, X, *, neighborhood=nlf.Gaussian(1.0), index=None, progress=False, **options):  # noqa: B008
    options = {"n_features": 3, "n_samples": 50, "rng": 0} | options
    return nlf.NormLIME(predict, neighborhood, **options).explain(X, index=index, progress=progress)


class Recorder:
    """A model that keeps a copy of all rows it was given, and the threads it was called from."""

    def __init__(self, model):
        self.model, self.calls, self.threads = model, [], set()

    def __call__(self, X):
        self.calls.append(X.copy())
        self.threads.add(threading.current_thread())
        return self.model(X)


def test_one_output_may_come_with_or_without_a_second_dimension():
    X = np.random.default_rng(6).normal(size=(3, 4))
    flat, column = (
        explain(lambda X, shape=shape: np.square(X).sum(axis=1).reshape(shape), X, targets=targets)
        for shape, targets in (((-1,), "predicted"), ((-1, 1), "all"))
    )
    assert_array_equal(flat.weights.toarray(), column.weights.toarray())
    assert_array_equal(flat.target, column.target)
    assert flat.target_names is column.target_names is None


@pytest.mark.parametrize("kind", [list, pd.DataFrame, np.float32, np.int64])
def test_outputs_of_any_numeric_kind(kind):
    X = np.random.default_rng(7).normal(size=(3, 4))

    def model(X):
        outputs = np.rint(4 * X[:, :2])
        if kind is list:
            return outputs.tolist()
        return kind(outputs) if kind is pd.DataFrame else outputs.astype(kind)

    given, expected = (explain(f, X, targets="all") for f in (model, lambda X: np.rint(4 * X[:, :2])))
    assert_array_equal(given.weights.toarray(), expected.weights.toarray())
    assert_array_equal(given.prediction, expected.prediction)


# ---- Kinds of input

BINARY = np.random.default_rng(9).integers(0, 2, (4, 3))  # the same numbers in every kind
CURVE = [2.0, -1.0, 0.5]


def curve(X):
    return (np.asarray(X, np.float64) ** 2 * CURVE).sum(axis=1)


def read_only(X):
    X.setflags(write=False)
    return X


KINDS = {
    "float64": (BINARY.astype(np.float64), np.float64),
    "float32": (BINARY.astype(np.float32), np.float32),
    "float16": (BINARY.astype(np.float16), np.float64),
    "int64": (BINARY, np.float64),
    "uint8": (BINARY.astype(np.uint8), np.float64),
    "bool": (BINARY.astype(bool), np.float64),
    "object": (BINARY.astype(object), np.float64),
    "big-endian": (BINARY.astype(">f8"), np.float64),
    "Fortran order": (np.asfortranarray(BINARY, np.float64), np.float64),
    "read-only": (read_only(BINARY.astype(np.float64)), np.float64),
    "every other column": (np.repeat(BINARY, 2, axis=1).astype(np.float64)[:, ::2], np.float64),
    "reversed": (BINARY[::-1, ::-1].astype(np.float64)[::-1, ::-1], np.float64),
    "lists": (BINARY.tolist(), np.float64),
}


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_any_kind(kind):
    X, dtype = KINDS[kind]
    model = Recorder(curve)
    local = explain(model, X)
    assert {(type(rows), rows.dtype, rows.flags.c_contiguous) for rows in model.calls} == {
        (np.ndarray, np.dtype(dtype), True)
    }
    expected = explain(curve, BINARY.astype(dtype))
    assert_array_equal(local.weights.toarray(), expected.weights.toarray())
    assert local.feature_names is None


def test_float32_and_float64_get_the_same_samples():
    wide, narrow = Recorder(curve), Recorder(curve)
    explain(wide, BINARY.astype(np.float64))
    explain(narrow, BINARY.astype(np.float32))
    assert_array_equal(wide.calls[1].astype(np.float32), narrow.calls[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_a_frame_gives_the_numbers_of_its_array(dtype):
    frame = pd.DataFrame(BINARY.astype(dtype), columns=["a", "b", "c"], index=list("wxyz"))
    local = explain(curve, frame)
    expected = explain(curve, BINARY.astype(dtype))
    assert_array_equal(local.weights.toarray(), expected.weights.toarray())
    assert local.feature_names == ("a", "b", "c")
    assert local.importance().feature_names == ("a", "b", "c")
    assert_array_equal(local.instance, range(4))


def test_the_model_sees_a_frame_like_the_one_given():
    columns = [1, "b", ("c", "d"), "bool", "nullable"]
    dtypes = [np.float32, np.float64, np.int64, np.bool_, pd.Float64Dtype()]
    X = np.random.default_rng(10).integers(0, 2, (4, 5)).astype(np.float64)
    frame = pd.DataFrame(X)
    frame.columns = pd.Index(columns, tupleize_cols=False)
    frame = frame.astype(dict(zip(columns, dtypes, strict=True)))
    model, plain = (Recorder(lambda X: np.asarray(X, np.float64).sum(axis=1)) for _ in range(2))
    local = explain(model, frame)
    explain(plain, X)
    for given, rows in zip(model.calls, plain.calls, strict=True):
        assert type(given) is pd.DataFrame
        assert given.columns.equals(frame.columns)
        assert given.dtypes.tolist() == [np.float32, np.float64, np.float64, np.float64, pd.Float64Dtype()]
        assert_array_equal(given["b"], rows[:, 1])
        assert_array_equal(given[1], rows[:, 0].astype(np.float32))
        assert_array_equal(given["nullable"].to_numpy(np.float64), rows[:, 4])
    assert local.feature_names == ("1", "b", "('c', 'd')", "bool", "nullable")


def test_a_scikit_learn_model_fitted_to_a_frame():
    data = load_iris(as_frame=True)
    model = LogisticRegression(max_iter=1000).fit(data.data, data.target)  # would warn of missing feature names
    local = explain(model.predict_proba, data.data[::30], neighborhood=nlf.Gaussian.from_data(data.data))
    assert local.feature_names == tuple(data.feature_names)
    assert local.target_names == ("0", "1", "2")
    assert set(local.importance(by="target").to_frame()["feature"]) == set(data.feature_names)


def test_the_model_sees_categories_as_the_frame_has_them():
    generator = np.random.default_rng(21)
    frame = pd.DataFrame(
        {
            "x": generator.normal(size=40),
            "code": generator.integers(3, size=40).astype(np.int16),
            "word": np.array(["b", "a"])[generator.integers(2, size=40)],
            "kind": pd.Categorical(generator.integers(2, size=40), categories=[1, 7, 0]),
        }
    )
    codes = frame.assign(word=frame["word"] == "b", kind=frame["kind"].astype(int)).to_numpy(float)
    model, plain = (Recorder(lambda X: np.asarray(X["x"] if hasattr(X, "columns") else X[:, 0])) for _ in range(2))
    for one, X, names in ((model, frame, ["word", "code", "kind"]), (plain, codes, [2, 1, 3])):
        explain(one, X[:3], neighborhood=nlf.Gaussian.from_data(X, categorical=names))
    for given, rows in zip(model.calls, plain.calls, strict=True):  # the codes of an array's are its numbers
        assert given.dtypes.equals(frame.dtypes)
        expected = frame.iloc[:0].reindex(range(len(rows)))
        expected["x"], expected["code"] = rows[:, 0], rows[:, 1].astype(np.int16)
        expected["word"] = np.where(rows[:, 2] == 1, "b", "a")
        expected["kind"] = pd.Categorical(rows[:, 3].astype(int), categories=[1, 7, 0])
        pd.testing.assert_frame_equal(given, expected, check_exact=True)
    assert len(model.calls[1]) == 150


ANY_ROWS = {
    "table": as_rows(np.arange(36.0).reshape(12, 3)),
    "frame": as_rows(pd.DataFrame({"a": np.arange(12.0), "b": 1.0})),
    "images": as_arrays(np.arange(12 * 6, dtype=np.uint8).reshape(12, 2, 3)),
    "csr_array": as_sparse_rows(sparse.csr_array(np.tri(12, 4))),
    "csr_matrix": as_sparse_rows(sparse.csr_matrix(np.tri(12, 4))),
    "texts": as_texts([f"text {k}" for k in range(12)]),
}


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
@pytest.mark.parametrize("kind", ANY_ROWS)
def test_rows_of_any_kind_in_batches(kind, batch_size):
    rows, kept = ANY_ROWS[kind], []

    def model(given):
        kept.append(given)
        count = len(given) if isinstance(given, list) else given.shape[0]
        return np.arange(count) + 100.0 * len(kept)

    outputs = Model(model, batch_size).predict(rows, rows.values, np.arange(4))
    k = np.arange(12)
    assert_array_equal(outputs, (k % batch_size + 100.0 * (k // batch_size + 1))[:, None])
    expected_type = {"texts": list, "frame": pd.DataFrame}.get(kind, type(rows.values))
    assert {type(given) for given in kept} == {expected_type}
    if kind == "texts":
        assert sum(kept, []) == rows.values.tolist()  # noqa: RUF017
    else:
        dense = [given.toarray() if sparse.issparse(given) else np.asarray(given) for given in kept]
        whole = rows.values.toarray() if sparse.issparse(rows.values) else rows.values
        assert_array_equal(np.concatenate(dense), whole)
    if kind in ("table", "images"):
        assert not any(given.flags.writeable for given in kept)  # they are filled again
        assert rows.values.flags.writeable


@pytest.mark.parametrize("kind", ["images", "csr_array", "texts"])
def test_errors_of_a_model_of_any_kind_of_rows(kind):
    rows = ANY_ROWS[kind]
    with pytest.raises(ValueError, match=r"\(5,\) numbers for 5 rows of instances 0 to 1, got shape \(1,\)"):
        Model(lambda given: [0.0], 5).predict(rows, rows.values, np.arange(4))
    with pytest.raises(ValueError, match="got nan for output 0 of a sample around instance 3; 1 of these 1 instances"):
        Model(lambda given: np.full(5, np.nan), 5).predict(rows, rows.values[7:], np.array([3]))


def test_a_model_that_works_in_place_changes_neither_the_data_nor_the_result():
    def in_place(X):
        X -= 1.0
        return (X**2 * CURVE).sum(axis=1)

    X = np.random.default_rng(12).normal(size=(3, 3))
    kept = X.copy()
    local = explain(in_place, X)
    assert_array_equal(X, kept)
    expected = explain(lambda X: ((X - 1.0) ** 2 * CURVE).sum(axis=1), kept)
    assert_array_equal(local.weights.toarray(), expected.weights.toarray())


# ---- Calls


@pytest.mark.parametrize("batch_size", [1, 7, 50, 120, 10_000])
@pytest.mark.parametrize("n_jobs", [None, 1, 2, -1])
def test_calls_of_the_model(batch_size, n_jobs):
    X = np.random.default_rng(13).normal(size=(5, 3))
    model = Recorder(curve)
    explain(model, X, batch_size=batch_size, n_jobs=n_jobs)
    sizes = [len(rows) for rows in model.calls]
    assert max(sizes) == {1: 1, 7: 7, 50: 50, 120: 100, 10_000: 250}[batch_size]  # whole neighborhoods where they fit
    assert sum(sizes) == 5 + 5 * 50
    assert len(sizes) <= -(-5 // batch_size) + 5 * -(-50 // batch_size)  # no call smaller than it must be
    assert model.threads == {threading.current_thread()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_batch_is_near_8_mib_by_default(dtype):
    sizes = []

    def model(X):
        sizes.append(X.nbytes)
        return X[:, 0]

    row_bytes = 1024 * np.dtype(dtype).itemsize
    n_samples = 3 * (8 << 20) // (2 * row_bytes)  # of one instance: one and a half batches
    explain(model, np.zeros((1, 1024), dtype), n_features=1, n_samples=n_samples)
    assert sizes == [row_bytes, 8 << 20, 4 << 20]


# ---- Progress


@pytest.mark.parametrize(("batch_size", "steps"), [(50, [1, 2, 3, 4, 5]), (120, [2, 4, 5]), (None, [5])])
def test_progress_is_told_to_a_callable(batch_size, steps):
    seen = []
    explain(curve, np.zeros((5, 3)), batch_size=batch_size, progress=lambda *state: seen.append(state))
    assert seen == [(done, 5) for done in steps]


@pytest.mark.parametrize("progress", [True, False])
def test_progress_draws_a_bar_to_stderr(progress, capsys):
    explain(curve, np.zeros((5, 3)), batch_size=120, progress=progress)
    out, err = capsys.readouterr()
    assert not out
    assert ("5/5" in err) == progress


# ---- Outputs at the limits

LARGEST = np.finfo(np.float64).max

# model of x in N(0, 1), status expected, part of the warning (None: no warning)
LIMITS = {
    "constant": (lambda x: np.full_like(x, 0.1), 2, "did not vary"),
    "constant 0": (lambda x: 0.0 * x, 2, "did not vary"),  # has -0.0 in it
    "constant 1e300": (lambda x: np.full_like(x, 1e300), 2, "did not vary"),
    "saturated": (lambda x: 1 / (1 + np.exp(-x - 100)), 2, "did not vary"),
    "a last bit": (lambda x: 1.0 + np.spacing(1.0) * (x > 0), 2, "did not vary"),
    "subnormal": (lambda x: 5e-324 * (x > 0), 2, "did not vary"),
    "tiny": (lambda x: 1e-290 * x, 0, None),
    "1e300": (lambda x: 1e300 * x, 0, None),
    "1e300 and a bit": (lambda x: 1e300 + 1e290 * x, 0, None),
    "largest range": (lambda x: np.where(x > 0, LARGEST, 0.0), 0, None),
    "range overflows": (lambda x: np.where(x > 0, LARGEST, -LARGEST), 5, "overflows"),
}


def assert_finite(local):
    for array in (local.weights.data, local.intercept, local.r2, local.prediction):
        assert np.isfinite(array).all()
    empty = np.diff(local.weights.indptr) == 0
    assert_array_equal(empty, np.isin(local.status, [2, 3, 5]))
    assert (local.r2[empty] == 0).all()
    assert (local.r2 <= 1 + 1e-12).all()  # a quotient of sums of n = 50 terms


@pytest.mark.parametrize("name", LIMITS)
def test_outputs_at_the_limits(name):
    model, status, message = LIMITS[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        local = explain(lambda X: model(X[:, 0]), np.zeros((4, 1)), n_features=1)
    assert_array_equal(local.status, status)
    assert_finite(local)
    if message is None:
        assert not caught
    else:
        (warning,) = caught
        assert warning.category is UserWarning
        assert message in str(warning.message)
        assert "4 explanations, 4 empty because" in str(warning.message)
        assert f"(status {status})" in str(warning.message)
        assert warning.filename == __file__


def test_weights_that_overflow_leave_no_infinity():
    # Three samples: the least squares slope is often above 1, and times the output's range above the largest float.
    with pytest.warns(UserWarning, match="overflows"):
        local = explain(lambda X: np.where(X[:, 0] > 0, LARGEST, 0.0), np.zeros((60, 1)), n_features=1, n_samples=3)
    assert {0, 5} <= set(local.status)
    assert_finite(local)


def test_one_warning_counts_every_status():
    def model(X):
        jump = np.where(X[:, 0] % 2 > 1, LARGEST, -LARGEST)
        return np.where(X[:, 1] > 1000, jump, np.where(X[:, 1] < -1000, 1.0, X[:, 0]))

    X = np.array([[0.0, 0.0], [0.0, 2000.0], [0.0, -2000.0], [0.0, -2000.0]])
    message = r"^of 4 explanations, 2 empty because the output did not vary \(status 2\); 1 empty .* \(status 5\)$"
    with pytest.warns(UserWarning, match=message) as caught:
        local = explain(model, X, n_features=1)
    assert len(caught) == 1
    assert_array_equal(local.status, [0, 5, 2, 2])
    assert_finite(local)
    # The empty ones are in no E(c_i), but count as explanations.
    assert_array_equal(local.importance().counts, [1, 0])
    assert local.importance("mean").values[0] == local.weights.data[0] / 4


def test_an_output_that_is_constant_beside_one_that_is_not():
    with pytest.warns(UserWarning, match="of 6 explanations, 3 empty because the output did not vary"):
        local = explain(lambda X: np.stack([curve(X), np.full(len(X), 2.5)], axis=1), np.zeros((3, 3)), targets="all")
    alone = explain(curve, np.zeros((3, 3)))
    assert_array_equal(local.status, [0, 2] * 3)
    assert_array_equal(local.weights.toarray()[::2], alone.weights.toarray())
    assert_array_equal(local.intercept[1::2], 2.5)


def test_rows_at_the_limits():
    X = np.array([[1e300, -0.0, 5e-324], [-1e300, 0.0, -5e-324], [0.0, -0.0, 2e-308]])
    neighborhood = nlf.Gaussian([1e290, 1.0, 1.0])  # less would be refused soon: see robustness/test_bad_input.py
    local = explain(lambda X: X[:, 0] * 1e-300, X, neighborhood=neighborhood, n_features=1)
    assert_array_equal(local.status, 0)
    assert_finite(local)
    assert_array_equal(local.weights.indices, [0, 0, 0])
    assert_allclose(local.weights.data, 1e-10, rtol=1e-4)
    assert_allclose(local.intercept, [1.0, -1.0, 0.0], rtol=1e-14, atol=1e-14)


def test_all_features_are_used_where_more_are_asked_for():
    """Without a word: it is the largest number."""
    local = explain(curve, np.zeros((2, 3)), n_features=9, n_samples=20)
    assert_array_equal(local.weights.indices, [0, 1, 2] * 2)


def test_duplicated_columns():
    generator = np.random.default_rng(15)
    X = np.repeat(generator.normal(size=(3, 2)), 2, axis=1)
    local = explain(lambda X: X[:, 0] + X[:, 1] - X[:, 2] - X[:, 3], X, n_features=4)
    # The features are equal, their noise is not: each gets its own coefficient, up to rounding (below 50 * 4 * eps).
    assert_allclose(local.weights.toarray(), [[1.0, 1.0, -1.0, -1.0]] * 3, rtol=1e-12)


def test_fewer_samples_than_columns():
    X = np.random.default_rng(16).normal(size=(4, 100))
    local = explain(lambda X: 5 * X[:, 7] - 4 * X[:, 50] ** 2, X, n_features=3, n_samples=40)
    assert_array_equal(np.diff(local.weights.indptr), 3)
    assert_finite(local)
