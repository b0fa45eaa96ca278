"""Intervals by blocks, against those of independent explanations, SciPy's quantiles, and ratios by hand."""

from functools import reduce
from itertools import product

import numpy as np
import pytest
from scipy import stats

import normlime_fast as nlf
from normlime_fast import ImportanceStatistics, aggregate
from normlime_fast.evaluation import interval_by_blocks

ROUNDING = {"rtol": 1e-9, "atol": 1e-13}  # of sums of 40 numbers near 1, of which squares of the mean are subtracted


def weights_of(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 6)) * (rng.random((n, 6)) < [1, 0.9, 0.5, 0.2, 0.05, 0])


def cut(W, sizes, labels=None):
    ends = np.cumsum(sizes)
    rows = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    return [aggregate(W[one], None if labels is None else labels[one]) for one in rows]


@pytest.mark.parametrize("kind", ["normlime", "mean_abs", "mean"])
@pytest.mark.parametrize("sign", ["absolute", "positive", "negative", "net"])
@pytest.mark.parametrize("level", [0.5, 0.99])
@pytest.mark.parametrize("grouped", [False, True])
def test_blocks_of_one_explanation_are_independent_explanations(kind, sign, level, grouped):
    W, labels = weights_of(40), np.arange(40) % 3 if grouped else None
    one = aggregate(W, labels).importance(kind, sign)
    found = interval_by_blocks(cut(W, [1] * 40, labels), level, kind=kind, sign=sign)
    np.testing.assert_array_equal(found.blocks, one.counts)
    for ours, theirs in zip((found.low, found.high), one.interval(level), strict=True):
        assert np.isfinite(theirs).any()
        np.testing.assert_allclose(ours, theirs, **ROUNDING)
    np.testing.assert_allclose(found.stderr, np.where(one.counts > 1, one.stderr, np.nan), **ROUNDING)


def test_ratio_of_equal_blocks_by_hand():
    """Variance C/(C - 1) sum (T - S N)^2 / (sum N)^2; of two blocks there is no skewness."""
    W = weights_of(8)[:, :3]
    W[:, 1:] = np.where(W[:, 1:] == 0, 0.5, W[:, 1:]) * np.tile([[1, 1], [1, 0], [1, 0], [1, 3]], (2, 1))
    gamma = np.abs(W) / np.abs(W).sum(axis=1, keepdims=True)
    T, N = ((one.reshape(2, 4, 3)).sum(axis=1) for one in (gamma * np.abs(W), (W != 0).astype(float)))
    assert (N[0] == N[1]).all()
    S = T.sum(axis=0) / N.sum(axis=0)
    stderr = np.sqrt(2 / 1 * ((T - S * N) ** 2).sum(axis=0)) / N.sum(axis=0)
    found = interval_by_blocks(cut(W, [4, 4]))
    np.testing.assert_allclose(found.importance.values, S, **ROUNDING)
    np.testing.assert_allclose(found.stderr, stderr, **ROUNDING)
    expected = stats.t.interval(0.9, 1, S, stderr)
    np.testing.assert_allclose((found.low, found.high), expected, **ROUNDING)


@pytest.mark.parametrize("sizes", [[1, 1], [3, 1], [1000, 1], [1, 2, 3, 4], [9, 1, 1, 1, 1], [5] * 7])
@pytest.mark.parametrize("kind", ["normlime", "mean_abs"])
def test_variance_is_unbiased_where_blocks_are_all_that_varies(sizes, kind):
    """Every block has 1 or 3 as the weight of all its explanations, of variance 1: that of their mean is sum h^2."""
    h = np.array(sizes) / sum(sizes)
    parts = {value: [aggregate(np.full((size, 1), value)) for size in sizes] for value in (1.0, 3.0)}
    variances = []
    for drawn in product((1.0, 3.0), repeat=len(sizes)):
        found = interval_by_blocks([parts[value][b] for b, value in enumerate(drawn)], kind=kind)
        variances.append(found.stderr[0] ** 2)
        # 1 / sum h^2 blocks, at least two
        assert found.freedom[0] == pytest.approx(max(1 / (h @ h), 2) - 1, rel=1e-12)
    assert np.mean(variances) == pytest.approx(h @ h, rel=1e-9)


def test_skewness_of_uneven_blocks():
    """Their effective number is n in the skewness of the mean, sqrt(n (n - 1)) / (n - 2) times the plain one."""
    sizes, means = np.array([4, 5, 6, 5, 4]), np.array([1.0, 1.2, 4.0, 0.9, 1.1])
    found = interval_by_blocks([aggregate(np.full((size, 1), m)) for size, m in zip(sizes, means, strict=True)])
    n = sizes.sum() ** 2 / (sizes**2).sum()
    value = sizes @ means / sizes.sum()
    r = sizes * (means - value)
    skew = np.sqrt(n * (n - 1)) / (n - 2) * (r**3).sum() / (r**2).sum() ** 1.5
    t = stats.t.ppf([0.95, 0.05], n - 1)
    hall = 3 / skew * (np.cbrt(1 + skew * (t - skew / 6)) - 1)
    assert 0.5 < skew < 1
    np.testing.assert_allclose([found.low[0], found.high[0]], value - found.stderr[0] * hall, rtol=1e-9)


def test_too_few_effective_blocks_have_no_skewness():
    """25/11 of them: Student's interval, which is symmetric."""
    found = interval_by_blocks([aggregate(np.full((size, 1), m)) for size, m in ((3, 1.0), (1, 2.0), (1, 4.0))])
    expected = stats.t.interval(0.9, 25 / 11 - 1, found.importance.values[0], found.stderr[0])
    np.testing.assert_allclose([found.low[0], found.high[0]], expected, **ROUNDING)


def test_explanations_that_repeat_within_their_block_say_nothing_more():
    W, sizes = weights_of(30), [3, 8, 2, 7, 10]
    once, thrice = cut(W, sizes), cut(np.repeat(W, 3, axis=0), np.multiply(sizes, 3))
    for kind in ("normlime", "mean_abs", "mean"):
        one, other = (interval_by_blocks(blocks, kind=kind) for blocks in (once, thrice))
        backwards = interval_by_blocks(iter(once[::-1]), kind=kind)
        for name in ("low", "high", "stderr", "freedom", "blocks"):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), **ROUNDING)
            np.testing.assert_allclose(getattr(backwards, name), getattr(one, name), **ROUNDING)


def test_kinds_that_are_no_means_follow_from_those_that_are():
    W, sizes = weights_of(30), [3, 8, 2, 7, 10]
    summed, mean = (interval_by_blocks(cut(W, sizes), kind=kind) for kind in ("sum", "mean"))
    for name in ("low", "high", "stderr"):
        np.testing.assert_allclose(getattr(summed, name), 30 * getattr(mean, name), **ROUNDING)
    for kind, of in (("l2", W**2), ("sp_lime", W)):
        rooted = interval_by_blocks(cut(W, sizes), kind=kind)
        squared = interval_by_blocks(cut(of, sizes), kind="mean_abs")
        np.testing.assert_allclose(rooted.low, np.sqrt(np.maximum(30 * squared.low, 0)), **ROUNDING)
        np.testing.assert_allclose(rooted.high, np.sqrt(30 * squared.high), **ROUNDING)
        values = rooted.importance.values
        np.testing.assert_allclose(values**2, 30 * squared.importance.values, **ROUNDING)
        np.testing.assert_allclose((2 * values * rooted.stderr)[:5], (30 * squared.stderr)[:5], **ROUNDING)
        assert (rooted.low[:2] < values[:2]).all()
        assert (values[:2] < rooted.high[:2]).all()


def test_groups_that_are_not_in_all_blocks():
    W, labels, sizes = weights_of(30), np.array(["c", "a", "b"] * 7 + ["a"] * 9), [9, 9, 3, 4, 5]
    found = interval_by_blocks(cut(W, sizes, labels), kind="mean")
    whole = aggregate(W, labels).importance("mean")
    assert found.importance.groups.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(found.importance.values, whole.values, **ROUNDING)
    for g, label in enumerate("abc"):
        kept = labels == label
        alone = interval_by_blocks([b for b in cut_where(W, sizes, kept) if b is not None], kind="mean")
        for name in ("low", "high", "stderr", "freedom", "blocks"):
            np.testing.assert_allclose(getattr(found, name)[g], getattr(alone, name), **ROUNDING)
    assert found.blocks[:, 0].tolist() == [5, 3, 3]


def cut_where(W, sizes, kept):
    rows = np.split(np.arange(len(W)), np.cumsum(sizes)[:-1])
    return [aggregate(W[one[kept[one]]]) if kept[one].any() else None for one in rows]


def test_what_is_not_known():
    W = np.array([[1.0, 1, 0, 1], [2, 2, 0, 0], [1, 0, 0, 1], [3, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]])
    for kind in ("normlime", "mean_abs", "mean", "sum", "l2", "sp_lime"):
        found = interval_by_blocks(cut(W, [2, 2, 2]), kind=kind)
        assert found.blocks.tolist() == [3, 1, 0, 2]
        for one in (found.low, found.high, found.stderr, found.freedom):
            assert np.isfinite(one).tolist() == [True, False, False, True]
        hidden = interval_by_blocks(cut(W, [2, 2, 2]), kind=kind, min_count=3)
        assert np.isfinite(hidden.low).tolist() == [True, False, False, False]
        assert hidden.importance.min_count == 3
        alone = interval_by_blocks([aggregate(W)], kind=kind)
        assert np.isnan([alone.low, alone.high, alone.stderr]).all()


def test_coverage_where_blocks_have_errors_in_common():
    """4,000 features, and 4 standard deviations sqrt(0.9 * 0.1 / 4000) of the share of those covered."""
    d, blocks, members = 4000, 8, 10
    rng = np.random.default_rng(0)
    W = 10 + np.repeat(rng.normal(size=(blocks, d)), members, axis=0) + rng.normal(size=(blocks * members, d))
    found = interval_by_blocks(cut(W, [members] * blocks), kind="mean_abs")
    low, high = found.importance.interval()
    assert abs(np.mean((found.low <= 10) & (10 <= found.high)) - 0.9) < 4 * np.sqrt(0.09 / d)
    assert np.mean((low <= 10) & (10 <= high)) < 0.6


def test_pools_of_their_own_find_the_spread_that_one_set_does_not_know():
    """The standard error of 8 pools is the spread of S over lots of 8, of which there are 5.

    Around 0 and wide, all instances have about the same explanation, of whose errors all but nothing is their own.
    """

    def rippled(X):
        return X[:, 0] + np.cos(20 * X[:, 1])

    rng = np.random.default_rng(0)
    pool = nlf.Pool.gaussian(np.zeros(3), np.ones(3), width=5.0, n_sets=1)
    blocks = []
    for _ in range(40):
        explainer = nlf.NormLIME(rippled, pool, n_features=1, n_samples=60, rng=rng)
        blocks.append(explainer.statistics(rng.normal(size=(50, 3))))
    lots = [interval_by_blocks(blocks[start : start + 8]) for start in range(0, 40, 8)]
    spread = np.std([lot.importance.values[0] for lot in lots], ddof=1)
    # Of 4 degrees of freedom, spread / stderr is within sqrt(chi2 / 4) at 1e-4 and 1 - 1e-4: 0.12 and 2.4.
    assert 0.12 < spread / np.mean([lot.stderr[0] for lot in lots]) < 2.4
    assert np.isnan([lot.importance.stderr[0] for lot in lots]).all()


def test_frame_and_repr():
    W, labels = weights_of(12)[:, :2], np.array([0, 1] * 6)
    parts = [
        aggregate(W[rows], labels[rows], feature_names="ab") for rows in (slice(0, 4), slice(4, 8), slice(8, None))
    ]
    for kind in ("normlime", "l2"):
        found = interval_by_blocks(parts, kind=kind)
        frame = found.to_frame()
        assert frame.columns.tolist() == [
            *("group", "feature", "value", "count", "blocks", "stderr", "low", "high", "few")
        ]
        assert frame["feature"].tolist() == ["a", "b"] * 2
        for name in ("blocks", "stderr", "low", "high"):
            np.testing.assert_array_equal(frame[name], getattr(found, name).ravel())
    rare = [aggregate(np.where(np.arange(9)[:, None] < [1, 9], part.sums[0, 0, 0, 0] + 1, 0.0)) for part in parts]
    found = interval_by_blocks(rare)
    assert found.to_frame()["feature"].tolist() == [1, 0]  # few explanations use the first
    for name in ("blocks", "stderr", "low", "high"):
        np.testing.assert_array_equal(found.to_frame().sort_index()[name], getattr(found, name))
    said = repr(interval_by_blocks(parts, 0.95))
    assert said.startswith(
        "<BlockIntervals: 0.95 of up to 3 blocks; normlime, absolute, 12 explanations, 2 features, 2"
    )


@pytest.mark.filterwarnings("ignore:squares of the weights underflow")
@pytest.mark.parametrize("kind", ["normlime", "mean_abs", "mean", "sum"])
def test_squares_of_tiny_values_do_not_underflow(kind):
    rng = np.random.default_rng(0)
    W = rng.normal(size=(6, 40, 3)) * (rng.random((6, 40, 3)) < 0.6)
    expected, found = (interval_by_blocks([aggregate(block * unit) for block in W], kind=kind) for unit in (1, 2**-560))
    for name in ("low", "high", "stderr"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name) * 2.0**-560)


def test_numpy_set_to_raise_changes_nothing():
    parts = [aggregate(W) for W in ([[1e100, 1e-200, 0]], [[1e-300, -5e-324, 0]], [[1e100, 1, 0]])]
    for kind in ("normlime", "l2", "sum"):
        expected = interval_by_blocks(parts, kind=kind)
        with np.errstate(all="raise"):
            found = interval_by_blocks(parts, kind=kind)
        np.testing.assert_array_equal([found.low, found.high], [expected.low, expected.high])


ONE = aggregate(np.eye(2))
BAD = {
    "one": (ONE, {}, TypeError, "blocks must be a list of ImportanceStatistics, one per block, got <Importance"),
    "none": ([], {}, ValueError, "blocks must be at least 1, better 10, got 0$"),
    "number": (3, {}, TypeError, "blocks must be a list of ImportanceStatistics, one per block, got 3$"),
    "importance": ([ONE, ONE.importance()], {}, TypeError, r"blocks\[1\] must be ImportanceStatistics, as aggregate"),
    "array": ([np.eye(2)], {}, TypeError, r"blocks\[0\] must be ImportanceStatistics"),
    "features": ([ONE, aggregate(np.eye(3))], {}, ValueError, "merge needs statistics of the same features"),
    "groups": ([ONE, aggregate(np.eye(2), [0, 1])], {}, ValueError, "merge needs groups in both"),
    "level": ([ONE], {"level": 90}, ValueError, "level must be between 0 and 1, got 90$"),
    "kind": ([ONE], {"kind": "median"}, ValueError, "kind must be one of normlime"),
    "sign": ([ONE], {"kind": "l2", "sign": "net"}, ValueError, "sign must be absolute, positive or negative"),
    "min_count": ([ONE], {"min_count": 0}, ValueError, "min_count must be at least 1, got 0$"),
}


@pytest.mark.parametrize(("blocks", "options", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input(blocks, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        interval_by_blocks(blocks, **options)


def test_merged_importance_is_that_of_the_blocks():
    parts = cut(weights_of(20), [4, 6, 10])
    merged = reduce(ImportanceStatistics.merge, parts).importance("l2", "positive", 2)
    found = interval_by_blocks(parts, kind="l2", sign="positive", min_count=2).importance
    assert found._to_bytes() == merged._to_bytes()
