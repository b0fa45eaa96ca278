"""Sparse linear surrogates: scale the outputs, select features, refit their weights by least squares.

Features are selected by K-LASSO or, as in lime, by the largest weights of a ridge regression on all features.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.cholesky import append_row, substitute
from normlime_fast._kernels.codes import CONSTANT_OUTPUT, FEWER_FEATURES, NO_WEIGHT, OK, OVERFLOW, TOO_FEW
from normlime_fast._kernels.errors import standard_errors
from normlime_fast._kernels.jit import kernel
from normlime_fast._kernels.lasso import (
    MISSING,
    NEGLIGIBLE,
    SMALLEST,
    Path,
    keep_largest,
    select,
    start,
    support_of,
)
from normlime_fast._kernels.moments import WANTED, Gram, expected, fetch, observe
from normlime_fast._kernels.ridge import by_features, by_samples, factor_samples

Array = NDArray[Any]

EQUAL = 2.0**-50  # relative: outputs that differ by the rounding of a model's last sum count as equal, as do those that
# differ by a subnormal number, whose weights would underflow
TINY = 2.0**-400  # sum of weights, above which no square that matters among 1e9 others underflows

# Results of a fit for each selected feature: its weight; its contribution to the surrogate at the instance (the
# weight times minus the mean of z); and the standard error of the weight.
WEIGHT, CONTRIBUTION, ERROR = range(3)

# Results of one fit besides these: the output was divided by its `spread`, and the `effective` sample size is
# (sum p)^2 / sum p^2.
SUMMARY = np.dtype(
    {
        "names": ["count", "status", "intercept", "r2", "alpha", "spread", "effective"],
        "formats": ["i8", "i8", "f8", "f8", "f8", "f8", "f8"],
    }
)


@kernel(fastmath={"contract", "reassoc"})  # sums in any order; weights are finite
def _sums(weights: Array) -> tuple[float, float]:
    """Sums of the weights and of their squares."""
    total = squares = 0.0
    for i in range(weights.size):
        total += weights[i]
        squares += weights[i] * weights[i]
    return total, squares


@kernel
def _weigh(weights: Array) -> tuple[float, float]:
    """Sum of the weights and effective sample size, which is exactly n if all weights are 1."""
    total, squares = _sums(weights)
    size = total
    if 0.0 < total < TINY:  # squares would underflow
        larger = np.empty(weights.size)
        unit = math.ldexp(1.0, min(-math.frexp(total)[1], 1000))
        for i in range(weights.size):
            larger[i] = weights[i] * unit
        size, squares = _sums(larger)
    return total, size * (size / squares) if total > 0.0 else 0.0


@kernel(inline="always")
def _scale_output(y: Array, weights: Array, total: float, least_effective: float, summary: Any) -> float:
    """Replace y by (y - mean) / spread, of magnitude near 1; return the weighted mean of its squares."""
    summary.status = NO_WEIGHT
    first = size = spread = mean = yy = 0.0
    for i in range(y.size):
        if weights[i] > 0.0:
            if summary.status == NO_WEIGHT:
                summary.status = OK
                first = y[i]
            spread = max(spread, abs(y[i] - first))
            size = max(size, abs(y[i]))
    if summary.status == OK and summary.effective < least_effective:
        summary.status = TOO_FEW
        first = 0.0
        for i in range(y.size):
            first += weights[i] / total * y[i]
    elif not np.isfinite(spread):
        summary.status = OVERFLOW
    elif summary.status == OK and spread <= max(EQUAL * size, SMALLEST):
        summary.status = CONSTANT_OUTPUT
    summary.intercept = first
    if summary.status != OK:
        for i in range(y.size):  # so that it needs no column of the Gram matrix
            y[i] = 0.0
        return 0.0
    spread = math.ldexp(1.0, math.frexp(spread)[1] - 1)  # a power of 2, so that the division is exact
    for i in range(y.size):
        y[i] = (y[i] - first) / spread if weights[i] > 0.0 else 0.0
        mean += weights[i] * y[i]
    mean /= total
    for i in range(y.size):
        y[i] -= mean
        yy += weights[i] * y[i] * y[i]
    summary.intercept += spread * mean
    summary.spread = spread
    return yy / total


@kernel(inline="always")
def _refit(gram: Gram, path: Path, ridge: float, y: Array, yy: float, total: float, out: Any) -> None:
    """Ridge regression on the selected features only; writes what is known of each, and the summary, to `out`."""
    features, coefficients, summary = out
    weights, contributions, errors = coefficients[WEIGHT], coefficients[CONTRIBUTION], coefficients[ERROR]
    support = support_of(path.w)
    L = np.zeros((support.size, support.size))
    for a in range(support.size):  # the ridge is on the weights of the columns as they are, not as they are scaled
        append_row(L, gram, support, a, ridge * (gram.scale[support[a]] * gram.scale[support[a]]))
    fitted = substitute(L, path.c[support])
    deviations = standard_errors(gram, y, total, summary.effective, support, fitted, L)
    explained = 0.0
    intercept = summary.intercept
    largest = 0.0
    count = 0
    for a in range(support.size):
        explained += 2.0 * fitted[a] * path.c[support[a]]
        for b in range(support.size):
            explained -= fitted[a] * fitted[b] * gram.values[gram.row[support[a]], support[b]]
        if fitted[a] * fitted[a] * gram.values[gram.row[support[a]], support[a]] > NEGLIGIBLE * NEGLIGIBLE * yy:
            features[count] = support[a]
            scaled = fitted[a] * summary.spread
            weights[count] = scaled * gram.scale[support[a]]
            contributions[count] = -scaled * gram.mean[support[a]]
            intercept += contributions[count]
            errors[count] = deviations[a] * summary.spread * gram.scale[support[a]]
            largest = max(largest, abs(weights[count]))
            count += 1
    if np.isfinite(largest) and np.isfinite(intercept):
        summary.count, summary.intercept, summary.r2 = count, intercept, min(explained / yy, 1.0)
    else:
        summary.status = OVERFLOW


@kernel
def _keep_heaviest(gram: Gram, w: Array, n_features: int) -> None:
    """Keep the `n_features` largest weights of every row; their columns of the Gram matrix are WANTED if missing."""
    for k in range(w.shape[0]):
        keep_largest(w[k], n_features)
        for j in support_of(w[k]):
            if gram.row[j] < 0:
                gram.row[j] = WANTED


@kernel
def _take(gram: Gram, w: Array, chosen: Array, n_features: int) -> int:
    """Copy the chosen weights to w; return the status, MISSING if a Gram column is missing."""
    for j in range(w.size):
        w[j] = chosen[j]
    support = support_of(w)
    for j in support:
        if gram.row[j] < 0:
            return MISSING
    return OK if support.size == n_features else FEWER_FEATURES


@kernel
def fit(
    Z: Array,
    Y: Array,
    starts: Array,
    weights: Array,
    n_features: int,
    ridge: float,
    tol: float,
    ridge_of_all: float,
    standardize: bool,
    least_effective: float,
    room: int,
    features: Array,
    coefficients: Array,
    summaries: Array,
) -> None:
    """Fit sparse linear surrogates to every output; outputs starts[k] to starts[k + 1] share the samples Z[k].

    Z (m, n, d), Y (outputs, n; overwritten), weights (m, n), or (1, n) for all sets. The selected features go into
    features (outputs, K), ascending, where K is at least n_features or d; their refitted weights, contributions and
    standard errors into coefficients (outputs, 3, K): the first `count` of each; the rest into summaries (outputs,).
    Ridges are divided by the sum of the weights. Unless `ridge_of_all` is NaN, the features with the largest weights of
    a regression on all of them with this ridge are selected. If `standardize`, features are selected as if all had
    variance 1. The Gram matrix has `room` rows, or as many as an output needs; if these are fewer than d, its columns
    are computed for so many outputs at a time.
    """
    n, d = Z.shape[1:]
    by_weight = not np.isnan(ridge_of_all) and n_features < d
    by_sample = by_weight and n < d
    standardize &= n_features < d  # or nothing is selected
    count = d  # columns of the Gram matrix that an output needs, most likely
    if n_features < d and (by_sample or not by_weight):
        count = n_features if by_sample else min(expected(min(n_features, n)), d)
    capacity = min(d, max(room, count))
    at_once = Y.shape[0] if capacity == d else max(1, room // count)
    values, L, varied = np.empty((0, d)), np.empty((0, 0)), np.empty(0, np.bool_)
    squares = np.zeros(Y.shape[0])
    total = effective = 0.0
    for k in range(Z.shape[0]):
        first, last = starts[k], starts[k + 1]
        p = weights[k % weights.shape[0]]
        if k < weights.shape[0]:
            total, effective = _weigh(p)
        some_output = False
        for row in range(first, last):
            summaries[row].effective = effective
            squares[row] = _scale_output(Y[row], p, total, least_effective, summaries[row])
            some_output |= summaries[row].status == OK
        if not some_output:
            continue
        if values.shape[0] == 0:
            values = np.empty((capacity, d))
        for begin in range(first, last, at_once):
            end = min(begin + at_once, last)
            gram, c = observe(Z[k], Y[begin:end], p, 0 if by_sample else count, standardize, values)
            chosen = np.empty((end - begin, d)) if by_weight else c
            if by_sample:
                if begin == first:
                    L, varied = factor_samples(gram, total, ridge_of_all / total)
                by_samples(gram, Y[begin:end], total, L, varied, chosen)
            elif by_weight:
                by_features(gram, c, ridge_of_all / total, chosen)
            if by_weight:
                _keep_heaviest(gram, chosen, n_features)
            for row in range(begin, end):
                summary = summaries[row]
                if summary.status != OK:
                    continue
                summary.status = MISSING
                while summary.status == MISSING:
                    path = start(c[row - begin, :d])
                    alpha = 0.0
                    if by_weight:
                        summary.status = _take(gram, path.w, chosen[row - begin], n_features)
                    else:
                        alpha, summary.status = select(gram, path, squares[row], n_features, tol)
                    if summary.status == MISSING:
                        gram = fetch(gram)
                summary.alpha = alpha * summary.spread
                out = features[row], coefficients[row], summary
                _refit(gram, path, ridge / total, Y[row], squares[row], total, out)
            values = gram.values  # which may have grown
