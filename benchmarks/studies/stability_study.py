"""What `benchmarks.studies.stability` measures: how much S varies over seeds, and how far it is from its limit."""

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import kendalltau

import normlime_fast as nlf
from benchmarks.common import workloads
from benchmarks.common.measuring import cores

PARTS = 10  # of the instances, for what more instances average out
LIMIT_SEED = 10**6  # none of the seeds


class Plan(NamedTuple):
    own: tuple[int, ...] = (1_000, 3_200, 10_000, 32_000, 100_000, 320_000)  # model rows, points for every instance
    shared: tuple[int, ...] = (1_000, 3_200, 10_000, 32_000)  # the same, points that serve all
    limit_own: int = 2_000_000
    limit_shared: int = 320_000
    seeds: int = 20
    instances: int = 100


QUICK = Plan((1_000, 8_000), (500, 4_000), 40_000, 40_000, seeds=4, instances=20)


class Case(NamedTuple):
    data: workloads.Table
    categorical: list[int]
    predict: workloads.Predict  # (n, d) to (n,)
    n_features: int  # K


class Way(NamedTuple):
    """A neighborhood, and what it costs."""

    name: str
    neighborhood: object
    shared: bool = True
    rows: int | None = None  # of the data, which are all the points there are

    def sizes(self, plan: Plan) -> list[int]:
        """n_samples; of points that are rows of the data, half of them last.

        Halves without replacement differ about as much as new whole tables would, which the whole one cannot show.
        """
        if not self.shared:
            return [rows // plan.instances for rows in plan.own]
        sizes = [rows - plan.instances for rows in plan.shared]
        return sizes if self.rows is None else [*(n for n in sizes if n < 0.4 * self.rows), self.rows // 2]

    def limit(self, plan: Plan) -> int:
        if not self.shared:
            return plan.limit_own // plan.instances
        return plan.limit_shared if self.rows is None else self.rows


class Agreement(NamedTuple):
    """Of two vectors S, or the mean over pairs of them."""

    top5: float
    top10: float
    tau: float
    tau_of_used: float  # S with min_count, a tenth of the instances


class Level(NamedTuple):
    n_samples: int
    rows: int  # that the model was asked
    seeds: Agreement
    limit: Agreement
    spread: float  # over seeds, relative to S, of all instances
    spread_of_part: float  # of a tenth of them


class Curve(NamedTuple):
    name: str
    levels: list[Level]
    limit_rows: int
    limit: np.ndarray  # S
    effective: float  # samples of the limit, as a share: near 1 where all weigh the same
    instances: Agreement  # of limits under other draws of as many instances


class Study(NamedTuple):
    name: str
    d: int
    n_features: int
    curves: list[Curve]


def most(S: np.ndarray, k: int) -> set[int]:
    """The k most important features, of those that were used at all."""
    return {int(j) for j in np.argsort(-S, kind="stable")[:k] if S[j] > 0}


def jaccard(first: set[int], second: set[int]) -> float:
    return len(first & second) / len(first | second)


def agreement(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Agreement:
    """Compare S and S with min_count."""
    tops = [jaccard(most(first[0], k), most(second[0], k)) for k in (5, 10)]
    return Agreement(*tops, *(float(kendalltau(a, b).statistic) for a, b in zip(first, second, strict=True)))


def mean(agreements: list[Agreement]) -> Agreement:
    return Agreement(*np.mean(agreements, axis=0).tolist())


def least_count(instances: int) -> int:
    return max(1, instances // 10)


def both(weights: object, instances: int) -> tuple[np.ndarray, np.ndarray]:
    statistics = nlf.aggregate(weights)
    return statistics.importance().values, statistics.importance(min_count=least_count(instances)).values


def explained(case: Case, way: Way, X: np.ndarray, n: int, seed: int) -> tuple[nlf.LocalExplanations, int]:
    """Explanations, and the model rows they took."""
    rows = 0

    def counted(inputs: np.ndarray) -> np.ndarray:
        nonlocal rows
        rows += len(inputs)
        return case.predict(inputs)

    explainer = nlf.NormLIME(counted, way.neighborhood, n_features=case.n_features, n_samples=n, rng=seed)
    return explainer.explain(X), rows


def spread(S: np.ndarray) -> float:
    """Standard deviation over seeds relative to the mean, root mean square over features, of S (seeds, features)."""
    S = S[:, S.any(axis=0)]
    return float(np.sqrt(np.mean((S.std(axis=0, ddof=1) / S.mean(axis=0)) ** 2)))


def level(case: Case, way: Way, X: np.ndarray, n: int, plan: Plan, limit: nlf.LocalExplanations) -> Level:
    common = np.argsort(-limit.importance().counts, kind="stable")[:5]  # S of others is a mean over few instances
    runs = [explained(case, way, X, n, seed) for seed in range(plan.seeds)]
    S = [both(local.weights, len(X)) for local, _ in runs]
    reference = both(limit.weights, len(X))
    parts = [
        spread(np.array([nlf.aggregate(local.weights[part]).importance().values[common] for local, _ in runs]))
        for part in np.array_split(np.arange(len(X)), PARTS)
    ]
    return Level(
        n,
        runs[0][1],
        mean([agreement(a, b) for a, b in combinations(S, 2)]),
        mean([agreement(a, reference) for a in S]),
        spread(np.array([a[0][common] for a in S])),
        float(np.sqrt(np.mean(np.square(parts)))),
    )


def curve(case: Case, way: Way, X: np.ndarray, plan: Plan) -> Curve:
    limit, limit_rows = explained(case, way, X, way.limit(plan), LIMIT_SEED)
    rng = np.random.default_rng(0)
    fewest = (10 if way.shared else 1) * (case.n_features + 2)  # a tenth counts in a pool of width "auto"
    draws = [both(limit.weights[rng.integers(len(X), size=len(X))], len(X)) for _ in range(plan.seeds)]
    return Curve(
        way.name,
        [level(case, way, X, n, plan, limit) for n in way.sizes(plan) if n >= fewest],
        limit_rows,
        limit.importance().values,
        float(limit.effective_samples.mean() / way.limit(plan)),
        mean([agreement(a, b) for a, b in combinations(draws, 2)]),
    )


def adult(path: str | None) -> tuple[workloads.Table, list[int]]:
    """Census incomes in 13 columns, and which of them hold categories; see `workloads.adult`."""
    folder = os.environ.get("NORMLIME_DATA")
    path = path or (str(Path(folder) / "adult.npz") if folder else None)
    if path is not None:
        with np.load(path) as file:
            categorical = sorted(int(column) for column in json.loads(str(file["category_names"])))
            return workloads.Table("adult", file["X"], file["y"]), categorical
    frame, y = workloads.fetch_openml("adult", version=2, as_frame=True, return_X_y=True)
    frame = frame.drop(columns="education")  # education-num says the same
    categorical = [j for j, kind in enumerate(frame.dtypes) if kind == "category"]
    for name in frame.columns[categorical]:
        frame[name] = frame[name].cat.codes
    return workloads.Table("adult", frame.to_numpy(float), (y == ">50K").to_numpy(int)), categorical


def adult_case(path: str | None) -> Case:
    data, categorical = adult(path)
    return Case(data, categorical, workloads.lightgbm(data, 200), 5)


def breast_cancer_case() -> Case:
    data = workloads.breast_cancer()
    return Case(data, [], workloads.lightgbm(data, 100), 10)


def synthetic_case() -> Case:
    """Numbers and two columns of categories; ten of twelve columns count, ever less."""
    rng = np.random.default_rng(0)
    X = np.hstack([rng.standard_normal((600, 10)), rng.integers(3, size=(600, 2))])
    slopes = np.append(0.7 ** np.arange(10), [0.0, 0.0])
    model = workloads.Sigmoids(slopes[:, None])
    return Case(workloads.Table("synthetic table", X, np.zeros(600)), [10, 11], lambda X: model(X)[:, 0], 5)


def ways(case: Case) -> list[Way]:
    X, categorical = case.data.X, case.categorical
    told = {"categorical": categorical, "numeric": [j for j in range(X.shape[1]) if j not in categorical]}
    pool = partial(nlf.Pool.from_data, X, **told, n_sets=1)
    found = [
        Way(f"Gaussian, width {width:g}", nlf.Gaussian.from_data(X, width, **told), shared=False)
        for width in (1.0, 0.5)
    ]
    found.append(Way("Pool of rows", pool(), rows=len(X)))
    found.append(Way("Pool of rows, lime's kernel", pool(kernel="exponential"), rows=len(X)))
    if not categorical:  # which it cannot draw
        drawn = partial(nlf.Pool.gaussian, X.mean(axis=0), X.std(axis=0), n_sets=1)
        found.append(Way("Pool.gaussian", drawn()))
        found.append(Way("Pool.gaussian, lime's kernel", drawn(kernel="exponential")))
    binned = nlf.Binned.from_data(X, **told, quantiles=4, draw="normal", n_sets=1)
    return [*found, Way("Binned", binned)]


def study(make: Callable[[], Case], plan: Plan) -> Study:
    case = make()
    X = case.data.X[np.random.default_rng(0).choice(len(case.data.X), plan.instances, replace=False)]
    curves = [curve(case, way, X, plan) for way in ways(case)]
    n, d = case.data.X.shape
    return Study(f"{case.data.name}, {n:,} rows, d = {d}, K = {case.n_features}", d, case.n_features, curves)


def studies(makes: Sequence[Callable[[], Case]], plan: Plan) -> list[Study]:
    """Each in a process of its own."""
    context = multiprocessing.get_context("spawn")  # threads of LightGBM do not survive a fork
    with ProcessPoolExecutor(min(len(makes), cores()), mp_context=context) as processes:
        return list(processes.map(partial(study, plan=plan), makes))
