"""Data from hell: whatever comes in, a finite answer or one documented error comes out, and the data stay as they were.

The few examples of the plain test are always the same; `pytest -m nightly` looks for new ones.
"""

import collections
import contextlib
import warnings

import numpy as np
import pandas as pd
import pytest
from helpers.hostile import NUMBERS, OBJECTS, STRUCTURED, anything, damaged_matrices, fingerprint
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import normlime_fast as nlf

# ---- What is asked of it


def finite(*results):
    for result in results:
        assert np.isfinite(result).all()


def model(X):
    """Finite for any numbers, without a warning."""
    values = np.asarray(X, np.float64)
    assert np.isfinite(values).all()
    with np.errstate(under="ignore"):
        return np.stack([np.clip(values, -1e3, 1e3).sum(axis=1), np.clip(values[:, 0], -1, 1) * 1e-300], axis=1)


def explain(draw):
    X = draw(anything())
    scale = draw(st.sampled_from([1.0, 0.1, 0.0, 1e300, 5e-324, 1e-300]))
    sampling, n_jobs = draw(st.sampled_from(["iid", "iid", "iid", "sobol"])), draw(st.sampled_from([1, 1, 1, 2]))
    index = draw(st.none() | st.none() | anything(1))
    options = {"n_features": draw(st.sampled_from([1, 2, None])), "n_samples": 16, "targets": "all", "n_jobs": n_jobs}
    explainer = nlf.NormLIME(model, nlf.Gaussian(scale, sampling), rng=0, **options)

    def run():
        local = explainer.explain(X, index=index)
        finite(local.weights.data, local.intercept, local.r2, local.prediction)
        finite(local.importance("l2").values, local.importance(by="target").values)

    return run, (X, index)


def gaussian(draw):
    scale, X, width = draw(anything(1)), draw(anything()), draw(OBJECTS | NUMBERS)

    def run():
        finite(nlf.Gaussian(scale).scale)

    def run_from_data():
        finite(nlf.Gaussian.from_data(X, width).scale)

    return draw(st.sampled_from([run, run_from_data])), (scale, X)


def fit_surrogates(draw):
    Z = draw(anything())
    n = getattr(Z, "shape", [5])[:1]
    like = st.lists(NUMBERS, min_size=6, max_size=6).map(lambda few: np.resize(few, (*n, 2)))
    Y = draw(st.one_of(like, like, like, anything(), anything(1)))
    weight = draw(st.one_of(st.none(), like.map(lambda Y: np.abs(Y[..., 0])), anything(1)))
    options = {
        "n_features": draw(st.sampled_from([1, 2, None])),
        "ridge": draw(st.sampled_from([0.0, 1.0, 5e-324, 1e308])),
    }

    def run():
        fitted = nlf.fit_surrogates(Z, Y, sample_weight=weight, **options)
        finite(fitted.coef, fitted.intercept, fitted.r2)
        assert not np.isnan(fitted.alpha).any()
        assert set(fitted.status) <= {0, 1, 2, 3, 4, 5}

    return run, (Z, Y, weight)


def aggregate(draw):
    weights = draw(damaged_matrices() if draw(st.integers(0, 3)) == 0 else anything())
    n = getattr(weights, "shape", [5])[:1]
    like = st.lists(st.integers(-2, 5), min_size=1, max_size=5).map(lambda few: np.resize(few, n))
    groups = draw(st.one_of(st.none(), like, like.map(lambda labels: labels.astype("U")), anything(1)))

    def run():
        statistics = nlf.aggregate(weights, groups)
        for kind in ("normlime", "l2", "sp_lime", "mean_abs", "mean", "sum"):
            finite(statistics.importance(kind).values)
        assert (statistics.importance().counts >= 0).all()

    return run, (weights, groups)


def sample_gaussian(draw):
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    if draw(st.booleans()):
        shape = draw(anything(1) | st.lists(st.integers(-1, 4) | OBJECTS, max_size=3))
    sizes = shape.ravel() if isinstance(shape, np.ndarray) else shape if isinstance(shape, tuple | list) else [shape]
    assume(not any(isinstance(size, int | np.integer) and 1e4 < int(size) < 1e14 for size in sizes))  # they would fit
    dtype = draw(st.sampled_from([np.float32, np.float64, "f4", "f8", None, ">f4", "f2", int, "nonsense", "f4,", 3]))
    rng = draw(st.integers(0, 9) | anything(1))

    def run():
        with contextlib.suppress(MemoryError):  # as the documentation says
            finite(nlf.sample_gaussian(shape, rng, dtype=dtype))

    return run, (shape, rng)


def arguments(draw):
    names = ["n_features", "n_samples", "targets", "ridge", "tol", "rng", "shared_samples", "n_jobs", "batch_size"]
    options = draw(
        st.dictionaries(st.sampled_from(names), st.one_of(st.integers(-2, 3), OBJECTS, anything(1)), max_size=2)
    )

    def run():
        nlf.NormLIME(model, nlf.Gaussian(1.0), **options)

    return run, options


PROPERTIES = [explain, gaussian, fit_surrogates, aggregate, sample_gaussian, arguments]


def is_for_people(error):
    """One line, not too long, that names the argument, and nothing that they cannot know."""
    message = str(error)
    named = " must " in message or message.startswith('sampling "sobol" takes')
    inner = any(word in message.lower() for word in ("numba", "llvm", "_array_", "csr_array.__init__"))
    return named and not inner and "\n" not in message and len(message) <= 300


def check_one(of, data, outcomes):
    """Draw one example and try it, for one half of them where NumPy raises what it otherwise ignores or warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy and pandas, while the data are made up
        run, inputs = of(data.draw)
        before = fingerprint(inputs)
    state = {"all": "raise"} if data.draw(st.booleans()) else {}
    with warnings.catch_warnings(record=True) as caught, np.errstate(**state):
        warnings.simplefilter("always")
        expected = np.geterr()
        try:
            run()
            outcomes["answers"] += 1
        except (TypeError, ValueError) as error:
            outcomes["errors"] += 1
            if not is_for_people(error):
                raise AssertionError(repr(error)) from error
        assert np.geterr() == expected
    for warning in caught:
        assert warning.category is UserWarning, str(warning)
        assert str(warning.message).startswith(("of ", "some rows have", "squares of the weights")), str(warning)
    assert fingerprint(inputs) == before


@pytest.mark.parametrize("n_examples", [500, pytest.param(10_000, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("of", PROPERTIES, ids=lambda of: of.__name__)
def test_any_data(of, n_examples):
    outcomes = collections.Counter()
    always_the_same = n_examples == 500

    @given(st.data())
    @settings(
        max_examples=n_examples,
        derandomize=always_the_same,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(data):
        check_one(of, data, outcomes)

    check()
    print(of.__name__, dict(outcomes))
    assert min(outcomes["answers"], outcomes["errors"]) > n_examples / 50


# ---- What was found so


def explained(X, scale=1.0):
    return nlf.NormLIME(model, nlf.Gaussian(scale), n_features=2, n_samples=50, rng=0).explain(X)


FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
FIELDS = np.zeros((2, 2), STRUCTURED)

REFUSED = {
    "no room in one column": (lambda: explained(FRAME.astype({"b": np.float32}), 1e39), ValueError, "X must not over"),
    "masked fields": (lambda: explained(np.ma.masked_all((2, 2), "f8, f8")), TypeError, "X must hold real numbers"),
    "many fields": (lambda: explained(FIELDS), TypeError, r"X must hold real numbers, got dtype \[.*\.\.\.$"),
    "bytes": (lambda: explained(np.array([[b"1", 2.0]], object)), TypeError, "X must hold real numbers"),
    "many columns twice": (lambda: explained(pd.DataFrame(np.zeros((1, 99)), columns=["c"] * 99)), ValueError, ".*'c'"),
    "a long name": (lambda: explained(FRAME.assign(**{"c\n" * 99: "x"})), TypeError, "X must hold .* column 'c"),
    "an array for a number": (lambda: nlf.NormLIME(model, nlf.Gaussian(1.0), n_jobs=FIELDS), TypeError, "n_jobs must"),
    "many digits": (lambda: nlf.NormLIME(model, nlf.Gaussian(1.0), tol=-(10**5000)), ValueError, "tol must.* a int"),
    "more than a float": (lambda: nlf.NormLIME(model, nlf.Gaussian(1.0), ridge=10**400), ValueError, "ridge must"),
    "a matrix for a seed": (
        lambda: nlf.sample_gaussian(3, np.ones((1, 2), int).view(np.matrix)),
        TypeError,
        "rng must be None, an int",
    ),
    "a shape too large": (lambda: nlf.sample_gaussian((10**9, 10**12)), ValueError, "shape must"),
    "a missing label": (lambda: nlf.aggregate(np.eye(2), [pd.NA, 1]), TypeError, "groups must have labels that can be"),
    "masked labels": (lambda: nlf.aggregate(np.eye(2), np.ma.masked_all(2)), ValueError, "groups must not have"),
    "a shape of no dimension": (lambda: nlf.sample_gaussian(np.array(2.0)), TypeError, "shape must be an integer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name):
    call, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert is_for_people(caught.value)


@pytest.mark.parametrize("order", ["C", "F"])
def test_no_weight_in_any_memory_order(order):
    with pytest.warns(UserWarning, match="all sample weights were 0"):
        fitted = nlf.fit_surrogates(np.ones((9, 3), order=order), np.arange(9), n_features=1, sample_weight=[0] * 9)
    assert fitted.status == 3


@pytest.mark.parametrize("dtype", ["Sparse[float32]", "Sparse[float64]", "Sparse[float16]", "float[pyarrow]"])
def test_columns_of_unusual_dtypes(dtype):
    seen = []

    def predict(X):
        seen.append(X.dtypes["b"])
        return np.asarray(X, np.float64).sum(axis=1)

    local = nlf.NormLIME(predict, nlf.Gaussian(1.0), n_features=2, n_samples=50, rng=0).explain(
        FRAME.astype({"b": dtype})
    )
    assert set(map(str, seen)) == {"float64" if "16" in dtype else str(FRAME.astype({"b": dtype}).dtypes["b"])}
    np.testing.assert_allclose(local.weights.toarray(), 1.0, rtol=1e-6)  # float32 has 2^-24 of 4


def test_a_subnormal_scale_holds_a_feature_fixed():
    X = np.random.default_rng(0).normal(size=(9, 2))
    expected, local = explained(X, [1.0, 0.0]), explained(X, [1.0, 5e-324])
    assert (expected.weights != local.weights).nnz == 0
    assert set(local.weights.indices) == {0}
