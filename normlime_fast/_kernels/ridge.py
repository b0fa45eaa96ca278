"""Ridge regression on all features of a neighborhood: by the Gram matrix of features, or of samples if they are fewer.

For scaled, centred columns z and weights p divided by their sum, the weights are w = (G + ridge)^-1 c. With
A_ij = sqrt(p_i) z_ij, so that G = A'A and c = A'b for b_i = sqrt(p_i) y_i, the same are w = A'(AA' + ridge)^-1 b.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.cholesky import factor, substitute
from normlime_fast._kernels.jit import kernel
from normlime_fast._kernels.lasso import support_of
from normlime_fast._kernels.moments import COLLINEAR, Gram, moments, round_up
from normlime_fast._kernels.products import TILE, WIDE, add_products

Array = NDArray[Any]


@kernel
def by_features(gram: Gram, C: Array, ridge: float, w: Array) -> None:
    """Set each row of w (outputs, d) to the weights for a row of C; those of columns without variance are 0."""
    for j in range(gram.mean.size):
        variance = gram.values[gram.row[j], j]
        w[0, j] = variance > COLLINEAR * (variance + gram.mean[j] * gram.mean[j])
    varied = support_of(w[0])
    L = factor(gram, varied, ridge)
    solution = np.empty(varied.size)
    for k in range(w.shape[0]):
        for a in range(varied.size):
            solution[a] = C[k, varied[a]]
        substitute(L, solution)
        for j in range(w.shape[1]):
            w[k, j] = 0.0
        for a in range(varied.size):
            w[k, varied[a]] = solution[a]


@kernel
def factor_samples(gram: Gram, total: float, ridge: float) -> tuple[Array, Array]:
    """Return the Cholesky factor of AA' + ridge, (n, n), and which columns have variance, (d,) bool."""
    Z = gram.features
    n, d = Z.shape
    columns = np.zeros((TILE, round_up(n, WIDE)))
    values = np.zeros((columns.shape[1], columns.shape[1]))
    varied = np.zeros(d, np.bool_)
    for tile in range(0, d, TILE):
        count = min(TILE, d - tile)
        for i in range(n):
            root = np.sqrt(gram.weights[i] / total)
            for k in range(count):
                j = tile + k
                columns[k, i] = root * (Z[i, j] * gram.scale[j] - gram.mean[j])
        for k in range(count):
            column, mean = columns[k], gram.mean[tile + k]
            variance = 0.0
            for i in range(n):
                variance += column[i] * column[i]
            varied[tile + k] = variance > COLLINEAR * (variance + mean * mean)
            for i in range(n):
                column[i] = column[i] if varied[tile + k] else 0.0
        add_products(columns, columns.reshape(-1), columns.shape[1], count, 0, False, values)
    for i in range(n):
        for k in range(i):
            values[i, k] = values[k, i]
    samples, zeros = np.arange(n), np.zeros(n)
    return factor(Gram(values, samples, Z, gram.weights, zeros, zeros), samples, ridge), varied


@kernel
def by_samples(gram: Gram, Y: Array, total: float, L: Array, varied: Array, w: Array) -> None:
    """Set each row of w (outputs, d) to the weights for a row of Y; those of columns without variance are 0.

    L and `varied` are those of `factor_samples`.
    """
    duals, shifts = np.empty(Y.shape), np.zeros(Y.shape[0])
    for k in range(Y.shape[0]):
        dual = duals[k]
        for i in range(dual.size):
            dual[i] = np.sqrt(gram.weights[i] / total) * Y[k, i]
        substitute(L, dual)
        for i in range(dual.size):
            root = np.sqrt(gram.weights[i] / total)
            shifts[k] += root * dual[i]
            dual[i] = dual[i] / root if root > 0.0 else 0.0
    sums = moments(gram.features, duals, gram.weights, np.empty(0, np.int64), np.empty(0))
    for k in range(Y.shape[0]):
        for j in range(varied.size):
            w[k, j] = sums[k + 1, j] * gram.scale[j] - shifts[k] * gram.mean[j] if varied[j] else 0.0
