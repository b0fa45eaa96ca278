"""Many columns: the Gram matrix on demand, ridge regression by the Gram matrix of samples, and their memory."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import reference
from sklearn.linear_model import Ridge, lars_path

import normlime_fast as nlf
from normlime_fast import _surrogates
from normlime_fast._kernels import lasso, moments, surrogate
from normlime_fast._status import Status
from normlime_fast._surrogates import Fits, fit_samples

SHAPES = [(300, 50), (90, 50), (60, 400), (1000, 400)]  # n, d
TARGETS = 5


def problem(n, d, *, collinear=True, dtype=np.float32, seed=0):
    """Z of columns of different sizes, some of them constant, equal, opposite or sums of two others; Y (targets, n)."""
    rng = np.random.default_rng([seed, n, d])
    Z = rng.normal(size=(n, d)) * np.exp(rng.normal(size=d)) + rng.normal(size=d)
    Z = (np.round(Z * 64) / 64).astype(dtype)  # sums of two are exact
    Z[:, 7], Z[:, d - 2] = 3.0, 0.0
    if collinear:
        Z[:, 11], Z[:, 12], Z[:, d - 1], Z[:, 21] = Z[:, 2], -Z[:, 3], Z[:, 2], Z[:, 4] + Z[:, 5]
    slopes = np.where(rng.random((d, TARGETS)) < 8 / d, rng.normal(size=(d, TARGETS)), 0.0)
    slopes[2:6] = rng.normal(size=(4, TARGETS)) / Z[:, 2:6].std(axis=0)[:, None]
    Y = np.tanh(Z @ slopes / 2).T + 0.1 * rng.normal(size=(TARGETS, n))
    Y[3] = 1.0  # which has no fit
    return Z, Y


def weights_of(kind, n):
    rng = np.random.default_rng(n)
    weights = {"equal": np.ones(n), "unequal": rng.exponential(size=n)}[kind]
    weights[: n // 10] *= 0.0 if kind == "unequal" else 1.0
    return weights / weights.max()


def fit(Z, Y, weights, K, **options):
    fits = Fits.empty(len(Y), K)
    options = {"ridge": 0.0, "tol": 1e-4, **options}
    fit_samples(Z[None], Y.copy(), np.array([0, len(Y)]), weights[None], fits, n_features=K, **options)
    return fits


@pytest.fixture
def with_room(monkeypatch):
    """Returns fits with a Gram matrix of so many rows."""

    def fit_with(room, *arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(_surrogates, "_room", lambda n, d: min(room, d))
            return fit(*arguments, **options)

    return fit_with


# --- the same, whichever columns are there


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("ridge", [0.0, 3.0])
@pytest.mark.parametrize("K", [1, 6, 20])
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_columns_on_demand_have_the_bits_of_the_whole_matrix(n, d, K, ridge, standardize, with_room):
    """Weights of 1 and Z in float32, as of `Gaussian`: products are exact, so that G is symmetric to the bit."""
    Z, Y = problem(n, d)
    options = {"ridge": ridge, "standardize": standardize}
    whole = with_room(d, Z, np.repeat(Y, 40, axis=0), np.ones(n), K, **options)  # for so many outputs, all of it
    assert whole.summaries["count"].max() == K
    for room in (1, 30):
        on_demand = with_room(room, Z, Y, np.ones(n), K, **options)
        for name in ("features", "coefficients", "summaries"):
            np.testing.assert_array_equal(getattr(on_demand, name), getattr(whole, name)[::40])


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("ridge", [0.0, 3.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_with_unequal_weights_they_are_the_same_to_rounding(n, d, dtype, ridge, standardize, with_room):
    Z, Y = problem(n, d, dtype=dtype)
    options = {"ridge": ridge, "standardize": standardize}
    weights = weights_of("unequal", n)
    whole = with_room(d, Z, np.repeat(Y, 40, axis=0), weights, 6, **options)
    on_demand = with_room(1, Z, Y, weights, 6, **options)
    np.testing.assert_array_equal(on_demand.features, whole.features[::40])
    # sums of up to 1000 terms, each rounded, 1e-13, times the condition number of six columns
    np.testing.assert_allclose(on_demand.coefficients, whole.coefficients[::40], rtol=1e-9, atol=1e-11)
    for name in surrogate.SUMMARY.names:
        np.testing.assert_allclose(on_demand.summaries[name], whole.summaries[name][::40], rtol=1e-10)


@pytest.mark.parametrize("selection", ["lasso_path", "highest_weights"])
@pytest.mark.parametrize("kind", ["equal", "unequal"])
def test_other_targets_change_no_bit(kind, selection, with_room):
    Z, Y = problem(60, 400)
    together = with_room(40, Z, Y, weights_of(kind, 60), 6, selection=selection)
    for k in range(TARGETS):
        alone = with_room(7, Z, Y[k : k + 1], weights_of(kind, 60), 6, selection=selection)
        for name in ("features", "coefficients", "summaries"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(together, name)[k : k + 1])


# --- against others


@pytest.mark.parametrize("kind", ["equal", "unequal"])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("K", [1, 6, 12])
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_features_on_demand_are_those_of_lars_path(n, d, K, standardize, kind, with_room):
    Z, Y = problem(n, d, collinear=False)
    p = weights_of(kind, n)
    fits = with_room(1, Z, Y, p, K, standardize=standardize, ridge=2.0)
    rows, _ = reference.unweighted(Z, Y[0], p)
    deviation = np.sqrt((rows**2).mean(axis=0))
    varied = deviation > 1e-6
    columns = rows[:, varied] / (deviation[varied] if standardize else 1.0)
    for k in np.flatnonzero(np.arange(TARGETS) != 3):
        _, target = reference.unweighted(Z, Y[k], p)
        _, _, path = lars_path(columns, target, method="lasso")
        inside = reference.inside_segments(path)
        segment = inside[:, np.argmax(inside.sum(axis=0) == K)]
        support = np.flatnonzero(varied)[segment]
        np.testing.assert_array_equal(fits.features[k], support)
        w, intercept, r2 = reference.refit(Z, Y[k], p, support, 2.0)
        np.testing.assert_allclose(fits.coefficients[k, surrogate.WEIGHT], w[support], rtol=1e-9)
        np.testing.assert_allclose(fits.summaries["intercept"][k], intercept, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(fits.summaries["r2"][k], r2, rtol=1e-9)


@pytest.mark.parametrize("kind", ["equal", "unequal"])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d"), [(60, 61), (60, 400), (5, 50), (200, 1003)])
def test_highest_weights_of_fewer_samples_than_features(n, d, dtype, standardize, kind, with_room):
    """By the Gram matrix of samples; the condition number is 1e7 at most, d / ridge: 1e-8 of the largest weight."""
    Z, Y = problem(n, d, collinear=False, dtype=dtype)
    p, K = weights_of(kind, n), 3
    fits = with_room(1, Z, Y, p, K, selection="highest_weights", standardize=standardize)
    rows, _, _ = reference.centred(Z.astype(float), Y[0], p)
    deviation = np.sqrt(p @ rows**2 / p.sum())
    varied = deviation > 1e-6
    columns = rows[:, varied] / (deviation[varied] if standardize else 1.0)
    for k in np.flatnonzero(np.arange(TARGETS) != 3):
        exact = Ridge(alpha=0.01, solver="svd").fit(columns, Y[k], sample_weight=p).coef_
        largest = np.sort(np.argsort(np.abs(exact))[-K:])
        np.testing.assert_array_equal(fits.features[k], np.flatnonzero(varied)[largest])
        w = reference.refit(Z.astype(float), Y[k], p, fits.features[k])[0]
        if n > 2 * K:
            np.testing.assert_allclose(fits.coefficients[k, surrogate.WEIGHT], w[fits.features[k]], rtol=1e-9)


# --- how many columns are computed


def test_thousands_of_equal_columns_are_computed_a_few_at_a_time():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(100, 40)).astype(np.float32)
    Z = np.hstack([Z, np.repeat(Z[:, 3:5], 1500, axis=1)])
    y = Z[:, :6] @ [0.3, 0.2, 0.1, 2.0, 1.0, 0.5] + 0.1 * rng.normal(size=100)
    y -= y.mean()
    gram, c = moments.observe(Z, y[None], np.ones(100), moments.expected(5), True, np.empty((9, Z.shape[1])))
    rounds = 0
    while True:
        path = lasso.start(c[0, : Z.shape[1]])
        _, status = lasso.select(gram, path, y @ y / 100, 5, 1e-4)
        if status != lasso.MISSING:
            break
        gram, rounds = moments.fetch(gram), rounds + 1
    assert status == Status.OK
    assert 0 < rounds < 10
    assert np.count_nonzero(gram.row >= 0) < 60  # of 3,040
    members = np.flatnonzero(path.w)
    assert members.tolist() == lars_members(Z[:, :40], y, 5)  # of equal columns, the first


def lars_members(Z, y, K):
    rows = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    inside = reference.inside_segments(lars_path(rows, y, method="lasso")[2])
    return np.flatnonzero(inside[:, np.argmax(inside.sum(axis=0) == K)]).tolist()


def test_the_gram_matrix_has_no_more_bytes_than_its_limit_or_half_of_z():
    assert _surrogates._room(300, 4096) == 4096
    for n, d in [(300, 4097), (300, 60_000), (100_000, 60_000), (5000, 10_000_000)]:
        assert 8 * d * _surrogates._room(n, d) <= max(1 << 27, n * d * 4 // 2)


# --- explanations

WIDE = 5000  # more than the whole Gram matrix is made for


def slopes(X):
    return np.stack([3 * X[:, 10] - 2 * X[:, WIDE - 1], X[:, 7] * X[:, 11]], axis=1)


def test_bits_of_many_columns_do_not_depend_on_threads_and_batches():
    X = np.random.default_rng(0).normal(size=(5, WIDE)).astype(np.float32)
    options = {"n_features": 3, "n_samples": 60, "targets": "all", "rng": 0}
    expected = nlf.NormLIME(slopes, nlf.Gaussian(1.0), n_jobs=1, **options).explain(X)
    for more in ({"n_jobs": 2}, {"n_jobs": 3, "batch_size": 240}, {"batch_size": 60}):
        local = nlf.NormLIME(slopes, nlf.Gaussian(1.0), **options, **more).explain(X)
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(local.weights, name), getattr(expected.weights, name))
        np.testing.assert_array_equal(local.stderr.data, expected.stderr.data)


SCRIPT = """
import pathlib, resource, sys
import numpy as np
import normlime_fast as nlf

def peak():  # MiB; Linux counts in `ru_maxrss` what the process was forked from
    try:
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)

def explain(d, **options):
    model = lambda X: 3 * X[:, 10] - 2 * X[:, d - 1]
    explainer = nlf.NormLIME(model, nlf.Gaussian(1.0), n_features=2, n_samples=100, rng=0, **options)
    return explainer.explain(np.zeros((2, d), np.float32)).weights

for options in ({}, {"n_jobs": 2}, {"selection": "highest_weights"}):
    explain(50, **options)
    before = peak()
    weights = explain(60_000, **options)
    assert weights.indices.tolist() == [10, 59_999] * 2, weights.indices
    print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no ru_maxrss")
def test_memory_of_sixty_thousand_columns():
    """z and rows take 46 MiB, 8 Gram columns, their sums and c less than 15; a d x d matrix would take 27 GiB."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert all(float(line) < 150 for line in done.stdout.split()), done.stdout
