"""Standard normal variates: the library's generator beside numpy's."""

import numpy as np
import pytest
from scipy.stats import kstest

from normlime_fast._kernels import gaussian

SIZE = 1_000_000
DTYPES = [np.float32, np.float64]


def assert_normal(values):
    """Five standard errors of mean and variance; sqrt(n) D > 2 has probability 2 exp(-8), and the seeds are fixed."""
    assert abs(values.mean(dtype=float)) < 5 / np.sqrt(SIZE)
    assert abs(values.var(dtype=float) - 1) < 5 * np.sqrt(2 / SIZE)
    assert np.sqrt(SIZE) * kstest(values, "norm").statistic < 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_normlime_fast(benchmark, dtype):
    benchmark.group = f"{SIZE} normal variates, {dtype.__name__}"
    out = np.empty(SIZE, dtype)
    arguments = np.uint64(1), np.uint64(0), np.uint64(gaussian.STREAM), np.uint64(0), out
    gaussian.fill(*arguments)  # compiles
    out[:] = 0
    benchmark(gaussian.fill, *arguments)
    assert_normal(out)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy(benchmark, dtype):
    benchmark.group = f"{SIZE} normal variates, {dtype.__name__}"
    out = np.empty(SIZE, dtype)
    benchmark(np.random.default_rng(1).standard_normal, dtype=dtype, out=out)
    assert_normal(out)
