"""Agreement of importances; SciPy's correlations are the oracle, and halves of two instances are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.sparse import csr_array

import normlime_fast as nlf
from normlime_fast.evaluation import agreement, split_half

GROUPED = nlf.aggregate(np.eye(3), ["a", "b", "b"]).importance()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("unused", ["keep", "drop"])
def test_correlations_are_those_of_scipy(seed, unused):
    rng = np.random.default_rng(seed)
    results = np.where(rng.random((3, 40)) < 0.3, 0, rng.integers(0, [[5], [30], [10**6]], (3, 40)))
    found = agreement(-results if seed % 2 else results, unused=unused)
    for row, (i, j) in enumerate(found.pairs):
        a, b = results[i], results[j]
        assert found.unused[row] == ((a == 0) & (b == 0)).sum()
        if unused == "drop":
            a, b = a[(a > 0) | (b > 0)], b[(a > 0) | (b > 0)]
        expected = [oracle(a, b).statistic for oracle in (stats.kendalltau, stats.spearmanr, stats.pearsonr)]
        # Sums of 40 numbers each, rounded to 2^-53 of their size here and in the oracle.
        got = [found.kendall[row], found.spearman[row], found.pearson[row]]
        np.testing.assert_allclose(got, expected, rtol=0, atol=2 * 40 * 2.0**-52)
    np.testing.assert_array_equal(found.pairs, [[0, 1], [0, 2], [1, 2]])


def test_many_features_and_large_numbers():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 1000, 20_000)
    b = a + rng.integers(0, 1000, 20_000)
    found = agreement([a * 1e300, b * 1e-300])
    assert found.kendall[0] == pytest.approx(stats.kendalltau(a, b).statistic, rel=1e-12)  # from exact counts
    assert found.pearson[0] == pytest.approx(stats.pearsonr(a, b).statistic, rel=0, abs=2 * 20_000 * 2.0**-52)


TOPS = {
    "the same": ([3, 2, 1, 0], [9, 8, 1, 1], 2, 1.0, [2, 2]),
    "one in both": ([3, 2, 1, 0], [3, 1, 2, 0], 2, 1 / 3, [2, 2]),
    "none in both": ([3, 2, 0, 0], [0, 0, 3, 2], 2, 0.0, [2, 2]),
    "ties at the cut are in": ([3, 2, 2, 0], [3, 2, 1, 0], 2, 2 / 3, [3, 2]),
    "0 never is": ([3, 0, 0, 0], [3, 2, 0, 0], 3, 1 / 2, [1, 2]),
    "by size": ([-3, 2, 1, 0], [3, -2, 1, 0], 2, 1.0, [2, 2]),
    "more than there are": ([1, 2, 3, 4], [4, 3, 2, 1], 9, 1.0, [4, 4]),
    "nothing": ([0, 0, 0, 0], [0, 0, 0, 0], 2, np.nan, [0, 0]),
}


@pytest.mark.parametrize(("a", "b", "k", "jaccard", "sizes"), TOPS.values(), ids=TOPS)
def test_top_k(a, b, k, jaccard, sizes):
    order = np.random.default_rng(0).permutation(4)
    for these in (np.array([a, b]), np.array([a, b])[:, order]):
        found = agreement(these, k=k)
        np.testing.assert_array_equal(found.jaccard, [jaccard])
        np.testing.assert_array_equal(found.top_sizes, [sizes])


def test_constant_results_have_no_correlation():
    found = agreement([[1.0, 2, 3], [0.1, 0.1, 0.1], [3.0, 2, 1]])
    assert all(np.isnan(one).tolist() == [True, False, True] for one in (found.kendall, found.spearman, found.pearson))
    for few in ([[1.0, 0], [2.0, 0]], [[0.0, 0], [0.0, 0]]):
        dropped = agreement(few, unused="drop")
        assert np.isnan([dropped.kendall, dropped.spearman, dropped.pearson]).all()
    kendall = next(row for row in found.summary() if row.measure == "kendall")
    assert (kendall.mean, kendall.pairs, kendall.lowest, kendall.highest) == (-1.0, 1, -1.0, -1.0)
    assert np.isnan(kendall.std)


def test_unused_features_of_unrelated_results():
    rng = np.random.default_rng(0)
    results = rng.random((60, 100)) * (rng.random((60, 100)) < 0.3)
    kept, dropped = (agreement(results, unused=unused).spearman.mean() for unused in ("keep", "drop"))
    # Pairs of independent results are uncorrelated: 1,770 correlations with a variance of 1 / 99 each.
    assert abs(kept) < 4 / np.sqrt(1770 * 99)
    assert dropped < -0.3


def test_groups_are_compared_each_with_its_own():
    W = np.random.default_rng(0).standard_normal((12, 6))
    labels = np.array(["x", "y", "z"] * 4)
    first, second = (nlf.aggregate(half, labels[:6]).importance() for half in (W[:6], W[6:]))
    found = agreement({"first": first, "maps": second.values}, k=2)
    for g in range(3):
        alone = agreement([first.values[g], second.values[g]], k=2)
        for name in ("jaccard", "kendall", "spearman", "pearson", "unused"):
            np.testing.assert_array_equal(getattr(found, name)[:, g], getattr(alone, name))
    assert found.groups.tolist() == ["x", "y", "z"]
    frame = found.to_frame()
    assert frame[["first", "second", "group"]].to_numpy().tolist() == [["first", "maps", g] for g in "xyz"]
    assert [(row.measure, row.group) for row in found.summary()[:4]] == [
        *(("jaccard", g) for g in "xyz"),
        ("kendall", "x"),
    ]
    assert repr(found).startswith("<Agreement: 1 pair, 6 features, 3 groups; top-2 jaccard ")


def test_a_series_has_names():
    a = pd.Series([3.0, 2, 1, 0], index=list("abcd"))
    same = nlf.aggregate(np.eye(4), feature_names="abcd").importance()
    assert agreement([a, a.iloc[::-1].sort_index()]).kendall == [1.0]
    plain = agreement([a.to_numpy(), same.values])
    for given in ([a, same], [a, same.values], [a.reset_index(drop=True), same]):
        np.testing.assert_array_equal(agreement(given).jaccard, plain.jaccard)


OTHER = replace(GROUPED, groups=np.array(["a", "c"]))
NAMED = [nlf.aggregate(np.eye(3), feature_names=names).importance() for names in ("abc", "abd")]
SERIES = pd.Series([3.0, 2.0, 1.0], index=list("abc"))
INFINITE = replace(NAMED[0], values=np.array([1.0, np.inf, 2.0]))
BAD_AGREEMENT = {
    "one": ([[1.0, 2.0]], {}, ValueError, "results must be at least 2, got 1"),
    "shapes": ([NAMED[0], [1.0, 2.0]], {}, ValueError, r"results must have the same shape, got \(3,\) and \(2,\)"),
    "names": (NAMED, {}, ValueError, "results must have the same feature_names"),
    "index": ([SERIES, SERIES[::-1]], {}, ValueError, ".* the same feature_names .* got 'a' and 'c' for feature 0$"),
    "index and names": ([SERIES, NAMED[1]], {}, ValueError, ".* feature_names .* got 'c' and 'd' for feature 2$"),
    "fewer names": ([SERIES, SERIES[:2]], {}, ValueError, "results must have the same feature_names, got 3 and 2"),
    "sorted": (
        [[1.0, 2.0], pd.Series([2.0, 1.0]).sort_values()],
        {},
        ValueError,
        r"results\[1\] must be in the order of the features, got the index \[1, 0\]$",
    ),
    "generator": ((one for one in NAMED), {}, TypeError, "results must be an Importance, .*, got a generator$"),
    "statistics": (
        {"a": nlf.aggregate(np.eye(3)), "b": NAMED[0]},
        {},
        TypeError,
        r"results\[0\] must be an Importance or an array, got ImportanceStatistics; pass its .importance\(\)$",
    ),
    "groups": ([GROUPED, OTHER], {}, ValueError, "results must have the same groups"),
    "some groups": ([GROUPED, NAMED[0]], {}, ValueError, "results must have the same shape"),
    "infinite value": ([INFINITE, [1.0, 2.0, 3.0]], {}, ValueError, r"results\[0\] must be finite"),
    "infinite": ([NAMED[0], [1.0, np.inf, 2]], {}, ValueError, r"results\[1\] must be finite"),
    "k": ([[1.0, 2.0]] * 2, {"k": 0}, ValueError, "k must be at least 1, got 0"),
    "unused": ([[1.0, 2.0]] * 2, {"unused": "no"}, ValueError, 'unused must be "keep" or "drop", got \'no\''),
}


@pytest.mark.parametrize(("results", "asked", "error", "message"), BAD_AGREEMENT.values(), ids=BAD_AGREEMENT)
def test_bad_input_to_agreement(results, asked, error, message):
    with pytest.raises(error, match=f"^{message}"):
        agreement(results, **asked)


# --- halves


def explained(W, **fields):
    """LocalExplanations with these weights, one per instance unless `fields` say otherwise."""
    n, zeros = len(W), np.zeros(len(W))
    fits = {"intercept": zeros, "r2": zeros, "prediction": zeros, "effective_samples": zeros + 9}
    numbers = {"instance": np.arange(n), "target": np.zeros(n, int), "status": np.zeros(n, int)}
    given = {name: np.asarray(value) if name in numbers else value for name, value in fields.items()}
    return nlf.LocalExplanations(csr_array(np.asarray(W, float)), **(fits | numbers | given))


W = np.random.default_rng(3).standard_normal((4, 7)) * (np.random.default_rng(4).random((4, 7)) < 0.7)


@pytest.mark.parametrize("settings", [{}, {"kind": "l2"}, {"sign": "positive"}, {"unused": "drop"}, {"k": 3}], ids=str)
def test_two_instances_have_one_split(settings):
    """Each has two explanations, so that a split of explanations would differ."""
    local = explained(W, instance=[5, 5, 2, 2], target=[0, 1, 0, 1])
    found = split_half(local, n_splits=3, **settings)
    of_importance = {name: settings[name] for name in ("kind", "sign") if name in settings}
    halves = [nlf.aggregate(part).importance(**of_importance) for part in (W[:2], W[2:])]
    expected = agreement(halves, **{name: settings[name] for name in ("k", "unused") if name in settings})
    for name in ("jaccard", "kendall", "spearman", "pearson", "unused"):
        # Which half comes first is chance: sums are in another order, each of 7 numbers.
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name).repeat(3), rtol=0, atol=7 * 2.0**-50)
    assert found.pairs.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_groups_of_two_instances():
    local = explained(W, instance=[5, 5, 2, 2], target=[0, 1, 0, 1], target_names=("no", "yes"))
    found = split_half(local, by="target", n_splits=2)
    assert found.groups.tolist() == ["no", "yes"]
    for g in range(2):
        expected = agreement([nlf.aggregate(W[[row]]).importance() for row in (g, g + 2)])
        np.testing.assert_allclose(found.pearson[:, g], expected.pearson.repeat(2), rtol=0, atol=7 * 2.0**-50)


def test_halves_have_as_many_of_each_group():
    labels = np.array(list("aabbbbccd"))
    one_each = np.eye(4)[np.searchsorted(list("abcd"), labels)]
    found = split_half(explained(one_each), by=labels, n_splits=50)
    assert (found.jaccard[:, :3] == 1).all()  # each half has some of "a", "b" and "c"
    assert np.isnan(found.jaccard[:, 3]).all()  # and one has none of "d"
    assert {row.group: row.pairs for row in found.summary()[:4]} == {"a": 50, "b": 50, "c": 50, "d": 0}
    counted = split_half(explained(one_each), by=labels, n_splits=50, min_count=2)
    assert (counted.jaccard[:, 1] == 1).all()  # two of the four "b" in each half
    assert np.isnan(counted.jaccard[:, [0, 2, 3]]).all()


def test_halves_share_no_instance():
    instances = np.repeat(np.arange(10), 3)
    found = split_half(explained(np.eye(10)[instances], instance=instances, target=np.tile([0, 1, 2], 10)))
    assert (found.jaccard == 0).all()
    assert (found.top_sizes == 5).all()


def test_halves_share_no_samples():
    """Two sets, so that there is one split; halves of instances with one set are those of independent ones."""
    table = np.random.default_rng(0).normal(size=(30, 3))
    for n_sets in (1, 2):
        pool = nlf.Pool.from_data(table, n_sets=n_sets, share=0.8)
        local = nlf.NormLIME(lambda X: X[:, 0] ** 2 + X[:, 1], pool, n_features=2, n_samples=20, rng=0).explain(table)
        found = split_half(local, k=2, n_splits=4)
        if n_sets == 1:
            expected = split_half(replace(local, sample_set=None), k=2, n_splits=4)
        else:
            expected = agreement([local[s::2].importance() for s in (0, 1)], k=2)
        assert np.unique(found.spearman).tolist() == np.unique(expected.spearman).tolist()
        assert np.unique(found.kendall).tolist() == np.unique(expected.kendall).tolist()


def test_splits_are_random_and_can_be_repeated():
    local = explained(np.random.default_rng(0).standard_normal((40, 9)))
    first, again, other = (split_half(local, rng=rng).pearson for rng in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len(set(first.tolist() + other.tolist())) == 40


def test_what_is_no_explanation_is_in_no_half():
    local = explained(W[:3], status=[0, 6, 0], target=[0, -1, 0], instance=[4, 3, 9])
    expected = agreement([nlf.aggregate(W[[row]]).importance() for row in (0, 2)])
    np.testing.assert_allclose(split_half(local, n_splits=1).pearson, expected.pearson, rtol=0, atol=7 * 2.0**-50)


BAD_HALVES = {
    "no explanations": (W, {}, TypeError, "split_half needs LocalExplanations, got a ndarray"),
    "one instance": (explained(W[:2], instance=[3, 3]), {}, ValueError, "split_half needs explanations of at least 2"),
    "kind": (explained(W), {"kind": "best"}, ValueError, "kind must be one of"),
    "sign": (explained(W), {"sign": "net", "kind": "l2"}, ValueError, "sign must be absolute, positive or negative"),
    "too few": (
        explained(W),
        {"min_count": 5},
        ValueError,
        "split_half needs features that at least 5 explanations of",
    ),
    "empty": (explained(0 * W), {}, ValueError, "split_half needs features that at least 1 explanation of a half use"),
    "small groups": (
        explained(W),
        {"by": list("abcd")},
        ValueError,
        "split_half needs .* a half of a group use, got none",
    ),
    "min_count": (explained(W), {"min_count": 0}, ValueError, "min_count must be at least 1, got 0"),
    "by": (explained(W), {"by": ["a"]}, ValueError, "by must have one label per instance"),
    "n_splits": (explained(W), {"n_splits": 0}, ValueError, "n_splits must be at least 1, got 0"),
    "unused": (explained(W), {"unused": None}, ValueError, 'unused must be "keep" or "drop", got None'),
}


@pytest.mark.parametrize(("local", "asked", "error", "message"), BAD_HALVES.values(), ids=BAD_HALVES)
def test_bad_input_to_split_half(local, asked, error, message):
    with pytest.raises(error, match=f"^{message}"):
        split_half(local, **asked)
