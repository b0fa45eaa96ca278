"""The path to K features and the kernels below it. What a user gets from them is tested in test_surrogates."""

import numpy as np
import pytest
from helpers import reference
from sklearn.linear_model import Lasso, lars_path

from normlime_fast._kernels import lasso, moments, products, surrogate
from normlime_fast._status import Status

TOL = 1e-4
CASES = [  # n, d, K, correlation of neighbouring features, number of features behind the output, noise
    (50, 8, 1, 0.0, 3, 0.1),
    (60, 16, 5, 0.0, 6, 1.0),
    (200, 16, 10, 0.5, 16, 0.5),
    (67, 24, 10, 0.8, 5, 0.3),
    (300, 40, 20, 0.9, 40, 1.0),
    (40, 80, 8, 0.0, 5, 0.1),  # n < d
    (45, 120, 15, 0.6, 10, 1.0),
    (1000, 200, 10, 0.3, 20, 0.2),
]


def problem(case, seed=0, dtype=np.float64):
    """Z (n, d) of a multiple of 8 columns, y and weights that sum to 1."""
    n, d, K, correlation, members, noise = case
    rng = np.random.default_rng([seed, n, d])
    Z = rng.normal(size=(n, d))
    for j in range(1, d):
        Z[:, j] = correlation * Z[:, j - 1] + np.sqrt(1 - correlation**2) * Z[:, j]
    Z = Z.astype(dtype)
    y = Z[:, rng.permutation(d)[:members]] @ rng.normal(size=members) + noise * rng.normal(size=n)
    weights = rng.exponential(size=n)
    weights[rng.permutation(n)[: n // 10]] = 0.0
    return Z, y, weights / weights.sum(), K


def first_segment(Z, y, p, K):
    """(support, alpha at its beginning and end) of the first segment of the LASSO path with K members."""
    alphas, _, path = lars_path(*reference.unweighted(Z, y, p), method="lasso")
    inside = reference.inside_segments(path)
    segment = np.flatnonzero(inside.sum(axis=0) == K)[0]
    return np.flatnonzero(inside[:, segment]), alphas[segment], alphas[segment + 1]


def start(Z, y, p, known=True):
    """(gram, path, yy) as the kernels take them; with a known Gram matrix there are no samples to look at."""
    rows, target, _ = reference.centred(Z.astype(np.float64), y, p)
    c, (_, d) = rows.T @ (p * target), Z.shape
    values = (rows.T * p) @ rows if known else np.full((d, d), np.nan)
    row = np.arange(d) if known else np.full(d, moments.UNKNOWN)
    gram = moments.Gram(values, row, np.full_like(Z, np.nan) if known else Z, p, p @ Z, np.ones(d))
    return gram, lasso.start(c), p @ target**2


def fit(Z, Y, p, K, ridge=0.0, tol=TOL, ridge_of_all=np.nan, standardize=False, room=10**6):
    """`surrogate.fit` on m instances: dense weights (m, t, d) and summaries."""
    m, t, d = len(Z), Y.shape[1], Z.shape[2]
    features, coefficients = np.zeros((m * t, K), np.int64), np.zeros((m * t, 3, K))
    summaries = np.zeros(m * t, surrogate.SUMMARY)
    starts = np.arange(0, m * t + 1, t)
    out = features, coefficients, summaries
    options = ridge, tol, ridge_of_all, standardize, 0.0, room
    surrogate.fit(Z, Y.reshape(m * t, -1).copy(), starts, p[None], K, *options, *out)
    features, coefficients = features.reshape(m, t, K), coefficients[:, 0].reshape(m, t, K)
    summaries = summaries.reshape(m, t)
    w = np.zeros((m, t, d))
    for place in np.ndindex(m, t):
        count = summaries["count"][place]
        assert (np.diff(features[place][:count]) > 0).all()  # ascending, each once
        w[place][features[place][:count]] = coefficients[place][:count]
    return w, summaries


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_support_is_that_of_the_first_segment_with_k_members(case, seed):
    Z, y, p, K = problem(case, seed)
    support, above, below = first_segment(Z, y, p, K)
    w, summaries = fit(Z[None], y[None, None], p, K)
    np.testing.assert_array_equal(np.flatnonzero(w[0, 0]), support)
    assert summaries["status"][0, 0] == Status.OK
    # alphas of both are sums of n products: off by less than n roundings of what they sum
    slack = len(y) * np.finfo(float).eps * np.abs(y).max() * np.abs(Z).max()
    assert below - slack <= summaries["alpha"][0, 0] <= above + slack


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_standardized_support_is_that_of_columns_scaled_by_hand(case, ridge):
    Z, y, p, K = problem(case)
    decades = 1 if ridge else 4  # else the ridge leaves nothing of weights of small columns
    Z = (Z * 10.0 ** np.random.default_rng(1).integers(-decades, decades + 1, size=Z.shape[1])).astype(Z.dtype)
    rows, _, _ = reference.centred(Z.astype(np.float64), y, p)
    deviation = np.sqrt(p @ rows**2)
    support, above, below = first_segment(Z / deviation, y, p, K)
    w, summaries = fit(Z[None], y[None, None], p, K, ridge, standardize=True)
    np.testing.assert_array_equal(np.flatnonzero(w[0, 0]), support)
    slack = len(y) * np.finfo(float).eps * np.abs(y).max() * np.abs(Z / deviation).max()
    assert below - slack <= summaries["alpha"][0, 0] <= above + slack
    # The ridge is on weights of columns as they are. Without one, least squares by SVD needs columns of one size.
    unit = np.ones_like(deviation) if ridge else deviation
    expected, intercept, r2 = reference.refit(Z / unit, y, p, support, ridge)
    np.testing.assert_allclose(w[0, 0] * unit, expected, rtol=1e-8)
    np.testing.assert_allclose([summaries["intercept"][0, 0], summaries["r2"][0, 0]], [intercept, r2], rtol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [5, 63, 64, 67, 1001])
def test_mean_squares_are_the_diagonal_of_all_products_to_the_bit(n, dtype):
    rng = np.random.default_rng(n)
    Z, p = rng.normal(size=(n, 19)).astype(dtype), rng.random(n)
    alone, of_all = np.zeros(19), np.zeros(19)
    moments.moments(Z, np.empty((0, n)), p, np.array([3]), alone)
    products = moments.moments(Z, np.empty((0, n)), p, np.arange(19), of_all)
    assert alone.tobytes() == of_all.tobytes() == np.diag(products[1:, :19]).tobytes()
    np.testing.assert_allclose(alone, p @ Z.astype(float) ** 2 / p.sum(), rtol=n * np.finfo(float).eps)


@pytest.mark.parametrize("ridge_of_all", [np.nan, 0.01])
@pytest.mark.parametrize("d", [12, 90])
def test_columns_without_variance_are_never_selected(d, ridge_of_all):
    rng = np.random.default_rng(d)
    Z = rng.normal(size=(400, d)).astype(np.float32)
    Z[:, ::3] = 1e4 * rng.normal(size=Z[:, ::3].shape[1])
    y, K = Z[:, 1] + 0.01 * rng.normal(size=400), d - d // 3 - 1
    for standardize in (False, True):
        w, _ = fit(Z[None], y[None, None], np.full(400, 1 / 400), K, 0.0, TOL, ridge_of_all, standardize)
        assert np.count_nonzero(w) > K // 2
        assert not w[..., ::3].any()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_coefficients_at_alpha_are_those_of_scikit_learn(case):
    Z, y, p, K = problem(case)
    gram, path, yy = start(Z, y, p)
    alpha, status = lasso.select(gram, path, yy, K, TOL)
    assert status == Status.OK
    w, (rows, target) = path.w, reference.unweighted(Z, y, p)
    model = Lasso(alpha=alpha, fit_intercept=False, tol=1e-13, max_iter=100_000).fit(rows, target)
    # Both are minima of the strictly convex objective on the support: a gap g puts w within sqrt(2 g / least
    # eigenvalue); scikit-learn's is at most tol * yy, ours is at rounding.
    (members,) = w.nonzero()
    least = np.linalg.eigvalsh(gram.values[np.ix_(members, members)])[0]
    np.testing.assert_allclose(w, model.coef_, rtol=0, atol=np.sqrt(2 * 1e-13 * yy / least))
    assert abs(reference.duality_gap(Z, y, p, w, alpha)) < 1e-12 * yy


@pytest.mark.parametrize("tol", [1.0, 1e-2, 1e-4, 1e-8, 1e-12])
@pytest.mark.parametrize("share", [0.9, 0.3, 0.03, 1e-3])
@pytest.mark.parametrize("case", CASES[:5], ids=str)
def test_duality_gap_is_below_the_tolerance(case, share, tol):
    Z, y, p, _ = problem(case)
    gram, path, yy = start(Z, y, p)
    alpha = share * np.abs(path.c).max()
    assert lasso.lasso(gram, path, yy, alpha, tol) == Status.OK
    # the gap is a difference of sums of size yy: 1e-12 of it is rounding
    assert reference.duality_gap(Z, y, p, path.w, alpha) <= (tol / 2 + 1e-12) * yy
    np.testing.assert_allclose(path.rho, path.c - gram.values @ path.w, atol=1e-12 * np.abs(path.c).max())


@pytest.mark.parametrize("case", CASES[:6], ids=str)
def test_features_enter_and_leave_exactly_at_their_knots(case):
    """scikit-learn's knots are good to some 1e-13 of alpha_max, ours to the same: 1e-10 beside them is far enough."""
    Z, y, p, _ = problem(case)
    gram, path, yy = start(Z, y, p)
    alphas, _, coefficients = lars_path(*reference.unweighted(Z, y, p), method="lasso")
    inside = reference.inside_segments(coefficients)
    for knot in np.flatnonzero(alphas > 1e-2 * alphas[0])[1:]:
        for side, segment in ((1e-10, knot - 1), (-1e-10, knot)):
            assert lasso.lasso(gram, path, yy, alphas[knot] + side * alphas[0], TOL) == Status.OK
            np.testing.assert_array_equal(path.w != 0, inside[:, segment])


def test_path_without_penalty_and_at_alpha_max():
    Z, y, p, _ = problem(CASES[1])
    gram, path, yy = start(Z, y, p)
    assert lasso.lasso(gram, path, yy, np.abs(path.c).max(), TOL) == Status.OK
    assert not path.w.any()
    assert lasso.lasso(gram, path, yy, 0.0, 1e-10) == Status.OK
    least_squares, _, _ = reference.refit(Z, y, p, np.arange(Z.shape[1]))
    np.testing.assert_allclose(path.w, least_squares, rtol=1e-9, atol=1e-12)


def test_path_may_be_walked_back_up():
    Z, y, p, _ = problem(CASES[4])
    gram, path, yy = start(Z, y, p)
    alpha = 0.1 * np.abs(path.c).max()
    lasso.lasso(gram, path, yy, alpha, 1e-10)
    direct = path.w.copy()
    lasso.lasso(gram, path, yy, 0.01 * alpha, 1e-10)
    lasso.lasso(gram, path, yy, alpha, 1e-10)
    np.testing.assert_allclose(path.w, direct, atol=1e-10)
    np.testing.assert_array_equal(path.w != 0, direct != 0)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_on_demand_give_the_fit_of_the_whole_gram_matrix(case, dtype):
    Z, y, p, K = problem(case, dtype=dtype)
    gram, path, yy = start(Z, y, p)
    alpha, _ = lasso.select(gram, path, yy, K, TOL)
    support = np.flatnonzero(path.w)
    w, summaries = fit(Z[None], y[None, None], p, K)
    np.testing.assert_array_equal(np.flatnonzero(w[0, 0]), support)
    np.testing.assert_allclose(summaries["alpha"][0, 0], alpha, rtol=1e-9)
    expected, intercept, r2 = reference.refit(Z.astype(np.float64), y, p, support)
    np.testing.assert_allclose(w[0, 0], expected, rtol=1e-8)
    np.testing.assert_allclose(summaries["r2"][0, 0], r2, rtol=1e-8)
    assert summaries["intercept"][0, 0] == pytest.approx(intercept, rel=1e-8, abs=1e-8 * np.ptp(y))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 63, 64, 65, 66, 67, 130])
@pytest.mark.parametrize("d", [8, 24])
def test_any_number_of_samples(n, d):
    """Sums run in tiles of rows and in steps of rows; what is left over counts, too."""
    rng = np.random.default_rng([n, d])
    Z, y, p = rng.normal(size=(n, d)), rng.normal(size=n), rng.dirichlet(np.ones(n))
    w, summaries = fit(Z[None], y[None, None], p, 1)
    if n == 1:
        assert summaries["status"][0, 0] == Status.CONSTANT_OUTPUT
        return
    rows, target, _ = reference.centred(Z, y, p)
    (support,) = w[0, 0].nonzero()
    np.testing.assert_array_equal(support, np.abs(rows.T @ (p * target)).argmax())
    np.testing.assert_allclose(w[0, 0], reference.refit(Z, y, p, support)[0], rtol=1e-8)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7, 8, 9, 20])
@pytest.mark.parametrize("n", [1, 5, 63, 64, 65, 66, 70, 71, 72, 128, 129, 200])
def test_products_read_no_further_than_there_are_rows(n, d):
    """The last row of a tile is read up to a multiple of WIDE columns."""
    Z = np.arange(n * d, dtype=np.float32).reshape(n, d)
    for first in range(0, n, products.TILE):
        rows = moments._rows_from(Z, first)
        last = min(products.TILE, n - first) - 1
        assert len(rows) >= last * d + -(-d // products.WIDE) * products.WIDE
        np.testing.assert_array_equal(rows[: (last + 1) * d], Z[first : first + last + 1].ravel())


@pytest.mark.parametrize("t", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("d", [16, 200])
def test_targets_of_one_call_equal_single_fits_bit_for_bit(t, d):
    rng = np.random.default_rng(t)
    Z, p = rng.normal(size=(2, 150, d)), np.ones(150)  # equal weights: the Gram matrix is symmetric to the bit
    Y = rng.normal(size=(2, t, 150)) + 3 * Z[:, :, :t].transpose(0, 2, 1)
    Y[0, 1] = 7.0  # a constant among them
    together, summaries = fit(Z, Y, p, 6)
    for row, k in np.ndindex(2, t):
        alone, summary = fit(Z[row : row + 1], Y[row : row + 1, k : k + 1], p, 6)
        np.testing.assert_array_equal(together[row, k], alone[0, 0])
        assert summaries[row, k] == summary[0, 0]


def test_columns_of_zeros_are_never_selected():
    Z, y, p, _ = problem(CASES[1])
    Z[:, 5:] = 0.0
    w, summaries = fit(Z[None], y[None, None], p, 16)
    np.testing.assert_array_equal(np.flatnonzero(w[0, 0]), np.arange(5))
    w, summaries = fit(0 * Z[None], y[None, None], p, 3)
    assert not w.any()
    assert (summaries["status"][0, 0], summaries["r2"][0, 0]) == (Status.FEWER_FEATURES, 0.0)


def test_instances_do_not_leak_into_each_other():
    """Scratch is shared between the instances of a call: a fit must not see the last one's."""
    Z, y, p, _ = problem(CASES[2])
    other = np.random.default_rng(5).normal(size=Z.shape)
    constant = np.full_like(y, 3.0)
    w, summaries = fit(np.stack([Z, other, other, Z]), np.stack([y, constant, y, y])[:, None], p, 4)
    np.testing.assert_array_equal(w[3], w[0])
    assert summaries[3] == summaries[0]
    assert not w[1].any()
    np.testing.assert_array_equal(w[2], fit(other[None], y[None, None], p, 4)[0][0])


def test_an_output_without_a_fit_wants_no_columns():
    rng = np.random.default_rng(0)
    Z, Y = rng.normal(size=(2000, 160)), np.zeros((2, 2000))
    Y[0] = Z[:, 155:] @ np.ones(5)
    gram, _ = moments.observe(Z, Y - Y.mean(axis=1, keepdims=True), np.ones(2000), 5, False, np.empty((160, 160)))
    known = np.flatnonzero(gram.row >= 0)
    assert set(range(155, 160)) <= set(known)
    assert len(known) < 20
