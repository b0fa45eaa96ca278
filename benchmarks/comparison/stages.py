"""The time of each stage of a local fit, on one thread: python -m benchmarks.comparison.stages."""

import os
import platform
import statistics
import time

import numba
import numpy as np

import normlime_fast as nlf
from benchmarks.common.measuring import processor
from normlime_fast._kernels import gaussian, lasso, moments, surrogate
from normlime_fast._kernels.jit import kernel

CASES = [(5000, 30, 10), (5000, 784, 20)]  # n, d, K
TOL = 1e-4
LOOPS = 20  # of the shortest stages: what it costs to call them from Python nearly vanishes


@kernel
def _observe_and_select(Z, Y, weights, yy, n_features, values):
    gram, c = moments.observe(Z, Y, weights, moments.expected(n_features), True, values)
    c = c[0, : Z.shape[1]]
    while lasso.select(gram, lasso.start(c), yy, n_features, TOL)[1] == lasso.MISSING:
        gram = moments.fetch(gram)
    return gram, c


@kernel
def _select(gram, c, yy, n_features):
    for _ in range(LOOPS):
        lasso.select(gram, lasso.start(c), yy, n_features, TOL)


@kernel
def _refit(gram, path, y, yy, features, coefficients, summaries):
    summaries[0].effective = y.size
    for _ in range(LOOPS):
        surrogate._refit(gram, path, 0.0, y, yy, float(y.size), (features, coefficients, summaries[0]))


class Model:
    """An output that saturates in 2 K of the d features, and a clock that stands still while it is computed."""

    def __init__(self, rng, d, n_features):
        self.slopes = np.zeros(d)
        self.slopes[rng.permutation(d)[: 2 * n_features]] = 0.9 ** np.arange(2 * n_features)
        self.seconds = 0.0

    def __call__(self, X):
        start = time.perf_counter()
        outputs = np.tanh(X @ self.slopes)
        self.seconds += time.perf_counter() - start
        return outputs

    def clock(self):
        return time.perf_counter() - self.seconds


def calls(n, d, n_features):
    """{stage: (function, what makes its arguments, how many fits a call stands for)}, and the clock; float64 X."""
    rng = np.random.default_rng(0)
    model = Model(rng, d, n_features)
    X = rng.standard_normal((max(20, 6000 // d), d))  # a few batches
    Z = np.empty((1, n, d), np.float32)
    inputs = np.empty((1, n, d))
    one = np.array([0, 1])
    draw = np.uint64(0), np.zeros(1, np.uint64), one, X[:1], np.ones(d), False, Z, inputs
    gaussian.perturb(*draw)
    explainer = nlf.NormLIME(model, nlf.Gaussian(1.0), n_features=n_features, n_samples=n, tol=TOL, rng=0)

    y = model(inputs[0])
    Y = (y - y.mean())[None]
    weights = np.ones(n)
    yy = np.mean(Y[0] ** 2)
    out = np.zeros((1, n_features), np.int64), np.zeros((1, 3, n_features)), np.zeros(1, surrogate.SUMMARY)
    observed = Z[0], Y, weights, yy, n_features, np.empty((d, d))
    gram, c = _observe_and_select(*observed)
    known = gram, c, yy, n_features
    options = 0.0, TOL, np.nan, True, 0.0, d
    path = lasso.start(c)
    lasso.select(gram, path, yy, n_features, TOL)
    return {
        "draw and perturb": (gaussian.perturb, lambda: draw, 1),
        "moments and path": (_observe_and_select, lambda: observed, 1),
        "path": (_select, lambda: known, LOOPS),
        "refit": (_refit, lambda: (gram, path, Y[0], yy, out[0][0], out[1][0], out[2]), LOOPS),
        "fit": (surrogate.fit, lambda: (Z, y[None].copy(), one, weights[None], n_features, *options, *out), 1),
        "whole own time": (explainer.explain, lambda: (X,), len(X)),
    }, model.clock


def measure(n, d, n_features, runs):
    """Medians of the seconds per local fit of every stage, timed in turn so that noise meets them all."""
    stages, clock = calls(n, d, n_features)
    times = {name: [] for name in stages}
    for _ in range(runs + 1):  # the first compiles
        for name, (function, arguments, fits) in stages.items():
            ready = arguments()
            start = clock()
            function(*ready)
            times[name].append((clock() - start) / fits)
    median = {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
    median["moments, Gram columns"] = median["moments and path"] - median["path"]
    parts = ("moments, Gram columns", "path", "refit")
    median["rest of the fit"] = median["fit"] - sum(median[name] for name in parts)
    median["rest of explain"] = median["whole own time"] - median["fit"] - median["draw and perturb"]
    shown = ("draw and perturb", *parts, "rest of the fit", "rest of explain", "whole own time")
    return {name: median[name] for name in shown}


def main():
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{processor()}, {os.cpu_count()} cores{load}")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}")
    results = [measure(*case, runs=15) for case in CASES]
    print(f"\n{'ms per local fit, one thread':<30}" + "".join(f"{f'd={d}, K={K}':>14}" for _, d, K in CASES))
    for name in results[0]:
        print(f"{name:<30}" + "".join(f"{times[name] * 1e3:>14.3f}" for times in results))


if __name__ == "__main__":
    main()
