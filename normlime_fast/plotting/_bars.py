"""Bar charts of importances: of one result, of groups side by side, and of several kinds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from normlime_fast._checks import Array, as_count, short_repr
from normlime_fast._results.explanations import LocalExplanations
from normlime_fast._results.export import rests_on_few
from normlime_fast._results.importance import Importance
from normlime_fast._types import Kind
from normlime_fast.plotting import _common

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def bars(importance: Importance, k: int = 10, ax: "Axes | None" = None) -> "Axes":
    """Draw the k most important features as bars, with 90 % intervals and the number of explanations that use each.

    Parameters
    ----------
    importance : Importance
        Without groups. Kinds that are not a mean ("l2", "sp_lime", "sum") have no interval, nor do features that fewer
        than two explanations use.
    k : int, default 10
    ax : matplotlib Axes, optional
        By default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `importance` is not an Importance, has groups or no feature in use; if `k` is not an integer of at least 1.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> from normlime_fast import plotting
    >>> ax = plotting.bars(nlf.aggregate([[0.0, 2.0], [1.0, -3.0]], feature_names=["a", "b"]).importance())
    >>> [float(bar.get_width()) for bar in ax.patches]
    [2.125, 0.25]
    """
    _common.require_importance(importance, "bars", False, "group_bars")
    k = as_count(k, "k")
    columns, few = _common.ranked_columns(importance, k)
    ax = _common.axes_for(ax, len(columns))
    low, high = _common.interval_of(importance)
    _common.draw_bars(ax, importance.values[columns], low[columns], high[columns])
    axis = _common.how_many(len(columns), importance.values.size, few)
    _common.name_rows(ax, _common.labels_of(importance.feature_names, columns, few=few), axis)
    n = int(importance.explanations)
    _write_counts(ax, importance.counts[columns], f"uses in {n:,} explanation{'s' * (n != 1)}")
    ax.set_xlabel(_common.quantity_of(importance, lines=True))
    return ax


def group_bars(
    importance: Importance,
    k: int = 10,
    axes: Any = None,
    *,
    features: Literal["shared", "own"] = "shared",
) -> Array:
    """Draw the most important features of every group side by side, on a common scale.

    Parameters
    ----------
    importance : Importance
        With groups.
    k : int, default 10
    axes : array_like of matplotlib Axes, optional
        One per group; by default those of a new figure, for up to 100 groups.
    features : {"shared", "own"}
        "shared": the same k features in all groups, with the largest |value| in any. "own": the top k of each.

    Returns
    -------
    ndarray of matplotlib Axes, of shape (n_groups,)

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `importance` is not an Importance, has no groups or no feature in use, or another argument is invalid.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> from normlime_fast import plotting
    >>> axes = plotting.group_bars(nlf.aggregate([[0.0, 2.0], [1.0, -3.0]], groups=["x", "y"]).importance("mean"))
    >>> [[float(bar.get_width()) for bar in ax.patches] for ax in axes]
    [[2.0, 0.0], [-3.0, 1.0]]
    """
    _common.require_importance(importance, "group_bars", True, "bars")
    k = as_count(k, "k")
    if not isinstance(features, str) or features not in ("shared", "own"):
        raise ValueError(f'features must be "shared" or "own", got {short_repr(features)}')
    groups = _common.groups_of(importance)
    values, counts = importance.values, importance.counts
    if features == "shared":
        chosen = [_common.ranked_columns(importance, k)] * len(groups)
    else:
        used = counts >= (importance.min_count or 1), rests_on_few(importance)
        chosen = [_common.largest_columns(*of_group, k) for of_group in zip(values, *used, strict=True)]
    columns = [of_group for of_group, _ in chosen]
    panels = _common.as_many_axes(axes, len(groups), "group")
    per_row, made = len(groups), panels is None
    if panels is None:
        per_row, width = (5, 2.0) if features == "shared" else (3, 4.0)
        panels = _common.new_panels(len(groups), per_row, (width, _common.height_of(max(map(len, columns)) + 3)))
    else:
        _common.check_unshared(panels, "axes", panels if features == "shared" else ())
    low, high = _common.interval_of(importance)
    limits = _limits(values, low, high, columns)
    for number, (ax, group, (shown_columns, few)) in enumerate(zip(panels, groups, chosen, strict=True)):
        _common.draw_bars(ax, values[number, shown_columns], low[number, shown_columns], high[number, shown_columns])
        shared = len(ax.get_shared_y_axes().get_siblings(ax)) > 1  # then the figure hides the inner labels
        outer = features == "own" or number % per_row == 0
        labels = _common.labels_of(importance.feature_names, shown_columns, few=few)
        axis = _common.how_many(len(shown_columns), values.shape[1], few)
        _common.name_rows(ax, labels if outer or shared else [""] * len(labels), axis if outer else None, 3)
        _write_counts(ax, counts[number, shown_columns], None)
        title = f"{group}\nn = {importance.explanations[number]:,}"
        ax.set_title(title, fontsize="medium", **_common.PLAIN)
        ax.set_xlim(limits)
    label = _common.quantity_of(importance, lines=True)
    label += ("; " if _common.has_interval(importance) else "\n") + "right: explanations that use the feature"
    label += _common.missing_groups(importance)
    if made:
        panels[0].figure.supxlabel(label, fontsize=panels[0].xaxis.label.get_fontsize(), **_common.PLAIN)
    else:
        panels[0].set_xlabel(label, **_common.PLAIN)
    return np.array(panels, dtype=object)


def compare_kinds(
    local: LocalExplanations,
    kinds: Sequence[Kind] = ("normlime", "l2", "sp_lime", "mean_abs"),
    k: int = 10,
    ax: "Axes | None" = None,
    *,
    min_count: int | None = None,
) -> "Axes":
    """Draw several kinds of importance of the same explanations, each scaled to its largest |value|.

    Parameters
    ----------
    local : LocalExplanations
    kinds : sequence of str
        Up to six; see `LocalExplanations.importance`.
    k : int, default 10
        Number of features: those with the largest scaled |value| in any kind.
    ax : matplotlib Axes, optional
        By default those of a new figure.
    min_count : int, optional
        Hides features that fewer explanations use. By default those that few use come after the others.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `local` is not a LocalExplanations, a kind is unknown or repeated, no feature is used, or `k` is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> import normlime_fast as nlf
    >>> from normlime_fast import plotting
    >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0, 0.0], nlf.Gaussian(1.0), n_features=2, rng=0)
    >>> local = explainer.explain(np.zeros((4, 3)))
    >>> ax = plotting.compare_kinds(local, kinds=("normlime", "mean_abs"))
    >>> [round(float(bar.get_width()), 2) for bar in ax.patches]
    [1.0, 0.25, 1.0, 0.5]
    """
    _common.require_local(local, "compare_kinds")
    k = as_count(k, "k")
    if isinstance(kinds, str) or not isinstance(kinds, Sequence) or not kinds:
        raise TypeError(f"kinds must be a list of kinds, got {short_repr(kinds)}")
    results = [local.importance(kind, min_count=min_count) for kind in kinds]
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"kinds must not repeat a kind, got {short_repr(kinds)}")
    _common.require_importance(results[0], "compare_kinds", None)
    sizes = np.array([np.abs(result.values).max() for result in results])
    scaled = np.array([result.values for result in results]) / np.where(sizes > 0, sizes, 1.0)[:, None]
    columns, few = _common.ranked_columns(results[0], k, scaled)
    height = 0.8 / len(kinds)
    ax = _common.axes_for(ax, len(columns) * max(1.0, len(kinds) / 3))
    for number, kind in enumerate(kinds):
        rows = np.arange(len(columns)) - 0.4 + (number + 0.5) * height
        ax.barh(rows, scaled[number, columns], height, color=_common.COLOURS[number], label=kind)
    ax.axvline(0, color=ax.yaxis.label.get_color(), linewidth=0.8)
    axis = _common.how_many(len(columns), scaled.shape[1], few)
    _common.name_rows(ax, _common.labels_of(results[0].feature_names, columns, few=few), axis)
    ax.set_xlabel("importance, divided by the largest |value| of its kind")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="kind")
    return ax


def _limits(values: Array, low: Array, high: Array, columns: list[Array]) -> tuple[float, float]:
    """Return the limits of the common scale of all groups, which includes 0."""
    rows = zip(np.nan_to_num(low, nan=0.0), values, np.nan_to_num(high, nan=0.0), columns, strict=True)
    ends = np.concatenate([[0.0], *(np.concatenate([a[js], b[js], c[js]]) for a, b, c, js in rows)])
    lowest, highest = float(ends.min()), float(ends.max())
    margin = 0.05 * (highest - lowest) or 1.0
    return lowest - margin * (lowest < 0), highest + margin * (highest > 0 or lowest == highest)


def _write_counts(ax: "Axes", counts: Array, label: str | None) -> None:
    """Write the numbers of explanations that use the features to the right of the axes."""
    right = ax.secondary_yaxis("right")
    right.set_yticks(range(len(counts)), labels=[f"{count:,}" for count in counts.tolist()])
    right.tick_params(axis="y", length=0)
    if label is not None:
        right.set_ylabel(label)
