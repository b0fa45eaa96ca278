"""Results of lime's selections and fits, computed from one weighted, centred Gram matrix of the neighborhood.

lime fits a regression on all samples for every step of a selection; this module uses algebra on that matrix. A choice
is made only if the rounding of sums cannot change it, and is otherwise left to lime: for ties, collinear columns, and
fits that are already perfect.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from normlime_fast._checks import Array

Fit = tuple[Any, Any, Any, Any]  # intercept, weights, R^2, prediction for the instance

_EPS = float(np.finfo(np.float64).eps)
_LARGEST = 1 << 14  # columns of a Gram matrix, of 2 GiB; lime itself makes none
_ACCURATE = 1e-8  # relative to the largest weight: largest bound on rounding with which a fit is used
_TINY = 1e-280  # sums of squares below this lose digits
REFIT, OF_ALL = 1.0, 0.01  # lime's ridge penalties: of an explanation, and of "highest_weights"

_PATH_END = float(np.finfo(np.float32).eps)  # alpha / n at which scikit-learn's path ends
_PATH_KNOTS = 500  # maximum number of knots of that path
_PATH_TIE = 1e-9  # relative to the largest alpha: closer knots are not distinguished
_PATH_PIVOT = 1e-6  # fraction of a column's variance that the members must leave unexplained when it enters


class Moments(NamedTuple):
    """Weighted central moments of a neighborhood."""

    gram: Array  # (d, d) sum of p_i z_i z_i'
    c: Array  # (d,) sum of p_i z_i y_i
    yy: float  # sum of p_i y_i^2, not 0
    mean: Array  # (d,)
    y_mean: float
    scale: Array  # (d,) square roots of the diagonal of `gram`; 1 for constant columns
    varied: Array  # (d,) bool: columns that are not constant
    noise: float  # bound on the rounding of correlations, ours and lime's
    n: int


def moments_of(data: Any, labels: Any, weights: Any) -> Moments | None:
    """Return the moments; None if lime must fit.

    It must where data are not dense float64 or integers, have too many columns, or leave nothing to fit.
    """
    labels, weights = np.asarray(labels), np.asarray(weights)
    if (
        type(data) is not np.ndarray
        or data.ndim != 2
        or data.shape[1] > _LARGEST
        or not (data.dtype == np.float64 or data.dtype.kind in "biu")
        or labels.dtype.kind not in "biuf"
        or weights.dtype != np.float64
        or not labels.shape == weights.shape == data.shape[:1]
        or not weights.size
    ):
        return None
    labels, data = labels.astype(np.float64, copy=False), data.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):  # lime raises errors for negative weights and values that are not finite
        n, total, roots = len(data), weights.sum(), np.sqrt(weights)
        mean, y_mean = weights @ data / total, float(weights @ labels / total)
        y, Z = (labels - y_mean) * roots, data - mean
        Z *= roots[:, None]
        gram, c, yy = Z.T @ Z, y @ Z, float(y @ y)
        if not (np.isfinite(gram).all() and total * (n * _EPS * y_mean) ** 2 < yy < np.inf):
            return None
    if min(total, yy, np.min(gram.diagonal(), initial=1.0, where=gram.diagonal() > 0.0)) < _TINY:
        return None
    deviation = np.sqrt(gram.diagonal() / total)
    varied = deviation > n * _EPS * np.abs(mean)
    gram[~varied], gram[:, ~varied], c[~varied] = 0.0, 0.0, 0.0
    far = max(np.max(np.abs(mean[varied]) / deviation[varied], initial=0.0), abs(y_mean) / np.sqrt(yy / total))
    # rounding of sums of n terms, of centred values, and squared rounding of the mean; ours and lime's, twice each
    noise = 4.0 * (_EPS * (n + far) + (n * _EPS * far) ** 2)
    scale = np.where(varied, np.sqrt(gram.diagonal()), 1.0)
    return Moments(gram, c, yy, mean, y_mean, scale, varied, noise, n)


def _sweep(T: Array, k: int, leaves: bool = False) -> None:
    """Gauss-Jordan step on feature k in place; with `leaves`, its inverse.

    For members A and other features N, the result is T_AA = -inverse of G_AA, T_NA = G_NA times that inverse, and
    T_NN = the Schur complement of G_AA.
    """
    pivot, column = T[k, k], T[k].copy()
    T -= np.outer(column, column / pivot)
    T[k] = T[:, k] = column / (-pivot if leaves else pivot)
    T[k, k] = -1.0 / pivot


def forward_selection(moments: Moments, count: int, contest: Callable[[list[int], Array], int]) -> Array:
    """Select features greedily by their gain in R^2; `contest(used, contenders)` decides between close ones."""
    scale, noise = moments.scale, moments.noise
    S = moments.gram / np.outer(scale, scale)
    c = moments.c / (scale * np.sqrt(moments.yy))
    free, used, rest = np.ones(len(c), bool), list[int](), 1.0
    while len(used) < min(count, len(c)):
        share = S.diagonal()  # fraction of every column's variance not explained by the features used
        clear = free & (share > 8.0 * noise)
        gain, doubt = np.zeros(len(c)), np.where(free & moments.varied, rest, 0.0)
        gain[clear] = c[clear] ** 2 / share[clear]
        # first-order change of c^2 / share if c and share change by `noise`, times 1.5
        doubt[clear] = 1.5 * (2.0 * np.abs(c[clear]) + gain[clear] + noise) * noise / share[clear]
        doubt += noise
        contenders = np.flatnonzero(free & (gain + doubt >= np.max((gain - doubt)[free])))
        best = int(contenders[0]) if len(contenders) == 1 else contest(used, contenders)
        used.append(best)
        free[best] = False
        if not clear[best]:
            noise = np.inf  # all later choices are uncertain
            continue
        noise *= (1.0 + np.max(np.abs(S[best, free]), initial=0.0) / share[best]) ** 2
        rest -= gain[best] - doubt[best]
        c -= S[best] * (c[best] / share[best])
        _sweep(S, best)
    return np.array(used)


def ridge(moments: Moments, columns: Array, alpha: float) -> tuple[Array, Array] | None:
    """Weights of a ridge regression and bounds on their rounding errors; None if the bounds are too wide."""
    scale = moments.scale[columns]
    S = moments.gram[np.ix_(columns, columns)] / np.outer(scale, scale)
    S[np.diag_indices_from(S)] += alpha / scale**2
    try:
        inverse = np.linalg.inv(S)
    except np.linalg.LinAlgError:
        return None
    w = inverse @ (moments.c[columns] / scale)
    bound = np.abs(inverse).sum(axis=0).max() * moments.noise * (np.sqrt(moments.yy) + np.abs(w).sum())
    coefficients, bounds = w / scale, bound / scale
    if not bounds.max() <= _ACCURATE * np.abs(coefficients).max():
        return None
    return coefficients, bounds


def descending(values: Array, bounds: Array, count: int) -> Array | None:
    """Positions of the `count` largest |values| in descending order; None if the bounds do not decide it."""
    sizes = np.abs(values)
    order = np.argsort(-sizes, kind="stable")[: count + 1]
    if np.any(sizes[order[:-1]] - bounds[order[:-1]] <= sizes[order[1:]] + bounds[order[1:]]):
        return None
    return order[:count]


def refit(moments: Moments, used: Array, instance: Array) -> Fit | None:
    """Fit the surrogate on the features used; None if rounding could change the order of its weights."""
    fitted = ridge(moments, used, REFIT)
    if fitted is None or descending(*fitted, len(used)) is None:
        return None
    weights, mean = fitted[0], moments.mean[used]
    explained = 2.0 * weights @ moments.c[used] - weights @ moments.gram[np.ix_(used, used)] @ weights
    local = moments.y_mean + (instance[used] - mean) @ weights
    return moments.y_mean - mean @ weights, weights, float(explained / moments.yy), np.array([local])


def _ahead(distance: Array, closing: Array) -> Array:
    """Distances over closing speeds; infinite unless both are positive."""
    ahead = (distance > 0.0) & (closing > 0.0)
    return np.where(ahead, distance / np.where(ahead, closing, 1.0), np.inf)


def _next_knot(turn: Array, rho: Array, w: Array, alpha: float, members: Array) -> tuple[float, int]:
    """Return the decrease of alpha until a feature enters or leaves, and the feature; -1 if alpha reaches 0 first."""
    enters = np.minimum(_ahead(alpha - rho, 1.0 - turn), _ahead(alpha + rho, 1.0 + turn))
    steps = np.where(members, _ahead(np.abs(w), np.sign(w) * turn), enters)
    j = int(np.argmin(steps))
    return (float(steps[j]), j) if steps[j] < alpha else (alpha, -1)


def lasso_path(moments: Moments, count: int) -> Array | None:
    """Members of the last segment of the LASSO path with at most `count`; None if knots are too close to distinguish.

    Features enter and leave, so that segment need not be the first with `count`: the path is followed to its end.
    """
    G, rho, end = moments.gram, moments.c.copy(), _PATH_END * moments.n
    T, w, signs = G.copy(), np.zeros(len(rho)), np.zeros(len(rho))
    j = int(np.argmax(np.abs(rho)))
    alpha = largest = float(np.abs(rho[j]))
    guard, chosen, knots = _PATH_TIE * largest, None, 0
    while j >= 0 and alpha > end and knots < _PATH_KNOTS:
        leaves = bool(signs[j])
        if not (leaves or T[j, j] > _PATH_PIVOT * G[j, j]):
            return None
        signs[j] = 0.0 if leaves else np.sign(rho[j])
        _sweep(T, j, leaves)
        members, turn = signs != 0.0, T @ signs  # decrease of members' weights and others' rho as alpha falls by 1
        step, j = _next_knot(turn, rho, w, alpha, members)
        leaves = j >= 0 and bool(members[j])
        if np.count_nonzero(members) - leaves <= count:
            chosen = None if leaves else np.flatnonzero(members)  # scikit-learn may leave it a tiny weight
        alpha, knots = alpha - step, knots + 1
        w[members] -= step * turn[members]
        rho = np.where(members, alpha * signs, rho - step * turn)
        apart = np.where(members, np.abs(w) * moments.scale**2, alpha - np.abs(rho) if alpha > end else np.inf)
        if j >= 0:
            apart[j], w[j] = np.inf, 0.0
        if apart[moments.varied].min() <= guard or (j >= 0 and abs(alpha - end) <= guard):
            return None
    # rounding along the whole path; and of columns without a weight, with which scikit-learn might continue
    drift = np.max(np.abs(moments.c - G @ w - rho))
    if not drift <= 0.1 * guard or (moments.noise * largest >= end and not signs.all()):
        return None
    return chosen
