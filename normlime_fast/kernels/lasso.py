"""K-LASSO from weighted moments: Gram columns on demand, coordinate descent, top-K, refit.

For centred features z, centred outputs y and weights p that sum to 1 (Eq. 1 and 2 of the paper), with

    G = sum_i p_i z_i z_i'     c = sum_i p_i z_i y_i     rho = c - G w     yy = sum_i p_i y_i^2

minimise  1/2 w'G w - c'w + 1/2 yy + alpha ||w||_1.  At the minimum rho_j = alpha * sign(w_j) where w_j != 0 and
|rho_j| <= alpha elsewhere.  Only the columns of G that come near the support are ever computed.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from normlime_fast.kernels.jit import kernel

Array = NDArray[Any]

# What `status` says of a fit; the stage that calls turns the codes into words.
OK = 0
FEWER_FEATURES = 1  # the path ended before it had K features
CONSTANT_OUTPUT = 2
NO_WEIGHT = 3
NOT_CONVERGED = 4
OVERFLOW = 5
MISSING = -1  # never seen outside: columns of the Gram matrix are wanted before the path can go on

UNKNOWN, KNOWN, WANTED = 0, 1, 2  # columns of the Gram matrix

TILE = 64  # rows that stay in cache while all products with them are summed
NEGLIGIBLE = 1e-6  # alpha / alpha_max at which the path ends, and share of the output's deviation that a weight must
# explain to be one: far above the rounding of sums (1e-13) and of a float32 model, far below the noise of any sample
ROUNDING = 1e-13  # of alpha_max: what the sums behind rho may be off by, so no feature enters for less
COLLINEAR = 1e-11  # of a column's variance: what is left of it beside the selected ones before it counts as none
BRACKET = 1e-8  # relative width at which bisection takes its two ends for the two sides of a jump
TIE = 1e-6  # weights this close (relative) just after a jump are equal: rounding (1e-16) over the bracket, and some
EQUAL = 2.0**-50  # relative: outputs that differ by the rounding of a model's last sum are equal
SMALLEST = 2.0**-1022  # and so are those that differ by a subnormal number, whose weights would underflow
MAX_SWEEPS = 1000
MAX_STEPS = 400  # of alpha: 0.95 ** 270 < NEGLIGIBLE, and 40 halvings of a bracket


# What is known of one fit beside its weights; the output was divided by its `spread`.
SUMMARY = np.dtype(
    {
        "names": ["count", "status", "intercept", "r2", "alpha", "spread"],
        "formats": ["i8", "i8", "f8", "f8", "f8", "f8"],
    }
)


class Gram(NamedTuple):
    """The Gram matrix as far as it is known, and what its missing columns are computed from."""

    values: Array  # (d, d); row j holds column j (symmetric) where state[j] is KNOWN
    state: Array  # (d,) int64
    features: Array  # Z (n, d), d a multiple of 8; columns without variance are welcome
    weights: Array  # p (n,), sums to 1
    mean: Array  # (d,) weighted mean of Z


class Path(NamedTuple):
    """One target's place on its LASSO path."""

    c: Array  # (d,)
    w: Array  # (d,)
    rho: Array  # (d,) c - G w
    active: Array  # (d,) int64 scratch: the working set
    spare: Array  # (d,) bool: collinear with features of lower index in the support, which serve for it


@kernel(fastmath={"contract"})
def _add_products(left: Array, Z: Array, triangle: bool, sums: Array) -> None:
    """sums += left @ Z in float64, for left (a multiple of 4, rows); `triangle`: only columns j >= row of sums.

    4 x 4 products a step keep the multipliers busy: 4 values of Z and 4 sums are loaded for 16 multiply-adds.
    """
    rows, d = Z.shape
    whole = rows - rows % 4
    for b in range(0, left.shape[0], 4):
        start = b // 8 * 8 if triangle else 0
        s0, s1, s2, s3 = sums[b, start:], sums[b + 1, start:], sums[b + 2, start:], sums[b + 3, start:]
        for i in range(0, whole, 4):
            a00, a01, a02, a03 = left[b, i], left[b, i + 1], left[b, i + 2], left[b, i + 3]
            a10, a11, a12, a13 = left[b + 1, i], left[b + 1, i + 1], left[b + 1, i + 2], left[b + 1, i + 3]
            a20, a21, a22, a23 = left[b + 2, i], left[b + 2, i + 1], left[b + 2, i + 2], left[b + 2, i + 3]
            a30, a31, a32, a33 = left[b + 3, i], left[b + 3, i + 1], left[b + 3, i + 2], left[b + 3, i + 3]
            z0, z1, z2, z3 = Z[i, start:], Z[i + 1, start:], Z[i + 2, start:], Z[i + 3, start:]
            for j in range(d - start):
                x0, x1, x2, x3 = np.float64(z0[j]), np.float64(z1[j]), np.float64(z2[j]), np.float64(z3[j])
                s0[j] += a00 * x0 + a01 * x1 + a02 * x2 + a03 * x3
                s1[j] += a10 * x0 + a11 * x1 + a12 * x2 + a13 * x3
                s2[j] += a20 * x0 + a21 * x1 + a22 * x2 + a23 * x3
                s3[j] += a30 * x0 + a31 * x1 + a32 * x2 + a33 * x3
        for i in range(whole, rows):
            for k in range(b, b + 4):
                for j in range(d):
                    sums[k, j] += left[k, i] * np.float64(Z[i, j])


@kernel
def _moments(Z: Array, Y: Array, weights: Array) -> Array:
    """Row 0: the weighted mean of Z; row 1 + k: sum_i p_i y_ki z_i for row k of Y, which is centred."""
    n, d = Z.shape
    sums = np.zeros((Y.shape[0] // 4 * 4 + 4, d))
    left = np.zeros((sums.shape[0], TILE))
    for tile in range(0, n, TILE):
        rows = min(TILE, n - tile)
        for i in range(rows):
            left[0, i] = weights[tile + i]
            for k in range(Y.shape[0]):
                left[k + 1, i] = weights[tile + i] * Y[k, tile + i]
        _add_products(left[:, :rows], Z[tile : tile + rows], False, sums)
    return sums


@kernel
def _fetch(gram: Gram, wanted: Array) -> None:
    """Compute the listed columns of the Gram matrix; where all are listed, each pair once."""
    n, d = gram.features.shape
    everything = wanted.size == d
    sums = np.zeros(((wanted.size + 3) // 4 * 4, d))
    left = np.zeros((sums.shape[0], TILE))
    for tile in range(0, n, TILE):
        rows = min(TILE, n - tile)
        for i in range(rows):
            for k in range(wanted.size):
                left[k, i] = gram.weights[tile + i] * gram.features[tile + i, wanted[k]]
        _add_products(left[:, :rows], gram.features[tile : tile + rows], everything, sums)
    for k in range(wanted.size):
        a = wanted[k]
        gram.state[a] = KNOWN
        for j in range(a if everything else 0, d):
            gram.values[a, j] = sums[k, j] - gram.mean[a] * gram.mean[j]
            if everything:
                gram.values[j, a] = gram.values[a, j]


@kernel
def _nth_largest(values: Array, skip: Array, n: int) -> float:
    """The n-th largest |value| where `skip` is 0; 0 if there are fewer."""
    top: Array = np.zeros(n)  # ascending
    for j in range(values.size):
        value = abs(values[j])
        if value > top[0] and skip[j] == 0.0:
            i = 1
            while i < n and top[i] < value:
                top[i - 1] = top[i]
                i += 1
            top[i - 1] = value
    return float(top[0])


@kernel
def _prefetch(gram: Gram, c: Array, n_features: int) -> None:
    """Fetch together the columns that the paths of all targets will most likely need."""
    d = gram.state.size
    guess = n_features + max(4, n_features // 4)  # near-orthogonal features enter in the order of |c|
    likely = np.zeros(d, np.bool_)
    for k in range(c.shape[0]):
        least = _nth_largest(c[k], np.zeros(d), guess) if guess < d else 0.0
        for j in range(d):
            likely[j] |= abs(c[k, j]) >= least
    # Half of all pairs costs no more than the whole columns of half the features.
    wanted = np.flatnonzero(likely)
    if 2 * wanted.size >= d:
        wanted = np.arange(d)
    _fetch(gram, wanted)


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


@kernel(fastmath={"contract"})
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
            if weight != path.w[j]:
                _move(path, gram.values[j], j, weight)
        if _gap(path, path.active[:count], yy, alpha) <= tol * 0.5 * yy:
            return OK
    return NOT_CONVERGED


# Sums in any order: what comes in is finite, and so are the flags' results.
@kernel(fastmath={"contract", "reassoc", "nsz"})
def _solve(gram: Gram, path: Path, support: Array, alpha: float, ridge: float) -> Array:
    """Solve (G + ridge I) x = c - alpha sign(w) on `support` by Cholesky; of collinear columns the later get 0."""
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
        rest = path.c[support[a]] - alpha * np.sign(path.w[support[a]])
        for i in range(a):
            rest -= L[a, i] * x[i]
        x[a] = rest / L[a, a] if L[a, a] > 0.0 else 0.0
    for a in range(k - 1, -1, -1):
        for i in range(a + 1, k):
            x[a] -= L[i, a] * x[i]
        x[a] = x[a] / L[a, a] if L[a, a] > 0.0 else 0.0
    return x


@kernel
def _polish(gram: Gram, path: Path, alpha: float, guard: float) -> bool:
    """Replace w by the exact minimum with the same signs; False if that is not the minimum of all.

    Then w stays, but for weights of collinear columns: those of the spare ones are dropped.

    Coordinate descent finds the support soon and the last digits late; K-LASSO needs the support to be right.
    """
    support = np.flatnonzero(path.w)
    weights = _solve(gram, path, support, alpha, 0.0)
    rho = path.c.copy()
    same_signs = True
    for k in range(support.size):
        j = support[k]
        path.spare[j] = weights[k] == 0.0
        if path.spare[j]:
            _move(path, gram.values[j], j, 0.0)
        same_signs &= weights[k] * path.w[j] > 0.0
        for i in range(rho.size):
            rho[i] -= weights[k] * gram.values[j, i]
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
def _step(path: Path, alpha: float, vacancies: int) -> float:
    """Guess the next alpha: the one that would fill the vacancies, were the features orthogonal."""
    last_in = _nth_largest(path.rho, path.w, vacancies)
    first_out = _nth_largest(path.rho, path.w, vacancies + 1)
    return min(max(0.5 * (last_in + first_out), 0.7 * alpha), 0.95 * alpha)


@kernel
def select(gram: Gram, path: Path, yy: float, n_features: int, tol: float) -> tuple[float, int]:
    """K-LASSO: walk the path down from w = 0 to the largest alpha with `n_features` members; (alpha, status).

    The selected features are those that keep a weight in path.w. Where all are asked for there is no path.
    MISSING: fetch the columns that are WANTED and call again from the `start`.
    """
    if n_features >= path.w.size:
        path.w[:] = 1.0
        return 0.0, OK
    alpha_max = np.abs(path.c).max()
    end = NEGLIGIBLE * alpha_max
    if alpha_max * alpha_max <= ROUNDING * ROUNDING * yy:
        return alpha_max, FEWER_FEATURES
    status = OK
    above, below, alpha = alpha_max, 0.0, _step(path, alpha_max, n_features)
    for _ in range(MAX_STEPS):
        outcome = lasso(gram, path, yy, alpha, tol)
        if outcome == MISSING:
            return alpha, MISSING
        status = max(status, outcome)
        size = np.flatnonzero(path.w).size
        if size == n_features:
            return alpha, status
        if size > n_features:
            below = alpha
        elif alpha <= end:
            return alpha, FEWER_FEATURES if status == OK else status
        else:
            above = alpha
        if below == 0.0:
            alpha = max(_step(path, alpha, n_features - size), end)
        elif above - below > BRACKET * above:
            alpha = np.sqrt(above * below)
        else:
            break
    # The support jumps past K between two numbers that can hardly be told apart: keep the K largest just after.
    if lasso(gram, path, yy, below, tol) == MISSING:
        return below, MISSING
    for _ in range(np.flatnonzero(path.w).size - n_features):
        smallest = np.int64(-1)
        for j in np.flatnonzero(path.w):
            if smallest < 0 or abs(path.w[j]) <= abs(path.w[smallest]) * (1.0 + TIE):
                smallest = j
        path.w[smallest] = 0.0
    return below, status


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
    fitted = _solve(gram, path, support, 0.0, ridge)
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
        summary.count, summary.intercept, summary.r2 = count, intercept, explained / yy
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
            _fetch(gram, np.flatnonzero(gram.state == WANTED))
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
        sums = _moments(Z[row], Y[row], weights)
        gram = Gram(values, np.full(d, UNKNOWN), Z[row], weights, sums[0])
        _prefetch(gram, sums[1 : Y.shape[1] + 1], n_features)
        for k in range(Y.shape[1]):
            if summaries[row, k].status == OK:
                out = features[row, k], coefficients[row, k], summaries[row, k]
                _fit_target(gram, sums[k + 1], Y[row, k], n_features, ridge, tol, out)
