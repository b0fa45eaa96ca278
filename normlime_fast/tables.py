"""Results as tables: pandas DataFrames, plain dicts as JSON has them, a line of text, a few lines of HTML."""

import math
from collections.abc import Iterable
from html import escape
from typing import Any, get_args

import numpy as np

from normlime_fast.checks import Array, needed, quiet, shown
from normlime_fast.grouping import listed
from normlime_fast.terms import UNKNOWN, Fits, Layout

HTML_ROWS = 10  # of a table in a notebook: features or, with groups, groups
HTML_ROWS_A_GROUP = 3
COLOURS = "#0072B2", "#D55E00"  # of bars: at least 0, and below; Okabe and Ito's, told apart by colour-blind people


def rows(one: Any) -> list[tuple[Any, Array, Array, Array | None]]:
    """Return one (label, values, counts, stderr) per group of an Importance."""
    if one.groups is None:
        return [(None, one.values, one.counts, one.stderr)]
    labels = listed(one.groups)
    errors = [None] * len(labels) if one.stderr is None else one.stderr
    return list(zip(labels, one.values, one.counts, errors, strict=True))


def importance_frame(one: Any, layout: Layout) -> Any:
    """Return an Importance as a pandas DataFrame."""
    _check_layout(layout, get_args(Layout))
    pandas = needed("pandas", "to_frame", "pandas")
    d = one.values.shape[-1]
    names = list(range(d)) if one.feature_names is None else list(one.feature_names)
    if layout == "wide":
        rows = [one.kind] if one.groups is None else one.groups
        index = pandas.Index(rows, name="kind" if one.groups is None else "group")
        return pandas.DataFrame(np.atleast_2d(one.values), index, names)
    columns: dict[str, Any] = {} if one.groups is None else {"group": np.repeat(one.groups, d)}
    columns["feature"] = names * (1 if one.groups is None else len(one.groups))
    for name, values in (("value", one.values), ("count", one.counts), ("stderr", one.stderr)):
        if values is not None:
            columns[name] = values.ravel()
    return pandas.DataFrame(columns)


def local_frame(local: Any, layout: Layout | Fits) -> Any:
    """Return LocalExplanations as a pandas DataFrame."""
    _check_layout(layout, (*get_args(Layout), *get_args(Fits)))
    pandas = needed("pandas", "to_frame", "pandas")
    weights = local.weights
    keys = {"instance": local.instance, "target": _targets(local)}
    used = np.diff(weights.indptr)
    if layout == "fits":
        known = ("intercept", "r2", "prediction", "status", "effective_samples")
        return pandas.DataFrame(keys | {"n_features": used} | {name: getattr(local, name) for name in known})
    names = np.arange(weights.shape[1]) if local.feature_names is None else np.array(local.feature_names, object)
    if layout == "wide":
        index = pandas.MultiIndex.from_arrays(list(keys.values()), names=list(keys))
        return pandas.DataFrame(weights.toarray(), index, names)
    rows = np.repeat(np.arange(len(used)), used)
    columns = {name: values[rows] for name, values in keys.items()}
    return pandas.DataFrame(columns | {"feature": names[weights.indices], "weight": weights.data})


def importance_dict(one: Any, k: int | None) -> dict[str, Any]:
    """Return an Importance as JSON has it."""
    groups = []
    best = _by_group([] if k is None else one.top(k))
    for (label, *columns), explanations in zip(rows(one), np.atleast_1d(one.explanations).tolist(), strict=True):
        features = _all_of(one, columns) if k is None else [row[1:] for row in best.get(label, [])]
        named = [dict(zip(("feature", "value", "count", "stderr"), map(_plain, row), strict=True)) for row in features]
        groups.append({"group": _plain(label), "explanations": explanations, "features": named})
    return {"kind": one.kind, "sign": one.sign, "min_count": one.min_count, "groups": groups}


def local_dict(local: Any) -> dict[str, Any]:
    """Return LocalExplanations as JSON has them."""
    weights, targets = local.weights, _targets(local)
    explanations = []
    for i, (start, end) in enumerate(zip(weights.indptr[:-1], weights.indptr[1:], strict=True)):
        order = start + np.argsort(-np.abs(weights.data[start:end]), kind="stable")
        numbers = weights.indices[order].tolist()
        names = numbers if local.feature_names is None else [local.feature_names[j] for j in numbers]
        found = zip(names, weights.data[order].tolist(), strict=True)
        fit = {"instance": int(local.instance[i]), "target": _plain(targets[i]), "status": int(local.status[i])}
        for name in ("intercept", "r2", "prediction", "effective_samples"):
            fit[name] = _plain(getattr(local, name)[i])
        explanations.append(fit | {"weights": [{"feature": name, "weight": weight} for name, weight in found]})
    return {"columns": int(weights.shape[1]), "explanations": explanations}


def statistics_line(one: Any) -> str:
    """Say what ImportanceStatistics are of."""
    parts = [counted(int(np.sum(one.explanations)), "explanation"), counted(one.sums.shape[2], "feature")]
    return ", ".join(parts + _groups(one.groups))


def importance_line(one: Any) -> str:
    """Say what an Importance is of, and what it ranks first."""
    parts = [f"{one.kind}, {one.sign}", counted(int(np.sum(one.explanations)), "explanation")]
    parts.append(counted(one.values.shape[-1], "feature"))
    first = one.top(3) if one.groups is None else one.top(1)[:3]
    found = ", ".join(f"{_of(row)} ({row.value:.3g})" for row in first)
    return f"{', '.join(parts + _groups(one.groups))}; first {found or 'none, as no feature is used'}"


def _of(row: Any) -> str:
    """Return the name of a row of `Importance.top`."""
    feature = f"column {row.feature}" if isinstance(row.feature, int) else shown(row.feature, str)
    return feature if row.group is None else f"{shown(row.group, str)}: {feature}"


def _groups(groups: Array | None) -> list[str]:
    if groups is None:
        return []
    some = ", ".join(shown(group, str) for group in groups[:3])
    return [f"{counted(len(groups), 'group')} ({some}{', ...' if len(groups) > 3 else ''})"]


@quiet
def local_line(local: Any) -> str:
    """Say what LocalExplanations are of."""
    n, d = local.weights.shape
    known = ~np.isin(local.status, list(UNKNOWN))
    parts = [f"{counted(n, 'explanation')} of {counted(len(np.unique(local.instance)), 'instance')}"]
    parts.append(counted(d, "feature"))
    if known.any():
        parts[1] += f" ({local.weights.nnz / known.sum():.1f} used on average)"
    if np.isfinite(local.r2[known]).any():
        parts.append(f"mean R^2 {np.nanmean(local.r2[known]):.3f}")
    if local.status.any():
        found = zip(*np.unique(local.status, return_counts=True), strict=True)
        parts.append("status " + ", ".join(f"{status}: {count:,}" for status, count in found))
    return ", ".join(parts)


def html(line: str, one: Any) -> str:
    """Return a line, and a small table with bars of what an Importance, if any, ranks first; names are escaped."""
    said = f"<p>{escape(line)}</p>"
    if one is None or not one.top(1):
        return said
    grouped = one.groups is not None
    ranked = one.top(HTML_ROWS_A_GROUP if grouped else HTML_ROWS)[: HTML_ROWS * HTML_ROWS_A_GROUP]
    largest = max(abs(row.value) for row in ranked) or 1.0
    with_error = one.stderr is not None
    heads = [*["group"] * grouped, "feature", one.kind, "", *["standard error"] * with_error, "count"]
    lines = [said, f"<table><thead>{_row('th', heads)}</thead><tbody>"]
    for row in ranked:
        names = [escape(shown(name, str)) for name in ((row.group, row.feature) if grouped else (row.feature,))]
        style = f"height:0.8em;width:{abs(row.value) / largest * 8:.2f}em;background:{COLOURS[row.value < 0]}"
        errors = ["" if math.isnan(row.stderr) else f"{row.stderr:.2g}"] if with_error else []
        cells = [*names, f"{row.value:.4g}", f'<div style="{style}"></div>', *errors, f"{row.count:,}"]
        lines.append(_row("td", cells))
    lines.append("</tbody></table>")
    if grouped and len(one.groups) > HTML_ROWS:
        lines.append(f"<p>and {counted(len(one.groups) - HTML_ROWS, 'group')} more</p>")
    return "\n".join(lines)


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _row(tag: str, cells: Iterable[str]) -> str:
    """Return a row of a table of HTML."""
    inside = "".join(f'<{tag} style="text-align:left">{cell}</{tag}>' for cell in cells)
    return f"<tr>{inside}</tr>"


def _all_of(one: Any, columns: list[Any]) -> Iterable[tuple[Any, ...]]:
    """Return (feature, value, count, stderr) of a group, from its arrays."""
    values, counts, errors = columns
    names = range(len(values)) if one.feature_names is None else one.feature_names
    return zip(names, values, counts, [None] * len(values) if errors is None else errors, strict=True)


def _by_group(ranked: Iterable[Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for row in ranked:
        groups.setdefault(row.group, []).append(row)
    return groups


def _targets(local: Any) -> Array:
    """What each explanation is of: names, where the targets have them, else numbers."""
    if local.target_names is None:
        return np.asarray(local.target)
    names: Array = np.array([*local.target_names, None], object)  # the last for -1: the model failed
    return np.asarray(names[local.target])


def _plain(value: object) -> Any:
    """Return a value as JSON has it: no NaN, and of dates and the like the text."""
    if isinstance(value, np.generic):
        value = str(value) if value.dtype.kind in "mM" else value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _check_layout(layout: object, known: tuple[str, ...]) -> None:
    if not isinstance(layout, str) or layout not in known:
        raise ValueError(f"layout must be one of {', '.join(known)}, got {shown(layout)}")
