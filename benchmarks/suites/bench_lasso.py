"""K-LASSO, from a Gram matrix and from samples: the library's kernels beside scikit-learn's LARS."""

from typing import NamedTuple

import numpy as np
import pytest
from sklearn.linear_model import lars_path, lars_path_gram

from normlime_fast._kernels import lasso, moments, surrogate

N = 5000
TOL = 1e-4
SHAPES = [(30, 10), (784, 20)]  # (d, K)
ROUNDS = {"warmup_rounds": 1, "rounds": 20}  # the warm-up compiles


class Problem(NamedTuple):
    """Samples Z (n, d) float32 as the Gaussian neighborhood draws them, outputs y, and their centred copies."""

    Z: np.ndarray
    y: np.ndarray
    Z_centred: np.ndarray
    y_centred: np.ndarray


def problem(d, K):
    """An output with 2 K features of decreasing weight, and noise: K-LASSO has something to leave out."""
    rng = np.random.default_rng(d)
    Z = rng.standard_normal((N, d), dtype=np.float32)
    weights = 0.9 ** np.arange(2 * K) * rng.choice([-1.0, 1.0], 2 * K)
    y = Z[:, rng.permutation(d)[: 2 * K]] @ weights + rng.standard_normal(N)
    exact = Z.astype(np.float64)
    return Problem(Z, y, exact - exact.mean(axis=0), y - y.mean())


def lars_support(coefficients, K):
    """The K features after K steps, of which none has taken one out again."""
    support = np.flatnonzero(coefficients[:, -1])
    assert len(support) == K
    return support


@pytest.mark.parametrize(("d", "K"), SHAPES)
def test_path_normlime_fast(benchmark, d, K):
    benchmark.group = f"path to K features, Gram matrix given, {d=}, {K=}"
    p = problem(d, K)
    gram = moments.Gram(p.Z_centred.T @ p.Z_centred / N, np.arange(d), p.Z, np.full(N, 1 / N), np.zeros(d), np.ones(d))
    c = p.Z_centred.T @ p.y_centred / N
    yy = p.y_centred @ p.y_centred / N

    def fresh():
        return (lasso.start(c),), {}

    def select(path):
        return path.w, *lasso.select(gram, path, yy, K, TOL)

    w, _, status = benchmark.pedantic(select, setup=fresh, **ROUNDS)
    assert status == lasso.OK
    coefficients = lars_path_gram(c * N, gram.values * N, n_samples=N, max_iter=K, method="lasso")[2]
    np.testing.assert_array_equal(np.flatnonzero(w), lars_support(coefficients, K))


@pytest.mark.parametrize(("d", "K"), SHAPES)
def test_path_scikit_learn(benchmark, d, K):
    benchmark.group = f"path to K features, Gram matrix given, {d=}, {K=}"
    p = problem(d, K)
    gram, c = p.Z_centred.T @ p.Z_centred, p.Z_centred.T @ p.y_centred
    result = benchmark.pedantic(lars_path_gram, (c, gram), {"n_samples": N, "max_iter": K, "method": "lasso"}, **ROUNDS)
    lars_support(result[2], K)


def lars_fit(p, K):
    """Select by LARS, refit by least squares: (features, weights)."""
    support = lars_support(lars_path(p.Z_centred, p.y_centred, max_iter=K, method="lasso")[2], K)
    return support, np.linalg.lstsq(p.Z_centred[:, support], p.y_centred, rcond=None)[0]


@pytest.mark.parametrize(("d", "K"), SHAPES)
def test_fit_normlime_fast(benchmark, d, K):
    benchmark.group = f"fit from {N} samples, {d=}, {K=}"
    p = problem(d, K)
    features = np.empty((1, K), np.int64)
    coefficients = np.empty((1, 3, K))
    summaries = np.zeros(1, surrogate.SUMMARY)

    def fresh():
        Y = p.y[None].copy()  # the kernel overwrites it
        samples = p.Z[None], Y, np.array([0, 1]), np.ones((1, N))
        return (*samples, K, 0.0, TOL, np.nan, False, 0.0, d, features, coefficients, summaries), {}

    benchmark.pedantic(surrogate.fit, setup=fresh, **ROUNDS)
    assert (summaries["count"], summaries["status"]) == (K, lasso.OK)
    expected_features, expected_weights = lars_fit(p, K)
    np.testing.assert_array_equal(features[0], expected_features)
    # Both solve a system of condition number below 2; sums of 5000 products are off by less than 5000 * 1.1e-16.
    np.testing.assert_allclose(coefficients[0, surrogate.WEIGHT], expected_weights, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("d", "K"), SHAPES)
def test_fit_scikit_learn(benchmark, d, K):
    benchmark.group = f"fit from {N} samples, {d=}, {K=}"
    benchmark.pedantic(lars_fit, (problem(d, K), K), **{**ROUNDS, "rounds": 5})
