"""What each neighborhood says of five tables by default: weights and contributions beside TreeSHAP and the truth.

    python -m benchmarks.studies.defaults [--quick] [--adult NPZ] [--california NPZ]

Writes DEFAULTS.md, unless quick. LightGBM learns three quarters of a table. Rows of the rest are explained: by
Gaussian, Pool and Binned with their defaults and those of NormLIME, by LightGBM's own TreeSHAP and by scikit-learn's
permutation importance. All but the last explain the raw score of the trees, log-odds for classes. Compared are the
columns' ranks.

The credit table is simulated, and its log-odds are a sum of effects of independent columns. So two truths are known:
the mean size of what a column adds for the value that a row has, compared with the mean (the Shapley value, and what
contributions estimate), and of what it changes if it takes another value (what weights estimate).

Before a table counts, its SHAP values must add up to the score.
"""

import argparse
import importlib.metadata
import platform
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata, spearmanr
from sklearn.datasets import load_diabetes
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split

import normlime_fast as nlf
from benchmarks.common import workloads
from benchmarks.common.measuring import table

KINDS = ("mean_abs", "normlime")
NEIGHBORHOODS = {"Gaussian": nlf.Gaussian, "Pool": nlf.Pool, "Binned": nlf.Binned}
WAYS = ("Gaussian, weights", "Pool, weights", "Pool, contributions", "Binned, weights", "Binned, contributions")
TREESHAP, PERMUTATION = "mean abs(TreeSHAP)", "permutation importance"
ADDS, CHANGES = "truth: adds", "truth: changes"
TOP = 5


class Plan(NamedTuple):
    rows: int = 500  # explained, at most
    seeds: int = 3
    n_samples: int = 5000  # the default of NormLIME
    points: tuple[tuple[int, int], ...] = ((1, 5000), (8, 5000), (8, 20_000))  # sets of Binned, and points of each
    point_seeds: int = 5
    n_trees: int = 100
    credits: int = 20_000
    repeats: int = 5  # of permutations


QUICK = Plan(rows=200, seeds=1, n_samples=1000, points=((1, 500), (8, 500)), n_trees=40, credits=8000, repeats=2)


class Effect(NamedTuple):
    """A column of the credit table: what it adds to the log-odds of a default, by category or by standard deviation."""

    name: str
    effect: float | tuple[float, ...] = 0.0
    shares: tuple[float, ...] = ()  # of the categories


BRANCHES = tuple(np.random.default_rng(7).normal(scale=0.3, size=20).round(2).tolist())
EFFECTS = (
    Effect("score", -1.0),
    Effect("utilization", 0.5),
    Effect("age", -0.3),
    Effect("months", 0.1),
    Effect("purpose", (0.0, 0.2, -0.2, 0.4, -0.5, 2.0), (0.4, 0.25, 0.2, 0.1, 0.04, 0.01)),
    Effect("branch", BRANCHES, (0.05,) * 20),
    Effect("defaulted", (0.0, 2.5), (0.97, 0.03)),  # the flag
    Effect("noise: normal"),
    Effect("noise: uniform"),
    Effect("noise: flag", (0.0, 0.0), (0.7, 0.3)),
    Effect("noise: code", (0.0,) * 5, (0.2,) * 5),
)
FLAG = [effect.name for effect in EFFECTS].index("defaulted")
INTERCEPT = -1.5
# name: (mean, standard deviation, n independent draws of mean 0 and variance 1)
NUMBERS: dict[str, tuple[float, float, Callable[[np.random.Generator, int], np.ndarray]]] = {
    "score": (600, 80, lambda rng, n: rng.normal(size=n)),
    "utilization": (0.4, 0.2, lambda rng, n: (rng.beta(2, 3, n) - 0.4) / 0.2),
    "age": (45, 14, lambda rng, n: rng.uniform(-(3**0.5), 3**0.5, n)),
    "months": (30, 30, lambda rng, n: rng.exponential(size=n) - 1),
    "noise: normal": (0, 1, lambda rng, n: rng.normal(size=n)),
    "noise: uniform": (0, 1, lambda rng, n: rng.uniform(-(3**0.5), 3**0.5, n)),
}


class Data(NamedTuple):
    table: workloads.Table
    classes: bool
    truths: dict[str, np.ndarray]  # of each column; empty where they are unknown
    flag: int | None = None  # a column whose place is reported


class Found(NamedTuple):
    """Importances of the columns of one table, (seeds, d), by way, or (1, d) where there is no seed."""

    data: Data
    all: dict[str, np.ndarray]
    flagged: dict[str, np.ndarray]  # the same, of the rows with the flag


def credit(n: int, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    columns, logits = [], np.full(n, INTERCEPT)
    for effect in EFFECTS:
        if effect.shares:
            codes = rng.choice(len(effect.shares), n, p=effect.shares)
            columns.append(codes.astype(float))
            logits += np.asarray(effect.effect)[codes]
        else:
            mean, deviation, draw = NUMBERS[effect.name]
            standard = draw(rng, n)
            columns.append(mean + deviation * standard)
            logits += float(effect.effect) * standard
    y = (rng.random(n) < 1 / (1 + np.exp(-logits))).astype(int)
    categorical = tuple(j for j, effect in enumerate(EFFECTS) if effect.shares)
    return Data(workloads.Table("credit, simulated", np.column_stack(columns), y, categorical), True, truths(), FLAG)


def truths() -> dict[str, np.ndarray]:
    adds, changes = zip(*map(_truths_of, EFFECTS), strict=True)
    return {ADDS: np.array(adds), CHANGES: np.array(changes)}


def _truths_of(effect: Effect) -> tuple[float, float]:
    """Mean of abs(f(x) - E f), and of abs(f(x) - E f of other categories), or abs(slope); numbers by a large sample."""
    if effect.shares:
        values, shares = np.asarray(effect.effect), np.asarray(effect.shares)
        adds = np.abs(values - shares @ values)
        return float(shares @ adds), float(shares @ (adds / (1 - shares)))
    slope = abs(float(effect.effect))
    return slope * float(np.abs(NUMBERS[effect.name][2](np.random.default_rng(0), 10**6)).mean()), slope


def cases(adult: str | None, california: str | None, plan: Plan) -> tuple[list[Data], list[str]]:
    """All tables that can be had, and why others cannot."""
    ways: dict[str, Callable[[], Data]] = {
        "Adult": lambda: Data(workloads.adult_in_codes(adult)._replace(name="Adult"), True, {}),
        "California": lambda: Data(workloads.california(california), False, {}),
        "breast cancer": lambda: Data(workloads.breast_cancer(), True, {}),
        "diabetes": lambda: Data(workloads.Table("diabetes", *load_diabetes(return_X_y=True)), False, {}),
        "credit": lambda: credit(plan.credits),
    }
    found, skipped = [], []
    for name, way in ways.items():
        try:
            found.append(way())
        except (OSError, ImportError) as reason:  # no network, no such file, no pandas
            skipped.append(f"{name}: {reason}")
    return found, skipped


class Fitted(NamedTuple):
    model: Any
    X_test: np.ndarray
    y_test: np.ndarray

    def score(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict(X, raw_score=True)

    def shap(self, X: np.ndarray) -> np.ndarray:
        """Return the size of TreeSHAP values, by the paths of the training rows."""
        values = self.model.predict(X, pred_contrib=True)  # the last column is their mean
        # sums of a hundred leaves, in two orders
        np.testing.assert_allclose(values.sum(axis=1), self.score(X), rtol=1e-9, atol=1e-9)
        return np.abs(values[:, :-1])


def fit(data: Data, plan: Plan, seed: int = 0) -> Fitted:
    from lightgbm import LGBMClassifier, LGBMRegressor

    X, X_test, y, y_test = train_test_split(data.table.X, data.table.y, random_state=seed)
    kind = LGBMClassifier if data.classes else LGBMRegressor
    model = kind(n_estimators=plan.n_trees, n_jobs=1, random_state=0, deterministic=True, verbose=-1).fit(X, y)
    return Fitted(model, X_test, y_test)


def explained(
    name: str, data: Data, fitted: Fitted, rows: np.ndarray, n: int, seed: int, **how: Any
) -> nlf.LocalExplanations:
    neighborhood = NEIGHBORHOODS[name].from_data(data.table.X, categorical=list(data.table.categorical), **how)
    options: dict[str, Any] = {"n_features": min(10, rows.shape[1]), "n_samples": n, "rng": seed}
    with warnings.catch_warnings(action="ignore"):  # of categories that few points share
        return nlf.NormLIME(fitted.score, neighborhood, **options).explain(rows)


def importances(data: Data, plan: Plan) -> Found:
    fitted = fit(data, plan)
    rows = fitted.X_test[: plan.rows]
    flagged = np.flatnonzero(rows[:, data.flag] == 1) if data.flag is not None else np.arange(0)
    sizes = fitted.shap(rows)
    found = Found(data, {name: truth[None] for name, truth in data.truths.items()}, {})
    found.all[TREESHAP] = sizes.mean(axis=0)[None]
    if flagged.size:
        found.flagged[TREESHAP] = sizes[flagged].mean(axis=0)[None]
    scoring = "neg_log_loss" if data.classes else "r2"
    options: dict[str, Any] = {"scoring": scoring, "n_repeats": plan.repeats, "random_state": 0}
    found.all[PERMUTATION] = permutation_importance(*fitted, **options).importances_mean[None]
    for name in NEIGHBORHOODS:
        results = [explained(name, data, fitted, rows, plan.n_samples, seed) for seed in range(plan.seeds)]
        for way in WAYS:
            if not way.startswith(name):
                continue
            of = way.split(", ")[1]
            for kind in KINDS:
                found.all[f"{way}, {kind}"] = np.array([one.importance(kind, of=of).values for one in results])
                if flagged.size:
                    some = [one[flagged].importance(kind, of=of).values for one in results]
                    found.flagged[f"{way}, {kind}"] = np.array(some)
    return found


def agreement(found: Found, way: str, truth: str = TREESHAP) -> float:
    """Spearman's correlation over the columns, the mean over seeds."""
    return float(np.mean([spearmanr(one, found.all[truth][0]).statistic for one in found.all[way]]))


def in_common(found: Found, way: str) -> float:
    """How many of TreeSHAP's first columns are among the first, the mean over seeds."""
    best = set(np.argsort(-found.all[TREESHAP][0])[:TOP])
    return float(np.mean([len(best & set(np.argsort(-one)[:TOP])) for one in found.all[way]]))


def points_table(data: Data, plan: Plan) -> str:
    """What more points bring: agreement of contributions of Binned with TreeSHAP, by seed."""
    fitted = fit(data, plan)
    rows = fitted.X_test[: plan.rows]
    shap = fitted.shap(rows).mean(axis=0)
    cells = []
    for sets, n in plan.points:
        seeds = range(plan.point_seeds)
        found = [explained("Binned", data, fitted, rows, n, seed, n_sets=sets) for seed in seeds]
        values = [one.importance("mean_abs", of="contributions").values for one in found]
        agreements = [spearmanr(one, shap).statistic for one in values]
        cells.append(
            [str(sets), f"{n:,}", f"{np.mean(agreements):.2f}", f"{min(agreements):.2f} to {max(agreements):.2f}"]
        )
    return table(["sets", "points of each", "agreement", "of one seed"], cells, range(4))


def place(values: np.ndarray, column: int) -> str:
    """Place of a column, from 1; with seeds, from the best to the worst."""
    places = sorted({int(rankdata(-one, method="min")[column]) for one in values})
    return str(places[0]) if len(places) == 1 else f"{places[0]} to {places[-1]}"


def table_of(measure: Callable[[Found, str], float], studies: list[Found], kind: str, digits: int) -> str:
    header = ["table", "rows", "columns", *WAYS, PERMUTATION]
    rows = []
    for one in studies:
        X = one.data.table.X
        cells = [f"{measure(one, way):.{digits}f}" for way in (*(f"{way}, {kind}" for way in WAYS), PERMUTATION)]
        rows.append([one.data.table.name, f"{len(X):,}", str(X.shape[1]), *cells])
    return table(header, rows, range(1, len(header)))


def truth_table(one: Found) -> str:
    """Of the credit table: agreement with both truths, and the place of the flag."""
    header = ["importance", "agreement with what a column adds", "with what it changes", "place of the flag"]
    header.append("in rows that have it")
    rows = []
    for way, values in one.all.items():
        agreements = [f"{agreement(one, way, truth):.2f}" for truth in (ADDS, CHANGES)]
        shown = one.flagged.get(way)
        rows.append([way, *agreements, place(values, FLAG), "" if shown is None else place(shown, FLAG)])
    return table(header, rows, range(1, len(header)))


def columns_table(one: Found) -> str:
    """Of the credit table: what each column is worth, the mean over seeds."""
    ways = [ADDS, TREESHAP, "Binned, contributions, mean_abs", "Pool, contributions, mean_abs", CHANGES]
    ways += [f"{name}, weights, mean_abs" for name in NEIGHBORHOODS] + [PERMUTATION]
    values = [one.all[way].mean(axis=0) for way in ways]
    rows = [[effect.name, *(f"{each[j]:.3f}" for each in values)] for j, effect in enumerate(EFFECTS)]
    return table(["column", *(way.removesuffix(", mean_abs") for way in ways)], rows, range(1, len(ways) + 1))


TEXT = """# What each default says of five tables

Written by `python -m benchmarks.studies.defaults`, not by hand ({versions}).

LightGBM with {n_trees} trees and its other defaults learns three quarters of a table. {rows} rows of the rest, or all
if there are fewer, are explained: their raw scores, which are log-odds for Adult, breast cancer and the credit table.
`Gaussian`, `Pool` and `Binned` are those of `from_data`, with the table's categories named, and with the defaults of
`NormLIME`: at most 10 features, {n_samples:,} samples, and of `Pool` and `Binned` {n_sets} sets of as many points.
The means of {seeds} seeds. TreeSHAP is LightGBM's own (`pred_contrib`), of the same rows. Permutation importance is
scikit-learn's, {repeats} times, of all rows that were not learned: the growth of the log loss, or the loss of R^2.

## Agreement with TreeSHAP

Spearman's correlation with the mean of abs(TreeSHAP) over the columns, of `kind="mean_abs"`:

{mean_abs}

Of `kind="normlime"`:

{normlime}

How many of TreeSHAP's first {top} columns are among the first {top} by `"mean_abs"`:

{common}

Columns that hardly count change places with the points that are drawn: {name}, contributions of `Binned`, `"mean_abs"`,
{point_seeds} seeds.

{points_table}

## The credit table, where the truth is known

{credits:,} rows, of which {defaults:.0%} are defaults. The log-odds are a sum of effects of independent columns: four
numbers; a code of 6, with a category of 1 % and effect 2; a code of 20; a flag of 3 % with effect 2.5; and four
columns of noise. Two truths are known. What a column *adds* is the mean size of its effect, compared with the mean
effect: the Shapley value. What it *changes* is the effect of one standard deviation of a number, or of a category
compared with the others, the mean size over rows. LightGBM learns both from 0 and 1 only.

{truth}

A place like "3 to 4" is the best and the worst over seeds. The values, as means over seeds, are `"mean_abs"`:

{columns}
{skipped}"""


def report(studies: list[Found], skipped: list[str], plan: Plan) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scikit-learn", "lightgbm"))
    one, first = studies[-1], studies[0].data
    return TEXT.format(
        versions=f"Python {platform.python_version()}, {versions}",
        mean_abs=table_of(agreement, studies, "mean_abs", 2),
        normlime=table_of(agreement, studies, "normlime", 2),
        common=table_of(in_common, studies, "mean_abs", 1),
        truth=truth_table(one),
        columns=columns_table(one),
        defaults=one.data.table.y.mean(),
        top=TOP,
        n_sets=nlf.Binned.from_data(np.eye(2)).n_sets,
        name=first.table.name,
        points_table=points_table(first, plan),
        skipped="".join(f"\nSkipped: {reason}\n" for reason in skipped),
        **plan._asdict(),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.defaults", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, and the credit table only; writes nothing")
    parser.add_argument("--adult", metavar="NPZ", help="X, y, category_names; by default from OpenML")
    parser.add_argument("--california", metavar="NPZ", help="X, y; by default from scikit-learn's source")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    found, skipped = cases(options.adult, options.california, plan)
    text = report([importances(data, plan) for data in (found[-1:] if options.quick else found)], skipped, plan)
    print(text)
    if not options.quick:
        Path(__file__).with_name("DEFAULTS.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
