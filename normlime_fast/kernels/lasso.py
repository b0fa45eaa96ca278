"""K-LASSO from weighted moments: coordinate descent along the path, top-K, refit.

For centred features z, centred outputs y and weights p that sum to 1 (Eq. 1 and 2 of the paper), with

    G = sum_i p_i z_i z_i'     c = sum_i p_i z_i y_i     rho = c - G w     yy = sum_i p_i y_i^2

minimise  1/2 w'G w - c'w + 1/2 yy + alpha ||w||_1.  At the minimum rho_j = alpha * sign(w_j) where w_j != 0 and
|rho_j| <= alpha elsewhere. Between two knots of the path, where a feature enters or leaves, w is linear in alpha.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from normlime_fast.kernels.jit import kernel
from normlime_fast.kernels.moments import KNOWN, UNKNOWN, WANTED, Gram, fetch, moments, prefetch

Array = NDArray[Any]

# What `status` says of a fit; the stage that calls turns the codes into words.
OK = 0
FEWER_FEATURES = 1  # the path ended, at NEGLIGIBLE, before it had K features
CONSTANT_OUTPUT = 2
NO_WEIGHT = 3
NOT_CONVERGED = 4
OVERFLOW = 5
MISSING = -1  # never seen outside: columns of the Gram matrix are wanted before the path can go on

NEGLIGIBLE = 1e-6  # alpha / alpha_max at which the path ends, and share of the output's deviation that a weight must
# explain to be one: far above the rounding of sums (1e-13) and of a float32 model, far below the noise of any sample
ROUNDING = 1e-13  # of alpha_max: what the sums behind rho may be off by, so no feature enters for less
COLLINEAR = 1e-11  # of a column's variance: what is left of it beside the selected ones before it counts as none
BELOW = 1e-8  # of alpha: how far below a knot it is passed; knots closer than that are one jump of the support
TIE = 1e-6  # weights this close (relative) just below a jump are equal: rounding (1e-16) over BELOW, and some
PARALLEL = 1e-10  # a feature whose correlation falls with alpha up to this keeps its distance: it never enters
EQUAL = 2.0**-50  # relative: outputs that differ by the rounding of a model's last sum are equal
SMALLEST = 2.0**-1022  # and so are those that differ by a subnormal number, whose weights would underflow
MAX_SWEEPS = 1000
MAX_STEPS = 10  # knots of the path for every feature asked for: features leave it, too, but not for ever


# What is known of one fit beside its weights; the output was divided by its `spread`.
SUMMARY = np.dtype(
    {
        "names": ["count", "status", "intercept", "r2", "alpha", "spread"],
        "formats": ["i8", "i8", "f8", "f8", "f8", "f8"],
    }
)


class Path(NamedTuple):
    """One target's place on its LASSO path."""

    c: Array  # (d,)
    w: Array  # (d,)
    rho: Array  # (d,) c - G w
    active: Array  # (d,) int64 scratch: the working set
    spare: Array  # (d,) bool: collinear with features of lower index in the support, which serve for it


@kernel
def _working_set(gram: Gram, path: Path, alpha: float, guard: float) -> int:
    """List the features that have a weight or want one at `alpha`; MISSING if their Gram columns are."""
    count = 0
    missing = False
    for j in range(path.w.size):
        if path.w[j] != 0.0 or (abs(path.rho[j]) > alpha + guard and not path.spare[j]):
            path.active[count] = j
            count += 1
            if gram.state[j] != KNOWN:
                gram.state[j] = WANTED
                missing = True
    return MISSING if missing else count


@kernel
def _gap(path: Path, active: Array, yy: float, alpha: float) -> float:
    """Duality gap of the LASSO at w, with the residual scaled into the dual's feasible set as the dual point."""
    wc = 0.0
    wrho = 0.0
    norm = 0.0
    for j in active:
        wc += path.w[j] * path.c[j]
        wrho += path.w[j] * path.rho[j]
        norm += abs(path.w[j])
    residual = max(yy - wc - wrho, 0.0)  # r'r, where r = y - Zw
    steepest: float = np.abs(path.rho).max()
    shrink = alpha / max(steepest, alpha)
    return 0.5 * residual + alpha * norm - (shrink * (yy - wc) - 0.5 * shrink * shrink * residual)


@kernel
def start(c: Array) -> Path:
    """The beginning of the path, where w = 0."""
    return Path(c, np.zeros(c.size), c.copy(), np.empty(c.size, np.int64), np.zeros(c.size, np.bool_))


@kernel(fastmath={"contract"})  # multiply-adds, which keep NaN and infinity
def _move(path: Path, column: Array, j: int, weight: float) -> None:
    """Set w_j and carry rho along."""
    delta = weight - path.w[j]
    path.w[j] = weight
    for i in range(column.size):
        path.rho[i] -= delta * column[i]


@kernel
def _descend(gram: Gram, path: Path, yy: float, alpha: float, tol: float, guard: float) -> int:
    """Cyclic coordinate descent from where the path is, until gap <= tol * yy / 2."""
    for _ in range(MAX_SWEEPS):
        count = _working_set(gram, path, alpha, guard)
        if count == MISSING:
            return MISSING
        for j in path.active[:count]:
            variance = gram.values[j, j]
            if variance <= COLLINEAR * (variance + gram.mean[j] * gram.mean[j]):
                continue
            pull = path.rho[j] + variance * path.w[j]
            weight = 0.0
            if pull > alpha + guard:
                weight = (pull - alpha) / variance
            elif pull < -alpha - guard:
                weight = (pull + alpha) / variance
            change = abs(weight - path.w[j]) * variance
            if change > guard or (change > 0.0 and weight == 0.0):
                _move(path, gram.values[j], j, weight)
        if _gap(path, path.active[:count], yy, alpha) <= tol * 0.5 * yy:
            return OK
    return NOT_CONVERGED


# Sums in any order: what comes in is finite, and so are the flags' results.
@kernel(fastmath={"contract", "reassoc", "nsz"})
def _solve(gram: Gram, support: Array, target: Array, ridge: float) -> Array:
    """Solve (G + ridge I) x = target[support] on `support` by Cholesky; of collinear columns the later get 0."""
    k = support.size
    L = np.zeros((k, k))
    x = np.zeros(k)
    for a in range(k):
        for b in range(a + 1):
            rest = gram.values[support[a], support[b]] + (ridge if a == b else 0.0)
            whole = rest
            for i in range(b):
                rest -= L[a, i] * L[b, i]
            if a > b:
                L[a, b] = rest / L[b, b] if L[b, b] > 0.0 else 0.0
            elif rest > COLLINEAR * whole:
                L[a, a] = np.sqrt(rest)
        rest = target[support[a]]
        for i in range(a):
            rest -= L[a, i] * x[i]
        x[a] = rest / L[a, a] if L[a, a] > 0.0 else 0.0
    for a in range(k - 1, -1, -1):
        for i in range(a + 1, k):
            x[a] -= L[i, a] * x[i]
        x[a] = x[a] / L[a, a] if L[a, a] > 0.0 else 0.0
    return x


@kernel(fastmath={"contract"})  # multiply-adds, which keep NaN and infinity
def _subtract_columns(rho: Array, gram: Gram, support: Array, weights: Array) -> None:
    """rho -= G w, with w on `support`."""
    for k in range(support.size):
        column = gram.values[support[k]]
        for j in range(rho.size):
            rho[j] -= weights[k] * column[j]


@kernel
def _polish(gram: Gram, path: Path, alpha: float, guard: float) -> bool:
    """Replace w by the exact minimum with the same signs; False if that is not the minimum of all.

    Then w stays, but for weights of collinear columns: those of the spare ones are dropped.

    Coordinate descent finds the support soon and the last digits late; K-LASSO needs the support to be right.
    """
    support = np.flatnonzero(path.w)
    weights = _solve(gram, support, path.c - alpha * np.sign(path.w), 0.0)
    rho = path.c.copy()
    _subtract_columns(rho, gram, support, weights)
    same_signs = True
    for k in range(support.size):
        j = support[k]
        path.spare[j] = weights[k] == 0.0
        if path.spare[j]:
            _move(path, gram.values[j], j, 0.0)
        same_signs &= weights[k] * path.w[j] > 0.0
    if not same_signs:
        return False
    for j in range(rho.size):
        if path.w[j] == 0.0 and abs(rho[j]) > alpha + guard:
            return False
    for k in range(support.size):
        path.w[support[k]] = weights[k]
    for j in range(rho.size):
        path.rho[j] = rho[j]
    return True


@kernel
def lasso(gram: Gram, path: Path, yy: float, alpha: float, tol: float) -> int:
    """Move `path` to its minimum at `alpha`: descend to the gap, then polish; if that fails, descend further."""
    guard = ROUNDING * np.abs(path.c).max()
    path.spare[:] = False
    tol = max(tol, 1e-14)
    while tol > 1e-17:
        status = _descend(gram, path, yy, alpha, tol, guard)
        if status == MISSING:
            return MISSING
        if _polish(gram, path, alpha, guard):
            return OK
        if status == NOT_CONVERGED:
            return NOT_CONVERGED
        tol *= 0.01
    return NOT_CONVERGED


@kernel
def _advance(gram: Gram, path: Path, alpha: float, end: float) -> float:
    """Follow the path, on which w and rho are linear in alpha, to just below its next knot; that alpha."""
    support = np.flatnonzero(path.w)
    gain = _solve(gram, support, np.sign(path.w), 0.0)  # of w as alpha falls by 1, and what rho loses meanwhile
    loss = np.zeros(path.w.size)
    _subtract_columns(loss, gram, support, -gain)
    step = alpha - end
    for j in range(path.w.size):
        if path.w[j] == 0.0:
            for side in (-1.0, 1.0):  # a feature enters where side * rho_j and alpha meet
                closing = 1.0 - side * loss[j]
                if closing > PARALLEL:
                    step = min(step, (alpha - side * path.rho[j]) / closing)
    for k in range(support.size):
        if gain[k] * path.w[support[k]] < 0.0:  # one leaves where its weight is 0
            step = min(step, -path.w[support[k]] / gain[k])
    step = min(max(step, 0.0) + BELOW * alpha, alpha - end)
    for k in range(support.size):
        path.w[support[k]] += step * gain[k]
    for j in range(path.w.size):
        path.rho[j] -= step * loss[j]
    return alpha - step


@kernel
def _keep_largest(w: Array, count: int) -> None:
    """Keep the `count` largest |w_j|; of equal ones the first."""
    for _ in range(np.flatnonzero(w).size - count):
        smallest = np.int64(-1)
        for j in np.flatnonzero(w):
            if smallest < 0 or abs(w[j]) <= abs(w[smallest]) * (1.0 + TIE):
                smallest = j
        w[smallest] = 0.0


@kernel
def select(gram: Gram, path: Path, yy: float, n_features: int, tol: float) -> tuple[float, int]:
    """K-LASSO: walk the path down, knot by knot, to the largest alpha with `n_features` members; (alpha, status).

    The selected features are those that keep a weight in path.w. Where the support jumps past K, they are the K
    largest just below the jump; where all are asked for, there is no path.
    MISSING: fetch the columns that are WANTED and call again from the `start`.
    """
    if n_features >= path.w.size:
        path.w[:] = 1.0
        return 0.0, OK
    alpha_max = np.abs(path.c).max()
    end = NEGLIGIBLE * alpha_max
    if alpha_max * alpha_max <= ROUNDING * ROUNDING * yy:
        return alpha_max, FEWER_FEATURES
    alpha, status = alpha_max, OK
    for _ in range(MAX_STEPS * (n_features + 10)):
        alpha = _advance(gram, path, alpha, end) if status == OK else max(0.95 * alpha, end)
        status = lasso(gram, path, yy, alpha, tol)
        if status == MISSING:
            return alpha, MISSING
        size = np.flatnonzero(path.w).size
        if size >= n_features:
            _keep_largest(path.w, n_features)
            return alpha, status
        if alpha <= end:
            return alpha, FEWER_FEATURES if status == OK else status
    return alpha, NOT_CONVERGED


@kernel
def _scale_output(y: Array, weights: Array, summary: Any) -> None:
    """Turn y into (y - mean) / spread in place, of which the largest is near 1."""
    summary.status = NO_WEIGHT
    first = size = spread = mean = 0.0
    for i in range(y.size):
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
        y[:] = 0.0  # so that it asks for no column of the Gram matrix
        return
    spread = math.ldexp(1.0, math.frexp(spread)[1] - 1)  # a power of 2, which changes no digit
    for i in range(y.size):
        y[i] = (y[i] - first) / spread if weights[i] > 0.0 else 0.0
        mean += weights[i] * y[i]
    for i in range(y.size):
        y[i] -= mean
    summary.intercept += spread * mean
    summary.spread = spread


@kernel
def _refit(gram: Gram, path: Path, ridge: float, yy: float, out: Any) -> None:
    """Least squares on the selected features alone, with a ridge, into `out`: features, weights and summary."""
    features, weights, summary = out
    support = np.flatnonzero(path.w)
    fitted = _solve(gram, support, path.c, ridge)
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


@kernel
def _fit_target(gram: Gram, c: Array, y: Array, n_features: int, ridge: float, tol: float, out: Any) -> None:
    """Fit one target, whose scaled outputs are y, from c; `out` is its (features, weights, summary)."""
    summary = out[2]
    yy = 0.0
    for i in range(y.size):
        yy += gram.weights[i] * y[i] * y[i]
    summary.status = MISSING
    while summary.status == MISSING:
        path = start(c)
        alpha, summary.status = select(gram, path, yy, n_features, tol)
        if summary.status == MISSING:
            fetch(gram, np.flatnonzero(gram.state == WANTED))
    summary.alpha = alpha * summary.spread
    _refit(gram, path, ridge, yy, out)


@kernel
def fit(
    Z: Array,
    Y: Array,
    weights: Array,
    n_features: int,
    ridge: float,
    tol: float,
    features: Array,
    coefficients: Array,
    summaries: Array,
) -> None:
    """Fit sparse linear surrogates to every target of m instances; an instance's targets share its Gram matrix.

    Z (m, n, d), Y (m, t, n; overwritten), weights (n,) that sum to 1. Into features and coefficients (m, t, K) go the
    selected features, ascending, and their refitted weights: the first `count` of each; into summaries (m, t) the rest.
    """
    m, _, d = Z.shape
    values = np.empty((d, d))
    for row in range(m):
        any_output = False
        for k in range(Y.shape[1]):
            _scale_output(Y[row, k], weights, summaries[row, k])
            any_output |= summaries[row, k].status == OK
        if not any_output:
            continue
        sums = moments(Z[row], Y[row], weights)
        gram = Gram(values, np.full(d, UNKNOWN), Z[row], weights, sums[0])
        prefetch(gram, sums[1 : Y.shape[1] + 1], n_features)
        for k in range(Y.shape[1]):
            if summaries[row, k].status == OK:
                out = features[row, k], coefficients[row, k], summaries[row, k]
                _fit_target(gram, sums[k + 1], Y[row, k], n_features, ridge, tol, out)
