"""The figures of this library beside its peers', in one run: python -m benchmarks.comparison.

A whole run prints its report, and writes it as RESULTS.md with the plot time.png, here. It takes about eleven minutes
on two cores; `--rows` and `--quick` only print.
"""

import argparse
import dataclasses
import datetime
import functools
import importlib.metadata
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from threadpoolctl import threadpool_info

from benchmarks.common import workloads
from benchmarks.common.measuring import ONE_THREAD, Result, Settings, SkipError, processor, quick, table
from benchmarks.comparison import accelerated_lime, against_lime, growth, kernels, processes, runs

HERE = Path(__file__).parent
PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "lime", "lightgbm", "onnxruntime", "skglm", "celer", "adelie")


class Row(NamedTuple):
    measure: Callable[[Settings], Iterator[Result]]
    meaning: str
    checked: str  # how the answers are, before a time counts


EXACT = "weights within Monte-Carlo error (5 standard errors) of the exact ones, which are known for this model"
SAME = "on the same draws the same features, and weights to 1e-6 of the largest, as"
ROWS = {
    "normals": Row(
        kernels.normals,
        "Random numbers are the raw material of every perturbed sample.",
        "mean, variance and Kolmogorov-Smirnov distance of both",
    ),
    "own": Row(
        runs.own_time,
        "What an explanation costs outside the model: drawing the samples, selecting the features, fitting.",
        f"{EXACT}; of lime's defaults, which explain bins, those of least squares on new draws from the same bins",
    ),
    "own-wide": Row(runs.own_time_wide, "The same with many columns, such as the pixels of a small image.", EXACT),
    "k-lasso": Row(
        kernels.k_lasso,
        "Finding the K features of many outputs, once the correlations of the columns are known.",
        "every fit has the support that LARS finds, a duality gap of at most 1e-4 of y'y / 2",
    ),
    "run": Row(
        runs.whole_run,
        "What a user waits for, over what calling the model alone takes: 1 would be explanations for nothing.",
        "the features of the first instance are those of LARS, its weights those of least squares",
    ),
    "lime-tables": Row(
        against_lime.tables,
        "Tables as lime sees them, of categories as numbers: in bins, which is its default, and continuous. Ours draws"
        " eight sets of points for all instances, and asks the model about them once.",
        f"{SAME} lime, with the points that it drew for an instance",
    ),
    "lime-reach": Row(against_lime.reach, "Many rows by ours in the time of few by lime.", f"{SAME} lime"),
    "lime-images": Row(
        against_lime.images,
        "Squares of images switched off, as lime does with segments; both explain the predicted digit.",
        f"{SAME} lime's own fit, with masks read from what ours showed the model",
    ),
    "lime-texts": Row(
        against_lime.texts,
        "Words of texts removed, as lime does. Sparse rows lose them after TF-IDF, so that the rest is not scaled"
        " anew.",
        f"{SAME} lime's own fit, with masks read from what ours showed the model",
    ),
    "lime-accelerated": Row(
        accelerated_lime.accelerated,
        "lime itself, with and without `accelerate`. What is left is how lime draws its samples: most in bins and"
        " images, where it cuts and pastes.",
        f"{SAME} lime without",
    ),
    "aggregation": Row(
        kernels.aggregation,
        "From many local explanations to the importance of every feature for every class.",
        "the same S as scipy's",
    ),
    "threads": Row(
        runs.threads,
        "What a second core brings, with a model that costs nothing: its outputs were recorded.",
        f"{EXACT}; the same bits",
    ),
    "linear": Row(runs.linear, "Whether many instances cost as much each as few.", EXACT),
    "memory": Row(
        processes.memory,
        "Whether memory stays the same however many rows are explained.",
        "every explanation has the strongest feature with its sign, and none that the model does not read",
    ),
    "stream": Row(
        processes.stream,
        "Whether explanations that come in parts can be summed without keeping them.",
        "the sum of all |w| and the number of explanations",
    ),
    "import": Row(processes.import_time, "How long a program that only imports the library waits.", "nothing"),
    "first": Row(
        processes.first_explain,
        "How long the first explanation takes, compiled or loaded.",
        "the same bits in all processes",
    ),
}
GROWTH = "growth"


def measured(names: Sequence[str], settings: Settings) -> dict[str, list[Result]]:
    """Results of the rows; one whose answer is wrong has no time."""
    results = {}
    for name in names:
        start = time.perf_counter()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        results[name] = list(lines_of(name, settings))
        print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return results


def grown(settings: Settings) -> list[growth.Line]:
    lines = []
    for axis in growth.AXES:
        print(f"growth with {axis} ...", file=sys.stderr, flush=True)
        lines.append(growth.line(axis, settings))
    return lines


def lines_of(name: str, settings: Settings) -> Iterator[Result]:
    try:
        yield from ROWS[name].measure(settings)
    except SkipError as reason:
        yield Result.skip(name, reason)
    except AssertionError as error:
        why = " ".join(str(error).split())[:200]
        yield Result(what=f"**{name}: a wrong answer**", wrong=True, note=f"Stopped at a wrong answer: {why}")


def verdict(result: Result) -> str:
    if result.skipped:
        return "skipped"
    if result.wrong:
        return "**WRONG**"
    return {True: "pass", False: "**MISS**", None: ""}[result.passed]


def figure_of(result: Result) -> str:
    if math.isnan(result.figure):
        return ""
    digits = f"{result.figure:.3f}" if result.figure < 2 else f"{result.figure:.3g}"
    return f"{digits} {result.unit}"


def main_table(results: dict[str, list[Result]]) -> str:
    rows = [
        [name, r.what, r.against, r.ours, r.theirs, figure_of(r), r.bar, verdict(r), r.threads]
        for name, lines in results.items()
        for r in lines
    ]
    header = ["row", "what", "against", "ours", "theirs", "measured", "bar", "verdict", "threads"]
    return table(header, rows, right=(3, 4, 5, 6))


def summary(results: dict[str, list[Result]]) -> str:
    verdicts = [verdict(result).strip("*") for lines in results.values() for result in lines]
    counts = {word: verdicts.count(word) for word in ("pass", "MISS", "skipped", "WRONG")}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def explained(results: dict[str, list[Result]]) -> str:
    """What each row means, how its answers were checked, and what else to know of it."""
    paragraphs = []
    for name, lines in results.items():
        paragraphs.append(f"### {name}\n\n{ROWS[name].meaning} Checked: {ROWS[name].checked}.\n")
        for result in lines:
            said = f"Skipped: {result.skipped}." if result.skipped else result.note
            about = "" if len(lines) == 1 else f"{result.what}{f', against {result.against}' * bool(result.against)}: "
            paragraphs += [f"* {about}{said}"] if said else []
        paragraphs += [f"\n{result.details}" for result in lines if result.details]
        paragraphs.append("")
    return "\n".join(paragraphs).replace("\n\n\n", "\n\n").rstrip()


def surroundings() -> str:
    """Machine, versions and threads."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} not installed")
    pools = {f"{p['internal_api']} {p['version'] or ''}".strip(): p["num_threads"] for p in threadpool_info()}
    threads = ", ".join(f"{name}: {count}" for name, count in sorted(pools.items()))
    load = f", load average {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return (
        f"* Machine: {processor()}, {os.cpu_count()} cores, {platform.system()}{load}.\n"
        f"* Versions: Python {platform.python_version()}, {', '.join(versions)}.\n"
        f"* Threads: one for everything, models and BLAS too, but where the table says otherwise. Thread pools:"
        f" {threads}."
    )


INTRODUCTION = """\
Times are medians of the rounds of one run, in which ours and the peers take turns. "Own time" is what passes outside
the user's model: the clock stands still while the model computes. A time counts only once the answer was checked. A
line without a bar is there for information.
"""
GROWTH_INTRODUCTION = """\
Own time along one axis at a time, the other sizes fixed (K is at most d / 2); answers are checked as in the row `own`.
The exponent is that of a power law fitted to all points; that of the last step says where it is heading.
"""
PLOT = """\
![Time per explanation against d and n](time.png)

lime is continuous, around the instance, with lasso_path; the model is LightGBM, on the samples of one instance.
"""


def report(results: dict[str, list[Result]], lines: list[growth.Line], minutes: float) -> str:
    """The whole page, as Markdown."""
    today = datetime.date.today()
    made = f"Written by `python -m benchmarks.comparison`, not by hand, on {today} in {minutes:.0f} minutes."
    parts = ["# Results", made, surroundings(), INTRODUCTION]
    if results:
        parts += [f"{summary(results)}.", main_table(results), "## What the rows mean", explained(results)]
    if lines:
        parts += ["## Growth", GROWTH_INTRODUCTION, growth.as_table(lines), PLOT]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comparison", description=__doc__.split("\n\n")[0])
    names = [*ROWS, GROWTH]
    parser.add_argument("--rows", nargs="+", choices=names, metavar="ROW", help=f"only these: {', '.join(names)}")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and stand-ins for downloads: no verdict counts"
    )
    parser.add_argument("--mnist", metavar="NPZ", help="x_train, y_train, x_test, y_test; by default from OpenML")
    parser.add_argument("--adult", metavar="NPZ", help="X, y, category_names; by default from OpenML")
    parser.add_argument("--reviews", metavar="CSV.GZ", help="text, recommended; without it, no row of texts")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    if any(os.environ.get(name) != count for name, count in ONE_THREAD.items()):  # which libraries read when imported
        command = [sys.executable, "-m", "benchmarks.comparison", *(sys.argv[1:] if arguments is None else arguments)]
        return subprocess.call(command, env={**os.environ, **ONE_THREAD})
    settings = quick() if options.quick else Settings()
    if not options.quick:
        images, adult = (
            functools.partial(workloads.mnist, options.mnist),
            functools.partial(workloads.adult, options.adult),
        )
        codes = functools.partial(workloads.adult_in_codes, options.adult)
        reviews = functools.partial(workloads.reviews, options.reviews)
        settings = dataclasses.replace(settings, images=images, adult=adult, codes=codes, reviews=reviews)
    start = time.perf_counter()
    results = measured([name for name in ROWS if not options.rows or name in options.rows], settings)
    if options.quick:  # such small sizes say nothing
        results = {name: [r.without_bar() for r in lines] for name, lines in results.items()}
    lines = grown(settings) if not options.rows or GROWTH in options.rows else []
    page = report(results, lines, (time.perf_counter() - start) / 60)
    print(page)
    if not (options.rows or options.quick):
        (HERE / "RESULTS.md").write_text(page, encoding="utf-8")
        growth.draw(lines, HERE / "time.png")
    return int(any(r.wrong for lines in results.values() for r in lines))
