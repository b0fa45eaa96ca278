"""Fit sparse linear surrogates to features and outputs of samples."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import (
    Array,
    as_count,
    as_flag,
    as_nonnegative,
    as_numbers,
    ignoring_float_errors,
    short_repr,
)
from normlime_fast._kernels import surrogate
from normlime_fast._messages import Message
from normlime_fast._status import SKIPPED, Status

GRAM_BYTES = 1 << 27  # of the Gram matrix of a fit, if Z is not larger: all columns of it up to d = 4096

LARGEST_GRAM_BYTES = 1 << 31  # of a fit of more features than there are samples, which cannot tell them apart

# Ways to select features, with the ridge (lime's) of the regression whose largest weights are taken; NaN for the path.
SELECTIONS = {"lasso_path": math.nan, "highest_weights": 0.01}


def warn_of(status: Array, stacklevel: int) -> None:
    """Warn once, with the count of each status that stands for empty or approximate fits."""
    warn_of_counts(np.bincount(status), stacklevel + 1)


def warn_of_counts(counts: Array, stacklevel: int, causes: Mapping[Status, str | None] | None = None) -> None:
    """Warn once with the `counts` of statuses: of empty and approximate fits, or of those in `causes`."""
    fitted = dict.fromkeys(status for status in Status if status.warned and status not in SKIPPED)
    texts = [
        Message(f"{counts[status]} ", status.text, f" (status {status})", f", first with {cause}" if cause else "")
        for status, cause in (fitted if causes is None else causes).items()
        if status < len(counts) and counts[status]
    ]
    if texts:
        message = Message(f"of {counts.sum()} explanations, ", Message.joined("; ", texts))
        warnings.warn(message, stacklevel=stacklevel + 1)


@dataclass(frozen=True, eq=False)
class Fits:
    """Fits of sparse linear surrogates, as the kernel returns them."""

    features: Array  # (fits, K) int64: the first `count` of each row are used, and ascend
    coefficients: Array  # (fits, 3, K): surrogate.WEIGHT, CONTRIBUTION and ERROR
    summaries: Array  # (fits,) of surrogate.SUMMARY

    @classmethod
    def empty(cls, count: int, n_features: int) -> "Fits":
        """Return room for `count` fits."""
        coefficients = np.zeros((count, 3, n_features))
        return cls(np.zeros((count, n_features), np.int64), coefficients, np.zeros(count, surrogate.SUMMARY))

    def __getitem__(self, rows: slice) -> "Fits":
        return Fits(self.features[rows], self.coefficients[rows], self.summaries[rows])

    def used(self) -> Array:
        """Return which entries of features and coefficients are used, (fits, K) bool."""
        used: Array = np.arange(self.features.shape[1]) < self.summaries["count"][:, None]
        return used


def as_selection(selection: object) -> str:
    """Return `selection`, a key of SELECTIONS."""
    if not isinstance(selection, str) or selection not in SELECTIONS:
        raise ValueError(f'selection must be "lasso_path" or "highest_weights", got {short_repr(selection)}')
    return str(selection)


def fit_samples(
    Z: Array,
    Y: Array,
    starts: Array,
    weights: Array,
    fits: Fits,
    *,
    n_features: int,
    ridge: float,
    tol: float,
    selection: str = "lasso_path",
    standardize: bool = True,
    least_effective: float = 0.0,
) -> None:
    """Fit every output of Y (outputs, n; overwritten); rows starts[k] to starts[k + 1] use the samples Z[k] (n, d).

    `weights` (m, n), or (1, n) for all sets, are at most 1; `ridge` is scikit-learn's `alpha` with these weights; the
    arrays of `fits` may be wider than n_features. Sets whose effective sample size is below `least_effective` get no
    fit.
    """
    options = ridge, tol, SELECTIONS[selection], standardize, float(least_effective), _room(*Z.shape[1:])
    out = fits.features, fits.coefficients, fits.summaries
    surrogate.fit(Z, Y, starts, weights, n_features, *options, *out)


def _room(n: int, d: int) -> int:
    """Return how many columns of the Gram matrix are kept at a time: with their sums, they take about as much as Z."""
    return int(min(d, max(GRAM_BYTES // (8 * max(d, 1)), n // 4)))


@dataclass(frozen=True, eq=False)
class Surrogates:
    """Sparse linear surrogates of t targets, from `fit_surrogates`.

    Attributes
    ----------
    coef : ndarray of shape (t, d)
        Refitted weights: change of the output per unit of each feature; exactly 0 for features not selected.
    intercept : ndarray of shape (t,)
        Value of the surrogate at the point where all features are 0.
    r2 : ndarray of shape (t,)
        Weighted in-sample R^2 of the refit; 0 for an empty surrogate.
    alpha : ndarray of shape (t,)
        The L1 penalty at which the features were selected; 0 without a path.
    status : ndarray of shape (t,)
        Outcome of each fit, 0 to 5; see `Status`. With 1, the path ended at a millionth of its first alpha.
    """

    coef: Array
    intercept: Array
    r2: Array
    alpha: Array
    status: Array


@ignoring_float_errors
def fit_surrogates(
    Z: ArrayLike,
    Y: ArrayLike,
    *,
    n_features: int | None,
    sample_weight: ArrayLike | None = None,
    ridge: float = 0.0,
    tol: float = 1e-4,
    selection: str = "lasso_path",
    standardize: bool = True,
) -> Surrogates:
    """Fit K-LASSO surrogates to your own samples: select by the LASSO path, refit by least squares (Eq. 1).

    By default, the selected features are the support of the minimizer of
    ``1/2 sum_i p_i (y_i - z_i w)^2 + alpha sum_j s_j |w_j|`` at the largest alpha at which it has `n_features`
    features, with normalised weights p, Z and Y centred, and s_j the weighted standard deviation of column j. All
    targets share the Gram matrix of Z.

    Parameters
    ----------
    Z : array_like of shape (n, d)
        Interpretable features of n samples.
    Y : array_like of shape (n,) or (n, t)
        The model's outputs for these samples, one column per target.
    n_features : int or None
        Largest number of features in a surrogate (K); None, or more than d, means all. At most n if a matrix (K, d)
        of float64 takes more than 2 GiB.
    sample_weight : array_like of shape (n,), optional
        Proximity weights, at least 0; by default all equal.
    ridge : float, default 0.0
        L2 penalty of the refit, as `alpha` of scikit-learn's ``Ridge`` with these sample weights (lime uses 1).
    tol : float, default 1e-4
        Coordinate descent first stops at a duality gap of ``tol * 1/2 sum_i p_i y_i^2``. The problem on its support is
        then solved exactly, and descent continues if that is not yet the minimum.
    selection : {"lasso_path", "highest_weights"}, default "lasso_path"
        How features are selected. "highest_weights" takes the largest absolute weights of a ridge regression (``alpha``
        0.01) on all features, as lime does. lime first multiplies these weights by the instance's own values, which
        are 1 for indicators; this function does not, which differs from lime for continuous features.
    standardize : bool, default True
        Select features as if all columns of Z had a standard deviation of 1: then a column counts by what it explains,
        in any unit, and however rare an indicator is. If False, all s_j above are 1, as in lime. In both cases the
        refit, its `ridge` and `coef` are those of Z as it is, and columns without variance are never selected.

    Returns
    -------
    Surrogates

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or holds NaN or infinite values.

    Warns
    -----
    UserWarning
        Once, if surrogates are empty or approximate; `status` says which.

    References
    ----------
    Ribeiro, Singh and Guestrin, "Why should I trust you?", KDD 2016 (K-LASSO).

    Examples
    --------
    >>> import numpy as np
    >>> import normlime_fast as nlf
    >>> Z = np.random.default_rng(0).normal(size=(200, 5))
    >>> fitted = nlf.fit_surrogates(Z, 3 * Z[:, 1] - 2 * Z[:, 4] + 0.1 * Z[:, 0], n_features=2)
    >>> fitted.coef.round(1)
    array([[ 0.,  3.,  0.,  0., -2.]])
    """
    samples = as_numbers(Z, "Z", ndim=(2,)).astype(np.float64, order="C")
    outputs = as_numbers(Y, "Y", ndim=(1, 2))
    n, d = samples.shape
    if outputs.shape[0] != n:
        raise ValueError(f"Y must have one row per row of Z, {n}, got shape {outputs.shape}")
    K = d if n_features is None else as_count(n_features, "n_features")
    if min(K, d) > n and 8 * d * min(K, d) > LARGEST_GRAM_BYTES:
        got = "None, which is all" if n_features is None else K
        raise ValueError(f"n_features must be at most the number of rows of Z, {n}, for {d} columns, got {got}")
    ridge, tol = as_nonnegative(ridge, "ridge"), as_nonnegative(tol, "tol")
    ridge_of_all, standardize = SELECTIONS[as_selection(selection)], as_flag(standardize, "standardize")
    weights, largest = _normalised(sample_weight, n)
    if largest > 0:  # a sample of weight 0 must not set the scale of the others
        samples, outputs, weights = samples[weights > 0], outputs[weights > 0], weights[weights > 0]
    centred, center, size, spread = _centred(samples, weights)
    penalties = np.array([ridge, ridge_of_all]) / (largest or 1.0)
    depends_on_scale = np.array([True, not standardize])
    penalties = np.ldexp(penalties, np.where(depends_on_scale, -2 * (size + spread), 0))
    ridge, ridge_of_all = np.minimum(penalties, [np.inf, 1e100]).tolist()  # infinite penalties make all weights 0
    Y_by_target = np.array(outputs.reshape(len(samples), -1).T, np.float64, order="C")
    starts, K = np.array([0, len(Y_by_target)]), min(K, d)
    fits = Fits.empty(len(Y_by_target), K)
    out = fits.features, fits.coefficients, fits.summaries
    options = ridge, tol, ridge_of_all, standardize, 0.0, _room(*centred.shape)
    surrogate.fit(centred[None], Y_by_target, starts, weights[None], K, *options, *out)
    summary, used = fits.summaries, fits.used()
    coef = np.zeros((len(summary), d))
    coef[np.nonzero(used)[0], fits.features[used]] = fits.coefficients[:, surrogate.WEIGHT][used]
    coef = np.ldexp(coef, -spread)
    intercept = summary["intercept"] - coef @ center
    coef, alpha = np.ldexp(coef, -size), np.ldexp(summary["alpha"], 0 if standardize else size + spread)
    fits_float64 = np.isfinite(coef).all(axis=1) & np.isfinite(intercept)
    status = np.where(fits_float64, summary["status"], Status.OVERFLOW)
    warn_of(status, stacklevel=3)  # one level for the decorator
    return Surrogates(
        coef=np.where(fits_float64[:, None], coef, 0.0),
        intercept=np.where(fits_float64, intercept, summary["intercept"]),
        r2=np.where(fits_float64, summary["r2"], 0.0),
        alpha=alpha,
        status=status,
    )


def _centred(samples: Array, weights: Array) -> tuple[Array, Array, int, int]:
    """Scale Z near 1 by a power of 2, so that its mean cannot overflow, centre it and scale it again, without rounding.

    Returns 2^-spread (2^-size Z - center), center, size and spread.
    """
    size = int(np.frexp(np.abs(samples).max())[1])
    samples = np.ldexp(samples, -size)
    center = weights @ samples / weights.sum() if weights.any() else samples[0]
    centred = np.zeros_like(samples)
    varied = (samples != samples[:1]).any(axis=0)  # the mean of equal values may be off by a rounding
    np.subtract(samples, center, out=centred, where=varied)
    spread = int(np.frexp(np.abs(centred).max())[1])
    return np.ldexp(centred, -spread), center, size, spread


def _normalised(sample_weight: ArrayLike | None, n: int) -> tuple[Array, float]:
    """Return weights of at most 1, and their divisor."""
    if sample_weight is None:
        return np.ones(n), 1.0
    weights = as_numbers(sample_weight, "sample_weight", ndim=(1,)).astype(np.float64)
    if weights.shape != (n,):
        raise ValueError(f"sample_weight must have one entry per row of Z, shape ({n},), got shape {weights.shape}")
    if (weights < 0).any():
        raise ValueError(f"sample_weight must be at least 0, got {weights.min()}")
    largest = weights.max()
    if largest == 0:
        return weights, 0.0
    return weights / largest, float(largest)  # so that their sum neither overflows nor underflows
