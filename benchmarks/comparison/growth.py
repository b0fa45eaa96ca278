"""Cost against n, d, K, instances, targets and threads, each on its own axis, and a plot of the first two."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.common import workloads
from benchmarks.common.measuring import Clocked, Settings, cores, interleaved, seconds, spell, table
from benchmarks.comparison.runs import Lime, explainer

COMMON = {"n": 5000, "d": 30, "K": 10, "instances": 10, "targets": 1, "threads": 1}
AXES: dict[str, tuple[Sequence[int], dict[str, int]]] = {  # the points, and what differs from COMMON
    "n": ((500, 1000, 2000, 5000, 10000, 20000), {}),
    "d": ((10, 20, 50, 100, 200, 400, 784), {"instances": 4}),
    "K": ((1, 2, 5, 10, 20, 50, 100), {"d": 200, "instances": 4}),
    "instances": ((10, 100, 1000, 10000), {"n": 500, "d": 10, "K": 5}),
    "targets": ((1, 2, 5, 10, 20, 50), {"instances": 4}),
    "threads": ((1, 2, 4, 8, 16, 32), {"instances": 200}),
}
WITH_PEERS = ("n", "d")  # axes of the plot
MEANING = {
    "n": "samples of an instance",
    "d": "columns",
    "K": "features of an explanation",
    "instances": "rows explained, time of all",
    "targets": "outputs explained, which share samples and Gram matrix",
    "threads": "n_jobs, up to the cores there are",
}


class Line(NamedTuple):
    """Seconds along an axis."""

    axis: str
    points: list[int]
    ours: list[float]
    lime: list[float]  # empty, but on the axes of the plot
    model: list[float]


def points_of(axis: str, settings: Settings) -> list[int]:
    points = list(AXES[axis][0])
    if axis == "threads":
        points = [point for point in points if point <= cores()]
    return points[: max(2, round(settings.growth * len(points)))]


def case(axis: str, point: int) -> tuple[Callable[[], float], dict[str, int], workloads.Sigmoids, np.ndarray]:
    """Own seconds at a point of an axis, an instance where the number of instances is fixed; checked once."""
    sizes = {**COMMON, **AXES[axis][1], axis: point}
    n, d, targets = sizes["n"], sizes["d"], sizes["targets"]
    K = min(sizes["K"], d // 2)
    model = workloads.decaying(d, K, max(2, targets))
    X = np.random.default_rng(0).standard_normal((sizes["instances"], d))
    clocked = Clocked(model)
    options = {"targets": list(range(targets)), "n_jobs": sizes["threads"]}
    run = explainer(clocked, 1.0, n, K, **options)
    local = run.explain(X)  # compiles
    for k in range(min(len(local.instance), 5 * targets)):
        weights = local.weights[[k]]
        explained = weights.indices, weights.data
        model.assert_explained(X[local.instance[k]], 1.0, local.target[k], explained, n, n_features=K)
    count = 1 if axis == "instances" else len(X)
    return lambda: clocked.own(lambda: run.explain(X), count), {**sizes, "K": K}, model, X


def peers(sizes: dict[str, int], model: workloads.Sigmoids, X: np.ndarray) -> tuple[Callable[[], float], ...]:
    """Lime's own seconds, and those of a LightGBM model of 200 trees on the rows of one instance."""
    n, d = sizes["n"], sizes["d"]
    data = np.random.default_rng(1).standard_normal((2000, d))
    lime = Lime(model, data, n, sizes["K"])
    lime.assert_continuous(X[0], data.std(axis=0))
    predict = workloads.lightgbm(workloads.Table("", data, (model(data)[:, 1] > 0.5).astype(int)))
    rows = np.random.default_rng(2).standard_normal((n, d))
    return lambda: lime.own_times(X[:1])[0], lambda: seconds(lambda: predict(rows))


def line(axis: str, settings: Settings) -> Line:
    """All points in turn, in every round."""
    points = points_of(axis, settings)
    cases = [case(axis, point) for point in points]
    ours = interleaved(settings.rounds, *(measure for measure, *_ in cases))
    others: list[tuple[float, ...]] = []
    if axis in WITH_PEERS:
        for _, sizes, model, X in cases:
            times = interleaved(settings.slow_rounds, *peers(sizes, model, X))
            others.append(tuple(map(statistics.median, times)))
    lime, model = zip(*others, strict=True) if others else ((), ())
    return Line(axis, points, [statistics.median(times) for times in ours], list(lime), list(model))


def exponent(points: Sequence[float], times: Sequence[float]) -> float:
    return float(np.polyfit(np.log(points), np.log(times), 1)[0])


def as_table(lines: list[Line]) -> str:
    """Markdown: the times of ours, and how they grow."""
    rows = []
    for axis, points, ours, *_ in lines:
        fixed = {**COMMON, **AXES[axis][1]}
        others = ", ".join(f"{name}={value}" for name, value in fixed.items() if name != axis)
        times = ", ".join(f"{point:,}: {spell(time)}" for point, time in zip(points, ours, strict=True))
        known = len(points) > 1
        fitted = f"{exponent(points, ours):.2f}" if known else "one point"
        last = f"{exponent(points[-2:], ours[-2:]):.2f}" if known else ""
        rows.append([f"{axis} ({MEANING[axis]})", others, times, fitted, last])
    return table(["axis", "beside", "own time of an instance", "exponent", "of the last step"], rows, right=(3, 4))


def draw(lines: list[Line], path: Path) -> None:
    """Time per explanation against d and n: ours, lime, the model alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted((one for one in lines if one.lime), key=lambda one: one.axis)
    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for panel, one in zip(panels, shown, strict=True):
        for times, name, style in (
            (one.lime, "lime (continuous, lasso_path), own time", "s-"),
            (one.model, "the model alone (LightGBM, 200 trees)", "^--"),
            (one.ours, "normlime_fast, own time", "o-"),
        ):
            panel.loglog(one.points, np.array(times) * 1e3, style, label=name)
        fixed = {**COMMON, **AXES[one.axis][1]}
        panel.set_title(", ".join(f"{name}={fixed[name]}" for name in ("n", "d", "K") if name != one.axis))
        panel.set_xlabel(f"{one.axis}: {MEANING[one.axis]}")
        panel.set_xticks(one.points, [f"{point:,}" for point in one.points])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("ms per explanation, one thread")
    panels[0].legend(loc="upper left", frameon=False, fontsize="small")
    figure.savefig(path, dpi=120)
