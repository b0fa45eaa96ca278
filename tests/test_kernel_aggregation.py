import numpy as np
import pytest
import reference

from normlime_fast.kernels import aggregation


def kernel_sums(W, groups=None, n_groups=1):
    """What the kernel makes of a dense matrix: sums (n_groups, 2, d, 5) and explanations (n_groups,)."""
    used = W != 0
    indptr = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    sums, explanations = np.zeros((n_groups, 2, W.shape[1], aggregation.SUMS)), np.zeros(n_groups, np.int64)
    codes = np.zeros(len(W), np.int64) if groups is None else groups
    aggregation.aggregate(indptr, used.nonzero()[1].astype(np.int32), W[used], codes, sums, explanations)
    return sums, explanations


def expected_sums(W):
    parts = [np.where(keep, np.abs(W), 0.0) for keep in (W > 0, W < 0)]
    gamma = np.abs(W) / np.maximum(np.abs(W).sum(axis=1, keepdims=True), 1e-300)
    columns = [((w > 0), gamma * w, (gamma * w) ** 2, w, w**2) for w in parts]
    return np.array([[term.sum(axis=0) for term in terms] for terms in columns]).transpose(0, 2, 1)


def sparse_weights(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.4)


def test_five_sums_of_one_explanation():
    """Weights 1, -3 and 4: gamma is 1/8, 3/8 and 1/2."""
    sums, explanations = kernel_sums(np.array([[1.0, 0.0, -3.0, 4.0]]))
    zero = [0.0] * 5
    np.testing.assert_array_equal(sums[0, 0], [[1, 1 / 8, 1 / 64, 1, 1], zero, zero, [1, 2, 4, 4, 16]])
    np.testing.assert_array_equal(sums[0, 1], [zero, zero, [1, 9 / 8, 81 / 64, 3, 9], zero])
    assert explanations.tolist() == [1]


@pytest.mark.parametrize("n_groups", [1, 2, 7])
def test_groups_are_summed_apart(n_groups):
    W, groups = sparse_weights(500, 6), np.random.default_rng(1).integers(n_groups, size=500)
    sums, explanations = kernel_sums(W, groups, n_groups)
    for group in range(n_groups):
        np.testing.assert_allclose(sums[group], expected_sums(W[groups == group]), rtol=1e-12)
    np.testing.assert_array_equal(explanations, np.bincount(groups, minlength=n_groups))


@pytest.mark.parametrize("n", [2**16 - 1, 2**16, 2**16 + 1, 2**17 + 5])
def test_every_row_counts_once_around_the_boundaries_of_chunks(n):
    """Powers of 2, so that no sum is rounded and all must be equal."""
    rng = np.random.default_rng(n)
    W = np.zeros((n, 3))
    W[np.arange(n), rng.integers(3, size=n)] = rng.choice([-2.0, -0.5, 1.0, 4.0], n)
    groups = rng.integers(2, size=n)
    sums, explanations = kernel_sums(W, groups, 2)
    for group in range(2):
        np.testing.assert_array_equal(sums[group], expected_sums(W[groups == group]))
    assert explanations.sum() == n


def test_chunks_are_added_in_order():
    """The sums of a long matrix are those of its chunks, added one after the other, to the last bit."""
    W = sparse_weights(2 * aggregation.CHUNK + 100, 3)
    total = np.zeros((1, 2, 3, aggregation.SUMS))
    for start in range(0, len(W), aggregation.CHUNK):
        total += kernel_sums(W[start : start + aggregation.CHUNK])[0]
    np.testing.assert_array_equal(kernel_sums(W)[0], total)


def test_sums_are_added_to_what_is_there():
    W = sparse_weights(100, 4)
    once, _ = kernel_sums(W)
    used = W != 0
    sums, explanations = once.copy(), np.array([7])
    indptr = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    aggregation.aggregate(
        indptr, used.nonzero()[1].astype(np.int32), W[used], np.zeros(100, np.int64), sums, explanations
    )
    np.testing.assert_array_equal(sums, 2 * once)
    assert explanations.tolist() == [107]


def test_stored_zeros_and_empty_rows():
    indptr, indices = np.array([0, 0, 3, 3, 4]), np.array([0, 1, 2, 1], np.int32)
    data, groups = np.array([0.0, 2.0, -0.0, 0.0]), np.zeros(4, np.int64)
    sums, explanations = np.zeros((1, 2, 3, aggregation.SUMS)), np.zeros(1, np.int64)
    aggregation.aggregate(indptr, indices, data, groups, sums, explanations)
    assert explanations.tolist() == [4]
    np.testing.assert_array_equal(sums[0, 0, 1], [1, 2, 4, 2, 4])
    assert np.count_nonzero(sums) == 5


@pytest.mark.parametrize("size", [1e-320, 1e-300, 1e-160, 1e100, 1e150])
def test_extreme_weights(size):
    """gamma is a ratio, so it is right where the squares have left float64."""
    W = np.array([[3.0, -1.0], [1.0, 1.0]]) * size
    sums, _ = kernel_sums(W)
    assert np.isfinite(sums).all()
    np.testing.assert_allclose(sums[0, :, :, 1].sum(axis=0), np.array([9 / 4 + 1 / 2, 1 / 4 + 1 / 2]) * size, rtol=1e-3)


def test_normlime_of_the_oracle_is_equation_5():
    """S = diag(1 / counts) |W o W|' (1 / ||w||_1), in matrices: what reference.importance says one by one."""
    W = sparse_weights(300, 8)
    W = W[W.any(axis=1)]
    values, counts = reference.importance(W)
    equation_5 = np.diag(1 / counts) @ (W * W).T @ (1 / np.abs(W).sum(axis=1))
    np.testing.assert_allclose(values, equation_5, rtol=1e-12)
    sums = kernel_sums(W)[0].sum(axis=(0, 1))
    np.testing.assert_allclose(sums[:, 1] / sums[:, 0], equation_5, rtol=1e-12)
