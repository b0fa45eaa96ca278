"""What must hold for any input: symmetries of the fit and of the sums."""

import numpy as np
from helpers import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from normlime_fast import aggregate, fit_surrogates

settings.register_profile("reproducible", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("reproducible")

KINDS = st.sampled_from(["normlime", "l2", "sp_lime", "mean_abs", "mean", "sum"])
SIGNS = st.sampled_from(["absolute", "positive", "negative"])


@st.composite
def problems(draw):
    """Z, y, K and weights of a regression; ratios of variances below 16 keep it well conditioned."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, d = draw(st.integers(20, 80)), draw(st.integers(1, 9))
    Z = rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d) + rng.normal(size=d)
    y = Z @ rng.normal(size=d) + rng.uniform(0.01, 1) * rng.normal(size=n)
    weights = rng.uniform(0.2, 2, n) if draw(st.booleans()) else np.ones(n)
    return rng, Z, y, draw(st.integers(1, d)), weights


@st.composite
def weight_matrices(draw):
    """Explanations of 7 features in multiples of 1/8, some of them empty, and a label for each."""
    n = draw(st.integers(1, 30))
    row = st.lists(st.integers(-16, 16) | st.just(0), min_size=7, max_size=7)
    W = np.array(draw(st.lists(row, min_size=n, max_size=n))) / 8
    return W, np.array(draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n)))


def assert_same_fit(fitted, expected, coef=None):
    """Of the same problem in another order or unit: sums differ by rounding, 1e-16 times n and the condition number."""
    np.testing.assert_allclose(fitted.coef, expected.coef if coef is None else coef, rtol=1e-9)
    np.testing.assert_allclose(fitted.r2, expected.r2, rtol=1e-9)
    np.testing.assert_array_equal(fitted.status, expected.status)


def assert_same_sums(one, other):
    """Counts, of explanations and of weights, equal; 60 sums of positive terms at most 2 * 60 roundings apart."""
    np.testing.assert_array_equal(one.explanations, other.explanations)
    np.testing.assert_array_equal(one.sums[..., 0], other.sums[..., 0])
    np.testing.assert_allclose(one.sums, other.sums, rtol=120 * np.finfo(float).eps)
    np.testing.assert_array_equal(one.groups, other.groups)


# --- the fit


@given(problems())
def test_permuting_features_permutes_the_weights(problem):
    rng, Z, y, K, weights = problem
    order = rng.permutation(Z.shape[1])
    expected = fit_surrogates(Z, y, n_features=K, sample_weight=weights)
    assert_same_fit(
        fit_surrogates(Z[:, order], y, n_features=K, sample_weight=weights), expected, expected.coef[:, order]
    )


@given(problems())
def test_permuting_samples_changes_nothing(problem):
    rng, Z, y, K, weights = problem
    order = rng.permutation(len(Z))
    fitted = fit_surrogates(Z[order], y[order], n_features=K, sample_weight=weights[order])
    assert_same_fit(fitted, fit_surrogates(Z, y, n_features=K, sample_weight=weights))


@given(problems(), st.integers(-300, 300), st.sampled_from([-1.0, 1.0]), st.floats(-100, 100))
def test_scaling_and_shifting_outputs_scales_the_weights(problem, exponent, sign, shift):
    _, Z, y, K, weights = problem
    scale = sign * 2.0**exponent  # exact; the shift is not
    expected = fit_surrogates(Z, y, n_features=K, sample_weight=weights)
    fitted = fit_surrogates(Z, (y + shift) * scale, n_features=K, sample_weight=weights)
    assert_same_fit(fitted, expected, expected.coef * scale)
    tolerance = 1e-9 * (np.abs(y).max() + abs(shift))
    np.testing.assert_allclose(fitted.intercept / scale, expected.intercept + shift, atol=tolerance)


@given(problems(), st.integers(2, 4))
def test_repeating_a_sample_is_weighting_it(problem, times):
    rng, Z, y, K, _ = problem
    weights = rng.integers(0, times + 1, len(Z))
    weights[:15] = 1
    rows = np.repeat(np.arange(len(Z)), weights)
    assert_same_fit(
        fit_surrogates(Z[rows], y[rows], n_features=K, ridge=0.5),
        fit_surrogates(Z, y, n_features=K, sample_weight=weights, ridge=0.5),
    )


@given(problems(), st.sampled_from([0.25, 3.0, 1e-200, 1e200]))
def test_only_ratios_of_weights_and_ridge_matter(problem, factor):
    _, Z, y, K, weights = problem
    fitted = fit_surrogates(Z, y, n_features=K, sample_weight=weights * factor, ridge=10 * factor)
    assert_same_fit(fitted, fit_surrogates(Z, y, n_features=K, sample_weight=weights, ridge=10))


@given(problems())
def test_fit_is_least_squares_on_at_most_k_features(problem):
    _, Z, y, K, weights = problem
    fitted = fit_surrogates(Z, y, n_features=K, sample_weight=weights)
    members = np.flatnonzero(fitted.coef[0])
    assert len(members) == K or fitted.status[0] == 1
    coef, intercept, r2 = reference.refit(Z, y, weights, members)
    np.testing.assert_allclose(fitted.coef[0], coef, rtol=1e-8)
    np.testing.assert_allclose(fitted.r2[0], r2, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(fitted.intercept[0], intercept, rtol=1e-8, atol=1e-9 * np.abs(y).max())


# --- the sums


@given(weight_matrices(), KINDS, SIGNS, st.randoms(use_true_random=False))
def test_permuting_features_permutes_importances(weights, kind, sign, random):
    W, _ = weights
    order = random.sample(range(7), 7)
    expected = aggregate(W).importance(kind, sign)
    result = aggregate(W[:, order]).importance(kind, sign)
    np.testing.assert_allclose(result.values, expected.values[order], rtol=1e-13)
    np.testing.assert_array_equal(result.counts, expected.counts[order])


@given(weight_matrices(), st.randoms(use_true_random=False))
def test_permuting_instances_changes_nothing(weights, random):
    W, groups = weights
    order = random.sample(range(len(W)), len(W))
    assert_same_sums(aggregate(W[order], groups[order]), aggregate(W, groups))


@given(weight_matrices(), st.integers(2, 5))
def test_duplicating_instances_changes_counts_only(weights, times):
    W, groups = weights
    once, often = aggregate(W, groups), aggregate(np.tile(W, (times, 1)), np.tile(groups, times))
    for kind in ("normlime", "mean_abs", "mean"):
        one, many = once.importance(kind), often.importance(kind)
        np.testing.assert_allclose(many.values, one.values, rtol=1e-13, atol=1e-14)
        np.testing.assert_array_equal(many.counts, times * one.counts)


@given(weight_matrices(), st.data())
def test_chunks_merge_in_any_order(weights, data):
    W, groups = weights
    cuts = sorted(data.draw(st.sets(st.integers(1, len(W) - 1), max_size=4))) if len(W) > 1 else []
    parts = [aggregate(rows, labels) for rows, labels in zip(np.split(W, cuts), np.split(groups, cuts), strict=True)]
    parts = data.draw(st.permutations(parts))
    while len(parts) > 1:  # neighbours merge in any order, too
        at = data.draw(st.integers(0, len(parts) - 2))
        parts[at : at + 2] = [parts[at].merge(parts[at + 1])]
    assert_same_sums(parts[0], aggregate(W, groups))


@given(weight_matrices(), KINDS)
def test_positive_and_negative_are_parts_of_absolute(weights, kind):
    W, groups = weights
    statistics = aggregate(W, groups)
    positive, negative, both = (statistics.importance(kind, sign) for sign in ("positive", "negative", "absolute"))
    np.testing.assert_array_equal(positive.counts + negative.counts, both.counts)
    if kind in ("mean", "mean_abs", "sum"):
        np.testing.assert_allclose(positive.values + negative.values, both.values, rtol=1e-13, atol=1e-14)
    if kind == "normlime":
        total = positive.values * positive.counts + negative.values * negative.counts
        np.testing.assert_allclose(total, both.values * both.counts, rtol=1e-13)


@given(weight_matrices())
def test_groups_partition_the_whole(weights):
    W, groups = weights
    parts, whole = aggregate(W, groups), aggregate(W)
    np.testing.assert_array_equal(parts.sums[..., 0].sum(axis=0), whole.sums[0, ..., 0])
    np.testing.assert_allclose(parts.sums.sum(axis=0), whole.sums[0], rtol=120 * np.finfo(float).eps)
    assert parts.explanations.sum() == whole.explanations[0] == len(W)


@given(weight_matrices(), KINDS, SIGNS)
def test_importance_is_the_oracles(weights, kind, sign):
    W, _ = weights
    result = aggregate(W).importance(kind, sign)
    values, counts = reference.importance(W, kind, sign)
    np.testing.assert_allclose(result.values, values, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(result.counts, counts)


@given(weight_matrices(), st.integers(-100, 100), KINDS)
def test_scaling_weights_scales_importances(weights, exponent, kind):
    W, _ = weights
    factor = 4.0**exponent
    scaled, plain = aggregate(W * factor).importance(kind), aggregate(W).importance(kind)
    by = np.sqrt(factor) if kind == "sp_lime" else factor
    np.testing.assert_array_equal(scaled.values, plain.values * by)  # powers of 2 change no digit
