"""Standard errors of the weights of a fit, in the sandwich form of White (1980) for weighted least squares.

    cov(w) = A^-1 M A^-1 n / (n - k - 1)      A = sum_i p_i z_i z_i' + ridge      M = sum_i (p_i e_i)^2 z_i z_i'

for k centred features z, residuals e and weights p divided by their sum, where n is the effective sample size. The
residuals of a surrogate are its lack of fit, not noise of one variance: near the instance they may be smaller.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.cholesky import substitute
from normlime_fast._kernels.jit import kernel
from normlime_fast._kernels.moments import Gram

Array = NDArray[Any]

TILE = 256  # samples at a time, whose columns and scores stay in the first caches

u64 = np.uint64  # index type: with unsigned indices numba skips the check for negative ones


@kernel(fastmath={"contract", "reassoc"})  # sums over samples in any order; what comes in is finite
def _add_outer_products(scores: Array, rows: int, meat: Array) -> None:
    """Add the products of the scores (k, TILE) of some samples to meat (k, k), for b <= a."""
    for a in range(scores.shape[0]):
        left = scores[a]
        whole = (a + 1) // 4 * 4
        for b in range(0, whole, 4):
            right0, right1, right2, right3 = scores[b], scores[b + 1], scores[b + 2], scores[b + 3]
            total0 = total1 = total2 = total3 = 0.0
            for i in range(rows):
                total0 += left[i] * right0[i]
                total1 += left[i] * right1[i]
                total2 += left[i] * right2[i]
                total3 += left[i] * right3[i]
            meat[a, b] += total0
            meat[a, b + 1] += total1
            meat[a, b + 2] += total2
            meat[a, b + 3] += total3
        for b in range(whole, a + 1):
            right = scores[b]
            total = 0.0
            for i in range(rows):
                total += left[i] * right[i]
            meat[a, b] += total


@kernel(fastmath={"contract", "reassoc"})
def _variance(bread: Array, meat: Array) -> float:
    """bread' meat bread, of which meat[a, b] is there for b <= a."""
    variance = 0.0
    for a in range(bread.size):
        before = 0.0
        for b in range(a):
            before += meat[a, b] * bread[b]
        variance += bread[a] * (2.0 * before + meat[a, a] * bread[a])
    return variance


@kernel(fastmath={"contract"})
def standard_errors(
    gram: Gram, y: Array, total: float, effective: float, support: Array, fitted: Array, L: Array
) -> Array:
    """Standard errors of the weights `fitted` of the scaled columns `support`; NaN if samples are too few to know.

    y (n,) is centred and `total` is the sum of the weights; L is the Cholesky factor of A.
    """
    k, n, d = support.size, y.size, gram.mean.size
    errors = np.full(k, np.nan)
    if effective <= k + 1.0:
        return errors
    flat = gram.features.reshape(-1)
    most = min(TILE, n)
    columns, scores = np.empty((k, most), flat.dtype), np.empty((k, most))
    residuals, meat = np.empty(most), np.zeros((k, k))
    for tile in range(0, n, most):
        rows = min(most, n - tile)
        for i in range(rows):
            residuals[i] = y[tile + i]
        for a in range(k):  # gathered apart, so that all other loops work on vectors
            column, values = flat[tile * d + support[a] :], columns[a]
            for i in range(rows):
                values[i] = column[u64(i) * u64(d)]
        for a in range(k):
            values, scale = columns[a], gram.scale[support[a]]
            mean, slope = gram.mean[support[a]], fitted[a]
            for i in range(rows):
                residuals[i] -= slope * (values[i] * scale - mean)
        for i in range(rows):
            residuals[i] *= gram.weights[tile + i]
        for a in range(k):
            values, scale, mean = columns[a], gram.scale[support[a]], gram.mean[support[a]]
            for i in range(rows):
                scores[a, i] = residuals[i] * (values[i] * scale - mean)
        _add_outer_products(scores, rows, meat)
    factor = effective / (effective - k - 1.0) / (total * total)
    bread = np.empty(k)
    for a in range(k):
        for b in range(k):
            bread[b] = 1.0 if a == b else 0.0
        errors[a] = np.sqrt(max(_variance(substitute(L, bread), meat), 0.0) * factor)
    return errors
