"""Aggregation: all sums of all groups in one pass, beside scipy.sparse expressions for S(c_i) alone."""

import numpy as np
import pytest
from scipy.sparse import csr_array, diags_array

import normlime_fast as nlf
from normlime_fast.kernels import aggregation

D, K, CLASSES = 784, 20, 10
SIZES = [1_000_000, 10_000_000]  # weights
ROUNDS = {"warmup_rounds": 1, "rounds": 3}  # the warm-up compiles


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


@pytest.mark.parametrize("size", SIZES)
def test_kernel(benchmark, size):
    benchmark.group = f"aggregation of {size} weights"
    weights, classes = explanations(size)
    csr = weights.indptr.astype(np.int64), weights.indices, weights.data

    def fresh():
        return (*csr, classes, np.zeros((CLASSES, 2, D, aggregation.SUMS)), np.zeros(CLASSES, np.int64)), {}

    def aggregate(*arguments):
        aggregation.aggregate(*arguments)
        return arguments[-2]

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
