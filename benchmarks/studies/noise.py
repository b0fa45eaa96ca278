"""What `debias=True` and `significant()` do to S: its error, its order, split halves, intervals and retrained models.

    python -m benchmarks.studies.noise [--quick] [--adult NPZ]    # writes NOISE.md, unless quick

Few samples leave noise in the weights of explanations, which S squares. The same instances are explained with n samples
and with many more; the S of those, with what little noise there is subtracted, is the limit. For the function of eight
columns it is known: there are no cubes in it, so that the weights are its slopes. "Error" is the root mean square
difference from the limit over the root mean square of the limit, in per cent.

"Limit" is Spearman's correlation of the order of all features with that of the limit, "top 10" is Kendall's of the ten
features that come first in the limit, and "halves" is Spearman's correlation between random halves of the instances,
whose samples are independent, over 20 splits. The order is that of `Importance.top`: features that few explanations
use come last.
"""

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import kendalltau, norm, spearmanr
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

import normlime_fast as nlf
from benchmarks.common import workloads
from benchmarks.common.measuring import table
from normlime_fast import evaluation

LEVEL = 0.9
SPLITS = 20
LOT = 50  # explanations behind an interval
WAYS = ("plain", "debias", "significant")
RATIOS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)  # w / s of the check of |w|
USED = 5  # columns of the function that it uses


class Plan(NamedTuple):
    instances: int = 100
    more: int = 40  # times as many samples for the limit
    sizes: tuple[int, ...] = (100, 400, 2000)  # of the function
    n_samples: int = 500  # of the tables
    lots: int = 400
    simulated: int = 1_000_000
    levels: tuple[float, ...] = (0.5, 0.7, 0.8, 0.9)
    seeds: int = 5


QUICK = Plan(40, 10, (100, 400), 200, 60, 100_000, (0.8,), 2)


class Case(NamedTuple):
    name: str
    X: np.ndarray  # of the instances
    predict: Callable[[np.ndarray], np.ndarray]  # (m, d) to (m,)
    neighborhood: Callable[[str], Any]  # by sampling
    n_samples: tuple[int, ...]
    n_features: tuple[int | None, ...]
    slopes: Callable[[np.ndarray], np.ndarray] | None = None  # the weights, if they are known


class Found(NamedTuple):
    """S of one way, at n samples."""

    case: str
    n_features: int | None
    n_samples: int
    sampling: str
    way: str
    error: float
    null: float  # mean |S| of features that the function does not use, over the largest S; NaN for tables
    limit: float
    top: float
    halves: float


def function(X: np.ndarray) -> np.ndarray:
    """Additive in five of eight columns, with two interactions."""
    return X[:, 0] + 0.5 * X[:, 1] + X[:, 2] * X[:, 3] + 0.5 * X[:, 1] * X[:, 4] + 0.3 * X[:, 0] ** 2


def slopes(X: np.ndarray) -> np.ndarray:
    """The derivatives of `function`, which are the weights of endless normal samples, since they are linear."""
    w = np.zeros_like(X)
    w[:, 0] = 1 + 0.6 * X[:, 0]
    w[:, 1] = 0.5 + 0.5 * X[:, 4]
    w[:, 2], w[:, 3] = X[:, 3], X[:, 2]
    w[:, 4] = 0.5 * X[:, 1]
    return w


def cases(plan: Plan, adult: str | None = None, tables: bool = True) -> tuple[list[Case], list[str]]:
    """The function, and tables with a LightGBM each; and why some are missing."""
    X = np.random.default_rng(0).normal(size=(4 * plan.instances, 8))
    found = [
        Case(
            "function", X, function, lambda sampling: nlf.Gaussian(1.0, sampling=sampling), plan.sizes, (None,), slopes
        )
    ]
    skipped = []
    for load, n_features in ((workloads.breast_cancer, 10), (lambda: workloads.adult_in_codes(adult), 6)):
        if not tables:
            break
        try:
            data = load()
            predict = workloads.lightgbm(data, 100)
        except (OSError, ImportError) as reason:
            skipped.append(str(reason))
            continue

        def neighborhood(sampling: str, data: workloads.Table = data) -> nlf.Gaussian:
            return nlf.Gaussian.from_data(data.X, sampling=sampling, categorical=data.categorical)

        rows = np.random.default_rng(0).choice(len(data.X), plan.instances, replace=False)
        found.append(Case(data.name, data.X[rows], predict, neighborhood, (plan.n_samples,), (None, n_features)))
    if tables:
        found.append(digits(plan))
    return found, skipped


def digits(plan: Plan) -> Case:
    """The log-odds of a digit, of a small network, where most of 64 pixels have little effect."""
    data = load_digits()
    X, y = data.data / 16, data.target == 3
    network = MLPClassifier((64,), max_iter=200, random_state=0).fit(X, y)

    def predict(rows: np.ndarray) -> np.ndarray:
        p = np.clip(network.predict_proba(rows)[:, 1], 1e-12, 1 - 1e-12)
        return np.log(p / (1 - p))

    rows = np.random.default_rng(0).choice(len(X), plan.instances, replace=False)
    return Case(
        "digits", X[rows], predict, lambda sampling: nlf.Gaussian(0.2, sampling=sampling), (plan.n_samples,), (None, 10)
    )


def explain(case: Case, X: np.ndarray, n: int, n_features: int | None, sampling: str, seed: int = 0) -> Any:
    neighborhood = case.neighborhood(sampling)
    return nlf.NormLIME(case.predict, neighborhood, n_features=n_features, n_samples=n, rng=seed).explain(X)


def by_way(local: nlf.LocalExplanations, way: str, kind: str = "normlime") -> nlf.Importance:
    local = local.significant() if way == "significant" else local
    return local.importance(kind, debias=way in ("debias", "two sets"))


def in_order(importance: nlf.Importance) -> np.ndarray:
    """Return numbers that rise with the place of a feature in `Importance.top`; 0 for features that are not used."""
    d = importance.values.size
    places = np.zeros(d)
    for place, row in enumerate(importance.top(d)):
        places[row.feature] = d - place
    return places


def of_slopes(w: np.ndarray) -> np.ndarray:
    """Eq. 3, of weights that all explanations have."""
    size = np.abs(w)
    used: np.ndarray = (size * size / size.sum(axis=1, keepdims=True)).mean(axis=0)
    return used


def study(case: Case, plan: Plan, sampling: str = "iid") -> list[Found]:
    results = []
    for n_features in case.n_features:
        if case.slopes is None:
            many = explain(case, case.X, plan.more * max(case.n_samples), n_features, "iid", seed=1)
            limit, places = (of(by_way(many, "debias")) for of in (lambda one: one.values, in_order))
        else:
            limit = places = of_slopes(case.slopes(case.X))
        best = np.argsort(-places, kind="stable")[:10]
        for n in case.n_samples:
            local = explain(case, case.X, n, n_features, sampling)
            ways = dict.fromkeys(WAYS, local)
            if sampling == "sobol":
                ways = {"plain": local, "debias": local, "two sets": of_two_sets(case, n)}
            for way, local in ways.items():
                one = by_way(local, way)
                values, error = one.values, relative_error(one.values, limit)
                null = np.nan if case.slopes is None else np.abs(values[USED:]).mean() / limit.max()
                order = in_order(one)
                like = spearmanr(order, places).statistic, kendalltau(order[best], places[best]).statistic
                results.append(Found(case.name, n_features, n, sampling, way, error, null, *like, halves(local, way)))
    return results


def of_two_sets(case: Case, n: int) -> nlf.LocalExplanations:
    """Return means of the weights of two sets of half as many samples, and half their difference as standard errors.

    So w^2 - s^2 is the product of the two, whose errors are independent: it needs no other standard errors.
    """
    one, other = (explain(case, case.X, n // 2, None, "sobol", seed) for seed in (2, 3))
    return replace(one, weights=(one.weights + other.weights) / 2, stderr=abs(one.weights - other.weights) / 2)


def relative_error(values: np.ndarray, limit: np.ndarray) -> float:
    return float(np.sqrt(np.mean((values - limit) ** 2) / np.mean(limit**2)))


def other_kinds(case: Case, plan: Plan) -> list[list[str]]:
    """Errors of the other kinds that noise biases, of explanations with all features."""
    n, rows = case.n_samples[0], []
    local = explain(case, case.X, n, None, "iid")
    many = explain(case, case.X, plan.more * n, None, "iid", seed=1) if case.slopes is None else None
    for kind in ("l2", "mean_abs", "sp_lime"):
        if many is None:
            limit = nlf.aggregate(case.slopes(case.X)).importance(kind).values
        else:
            limit = by_way(many, "debias", kind).values
        errors = (relative_error(by_way(local, way, kind).values, limit) for way in WAYS)
        rows.append([case.name, f"{n:,}", kind, *(f"{error:.2%}" for error in errors)])
    return rows


def halves(local: nlf.LocalExplanations, way: str) -> float:
    """Mean correlation of ranks between random halves of the instances."""
    found = []
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(len(local))
        pair = (in_order(by_way(local[half], way)) for half in np.array_split(order, 2))
        found.append(spearmanr(*pair).statistic)
    return float(np.mean(found))


class Covered(NamedTuple):
    """Shares of intervals of the five columns that the function uses, and of the three that it does not."""

    n_samples: int
    way: str
    this: tuple[float, float]  # that cover the value at this n
    endless: tuple[float, float]  # that of endless samples


def coverage(n: int, plan: Plan) -> list[Covered]:
    """Of lots of explanations of rows drawn from a normal distribution; the truth is that of 200,000 rows."""
    rng = np.random.default_rng(3)
    local = nlf.NormLIME(function, nlf.Gaussian(1.0), n_features=None, n_samples=n, rng=0).explain(
        rng.normal(size=(plan.lots * LOT, 8))
    )
    endless = of_slopes(slopes(rng.normal(size=(200_000, 8))))
    results = []
    for way in ("plain", "debias"):
        debias = way == "debias"
        this = local.importance(debias=debias).values
        low, high = local.importance(by=np.arange(len(local)) // LOT, debias=debias).interval(LEVEL)
        shares = [((low <= truth) & (truth <= high)).mean(axis=0) for truth in (this, endless)]
        results.append(Covered(n, way, *((share[:USED].mean(), share[USED:].mean()) for share in shares)))
    return results


class Size(NamedTuple):
    """Mean error of |w| in units of s, for a weight of t s."""

    t: float
    plain: float
    theory: float  # of the corrected
    debiased: float


def sizes(plan: Plan) -> list[Size]:
    """Of the kind "mean_abs", simulated."""
    t = np.array(RATIOS)
    w = t + np.random.default_rng(4).normal(size=(plan.simulated, len(t)))
    plain = nlf.aggregate(w).importance("mean_abs").values - t
    debiased = nlf.aggregate(w, stderr=np.ones_like(w)).importance("mean_abs").values - t
    raw = t * (2 * norm.cdf(t) - 1) + 2 * norm.pdf(t) - t
    theory = raw - np.sqrt(2 / np.pi) * np.exp(-(t**2) / 2.5)
    # standard deviations of the terms are below 1.5
    assert np.abs(plain - raw).max() < 6 / np.sqrt(plan.simulated)
    assert np.abs(debiased - theory).max() < 6 * 1.5 / np.sqrt(plan.simulated)
    return [Size(*map(float, row)) for row in zip(t, plain, theory, debiased, strict=True)]


def retrained(plan: Plan, n: int = 100, replicates: int = 3) -> list[list[str]]:
    """Mean gains in log loss of a model retrained on the features that rank first, breast cancer."""
    data = workloads.breast_cancer()
    order = np.random.default_rng(0).permutation(len(data.X))
    learn, rest = order[:300], order[300:]
    train = workloads.Table(data.name, data.X[learn], data.y[learn])
    predict, neighborhood = workloads.lightgbm(train, 100), nlf.Gaussian.from_data(train.X)

    def loss(kept: np.ndarray, seed: int) -> float:
        rows = np.random.default_rng(seed).choice(learn, len(learn))
        model = workloads.lightgbm(workloads.Table(data.name, data.X[rows][:, kept], data.y[rows]), 50)
        return float(log_loss(data.y[rest], np.clip(model(data.X[rest][:, kept]), 1e-3, 1 - 1e-3)))

    locals_ = [
        nlf.NormLIME(predict, neighborhood, n_features=None, n_samples=n, rng=k).explain(data.X[learn[k::replicates]])
        for k in range(replicates)
    ]
    rows = []
    for way in WAYS:
        rankings = [in_order(by_way(local, way)) for local in locals_]
        found = evaluation.keep_and_retrain(rankings, loss, levels=list(plan.levels), seeds=list(range(plan.seeds)))
        rows.append([way, *(f"{row.gain:.4f} [{row.low:.4f}, {row.high:.4f}]" for row in found.summary())])
    return rows


TEXT = """# Noise in explanations, and without it

Written by `python -m benchmarks.studies.noise`, not by hand. Its docstring says what the columns are.

## Error and order of S

{errors}

## Other kinds

Errors of the other kinds that noise biases, K = all.

{others}

## Sobol samples

The standard errors of Sobol samples are those of independent ones, and so too large: more is subtracted than there is.
"Two sets" has two sets of half as many samples: means of their weights, and half their difference as the standard
error, so that w^2 - s^2 is the product of the two weights: `aggregate((a + b) / 2, stderr=abs(a - b) / 2)`. K = all.

{sobol}

## Intervals

Shares of {level:.0%} intervals of S of {lot} explanations, {lots} lots, that cover the value of infinitely many
explanations: of this many samples, and of endless samples; of the {used} columns that the function uses, and of the
others. With the noise subtracted, the first is nearly the second.

{covered}

## The kind "mean_abs"

Mean error of |w|, in units of the standard error s, for a weight of t s and normal noise, of {simulated:,} weights; the
corrected one also in theory.

{sizes}

## Retrained models

Breast cancer: gain in log loss (lower is better) of a LightGBM trained on the features that rank first, by S of 100
explanations of 100 samples each and all features; 3 replicates and {seeds} seeds, 90 % intervals.

{retrained}
"""


def error_table(found: list[Found]) -> str:
    header = ["data", "K", "n", "S", "error", "null features", "limit", "top 10", "halves"]
    rows = [
        [
            one.case,
            "all" if one.n_features is None else str(one.n_features),
            f"{one.n_samples:,}",
            one.way,
            f"{one.error:.2%}",
            "" if np.isnan(one.null) else f"{one.null:.3%}",
            f"{one.limit:.3f}",
            f"{one.top:.3f}",
            f"{one.halves:.3f}",
        ]
        for one in found
    ]
    return table(header, rows, range(4, len(header)))


def report(found: list[Case], skipped: list[str], plan: Plan) -> str:
    errors = [one for case in found for one in study(case, plan)]
    powers = {n: 1 << round(np.log2(n)) for case in found for n in case.n_samples}
    balanced = [case._replace(n_samples=tuple(powers[n] for n in case.n_samples)) for case in found[:2]]
    sobol = [one for case in balanced for one in study(case._replace(n_features=(None,)), plan, "sobol")]
    covered = [one for n in plan.sizes[:2] for one in coverage(n, plan)]
    rows = [
        [f"{one.n_samples:,}", one.way, *(f"{share:.1%}" for pair in (one.this, one.endless) for share in pair)]
        for one in covered
    ]
    header = ["n", "S", "at this n: used", "not used", "endless: used", "not used"]
    moved = [[f"{one.t:g}", *(f"{value:+.3f}" for value in one[1:])] for one in sizes(plan)]
    kept = [f"{level:.0%} removed" for level in plan.levels]
    text = TEXT.format(
        errors=error_table(errors),
        others=table(
            ["data", "n", "kind", *WAYS], [row for case in found for row in other_kinds(case, plan)], range(3, 6)
        ),
        sobol=error_table(sobol),
        covered=table(header, rows, range(2, 6)),
        sizes=table(["t", "plain", "corrected, in theory", "corrected"], moved, range(1, 4)),
        retrained=table(["S", *kept], retrained(plan), range(1, 1 + len(kept))),
        level=LEVEL,
        lot=LOT,
        lots=plan.lots,
        used=USED,
        simulated=plan.simulated,
        seeds=plan.seeds,
    )
    return "\n".join([text.rstrip("\n"), *(f"\nSkipped: {reason}" for reason in skipped)]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.noise", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, the function only; nothing is written")
    parser.add_argument("--adult", metavar="NPZ", help="X, y, category_names; by default from OpenML")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    with warnings.catch_warnings(action="ignore"):  # of explanations where the model is flat
        page = report(*cases(plan, options.adult, tables=not options.quick), plan)
    if not options.quick:
        Path(__file__).with_name("NOISE.md").write_text(page, encoding="utf-8")
    print(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
