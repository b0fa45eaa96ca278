"""Weighted moments of a neighborhood: mean, correlations with the outputs, and Gram columns on demand.

    mean = sum_i p_i z_i      c = sum_i p_i z_i y_i      G = sum_i p_i z_i z_i' - mean mean'

with weights p divided by their sum; if standardised, those of columns divided by their standard deviation. Only columns
of G that a support may need are computed, unless there are so few that all pairs cost no more. Every sum is added up
sample by sample, with whichever others it is computed. If all p_i are 1, G is symmetric to the last bit, so that either
of two symmetric entries can be used, and columns on demand have the bits of those of the whole G.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.jit import kernel
from normlime_fast._kernels.products import HIGH, TILE, WIDE, add_products

Array = NDArray[Any]

UNKNOWN, WANTED = -1, -2  # instead of the row of a column that is not there

# Fraction of a column's variance not explained by earlier columns, below which it counts as 0; and of its mean square
# that is variance, below which it counts as constant.
COLLINEAR = 1e-11

ALL = 2.5  # all pairs of features cost no more, in the first pass, than the columns of 1 / ALL of them in a second


class Gram(NamedTuple):
    """A partly known Gram matrix of scaled columns, and the data from which its missing columns are computed."""

    values: Array  # (at least the number of known columns, d); row[j] of it holds column j (symmetric)
    row: Array  # (d,) int64; UNKNOWN or WANTED, which are negative, if column j is not there
    features: Array  # Z (n, d), not scaled; columns without variance are allowed
    weights: Array  # p (n,)
    mean: Array  # (d,) weighted mean of the scaled columns
    scale: (
        Array  # (d,) factors of the columns: 1, or if standardised, 1 / deviation, and 0 for columns without variance
    )


@kernel
def _listed(row: Array, which: int) -> Array:
    """List the columns that are UNKNOWN or WANTED."""
    columns = np.empty(row.size, np.int64)
    count = 0
    for j in range(row.size):
        if row[j] == which:
            columns[count] = j
            count += 1
    return columns[:count]


@kernel(inline="always")
def round_up(count: int, multiple: int) -> int:
    return (count + multiple - 1) // multiple * multiple


@kernel(inline="always")
def _rows_from(Z: Array, first: int) -> Array:
    """Rows of Z, flat; a copy for the last tile, since products read a little past its end."""
    flat = Z.reshape(-1)[first * Z.shape[1] :]
    if flat.size - TILE * Z.shape[1] >= WIDE:
        return flat
    last = np.zeros(flat.size + WIDE, Z.dtype)
    for i in range(flat.size):
        last[i] = flat[i]
    return last


@kernel
def moments(Z: Array, Y: Array, weights: Array, columns: Array, squares: Array) -> Array:
    """Weighted means, one row each: of z_i, of y_ki z_i for every row k of Y, of z_ia z_i for every a in columns.

    Only the first d columns of the result are valid; in the rows of a, if `columns` has all d, only those from a on.
    `squares` (d,), unless it is empty, receives the weighted means of z_i^2.
    """
    n, d = Z.shape
    first = Y.shape[0] + 1
    width = round_up(d, WIDE)
    everything = columns.size == d
    squared = squares.size > 0 and not everything  # their sums are added up as products are, to the bit
    left = np.zeros((TILE, round_up(first + (width if everything else columns.size) + squared, HIGH)))
    sums = np.zeros((left.shape[1], width))
    total = 0.0
    for tile in range(0, n, TILE):
        rows = min(TILE, n - tile)
        right = _rows_from(Z, tile)
        for i in range(rows):
            weight, z, packed = weights[tile + i], right[i * d :], left[i, first:]
            total += weight
            left[i, 0] = weight
            if squared:
                left[i, left.shape[1] - 1] = weight
            for k in range(1, first):
                left[i, k] = weight * Y[k - 1, tile + i]
            if everything:
                for j in range(width):  # whole vectors; values past d are meaningless
                    packed[j] = weight * z[j]
            else:
                for k in range(columns.size):
                    packed[k] = weight * z[np.uint64(columns[k])]
        add_products(left, right, d, rows, first if everything else sums.shape[0], squared, sums)
    for k in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            sums[k, j] /= total
    for j in range(squares.size):
        squares[j] = sums[first + j, j] if everything else sums[sums.shape[0] - 1, j]
    return sums


@kernel(inline="always")
def _enter(gram: Gram, columns: Array, sums: Array, first: int) -> None:
    """Set rows `first` and after from sums of columns by `moments`; if all are given, from one sum per pair."""
    d = gram.row.size
    everything = columns.size == d
    for k in range(columns.size):
        a = columns[k]
        gram.row[a] = first + k
        values = gram.values[first + k]
        for j in range(a if everything else 0, d):
            values[j] = sums[k, j] * (gram.scale[a] * gram.scale[j]) - gram.mean[a] * gram.mean[j]
            if everything:
                gram.values[j, a] = values[j]


@kernel
def want(gram: Gram, correlations: Array, count: int) -> None:
    """Mark as WANTED the columns with the `count` largest correlations, without those that are there."""
    sizes = np.empty(gram.row.size)
    for j in range(sizes.size):
        sizes[j] = abs(correlations[j]) if gram.row[j] < 0 else 0.0
    least = nth_largest(sizes, count)
    for j in range(sizes.size):
        if sizes[j] > least:
            gram.row[j] = WANTED
            count -= 1
    for j in range(sizes.size):  # the first of equal ones: thousands of columns may be the same
        # the correlation is 0 for an output without a fit and for a column without variance
        if sizes[j] == least and count > 0 and least > 0.0:
            gram.row[j] = WANTED
            count -= 1


@kernel
def nth_largest(values: Array, n: int) -> float:
    """The n-th largest |value|; 0 if there are fewer that are not 0."""
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
def fetch(gram: Gram) -> Gram:
    """Compute the WANTED columns of the Gram matrix, and return it with these.

    If there are rows for all columns and at most half would stay UNKNOWN, all missing ones are computed. If there are
    too few rows, `values` is replaced by a larger array.
    """
    d = gram.row.size
    unknown = _listed(gram.row, UNKNOWN)
    if gram.values.shape[0] == d and 2 * unknown.size <= d:
        for j in unknown:
            gram.row[j] = WANTED
        unknown = unknown[:0]
    columns = _listed(gram.row, WANTED)
    known = d - unknown.size - columns.size
    values = gram.values
    if known + columns.size > values.shape[0]:
        values = np.empty((known + columns.size, d))
        for k in range(known):
            for j in range(d):
                values[k, j] = gram.values[k, j]
    sums = moments(gram.features, np.empty((0, gram.weights.size)), gram.weights, columns, np.empty(0))
    larger = Gram(values, gram.row, gram.features, gram.weights, gram.mean, gram.scale)
    _enter(larger, columns, sums[1:], known)
    return larger


@kernel(inline="always")
def expected(n_features: int) -> int:
    """Number of columns that a path to `n_features` features will most likely need."""
    return n_features + max(4, n_features // 4)  # near-orthogonal features enter in the order of |c|


@kernel(inline="always")
def observe(Z: Array, Y: Array, weights: Array, count: int, standardize: bool, values: Array) -> tuple[Gram, Array]:
    """Begin the Gram matrix of Z in `values`, and return it with c of every row of Y, (rows, >= d).

    It gets the columns of the `count` largest correlations with each row of Y, or, if `values` has d rows, all columns
    where these cost no more. `values` has a row for each of them.
    """
    d = Z.shape[1]
    everything = values.shape[0] == d and ALL * Y.shape[0] * count >= d
    row = np.empty(d, np.int64)
    for j in range(d):
        row[j] = UNKNOWN
    columns = _listed(row, UNKNOWN if everything else WANTED)
    squares = np.zeros(d if standardize else 0)
    sums = moments(Z, Y, weights, columns, squares)
    mean, c = sums[0, :d], sums[1 : Y.shape[0] + 1]
    scale = np.ones(d)
    for j in range(squares.size):
        variance = squares[j] - mean[j] * mean[j]
        scale[j] = 1.0 / np.sqrt(variance) if variance > COLLINEAR * squares[j] else 0.0
        mean[j] *= scale[j]
        for k in range(Y.shape[0]):
            c[k, j] *= scale[j]
    gram = Gram(values, row, Z, weights, mean, scale)
    if everything:
        _enter(gram, columns, sums[Y.shape[0] + 1 :], 0)
    elif count > 0:
        for k in range(Y.shape[0]):
            want(gram, c[k], min(count, d))
        gram = fetch(gram)
    return gram, c
