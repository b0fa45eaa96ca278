"""The ratio of sums over independent blocks, and how far it varies."""

import numpy as np

from normlime_fast._checks import Array


def ratio(totals: Array, sizes: Array) -> tuple[Array, Array, Array, Array]:
    """Return sum(totals) / sum(sizes) over the first axis, its standard error, degrees of freedom and skewness.

    The entries along the first axis are independent of each other: blocks of explanations, or sets of samples.

    With shares h = sizes / sum(sizes), the ratio is the sum of h x, and a residual is h (x - ratio). If all x have the
    variance v, the ratio has the variance v sum(h^2), and the expected sum of the squared residuals is
    v sum(h^2 ((1 - h)^2 + sum of the other h^2)); for C equal shares, the quotient of the two is C / (C - 1). The
    number of entries is the effective one of Kish, 1 / sum(h^2).
    """
    size = sizes.sum(axis=0)
    shares = sizes / np.where(size > 0, size, 1.0)
    mean = totals.sum(axis=0) / np.where(size > 0, size, 1.0)
    residuals = totals / np.where(size > 0, size, 1.0) - mean * shares
    largest = np.frexp(np.abs(residuals).max(axis=0))[1]
    residuals = np.ldexp(residuals, -largest)  # exact, so that squares of tiny ones do not underflow
    squares = shares**2
    sum_of_squares = squares.sum(axis=0)
    others = np.maximum(sum_of_squares - squares, 0.0)  # rounding can make it slightly negative
    expected = (squares * ((1.0 - shares) ** 2 + others)).sum(axis=0)
    spread = (residuals**2).sum(axis=0)
    variance = sum_of_squares / expected * spread  # NaN for one entry
    n = np.maximum(1.0 / sum_of_squares, 2.0)
    third = (residuals**3).sum(axis=0) / np.where(spread > 0, spread, 1.0) ** 1.5
    factor = np.sqrt(n * (n - 1.0)) / np.maximum(n - 2.0, 1.0)  # as in the adjusted skewness G_1
    skew = np.where(n > 3.0 - 1e-9, np.clip(factor * third, -1.0, 1.0), 0.0)  # n = 3 may be rounded down
    return mean, np.ldexp(np.sqrt(variance), largest), n - 1.0, skew
