"""Sparse linear surrogates: outputs scaled, features selected by K-LASSO, their weights refitted by least squares."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast.kernels.cholesky import factor, substitute
from normlime_fast.kernels.jit import kernel
from normlime_fast.kernels.lasso import MISSING, NEGLIGIBLE, OK, SMALLEST, Path, select, start, support_of
from normlime_fast.kernels.moments import Gram, fetch, observe

Array = NDArray[Any]

# What `status` says of a fit without features; the rest says `lasso`.
CONSTANT_OUTPUT = 2
NO_WEIGHT = 3
OVERFLOW = 5

EQUAL = 2.0**-50  # relative: outputs that differ by the rounding of a model's last sum are equal, and so are those that
# differ by a subnormal number, whose weights would underflow

# What is known of one fit beside its weights; the output was divided by its `spread`.
SUMMARY = np.dtype(
    {
        "names": ["count", "status", "intercept", "r2", "alpha", "spread"],
        "formats": ["i8", "i8", "f8", "f8", "f8", "f8"],
    }
)


@kernel(inline="always")
def _scale_output(y: Array, weights: Array, summary: Any) -> float:
    """Turn y into (y - mean) / spread in place, of which the largest is near 1; the mean of its squares."""
    summary.status = NO_WEIGHT
    first = size = spread = mean = total = yy = 0.0
    for i in range(y.size):
        total += weights[i]
        if weights[i] > 0.0:
            if summary.status == NO_WEIGHT:
                summary.status = OK
                first = y[i]
            spread = max(spread, abs(y[i] - first))
            size = max(size, abs(y[i]))
    if not np.isfinite(spread):
        summary.status = OVERFLOW
    elif summary.status == OK and spread <= max(EQUAL * size, SMALLEST):
        summary.status = CONSTANT_OUTPUT
    summary.intercept = first
    if summary.status != OK:
        for i in range(y.size):  # so that it asks for no column of the Gram matrix
            y[i] = 0.0
        return 0.0
    spread = math.ldexp(1.0, math.frexp(spread)[1] - 1)  # a power of 2, which changes no digit
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
def _refit(gram: Gram, path: Path, ridge: float, yy: float, out: Any) -> None:
    """Least squares on the selected features alone, with a ridge, into `out`: features, weights and summary."""
    features, weights, summary = out
    support = support_of(path.w)
    fitted = path.c[support]
    substitute(factor(gram, support, ridge), fitted)
    explained = 0.0
    intercept = summary.intercept
    largest = 0.0
    count = 0
    for a in range(support.size):
        explained += 2.0 * fitted[a] * path.c[support[a]]
        for b in range(support.size):
            explained -= fitted[a] * fitted[b] * gram.values[support[a], support[b]]
        if fitted[a] * fitted[a] * gram.values[support[a], support[a]] > NEGLIGIBLE * NEGLIGIBLE * yy:
            features[count] = support[a]
            weights[count] = fitted[a] * summary.spread
            intercept -= weights[count] * gram.mean[support[a]]
            largest = max(largest, abs(weights[count]))
            count += 1
    if np.isfinite(largest) and np.isfinite(intercept):
        summary.count, summary.intercept, summary.r2 = count, intercept, min(explained / yy, 1.0)
    else:
        summary.status = OVERFLOW


@kernel(inline="always")
def _fit_output(gram: Gram, c: Array, yy: float, n_features: int, ridge: float, tol: float, out: Any) -> None:
    """Fit one output from its c and yy; `out` is its (features, weights, summary)."""
    summary = out[2]
    summary.status = MISSING
    while summary.status == MISSING:
        path = start(c)
        alpha, summary.status = select(gram, path, yy, n_features, tol)
        if summary.status == MISSING:
            fetch(gram)
    summary.alpha = alpha * summary.spread
    _refit(gram, path, ridge, yy, out)


@kernel
def fit(
    Z: Array,
    Y: Array,
    starts: Array,
    weights: Array,
    ridge: float,
    tol: float,
    features: Array,
    coefficients: Array,
    summaries: Array,
) -> None:
    """Fit sparse linear surrogates to every output; outputs starts[k] to starts[k + 1] share the samples Z[k].

    Z (m, n, d), Y (outputs, n; overwritten), weights (n,). Into features and coefficients (outputs, K) go the selected
    features, ascending, and their refitted weights: the first `count` of each; into summaries (outputs,) the rest.
    """
    n_features = features.shape[1]
    values = np.empty((Z.shape[2], Z.shape[2]))
    squares = np.zeros(Y.shape[0])
    for k in range(Z.shape[0]):
        first, last = starts[k], starts[k + 1]
        some_output = False
        for row in range(first, last):
            squares[row] = _scale_output(Y[row], weights, summaries[row])
            some_output |= summaries[row].status == OK
        if not some_output:
            continue
        gram, c = observe(Z[k], Y[first:last], weights, n_features, values)
        for row in range(first, last):
            if summaries[row].status == OK:
                out = features[row], coefficients[row], summaries[row]
                _fit_output(gram, c[row - first, : gram.mean.size], squares[row], n_features, ridge, tol, out)
