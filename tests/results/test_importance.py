"""Importance: what is made of the values: the best features, a table, intervals."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

import normlime_fast as nlf
from normlime_fast import aggregate

# gamma:               [1/4, 0, 3/4]   [2/3, 1/3, 0]    [0, 0, 1]        none
SMALL = np.array([[1.0, 0.0, -3.0], [2.0, 1.0, 0.0], [0.0, 0.0, 5.0], [0.0, 0.0, 0.0]])


# --- top and to_frame


def test_top_sorts_by_size_and_keeps_the_order_of_equal_values():
    W = np.array([[2.0, -3.0, 0.0, 3.0, 1.0, -3.0]])
    result = aggregate(W).importance("sum")
    assert [row.feature for row in result.top(10)] == [1, 3, 5, 0, 4]  # unused ones left out
    assert result.top(2) == [(None, 1, -3.0, 1, None), (None, 3, 3.0, 1, None)]
    halves = aggregate(np.tile([[1.0, 2.0]], 150)).importance()
    assert [row.feature for row in halves.top(300)] == [*range(1, 300, 2), *range(0, 300, 2)]
    assert len(halves.top()) == 10


def test_top_of_groups_with_names():
    names = ("a", "b", "c")
    result = aggregate(SMALL, ["x", "y", "y", "x"], feature_names=names).importance("mean")
    rows = result.top(2)
    assert [(row.group, row.feature, row.value, row.count) for row in rows] == [
        ("x", "c", -1.5, 1),
        ("x", "a", 0.5, 1),
        ("y", "c", 2.5, 1),
        ("y", "a", 1.0, 1),
    ]
    assert rows[0].stderr == pytest.approx(stats.sem([-3, 0]))
    assert all(type(row.value) is float and type(row.count) is int for row in rows)
    assert [type(row.group) for row in aggregate(SMALL, [1, 1, 2, 2]).importance().top(1)] == [int, int]


def test_top_where_there_is_nothing():
    assert aggregate(np.zeros((2, 3))).importance().top() == []


def test_frame():
    frame = aggregate(SMALL, feature_names=("a", "b", "c")).importance().to_frame()
    assert frame.columns.tolist() == ["feature", "value", "count", "stderr", "few"]
    assert frame["feature"].tolist() == ["a", "b", "c"]
    assert frame["count"].tolist() == [2, 1, 2]
    assert aggregate(SMALL).importance("l2").to_frame().columns.tolist() == ["feature", "value", "count", "few"]


def test_frame_of_groups():
    result = aggregate(SMALL, ["x", "y", "y", "x"]).importance("mean_abs")
    frame = result.to_frame()
    assert frame.columns.tolist() == ["group", "feature", "value", "count", "stderr", "few"]
    assert frame["group"].tolist() == ["x"] * 3 + ["y"] * 3
    assert frame["feature"].tolist() == [0, 1, 2] * 2
    for column, array in (("value", result.values), ("count", result.counts), ("stderr", result.stderr)):
        np.testing.assert_array_equal(frame[column], array.ravel())


def test_what_min_count_hides():
    """It is out of the ranking, but in the table, whose rows are those of any other; counts still tell how many use it.

    Used by 4, 3, 2, 1 and 0 explanations.
    """
    W = np.array([[5.0, 1, 1, 9, 0], [1, 2, 8, 0, 0], [4, 2, 0, 0, 0], [7, 0, 0, 0, 0]])
    for kind in ("normlime", "mean_abs", "mean", "l2", "sum"):
        plain, one = aggregate(W).importance(kind), aggregate(W).importance(kind, min_count=3)
        assert one.top() == [row for row in plain.top() if row.feature in (0, 1)]
        frame = one.to_frame()
        assert frame["feature"].tolist() == [0, 1, 2, 3, 4]
        assert frame["count"].tolist() == [4, 3, 2, 1, 0]
        assert frame["value"].tolist() == [*plain.values[:2], 0, 0, 0]
        assert frame[frame["count"] >= one.min_count]["feature"].tolist() == [0, 1]
        if one.stderr is not None:
            for ours, theirs in zip((one.stderr, *one.interval()), (plain.stderr, *plain.interval()), strict=True):
                np.testing.assert_array_equal(ours, [*theirs[:2], np.nan, np.nan, np.nan])
    assert aggregate(W).importance("sum", min_count=5).top() == []


@pytest.mark.parametrize("n", [30, 499, 500, 501, 2000])
@pytest.mark.parametrize("kind", ["normlime", "mean_abs", "mean", "l2", "sum"])
def test_what_rests_on_few_explanations_is_listed_last(n, kind):
    """Few are below 5 or a hundredth of the explanations. Only the order differs from that of min_count=1."""
    least = 5 if n <= 500 else -(-n // 100)
    counts = np.array([least - 1, n // 2, least, 1, n, 0, least - 1, n - 1])
    W = np.where(np.arange(n)[:, None] < counts, np.random.default_rng(n).normal(size=8), 0.0)
    W *= 100.0 / np.maximum(counts, 1)  # the fewer, the larger
    result, alike = aggregate(W).importance(kind), aggregate(W).importance(kind, min_count=1)
    for name in ("values", "counts", "stderr", "skewness"):
        np.testing.assert_array_equal(getattr(result, name), getattr(alike, name))
    sizes = np.abs(result.values)
    many, few = ([j for j in np.argsort(-sizes) if (counts[j] >= least) == large] for large in (True, False))
    assert [row.feature for row in result.top()] == [*many, *(j for j in few if j != 5)]
    assert [row.feature for row in alike.top()] == [j for j in np.argsort(-sizes) if j != 5]
    assert [row.feature for row in result.top(2)] == many[:2]
    frame = result.to_frame()
    assert frame["feature"].tolist() == [*sorted(many), *sorted(few)]
    assert frame["few"].tolist() == [False] * 4 + [True] * 4
    pd.testing.assert_frame_equal(frame.sort_index().drop(columns="few"), alike.to_frame().drop(columns="few"))
    assert not alike.to_frame()["few"].any()
    assert result.to_dict() == alike.to_dict()
    again = nlf.Importance._from_bytes(result._to_bytes(), "file")
    assert [row.feature for row in again.top()] == [row.feature for row in result.top()]


def test_few_are_those_of_the_group():
    W = np.array([[1.0, 9.0]] * 4 + [[1.0, 0.0]] * 2 + [[1.0, 9.0]] * 5 + [[1.0, 9.0]])
    groups = ["a"] * 6 + ["b"] * 5 + ["c"]
    frame = aggregate(W, groups).importance().to_frame()
    assert frame["feature"].tolist() == [0, 1] * 3
    assert frame["few"].tolist() == [False, True] + [False] * 4  # in c, both rest on one: there are no others
    assert [row.feature for row in aggregate(W, groups).importance().top(1)] == [0, 1, 1]


def test_top_of_groups_by_the_counts_of_each():
    result = aggregate(np.ones((3, 2)) * [1, 2], ["x", "y", "y"]).importance(min_count=2)
    assert [(row.group, row.feature) for row in result.top()] == [("y", 1), ("y", 0)]


def test_frame_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^to_frame needs pandas; install it with: pip install pandas$"):
        aggregate(SMALL).importance().to_frame()


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0, ValueError, r"^k must be at least 1, got 0$"),
        (-1, ValueError, r"^k must be at least 1, got -1$"),
        (1.5, TypeError, r"^k must be an integer, got 1.5$"),
        (None, TypeError, r"^k must be an integer, got None$"),
        (True, TypeError, r"^k must be an integer, got True$"),
    ],
)
def test_bad_input_of_top(k, error, message):
    with pytest.raises(error, match=message):
        aggregate(SMALL).importance().top(k)


# --- intervals


def assert_interval(result, level, freedom):
    """Student's, without the correction for skewness, as of files of older releases.

    Where stderr is 0, scipy.stats knows no interval; its upper end has lost 1e-16 / (1 - level) of its digits.
    """
    low, high = replace(result, skewness=None).interval(level)
    assert low.shape == high.shape == result.values.shape
    spread = np.where(result.stderr > 0, result.stderr, 1)
    expected = stats.t.interval(level, freedom, 0.0, spread)[0] * (result.stderr / spread)
    expected = np.where(result.counts >= 2, expected, np.nan)
    np.testing.assert_allclose(low - result.values, expected, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(high - result.values, -expected, rtol=1e-9, atol=1e-13)
    return low, high


@pytest.mark.parametrize("level", [1e-9, 0.5, 0.9, 0.99, 1 - 1e-12])
@pytest.mark.parametrize("sign", ["absolute", "positive", "negative", "net"])
@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_are_those_of_scipy(level, sign, grouped):
    rng = np.random.default_rng(0)
    W = rng.normal(size=(40, 6)) * (rng.random((40, 6)) < [1, 0.9, 0.5, 0.2, 0.05, 0])
    statistics = aggregate(W, np.arange(40) // 39 if grouped else None)  # the second group has one explanation
    one = statistics.importance("normlime", sign)
    known = np.isfinite(assert_interval(one, level, np.where(one.counts > 1, one.counts - 1.0, np.nan))[0])
    np.testing.assert_array_equal(known, one.counts >= 2)
    assert known.any()
    for kind in ("mean_abs", "mean"):
        freedom = np.array([[38.0], [np.nan]]) if grouped else 39.0
        low, high = assert_interval(statistics.importance(kind, sign), level, freedom)
        np.testing.assert_array_equal(np.isfinite(low), one.counts >= 2)
        assert (low <= high)[one.counts >= 2].all()


def test_intervals_of_two_and_three_members():
    """Student's t with one degree of freedom is Cauchy's; with two, its quantile at p is a / sqrt(2 p (1 - p))."""
    two = aggregate([[1.0], [4.0]]).importance()
    three = aggregate([[1.0], [2.0], [6.0]]).importance()
    for level in (0.5, 0.9, 0.999):
        p = (1 + level) / 2
        for result, quantile in ((two, np.tan(np.pi * level / 2)), (three, level / np.sqrt(2 * p * (1 - p)))):
            low, high = replace(result, skewness=None).interval(level)
            np.testing.assert_allclose(high - result.values, quantile * result.stderr, rtol=1e-9)
            np.testing.assert_allclose(low + high, 2 * result.values, rtol=1e-9)
    np.testing.assert_array_equal(two.interval(), two.interval(level=0.9))
    np.testing.assert_array_equal(two.interval(), replace(two, skewness=None).interval())  # no skewness of two


@pytest.mark.parametrize("sign", ["absolute", "positive", "negative", "net"])
@pytest.mark.parametrize("kind", ["normlime", "mean_abs", "mean"])
def test_skewness_is_that_of_scipy(kind, sign):
    rng = np.random.default_rng(0)
    W = rng.normal(0.3, 1, size=(60, 5)) * (rng.random((60, 5)) < [1, 0.7, 0.3, 0.1, 0.0])
    result = aggregate(W).importance(kind, sign)
    used = {"absolute": W != 0, "net": W != 0, "positive": W > 0, "negative": W < 0}[sign]
    terms = np.abs(W) * (np.abs(W) / np.abs(W).sum(axis=1, keepdims=True) if kind == "normlime" else 1) * used
    terms = terms * np.sign(W) if kind == "mean" or sign == "net" else terms
    for j in range(5):
        sample = terms[used[:, j], j] if kind == "normlime" else terms[:, j]
        expected = (
            stats.skew(sample, bias=False) if len(sample) > 2 and np.ptp(sample) else 0.0 if len(sample) > 2 else np.nan
        )
        np.testing.assert_allclose(result.skewness[j], expected, rtol=1e-9, atol=1e-9)


def test_skewness_is_at_most_that_of_one_outlier():
    """sqrt(n), where rounding does not end either."""
    for n in range(3, 120):
        sample = np.full((n, 1), 0.001)
        sample[0] = 1.0
        skewness = aggregate(sample).importance("mean_abs").skewness[0]
        assert np.sqrt(n) * (1 - 1e-9) < skewness <= np.sqrt(n)


def test_intervals_are_where_halls_transform_of_t_is_students():
    sample = np.random.default_rng(0).gamma(0.7, size=(25, 3))
    result = aggregate(sample).importance("mean_abs")
    a = stats.skew(sample, bias=False) / 5  # of the mean
    for level in (0.5, 0.9, 0.999):
        for end, p in zip(result.interval(level), ((1 + level) / 2, (1 - level) / 2), strict=True):
            x = (result.values - end) / result.stderr
            np.testing.assert_allclose(x + a * x**2 / 3 + a**2 * x**3 / 27 + a / 6, stats.t.ppf(p, 24), rtol=1e-9)


def test_equal_contributions_have_no_skewness():
    """Where the spread is rounding, so is the sum of cubes."""
    result = aggregate(np.full((1000, 1), 0.1)).importance("mean_abs")
    assert result.skewness.tolist() == [0.0]
    np.testing.assert_allclose(result.interval(), 0.1, rtol=1e-7)


# Skewness 2 to 2.8, as contributions of real explanations have it, and the coverage that 90 % intervals must have.
SKEWED = {
    "exponential": lambda rng, shape: rng.exponential(size=shape),
    "chi2": lambda rng, shape: rng.chisquare(1, shape),
}


@pytest.mark.parametrize("members", [5, 8, 30, 300, 5000])
@pytest.mark.parametrize("name", SKEWED)
def test_coverage_on_skewed_data(name, members):
    """From 0.87 to 0.93, with 4 standard deviations sqrt(0.9 * 0.1 / repetitions) of the share of those covered."""
    repetitions = 8000 if members < 1000 else 2000
    sample = SKEWED[name](np.random.default_rng(0), (members, repetitions))
    features = np.repeat(np.arange(repetitions), members)
    weights = sparse.csr_array((sample.T.ravel(), features, np.arange(members * repetitions + 1)))
    result = aggregate(weights).importance()
    slack = 4 * np.sqrt(0.09 / repetitions)
    low, high = result.interval(0.9)
    assert 0.87 - slack < np.mean((low <= 1) & (1 <= high)) < 0.93 + slack
    if members <= 8:  # of Student's
        low, high = replace(result, skewness=None).interval(0.9)
        assert np.mean((low <= 1) & (1 <= high)) < 0.86


@pytest.mark.parametrize("kind", ["normlime", "mean_abs", "mean"])
def test_coverage_on_normal_data(kind):
    """5 normal members a feature, far from 0: intervals cover the mean as often as they say, which normal ones do not.

    4000 features, so the share of those covered has a standard deviation of sqrt(0.9 * 0.1 / 4000) = 0.0047, and 4 of
    those are 0.019. Quantiles of the normal distribution would cover 0.825, those for all 20,000 explanations the same.
    """
    d, members = 4000, 5
    sample = np.random.default_rng(0).normal(10, 1, (members, d))
    if kind == "normlime":  # explanations of one feature each, whose gamma is 1
        features = np.repeat(np.arange(d), members)
        weights = sparse.csr_array((sample.T.ravel(), features, np.arange(d * members + 1)))
    else:
        weights = sparse.csr_array(sample)
    low, high = aggregate(weights).importance(kind).interval(0.9)
    assert abs(np.mean((low <= 10) & (10 <= high)) - 0.9) < 0.019


@pytest.mark.parametrize(
    ("kind", "level", "error", "message"),
    [
        ("l2", 0.9, ValueError, r"^interval needs a kind that is a mean, normlime, mean_abs or mean, got 'l2'$"),
        ("sp_lime", 0.9, ValueError, r"^interval needs a kind that is a mean, .* got 'sp_lime'$"),
        ("sum", 0.9, ValueError, r"^interval needs a kind that is a mean, .* got 'sum'$"),
        ("mean", 0, ValueError, r"^level must be between 0 and 1, got 0$"),
        ("mean", 1.0, ValueError, r"^level must be between 0 and 1, got 1.0$"),
        ("mean", 95, ValueError, r"^level must be between 0 and 1, got 95$"),
        ("mean", float("nan"), ValueError, r"^level must be between 0 and 1, got nan$"),
        ("mean", True, TypeError, r"^level must be a number, got True$"),
        ("mean", "0.9", TypeError, r"^level must be a number, got '0.9'$"),
        ("mean", None, TypeError, r"^level must be a number, got None$"),
    ],
)
def test_bad_input_of_interval(kind, level, error, message):
    with pytest.raises(error, match=message):
        aggregate(SMALL).importance(kind).interval(level)


def test_number_of_explanations():
    whole, parts = aggregate(SMALL).importance("l2"), aggregate(SMALL, ["b", "b", "a", "b"]).importance()
    assert (whole.explanations.shape, whole.explanations.dtype, int(whole.explanations)) == ((), np.int64, 4)
    assert (parts.explanations.tolist(), parts.explanations.dtype) == ([1, 3], np.int64)


# --- whatever the caller has set


def results(W, groups):
    """All that importances are used for, as bytes."""
    found = []
    for statistics in (aggregate(W, groups), aggregate(W, groups).merge(aggregate(-W, groups))):
        found.append(nlf.ImportanceStatistics._from_bytes(statistics._to_bytes(), "file").sums)
        for kind in ("normlime", "l2", "sp_lime", "mean_abs", "mean", "sum"):
            for sign, min_count in (("absolute", 1), ("absolute", 3), ("positive", 1), ("negative", 2)):
                one = statistics.importance(kind, sign, min_count)
                again = nlf.Importance._from_bytes(one._to_bytes(), "file")
                found += [again.values, again.counts, [row.value for row in again.top()], again.to_frame()["value"]]
                if again.stderr is not None:
                    found += [again.stderr, *again.interval()]
    return [np.asarray(each).tobytes() for each in found]


@pytest.mark.parametrize("groups", [None, np.array([1, 1, 0, 2]), np.array([1e-310, 2, 2, 1e300])])
def test_numpy_set_to_raise_changes_nothing(groups):
    W = np.array([[1e100, 1e-200, 0.0], [1e-300, -5e-324, 0.0], [1e100, 1e-160, 0.0], [0.1, 0.1, 0.0]])
    expected = results(W, groups)
    with np.errstate(all="raise"):
        assert results(W, groups) == expected


def test_numpy_set_to_raise_where_numbers_end():
    """Sums that overflow, an interval that underflows, weights that float64 does not hold."""
    huge = nlf.ImportanceStatistics(np.full((1, 2, 1, 7), 1.7e308), np.array([3]))
    tiny = replace(aggregate(SMALL).importance("mean_abs"), stderr=np.full(3, 5e-324))
    long = np.array([["1e4000"]], np.longdouble)
    with np.errstate(all="raise"):
        assert np.isinf(huge.merge(huge).sums).all()
        known = np.where(tiny.counts < 2, np.nan, tiny.values)
        np.testing.assert_array_equal(tiny.interval(0.1), [known, known])
        with pytest.raises(ValueError, match=r"^weights must be (at most 1e\+100|finite)"):
            aggregate(long)
