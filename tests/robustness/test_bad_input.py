"""What NormLIME and explain refuse, in one line each, and what they keep when something fails half-way."""

import re
import sys
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

import normlime_fast as nlf

IRIS = ["setosa", "versicolor", "virginica"]
OPTIONS = {"n_features": 2, "n_samples": 50, "rng": 0}


def curve(X):
    return (np.asarray(X) ** 2 * [2.0, -1.0, 0.5]).sum(axis=1)


def explain(predict=curve, X=np.zeros((5, 3)), *, scale=1.0, index=None, progress=False, **options):  # noqa: B008
    return nlf.NormLIME(predict, nlf.Gaussian(scale), **OPTIONS | options).explain(X, index=index, progress=progress)


def refuse(error, message, call):
    """The call raises, with a message of one line that begins so, and warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error) as caught:  # `match` would match the notes, too
            call()
    assert "\n" not in str(caught.value)
    assert re.match(message, str(caught.value)), str(caught.value)
    return caught.value


# ---- Before the model is called


class NotCalled:
    def __call__(self, X):
        raise AssertionError("the model was called")


FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})

X_REFUSED = {
    "no rows": (np.zeros((0, 3)), ValueError, r"X must not be empty, got shape \(0, 3\)"),
    "no columns": (np.zeros((2, 0)), ValueError, r"X must not be empty, got shape \(2, 0\)"),
    "frame without rows": (FRAME[:0], ValueError, r"X must not be empty, got shape \(0, 2\)"),
    "number": (5.0, ValueError, r"X must be 2-D, got shape \(\)"),
    "1-D": (np.zeros(3), ValueError, r"X must be 2-D, got shape \(3,\)"),
    "Series": (FRAME["a"], TypeError, r"X must be a table, got a Series; .*, pass df\[:1\]$"),
    "3-D": (np.zeros((1, 2, 3)), ValueError, r"X must be 2-D, got shape \(1, 2, 3\)"),
    "NaN": ([[0.0, 1.0], [2.0, np.nan]], ValueError, r"X must be finite, got 1 NaN or infinite .* first at \(1, 1\)"),
    "infinite": (np.full((2, 3), np.inf, np.float32), ValueError, r"X must be finite, got 6 .* first at \(0, 0\)"),
    "None": ([[None, 1.0]], ValueError, "X must be finite, got 1 NaN"),
    "missing in a frame": (FRAME.astype("Int64").replace(4, pd.NA), ValueError, "X must be .* column 'b', row 1"),
    "strings": ([["1", "2"]], TypeError, "X must hold real numbers, got dtype <U1"),
    "mixed": (np.array([[1, "2"]], object), TypeError, "X must hold real numbers, got dtype object"),
    "complex": ([[1j, 2.0]], TypeError, "X must hold real numbers, got dtype complex128"),
    "dates": (np.zeros((2, 2), "M8[s]"), TypeError, "X must hold real numbers, got dtype datetime64"),
    "column of strings": (FRAME.assign(b=["x", "y"]), TypeError, "X must hold real numbers, got column 'b' of dtype"),
    "category": (FRAME.assign(b=pd.Categorical([1, 2])), TypeError, "X must hold .* column 'b' of dtype category"),
    "column twice": (pd.concat([FRAME, FRAME], axis=1), ValueError, "X must have unique column names, .*'a'.*'b'"),
    "sparse": (csr_array(np.eye(3)), TypeError, "X must be a dense table, got a sparse matrix"),
    "masked": (np.ma.masked_equal(np.ones((2, 2)), 1.0), ValueError, r"X must not have masked values"),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, "X must be an array, got a list whose rows differ in length"),
    "too large to be a float": ([[10**400, 1]], TypeError, "X must hold real numbers"),
}


@pytest.mark.parametrize("name", X_REFUSED)
def test_rows(name):
    X, error, message = X_REFUSED[name]
    refuse(error, message, lambda: explain(NotCalled(), X))


CATEGORIES = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "c": ["a", "b", "b", "a"], "i": [1, 1, 2, 300]})

CATEGORIES_REFUSED = {
    "unseen": (CATEGORIES.replace("b", "z"), ValueError, "X must have known .* column 'c', got 'z' in row 1"),
    "missing": (CATEGORIES.replace({"i": {2: None}}), ValueError, "X must have known .* column 'i', got .* in row 2"),
    "too small a dtype": (
        CATEGORIES[:3].astype({"i": "i1"}),
        ValueError,
        "X must have a dtype .* column 'i', got int8",
    ),
    "a column less": (CATEGORIES[["x", "c"]], ValueError, "X must have the columns .*, got none of "),
    "no frame": (CATEGORIES[["x", "i", "i"]].to_numpy(), TypeError, "X must be a DataFrame, as column 1 has the cat"),
}


@pytest.mark.parametrize("name", CATEGORIES_REFUSED)
def test_rows_with_other_categories(name):
    X, error, message = CATEGORIES_REFUSED[name]
    neighborhood = nlf.Gaussian.from_data(CATEGORIES, categorical=["c", "i"], unseen="raise")
    refuse(error, message, lambda: nlf.NormLIME(NotCalled(), neighborhood, **OPTIONS).explain(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("row", "scale"), [(0.0, 0.2), (0.9, 0.1), (-1.0, 0.01), (0.0, 0.9)])  # parts of the largest
def test_rows_without_room_to_perturb(row, scale, dtype):
    largest = np.finfo(dtype).max
    X = np.zeros((5, 3), dtype)
    X[2, 1] = row * largest
    advice = "lower its scale, or pass float64" if dtype == np.float32 else "lower its scale"
    message = f"X must not overflow {np.dtype(dtype)} when it is perturbed, got an overflow in column 1; {advice}$"
    refuse(ValueError, message, lambda: explain(NotCalled(), X, scale=[0.0, scale * float(largest), 1.0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_with_just_enough_room(dtype):
    largest = np.finfo(dtype).max
    explain(lambda X: np.tanh(X[:, 0] / largest), np.full((5, 3), 0.9 * largest, dtype), scale=0.01 * float(largest))


def test_a_float32_column_without_room_beside_others():
    """Its frame has float64 numbers, and is cast before the model sees it."""
    X = pd.DataFrame({"a": [0.0, 1.0], "b": np.array([0.0, 3e38], np.float32)})
    got = "got an overflow in column 'b'; lower its scale, or pass float64"
    message = f"X must not overflow float32 when it is perturbed, {got}$"
    refuse(ValueError, message, lambda: explain(NotCalled(), X, scale=1e38))


# The smallest scale that is not rounded away: half of the distance of numbers, which is 64 in float32 at 1e9.
LOST = {
    "float32": (
        np.float32([[0, 1], [0, 1e9], [2e9, 1]]),
        [0.0, 31.9],
        "32.0",
        "1",
        "float32",
        "1e+09",
        "row 1",
        "31.9",
    ),
    "negative": (np.float32([[-1e9, 0]]), 1.0, "32.0", "0", "float32", "-1e+09", "row 0", "1.0"),
    "float64": (np.array([[1.0, 1e17]]), 7.9, "8.0", "1", "float64", "1e+17", "row 0", "7.9"),
    "subnormal": (np.zeros((1, 1), np.float32), 1e-46, "7.006492321624085e-46", "0", "float32", "0", "row 0", "1e-46"),
}


@pytest.mark.parametrize("name", LOST)
def test_noise_that_is_rounded_away(name):
    X, scale, *parts = LOST[name]
    _refuse_lost(*parts, lambda: explain(NotCalled(), X, scale=scale))
    enough = np.where(np.array(scale) > 0, float(parts[0]), 0.0)
    nlf.Gaussian(enough)._checked_rows(X)


def _refuse_lost(least, column, dtype, value, row, scale, call):
    expected = f"scale must be at least {least} in column {column}, half the distance between {dtype} numbers near"
    expected += f" {value} (in {row}), or the noise is rounded away, got {scale}; raise it"
    expected += ", or pass float64" if dtype == "float32" else ""
    refuse(ValueError, re.escape(expected) + "$", call)


@pytest.mark.parametrize("dtype", ["float32", "Float32", "Sparse[float32]"])
def test_noise_that_a_float32_column_of_a_frame_loses(dtype):
    """z would have it, but the model would not: a weight of noise, without a warning."""
    X = pd.DataFrame({"a": [0.0, 1e9, 1e9], "b": [0.0, 1.0, 1e9], "c": [0.0, 1.0, 2.0]})
    nlf.Gaussian(1.0)._checked_rows(X)
    X["b"] = X["b"].astype(dtype)
    _refuse_lost("32.0", "'b'", "float32", "1e+09", "row 2", "1.0", lambda: explain(NotCalled(), X))
    explain(lambda X: X["c"], X, scale=[1.0, 0.0, 1.0])


def test_categories_have_no_noise_to_lose():
    X = np.float32([[16777216, 0], [16777218, 1]])
    columns = nlf.Gaussian.from_data(X, categorical=[0], numeric=[1]).columns
    X[:, 1] = 0.0
    local = nlf.NormLIME(lambda X: 1.0 * (X[:, 0] > 16777217), nlf.Gaussian(1e-3, columns=columns), **OPTIONS).explain(
        X
    )
    assert_array_equal((local.weights.toarray() != 0), [[True, False]] * 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_that_is_constant_but_for_rounding_is_held_fixed(dtype):
    X = np.ones((9, 3), dtype)
    X[3, 0] += np.spacing(dtype(1.0))  # a standard deviation of 0.31 of this
    X[::2, 1] += 2 * np.spacing(dtype(1.0))
    scale = nlf.Gaussian.from_data(X).scale
    assert_array_equal(scale > 0, [False, True, False])
    nlf.Gaussian.from_data(X)._checked_rows(X)
    tiny = nlf.Gaussian.from_data(X, width=1e-3)  # which is the user's, not rounding
    assert_array_equal(tiny.scale, 1e-3 * scale)
    refuse(ValueError, "scale must be at least .* in column 1, half", lambda: tiny._checked_rows(X))


ARGUMENTS = [
    ({"scale": [1.0, 2.0]}, ValueError, r"scale must have one entry per column of X, shape \(3,\), got shape \(2,\)"),
    ({"n_features": 0}, ValueError, "n_features must be at least 1, got 0"),
    ({"n_features": -3}, ValueError, "n_features must be at least 1, got -3"),
    ({"n_features": 2.0}, TypeError, r"n_features must be an integer, got 2\.0"),
    ({"n_features": True}, TypeError, "n_features must be an integer, got True"),
    ({"n_samples": 0}, ValueError, "n_samples must be at least 1, got 0"),
    ({"n_samples": 3}, ValueError, r"n_samples must be at least n_features \+ 2 = 4, got 3"),
    ({"n_samples": 4, "n_features": None}, ValueError, r"n_samples must be at least n_features \+ 2 = 5, got 4"),
    ({"n_samples": "all"}, TypeError, "n_samples must be an integer, got 'all'"),
    (
        {"targets": "every"},
        ValueError,
        'targets must be "predicted", "all", a number, a name .*; the outputs have no names: pass target_names',
    ),
    ({"targets": ["b", 0]}, TypeError, r"targets must be .*, got \['b', 0\]$"),
    (
        {"targets": "versicolour", "target_names": IRIS},
        ValueError,
        r"targets must be .*, got 'versicolour'; did you mean 'versicolor'\?",
    ),
    (
        {"targets": ["setosa", "x"], "target_names": IRIS},
        ValueError,
        "targets must be .* got 'x'; there are 'setosa', 'versicolor', 'virginica'$",
    ),
    (
        {"targets": ["setosa"] * 2, "target_names": IRIS},
        ValueError,
        r"targets must be distinct integers of at least 0, got \[0, 0\]",
    ),
    ({"target_names": "ab"}, TypeError, "target_names must be a list of names, got 'ab'"),
    ({"target_names": [["a"]]}, TypeError, r"target_names must be a list of names, got \[\['a'\]\]"),
    ({"target_names": 3}, TypeError, "target_names must be a list of names, got 3"),
    ({"target_names": [1, "1"]}, ValueError, "target_names must differ from each other, got '1' 2 times"),
    ({"feature_names": list("aba")}, ValueError, "feature_names must differ from each other, got 'a' 2 times"),
    ({"link": "probit"}, ValueError, 'link must be "identity", "logit", "log" or a callable, got \'probit\''),
    ({"link": None}, TypeError, 'link must be "identity", "logit", "log" or a callable, got None'),
    ({"targets": None}, TypeError, 'targets must be "predicted", .* got None'),
    ({"targets": 1.0}, TypeError, r'targets must be "predicted", .* got 1\.0'),
    ({"targets": True}, TypeError, 'targets must be "predicted", .* got True'),
    ({"targets": []}, TypeError, r'targets must be "predicted", .* got \[\]'),
    ({"targets": [[0]]}, TypeError, r'targets must be "predicted", .* got \[\[0\]\]'),
    ({"targets": [[0], [1, 2]]}, ValueError, "targets must be an array, got a list whose rows differ in length"),
    ({"targets": -1}, ValueError, "targets must be distinct integers of at least 0, got -1"),
    ({"targets": [0, 1, 0]}, ValueError, r"targets must be distinct integers of at least 0, got \[0, 1, 0\]"),
    ({"ridge": -1.0}, ValueError, r"ridge must be finite and at least 0, got -1\.0"),
    ({"ridge": np.nan}, ValueError, "ridge must be finite and at least 0, got nan"),
    ({"ridge": "1"}, TypeError, "ridge must be a number, got '1'"),
    ({"tol": -1e-9}, ValueError, "tol must be finite and at least 0, got -1e-09"),
    ({"tol": np.inf}, ValueError, "tol must be finite and at least 0, got inf"),
    ({"tol": None}, TypeError, "tol must be a number, got None"),
    ({"rng": -1}, TypeError, "rng must be None, an integer >= 0, .* got -1"),
    ({"rng": 1.5}, TypeError, r"rng must be None, an integer >= 0, .* got 1\.5"),
    ({"rng": "seed"}, TypeError, "rng must be None, an integer >= 0, .* got 'seed'"),
    ({"shared_samples": 0}, ValueError, "shared_samples must be at least 1, got 0"),
    ({"shared_samples": None}, TypeError, "shared_samples must be an integer, got None"),
    ({"n_jobs": 0}, ValueError, "n_jobs must be None, -1 or at least 1, got 0"),
    ({"n_jobs": -2}, ValueError, "n_jobs must be None, -1 or at least 1, got -2"),
    ({"n_jobs": 1.5}, TypeError, r"n_jobs must be an integer, got 1\.5"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ({"batch_size": 10.0}, TypeError, r"batch_size must be an integer, got 10\.0"),
    (
        {"index": [0, 1]},
        ValueError,
        r"index must have one integer per row of X, .* got shape \(2,\) and dtype int64",
    ),
    (
        {"index": 3},
        ValueError,
        r"index must have one integer per row of X, .* got shape \(\) and dtype int64",
    ),
    ({"index": np.arange(5.0)}, ValueError, r"index must hold integers from 0 to 2\^64 - 1, got 0\.0"),
    ({"index": list("abcde")}, ValueError, r"index must hold integers from 0 to 2\^64 - 1, got 'a'"),
    ({"index": [True] * 5}, ValueError, r"index must hold integers from 0 to 2\^64 - 1, got True"),
    (
        {"index": [0, 1, 2, 3, 2**64]},
        ValueError,
        r"index must hold integers from 0 to 2\^64 - 1, got 18446744073709551616",
    ),
    ({"index": [0, 1, 2, 2**63, -1]}, ValueError, r"index must hold integers from 0 to 2\^64 - 1, got -1"),
    ({"index": np.ma.masked_equal(np.arange(5), 3)}, ValueError, "index must not have masked values; fill them, .*"),
    ({"index": [[0], [1, 2]]}, ValueError, "index must be an array, got a list whose rows differ in length"),
    ({"index": [0, 1, 2, 1, 3]}, ValueError, "index must not contain duplicates; 1 occurs 2 times"),
    ({"index": [0, 1, 2, 3, -1]}, ValueError, r"index must hold integers from 0 to 2\^64 - 1, got -1"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), ARGUMENTS, ids=[str(case[0]) for case in ARGUMENTS])
def test_arguments(arguments, error, message):
    refuse(error, message + "$", lambda: explain(NotCalled(), **arguments))


def test_progress_without_tqdm(monkeypatch):
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    refuse(ImportError, "progress=True needs tqdm; install it with: pip install", lambda: explain(progress=True))
    refuse(ImportError, "progress=True needs tqdm", lambda: explain(NotCalled(), progress=True))


def test_progress_that_is_neither_bool_nor_callable():
    refuse(TypeError, "progress must be True, False or a callable, got 3", lambda: explain(NotCalled(), progress=3))


@pytest.mark.parametrize(
    ("predict", "neighborhood", "message"),
    [
        (None, nlf.Gaussian(1.0), r"predict must be callable, such as model\.predict_proba, got NoneType"),
        (np.zeros(3), nlf.Gaussian(1.0), "predict must be callable, .* got ndarray"),
        (curve, 1.0, "neighborhood must be training data, .* or an object with perturb .*, got float"),
        (curve, nlf.Gaussian, "neighborhood must be training data, .* got the class Gaussian; pass an object of it"),
    ],
)
def test_parts(predict, neighborhood, message):
    refuse(TypeError, message + "$", lambda: nlf.NormLIME(predict, neighborhood))


@pytest.mark.parametrize("sampling", ["halton", None, True, {"iid"}])
def test_sampling(sampling):
    message = f'sampling must be "iid" or "sobol", got {sampling!r}'
    refuse(ValueError, message, lambda: nlf.Gaussian(1.0, sampling))
    refuse(ValueError, message, lambda: nlf.Gaussian.from_data(np.eye(3), sampling=sampling))


def test_more_columns_than_sobol_points_have():
    X = np.zeros((1, 21_202))
    explainer = nlf.NormLIME(NotCalled(), nlf.Gaussian(1.0, "sobol"), n_features=2, n_samples=10)
    refuse(ValueError, 'sampling "sobol" takes at most 21201 columns, got 21202', lambda: explainer.explain(X))


# ---- What the model returns

SHAPE = r"predict must return \({rows}, {columns}\) or \({rows},\) numbers for {rows} rows of {instances}"

OUTPUTS_REFUSED = {
    "too few rows": (lambda X: curve(X)[:-1], ValueError, r"got shape \({less},\)"),
    "too many rows": (lambda X: np.append(curve(X), 0), ValueError, r"got shape \({more},\)"),
    "transposed": (lambda X: X.T, ValueError, r"got shape \(3, {rows}\)"),
    "one number": (lambda X: 1.0, ValueError, r"got shape \(\)"),
    "no outputs": (lambda X: X[:, :0], ValueError, r"got shape \({rows}, 0\)"),
    "3-D": (lambda X: X[:, :, None], ValueError, r"got shape \({rows}, 3, 1\)"),
    "object": (lambda X: X.astype(object), TypeError, "got dtype object"),
    "nothing": (lambda X: None, TypeError, "got a NoneType"),
    "strings": (lambda X: ["yes"] * len(X), TypeError, "got dtype <U3"),
    "masked": (lambda X: np.ma.masked_greater(X, -1), ValueError, "got masked values"),
    "complex": (lambda X: X * 1j, TypeError, "got dtype complex128"),
    "sparse": (lambda X: csr_array(X), TypeError, "got a csr_array"),
    "ragged": (lambda X: [[0.0] * (1 + i % 2) for i in range(len(X))], ValueError, "got a list that is not an array"),
}


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("name", OUTPUTS_REFUSED)
def test_outputs_of_the_wrong_kind(name, later):
    bad, error, message = OUTPUTS_REFUSED[name]
    good = iter([True] * 3 if later else [])  # the rows of X and two whole neighborhoods, a call each
    if later:
        rows, expected = 50, SHAPE.format(rows=50, columns=1, instances="instance 2")
    else:
        rows, expected = 5, SHAPE.format(rows=5, columns="n_outputs", instances="instances 0 to 4")
    expected += ", " + message.format(rows=rows, less=rows - 1, more=rows + 1)
    caught = refuse(
        error, expected, lambda: explain(lambda X: curve(X) if next(good, False) else bad(X), batch_size=50)
    )
    assert hasattr(caught, "finished") == later


def test_outputs_of_another_width_than_before():
    widths = iter([2, 2, 3])
    message = r"predict must return \(50, 2\) or .* instance 1 as before, got shape \(50, 3\)$"
    refuse(ValueError, message, lambda: explain(lambda X: np.tile(curve(X)[:, None], next(widths)), batch_size=50))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite(value):
    def predict(X):
        outputs = np.stack([curve(X)] * 3, axis=1)
        outputs[(X[:, 0] > 50) & (X[:, 0] != 100), 1] = value  # noise around the last two instances
        return outputs

    X = np.array([[0.0, 0, 0], [100, 0, 0], [100, 0, 0]])
    message = (
        f"predict must return finite numbers, got {value} for output 1 of a sample around instance 7; 2 of these 3 inst"
    )
    refuse(ValueError, message, lambda: explain(predict, X, index=[3, 7, 9]))


@pytest.mark.parametrize(("batch_size", "count"), [(None, "2 of these 5"), (2, "1 of these 2")])
def test_an_instance_whose_own_output_is_not_finite(batch_size, count):
    X = np.array([[1.0, 0, 0], [2, 0, 0], [3, 0, 0], [0, 0, 0], [0, 0, 0]])
    message = f"predict must return finite numbers, got inf for output 0 of .* instance 3; {count} instances"
    with np.errstate(divide="ignore"):
        refuse(ValueError, message, lambda: explain(lambda X: 1 / X[:, 0], X, batch_size=batch_size))


def test_a_finite_long_double_that_float64_cannot_hold():
    large = np.longdouble("1e4000")
    if not np.isfinite(large):
        pytest.skip("long double is double here")
    refuse(ValueError, "predict must return finite numbers", lambda: explain(lambda X: X[:, 0] + large))


def test_targets_that_the_model_does_not_have():
    calls = []
    predict = lambda X: calls.append(len(X)) or X[:, :2]  # noqa: E731
    message = "targets must be below the model's 2 outputs, got 2$"
    refuse(ValueError, message, lambda: explain(predict, targets=[0, 2]))
    assert calls == [5]  # the instances alone


# ---- Aggregation of explanations

LABELS_REFUSED = [
    ("class", ValueError, "by must be None, \"target\" or one label per instance, got 'class'$"),
    ([0, 1], ValueError, r"by must have one label per instance, shape \(5,\), got shape \(2,\)$"),
    (3, ValueError, r"by must have one label per instance, shape \(5,\), got shape \(\)$"),
    (np.zeros((5, 1)), ValueError, r"by must have one label per instance, shape \(5,\), got shape \(5, 1\)$"),
    ([0.0, 1.0, np.nan, 0.0, 1.0], ValueError, "by must not have NaN or infinite labels$"),
    (["a", "b", None, "a", "b"], TypeError, r"by must have labels that can be sorted, got \['a', 'b', None"),
    ([[0], [1, 2]], ValueError, "by must be an array, got a list whose rows differ in length$"),
]


@pytest.mark.parametrize(("by", "error", "message"), LABELS_REFUSED, ids=[str(case[0]) for case in LABELS_REFUSED])
@pytest.mark.parametrize("targets", ["predicted", "all"])
def test_labels(by, error, message, targets):
    local = explain(lambda X: X[:, :2] ** 2, targets=targets)
    refuse(error, message, lambda: local.importance(by=by))


# ---- Errors half-way


class ModelError(Exception):
    pass


def failing(error, call):
    calls = iter(range(call))

    def model(X):
        if next(calls, None) is None:
            raise error
        return curve(X)

    return model


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("kind", [ModelError, KeyboardInterrupt, StopIteration])
def test_an_error_half_way_keeps_what_is_finished(kind, n_jobs):
    X, index = np.random.default_rng(14).normal(size=(5, 3)), [10, 11, 7, 13, 3]
    threads, error = set(threading.enumerate()), kind("its own")
    # Batches of half a neighborhood: call 0 has the rows of X, calls 1 to 4 the first two instances.
    with pytest.raises(kind) as caught:
        explain(failing(error, 6), X, index=index, batch_size=25, n_jobs=n_jobs)
    assert caught.value is error
    notes = "\n".join(error.__notes__)
    assert "predict was working on instance 7" in notes
    assert ".finished" in notes
    finished, whole = error.finished, explain(curve, X, index=index)
    assert_array_equal(finished.instance, [10, 11])
    for name in ("intercept", "r2", "prediction", "status", "instance", "target"):
        assert_array_equal(getattr(finished, name), getattr(whole, name)[:2])
    assert_array_equal(finished.weights.toarray(), whole.weights.toarray()[:2])
    assert finished.importance(by=["a", "b"]).values.shape == (2, 3)
    assert set(threading.enumerate()) <= threads


def test_an_error_at_once_has_nothing_finished():
    with pytest.raises(ModelError) as caught:
        explain(failing(ModelError(), 0), np.zeros((5, 3)), batch_size=3)
    assert caught.value.__notes__[0].endswith("predict was working on instances 0 to 2")
    assert not hasattr(caught.value, "finished")


@pytest.mark.parametrize(
    ("index", "named"),
    [
        ([9, 0, 5, 2], "instances 9, 0, 5, 2"),
        ([3, 4, 5, 6], "instances 3 to 6"),
        ([8, 1, 2, 3, 4, 5, 6], "7 instances, the first 8, 1, 2, 3, 4"),
    ],
)
def test_a_note_names_the_instances(index, named):
    with pytest.raises(ModelError) as caught:
        explain(failing(ModelError(), 1), np.zeros((len(index), 3)), index=index)
    assert caught.value.__notes__ == [f"normlime_fast: predict was working on {named}"]


@pytest.mark.parametrize(("n_jobs", "told", "finished"), [(1, [1, 2, 3], [3]), (2, [1, 2, 3], [3, 4, 5])])
def test_an_error_of_the_progress_callable_keeps_what_is_finished(n_jobs, told, finished):
    calls = []

    def progress(done, total):
        calls.append(done)
        if done >= 3:
            raise ModelError

    with pytest.raises(ModelError) as caught:
        explain(curve, np.zeros((5, 3)), batch_size=50, progress=progress, n_jobs=n_jobs)
    assert calls == told  # and not again, whatever its threads finish after that
    assert len(caught.value.finished.instance) in finished
    assert_array_equal(caught.value.finished.instance, range(len(caught.value.finished.instance)))


def test_bad_outputs_half_way_keep_what_is_finished():
    calls = iter([1.0, 1.0, np.nan])
    with pytest.raises(ValueError, match="instance 1") as caught:
        explain(lambda X: curve(X) * next(calls), np.ones((3, 3)), batch_size=50)
    assert_array_equal(caught.value.finished.instance, [0])
