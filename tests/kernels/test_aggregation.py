import numpy as np
import pytest
from helpers import reference

from normlime_fast._kernels import aggregation


def kernel_sums(W, groups=None, n_groups=1, index=np.int64, onto=0.0):
    """What the kernel makes of a dense matrix: sums (n_groups, 2, d, 7)."""
    used = W != 0
    indptr = np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(index)
    sums = np.full((n_groups, 2, W.shape[1], aggregation.SUMS), onto)
    codes = np.zeros(len(W), np.int64) if groups is None else groups
    status = aggregation.aggregate(indptr, used.nonzero()[1].astype(index), W[used], codes, sums)
    assert status == aggregation.DONE
    return sums


def expected_sums(W):
    parts = [np.where(keep, np.abs(W), 0.0) for keep in (W > 0, W < 0)]
    gamma = np.abs(W) / np.maximum(np.abs(W).sum(axis=1, keepdims=True), 1e-300)
    columns = [((w > 0), gamma * w, (gamma * w) ** 2, w, w**2, (gamma * w) ** 3, w**3) for w in parts]
    return np.array([[term.sum(axis=0) for term in terms] for terms in columns]).transpose(0, 2, 1)


def sparse_weights(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.4)


def test_seven_sums_of_one_explanation():
    """Weights 1, -3 and 4: gamma is 1/8, 3/8 and 1/2."""
    sums = kernel_sums(np.array([[1.0, 0.0, -3.0, 4.0]]))
    zero = [0.0] * 7
    np.testing.assert_array_equal(
        sums[0, 0], [[1, 1 / 8, 1 / 64, 1, 1, 1 / 512, 1], zero, zero, [1, 2, 4, 4, 16, 8, 64]]
    )
    np.testing.assert_array_equal(sums[0, 1], [zero, zero, [1, 9 / 8, 81 / 64, 3, 9, 729 / 512, 27], zero])


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("n_groups", [1, 2, 7])
def test_groups_are_summed_apart(n_groups, index):
    W, groups = sparse_weights(500, 6), np.random.default_rng(1).integers(n_groups, size=500)
    sums = kernel_sums(W, groups, n_groups, index)
    for group in range(n_groups):
        np.testing.assert_allclose(sums[group], expected_sums(W[groups == group]), rtol=1e-12)


@pytest.mark.parametrize("length", range(14))
def test_explanations_of_any_length(length):
    """Weights are added several at a time, and what is left one by one."""
    rng = np.random.default_rng(length)
    W = np.zeros((50, 14))
    for row in W:
        row[rng.permutation(14)[:length]] = rng.normal(size=length)
    # 50 terms, each with at most 2 * 14 roundings of the norm and 8 more, all positive: 86 roundings on either side
    np.testing.assert_allclose(kernel_sums(W)[0], expected_sums(W), rtol=2 * 86 * np.finfo(float).eps / 2)


@pytest.mark.parametrize("n", aggregation.CHUNK + np.array([-1, 0, 1, aggregation.CHUNK + 5]))
def test_every_row_counts_once_around_the_boundaries_of_chunks(n):
    """Powers of 2, so that no sum is rounded and all must be equal."""
    rng = np.random.default_rng(n)
    W = np.zeros((n, 3))
    W[np.arange(n), rng.integers(3, size=n)] = rng.choice([-2.0, -0.5, 1.0, 4.0], n)
    groups = rng.integers(2, size=n)
    sums = kernel_sums(W, groups, 2)
    for group in range(2):
        np.testing.assert_array_equal(sums[group], expected_sums(W[groups == group]))


def test_every_explanation_of_two_chunks_uses_the_same_feature():
    sums = kernel_sums(np.full((2 * aggregation.CHUNK, 1), -0.5))
    expected = [1, 1 / 2, 1 / 4, 1 / 2, 1 / 4, 1 / 8, 1 / 8]
    np.testing.assert_array_equal(sums[0, 1, 0], 2 * aggregation.CHUNK * np.array(expected))


def test_chunks_are_added_in_order():
    """The sums of a long matrix are those of its chunks, added one after the other, to the last bit."""
    W = sparse_weights(2 * aggregation.CHUNK + 100, 3)
    total = np.zeros((1, 2, 3, aggregation.SUMS))
    for start in range(0, len(W), aggregation.CHUNK):
        total += kernel_sums(W[start : start + aggregation.CHUNK])
    np.testing.assert_array_equal(kernel_sums(W), total)


def test_sums_are_added_to_what_is_there():
    W = sparse_weights(100, 4)
    np.testing.assert_array_equal(kernel_sums(W, onto=2.0**10), 2.0**10 + kernel_sums(W))


@pytest.mark.parametrize("length", [1, 4, 9])
def test_stored_zeros_and_empty_rows(length):
    """Rows without weights, of zeros of both signs, and of zeros and one weight."""
    signed_zeros = np.where(np.arange(length) % 2, 0.0, -0.0)
    with_weight = signed_zeros.copy()
    with_weight[length // 2] = 2.0
    indptr, indices = np.array([0, 0, 1, 2, 2]) * length, np.tile(np.arange(length), 2)
    sums = np.zeros((1, 2, length, aggregation.SUMS))
    data, groups = np.concatenate([signed_zeros, with_weight]), np.zeros(4, np.int64)
    assert aggregation.aggregate(indptr, indices, data, groups, sums) == aggregation.DONE
    np.testing.assert_array_equal(sums[0, 0, length // 2], [1, 2, 4, 2, 4, 8, 8])
    assert np.count_nonzero(sums) == 7


@pytest.mark.parametrize("size", [1e-320, 1e-300, 1e-160, 1e-107, 1e90, 1e99])
def test_extreme_weights(size):
    """gamma is a ratio, so it is right where the squares have left float64."""
    W = np.array([[3.0, -1.0], [1.0, 1.0]]) * size
    sums = kernel_sums(W)
    assert np.isfinite(sums).all()
    np.testing.assert_allclose(sums[0, :, :, 1].sum(axis=0), np.array([9 / 4 + 1 / 2, 1 / 4 + 1 / 2]) * size, rtol=1e-3)


@pytest.mark.parametrize(
    ("weights", "status"),
    [
        ([1e100, 0.0], aggregation.DONE),
        ([1e100, -1e100], aggregation.LARGE),
        ([1.0, 1.1e100], aggregation.LARGE),
        ([np.inf, 1.0], aggregation.LARGE),
        ([1.0, -np.inf], aggregation.LARGE),
        ([np.nan, 1.0], aggregation.LARGE),
    ],
)
@pytest.mark.parametrize(("before", "after"), [(0, 0), (aggregation.CHUNK, 0), (0, aggregation.CHUNK)])
def test_large_weights_are_reported(weights, status, before, after):
    data = np.concatenate([np.ones(before), weights, np.ones(after)])
    indices = np.concatenate([np.zeros(before, np.int64), [0, 1], np.zeros(after, np.int64)])
    indptr = np.delete(np.arange(before + after + 3), before + 1)
    sums = np.zeros((1, 2, 2, aggregation.SUMS))
    assert aggregation.aggregate(indptr, indices, data, np.zeros(len(indptr) - 1, np.int64), sums) == status


@pytest.mark.parametrize(
    ("indptr", "indices"),
    [
        ([0, 2, 4], [0, 1, 1, 0]),
        ([0, 2, 4], [0, 1, 1, 1]),
        ([0, 2, 4], [0, 1, 1, 3]),
        ([0, 2, 4], [0, 1, -1, 1]),
        ([0, 2, 4], [0, 1, 10**9, 2]),
        ([0, 1, 4], [0, 1, 10**9, 2]),
        ([0, 1, 4], [0, 1, -(10**9), 2]),
        ([0, 2, 4], [0, 1, -(2**63), 2**63 - 1]),
        ([0, 3, 2], [0, 1, 2, 2]),
        ([0, 2, 5], [0, 1, 1, 2]),
        ([0, 10**9, 4], [0, 1, 1, 2]),
        ([-1, 2, 4], [0, 1, 1, 2]),
        ([0, -1, 4], [0, 1, 1, 2]),
    ],
)
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_what_is_no_tidy_matrix_is_reported(indptr, indices, index):
    """And nothing is read or written beyond the four weights and three columns."""
    limits = np.iinfo(index)
    indptr, indices = (np.clip(array, limits.min, limits.max).astype(index) for array in (indptr, indices))
    data = np.ones(4)
    sums = np.zeros((1, 2, 3, aggregation.SUMS))
    assert aggregation.aggregate(indptr, indices, data, np.zeros(2, np.int64), sums) == aggregation.UNTIDY


def test_normlime_of_the_oracle_is_equation_5():
    """S = diag(1 / counts) |W o W|' (1 / ||w||_1), in matrices: what reference.importance says one by one."""
    W = sparse_weights(300, 8)
    W = W[W.any(axis=1)]
    values, counts = reference.importance(W)
    equation_5 = np.diag(1 / counts) @ (W * W).T @ (1 / np.abs(W).sum(axis=1))
    np.testing.assert_allclose(values, equation_5, rtol=1e-12)
    sums = kernel_sums(W).sum(axis=(0, 1))
    np.testing.assert_allclose(sums[:, 1] / sums[:, 0], equation_5, rtol=1e-12)
