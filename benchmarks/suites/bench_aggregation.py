"""Aggregation: all sums of all groups, beside scipy.sparse expressions for S(c_i) alone and reading the arrays once."""

import numpy as np
import pytest
from scipy.sparse import csr_array, diags_array

import normlime_fast as nlf
from normlime_fast._kernels import aggregation
from normlime_fast._kernels.jit import kernel

D, K, CLASSES = 784, 20, 10
SIZES = [1_000_000, 10_000_000]  # weights
ROUNDS = {"warmup_rounds": 1, "rounds": 7}  # the warm-up compiles


def explanations(size):
    """Return `size` weights, K an explanation, each in its own stretch of the features, and the classes explained."""
    rng = np.random.default_rng(0)
    n = size // K
    stretch = D // K
    features = stretch * np.arange(K) + rng.integers(stretch, size=(n, K))
    indptr = np.arange(0, size + 1, K)
    weights = csr_array((rng.standard_normal(size), features.ravel().astype(np.int32), indptr), shape=(n, D))
    return weights, rng.integers(CLASSES, size=n)


def with_scipy(weights):
    """S(c_i), Eq. 3."""
    size = abs(weights)
    gamma = diags_array(1 / size.sum(axis=1)) @ size
    counts = np.bincount(weights.indices, minlength=D)
    return gamma.multiply(size).sum(axis=0) / np.maximum(counts, 1)


def assert_equal(values, weights):
    # Two orders of summing m < 10^6 positive numbers differ by less than 2 m eps / 2 = 2.3e-10, relatively.
    np.testing.assert_allclose(values, with_scipy(weights), rtol=2.3e-10)


@kernel(fastmath={"reassoc", "nsz"})  # so that many are added at once
def read(array):
    total = array[0]
    for k in range(1, array.size):
        total += array[k]
    return total


@pytest.mark.parametrize("size", SIZES)
def test_reading(benchmark, size):
    benchmark.group = f"aggregation of {size} weights"
    weights, classes = explanations(size)
    arrays = weights.indptr, weights.indices, weights.data, classes
    totals = benchmark.pedantic(lambda: [read(array) for array in arrays], **ROUNDS)
    # Two orders of summing m numbers differ by less than m eps times the sum of their sizes.
    sizes = [np.abs(array).sum(dtype=float) for array in arrays]
    assert np.all(np.abs(np.subtract(totals, [array.sum() for array in arrays])) <= size * 2.3e-16 * np.array(sizes))


@pytest.mark.parametrize("size", SIZES)
def test_kernel(benchmark, size):
    benchmark.group = f"aggregation of {size} weights"
    weights, classes = explanations(size)
    csr = weights.indptr, weights.indices, weights.data

    def fresh():
        return (*csr, classes, np.zeros((CLASSES, 2, D, aggregation.SUMS))), {}

    def aggregate(*arguments):
        assert aggregation.aggregate(*arguments) == aggregation.DONE
        return arguments[-1]

    sums = benchmark.pedantic(aggregate, setup=fresh, **ROUNDS).sum(axis=(0, 1))  # over classes and signs
    assert_equal(sums[:, 1] / np.maximum(sums[:, 0], 1), weights)


@pytest.mark.parametrize("size", SIZES)
def test_normlime_fast(benchmark, size):
    benchmark.group = f"aggregation of {size} weights"
    weights, classes = explanations(size)
    statistics = benchmark.pedantic(nlf.aggregate, (weights, classes), **ROUNDS)
    sums = statistics.sums.sum(axis=(0, 1))  # over classes and signs
    assert_equal(sums[:, 1] / np.maximum(sums[:, 0], 1), weights)


@pytest.mark.parametrize("size", SIZES)
def test_scipy(benchmark, size):
    benchmark.group = f"aggregation of {size} weights"
    weights, _ = explanations(size)
    values = benchmark.pedantic(with_scipy, (weights,), **ROUNDS)
    assert_equal(nlf.aggregate(weights).importance().values, weights)
    assert values.shape == (D,)
