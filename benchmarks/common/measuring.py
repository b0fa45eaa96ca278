"""What the comparison measures with: its settings, clocks, medians of interleaved rounds, and results."""

import dataclasses
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import workloads

ROOT = Path(__file__).parents[2]
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class SkipError(Exception):
    """Why something cannot be measured here."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is measured, and on which data; the defaults are those of the issue."""

    images: Callable[[], workloads.Images] = workloads.mnist
    adult: Callable[[], workloads.Table] = workloads.adult
    codes: Callable[[], workloads.Table] = workloads.adult_in_codes
    reviews: Callable[[], workloads.Reviews] = workloads.reviews
    rounds: int = 7
    slow_rounds: int = 3  # of what takes a second and more
    n_samples: int = 5000
    instances: int = 20  # explained in a round, with few columns
    peer_instances: int = 5  # the same by lime
    wide: tuple[int, int] = (784, 20)  # d, K
    wide_instances: int = 8
    fits: int = 256  # that share one Gram matrix
    peer_fits: int = 16
    weights: int = 10_000_000  # to aggregate
    cnn_instances: int = 8
    image_samples: int = 1000
    lime_instances: int = 10  # explained by lime in a round, and by ours where samples are not shared
    pooled_instances: int = 200  # explained in a round by points that serve all
    reach: tuple[int, int] = (10_000, 100)  # rows, and by lime
    linear: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    memory: tuple[int, ...] = (2_000, 100_000)
    stream: tuple[int, ...] = (100, 10_000)  # parts
    processes: int = 5
    cold_processes: int = 3
    growth: float = 1.0  # share of the points of every axis of growth


def quick() -> Settings:
    """Small sizes, and stand-ins for what would have to be downloaded: does every row run, is every answer right?"""
    return Settings(
        images=workloads.enlarged_digits,
        adult=workloads.synthetic_table,
        codes=workloads.synthetic_codes,
        reviews=workloads.synthetic_reviews,
        rounds=1,
        slow_rounds=1,
        n_samples=1000,
        instances=2,
        peer_instances=2,
        wide=(64, 6),
        wide_instances=2,
        fits=8,
        peer_fits=2,
        weights=100_000,
        cnn_instances=2,
        image_samples=200,
        lime_instances=2,
        pooled_instances=10,
        reach=(20, 2),
        linear=(10, 100),
        memory=(20, 200),
        stream=(10, 100),
        processes=1,
        cold_processes=0,
        growth=0.3,
    )


@dataclass(frozen=True, kw_only=True)
class Result:
    """One line of the table: a figure, and the bar it has to reach."""

    what: str
    against: str = ""
    ours: str = ""
    theirs: str = ""
    figure: float = math.nan
    unit: str = "x"
    at_least: float | None = None
    at_most: float | None = None
    threads: str = "1"
    note: str = ""
    details: str = ""  # Markdown
    skipped: str = ""  # why
    wrong: bool = False  # the answer was, so there is no time

    @classmethod
    def skip(cls, what: str, why: object) -> "Result":
        return cls(what=what, skipped=str(why))

    def without_bar(self) -> "Result":
        return dataclasses.replace(self, at_least=None, at_most=None)

    @property
    def bar(self) -> str:
        if self.at_least is not None:
            return f"≥ {self.at_least:g} {self.unit}"
        return "" if self.at_most is None else f"≤ {self.at_most:g} {self.unit}"

    @property
    def passed(self) -> bool | None:
        """None where there is no bar: the line is there for information."""
        if self.at_least is not None:
            return self.figure >= self.at_least
        return None if self.at_most is None else self.figure <= self.at_most


class Clocked:
    """A model's function, and a clock that stands still while it computes."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.seconds = 0.0

    def __call__(self, X: Any) -> Any:
        start = time.perf_counter()
        outputs = self.function(X)
        self.seconds += time.perf_counter() - start
        return outputs

    def clock(self) -> float:
        return time.perf_counter() - self.seconds

    def own(self, work: Callable[[], object], count: int = 1) -> float:
        """Seconds outside the model, for each of `count`."""
        start = self.clock()
        work()
        return (self.clock() - start) / count


def seconds(work: Callable[[], object], count: int = 1) -> float:
    """Seconds that `work` takes, for each of `count`."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / count


def interleaved(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """What the measures return, each in every round: noise meets them all. Warm up before."""
    results: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for measure, values in zip(measures, results, strict=True):
            values.append(measure())
    return results


def medians(rounds: int, *measures: Callable[[], float]) -> list[float]:
    return [statistics.median(values) for values in interleaved(rounds, *measures)]


def in_process(code: str, *arguments: object, **environment: str) -> Any:
    """Run Python code in a process of its own, with JSON in sys.argv[1:], and return the JSON it prints last."""
    command = [sys.executable, "-c", code, *map(json.dumps, arguments)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": path, **environment}
    finished = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    if finished.returncode:
        raise RuntimeError(f"a process of its own failed:\n{finished.stderr}")
    return json.loads(finished.stdout.splitlines()[-1])


def spell(value: float) -> str:
    """Seconds, in the unit that suits them."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def table(header: list[str], rows: list[list[str]], right: Sequence[int]) -> str:
    """Return a Markdown table whose source is aligned, too; the columns `right` go right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * (width - 1) + (":" if k in right else "-") for k, width in enumerate(widths)]
    lines = []
    for line in (header, rule, *rows):
        cells = [
            cell.rjust(width) if k in right else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def mebibytes(count: float) -> str:
    return f"{count / 2**20:.1f} MiB"


def processor() -> str:
    try:
        from cpuinfo import get_cpu_info
    except ImportError:
        return platform.processor() or platform.machine()
    return str(get_cpu_info().get("brand_raw", platform.machine()))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
