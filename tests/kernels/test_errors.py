"""Standard errors of weights, compared with the sandwich of White (1980) in NumPy and with the spread of many draws."""

import numpy as np
import pytest

from normlime_fast._kernels import surrogate
from normlime_fast._surrogates import Fits, fit_samples


def problem(n, d, dtype=np.float32, seed=0):
    """Samples with residuals that grow with |z_0|, and weights."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, d)) + 0.3 * rng.normal(size=(n, 1))
    y = Z @ rng.normal(size=d) + np.abs(Z[:, 0]) * rng.normal(size=n) + Z[:, 1] ** 2
    return Z.astype(dtype), y, rng.exponential(size=n)


def fit(Z, y, weights, K, **options):
    fits = Fits.empty(1, K)
    options = {"ridge": 0.0, "tol": 1e-4} | options
    fit_samples(Z[None], y[None].copy(), np.array([0, 1]), weights[None], fits, n_features=K, **options)
    count = fits.summaries["count"][0]
    return fits.features[0, :count], fits.coefficients[0, :, :count], fits.summaries[0]


def sandwich(Z, y, weights, features, ridge=0.0):
    """Weights and their standard errors by matrices of all samples, as textbooks have them."""
    p = weights / weights.sum()
    rows = Z[:, features].astype(float) - p @ Z[:, features]
    target = y - p @ y
    bread = np.linalg.inv((rows.T * p) @ rows + ridge / weights.sum() * np.eye(len(features)))
    w = bread @ (rows.T @ (p * target))
    scores = rows * (p * (target - rows @ w))[:, None]
    n, k = weights.sum() ** 2 / (weights @ weights), len(features)
    return w, np.sqrt(np.diag(bread @ (scores.T @ scores) @ bread) * n / (n - k - 1))


@pytest.mark.parametrize("ridge", [0.0, 5.0])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d", "K"), [(40, 3, 2), (203, 12, 12), (2051, 30, 10), (500, 120, 70)])
def test_errors_are_those_of_the_sandwich(n, d, K, dtype, standardize, ridge):
    Z, y, weights = problem(n, d, dtype)
    Z *= 10.0 ** (np.arange(d) % 5 - 2)
    features, coefficients, _ = fit(Z, y, weights, K, standardize=standardize, ridge=ridge)
    assert len(features) == K
    w, errors = sandwich(Z, y, weights, features, ridge)
    # columns differ by 1e4 in size, so that normal equations lose 8 digits of the 16, which they scale back in part
    np.testing.assert_allclose(coefficients[surrogate.WEIGHT], w, rtol=1e-6, atol=1e-6 * np.abs(w).min())
    np.testing.assert_allclose(coefficients[surrogate.ERROR], errors, rtol=1e-6)


def test_contributions_are_weights_times_the_distance_from_the_mean():
    Z, y, weights = problem(300, 8)
    Z += 2
    features, (w, contributions, _), summary = fit(Z, y, weights, 4)
    mean = weights @ Z[:, features].astype(float) / weights.sum()
    np.testing.assert_allclose(contributions, -w * mean, rtol=1e-12)
    base = weights @ y / weights.sum()
    np.testing.assert_allclose(base + contributions.sum(), summary["intercept"], rtol=1e-12)


def test_too_few_effective_samples_for_an_error():
    Z, y, weights = problem(30, 3)
    weights[4:] = 1e-9 * weights[:26]
    _, coefficients, summary = fit(Z, y, weights, 3)
    assert summary["effective"] < 4
    assert np.isnan(coefficients[surrogate.ERROR]).all()
    assert np.isfinite(coefficients[[surrogate.WEIGHT, surrogate.CONTRIBUTION]]).all()


def test_an_exact_fit_has_next_to_no_error():
    Z, _, weights = problem(200, 5, np.float64)
    _, (w, _, errors), _ = fit(Z, Z @ np.arange(1.0, 6.0), weights, 5)
    assert (errors < 1e-13 * w.max()).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_90_percent_intervals_cover_90_percent(weighted):
    """Of 5 weights in 2,000 draws; if these were independent, 3 standard errors of the share are 0.009."""
    from scipy.stats import norm

    def draw(seed, n):
        rng = np.random.default_rng(seed)
        Z = rng.normal(size=(n, 5))
        y = np.sin(2 * Z[:, 0]) * Z[:, 1] + np.abs(Z[:, 2]) + 2 * (Z[:, 3] > 0.5)
        return Z, y, np.exp(-(Z**2).sum(axis=1) / 4) if weighted else np.ones(n)

    truth = fit(*draw(2**32, 2_000_000), 5)[1][surrogate.WEIGHT]
    inside = []
    for seed in range(2000):
        features, (w, _, errors), _ = fit(*draw(seed, 400), 5)  # a weight of a millionth is dropped now and then
        inside += (np.abs(w - truth[features]) <= norm.ppf(0.95) * errors).tolist()
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)
