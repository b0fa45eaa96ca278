"""Text and HTML representations of results, and the colours of bars."""

import math
from collections.abc import Iterable
from html import escape
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from normlime_fast._checks import Array, ignoring_float_errors, short_repr
from normlime_fast._results.export import NOTE, Ranked, ranked_features, to_json, top_features
from normlime_fast._results.groups import is_counted

if TYPE_CHECKING:
    from normlime_fast._results.explanations import LocalExplanations
    from normlime_fast._results.importance import Importance
    from normlime_fast._results.statistics import ImportanceStatistics

HTML_ROWS = 10  # rows of a table in a notebook: features, or groups if there are any
HTML_ROWS_A_GROUP = 3
COLOURS = "#0072B2", "#D55E00"  # of bars at least 0, and below; Okabe and Ito's, safe for colour-blind readers


def statistics_line(statistics: "ImportanceStatistics") -> str:
    """Describe an ImportanceStatistics in one line."""
    parts = [counted(int(np.sum(statistics.explanations)), "explanation"), counted(statistics.sums.shape[2], "feature")]
    parts += ["debiased"] * (statistics.debiased is not None)
    return ", ".join(parts + _groups(statistics.groups) + unexplained(statistics.unexplained_names))


def importance_line(result: "Importance") -> str:
    """Describe an Importance and its first features in one line."""
    plain = result.kind in ("mean", "sum") and result.sign == "absolute"
    parts = [result.kind] + ["of contributions"] * (result.of != "weights") + [result.sign] * (not plain)
    parts += ["debiased"] * result.debias
    parts += ["shrunk"] * result.shrink + [f"min_count {result.min_count}"] * ((result.min_count or 1) > 1)
    parts += [counted(int(np.sum(result.explanations)), "explanation"), counted(result.values.shape[-1], "feature")]
    first = islice((row for rows in top_features(result, 3 if result.groups is None else 1) for row in rows), 3)
    features = ", ".join(f"{_feature_text(row)} ({row.value:.3g})" for row in first)
    features = features or f"none, since no feature is used by {counted(result.min_count or 1, 'explanation')}"
    return f"{', '.join(parts + _groups(result.groups) + remarks(result))}; first {features}"


def _feature_text(row: Ranked) -> str:
    feature = f"column {row.feature}" if isinstance(row.feature, int) else short_repr(row.feature, str)
    return feature if row.group is None else f"{_text(row.group)}: {feature}"


def _groups(groups: Array | None) -> list[str]:
    if groups is None:
        return []
    first = ", ".join(map(_text, groups[:3]))
    return [f"{counted(len(groups), 'group')} ({first}{', ...' if len(groups) > 3 else ''})"]


def unexplained(names: tuple[str, ...]) -> list[str]:
    """Return a text that names targets without explanations, in a list, which is empty if there are none."""
    first = ", ".join(map(_text, names[:3]))
    return [f"no explanations of {first}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"] if names else []


def remarks(result: "Importance") -> list[str]:
    """Return what a reader of an Importance must know: targets without explanations, and why errors are unknown."""
    texts = unexplained(result.unexplained_names)
    if result.sets is not None and result.stderr is not None:
        alone = np.atleast_1d(result.sets) < 2
        where = "" if alone.all() else f" in {counted(int(alone.sum()), 'group')}"
        texts += [f"no standard errors{where}, since all explanations share one set of samples"] * bool(alone.any())
    return texts


@ignoring_float_errors
def local_line(local: "LocalExplanations") -> str:
    """Describe a LocalExplanations in one line."""
    n, d = local.weights.shape
    counted_rows = is_counted(local.status)
    parts = [f"{counted(n, 'explanation')} of {counted(len(np.unique(local.instance)), 'instance')}"]
    parts.append(counted(d, "feature"))
    if counted_rows.any():
        parts[1] += f" ({local.weights.nnz / counted_rows.sum():.1f} used on average)"
    if np.isfinite(local.r2[counted_rows]).any():
        parts.append(f"mean R^2 {np.nanmean(local.r2[counted_rows]):.3f}")
    if local.status.any():
        statuses = zip(*np.unique(local.status, return_counts=True), strict=True)
        parts.append("status " + ", ".join(f"{status}: {count:,}" for status, count in statuses))
    return ", ".join(parts)


def html(line: str, result: "Importance | None", caption: str = "") -> str:
    """Return a line and, for an Importance, a small table with bars of its first features; names are escaped."""
    paragraph = f"<p>{escape(line)}</p>"
    if result is None:
        return paragraph
    groups = ranked_features(result, HTML_ROWS if result.groups is None else HTML_ROWS_A_GROUP)
    rows = [row for group in islice(groups, HTML_ROWS) for row in zip(*group, strict=True)]
    if not rows:
        return paragraph
    largest = max(abs(row.value) for row, _ in rows) or 1.0
    grouped, with_error = result.groups is not None, result.stderr is not None
    heads = [*["group"] * grouped, "feature", result.kind, "", *["standard error"] * with_error, "count"]
    lines = [paragraph, f"<table>{caption}<thead>{_row('th', heads)}</thead><tbody>"]
    for row, few in rows:
        names = [escape(text) for text in ([_text(row.group)] * grouped + [short_repr(row.feature, str)])]
        style = f"height:0.8em;width:{abs(row.value) / largest * 8:.2f}em;background:{COLOURS[row.value < 0]}"
        errors = [] if row.stderr is None else ["&ndash;" if math.isnan(row.stderr) else f"{row.stderr:.2g}"]
        cells = [*names, f"{row.value:.4g}", f'<div style="{style}"></div>', *errors, f"{row.count:,}{'*' * few}"]
        lines.append(_row("td", cells))
    lines.append("</tbody></table>")
    lines += [f"<p>{NOTE}</p>"] * any(few for _, few in rows)
    lines += [f"<p>{escape(text)}</p>" for text in remarks(result) if text not in line]
    if result.groups is not None and len(result.groups) > HTML_ROWS:
        lines.append(f"<p>and {counted(len(result.groups) - HTML_ROWS, 'group')} more</p>")
    return "\n".join(lines)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in singular or plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _row(tag: str, cells: Iterable[str]) -> str:
    """Return a row of an HTML table."""
    inside = "".join(f'<{tag} style="text-align:left">{cell}</{tag}>' for cell in cells)
    return f"<tr>{inside}</tr>"


def _text(label: object) -> str:
    """Return a label as readable text."""
    return short_repr(to_json(label) if isinstance(label, np.generic) else label, str)
