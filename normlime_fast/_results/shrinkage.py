"""The shrunken estimate: what few explanations say of a feature, moved toward what its group says of such features."""

from typing import NamedTuple

import numpy as np

from normlime_fast._checks import Array

PRIOR = 10.0  # degrees of freedom with which the noise of a group counts in that of each of its features
_HALVINGS = 60  # after which what is left of an interval is rounding


class _Line(NamedTuple):
    """A weighted regression of y on x; or the weighted mean, where x does not vary."""

    fitted: Array
    variance: Array  # of `fitted`, where the weights are reciprocal variances
    excess: float  # weighted squares around it, over their degrees of freedom: then 1, on average


def shrunk(values: Array, stderr: Array, counts: Array) -> tuple[Array, Array]:
    """Shrink the means of one group, by empirical Bayes, toward a line in the logarithm of their counts.

    The model is Fay and Herriot's, normal-normal with variances that are known, on logarithms: that of a value is its
    expectation's plus noise, and the expectations lie around a line with variance tau^2. The variance of the noise is
    log(1 + c^2 / n) for a mean of n with the coefficient of variation c, the feature's own moderated with that of its
    group (Smyth), so that n = 1 will do. tau^2 is Paule and Mandel's: that which leaves the squares around the line as
    large as they should be. The smaller the noise is beside tau^2, the less a value moves.

    Why logarithms: noise grows with the value, and nothing shrinks below 0. Why a line: features that explanations
    seldom choose are less important than others where they are chosen, too, and the mean of all would raise them.

    Parameters
    ----------
    values, stderr, counts : ndarray of shape (d,)
        Means of `counts` positive numbers each, and their standard errors, which may be NaN where a count is below 2.

    Returns
    -------
    values, stderr : ndarrays of shape (d,)
        Shrunken values, and the square roots of about their mean squared errors (Prasad and Rao), times the value, as
        they are logarithms'. Features that are not used stay as they are; so do all values of a group of which
        no feature is used twice, as nothing is known of the noise, or fewer than three are used, which a line meets.

    References
    ----------
    Fay and Herriot, "Estimates of income for small places", Journal of the American Statistical Association 74 (1979).
    Paule and Mandel, "Consensus values and weighting factors", Journal of Research of the NBS 87 (1982).
    Prasad and Rao, "The estimation of the mean squared error of small-area estimators", Journal of the American
    Statistical Association 85 (1990).
    Smyth, "Linear models and empirical Bayes methods for assessing differential expression in microarray experiments",
    Statistical Applications in Genetics and Molecular Biology 3 (2004).
    """
    used = np.flatnonzero((counts > 0) & (values > 0))  # tiny contributions can underflow
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
        expected = y + noise / 2  # by as much is the logarithm of a mean too low
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
    """Fit y, which leaves so many degrees of freedom."""
    total = weights.sum()
    x = x - (weights * x).sum() / total
    square = (weights * x * x).sum() if free < len(x) - 1 else np.inf
    fitted = (weights * y).sum() / total + (weights * x * y).sum() / square * x
    return _Line(fitted, 1.0 / total + x * x / square, float((weights * (y - fitted) ** 2).sum() / free))


def _between(x: Array, y: Array, noise: Array, free: int) -> float:
    """Variance of the expectations around their line; 0 where the noise explains all."""
    if _line(x, y, 1.0 / noise, free).excess <= 1.0:
        return 0.0
    low, high = 0.0, _line(x, y, np.ones_like(y), free).excess  # which leaves less than 1, as all weights are smaller
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _line(x, y, 1.0 / (middle + noise), free).excess > 1.0:
            low = middle
        else:
            high = middle
    return high
