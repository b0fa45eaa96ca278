"""How stable the global importance S is over seeds, and how far from its limit, against the rows the model is asked.

    python -m benchmarks.studies.stability [--quick] [--adult NPZ]

The same instances are explained under many seeds; only rng differs. Compared are S of any two seeds, and S of a seed
with that of a run with many more rows (the limit of that neighborhood), by the Jaccard index of their most important
features and by Kendall's tau over all. A whole run takes two processes some minutes, and writes STABILITY.md and
its plot; --quick only prints.
"""

import argparse
import datetime
import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import hypergeom

from benchmarks.common.measuring import processor, table
from benchmarks.studies.stability_study import (
    QUICK,
    Agreement,
    Curve,
    Level,
    Plan,
    Study,
    adult_case,
    agreement,
    breast_cancer_case,
    least_count,
    studies,
    study,
    synthetic_case,
)

HERE = Path(__file__).parent
ENOUGH = 0.9  # of an agreement, for the summary


def by_chance(d: int, k: int) -> float:
    """Expected Jaccard index of two random sets of k of d features."""
    common = np.arange(k + 1)
    return float(hypergeom.pmf(common, d, k, k) @ (common / (2 * k - common)))


def cells(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]


FIELDS = {"top5": "top 5", "top10": "top 10", "tau": "tau", "tau_of_used": "tau, min_count"}


def levels_table(one: Study) -> str:
    header = ["neighborhood", "n_samples", "model rows"]
    header += [f"{what}: {name}" for what in ("seeds", "limit") for name in FIELDS.values()]
    rows = [
        [c.name, f"{at.n_samples:,}", f"{at.rows:,}", *cells((*at.seeds, *at.limit))]
        for c in one.curves
        for at in c.levels
    ]
    return table(header, rows, range(1, len(header)))


def rows_for(one: Curve, field: str) -> str:
    """The fewest model rows from which on both agreements are enough."""
    fewest = None
    for at in reversed(one.levels):
        if min(getattr(at.seeds, field), getattr(at.limit, field)) < ENOUGH:
            break
        fewest = at.rows
    return f"> {one.levels[-1].rows:,}" if fewest is None else f"{fewest:,}"


def needed_table(one: Study) -> str:
    rows = [[c.name, *(rows_for(c, field) for field in FIELDS)] for c in one.curves]
    return table(["neighborhood", *FIELDS.values()], rows, range(1, 5))


def gain(at: Level) -> float:
    """What is left of the spread with ten times the instances."""
    return at.spread / at.spread_of_part


def spread_table(one: Study) -> str:
    header = ["neighborhood", "n_samples", "effective", "a tenth of the instances", "all", "all / a tenth"]
    rows = []
    for c in one.curves:
        at = c.levels[-1]
        spreads = [f"{value:.1%}" for value in (at.spread_of_part, at.spread)]
        rows.append([c.name, f"{at.n_samples:,}", f"{c.effective:.0%}", *spreads, f"{gain(at):.2f}"])
    return table(header, rows, range(1, len(header)))


def between(first: Curve, second: Curve) -> Agreement:
    return agreement([first.limit] * 2, [second.limit] * 2)


def limits_table(one: Study) -> str:
    """How much the limits of the neighborhoods agree, and each with itself under other draws of instances."""
    header = ["limit of", "model rows", "other instances", *map(str, range(1, len(one.curves) + 1))]
    rows = []
    for k, c in enumerate(one.curves, 1):
        against = (c.instances, *(between(c, other) for other in one.curves))
        pairs = [f"{getattr(a, f'top{one.n_features}'):.2f}, {a.tau:.2f}" for a in against]
        rows.append([f"{k} {c.name}", f"{c.limit_rows:,}", *pairs])
    return table(header, rows, range(1, len(header)))


def draw(studies: list[Study], path: Path) -> None:
    """Agreement between seeds and with the limit, against model rows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2 * len(studies)), layout="constrained")
    FigureCanvasAgg(figure)
    names = list(dict.fromkeys(c.name for one in studies for c in one.curves))
    for panels, one in zip(figure.subplots(len(studies), 2, squeeze=False, sharex=True), studies, strict=True):
        k = one.n_features
        for panel, field, name in zip(panels, (f"top{k}", "tau"), (f"top-{k} Jaccard", "Kendall tau"), strict=True):
            for c in one.curves:
                rows, color = [at.rows for at in c.levels], f"C{names.index(c.name)}"
                panel.semilogx(rows, [getattr(at.seeds, field) for at in c.levels], "o-", color=color, label=c.name)
                panel.semilogx(rows, [getattr(at.limit, field) for at in c.levels], "s:", color=color, alpha=0.6)
            panel.set_title(f"{one.name}: {name}", fontsize="medium")
            panel.set_xlabel("model rows in all")
            panel.xaxis.set_minor_formatter("")
            panel.grid(alpha=0.3)
        panels[0].set_ylabel("between seeds (solid), with the limit (dotted)")
        panels[1].legend(loc="lower right", frameon=False, fontsize="small")
    figure.savefig(path, dpi=110)


MEASURED = """\
{instances} instances, the same in all runs, are explained under {seeds} seeds. Between seeds: the mean over their
pairs. Limit: the mean over seeds against one run of the same neighborhood with many more rows, the last table has
how many, since seeds that agree may all be wrong. "top 5" and "top 10" are Jaccard indices of the most important
features, "tau" is Kendall's over all features, and "tau, min_count" that of `importance(min_count={min_count})`.
Model rows are those of a whole run: n_samples for each instance with `Gaussian`, for all together with the others,
and one for each instance. The models are LightGBM. A limit is one run, with an error of its own; that of `Gaussian`
on adult may not have settled.

Widths of `Gaussian` are in standard deviations of the data. "Pool of rows" is `Pool.from_data` with its own width,
"auto", and "lime's kernel" is kernel="exponential". Pools and bins have one set of points, `n_sets=1`. Pools of rows
end at half of the table: halves drawn without replacement differ about as much as new tables of full size would. With
all rows seeds agree perfectly, whatever the table is worth. Their limit is all rows, their own among them, which
flatters them."""
NEEDED = f"Model rows from which on the agreement is at least {ENOUGH}, between seeds and with the limit:"
SPREAD = """\
Standard deviation of S over seeds, relative to S, of the five features that are used most, at the most rows. Ten times
the instances leave 0.32 of it where their errors are independent, and all of it where they share one error. Effective
is the mean effective sample size of the limit's fits, of all its samples: near 100% all of them weigh alike."""
LIMITS = """\
Do the neighborhoods agree with one another? Top {k} and tau of their limits; and of one limit with itself, if other
instances had been drawn (bootstrap):"""


RECOMMENDATION = """\
## Recommendation

* **A large table with categories (adult): `Pool.from_data` with n_samples=10,000.** Its top 5 agrees to {enough}
  from {pool_top} model rows on, its whole ranking from {pool_tau}. `Gaussian` of width 1 asks anew for each of the
  {instances} instances: it takes {gaussian_top} and {gaussian_tau}. lime's kernel is steadier still, since it weighs
  nearly all points alike (effective: {wide_share:.0%}): it explains the model as a whole rather than around an
  instance. So does `Binned` ({binned_share:.0%}).
* **A small table (breast cancer): not `Pool.from_data`.** With half of its rows the top 10 of two seeds agree to
  {small_top:.2f}, S differs by {small_spread:.0%}, and even that of all rows shares little with the others (tau at
  most {small_tau:.2f}). `Binned` with n_samples=10,000 agrees to {binned_top:.2f} in the top 10, `Gaussian` with
  1,000 for each instance to {own_top:.2f} (width 1) and {narrow_top:.2f} (width 0.5). The order of the features
  behind them takes more.
* **Hide what few explanations use.** S is a mean over the explanations that use a feature, and a feature that hardly
  ever helps gets a large weight by chance where it is used. `importance(min_count=...)` of a tenth of the instances
  brings tau with the limit from {plain:.2f} to {hidden:.2f} on adult (`Gaussian` of width 1, n_samples={n:,}).
* **Seeds that agree may all be wrong.** There, with n_samples={few:,}, seeds agree to tau {seeds:.2f}, and with the
  limit to {limit:.2f}: few samples choose features by chance, and chance has favourites. Repeating a run with
  another seed does not show it.
* **More instances do not make up for a small pool.** With ten times the instances `Gaussian` of width 1 keeps
  {own_gain} of its spread (independent errors keep 0.32), but `Binned` {binned_gain}, `Pool.gaussian` {drawn_gain}
  and lime's kernel {wide_gain}: all instances share the errors of the points. Errors average out only where few
  points count, and other ones for every instance: the pool of rows keeps {local_gain} on adult. Raise n_samples
  instead.
* **The neighborhood matters more than the seed.** Limits of different neighborhoods agree to tau {low:.2f} to
  {high:.2f} on adult: they answer different questions. Choose by the question (noise around the instance, rows that
  occur, or bins), then n_samples by the tables.
"""


def recommendation(adult: Study, cancer: Study, plan: Plan) -> str:
    """The text, with the numbers of this run; whoever runs it again reads whether it still follows from them."""
    ours, small = ({c.name: c for c in one.curves} for one in (adult, cancer))
    gaussian, pool = ours["Gaussian, width 1"], ours["Pool of rows"]
    halves = small["Pool of rows"].levels[-1]
    chance, middle = gaussian.levels[2], gaussian.levels[4]
    taus = [between(a, b).tau for a, b in combinations(adult.curves, 2)]

    def gains(name: str) -> str:
        found = sorted(
            f"{gain(c.levels[-1]):.2f}" for one in (ours, small) for c in one.values() if c.name.endswith(name)
        )
        return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"

    def needed(one: Curve, field: str) -> str:
        return rows_for(one, field).replace(">", "more than")

    def top10(name: str, n_samples: int) -> float:
        """Of seeds or with the limit, whichever is less."""
        return min(
            min(at.seeds.top10, at.limit.top10)
            for at in small[name].levels
            if n_samples - plan.instances <= at.n_samples <= n_samples
        )

    rest = [c for c in cancer.curves if not c.name.startswith("Pool of rows")]
    return RECOMMENDATION.format(
        enough=ENOUGH,
        instances=plan.instances,
        pool_top=needed(pool, "top5"),
        pool_tau=needed(pool, "tau"),
        gaussian_top=needed(gaussian, "top5"),
        gaussian_tau=needed(gaussian, "tau"),
        wide_share=ours["Pool of rows, lime's kernel"].effective,
        binned_share=ours["Binned"].effective,
        small_top=halves.seeds.top10,
        small_spread=halves.spread,
        small_tau=max(between(small["Pool of rows"], c).tau for c in rest),
        binned_top=top10("Binned", 10_000),
        own_top=top10("Gaussian, width 1", 1_000),
        narrow_top=top10("Gaussian, width 0.5", 1_000),
        plain=middle.limit.tau,
        hidden=middle.limit.tau_of_used,
        n=middle.n_samples,
        few=chance.n_samples,
        seeds=chance.seeds.tau,
        limit=chance.limit.tau,
        own_gain=gains("Gaussian, width 1"),
        binned_gain=gains("Binned"),
        drawn_gain=gains("Pool.gaussian"),
        wide_gain=gains("lime's kernel"),
        local_gain=f"{gain(pool.levels[-1]):.2f}",
        low=min(taus),
        high=max(taus),
    )


def section(one: Study) -> str:
    chance = " and ".join(f"{by_chance(one.d, k):.2f} (top {k})" for k in (5, 10))
    return "\n\n".join(
        [
            f"## {one.name}",
            f"Random sets of features would have a Jaccard index of {chance}.",
            NEEDED,
            needed_table(one),
            "All that was measured:",
            levels_table(one),
            SPREAD,
            spread_table(one),
            LIMITS.format(k=one.n_features),
            limits_table(one),
        ]
    )


def report(studies: list[Study], plan: Plan, minutes: float, advice: str = "") -> str:
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scipy", "numba", "lightgbm")
    )
    made = (
        f"Written by `python -m benchmarks.studies.stability` on {datetime.date.today()} in {minutes:.0f} minutes, on "
        f"{processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}."
    )
    measured = MEASURED.format(instances=plan.instances, seeds=plan.seeds, min_count=least_count(plan.instances))
    plot = "![Agreement of S against model rows](stability.png)"
    parts = [
        "# Stability of the global importance",
        made,
        advice.strip(),
        plot if advice else "",
        "## What was measured",
    ]
    return "\n\n".join(filter(None, [*parts, measured, *map(section, studies)])) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.stability", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="few rows, and a synthetic table alone")
    parser.add_argument("--adult", metavar="NPZ", help="X, y, category_names; by default from OpenML")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    if options.quick:
        print(report([study(synthetic_case, QUICK)], QUICK, (time.perf_counter() - start) / 60))
        return 0
    found = studies([partial(adult_case, options.adult), breast_cancer_case], Plan())
    page = report(found, Plan(), (time.perf_counter() - start) / 60, recommendation(*found, Plan()))
    print(page)
    (HERE / "STABILITY.md").write_text(page, encoding="utf-8")
    draw(found, HERE / "stability.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
