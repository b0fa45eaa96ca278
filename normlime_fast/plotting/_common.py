"""Shared by the plots: labels, colours, figures, and the checks before drawing."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from normlime_fast._checks import Array, import_optional, short_repr
from normlime_fast._results import display
from normlime_fast._results.explanations import LocalExplanations
from normlime_fast._results.export import NOTE, rests_on_few, sizes_of
from normlime_fast._results.importance import Importance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, VERMILLION = display.COLOURS  # of values above and below 0; visible on white and on black
COLOURS = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's, except yellow and black
SEQUENTIAL, DIVERGING = "cividis", "RdBu"
PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}  # for texts of the user: $ and _ are plain characters
LEVEL = 0.9  # of all intervals
MOST_PANELS = 100

_LARGEST = 100.0  # inches of a figure's side; a PNG may have 65,536 pixels
_TERMS = {"weights": ("w", "change of the output per unit of z"), "contributions": ("phi", "change of the output")}
_QUANTITIES = {
    "normlime": "NormLIME importance: mean of gamma |{w}|",
    "l2": "L2 importance: root of the sum of {w}^2",
    "sp_lime": "SP-LIME importance: root of the sum of |{w}|",
    "mean_abs": "mean of |{w}| over all explanations",
    "mean": "mean of {w} over all explanations",
    "sum": "sum of {w} over all explanations",
}
_SIGNS = {"absolute": "", "positive": ", only {w} > 0", "negative": ", only {w} < 0", "net": ", {w} > 0 minus {w} < 0"}
WEIGHT = f"weight w ({_TERMS['weights'][1]})"


def check_library(function: str) -> None:
    """Refuse to draw if matplotlib is missing."""
    import_optional("matplotlib", function, '"normlime-fast[plot]"')


def require_importance(result: object, function: str, grouped: bool | None, other: str = "") -> None:
    """Refuse a non-Importance, a wrong presence of groups, for which `other` is the function, and an empty result."""
    check_library(function)
    if not isinstance(result, Importance):
        raise TypeError(f"{function} needs an Importance, got {type(result).__name__}")
    if grouped is False and result.groups is not None:
        raise ValueError(f"{function} needs an importance without groups, got {len(result.groups)}; use {other}")
    if grouped and result.groups is None:
        raise ValueError(f"{function} needs an importance with groups, as from by=, got none; use {other}")
    least = result.min_count or 1
    if not (result.counts >= least).any():
        users = "1 explanation uses" if least == 1 else f"{least} explanations use"
        raise ValueError(f"{function} needs a feature that at least {users}, got none")


def require_local(local: object, function: str) -> None:
    """Refuse anything but LocalExplanations."""
    check_library(function)
    if not isinstance(local, LocalExplanations):
        raise TypeError(f"{function} needs LocalExplanations, got {type(local).__name__}")


def flat(text: object, limit: int = 28) -> str:
    """Return a text as one printable line; if it is longer than `limit`, only its two ends."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
    if len(line) <= limit:
        return line
    tail = (limit - 1) // 2
    return f"{line[: limit - 1 - tail]}\N{HORIZONTAL ELLIPSIS}{line[-tail:]}"


def labels_of(
    names: tuple[str, ...] | None, columns: Iterable[int], limit: int = 28, few: Iterable[bool] = ()
) -> list[str]:
    """Return the labels of these features on axes; those that rest on `few` explanations are marked."""
    numbers = list(columns)
    labels = _distinct_labels(["" if names is None else names[j] for j in numbers], numbers, limit)
    labels = [label or f"feature {j}" for label, j in zip(labels, numbers, strict=True)]
    return [f"{label}{'*' * mark}" for label, mark in zip_longest(labels, few, fillvalue=False)]


def groups_of(importance: Importance, limit: int = 18) -> list[str]:
    """Return the labels of the groups in titles and on axes."""
    groups = [] if importance.groups is None else [str(group) for group in importance.groups]
    return _distinct_labels(groups, range(len(groups)), limit)


def _distinct_labels(texts: list[str], numbers: Sequence[int], limit: int) -> list[str]:
    """Shorten texts with `flat`; append the number where different texts would look the same."""
    labels = [flat(text, limit) for text in texts]
    alike = Counter(label for label, _ in set(zip(labels, texts, strict=True)))
    for i, (text, number) in enumerate(zip(texts, numbers, strict=True)):
        if labels[i] and alike[labels[i]] > 1:
            end = f" ({number})"
            labels[i] = flat(text, limit - len(end)) + end
    return labels


def how_many(drawn: int, d: int, few: Iterable[bool] = ()) -> str:
    """Return the number of features drawn, as a label, with a note if some rest on `few` explanations."""
    text = f"{drawn:,} of {d:,} features" if drawn < d else f"all {d:,} features" if d > 1 else "1 feature"
    return text + f"\n{NOTE}" * any(few)


def quantity(kind: str, sign: str, shrunk: bool = False, of: str = "weights", debiased: bool = False) -> str:
    """Return the name and the unit of a value, in short lines."""
    symbol, unit = _TERMS[of]
    name = f"{_QUANTITIES[kind]}{_SIGNS[sign]}".format(w=symbol)
    return f"{name}{', shrunk' * shrunk}{', debiased' * debiased}\n({'root of the ' * (kind == 'sp_lime')}{unit})"


def quantity_of(result: Importance, lines: bool = False) -> str:
    """Return `quantity` for a result, with a note on the lines that show its intervals, or on why there are none."""
    label = quantity(result.kind, result.sign, result.shrink, result.of, result.debias)
    if not lines or not has_interval(result):
        return label
    unknown = result.sets is not None and bool((result.sets < 2).all())
    return label + ("\nno intervals: all share one set of samples" if unknown else f"\nlines: {LEVEL:.0%} intervals")


def missing_groups(result: Importance) -> str:
    """Return lines that name targets without explanations, which are in no group; nothing if there are none."""
    names = tuple(flat(name, 18) for name in result.unexplained_names)
    return "".join(f"\n{textwrap.fill(text, 60)}" for text in display.unexplained(names))


def wrapped(text: str) -> str:
    """Return the text in lines that fit next to a colour bar."""
    return "\n".join(textwrap.fill(line, 40) for line in text.split("\n"))


def has_interval(result: Importance) -> bool:
    """Whether values have intervals."""
    return result.stderr is not None and not result.shrink


def interval_of(result: Importance) -> tuple[Array, Array]:
    """Return the intervals, NaN where there are none."""
    if has_interval(result):
        return result.interval(LEVEL)
    nothing = np.full(result.values.shape, np.nan)
    return nothing, nothing


def draw_bars(ax: "Axes", values: Array, low: Array, high: Array) -> None:
    """Draw bars in rows, with their intervals, NaN where there are none."""
    rows = np.arange(len(values))
    ax.barh(rows, values, 0.7, color=bar_colours(values))
    known = np.isfinite(low)
    if known.any():
        errors = np.maximum([values - low, high - values], 0.0)[:, known]
        ax.errorbar(
            values[known], rows[known], xerr=errors, fmt="none", ecolor=ax.yaxis.label.get_color(), elinewidth=1.2
        )
    if (values < 0).any():
        ax.axvline(0, color=ax.yaxis.label.get_color(), linewidth=0.8)


def is_signed(result: Importance) -> bool:
    """Whether values of both signs are possible."""
    return result.kind in ("mean", "sum") or result.sign == "net"


def ranked_columns(result: Importance, k: int, values: Array | None = None) -> tuple[Array, list[bool]]:
    """Return `largest_columns` of the features in use, by their values or others."""
    used, few = result.counts >= (result.min_count or 1), rests_on_few(result)
    return largest_columns(sizes_of(result) if values is None else values, used, few, k)


def largest_columns(values: Array, used: Array, few: Array, k: int) -> tuple[Array, list[bool]]:
    """Return the k columns in use with the largest |value| in any group, in descending order, and which rest on few.

    Those that rest on few explanations in all groups come after the others.
    """

    def sizes(among: Array) -> Array:
        largest: Array = np.where(among, np.abs(values), -1.0).reshape(-1, values.shape[-1]).max(axis=0)
        return largest

    of_many, of_all = sizes(used & ~few), sizes(used & np.ones_like(few))
    last = of_many < 0
    order = np.lexsort((-np.where(last, of_all, of_many), last))[:k]
    order = order[of_all[order] >= 0]
    return order, last[order].tolist()


def as_axes(ax: Any, name: str = "ax") -> "Axes":
    """Check that `ax` is a matplotlib Axes."""
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise TypeError(f"{name} must be a matplotlib Axes, got {type(ax).__name__}")
    return ax


def check_unshared(axes: "list[Axes]", name: str, drawn: "Sequence[Axes]" = ()) -> None:
    """Refuse axes that share y, and thus labels, with axes other than those `drawn` with the same labels."""
    for ax in axes:
        if not set(ax.get_shared_y_axes().get_siblings(ax)) <= {ax, *drawn}:
            raise ValueError(
                f"{name} must not share y with other axes, which would get the same labels, got shared ones"
            )


def axes_for(ax: "Axes | None", rows: float, inches: float = 0.0, named: bool = True) -> "Axes":
    """Return the user's axes, or those of a new figure of at least the default size that fits the rows."""
    if ax is not None:
        ax = as_axes(ax)
        if named:
            check_unshared([ax], "ax")
        return ax
    import matplotlib.pyplot as plt

    figure, new = plt.subplots(layout="constrained")
    width, height = figure.get_size_inches().tolist()
    figure.set_size_inches(max(width, min(width / 2 + inches, _LARGEST)), max(height, height_of(rows)))
    return new


def height_of(rows: float) -> float:
    """Return the height in inches of this number of labelled rows and an axis."""
    import matplotlib
    from matplotlib.font_manager import FontProperties

    points = FontProperties(size=matplotlib.rcParams["ytick.labelsize"]).get_size_in_points()
    return min((1.5 * rows + 6) * points / 72, _LARGEST)


def as_many_axes(axes: Any, number: int, unit: str) -> "list[Axes] | None":
    """Return the user's axes, one per `unit`, or None if not given."""
    if axes is None:
        if number > MOST_PANELS:
            raise ValueError(f"axes must be given for more than {MOST_PANELS} {unit}s, got {number}")
        return None
    panels = [as_axes(ax, "axes") for ax in np.atleast_1d(np.asarray(axes, dtype=object)).ravel()]
    if len(panels) != number:
        raise ValueError(f"axes must be one per {unit}, {number}, got {len(panels)}")
    return panels


def new_panels(number: int, columns: int, size: tuple[float, float], min_height: float = 0.0) -> "list[Axes]":
    """Return axes in a grid of a new figure, each at least of this size in inches; the last row may be incomplete."""
    import matplotlib.pyplot as plt

    columns = min(columns, number)
    rows = -(-number // columns)
    figure, grid = plt.subplots(rows, columns, squeeze=False, layout="constrained")
    height = max(min_height or figure.get_figheight(), rows * size[1])
    figure.set_size_inches(max(figure.get_figwidth(), columns * size[0]), min(height, _LARGEST))
    for unused in grid.ravel()[number:]:
        unused.remove()
    return list(grid.ravel()[:number])


def name_rows(ax: "Axes", labels: list[str], axis: str | None, steps: int = 6) -> None:
    """Label the rows, from the top down, and their axis; limit the ticks of the other axis to `steps` intervals."""
    from matplotlib.ticker import MaxNLocator

    ax.set_yticks(range(len(labels)), labels=labels, **PLAIN)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(steps))
    if axis is not None:
        ax.set_ylabel(axis)


def bar_colours(values: Array) -> list[str]:
    """Return the colour of every bar."""
    return [VERMILLION if value < 0 else BLUE for value in values.tolist()]


def one_figure(axes: "list[Axes]") -> Any:
    """Return the figure of these axes."""
    figures = {id(ax.figure): ax.figure for ax in axes}
    if len(figures) > 1:
        raise ValueError(f"axes must belong to one figure, got {len(figures)}")
    return axes[0].figure


def shape_of(shape: Any) -> tuple[int, int]:
    """Return a height and a width."""
    try:
        height, width = shape
        if height != int(height) or width != int(width) or min(height, width) < 1:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(f"shape must be a height and a width, two integers, got {short_repr(shape)}") from None
    return int(height), int(width)
