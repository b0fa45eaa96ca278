"""Rows of the comparison that time kernels: normal variates, K-LASSO on a given Gram matrix, aggregation."""

import importlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numba
import numpy as np
from scipy.linalg import solve_triangular
from sklearn.linear_model import lars_path_gram, lasso_path

import normlime_fast as nlf
from benchmarks.common.measuring import Result, Settings, medians, seconds, spell, table
from benchmarks.suites.bench_aggregation import assert_equal, explanations, read, with_scipy
from benchmarks.suites.bench_gaussian import SIZE, assert_normal
from normlime_fast._kernels import gaussian, lasso, moments

TOL = 1e-4  # duality gap, of half the output's sum of squares: that of NormLIME and of every peer
STOPS = 20  # alphas on a peer's path


def normals(settings: Settings) -> Iterator[Result]:
    ours, theirs = np.empty(SIZE, np.float32), np.empty(SIZE, np.float32)
    generator = np.random.default_rng(1)

    def fill() -> None:
        gaussian.fill(np.uint64(1), np.uint64(0), np.uint64(gaussian.STREAM), np.uint64(0), ours)

    def numpy_fill() -> None:
        generator.standard_normal(dtype=np.float32, out=theirs)

    for work, out in ((fill, ours), (numpy_fill, theirs)):
        work()
        assert_normal(out)
    own, peer = medians(5 * settings.rounds, lambda: seconds(fill, SIZE), lambda: seconds(numpy_fill, SIZE))
    yield Result(
        what=f"{SIZE:,} float32 normals, each",
        against="numpy.random.Generator.standard_normal(dtype=float32), PCG64",
        ours=spell(own),
        theirs=spell(peer),
        figure=peer / own,
        at_least=8,
    )


class Problem(NamedTuple):
    """Fits that share a Gram matrix, and what a peer is told of each."""

    Z: np.ndarray  # (n, d) float64, centred
    Y: np.ndarray  # (fits, n), centred
    gram: np.ndarray
    C: np.ndarray  # (fits, d) Z'y / n
    yy: np.ndarray  # (fits,) y'y / n
    supports: list[np.ndarray]
    grids: np.ndarray  # (fits, STOPS): alphas down to one where K features have a weight, which no user knows before


def problem(n: int, d: int, K: int, fits: int) -> Problem:
    """Outputs with 2 K features of decreasing weight, and noise; the answers are those of LARS."""
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((n, d))
    weights = 0.9 ** np.arange(2 * K) * rng.choice([-1.0, 1.0], (fits, 2 * K))
    Y = np.stack([Z[:, rng.permutation(d)[: 2 * K]] @ w for w in weights]) + rng.standard_normal((fits, n))
    Z -= Z.mean(axis=0)
    Y -= Y.mean(axis=1, keepdims=True)
    gram, C = Z.T @ Z / n, Y @ Z / n
    supports, grids = [], np.empty((fits, STOPS))
    for k in range(fits):
        alphas, _, path = lars_path_gram(C[k] * n, gram * n, n_samples=n, max_iter=2 * K, method="lasso")
        at = np.flatnonzero(np.count_nonzero(path, axis=0) == K)[0]  # the end of the segment with K features
        supports.append(np.flatnonzero(path[:, at]))
        grids[k] = np.geomspace(alphas[0], (alphas[at - 1] + alphas[at]) / 2, STOPS)
    return Problem(Z, Y, gram, C, np.einsum("ki,ki->k", Y, Y) / n, supports, grids)


@numba.njit(nogil=True, error_model="numpy")  # no cache: numba's would not notice a change of the kernels
def _select_each(gram: Any, C: Any, yy: Any, n_features: int, tol: float, weights: Any, alphas: Any) -> None:
    for k in range(len(C)):
        path = lasso.start(C[k])
        alphas[k], status = lasso.select(gram, path, yy[k], n_features, tol)
        weights[k] = path.w
        if status != lasso.OK:
            weights[k] = np.nan


def normlime_fast(p: Problem, K: int) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """All fits by the library's kernel: (weights, alphas). The only place that knows the kernel's interface."""
    n, d = p.Z.shape
    gram = moments.Gram(p.gram, np.arange(d), p.Z.astype(np.float32), np.full(n, 1 / n), np.zeros(d), np.ones(d))
    weights, alphas = np.empty_like(p.C), np.empty(len(p.C))

    def select() -> tuple[np.ndarray, np.ndarray]:
        _select_each(gram, p.C, p.yy, K, TOL, weights, alphas)
        return weights, alphas

    return select


Solve = Callable[[int, np.ndarray, float], tuple[np.ndarray, float]]  # (fit, alphas, tol) -> (weights, alpha)


def lars(p: Problem, K: int | None) -> Solve:
    """LARS knows no tolerance: stopped after K steps, or at the end of the path, where the one with K is looked up."""
    n = len(p.Z)
    limit = {} if K is None else {"max_iter": K}

    def solve(k: int, alphas: np.ndarray, tol: float) -> tuple[np.ndarray, float]:
        found, _, path = lars_path_gram(p.C[k] * n, p.gram * n, n_samples=n, method="lasso", **limit)
        at = np.flatnonzero(np.count_nonzero(path, axis=0) == len(p.supports[k]))[0]
        return path[:, at], found[at]

    return solve


def scikit_learn(p: Problem) -> Solve:
    n, Z, gram = len(p.Z), np.asfortranarray(p.Z), p.gram * len(p.Z)

    def solve(k: int, alphas: np.ndarray, tol: float) -> tuple[np.ndarray, float]:
        given = {"precompute": gram, "Xy": p.C[k] * n, "check_input": False, "copy_X": False}
        return lasso_path(Z, p.Y[k], alphas=alphas, tol=tol, **given)[1][:, -1], alphas[-1]

    return solve


def smallest_data(p: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Only d rows, with the same Gram matrix and correlations: the best that a solver without a Gram can be given."""
    L = np.linalg.cholesky(p.gram)
    root = np.sqrt(len(L))  # such solvers divide by the number of rows
    return np.asfortranarray(root * L.T), root * solve_triangular(L, p.C.T, lower=True).T


def celer(p: Problem) -> Solve:
    path = importlib.import_module("celer.homotopy").celer_path
    X, Y = smallest_data(p)
    return lambda k, alphas, tol: (path(X, Y[k], "lasso", alphas=alphas, tol=tol)[1][:, -1], alphas[-1])


def skglm(p: Problem) -> Solve:
    solvers, datafits = importlib.import_module("skglm.solvers"), importlib.import_module("skglm.datafits")
    penalties = importlib.import_module("skglm.penalties")
    X, Y = smallest_data(p)

    def solve(k: int, alphas: np.ndarray, tol: float) -> tuple[np.ndarray, float]:
        solver = solvers.AndersonCD(tol=tol, fit_intercept=False)
        w = fitted = None
        for alpha in alphas:  # its own `path` calls what it has deprecated
            w = solver.solve(X, Y[k], datafits.Quadratic(), penalties.L1(alpha), w, fitted)[0]
            fitted = X @ w
        return w, alphas[-1]

    return solve


def adelie(p: Problem) -> Solve:
    os.environ.setdefault("OMP_PROC_BIND", "false")  # or its import binds the process, and all of ours, to one core
    fit = importlib.import_module("adelie").gaussian_cov
    gram = np.asfortranarray(p.gram)

    def solve(k: int, alphas: np.ndarray, tol: float) -> tuple[np.ndarray, float]:
        state = fit(gram, p.C[k], lmda_path=alphas, tol=tol, early_exit=False, progress_bar=False)
        return state.betas[-1].toarray().ravel(), alphas[-1]

    return solve


def relative_gap(p: Problem, k: int, w: np.ndarray, alpha: float) -> float:
    """Duality gap at w over half of y'y / n, with the residual scaled into the dual's feasible set as dual point."""
    rho = p.C[k] - p.gram @ w
    residual = p.yy[k] - w @ p.C[k] - w @ rho
    shrink = alpha / max(np.abs(rho).max(), alpha)
    primal = 0.5 * residual + alpha * np.abs(w).sum()
    return float((primal - shrink * (p.yy[k] - w @ p.C[k]) + 0.5 * shrink**2 * residual) / (0.5 * p.yy[k]))


def largest_gap(p: Problem, solved: list[tuple[np.ndarray, float]]) -> float | None:
    """Over all fits; None if one has another support than it should, or misses the gap."""
    gaps = [relative_gap(p, k, *answer) for k, answer in enumerate(solved)]
    same = all(np.array_equal(np.flatnonzero(w), p.supports[k]) for k, (w, _) in enumerate(solved))
    return max(gaps) if same and max(gaps) <= TOL else None


class Peer(NamedTuple):
    name: str
    solve: Solve
    grids: np.ndarray  # (fits, alphas)
    fits: int
    tol: float
    gap: float


def tuned(p: Problem, name: str, solve: Solve, grids: np.ndarray, fits: int) -> Peer:
    """The peer with the loosest of its tolerances that gives every fit its support and gap."""
    for tol in 10.0 ** -np.arange(3, 11):
        gap = largest_gap(p, [solve(k, grids[k], tol) for k in range(fits)])
        if gap is not None:
            return Peer(name, solve, grids, fits, tol, gap)
    raise AssertionError(f"{name} does not find the features that LARS finds")


def peers(p: Problem, K: int, fits: int) -> tuple[list[Peer], list[Peer], list[str]]:
    """Those that walk the path, those that are told where to stop and go there at once, those not installed."""
    few = max(1, fits // 8)  # of the slowest
    walking = [
        tuned(p, f"scikit-learn lars_path_gram, max_iter={K}", lars(p, K), p.grids, fits),
        tuned(p, "scikit-learn lars_path_gram, unlimited", lars(p, None), p.grids, few),
    ]
    told, missing = [], []
    names = {
        "scikit-learn lasso_path, precompute=Gram": scikit_learn,
        "celer celer_path, d rows of data": celer,
        "skglm AndersonCD, d rows of data": skglm,
        "adelie gaussian_cov, Gram": adelie,
    }
    for name, make in names.items():
        try:
            solve = make(p)
        except ImportError as error:
            missing.append(f"{name} ({error})")
            continue
        walking.append(tuned(p, f"{name}, {STOPS} alphas", solve, p.grids, fits))
        told.append(tuned(p, f"{name}, told the alpha", solve, p.grids[:, -1:], fits))
    return walking, told, missing


def k_lasso(settings: Settings) -> Iterator[Result]:
    d, K = settings.wide
    p = problem(settings.n_samples, d, K, settings.fits)
    select = normlime_fast(p, K)
    gap = largest_gap(p, list(zip(*select(), strict=True)))
    assert gap is not None, "other features than LARS finds"
    walking, told, missing = peers(p, K, settings.peer_fits)

    def timed(peer: Peer) -> Callable[[], float]:
        def solve_all() -> None:
            for k in range(peer.fits):
                peer.solve(k, peer.grids[k], peer.tol)

        return lambda: seconds(solve_all, peer.fits)

    ours, *times = medians(settings.rounds, lambda: seconds(select, settings.fits), *map(timed, walking + told))
    lines = [["**normlime_fast**", spell(ours), "1", f"{gap:.0e}", str(settings.fits)]]
    for peer, time in zip(walking + told, times, strict=True):
        lines.append([peer.name, spell(time), f"{time / ours:.1f}", f"{peer.gap:.0e}", str(peer.fits)])
    details = table(
        ["K-LASSO on a given Gram", "time a fit", "times ours", "relative gap", "fits"], lines, right=range(1, 5)
    )
    best, time = min(zip(walking, times, strict=False), key=lambda pair: pair[1])
    common = {"what": f"K-LASSO on a given Gram, d={d}, K={K}, {settings.fits} fits, each", "ours": spell(ours)}
    skipped = f" Not installed, skipped: {'; '.join(missing)}." if missing else ""
    yield Result(
        **common,
        against=f"fastest path: {best.name}",
        theirs=spell(time),
        figure=time / ours,
        at_least=50,
        note=f"Paths of {STOPS} alphas end where the support has K members: a place told to the peers and not to ours."
        f" Solvers without a Gram get d rows of data with the same Gram.{skipped}",
        details=details,
    )
    best, time = min(zip(told, times[len(walking) :], strict=True), key=lambda pair: pair[1])
    yield Result(
        **common,
        against=f"fastest solve at a known alpha: {best.name}",
        theirs=spell(time),
        figure=time / ours,
        note="Another problem, for information: the alpha with K members need not be found.",
    )


def aggregation(settings: Settings) -> Iterator[Result]:
    weights, classes = explanations(settings.weights)
    arrays = weights.indptr, weights.indices, weights.data, classes
    for array in arrays:  # two orders of summing m numbers differ by less than m eps times the sum of their sizes
        tolerance = len(array) * 2.3e-16 * np.abs(array).sum(dtype=float)
        np.testing.assert_allclose(float(read(array)), array.sum(dtype=float), rtol=0, atol=tolerance)
    sums = nlf.aggregate(weights, classes).sums.sum(axis=(0, 1))  # over classes and signs
    assert_equal(sums[:, 1] / np.maximum(sums[:, 0], 1), weights)
    ours, scipy, once = medians(
        settings.rounds,
        lambda: seconds(lambda: nlf.aggregate(weights, classes)),
        lambda: seconds(lambda: with_scipy(weights)),
        lambda: seconds(lambda: [read(array) for array in arrays]),
    )
    common = {"what": f"aggregate {settings.weights:,} weights, 10 classes, all sums", "ours": spell(ours)}
    yield Result(
        **common,
        against="scipy.sparse expressions for S of all classes together",
        theirs=spell(scipy),
        figure=scipy / ours,
        at_least=8,
    )
    yield Result(
        **common,
        against="reading the arrays once (numba)",
        theirs=spell(once),
        figure=ours / once,
        at_most=3,
    )
