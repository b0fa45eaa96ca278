"""Draws what was found. Every figure is 8 inches wide, to be read at 800 pixels."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.paper import explain, maps, retrain
from benchmarks.paper.questionnaire import METHODS
from benchmarks.paper.study import CLASSES, Study
from normlime_fast import evaluation
from normlime_fast.plotting import _common

WIDTH = 8.0  # inches
DPI = 150
SMALL = 8  # points
CELL, GAP = 0.645, 0.15  # inches from map to map, and these between blocks of methods
LABELS, ABOVE, BELOW = 1.55, 0.22, 0.3  # inches
BRIGHT = 99  # percentile of a map that is as bright as can be: a single pixel would leave the others in the dark
LOCAL = 3  # the digit of which an image is drawn with its explanations
GREY, BLACK = "#777777", "#222222"
COLOURS = dict(zip((*METHODS, "SHAP", "standard deviation"), _common.COLOURS, strict=True)) | {
    "random": GREY,
    "class mean": BLACK,
}
SHORT = {", K = ": " ", "log-probability": "log-p.", "probability": "prob."}
TITLES = {
    "pixels": "Keep and retrain: CNNs trained without the least important pixels",
    "features": "Keep and retrain: heads trained without the least important outputs of the second block",
}
TICKS = (-0.1, 0, 0.1, 0.3, 1, 3, 10, 30)  # points
CHANGED = {  # how another network, or other images, are drawn
    "same, other images": ("the same CNN, other images", "o", BLACK),
    "trained from another seed": ("a CNN trained from another seed", "s", _common.BLUE),
    "random head": ("head random", "^", _common.COLOURS[4]),
    "all random": ("all layers random", "v", _common.VERMILLION),
}


def run(study: Study) -> None:
    of_classes = maps.load(study)
    _save(study, "class-maps", _grid([_paper_rows(of_classes), _other_rows(of_classes)]))
    variants = {name: rows for name, rows in of_classes.items() if name not in ("class mean", "random")}
    _save(study, "class-maps-settings", _grid(_by_method(variants)))
    _save(study, "local", _local(study))
    for kind, title in TITLES.items():
        _save(study, f"retrain-{kind}", _retrained(retrain.load(study, kind), _paper(kind), title))
    lines = list(study.results("maps"))
    _save(study, "map-measures", _measures(lines, [*of_classes]))
    _save(study, "map-randomisation", _randomised([line for line in lines if line["measure"] == "randomisation"]))


def _paper(kind: str) -> dict[str, list[tuple[float, float]]]:
    """Return the shares removed and error gains that the paper reports, by method."""
    found: dict[str, list[tuple[float, float]]] = {}
    for (of_kind, method, level), gain in retrain.PAPER.items():
        if of_kind == kind:
            found.setdefault(method, []).append((level, gain))
    return found


def _figure(height: float) -> Figure:
    return Figure((WIDTH, height), layout="constrained")


def _save(study: Study, name: str, figure: Figure) -> None:
    """Save it with 256 colours, which is enough for maps and much smaller."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(DPI)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(study.out / "figures" / f"{name}.png", optimize=True)


def _short(name: str) -> str:
    for long, short in SHORT.items():
        name = name.replace(long, short)
    return name


def _colour(name: str) -> str:
    """Return the colour of a method, which its variants share."""
    return COLOURS[name.split(",")[0].removesuffix(" times variance")]


Rows = dict[str, np.ndarray]


def _paper_rows(found: Rows) -> Rows:
    return {name: found[name] for name in METHODS}


def _other_rows(found: Rows) -> Rows:
    best = ", mask, K = 50, log-probability"
    names = {f"{kind}{best}": f"{kind}\nmasks, K = 50, log-p." for kind in maps.KINDS}
    return {label: found[name] for name, label in names.items()} | {"mean image\n(no network)": found["class mean"]}


def _by_method(found: Rows) -> list[Rows]:
    """Return the maps of each method and its variants, with labels of two lines."""
    blocks = []
    for method in METHODS:
        names = [name for name in found if name.split(",")[0] == method]
        blocks.append({_in_two_lines(name): found[name] for name in names})
    return blocks


def _in_two_lines(name: str) -> str:
    method, comma, rest = name.partition(", ")
    plain = "gaussian 20, prob." if method in maps.KINDS else "log-p., 10 images"
    return f"{method}\n{_short(rest) if comma else plain}"


def _grid(blocks: list[Rows]) -> Figure:
    """Draw maps, a row for each method, each map in a scale of its own."""
    heights = [height for rows in blocks for height in (*[1.0] * len(rows), GAP)]
    height = ABOVE + CELL * sum(heights) + BELOW
    figure = Figure((WIDTH, height))
    grid = figure.add_gridspec(len(heights), len(CLASSES), wspace=0.04, hspace=0.04, height_ratios=heights)
    grid.update(left=LABELS / WIDTH, right=1, bottom=(BELOW - GAP * CELL) / height, top=1 - ABOVE / height)
    at = 0
    for rows in blocks:
        for label, values in rows.items():
            axes = [figure.add_subplot(grid[at, c]) for c in CLASSES]
            for c, ax, one in zip(CLASSES, axes, values, strict=True):
                ax.set_title("" if at else c, fontsize=SMALL + 1, pad=3)
                _picture(ax, one, cmap=_common.SEQUENTIAL, vmin=0, vmax=np.percentile(one, BRIGHT) or one.max())
            axes[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=SMALL)
            at += 1
        at += 1
    about = f"each map from 0 (dark) to its {100 - BRIGHT} % largest pixels (light); log-p.: of the log-probability"
    style = {"ha": "center", "va": "bottom", "fontsize": SMALL, "color": GREY}
    figure.text(0.5, 0.05 / height, about, **style)
    return figure


def _picture(ax: Axes, values: np.ndarray, **style: Any) -> None:
    ax.imshow(values.reshape(28, 28), interpolation="nearest", **style)
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set_visible(False)


def _local(study: Study) -> Figure:
    """Draw the image of a digit whose R^2 is the median, and its explanations in all settings."""
    literal = explain.load(study, explain.LITERAL)
    here = np.flatnonzero(literal.target == LOCAL)  # of the probability
    image = literal.instance[here[np.argsort(literal.r2[here])[len(here) // 2]]]
    ink = study.data.X[image]
    figure = _figure(4.9)
    axes = figure.subplots(len(explain.OUTPUTS), len(explain.SETTINGS) + 1)
    for row, output in zip(axes, explain.OUTPUTS, strict=True):
        _picture(row[0], ink, cmap="gray_r")
        row[0].set_ylabel(f"of the {output}\nof {study.predicted[image]}", fontsize=SMALL + 1)
        for ax, setting in zip(row[1:], explain.SETTINGS, strict=True):
            local = explain.load(study, setting)
            weights = explain.of_output(local, output, np.array([image])).toarray()[0]
            here = (local.instance == image) & (local.target // len(CLASSES) == explain.OUTPUTS.index(output))
            largest = np.abs(weights).max()
            _picture(ax, weights, cmap=_common.DIVERGING, vmin=-largest, vmax=largest)
            ax.contour(ink.reshape(28, 28), [0.3], colors=GREY, linewidths=0.8)
            ax.set_title(f"{setting}\n$R^2$ = {local.r2[here].item():.2f}", fontsize=SMALL + 1)
    axes[0, 0].set_title("the image", fontsize=SMALL + 1)
    figure.suptitle("One image explained: blue pixels speak for the digit, red ones against it", fontsize=SMALL + 3)
    figure.supxlabel(
        "each from minus to plus its largest weight; grey: the digit's outline", fontsize=SMALL, color=GREY
    )
    return figure


def _retrained(
    found: dict[str, evaluation.Retrained], paper: dict[str, list[tuple[float, float]]], title: str
) -> Figure:
    """Draw error gains, of the paper's methods on the left and of others on the right."""
    figure = _figure(5.6)
    known = [name for name, one in found.items() if np.isfinite(one.gains).any()]
    random = [name for name in known if name == "random"]
    theirs = [name for name in METHODS if name in known]
    ours = ["NormLIME", *(name for name in known if name not in (*theirs, *random))]
    panels = figure.subplots(1, 2, sharey=True)
    for ax, names in zip(panels, (theirs, ours), strict=True):
        _gain_axes(ax, found["random"].levels)
        names = [*names, *random]
        for name, style in zip(names, _line_styles(names), strict=True):
            _draw_gains(ax, found[name], name, style)
    for name, places in paper.items():
        style = {"markersize": 12, "color": _colour(name), "markeredgecolor": BLACK, "label": f"{name} in the paper"}
        panels[0].plot(*zip(*places, strict=True), "*", clip_on=False, **style)
    # what only intervals reach, as those of two replicates do, is left out
    gains = np.concatenate([found[name].gains.ravel() for name in known])
    panels[0].set_ylim(min(-0.15, 1.3 * np.nanmin(gains)), 1.5 * np.nanmax(gains))
    for ax, heading in zip(panels, ("Methods of the paper", "Others, and controls"), strict=True):
        ax.set_title(heading, fontsize=SMALL + 2)
        ax.legend(fontsize=SMALL, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    panels[0].set_ylabel("gain of the error in points, logarithmic from 0.1 on", fontsize=SMALL + 1)
    figure.suptitle(title, fontsize=SMALL + 3)
    return figure


def _gain_axes(ax: Axes, levels: np.ndarray) -> None:
    ax.axhline(0, color=BLACK, linewidth=0.8)
    ax.set_yscale("symlog", linthresh=0.1, linscale=0.6)
    ax.set_yticks(TICKS, labels=[f"{tick:+g}" if tick else "0" for tick in TICKS])
    ax.set_yticks([], minor=True)
    ax.set_xticks(levels, labels=[f"{level:.0%}" for level in levels])
    ax.set_xlabel("removed; bands: 90 % intervals over rankings or trainings", fontsize=SMALL)
    _plain(ax, "y")


def _plain(ax: Axes, lines: str) -> None:
    ax.tick_params(labelsize=SMALL)
    ax.grid(axis=lines, color="#E4E4E4", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _line_styles(names: Iterable[str]) -> list[str]:
    """Return how lines are drawn, so that those of one colour differ."""
    drawn: list[str] = []
    styles = []
    for name in names:
        styles.append(("-", "--", ":", "-.")[drawn.count(_colour(name))])
        drawn.append(_colour(name))
    return styles


def _draw_gains(ax: Axes, retrained: evaluation.Retrained, name: str, style: str) -> None:
    rows = [row for row in retrained.summary() if np.isfinite(row.gain)]
    levels, gains, low, high = (
        np.array([getattr(row, key) for row in rows]) for key in ("level", "gain", "low", "high")
    )
    ax.plot(levels, gains, style, color=_colour(name), marker="o", markersize=3.5, linewidth=1.5, label=name)
    ax.fill_between(levels, low, high, color=_colour(name), alpha=0.15, linewidth=0)


Line = dict[str, Any]


def _measures(lines: Sequence[Line], names: list[str]) -> Figure:
    """Draw stability, ablation and digits, a row for each method."""
    by_measure = {measure: [line for line in lines if line["measure"] == measure] for measure in maps.MEASURES}
    figure = _figure(0.23 * len(names) + 1.5)
    axes = figure.subplots(1, 3, sharey=True)
    draw = {"stability": _draw_stability, "ablation": _draw_ablation, "digits": _draw_digits}
    for ax, (measure, function) in zip(axes, draw.items(), strict=True):
        function(ax, by_measure[measure], {name: row for row, name in enumerate(names)})
        _plain(ax, "both")
        ax.legend(fontsize=SMALL - 1, loc="upper center", bbox_to_anchor=(0.5, -0.1), frameon=False)
    axes[0].set_yticks(range(len(names)), labels=[_short(name) for name in names])
    for label, name in zip(axes[0].get_yticklabels(), names, strict=True):
        label.set_color(_colour(name))
        label.set_fontweight("bold" if name in METHODS else "normal")
    axes[0].invert_yaxis()
    return figure


def _points(ax: Axes, rows: Sequence[tuple[str, float, float, float]], place: dict[str, int], **style: Any) -> None:
    """Draw values with their intervals, in the colours of the methods; the legend has them in black."""
    hollow, label, shift = style.get("hollow", False), style["label"], style.get("shift", 0.0)
    for name, value, low, high in rows:
        face = "white" if hollow else _colour(name)
        at = place[name] + shift
        ax.plot([low, high], [at, at], color=_colour(name), linewidth=1.2)
        ax.plot(value, at, "o", markersize=5, color=_colour(name), markerfacecolor=face)
    ax.plot([], [], "o", markersize=5, color=BLACK, markerfacecolor="white" if hollow else BLACK, label=label)


def _draw_stability(ax: Axes, lines: Sequence[Line], place: dict[str, int]) -> None:
    sizes = sorted({line["images"] for line in lines})
    for size in sizes:
        rows = [
            (line["method"], line["pearson"], *(line["pearson"] + sign * line["pearson_std"] for sign in (-1, 1)))
            for line in lines
            if line["images"] == size
        ]
        few = size == sizes[0] and len(sizes) > 1
        _points(ax, rows, place, label=f"halves of {size} images a class", hollow=few, shift=0.15 * few)
    ax.set_xlim(-0.05, 1.02)
    ax.set_title("Would other images\ngive the same map?", fontsize=SMALL + 1)
    ax.set_xlabel("Pearson of halves, and its std", fontsize=SMALL)


def _draw_ablation(ax: Axes, lines: Sequence[Line], place: dict[str, int]) -> None:
    for fill, shift in (("black", 0.0), ("mean", 0.15)):
        rows = [
            (line["method"], *(line[key] for key in ("difference", "low", "high")))
            for line in lines
            if line["fill"] == fill
        ]
        label = f"its 60 pixels {'black' if fill == 'black' else 'as on average'}"
        _points(ax, rows, place, label=label, hollow=fill == "mean", shift=shift)
    ax.axvline(0, color=BLACK, linewidth=0.8)
    ax.set_title("Does its own class need\nthe map's pixels more?", fontsize=SMALL + 1)
    ax.set_xlabel("own minus others, 90 % interval", fontsize=SMALL)


def _draw_digits(ax: Axes, lines: Sequence[Line], place: dict[str, int]) -> None:
    rows = []
    for line in lines:
        values = [part["probability"] for part in line["replicates"]]
        rows.append((line["method"], line["probability"], min(values), max(values)))
    _points(ax, rows, place, label="all images; lines: disjoint parts")
    ax.axvline(0.1, color=BLACK, linewidth=0.8, linestyle=":", label="chance")
    ax.set_xlim(-0.03, 1.03)
    ax.set_title("Does another classifier\nsee the digit?", fontsize=SMALL + 1)
    ax.set_xlabel("probability of the digit", fontsize=SMALL)


def _randomised(lines: Sequence[Line]) -> Figure:
    """Draw how alike the maps of other networks are."""
    names = list(dict.fromkeys(line["method"] for line in lines))
    figure = _figure(0.4 * len(names) + 1.6)
    ax = figure.subplots()
    for shift, (model, (label, marker, colour)) in zip((-0.24, -0.08, 0.08, 0.24), CHANGED.items(), strict=True):
        rows = [line for line in lines if line["model"] == model]
        x, spread = ([line[key] for line in rows] for key in ("spearman", "spearman_std"))
        y = [names.index(line["method"]) + shift for line in rows]
        ax.errorbar(x, y, xerr=spread, fmt=marker, color=colour, markersize=5, linewidth=1.2, label=label)
    ax.axvline(0, color=BLACK, linewidth=0.8)
    ax.set_yticks(range(len(names)), labels=[_short(name) for name in names])
    ax.invert_yaxis()
    _plain(ax, "x")
    ax.set_xlabel("rank correlation with the CNN's maps; lines: std over classes", fontsize=SMALL + 1)
    ax.set_title("Do the maps change when the network forgets what it has learned?", fontsize=SMALL + 3)
    ax.legend(fontsize=SMALL, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
