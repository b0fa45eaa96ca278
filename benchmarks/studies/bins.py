"""How many bins `Binned` should cut a column of numbers into: agreement with TreeSHAP for 4, 8 and 16.

    python -m benchmarks.studies.bins [--quick] [--adult NPZ] [--california NPZ]

Writes BINS.md, unless quick. LightGBM learns three quarters of a table, another split for every seed, and some rows of
the rest are explained by `Binned` with other numbers of bins. Compared are the columns' ranks with those by LightGBM's
own TreeSHAP of the same rows. Two tables are simulated, in ways that quartiles should find hard: a wave, which goes up
and down within a bin, and flags beside numbers, whose effects within a bin are lost while those of flags are not. Their
effects add up and their columns are independent, so their Shapley values are known.

Before a table counts, its SHAP values must add up to the score.
"""

import argparse
import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr

from benchmarks.common import workloads
from benchmarks.common.measuring import table
from benchmarks.studies import defaults
from benchmarks.studies.defaults import ADDS, Data

NUMBERS_OF_BINS = (4, 8, 16)
WAYS = {
    "contributions": "mean_abs",
    "weights": "normlime",
}  # of=, kind=: TreeSHAP's question, and that of `importance()`
MEANT = {
    "contributions": 'Contributions, `importance("mean_abs", of="contributions")`',
    "weights": "Weights, `importance()`",
}


class Plan(NamedTuple):
    rows: int = 300  # explained, at most
    seeds: int = 10
    n_samples: tuple[int, ...] = (5000, 1000)  # the default, and few
    n_trees: int = 100
    simulated: int = 20_000


QUICK = Plan(rows=60, seeds=1, n_samples=(1000,), n_trees=40, simulated=4000)


class Agreement(NamedTuple):
    """Spearman's correlation with TreeSHAP over the columns, and more, (seeds,) each."""

    shap: dict[str, np.ndarray]  # by way
    truth: dict[str, np.ndarray]  # with the known values, by way and of TreeSHAP itself; empty where unknown
    size: np.ndarray  # the sum of mean |contribution| over columns of numbers, TreeSHAP's being 1


def additive(name: str, X: np.ndarray, effects: np.ndarray, noise: np.ndarray, categorical: tuple[int, ...]) -> Data:
    """Return a table whose label is a sum of effects (n, d) of independent columns, and noise."""
    adds = np.abs(effects - effects.mean(axis=0)).mean(axis=0)
    return Data(workloads.Table(name, X, effects.sum(axis=1) + noise, categorical), False, {ADDS: adds})


def wave(n: int, seed: int = 0) -> Data:
    """Two columns in waves, of two lengths; four in straight lines; four that do nothing."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-3, 3, (n, 10))
    effects = np.zeros_like(X)
    effects[:, 0], effects[:, 1] = 2 * np.sin(3 * X[:, 0]), np.sin(4 * X[:, 1])
    effects[:, 2:6] = X[:, 2:6] * [0.5, 0.4, 0.3, 0.2]
    return additive("wave, simulated", X, effects, rng.normal(scale=0.5, size=n), ())


SHAPES = (np.square, np.abs, lambda x: x, lambda x: np.sin(2 * x), lambda x: 1.0 * (x > 1.5), np.exp)


def flags(n: int, seed: int = 0) -> Data:
    """Six numbers, each with an effect of another shape, and six flags, each with 0.9 of the size of such an effect."""
    rng = np.random.default_rng(seed)
    sizes, shares = np.array([1.0, 0.8, 0.6, 0.4, 0.2, 0.1]), np.array([0.5, 0.4, 0.3, 0.2, 0.1, 0.05])
    numbers, flagged = rng.normal(size=(n, 6)), 1.0 * (rng.random((n, 6)) < shares)
    effects = np.column_stack([*(shape(x) for shape, x in zip(SHAPES, numbers.T, strict=True)), flagged])
    effects *= np.concatenate([sizes, 0.9 * sizes]) / np.abs(effects - effects.mean(axis=0)).mean(axis=0)
    X = np.hstack([numbers, flagged])
    return additive("six flags, six numbers, simulated", X, effects, rng.normal(size=n), tuple(range(6, 12)))


def cases(adult: str | None, california: str | None, plan: Plan) -> tuple[list[Data], list[str]]:
    """All tables that can be had, and why others cannot."""
    found, skipped = defaults.cases(adult, california, defaults.Plan())
    wanted = [data for data in found if data.table.name in ("Adult", "California", "breast cancer")]
    return [wave(plan.simulated), flags(plan.simulated), *wanted], skipped


def agreement(data: Data, bins: int, n: int, plan: Plan) -> Agreement:
    ways: dict[str, list[float]] = {way: [] for way in WAYS}
    truths: dict[str, list[float]] = {way: [] for way in (*WAYS, defaults.TREESHAP)} if data.truths else {}
    size = []
    plain = np.setdiff1d(np.arange(data.table.X.shape[1]), data.table.categorical)
    for seed in range(plan.seeds):
        fitted = defaults.fit(data, defaults.Plan(n_trees=plan.n_trees), seed)
        rows = fitted.X_test[: plan.rows]
        shap = fitted.shap(rows).mean(axis=0)
        local = defaults.explained("Binned", data, fitted, rows, n, seed, quantiles=bins)
        values = {of: local.importance(kind, of=of).values for of, kind in WAYS.items()}
        for way, found in values.items():
            ways[way].append(spearmanr(found, shap).statistic)
        for way in truths:
            truths[way].append(spearmanr(values.get(way, shap), data.truths[ADDS]).statistic)
        size.append(values["contributions"][plain].sum() / shap[plain].sum())
    as_arrays: Any = [{way: np.array(found) for way, found in each.items()} for each in (ways, truths)]
    return Agreement(*as_arrays, np.array(size))


def spell(values: np.ndarray, digits: int = 2) -> str:
    """The mean over seeds, and the least and the greatest."""
    return f"{values.mean():.{digits}f} ({values.min():.{digits}f} to {values.max():.{digits}f})"


Measured = dict[tuple[str, int], list[Agreement]]  # by table and samples; a list by number of bins


def measure(studies: Sequence[Data], plan: Plan) -> Measured:
    return {
        (data.table.name, n): [agreement(data, bins, n, plan) for bins in NUMBERS_OF_BINS]
        for data in studies
        for n in plan.n_samples
    }


def by_bins(measured: Measured, cell: Any) -> str:
    header = ["table", "points of each set", *(f"{bins} bins" for bins in NUMBERS_OF_BINS)]
    rows = [[name, f"{n:,}", *map(cell, found)] for (name, n), found in measured.items()]
    return table(header, rows, range(1, len(header)))


def differences(measured: Measured, way: str) -> str:
    """Return agreement minus that of the first number of bins, seed by seed: the mean, and its standard error."""
    few, *others = NUMBERS_OF_BINS
    header = ["table", "points of each set", *(f"{bins} - {few} bins" for bins in others)]
    rows = []
    for (name, n), (first, *found) in measured.items():
        changes = [one.shap[way] - first.shap[way] for one in found]
        errors = [each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.nan for each in changes]
        cells = [f"{each.mean():+.3f} (± {error:.3f})" for each, error in zip(changes, errors, strict=True)]
        rows.append([name, f"{n:,}", *cells])
    return table(header, rows, range(1, len(header)))


def truth_table(measured: Measured) -> str:
    known = {key: found for key, found in measured.items() if found[0].truth}
    header = ["table", "points of each set", *(f"{bins} bins" for bins in NUMBERS_OF_BINS), "TreeSHAP"]
    rows = []
    for (name, n), found in known.items():
        cells = [spell(one.truth["contributions"]) for one in found]
        rows.append([name, f"{n:,}", *cells, spell(found[0].truth[defaults.TREESHAP])])
    return table(header, rows, range(1, len(header)))


TEXT = """# How many bins

Written by `python -m benchmarks.studies.bins`, not by hand ({versions}).

LightGBM with {n_trees} trees learns three quarters of a table. {rows} rows of the rest, or all if there are fewer, are
explained by `Binned.from_data(X, categorical=..., quantiles=...)` with the other defaults of `NormLIME`: at most 10
features, 8 sets of points. Means of {seeds} seeds, each with another split and other points; the least and the greatest
in parentheses. TreeSHAP is LightGBM's own, of the same rows. Spearman's correlations over the columns.

The wave is 2 sin(3 a) + sin(4 b) + 0.5 c + 0.4 d + 0.3 e + 0.2 f and noise, beside four columns that do nothing; all
are uniform from -3 to 3. a goes up and down once in 2.1, b in 1.6, and a quartile is 1.5 wide. The six numbers beside
six flags are normal, with the effects x^2, abs(x), x, sin(2 x), x > 1.5 and exp(x), of mean size 1 to 0.1. The flags
are set in 50 % to 5 % of the rows, with effects of 0.9 of these sizes. Both tables have {simulated:,} rows.

## Agreement with TreeSHAP

{agreements}
## More bins than four

What agreement gains or loses with more bins, on the same rows: the mean over seeds (± its standard error).

{differences}

## Size

Sum of the mean abs(contribution) over the columns of numbers; TreeSHAP's is 1.

{size}

## Agreement with the truth

Contributions, and TreeSHAP itself, with the mean size of what a column adds, of the tables where it is known.

{truth}

{skipped}"""


def report(measured: Measured, skipped: Sequence[str], plan: Plan) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scikit-learn", "lightgbm"))
    sections = [f"{MEANT[way]}:\n\n{by_bins(measured, lambda one, way=way: spell(one.shap[way]))}\n" for way in WAYS]
    return TEXT.format(
        versions=f"Python {platform.python_version()}, {versions}",
        agreements="\n".join(sections),
        differences="\n\n".join(f"{MEANT[way]}:\n\n{differences(measured, way)}" for way in WAYS),
        size=by_bins(measured, lambda one: spell(one.size)),
        truth=truth_table(measured),
        skipped="".join(f"\nSkipped: {reason}\n" for reason in skipped),
        **plan._asdict(),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.bins", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, simulated tables only; writes nothing")
    parser.add_argument("--adult", metavar="NPZ", help="X, y, category_names; by default from OpenML")
    parser.add_argument("--california", metavar="NPZ", help="X, y; by default from scikit-learn's source")
    options = parser.parse_args(arguments)
    if options.quick:
        plan, studies, skipped = QUICK, [wave(QUICK.simulated), flags(QUICK.simulated)], []
    else:
        plan = Plan()
        studies, skipped = cases(options.adult, options.california, plan)
    text = report(measure(studies, plan), skipped, plan)
    print(text)
    if not options.quick:
        Path(__file__).with_name("BINS.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
