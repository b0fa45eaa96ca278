"""The shrunken estimate: against matrix algebra, at its limits, against known truths, and as an option."""

import numpy as np
import pytest
from scipy.optimize import brentq

import normlime_fast as nlf
from normlime_fast import aggregate
from normlime_fast._results.shrinkage import PRIOR, shrunk

# Reordering or splitting a sum of up to 1e3 terms changes it by 1e-13; the variance, a difference of sums, and tau^2, a
# root, are some 1e3 times as sensitive.
ROUNDING = {"rtol": 1e-9, "atol": 0}


def group(seed=0, d=40):
    """Means, standard errors and counts as those of a group: rare features, unused ones, some used once."""
    rng = np.random.default_rng(seed)
    counts = np.floor(np.exp(rng.normal(1.5, 1.5, d))).astype(int)
    counts[:3] = 0, 1, 2
    expected = np.exp(rng.normal(size=d)) * np.maximum(counts, 1) ** 0.3
    samples = [m * rng.gamma(2.0, 0.5, n) for m, n in zip(expected, counts, strict=True)]
    values = np.array([one.mean() if one.size else 0.0 for one in samples])
    stderr = np.array([one.std(ddof=1) / np.sqrt(one.size) if one.size > 1 else np.nan for one in samples])
    return values, stderr, counts


def by_matrices(values, stderr, counts):
    """The estimate of used features by general least squares and a root finder, and its error."""
    n = counts.astype(float)
    variation = np.where(counts > 1, n * stderr**2 / values**2, 0.0)
    common = np.average(variation, weights=n - 1)
    noise = np.log(1 + (PRIOR * common + (n - 1) * variation) / (PRIOR + n - 1) / n)
    y, X = np.log(values), np.vander(np.log(n), 2)
    X = X[:, 1:] if len(set(counts)) == 1 else X

    def fit(tau2):
        W = np.diag(1 / (tau2 + noise))
        cov = np.linalg.inv(X.T @ W @ X)
        fitted = X @ cov @ X.T @ W @ (y + noise / 2)
        residual = y + noise / 2 - fitted
        return fitted, np.diag(X @ cov @ X.T), residual @ W @ residual - (len(y) - X.shape[1])

    tau2 = brentq(lambda t: fit(t)[2], 0, 1e3, xtol=1e-15, rtol=1e-14) if fit(0.0)[2] > 0 else 0.0
    fitted, spread, _ = fit(tau2)
    kept = tau2 / (tau2 + noise)
    of_tau2 = noise**2 / (tau2 + noise) ** 3 * 2 / np.sum((tau2 + noise) ** -2.0)
    error = kept * noise + (1 - kept) ** 2 * spread + 2 * of_tau2
    result = np.exp(fitted + kept * (y - fitted))
    return result, result * np.sqrt(error), tau2


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("same", [False, True])
def test_against_matrices(seed, same):
    values, stderr, counts = group(seed)
    if same:
        counts = np.full_like(counts, 3)
        values, stderr = values + 0.1, np.nan_to_num(stderr) + 0.05
    used = counts > 0
    result, error = shrunk(values, stderr, counts)
    expected, expected_error, tau2 = by_matrices(values[used], stderr[used], counts[used])
    assert tau2 > 0
    np.testing.assert_allclose(result[used], expected, **ROUNDING)
    np.testing.assert_allclose(error[used], expected_error, **ROUNDING)
    np.testing.assert_array_equal(result[~used], values[~used])
    assert np.isnan(error[~used]).all()
    assert np.isfinite(error[used]).all()


# --- limits


def test_without_a_spread_beyond_noise_all_are_as_the_mean():
    values = np.array([1.0, 1.01, 0.98])
    result, error = shrunk(values, 0.5 * values, np.full(3, 4))
    noise = np.log(1 + 0.5**2)  # c^2 / n is the square of the relative standard error
    np.testing.assert_allclose(result, np.exp(np.log(values).mean() + noise / 2), **ROUNDING)
    # of the mean, and, of tau^2, 2 (v^2 / v^3) 2 / (3 / v^2)
    np.testing.assert_allclose(error, result * np.sqrt(noise / 3 + noise * 4 / 3), **ROUNDING)


def test_without_a_spread_beyond_noise_all_are_on_the_line():
    counts = np.array([1, 2, 4, 8, 16, 32, 64])
    stderr = np.where(counts > 1, 1.0, np.nan) * 0.5 / np.sqrt(counts)  # relative, so that c is 0.5 for all
    values = 3.0 * counts**0.7 / np.sqrt(1 + 0.25 / counts)  # by as much is the logarithm too low
    result, _ = shrunk(values * np.exp(0.01 * np.cos(counts)), values * stderr, counts)
    np.testing.assert_allclose(np.diff(np.log(result)), np.diff(np.log(result))[0], **ROUNDING)
    np.testing.assert_allclose(result, 3.0 * counts**0.7, rtol=0.02)  # least squares of errors of at most 1 %


def test_without_noise_nothing_moves():
    values, stderr, counts = group()
    used = counts > 0
    for small in (1e-5, 1e-30):
        result, error = shrunk(values, small * stderr, counts)
        # noise is at most about small^2, log values differ from the line by less than 10, and tau^2 is about 1
        np.testing.assert_allclose(result, values, rtol=max(1e-14, 100 * small**2))
        assert (error[used] < 10 * small * values[used]).all()
    result, error = shrunk(values, 0 * stderr, counts)  # all contributions of a feature are equal
    np.testing.assert_array_equal(result, values)
    assert not error[used].any()


def test_the_fewer_explanations_the_farther_a_value_moves():
    counts = np.array([1, 2, 5, 20, 100, 500, 7, 7, 7, 7, 7, 7])
    values = np.where(np.arange(12) < 6, 5.0, np.where(np.arange(12) % 2, 0.2, 1.0))
    stderr = np.where(counts > 1, values * 0.8 / np.sqrt(counts), np.nan)
    result, error = shrunk(values, stderr, counts)
    assert (np.diff(result[:6]) > 0).all()
    assert result[0] < 4.0
    assert (np.diff(error[:6]) < 0).all()


@pytest.mark.parametrize(
    ("values", "stderr", "counts"),
    [
        ([0.0, 0.0], [np.nan, np.nan], [0, 0]),
        ([1.0, 9.0, 2.0], [np.nan] * 3, [1, 1, 1]),  # nothing is known of the noise
        ([1.0, 9.0, 0.0], [np.nan, np.nan, np.nan], [1, 1, 0]),
        ([0.0, 0.0], [0.0, 0.0], [3, 4]),  # all contributions underflow
    ],
)
def test_where_nothing_is_known_everything_stays(values, stderr, counts):
    result = shrunk(np.array(values), np.array(stderr), np.array(counts))
    np.testing.assert_array_equal(result[0], values)
    np.testing.assert_array_equal(result[1], stderr)


@pytest.mark.parametrize("counts", [[5], [5, 9], [1, 5], [5, 5]])
def test_fewer_than_three_features_stay(counts):
    values = np.arange(1.0, len(counts) + 1)
    stderr = np.where(np.array(counts) > 1, 0.1, np.nan)
    result, error = shrunk(values, stderr, np.array(counts))
    np.testing.assert_array_equal(result, values)
    assert np.isfinite(error).all()


def test_equal_values_stay_equal():
    result, error = shrunk(np.full(6, 2.0), np.full(6, 0.3), np.full(6, 5))
    np.testing.assert_allclose(result, result[0], rtol=1e-15)
    np.testing.assert_allclose(error, error[0], rtol=1e-14)


def test_order_and_unit_of_features_do_not_matter():
    arrays = group()
    order = np.random.default_rng(1).permutation(len(arrays[0]))
    for one, other in zip(shrunk(*(array[order] for array in arrays)), shrunk(*arrays), strict=True):
        np.testing.assert_allclose(one, other[order], **ROUNDING)
    values, stderr, counts = arrays
    for one, other in zip(shrunk(1e60 * values, 1e60 * stderr, counts), shrunk(*arrays), strict=True):
        np.testing.assert_allclose(one, 1e60 * other, **ROUNDING)


def test_inputs_are_left_alone():
    arrays = group()
    before = [array.copy() for array in arrays]
    shrunk(*arrays)
    for now, then in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(now, then)


# --- a truth that is known


def test_the_error_is_below_that_of_the_means_and_near_the_least_there_is():
    """Where the model holds, with c = 1 and n from 20, so that noise is at most log(1 + 1/20) = 0.049.

    The least mean squared error of the logarithm is that of who knows line and tau^2: (1 - B) noise, on average, with
    B = noise / (noise + tau^2). The estimate has the bias (1 - B) noise / 2, whose square is at most noise / 4 = 1.2 %
    of that, and to find line and tau^2 from 1,000 features costs some 4 in 1,000. A squared error has a variance of
    some 2.5 squares of its expectation, since errors of rare features are larger, so that the mean of 20,000 is within
    5 * sqrt(2.5 / 20000) = 6 %. Together 8 %.
    """
    tau2, errors = 0.02, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        counts = rng.integers(20, 200, 1000)
        noise = np.log1p(1 / counts)
        truth = 0.3 * np.log(counts) + rng.normal(0, np.sqrt(tau2), 1000)
        values = np.exp(truth - noise / 2 + rng.normal(0, np.sqrt(noise)))
        result, error = shrunk(values, values / np.sqrt(counts), counts)
        least = noise * tau2 / (noise + tau2)
        squares = (np.log(result) - truth) ** 2
        errors.append([squares.mean(), (np.log(values) - truth).var(), least.mean(), ((error / result) ** 2).mean()])
    found, plain, least, said = np.mean(errors, axis=0)
    assert found == pytest.approx(least, rel=0.08)
    assert said == pytest.approx(found, rel=0.08)
    assert found < 0.6 * plain


# --- as an option


def explanations(seed=0, n=120, d=30):
    """Weights of explanations that choose 4 features each, some of them seldom, and two groups."""
    rng = np.random.default_rng(seed)
    chance = np.exp(-np.arange(d) / 5)
    W = np.zeros((n, d))
    for row in W:
        row[rng.choice(d, 4, replace=False, p=chance / chance.sum())] = rng.normal(size=4)
    return W, np.arange(n) % 2


@pytest.mark.parametrize("sign", ["absolute", "positive", "negative"])
def test_values_and_errors_are_shrunk_and_the_rest_stays(sign):
    W, _ = explanations()
    plain, result = (aggregate(W).importance(sign=sign, shrink=shrink) for shrink in (False, True))
    values, stderr = shrunk(plain.values, plain.stderr, plain.counts)
    assert np.abs(values - plain.values).max() > 0.1 * plain.values.max()
    np.testing.assert_array_equal(result.values, values)
    np.testing.assert_array_equal(result.stderr, stderr)
    np.testing.assert_array_equal(result.counts, plain.counts)
    assert (plain.counts == 1).any()
    np.testing.assert_array_equal(np.isnan(result.stderr), plain.counts == 0)
    assert (plain.shrink, result.shrink, result.skewness) == (False, True, None)
    assert f"normlime, {sign}, shrunk, 120 explanations" in repr(result)
    assert "shrunk" not in repr(plain)
    assert (plain.to_dict()["shrink"], result.to_dict()["shrink"]) == (False, True)


def test_groups_are_shrunk_each_on_its_own():
    W, groups = explanations()
    W[groups == 1] *= 100.0
    result = aggregate(W, groups).importance(shrink=True)
    for k in range(2):
        alone = aggregate(W[groups == k]).importance(shrink=True)
        np.testing.assert_allclose(result.values[k], alone.values, **ROUNDING)
        np.testing.assert_allclose(result.stderr[k], alone.stderr, **ROUNDING)


def test_merged_statistics_give_the_same():
    W, groups = explanations()
    parts = [aggregate(W[rows], groups[rows]) for rows in (slice(37), slice(37, 40), slice(40, None))]
    merged = parts[0].merge(parts[1]).merge(parts[2]).importance(shrink=True)
    whole = aggregate(W, groups).importance(shrink=True)
    np.testing.assert_allclose(merged.values, whole.values, **ROUNDING)
    np.testing.assert_allclose(merged.stderr, whole.stderr, **ROUNDING)


def test_min_count_hides_some_and_changes_none():
    W, groups = explanations()
    result, hidden = (aggregate(W, groups).importance(min_count=n, shrink=True) for n in (1, 4))
    few = result.counts < 4
    assert few.any()
    np.testing.assert_array_equal(hidden.values, np.where(few, 0.0, result.values))
    np.testing.assert_array_equal(hidden.stderr, np.where(few, np.nan, result.stderr))


def test_every_way_to_an_importance_takes_it():
    X = np.random.default_rng(0).normal(size=(60, 8))
    explainer = nlf.NormLIME(lambda X: np.sin(X).cumprod(axis=1).sum(axis=1), nlf.Gaussian(1.0), n_features=2, rng=0)
    explainer.n_samples = 200
    local = explainer.explain(X)
    groups = np.arange(60) % 2
    expected = aggregate(local.weights, groups).importance(shrink=True)
    assert (expected.values != aggregate(local.weights, groups).importance().values).any()
    for result in (local.importance(by=groups, shrink=True), explainer.importance(X, by=groups, shrink=True)):
        assert result.shrink
        np.testing.assert_allclose(result.values, expected.values, **ROUNDING)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        *(
            ((kind, "absolute", 1, True), ValueError, rf"^shrink is for kind normlime and a sign .*, got '{kind}' and ")
            for kind in ("l2", "sp_lime", "mean_abs", "mean", "sum")
        ),
        (("normlime", "net", 1, True), ValueError, r"^shrink is for kind normlime and a sign other than net, got 'n"),
        (("normlime", "absolute", 1, 1), TypeError, r"^shrink must be True or False, got 1$"),
        (("normlime", "absolute", 1, "yes"), TypeError, r"^shrink must be True or False, got 'yes'$"),
        (("normlime", "absolute", 1, None), TypeError, r"^shrink must be True or False, got None$"),
        (("l2", "absolute", 1, None), TypeError, r"^shrink must be True or False, got None$"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message) as raised:
        aggregate(explanations()[0]).importance(*arguments)
    assert "\n" not in str(raised.value)


def test_numpy_bools_are_bools():
    result = aggregate(explanations()[0]).importance(shrink=np.True_)
    assert result.shrink is True


def test_there_are_no_intervals():
    with pytest.raises(ValueError, match=r"^interval needs unshrunken values; use importance\("):
        aggregate(explanations()[0]).importance(shrink=True).interval()
