import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import reference
from helpers.files import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from normlime_fast import aggregate

KINDS = ("normlime", "l2", "sp_lime", "mean_abs", "mean", "sum")
SIGNS = ("absolute", "positive", "negative", "net")
PAIRS = [(kind, sign) for kind in KINDS for sign in SIGNS if not (kind in ("l2", "sp_lime") and sign == "net")]

# gamma:               [1/4, 0, 3/4]   [2/3, 1/3, 0]    [0, 0, 1]        none
SMALL = np.array([[1.0, 0.0, -3.0], [2.0, 1.0, 0.0], [0.0, 0.0, 5.0], [0.0, 0.0, 0.0]])


def summed(arguments):
    """`aggregate` of SMALL, or of other weights, with these arguments."""
    return aggregate(
        arguments.get("weights", SMALL), **{name: arguments[name] for name in arguments if name != "weights"}
    )


def sparse_weights(n=400, d=12, seed=0):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(n, d)) * (rng.random((n, d)) < rng.random(d))
    W[:, 0] = 0.0  # used by none
    W[:, 1] = 0.0
    W[3, 1] = -2.0  # used by one
    W[:, 2] = np.abs(W[:, 2])  # always positive
    W[10] = 0.0  # an empty explanation
    return W


@pytest.mark.parametrize(
    ("kind", "sign", "values", "counts"),
    [
        ("normlime", "absolute", [(1 / 4 + 4 / 3) / 2, 1 / 3, (9 / 4 + 5) / 2], [2, 1, 2]),
        ("normlime", "positive", [(1 / 4 + 4 / 3) / 2, 1 / 3, 5], [2, 1, 1]),
        ("normlime", "negative", [0, 0, 9 / 4], [0, 0, 1]),
        ("normlime", "net", [(1 / 4 + 4 / 3) / 2, 1 / 3, (5 - 9 / 4) / 2], [2, 1, 2]),
        ("l2", "absolute", [5**0.5, 1, 34**0.5], [2, 1, 2]),
        ("l2", "negative", [0, 0, 3], [0, 0, 1]),
        ("sp_lime", "absolute", [3**0.5, 1, 8**0.5], [2, 1, 2]),
        ("sp_lime", "positive", [3**0.5, 1, 5**0.5], [2, 1, 1]),
        ("mean_abs", "absolute", [3 / 4, 1 / 4, 2], [2, 1, 2]),
        ("mean_abs", "negative", [0, 0, 3 / 4], [0, 0, 1]),
        ("mean_abs", "net", [3 / 4, 1 / 4, 1 / 2], [2, 1, 2]),
        ("mean", "absolute", [3 / 4, 1 / 4, 1 / 2], [2, 1, 2]),
        ("mean", "negative", [0, 0, -3 / 4], [0, 0, 1]),
        ("sum", "absolute", [3, 1, 2], [2, 1, 2]),
        ("sum", "positive", [3, 1, 5], [2, 1, 1]),
        ("sum", "negative", [0, 0, -3], [0, 0, 1]),
    ],
)
def test_hand_made_weights(kind, sign, values, counts):
    result = aggregate(SMALL).importance(kind, sign)
    np.testing.assert_allclose(result.values, values, rtol=1e-14)
    assert result.counts.tolist() == counts
    assert (result.kind, result.sign, result.groups, result.feature_names) == (kind, sign, None, None)


def test_hand_made_groups():
    """S_y, Eq. 9: the third explanation apart from the others."""
    result = aggregate(SMALL, ["b", "b", "a", "b"]).importance()
    assert result.groups.tolist() == ["a", "b"]
    np.testing.assert_allclose(result.values, [[0, 0, 5], [(1 / 4 + 4 / 3) / 2, 1 / 3, 9 / 4]], rtol=1e-14)
    assert result.counts.tolist() == [[0, 0, 1], [2, 1, 1]]
    mean = aggregate(SMALL, ["b", "b", "a", "b"]).importance("mean")  # over 1 and 3 explanations
    np.testing.assert_allclose(mean.values, [[0, 0, 5], [1, 1 / 3, -1]], rtol=1e-14)


@pytest.mark.parametrize(("kind", "sign"), PAIRS)
def test_kinds_and_signs_are_the_oracles(kind, sign):
    W = sparse_weights()
    result = aggregate(W).importance(kind, sign)
    values, counts = reference.importance(W, kind, sign)
    np.testing.assert_allclose(result.values, values, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(result.counts, counts)
    assert result.counts.dtype == np.int64
    groups = np.arange(len(W)) % 3
    by_group = aggregate(W, groups).importance(kind, sign)
    for group in range(3):
        values, counts = reference.importance(W[groups == group], kind, sign)
        np.testing.assert_allclose(by_group.values[group], values, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(by_group.counts[group], counts)


@pytest.mark.parametrize(("kind", "sign"), PAIRS)
def test_standard_error_is_that_of_the_members(kind, sign):
    W = sparse_weights()
    result = aggregate(W).importance(kind, sign)
    if kind in ("l2", "sp_lime", "sum"):
        assert result.stderr is None
        return
    members = reference.members(W, kind, sign)
    expected = [stats.sem(part) if len(part) > 1 else np.nan for part in members]
    # sum of squares minus n mean^2 loses to rounding what the mean exceeds the spread by, here below 100
    np.testing.assert_allclose(result.stderr, expected, rtol=1e-12)


def test_standard_error_of_equal_members_is_zero():
    """n members 0.1 have a variance of n roundings at most, which may come out just below 0."""
    for n in range(2, 40):
        result = aggregate(np.full((n, 1), 0.1)).importance("mean_abs")
        np.testing.assert_allclose(result.stderr, 0, atol=0.1 * np.sqrt(n * np.finfo(float).eps))


def test_standard_error_of_one_member_is_unknown():
    assert np.isnan(aggregate([[0.1]]).importance().stderr).all()


def test_unused_features_have_value_and_count_zero():
    for kind, sign in PAIRS:
        result = aggregate(np.zeros((3, 2))).importance(kind, sign)
        assert (result.values.tolist(), result.counts.tolist()) == ([0, 0], [0, 0])


# --- support


@pytest.mark.parametrize(
    ("kind", "sign", "min_count", "values"),
    [
        ("normlime", "absolute", 1, [(1 / 4 + 4 / 3) / 2, 1 / 3, (9 / 4 + 5) / 2]),
        ("normlime", "absolute", 2, [(1 / 4 + 4 / 3) / 2, 0, (9 / 4 + 5) / 2]),
        ("normlime", "absolute", 3, [0, 0, 0]),
        ("normlime", "positive", 2, [(1 / 4 + 4 / 3) / 2, 0, 0]),
        ("normlime", "negative", 2, [0, 0, 0]),
        ("normlime", "net", 2, [(1 / 4 + 4 / 3) / 2, 0, (5 - 9 / 4) / 2]),
        ("l2", "absolute", 2, [5**0.5, 0, 34**0.5]),
        ("sp_lime", "positive", 2, [3**0.5, 0, 0]),
        ("mean_abs", "absolute", 2, [3 / 4, 0, 2]),
        ("mean", "absolute", 2, [3 / 4, 0, 1 / 2]),
        ("sum", "negative", 2, [0, 0, 0]),
        ("sum", "absolute", 10**30, [0, 0, 0]),
    ],
)
def test_min_count_of_hand_made_weights(kind, sign, min_count, values):
    result, plain = aggregate(SMALL).importance(kind, sign, min_count), aggregate(SMALL).importance(kind, sign)
    np.testing.assert_allclose(result.values, values, rtol=1e-14)
    np.testing.assert_array_equal(result.counts, plain.counts)
    assert (result.min_count, int(result.explanations)) == (min_count, 4)
    if plain.stderr is None:
        assert result.stderr is None
    else:
        shown = (plain.counts >= min_count) | (min_count == 1)
        np.testing.assert_array_equal(result.stderr, np.where(shown, plain.stderr, np.nan))


def test_min_count_keeps_a_word_used_once_from_coming_first():
    W = np.zeros((501, 2))
    W[0, 0], W[1:, 1] = 9.0, 1.0
    assert [row.feature for row in aggregate(W).importance().top()] == [1, 0]
    assert [row.feature for row in aggregate(W).importance(min_count=1).top()] == [0, 1]
    assert [row.feature for row in aggregate(W).importance(min_count=2).top()] == [1]


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from(PAIRS), st.integers(1, 12), st.sampled_from([1, 3]), st.integers(0, 30)
)
def test_min_count_hides_what_fewer_use_and_changes_nothing_else(seed, pair, min_count, n_groups, cut):
    """By the oracle's counts, which are those of the whole however it was put together."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(30, 5)) * (rng.random((30, 5)) < rng.random(5))
    groups = np.concatenate([np.arange(n_groups), rng.integers(n_groups, size=30 - n_groups)])
    statistics = aggregate(W, groups)
    for_all = statistics.importance(*pair)
    parts = [aggregate(W[rows], groups[rows]) for rows in (slice(cut), slice(cut, 30)) if len(W[rows])]
    merged = parts[0].merge(parts[1]) if len(parts) == 2 else parts[0]
    results = statistics.importance(*pair, min_count), merged.importance(*pair, min_count)
    hidden = np.array([reference.importance(W[groups == k], *pair)[1] for k in range(n_groups)]) < min_count
    for result in results:
        np.testing.assert_array_equal(result.counts, for_all.counts)
        np.testing.assert_array_equal(result.explanations, for_all.explanations)
        assert not result.values[hidden].any()
        assert (result.stderr is None) == (for_all.stderr is None)
        if result.stderr is not None and min_count > 1:
            assert np.isnan(result.stderr[hidden]).all()
    np.testing.assert_array_equal(results[0].values[~hidden], for_all.values[~hidden])
    if for_all.stderr is not None:
        np.testing.assert_array_equal(results[0].stderr[~hidden], for_all.stderr[~hidden])


# --- groups, and what weights may be


def test_targets_partition_the_global_sums():
    """E(c_i) is the union of its parts, so the counts add up, and the means weighted by them."""
    W, targets = sparse_weights(), np.random.default_rng(0).integers(5, size=400)
    overall, parts = aggregate(W).importance(), aggregate(W, targets).importance()
    np.testing.assert_array_equal(parts.counts.sum(axis=0), overall.counts)
    np.testing.assert_allclose(
        (parts.values * parts.counts).sum(axis=0), overall.values * overall.counts, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_array,
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.coo_array,
        np.asfortranarray,
        np.ndarray.tolist,
        pd.DataFrame,
        lambda W: W.astype(np.float32),
        lambda W: W.astype(np.int8),
        lambda W: sparse.csr_array(W.astype(np.int64)),
    ],
    ids=["csr", "csr_matrix", "csc", "coo", "fortran", "lists", "frame", "float32", "int8", "csr int64"],
)
def test_anything_that_csr_array_takes(convert):
    W = np.round(3 * sparse_weights())
    np.testing.assert_array_equal(aggregate(convert(W)).sums, aggregate(W).sums)


def test_bools_are_weights_of_one():
    np.testing.assert_array_equal(aggregate(SMALL != 0).sums, aggregate((SMALL != 0) * 1.0).sums)


def test_untidy_sparse_input_is_summed_first_and_left_alone():
    """Duplicates are parts of one weight; stored zeros, or what adds up to zero, are no weight."""
    data = np.array([3.0, -1.0, 2.0, 0.0, 4.0, -4.0])
    indices, indptr = np.array([2, 0, 2, 1, 1, 1]), np.array([0, 4, 6, 6])
    matrix = sparse.csr_array((data, indices, indptr), shape=(3, 4))
    before = matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy()
    statistics = aggregate(matrix)
    np.testing.assert_array_equal(statistics.sums, aggregate([[-1.0, 0, 5, 0], [0] * 4, [0] * 4]).sums)
    assert statistics.explanations.tolist() == [3]
    for now, then in zip((matrix.data, matrix.indices, matrix.indptr), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_duplicates_are_summed_as_floats():
    matrix = sparse.csr_array((np.array([100, 100], np.int8), [0, 0], [0, 2]), shape=(1, 1))
    assert aggregate(matrix).importance("sum").values == [200]


def test_columns_out_of_order():
    matrix = sparse.csr_array(([1.0, -3.0, 1.0, 2.0, 5.0], [0, 2, 1, 0, 2], [0, 2, 4, 5, 5]), shape=(4, 3))
    np.testing.assert_array_equal(aggregate(matrix).sums, aggregate(SMALL).sums)
    matrix.has_canonical_format = True  # it says so itself, wrongly
    np.testing.assert_array_equal(aggregate(matrix).sums, aggregate(SMALL).sums)


def read_only(array):
    array.setflags(write=False)
    return array


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("change", [np.array, read_only, lambda array: np.repeat(array, 2)[::2]])
def test_arrays_that_are_read_only_or_not_contiguous(change, index):
    matrix = sparse.csr_array(SMALL)
    matrix.data = change(matrix.data)
    matrix.indices, matrix.indptr = change(matrix.indices.astype(index)), change(matrix.indptr.astype(index))
    groups = change(np.array([0, 1, 1, 0]))
    np.testing.assert_array_equal(aggregate(matrix, groups).sums, aggregate(SMALL, [0, 1, 1, 0]).sums)


def test_largest_weights():
    W = SMALL * (1e100 / 5)
    result = aggregate(W).importance("l2")
    np.testing.assert_allclose(result.values, np.array([5, 1, 34]) ** 0.5 * (1e100 / 5), rtol=1e-12)
    assert np.isfinite(aggregate(W).importance().stderr[[0, 2]]).all()
    W = np.full((2, 3), -1e100)  # of a norm beyond
    np.testing.assert_allclose(aggregate(W).importance().values, 1e100 / 3, rtol=1e-15)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["dog", "cat", "dog", "ant"], ["ant", "cat", "dog"]),
        ([7, -2, 7, 0], [-2, 0, 7]),
        ([True, False, True, True], [False, True]),
        ([1.5, 0.5, 1.5, 1.5], [0.5, 1.5]),
    ],
)
def test_labels(labels, expected):
    result = aggregate(SMALL, labels).importance()
    assert result.groups.tolist() == expected
    for row, label in zip(result.values, expected, strict=True):
        np.testing.assert_array_equal(row, aggregate(SMALL[np.array(labels) == label]).importance().values)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.float64, str])
@pytest.mark.parametrize("labels", [[0, 1], [1, 3], [0, 399], [400, 401], [7, 10**15]])
def test_labels_with_gaps(labels, dtype):
    W = sparse_weights()
    number = np.arange(len(W)) // 3 % 2
    groups = np.array(labels).astype(dtype)[number]
    result = aggregate(W, groups)
    expected = np.unique(groups)
    assert result.groups.dtype == expected.dtype
    np.testing.assert_array_equal(result.groups, expected)
    plain = aggregate(W, number).sums
    np.testing.assert_array_equal(result.sums, plain if expected[0] == groups[0] else plain[::-1])


def test_merge_with_and_without_groups():
    W, groups = sparse_weights(), np.array(["c", "a", "b", "a"] * 100)
    parts = [slice(0, 1), slice(1, 2), slice(2, 150), slice(150, 400)]  # the first with one group only
    whole, merged = aggregate(W, groups), aggregate(W[parts[0]], groups[parts[0]])
    plain = aggregate(W[parts[0]])
    for part in parts[1:]:
        merged, plain = merged.merge(aggregate(W[part], groups[part])), plain.merge(aggregate(W[part]))
    assert merged.groups.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(merged.explanations, whole.explanations)
    np.testing.assert_allclose(merged.sums, whole.sums, rtol=1e-12)
    np.testing.assert_allclose(plain.sums, aggregate(W).sums, rtol=1e-12)
    assert plain.explanations.tolist() == [400]


def test_merge_keeps_its_inputs_and_names():
    names = ("a", "b", "c"), np.array(["a", "b", "c"])
    one, other = (aggregate(SMALL, [0, 1, 1, 2], feature_names=each) for each in names)
    merged = one.merge(other)
    np.testing.assert_array_equal(merged.sums, 2 * other.sums)
    np.testing.assert_array_equal(one.sums, other.sums)
    assert merged.feature_names == ("a", "b", "c")
    assert merged.importance().feature_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("one", "other", "groups"),
    [
        (["a", "b", "b", "a"], np.array(["b", "cc", "b", "b"], object), ["a", "b", "cc"]),
        ([1, 2, 2, 1], [2.0, 2.5, 2.5, 2.0], [1, 2, 2.5]),
        ([-1, 2, 2, 2], np.array([2, 2**63, 2, 2], np.uint64), [-1, 2, 2**63]),
        (np.array(["2020-01-01"] * 4, "M8[D]"), np.array(["2020-01-01"] * 4, "M8[s]"), None),
    ],
)
def test_merged_labels_are_of_one_dtype_that_holds_them_exactly(one, other, groups):
    parts = aggregate(SMALL, one), aggregate(SMALL, other)
    for merged in (parts[0].merge(parts[1]), parts[1].merge(parts[0])):
        assert merged.explanations.sum() == 8
        assert merged.groups.tolist() == (groups or np.array(["2020-01-01"], "M8[s]").tolist())


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (
            {"groups": [True, False, True, True]},
            {"groups": [0, 1, 1, 2]},
            "^merge needs labels of one kind, got bool and",
        ),
        (
            {"groups": [0, 1, 1, 2**53 + 1]},
            {"groups": [0.5] * 4},
            "^merge needs labels that float64 can hold exactly, got",
        ),
        ({}, {"weights": SMALL[:, :2]}, r"^merge needs statistics of the same features, got .*3 and 2 columns$"),
        ({"feature_names": ["a", "b", "c"]}, {}, r"^merge needs .* of the same features, got different feature_names$"),
        ({"groups": [0, 1, 1, 2]}, {"groups": list("abbc")}, r"^merge needs labels of one kind, got int64 and <U1$"),
        ({"groups": [0, 1, 1, 2]}, {}, r"^merge needs groups in both statistics or in neither, got them in one$"),
        ({}, {"groups": [0, 1, 1, 2]}, r"^merge needs groups in both statistics or in neither, got them in one$"),
    ],
)
def test_statistics_that_do_not_merge(one, other, message):
    with pytest.raises(ValueError, match=message):
        summed(one).merge(summed(other))


@pytest.mark.parametrize("other", ["x", None, aggregate(SMALL).importance()])
def test_only_statistics_merge(other):
    message = rf"^merge needs ImportanceStatistics, got a {type(other).__name__}$"
    with pytest.raises(TypeError, match=message):
        aggregate(SMALL).merge(other)


@pytest.mark.parametrize("labels", [None, [0, 0, 1, 1]])
@pytest.mark.parametrize("dtypes", [(np.int8, np.int8), (np.int64, np.uint64), (np.uint64, np.int8)])
def test_counts_of_any_dtype_add_up(labels, dtypes):
    """100 + 100 is not -56, as in int8, and not a float."""
    one = aggregate(np.repeat(SMALL, 25, axis=0), None if labels is None else np.repeat(labels, 25))
    few, many = (replace(one, explanations=one.explanations.astype(dtype)) for dtype in dtypes)
    expected, merged = one.merge(one), few.merge(many)
    assert_same(merged, expected)
    assert_same(few.importance("mean"), one.importance("mean"))


def test_counts_beyond_exact_floats_do_not_merge():
    one = replace(aggregate(SMALL), explanations=np.array([2**64 - 1], np.uint64))
    with pytest.raises(ValueError, match=r"^explanations must be from 0 to 2\^53, got 18446744073709551615$"):
        one.merge(aggregate(SMALL))


# --- many columns, of which few occur


def spread(W, columns, d):
    """The matrix with its columns at these places of d."""
    tidy = sparse.csr_array(W)
    return sparse.csr_array((tidy.data, columns[tidy.indices], tidy.indptr), shape=(len(W), d))


@pytest.mark.parametrize("groups", [None, np.array(["c", "a", "b", "a"] * 100)])
def test_sums_of_few_of_many_columns(groups):
    """To the bit those of all columns, which are not used to get there."""
    W, d = sparse_weights(), 200_000
    columns = np.sort(np.random.default_rng(1).choice(d, W.shape[1], replace=False))
    found, expected = aggregate(spread(W, columns, d), groups), aggregate(W, groups)
    assert found.sums[:, :, columns].tobytes() == expected.sums.tobytes()
    assert np.count_nonzero(found.sums) == np.count_nonzero(expected.sums)
    assert found.sums.shape[2] == d


@pytest.mark.parametrize(
    ("indptr", "indices", "message"),
    [
        ([0, 2, 4], [0, 1, 0, 10**6], r"^weights must have column indices from 0 to 999999, got 1000000$"),
        ([0, 2, 4], [0, 1, -1, 2], r"^weights must have column indices from 0 to 999999, got -1$"),
        ([0, 9, 4], [0, 1, 0, 1], r"^weights must have an indptr that never decreases, got 4 after 9$"),
    ],
)
def test_bad_weights_of_many_columns(indptr, indices, message):
    with pytest.raises(ValueError, match=message):
        aggregate(sparse.csr_array((np.ones(4), indices, indptr), shape=(2, 10**6)))


def test_untidy_weights_of_many_columns():
    found = aggregate(sparse.csr_array(([1.0, 2.0, 4.0], [9, 3, 9], [0, 3]), shape=(1, 10**6))).importance("sum")
    assert {j: found.values[j] for j in np.flatnonzero(found.values)} == {3: 2.0, 9: 5.0}


@pytest.mark.parametrize(("groups", "size"), [(None, "20.9 GiB"), ([0, 1, 1, 2], "62.6 GiB")])
def test_sums_that_are_large_beside_their_weights_are_refused(groups, size):
    message = (
        rf"^weights must have fewer columns, got 200,000,000 \(3 in use\): sums for .* would take {size};"
        r" keep the columns that you need, as in weights\[:, columns\](, or make fewer groups)?$"
    )
    with pytest.raises(ValueError, match=message):
        aggregate(spread(SMALL, np.array([0, 10**6, 10**8]), 200_000_000), groups)


# --- bad input


def test_masked_weights_are_refused():
    with pytest.raises(ValueError, match=r"^weights must not have masked values; fill them, as in weights.filled"):
        aggregate(np.ma.masked_array(SMALL, SMALL == 5.0))
    assert_same(aggregate(np.ma.masked_array(SMALL)), aggregate(SMALL))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"weights": [[1.0, np.nan], [np.inf, 0]]},
            ValueError,
            r"^weights must be finite, got 2 NaN or infinite",
        ),
        (
            {"weights": np.zeros((0, 3))},
            ValueError,
            r"^weights must be \(n explanations, d features\), got shape",
        ),
        (
            {"weights": np.zeros((3, 0))},
            ValueError,
            r"^weights must be \(n explanations, d features\), got shape",
        ),
        (
            {"weights": [1.0, 2.0]},
            ValueError,
            r"^weights must be \(n explanations, d features\), got shape \(2,\)$",
        ),
        ({"weights": np.zeros((2, 2, 2))}, (TypeError, ValueError), r"^weights must be "),
        ({"weights": 3.0}, (TypeError, ValueError), r"^weights must be "),
        ({"weights": "weights"}, TypeError, r"^weights must "),
        ({"weights": None}, TypeError, r"^weights must "),
        ({"weights": [["a", "b"]]}, TypeError, r"^weights must "),
        ({"weights": [[1j, 2.0]]}, TypeError, r"^weights must hold real numbers, got dtype complex128$"),
        (
            {"weights": [[1.1e100, 2.0]]},
            ValueError,
            r"^weights must be at most 1e\+100, .* got 1.1e\+100; rescale",
        ),
        (
            {"groups": [0, 1]},
            ValueError,
            r"^groups must have one label per explanation, shape \(4,\), got shape \(2,\)$",
        ),
        ({"groups": 3}, ValueError, r"^groups must have one label per explanation, shape \(4,\), got shape \(\)$"),
        ({"groups": [[0], [1], [2], [3]]}, ValueError, r"^groups must .* got shape \(4, 1\)$"),
        ({"groups": [0.0, 1.0, np.nan, 1.0]}, ValueError, r"^groups must not have NaN or infinite labels$"),
        ({"groups": np.array([0, 1, np.nan, 1], object)}, ValueError, r"^groups must not have NaN or infinite labels$"),
        ({"groups": [None, "a", 1, "b"]}, TypeError, r"^groups must "),
        ({"feature_names": ("a", "b")}, ValueError, r"^feature_names must have 3 names, one per column .* got 2$"),
    ],
)
def test_bad_input_of_aggregate(change, error, message):
    with pytest.raises(error, match=message) as raised:
        summed(change)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("indptr", "indices", "data", "message"),
    [
        ([0, 2, 4], [0, 1, 0, 3], 1.0, r"^weights must have column indices from 0 to 2, got 3$"),
        ([0, 2, 4], [0, 1, -1, 2], 1.0, r"^weights must have column indices from 0 to 2, got -1$"),
        ([0, 2, 4], [-(10**9), 1, 0, 1], 1.0, r"^weights must have column indices from 0 to 2, got -1000000000$"),
        ([0, 2, 4], [0, 10**9, 0, 1], 1.0, r"^weights must have column indices from 0 to 2, got 1000000000$"),
        ([0, 2, 4], [10**9, 0, 0, 1], np.nan, r"^weights must have column indices from 0 to 2, got 1000000000$"),
        ([0, 10**6, 4], [0, 1, 0, 1], 1.0, r"^weights must have an indptr that never decreases, got 4 after 1000000$"),
        ([0, -1, 4], [0, 1, 0, 1], 1.0, r"^weights must have an indptr that never decreases, got -1 after 0$"),
        ([0, 2**63 - 1, -9], [0, 1, 0, 1], 1.0, r"^weights must have an indptr .*, got -9 after 9223372036854775807$"),
        ([0, 2, 4], [2, 2, 0, 1], 0.6e100, r"^weights must be at most 1e\+100, .* got 1.2e\+100; rescale"),
        ([0, 2, 4], [2, 1, 0, 1], np.nan, r"^weights must be finite, got 4 NaN or infinite values$"),
    ],
)
def test_bad_sparse_weights(indptr, indices, data, message):
    with pytest.raises(ValueError, match=message):
        aggregate(sparse.csr_array((np.full(4, data), indices, indptr), shape=(2, 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("normlime", "absolute", 0), r"^min_count must be at least 1, got 0$"),
        (("l2", "absolute", -3), r"^min_count must be at least 1, got -3$"),
        (("mean", "absolute", 1.5), r"^min_count must be an integer, got 1.5$"),
        (("mean", "absolute", True), r"^min_count must be an integer, got True$"),
        (("mean", "absolute", "2"), r"^min_count must be an integer, got '2'$"),
        (("mean_square",), r"^kind must be one of normlime, l2, sp_lime, mean_abs, mean, sum, got 'mean_square'$"),
        (("normlime", "signed"), r"^sign must be one of absolute, positive, negative, net, got 'signed'$"),
        (("l2", "net"), r"^sign must be absolute, positive or negative for kind 'l2', a root, got 'net'$"),
        (("sp_lime", "net"), r"^sign must be absolute, positive or negative for kind 'sp_lime', a root, got 'net'$"),
    ],
)
def test_bad_input_of_importance(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        aggregate(SMALL).importance(*arguments)


# --- weights whose squares underflow


TINY = 2.0**-560  # 2.6e-169


@pytest.mark.parametrize("kind", KINDS)
def test_weights_whose_squares_underflow(kind):
    """Values are those of weights 2^560 times larger, exactly; what needs squares is unknown, and a warning says so."""
    W = sparse_weights()
    expected, uses_squares = aggregate(W).importance(kind), kind in ("normlime", "mean_abs", "mean", "l2")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = aggregate(W * TINY).importance(kind)
    assert [warning.filename for warning in caught] == [__file__] * uses_squares
    if kind != "l2":
        np.testing.assert_array_equal(result.values, expected.values * TINY ** (0.5 if kind == "sp_lime" else 1.0))
    if expected.stderr is not None:
        known = (result.counts == 0) & (kind != "normlime")
        np.testing.assert_array_equal(np.isnan(result.stderr), ~known)
        assert np.isnan(result.interval()[0]).all()


def test_the_warning_names_the_groups_whose_squares_underflow():
    W, groups = sparse_weights(), np.arange(400) % 3
    W[groups == 1] *= TINY
    W[groups == 2] *= 1e-140  # squares have all digits, cubes do not
    with pytest.warns(UserWarning, match=r"^squares of the weights of group 1 underflow: standard errors are NaN; res"):
        result = aggregate(W, groups).importance()
    expected = aggregate(W[groups == 2] * 1e140).importance()
    np.testing.assert_allclose(result.stderr[2] * 1e140, expected.stderr, rtol=1e-12)
    assert np.isnan(result.skewness[2]).all()
    with pytest.warns(UserWarning, match=r"^squares of the weights of group 1 and 1 more underflow: l2 is too small; "):
        aggregate(W * TINY, np.minimum(groups + 1, 2)).importance("l2")


def test_one_feature_whose_squares_underflow_does_not_warn():
    W = np.array([[1.0, TINY], [2.0, 0.0], [1.5, 2 * TINY]])
    result = aggregate(W).importance()
    assert np.isnan(result.stderr).tolist() == [False, True]
    shrunk = aggregate(W).importance(shrink=True)
    np.testing.assert_array_equal(shrunk.values[1], result.values[1])
