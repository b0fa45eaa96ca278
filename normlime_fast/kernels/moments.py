"""Weighted moments of a neighborhood: mean, correlations with the outputs, and Gram columns on demand.

    mean = sum_i p_i z_i      c = sum_i p_i z_i y_i      G = sum_i p_i z_i z_i' - mean mean'

with weights p that sum to 1. Only the columns of G that come near a support are ever computed.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from normlime_fast.kernels.jit import kernel

Array = NDArray[Any]

UNKNOWN, KNOWN, WANTED = 0, 1, 2  # columns of the Gram matrix

TILE = 64  # rows that stay in cache while all products with them are summed


class Gram(NamedTuple):
    """The Gram matrix as far as it is known, and what its missing columns are computed from."""

    values: Array  # (d, d); row j holds column j (symmetric) where state[j] is KNOWN
    state: Array  # (d,) int64
    features: Array  # Z (n, d), d a multiple of 8; columns without variance are welcome
    weights: Array  # p (n,), sums to 1
    mean: Array  # (d,) weighted mean of Z


@kernel(fastmath={"contract"})  # multiply-adds, which keep NaN and infinity
def _add_products(left: Array, Z: Array, triangle: bool, sums: Array) -> None:
    """sums += left @ Z in float64, for left (a multiple of 4, rows); `triangle`: only columns j >= row of sums.

    4 x 4 products a step keep the multipliers busy: 4 values of Z and 4 sums are loaded for 16 multiply-adds.
    """
    rows, d = Z.shape
    whole = rows - rows % 4
    for b in range(0, left.shape[0], 4):
        start = b // 8 * 8 if triangle else 0
        s0, s1, s2, s3 = sums[b, start:], sums[b + 1, start:], sums[b + 2, start:], sums[b + 3, start:]
        for i in range(0, whole, 4):
            a00, a01, a02, a03 = left[b, i], left[b, i + 1], left[b, i + 2], left[b, i + 3]
            a10, a11, a12, a13 = left[b + 1, i], left[b + 1, i + 1], left[b + 1, i + 2], left[b + 1, i + 3]
            a20, a21, a22, a23 = left[b + 2, i], left[b + 2, i + 1], left[b + 2, i + 2], left[b + 2, i + 3]
            a30, a31, a32, a33 = left[b + 3, i], left[b + 3, i + 1], left[b + 3, i + 2], left[b + 3, i + 3]
            z0, z1, z2, z3 = Z[i, start:], Z[i + 1, start:], Z[i + 2, start:], Z[i + 3, start:]
            for j in range(d - start):
                x0, x1, x2, x3 = np.float64(z0[j]), np.float64(z1[j]), np.float64(z2[j]), np.float64(z3[j])
                s0[j] += a00 * x0 + a01 * x1 + a02 * x2 + a03 * x3
                s1[j] += a10 * x0 + a11 * x1 + a12 * x2 + a13 * x3
                s2[j] += a20 * x0 + a21 * x1 + a22 * x2 + a23 * x3
                s3[j] += a30 * x0 + a31 * x1 + a32 * x2 + a33 * x3
        for i in range(whole, rows):
            for k in range(b, b + 4):
                for j in range(d):
                    sums[k, j] += left[k, i] * np.float64(Z[i, j])


@kernel
def moments(Z: Array, Y: Array, weights: Array) -> Array:
    """Row 0: the weighted mean of Z; row 1 + k: sum_i p_i y_ki z_i for row k of Y, which is centred."""
    n, d = Z.shape
    sums = np.zeros((Y.shape[0] // 4 * 4 + 4, d))
    left = np.zeros((sums.shape[0], TILE))
    for tile in range(0, n, TILE):
        rows = min(TILE, n - tile)
        for i in range(rows):
            left[0, i] = weights[tile + i]
            for k in range(Y.shape[0]):
                left[k + 1, i] = weights[tile + i] * Y[k, tile + i]
        _add_products(left[:, :rows], Z[tile : tile + rows], False, sums)
    return sums


@kernel
def fetch(gram: Gram, wanted: Array) -> None:
    """Compute the listed columns of the Gram matrix; where all are listed, each pair once."""
    n, d = gram.features.shape
    everything = wanted.size == d
    sums = np.zeros(((wanted.size + 3) // 4 * 4, d))
    left = np.zeros((sums.shape[0], TILE))
    for tile in range(0, n, TILE):
        rows = min(TILE, n - tile)
        for i in range(rows):
            for k in range(wanted.size):
                left[k, i] = gram.weights[tile + i] * gram.features[tile + i, wanted[k]]
        _add_products(left[:, :rows], gram.features[tile : tile + rows], everything, sums)
    for k in range(wanted.size):
        a = wanted[k]
        gram.state[a] = KNOWN
        for j in range(a if everything else 0, d):
            gram.values[a, j] = sums[k, j] - gram.mean[a] * gram.mean[j]
            if everything:
                gram.values[j, a] = gram.values[a, j]


@kernel
def _nth_largest(values: Array, n: int) -> float:
    """The n-th largest |value|; 0 if there are fewer."""
    top: Array = np.zeros(n)  # ascending
    for j in range(values.size):
        value = abs(values[j])
        if value > top[0]:
            i = 1
            while i < n and top[i] < value:
                top[i - 1] = top[i]
                i += 1
            top[i - 1] = value
    return float(top[0])


@kernel
def prefetch(gram: Gram, c: Array, n_features: int) -> None:
    """Fetch together the columns that the paths of all targets will most likely need."""
    d = gram.state.size
    guess = n_features + max(4, n_features // 4)  # near-orthogonal features enter in the order of |c|
    likely = np.zeros(d, np.bool_)
    for k in range(c.shape[0]):
        least = _nth_largest(c[k], guess) if guess < d else 0.0
        for j in range(d):
            # 0 is the correlation of an output without a fit, or of a column without variance
            likely[j] |= c[k, j] != 0.0 and abs(c[k, j]) >= least
    # Half of all pairs costs no more than the whole columns of half the features.
    wanted = np.flatnonzero(likely)
    if guess >= d or 2 * wanted.size >= d:
        wanted = np.arange(d)
    fetch(gram, wanted)
