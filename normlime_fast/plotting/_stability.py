"""Stability of an importance: its values computed from fewer explanations."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from normlime_fast._checks import Array, as_count, as_seed, short_repr
from normlime_fast._results.explanations import LocalExplanations
from normlime_fast._results.export import NOTE, rests_on_few
from normlime_fast._results.groups import is_counted
from normlime_fast._results.importance import Importance
from normlime_fast._results.statistics import sum_weights
from normlime_fast._types import Kind
from normlime_fast.plotting import _common

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D", "v", "P")
MOST_LINES = len(_common.COLOURS) * len(_LINES)


def stability(
    local: LocalExplanations,
    k: int = 5,
    kind: Kind = "normlime",
    ax: "Axes | None" = None,
    *,
    quantity: Literal["value", "rank"] = "value",
    min_count: int | None = None,
    rng: Any = 0,
) -> "Axes":
    """Draw the importance from the first 2, 4, 8 ... explanations, in random order, of the k top features overall.

    Parameters
    ----------
    local : LocalExplanations
    k : int, default 5
        Number of features, at most 24, so that the lines can be told apart.
    kind : str, default "normlime"
        See `LocalExplanations.importance`.
    ax : matplotlib Axes, optional
        By default those of a new figure.
    quantity : {"value", "rank"}
        "value": the importance, with its 90 % interval as a band. "rank": the feature's rank; the band shows the ranks
        that are possible if each value is anywhere in its interval: below all features whose intervals lie wholly above
        its own, above all whose intervals lie wholly below. The value of a feature that only one explanation uses is
        unbounded. Kinds that are not a mean have no band.
    min_count : int, optional
        Hides features that fewer of all explanations use. By default those that few use come after the others, also in
        ranks, which then have no band.
    rng : None, int or numpy Generator, default 0
        Source of the random order.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `local` is not a LocalExplanations, has fewer than two explanations or no weights, or another argument is
        invalid.

    Examples
    --------
    >>> import numpy as np
    >>> import normlime_fast as nlf
    >>> from normlime_fast import plotting
    >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0, 0.0], nlf.Gaussian(1.0), n_features=2, rng=0)
    >>> local = explainer.explain(np.zeros((4, 3)))
    >>> ax = plotting.stability(local, k=2)
    >>> ax.lines[0].get_xdata().tolist()
    [2, 4]
    """
    _common.require_local(local, "stability")
    k = as_count(k, "k")
    if k > MOST_LINES:
        raise ValueError(f"k must be at most {MOST_LINES}, the number of lines that can be told apart, got {k}")
    if not isinstance(quantity, str) or quantity not in ("value", "rank"):
        raise ValueError(f'quantity must be "value" or "rank", got {short_repr(quantity)}')
    counted = np.flatnonzero(is_counted(local.status))
    if len(counted) < 2:
        raise ValueError(f"stability needs at least 2 explanations, got {len(counted)}")
    order = np.random.default_rng(as_seed(rng)).permutation(counted)
    sizes = [2**power for power in range(1, 64) if 2**power * 1.4 <= len(order)] + [len(order)]
    some = [local[order[:size]] for size in sizes]
    every = [sum_weights(part.weights, None, local.feature_names, sets=part.sample_set) for part in some]
    last = every[-1].importance(kind, min_count=min_count)
    _common.require_importance(last, "stability", None)
    results = [statistics.importance(kind) for statistics in every[:-1]] + [last]
    columns, few = _common.ranked_columns(last, k)
    if quantity == "value":
        drawn = np.array([_values(result, columns) for result in results])
    else:
        among = last.counts >= (last.min_count or 1)
        drawn = np.array([_ranks(result, columns, among, rests_on_few(last)) for result in results])
    ax = _common.axes_for(ax, 1, named=False)
    _draw(ax, sizes, drawn, _common.labels_of(last.feature_names, columns, 20, few))
    _limit(ax, drawn, [8 * size >= sizes[-1] for size in sizes], quantity == "rank")
    label = _common.quantity(kind, "absolute")
    ax.set_ylabel(label if quantity == "value" else f"rank by {kind}, 1 = most important")
    band = f"; bands: {_common.LEVEL:.0%} intervals" * (last.stderr is not None)
    ax.set_xlabel(f"number of explanations{band}" + f"\n{NOTE}" * any(few))
    return ax


def _values(result: Importance, columns: Array) -> Array:
    """Return value, low and high of these features, NaN where unknown."""
    low, high = _common.interval_of(result)
    values = np.where(result.counts >= (result.min_count or 1), result.values, np.nan)
    return np.array([values, low, high])[:, columns]


def _ranks(result: Importance, columns: Array, among: Array, few: Array) -> Array:
    """Return rank, best and worst possible rank of these features within `among`, `few` last, NaN where unknown."""
    used = among & (result.counts >= (result.min_count or 1))
    sizes = np.where(used, np.abs(result.values), -1.0)
    rank = np.empty(len(sizes))
    rank[np.lexsort((-sizes, few | ~used))] = np.arange(1, len(sizes) + 1)
    low, high = _common.interval_of(result)
    low, high = np.where(low * high > 0, np.minimum(abs(low), abs(high)), 0.0), np.maximum(abs(low), abs(high))
    high = np.where(np.isnan(high), np.inf, high)  # a single explanation has an unknown spread
    bound = used & ~few & _common.has_interval(result)
    best = 1 + (low[bound] > high[columns, None]).sum(axis=1)
    worst = (high[bound] >= low[columns, None]).sum(axis=1)
    known = bound[columns]
    return np.array(
        [
            np.where(used[columns], rank[columns], np.nan),
            np.where(known, best, np.nan),
            np.where(known, worst, np.nan),
        ]
    )


def _limit(ax: "Axes", drawn: Array, late: list[bool], ranked: bool) -> None:
    """Fit the limits to all lines and the late bands; bands of the first few explanations would dwarf the rest."""
    shown_values = np.concatenate([drawn[:, 0].ravel(), drawn[late].ravel()])
    lowest, highest = float(np.nanmin(shown_values)), float(np.nanmax(shown_values))
    if not ranked:
        margin = 0.05 * (highest - lowest) or 1.0
        ax.set_ylim(lowest - margin, highest + margin)
        return
    ticks = np.arange(1, highest + 1)
    if highest > 20:
        ax.set_yscale("log")
        ticks = np.outer(10.0 ** np.arange(7), [1, 2, 5]).ravel()
        ticks = ticks[ticks <= highest]
    ax.set_yticks(ticks, labels=[f"{tick:,.0f}" for tick in ticks])
    ax.set_yticks([], minor=True)
    ax.set_ylim(highest * 1.1 if highest > 20 else highest + 0.3, 0.9 if highest > 20 else 0.7)


def _draw(ax: "Axes", sizes: list[int], drawn: Array, labels: list[str]) -> None:
    """Draw `drawn` (sizes, 3, features) as lines and bands."""
    lines = []
    for number, label in enumerate(labels):
        colour = _common.COLOURS[number % len(_common.COLOURS)]
        value, low, high = drawn[:, :, number].T
        line = _LINES[number // len(_common.COLOURS)]
        marker = _MARKERS[number % len(_MARKERS)]
        named = f" {label}" if label.startswith("_") else label  # a legend omits labels that start with _
        lines += ax.plot(sizes, value, line, color=colour, marker=marker, markersize=4, label=named)
        ax.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
    ax.set_xscale("log", base=2)
    step = -(-len(sizes) // 7)
    ticks = sizes[::-1][::step]
    ax.set_xticks(ticks, labels=[f"{size:,}" for size in ticks])
    ax.set_xticks([], minor=True)
    legend = ax.legend(
        lines, [str(number) for number in range(len(lines))], loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set(text=label, **_common.PLAIN)
