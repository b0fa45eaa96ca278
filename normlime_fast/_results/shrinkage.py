"""Shrinkage of importances that rest on few explanations toward those of comparable features of the group."""

from typing import NamedTuple

import numpy as np

from normlime_fast._checks import Array

PRIOR = 10.0  # degrees of freedom of the noise of the group in the noise of each of its features
_HALVINGS = 60  # after which the interval is at the limit of rounding


class _Line(NamedTuple):
    """A weighted regression of y on x, or the weighted mean if x does not vary."""

    fitted: Array
    variance: Array  # of `fitted`, if the weights are reciprocal variances
    excess: float  # weighted sum of squared residuals over its degrees of freedom: 1 on average with such weights


def shrunk(values: Array, stderr: Array, counts: Array) -> tuple[Array, Array]:
    """Shrink the means of one group, by empirical Bayes, toward a line in the logarithm of their counts.

    The model is that of Fay and Herriot, normal-normal with known variances, on logarithms: the logarithm of a value is
    that of its expectation plus noise, and the expectations scatter around a line with variance tau^2. The variance of
    the noise is log(1 + c^2 / n) for a mean of n with coefficient of variation c, the feature's own moderated with that
    of its group (Smyth), so that n = 1 suffices. tau^2 is the estimate of Paule and Mandel, for which the weighted sum
    of squared residuals equals its expectation. The smaller the noise compared with tau^2, the less a value moves.

    Logarithms, since noise grows with the value and shrunken values stay positive. A line, since features that are
    rarely selected also have smaller values when they are selected, and the overall mean would raise them.

    Parameters
    ----------
    values, stderr, counts : ndarray of shape (d,)
        Means of `counts` positive numbers each, and their standard errors, which may be NaN where a count is below 2.

    Returns
    -------
    values, stderr : ndarrays of shape (d,)
        Shrunken values, and their approximate root mean squared errors (Prasad and Rao), which are those of the
        logarithms times the values. Features that are not used stay as they are. So do all values if no feature is used
        twice, since the noise is then unknown, or if fewer than three are used, since a line then fits exactly.

    References
    ----------
    Fay and Herriot, "Estimates of income for small places", Journal of the American Statistical Association 74 (1979).
    Paule and Mandel, "Consensus values and weighting factors", Journal of Research of the NBS 87 (1982).
    Prasad and Rao, "The estimation of the mean squared error of small-area estimators", Journal of the American
    Statistical Association 85 (1990).
    Smyth, "Linear models and empirical Bayes methods for assessing differential expression in microarray experiments",
    Statistical Applications in Genetics and Molecular Biology 3 (2004).
    """
    unknown = (counts > 1) & np.isnan(stderr)  # squares of tiny contributions can underflow, and so can values
    used = np.flatnonzero((counts > 0) & (values > 0) & ~unknown)
    n = counts[used].astype(np.float64)
    own = n - 1.0
    degrees = own.sum()
    if not degrees:
        return values, stderr
    variation = np.where(own > 0, stderr[used] / values[used], 0.0) ** 2 * n
    common = (own * variation).sum() / degrees
    noise = np.log1p((PRIOR * common + own * variation) / (PRIOR + own) / n)
    shift, variance = np.zeros_like(noise), noise
    if len(used) > 2 and common > 0:
        x, y = np.log(n), np.log(values[used])
        free = len(y) - 1 - int(x.min() < x.max())
        expected = y + noise / 2  # the logarithm of a mean is too low by this much
        total = _between(x, expected, noise, free) + noise
        line = _line(x, expected, 1.0 / total, free)
        move = noise / total
        shift = move * (line.fitted - y)
        uncertain = line.variance + 4.0 / (total**-2.0).sum() / total  # of the line, and of tau^2
        variance = (1.0 - move) * noise + move**2 * uncertain
    values, stderr = values.copy(), stderr.copy()
    values[used] *= np.exp(shift)
    stderr[used] = values[used] * np.sqrt(variance)
    return values, stderr


def _line(x: Array, y: Array, weights: Array, free: int) -> _Line:
    """Fit y with `free` residual degrees of freedom."""
    total = weights.sum()
    x = x - (weights * x).sum() / total
    square = (weights * x * x).sum() if free < len(x) - 1 else np.inf
    fitted = (weights * y).sum() / total + (weights * x * y).sum() / square * x
    return _Line(fitted, 1.0 / total + x * x / square, float((weights * (y - fitted) ** 2).sum() / free))


def _between(x: Array, y: Array, noise: Array, free: int) -> float:
    """Variance of the expectations around their line; 0 if the noise explains all of it."""
    if _line(x, y, 1.0 / noise, free).excess <= 1.0:
        return 0.0
    low, high = (
        0.0,
        _line(x, y, np.ones_like(y), free).excess,
    )  # at `high`, below 1, as weights are smaller
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _line(x, y, 1.0 / (middle + noise), free).excess > 1.0:
            low = middle
        else:
            high = middle
    return high
