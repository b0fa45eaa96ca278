"""K-LASSO from weighted moments: coordinate descent at a point of the path, and path following to K features.

For centred features z, centred outputs y and weights p divided by their sum (Eq. 1 and 2 of the paper), with z scaled
to unit variance or left as it is,

    G = sum_i p_i z_i z_i'     c = sum_i p_i z_i y_i     rho = c - G w     yy = sum_i p_i y_i^2

minimise  1/2 w'G w - c'w + 1/2 yy + alpha ||w||_1.  At the minimum rho_j = alpha * sign(w_j) where w_j != 0 and
|rho_j| <= alpha elsewhere. Between two knots of the path, where a feature enters or leaves, w is linear in alpha.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.bits import bits64, float64
from normlime_fast._kernels.cholesky import append_row, factor, substitute
from normlime_fast._kernels.codes import FEWER_FEATURES, NOT_CONVERGED, OK
from normlime_fast._kernels.jit import kernel
from normlime_fast._kernels.moments import COLLINEAR, WANTED, Gram, nth_largest, want

Array = NDArray[Any]

MISSING = -1  # internal, besides the codes: columns of the Gram matrix are needed before the path can continue

NEGLIGIBLE = 1e-6  # alpha / alpha_max at which the path ends, and fraction of the output's deviation that a weight must
# explain to be kept: far above the rounding of sums (1e-13) and of a float32 model, far below the noise of any sample
ROUNDING = 1e-13  # relative to alpha_max: bound on the error of the sums in rho; no feature enters for less
BELOW = 1e-8  # relative to alpha: step below a knot; knots closer than this count as one jump of the support
TIE = 1e-6  # weights this close (relative) just below a jump are equal: rounding (1e-16) over BELOW, with a margin
UNSURE = 1e-4  # fraction of a column's variance not explained by the members, above which it enters without a check
PARALLEL = 1e-10  # a feature whose correlation falls as fast as alpha, up to this, never enters
SMALLEST = 2.0**-1022  # smallest normal number; a weight of this size carries only a sign
MAX_SWEEPS = 1000
MAX_STEPS = 10  # knots of the path per requested feature, since features also leave


class Path(NamedTuple):
    """The current point of one target on its LASSO path."""

    c: Array  # (d,)
    w: Array  # (d,)
    rho: Array  # (d,) c - G w
    active: Array  # (d,) int64 scratch: the working set
    spare: Array  # (d,) bool: collinear with features of lower index in the support, which replace it, or equal to one


@kernel
def _largest(x: Array) -> float:
    """The largest |x_j|; this loop compiles in a fraction of the time of numpy's functions."""
    largest = 0.0
    for j in range(x.size):
        largest = max(largest, abs(x[j]))
    return largest


@kernel
def support_of(w: Array) -> Array:
    """List the features with a weight."""
    members = np.empty(w.size, np.int64)
    count = 0
    for j in range(w.size):
        if w[j] != 0.0:
            members[count] = j
            count += 1
    return members[:count]


class Walk(NamedTuple):
    """The segment of a path between two of its knots."""

    members: Array  # (K,) int64: the support, in the order of the rows of L
    L: Array  # (K, K) Cholesky factor of the Gram matrix on the members
    gain: Array  # (K,) increase of their weights as alpha falls by 1
    loss: Array  # (d,) decrease of rho as alpha falls by 1
    steps: Array  # (d,) uint64 scratch: decrease of alpha until each enters or leaves, as bits, which sort alike


@kernel
def _repeats(gram: Gram, rho: Array, members: Array, j: int) -> bool:
    """Whether column j is the same as that of a member."""
    Z = gram.features
    for member in members:
        i = 0
        while rho[member] == rho[j] and i < Z.shape[0] and Z[i, member] == Z[i, j]:
            i += 1
        if i == Z.shape[0]:
            return True
    return False


@kernel(inline="always")
def _working_set(gram: Gram, path: Path, alpha: float, guard: float) -> int:
    """List the features with a weight, or that need one at `alpha`; MISSING if a Gram column is missing.

    Among features with equal columns, descent moves only the first, so that the others' Gram columns are not needed.
    """
    count = 0
    missing = False
    for j in range(path.w.size):
        if path.w[j] != 0.0 or (abs(path.rho[j]) > alpha + guard and not path.spare[j]):
            if gram.row[j] < 0:
                path.spare[j] = _repeats(gram, path.rho, path.active[:count], j)
                if path.spare[j]:
                    continue
                gram.row[j] = WANTED
                missing = True
            path.active[count] = j
            count += 1
    return MISSING if missing else count


@kernel(inline="always")
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
    shrink = alpha / max(_largest(path.rho), alpha)
    return 0.5 * residual + alpha * norm - (shrink * (yy - wc) - 0.5 * shrink * shrink * residual)


@kernel(inline="always")
def start(c: Array) -> Path:
    """Return the beginning of the path, where w = 0."""
    return Path(c, np.zeros(c.size), c.copy(), np.empty(c.size, np.int64), np.zeros(c.size, np.bool_))


@kernel(fastmath={"contract"})  # multiply-adds, which preserve NaN and infinity
def _move(path: Path, column: Array, j: int, weight: float) -> None:
    """Set w_j and update rho."""
    delta = weight - path.w[j]
    path.w[j] = weight
    for i in range(column.size):
        path.rho[i] -= delta * column[i]


@kernel(inline="always")
def _descend(gram: Gram, path: Path, yy: float, alpha: float, tol: float, guard: float) -> int:
    """Cyclic coordinate descent from the current point, until gap <= tol * yy / 2."""
    for _ in range(MAX_SWEEPS):
        count = _working_set(gram, path, alpha, guard)
        if count == MISSING:
            return MISSING
        for j in path.active[:count]:
            variance = gram.values[gram.row[j], j]
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
                _move(path, gram.values[gram.row[j]], j, weight)
        if _gap(path, path.active[:count], yy, alpha) <= tol * 0.5 * yy:
            return OK
    return NOT_CONVERGED


@kernel(fastmath={"contract"})  # multiply-adds, which preserve NaN and infinity
def _subtract_columns(rho: Array, gram: Gram, support: Array, weights: Array) -> None:
    """rho -= G w, with w on `support`; four columns at a time, to read and write rho less often."""
    d = rho.size
    whole = support.size // 4 * 4
    for k in range(0, whole, 4):
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        c0, c1 = gram.values[gram.row[support[k]]], gram.values[gram.row[support[k + 1]]]
        c2, c3 = gram.values[gram.row[support[k + 2]]], gram.values[gram.row[support[k + 3]]]
        for j in range(d):
            rho[j] -= w0 * c0[j] + w1 * c1[j] + w2 * c2[j] + w3 * c3[j]
    for k in range(whole, support.size):
        weight, column = weights[k], gram.values[gram.row[support[k]]]
        for j in range(d):
            rho[j] -= weight * column[j]


@kernel
def _polish(gram: Gram, path: Path, alpha: float, guard: float) -> bool:
    """Replace w by the exact minimum with the same signs; False if that is not the global minimum.

    In that case w stays, except that the weights of spare (collinear) columns are dropped.

    Coordinate descent finds the support early and the last digits late; K-LASSO needs the right support.
    """
    support = support_of(path.w)
    weights = np.empty(support.size)
    for k in range(support.size):
        weights[k] = path.c[support[k]] - np.copysign(alpha, path.w[support[k]])
    substitute(factor(gram, support, 0.0), weights)
    rho = path.c.copy()
    _subtract_columns(rho, gram, support, weights)
    same_signs = True
    for k in range(support.size):
        j = support[k]
        path.spare[j] = weights[k] == 0.0
        if path.spare[j]:
            _move(path, gram.values[gram.row[j]], j, 0.0)
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
    guard = ROUNDING * _largest(path.c)
    for j in range(path.spare.size):
        path.spare[j] = False
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


@kernel(inline="always")
def _walk(n_features: int, d: int) -> Walk:
    members = np.empty(n_features, np.int64)
    return Walk(members, np.zeros((n_features, n_features)), np.zeros(n_features), np.zeros(d), np.empty(d, np.uint64))


@kernel(inline="always")
def _turn(gram: Gram, path: Path, walk: Walk, size: int) -> None:
    """Compute the directions of the segment below the current point, with the members as support."""
    for k in range(size):
        walk.gain[k] = -np.sign(path.w[walk.members[k]])
    substitute(walk.L, walk.gain[:size])
    for j in range(walk.loss.size):
        walk.loss[j] = 0.0
    _subtract_columns(walk.loss, gram, walk.members[:size], walk.gain[:size])
    for k in range(size):
        walk.gain[k] = -walk.gain[k]


@kernel(inline="always")
def _next_knot(path: Path, walk: Walk, size: int, alpha: float) -> tuple[float, int]:
    """Return the decrease of alpha to the next knot, and the feature that enters or leaves there; -1 if several do."""
    steps, rho, loss = walk.steps, path.rho, walk.loss
    for j in range(steps.size):  # a feature enters where side * rho_j and alpha meet
        side = 1.0 if rho[j] > alpha * loss[j] else -1.0  # the side on which they meet first
        closing = 1.0 - side * loss[j]
        step = (alpha - side * rho[j]) / closing if closing > PARALLEL else np.inf
        steps[j] = bits64(step if step > 0.0 else 0.0)
    for k in range(size):  # a member leaves where its weight is 0
        j = walk.members[k]
        steps[j] = bits64(-path.w[j] / walk.gain[k] if walk.gain[k] * path.w[j] < 0.0 else np.inf)
    least = steps[0]
    for j in range(steps.size):
        least = min(least, steps[j])
    step = float64(least)
    close = bits64(step + BELOW * alpha)
    near = 0
    for j in range(steps.size):
        near += steps[j] <= close
    first = 0
    while steps[first] > least:
        first += 1
    return step, first if near == 1 else -1


@kernel(inline="always")
def _follow(path: Path, walk: Walk, size: int, step: float) -> None:
    """Follow the segment, on which w and rho are linear in alpha."""
    for k in range(size):
        path.w[walk.members[k]] += step * walk.gain[k]
    for j in range(path.w.size):
        path.rho[j] -= step * walk.loss[j]


@kernel(inline="always")
def _enter(gram: Gram, path: Path, walk: Walk, size: int, j: int, alpha: float, below: float) -> bool:
    """Let feature j enter at its knot and continue to `below`; False if that point may not be on the path."""
    walk.members[size] = j
    path.w[j] = np.copysign(SMALLEST, path.rho[j])
    append_row(walk.L, gram, walk.members, size, 0.0)
    if walk.L[size, size] ** 2 <= UNSURE * gram.values[gram.row[j], j]:
        return False
    if size + 1 == walk.members.size:
        return _polish(gram, path, below, ROUNDING * _largest(path.c))
    _turn(gram, path, walk, size + 1)
    same_signs = walk.gain[size] * path.rho[j] > 0.0
    for k in range(size):
        weight = path.w[walk.members[k]]
        same_signs &= weight * (weight + (alpha - below) * walk.gain[k]) > 0.0
    _follow(path, walk, size + 1, alpha - below)
    return bool(same_signs)


@kernel
def keep_largest(w: Array, count: int) -> None:
    """Keep the `count` largest |w_j|; among equal ones the first."""
    if support_of(w).size <= count:
        return
    least = nth_largest(w, count)
    for j in range(w.size):
        if abs(w[j]) * (1.0 + TIE) < least:
            w[j] = 0.0
    for _ in range(support_of(w).size - count):
        smallest = np.int64(-1)
        for j in support_of(w):
            if smallest < 0 or abs(w[j]) <= abs(w[smallest]) * (1.0 + TIE):
                smallest = j
        w[smallest] = 0.0


@kernel
def select(gram: Gram, path: Path, yy: float, n_features: int, tol: float) -> tuple[float, int]:
    """Follow the path down, knot by knot, to the largest alpha with `n_features` members; return (alpha, status).

    The selected features are those with a weight in path.w. If the support jumps past K, they are the K largest just
    below the jump; if all features are requested, no path is computed.
    MISSING: fetch the columns that are WANTED and call again from the `start`.
    """
    if n_features >= path.w.size:
        for j in range(path.w.size):
            path.w[j] = 1.0
        return 0.0, OK
    alpha_max = _largest(path.c)
    end = NEGLIGIBLE * alpha_max
    if alpha_max * alpha_max <= ROUNDING * ROUNDING * yy:
        return alpha_max, FEWER_FEATURES
    walk = _walk(n_features, path.w.size)
    alpha, size, status = alpha_max, 0, OK
    for _ in range(MAX_STEPS * (n_features + 10)):
        step, j = _next_knot(path, walk, size, alpha)
        knot = max(alpha - step, end)
        _follow(path, walk, size, alpha - knot)
        alpha = max(knot - BELOW * knot, end)
        enters = j >= 0 and path.w[j] == 0.0 and alpha > end
        if enters and gram.row[j] < 0:
            gram.row[j] = WANTED
            want(gram, path.rho, n_features - size)  # also those that will most likely follow
            return alpha, MISSING
        if enters and _enter(gram, path, walk, size, j, knot, alpha):
            size += 1
            status = OK if size == n_features else status  # the last point was solved exactly
        else:  # several at once, or one that leaves or is collinear: descend just below the knot
            status = lasso(gram, path, yy, alpha, tol)
            if status == MISSING:
                return alpha, MISSING
            support = support_of(path.w)
            size = support.size
            if size < n_features:
                for a in range(size):
                    walk.members[a] = support[a]
                    append_row(walk.L, gram, walk.members, a, 0.0)
                _turn(gram, path, walk, size)
        if size >= n_features:
            keep_largest(path.w, n_features)
            return alpha, status
        if alpha <= end:
            return alpha, FEWER_FEATURES if status == OK else status
    return alpha, NOT_CONVERGED
