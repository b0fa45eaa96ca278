"""How often 90 % intervals of single weights, from `local.stderr`, cover the weight that endless samples would have.

    python -m benchmarks.studies.weight_intervals [--quick]    # writes WEIGHT_INTERVALS.md, unless quick

A function of six columns, with an interaction, a kink, a jump and a curve, and a column that it does not use, is
explained at a few rows, with all columns, under many seeds. The truth is the explanation by 400,000 samples. What the
surrogate leaves of the output is not noise but the function's own shape, and as large as that.

The exit code is 1 if independent samples cover less than 87 or more than 93 %, or Sobol points less than 87 %.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

import normlime_fast as nlf
from benchmarks.common.measuring import table

D, LEVEL = 6, 0.9
LEAST, MOST = 0.87, 0.93


class Plan(NamedTuple):
    rows: int = 10
    seeds: int = 500
    sizes: tuple[int, ...] = (1000, 4000)  # samples
    truth: int = 400_000  # samples


QUICK = Plan(rows=5, seeds=40, sizes=(1000,), truth=100_000)


class Covered(NamedTuple):
    neighborhood: str
    n_samples: int
    effective: float  # samples, the mean over explanations
    features: np.ndarray  # share of intervals of each column that cover
    ratio: float  # of stderr to the deviation over seeds, the median over weights

    @property
    def all(self) -> float:
        return float(self.features.mean())

    @property
    def right(self) -> bool:
        return self.all >= LEAST and (self.all <= MOST or "Sobol" in self.neighborhood)


def function(X: np.ndarray) -> np.ndarray:
    return np.sin(2 * X[:, 0]) * X[:, 1] + np.abs(X[:, 2]) + 2 * (X[:, 3] > 0.5) + np.exp(X[:, 4] / 2)


def data(n: int = 2000) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, D))


NEIGHBORHOODS: dict[str, Callable[[], nlf.Neighborhood]] = {
    "Gaussian": lambda: nlf.Gaussian(0.7),
    "Pool": lambda: nlf.Pool.gaussian(np.zeros(D), np.ones(D)),  # which has as many points as are asked for
    "Binned": lambda: nlf.Binned.from_data(data()),
    "Mask": lambda: nlf.Mask.from_data(data()),
    "Gaussian, Sobol points": lambda: nlf.Gaussian(0.7, sampling="sobol"),
}


def coverage(name: str, n_samples: int, plan: Plan) -> Covered:
    neighborhood, rows = NEIGHBORHOODS[name](), data()[: plan.rows]

    def explained(n: int, seed: int) -> nlf.LocalExplanations:
        return nlf.NormLIME(function, neighborhood, n_features=None, n_samples=n, rng=seed).explain(rows)

    truth = explained(plan.truth, plan.seeds).weights.toarray()
    found = [explained(n_samples, seed) for seed in range(plan.seeds)]
    weights, errors = (np.array([getattr(one, of).toarray() for one in found]) for of in ("weights", "stderr"))
    known = errors > 0
    assert known.mean() > 0.999  # a weight of next to nothing may be left out
    covered = known & (np.abs(weights - truth) <= norm.isf((1 - LEVEL) / 2) * errors)
    ratio = np.median(np.sqrt((errors**2).mean(axis=0)) / weights.std(axis=0, ddof=1))
    effective = np.mean([one.effective_samples.mean() for one in found])
    shares = covered.sum(axis=(0, 1)) / known.sum(axis=(0, 1))
    return Covered(name, n_samples, float(effective), shares, float(ratio))


TEXT = """# Coverage of intervals of single weights

Written by `python -m benchmarks.studies.weight_intervals`, not by hand.

Shares of 90 % intervals, weight +- 1.645 `local.stderr`, that cover the weight of {truth:,} samples: {rows} rows, each
explained with all its {d} columns under {seeds} seeds. The function has an interaction, a kink, a jump and a curve, and
does not use the last column. The ratio is that of the standard error to the deviation of the weight over seeds.

{table}

Independent samples must be between {least:.0%} and {most:.0%}. Sobol points are far better than their standard errors,
which are those of independent samples with the same residuals: their intervals are too wide.
"""


def covered_table(rows: list[Covered]) -> str:
    header = ["neighborhood", "samples", "effective", "covered", *(f"column {j}" for j in range(D)), "ratio"]
    cells = [
        [
            row.neighborhood,
            f"{row.n_samples:,}",
            f"{row.effective:,.0f}",
            *(f"{share:.1%}" for share in (row.all, *row.features)),
            f"{row.ratio:.2f}",
        ]
        for row in rows
    ]
    return table(header, cells, right=range(1, len(header)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.weight_intervals", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, in seconds; writes nothing")
    quick = parser.parse_args(arguments).quick
    plan = QUICK if quick else Plan()
    rows = [coverage(name, n, plan) for name in NEIGHBORHOODS for n in plan.sizes]
    text = TEXT.format(table=covered_table(rows), d=D, least=LEAST, most=MOST, **plan._asdict())
    print(text)
    if not quick:
        Path(__file__).with_name("WEIGHT_INTERVALS.md").write_text(text, encoding="utf-8")
    return not all(row.right for row in rows)


if __name__ == "__main__":
    raise SystemExit(main())
