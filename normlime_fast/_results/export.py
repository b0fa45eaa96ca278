"""Results as tables: pandas DataFrames, plain dicts as JSON has them, a line of text, a few lines of HTML."""

import math
from collections.abc import Iterable, Iterator
from html import escape
from itertools import islice
from typing import Any, NamedTuple, get_args

import numpy as np

from normlime_fast._checks import Array, as_count, needed, quiet, shown
from normlime_fast._results.groups import in_words, known, listed
from normlime_fast._types import Layout, LocalLayout

HTML_ROWS = 10  # of a table in a notebook: features or, with groups, groups
HTML_ROWS_A_GROUP = 3
COLOURS = "#0072B2", "#D55E00"  # of bars: at least 0, and below; Okabe and Ito's, told apart by colour-blind people


class Ranked(NamedTuple):
    """One row of `Importance.top`."""

    group: Any
    feature: str | int
    value: float
    count: int  # type: ignore[assignment]  # a name that tuples have, too; here it is the better one
    stderr: float | None


def ranked(one: Any, k: int | None) -> Iterator[list[Ranked]]:
    """Rank the features of every group of an Importance: the k largest that are used, or all in their own order."""
    errors = one.stderr if one.stderr is not None else np.full(one.values.shape, None)
    arrays = (np.atleast_2d(array) for array in (one.values, one.counts, errors))
    for group, *columns in zip(_labels(one.groups), *arrays, strict=True):
        order = np.arange(one.values.shape[-1])
        if k is not None:
            used = np.flatnonzero(columns[1] >= one.min_count)
            order = used[np.argsort(-np.abs(columns[0][used]), kind="stable")][:k]
        names = order.tolist() if one.feature_names is None else [one.feature_names[j] for j in order]
        found = (column[order].tolist() for column in columns)
        yield [Ranked(group, *row) for row in zip(names, *found, strict=True)]


def _labels(groups: Array | None) -> list[Any]:
    return [None] if groups is None else listed(groups)


def importance_frame(one: Any, layout: Layout) -> Any:
    """Return an Importance as a pandas DataFrame."""
    _check_layout(layout, get_args(Layout))
    pandas = needed("pandas", "to_frame", "pandas")
    d = one.values.shape[-1]
    names = list(range(d)) if one.feature_names is None else list(one.feature_names)
    if layout == "wide":
        index = pandas.Index(
            [one.kind] if one.groups is None else one.groups, name="kind" if one.groups is None else "group"
        )
        return pandas.DataFrame(np.atleast_2d(one.values), index, names)
    columns: dict[str, Any] = {} if one.groups is None else {"group": np.repeat(one.groups, d)}
    columns["feature"] = names * (1 if one.groups is None else len(one.groups))
    for name, values in (("value", one.values), ("count", one.counts), ("stderr", one.stderr)):
        if values is not None:
            columns[name] = values.ravel()
    return pandas.DataFrame(columns)


def local_frame(local: Any, layout: LocalLayout) -> Any:
    """Return LocalExplanations as a pandas DataFrame."""
    _check_layout(layout, get_args(LocalLayout))
    pandas = needed("pandas", "to_frame", "pandas")
    weights = local.weights
    keys = {"instance": local.instance, "target": in_words(local.target, local.target_names)}
    used = np.diff(weights.indptr)
    if layout == "fits":
        others = ("intercept", "r2", "prediction", "status", "effective_samples")
        return pandas.DataFrame(keys | {"n_features": used} | {name: getattr(local, name) for name in others})
    names = None if local.feature_names is None else np.array(local.feature_names, object)
    if layout == "wide":
        index = pandas.MultiIndex.from_arrays(list(keys.values()), names=list(keys))
        return pandas.DataFrame(weights.toarray(), index, names)
    row = np.repeat(np.arange(len(used)), used)
    columns = {name: values[row] for name, values in keys.items()}
    features = weights.indices.astype(np.int64) if names is None else names[weights.indices]
    return pandas.DataFrame(columns | {"feature": features, "weight": weights.data})


def importance_dict(one: Any, k: int | None) -> dict[str, Any]:
    """Return an Importance as JSON has it."""
    k = None if k is None else as_count(k, "k")
    explanations = np.atleast_1d(one.explanations).tolist()
    groups = []
    for label, number, rows in zip(_labels(one.groups), explanations, ranked(one, k), strict=True):
        features = [{name: _plain(value) for name, value in list(row._asdict().items())[1:]} for row in rows]
        groups.append({"group": _plain(label), "explanations": number, "features": features})
    about = {name: getattr(one, name) for name in ("kind", "sign", "min_count", "shrink")}
    return about | {"groups": groups}


def local_dict(local: Any) -> dict[str, Any]:
    """Return LocalExplanations as JSON has them."""
    weights, targets = local.weights, in_words(local.target, local.target_names)
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
    parts = [one.kind] + [one.sign] * (one.kind not in ("mean", "sum") or one.sign != "absolute")
    parts += ["shrunk"] * one.shrink + [f"min_count {one.min_count}"] * (one.min_count > 1)
    parts += [counted(int(np.sum(one.explanations)), "explanation"), counted(one.values.shape[-1], "feature")]
    first = islice((row for rows in ranked(one, 3 if one.groups is None else 1) for row in rows), 3)
    found = ", ".join(f"{_of(row)} ({row.value:.3g})" for row in first)
    return f"{', '.join(parts + _groups(one.groups))}; first {found or f'none, as none is used by {one.min_count}'}"


def _of(row: Ranked) -> str:
    feature = f"column {row.feature}" if isinstance(row.feature, int) else shown(row.feature, str)
    return feature if row.group is None else f"{_said(row.group)}: {feature}"


def _groups(groups: Array | None) -> list[str]:
    if groups is None:
        return []
    some = ", ".join(map(_said, groups[:3]))
    return [f"{counted(len(groups), 'group')} ({some}{', ...' if len(groups) > 3 else ''})"]


@quiet
def local_line(local: Any) -> str:
    """Say what LocalExplanations are of."""
    n, d = local.weights.shape
    there = known(local.status)
    parts = [f"{counted(n, 'explanation')} of {counted(len(np.unique(local.instance)), 'instance')}"]
    parts.append(counted(d, "feature"))
    if there.any():
        parts[1] += f" ({local.weights.nnz / there.sum():.1f} used on average)"
    if np.isfinite(local.r2[there]).any():
        parts.append(f"mean R^2 {np.nanmean(local.r2[there]):.3f}")
    if local.status.any():
        found = zip(*np.unique(local.status, return_counts=True), strict=True)
        parts.append("status " + ", ".join(f"{status}: {count:,}" for status, count in found))
    return ", ".join(parts)


def html(line: str, one: Any, caption: str = "") -> str:
    """Return a line, and a small table with bars of what an Importance, if any, ranks first; names are escaped."""
    said = f"<p>{escape(line)}</p>"
    groups = () if one is None else ranked(one, HTML_ROWS if one.groups is None else HTML_ROWS_A_GROUP)
    rows = [row for group in islice(groups, HTML_ROWS) for row in group]
    if not rows:
        return said
    largest = max(abs(row.value) for row in rows) or 1.0
    grouped, with_error = one.groups is not None, one.stderr is not None
    heads = [*["group"] * grouped, "feature", one.kind, "", *["standard error"] * with_error, "count"]
    lines = [said, f"<table>{caption}<thead>{_row('th', heads)}</thead><tbody>"]
    for row in rows:
        names = [escape(text) for text in ([_said(row.group)] * grouped + [shown(row.feature, str)])]
        style = f"height:0.8em;width:{abs(row.value) / largest * 8:.2f}em;background:{COLOURS[row.value < 0]}"
        errors = [] if row.stderr is None else ["&ndash;" if math.isnan(row.stderr) else f"{row.stderr:.2g}"]
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


def _said(label: object) -> str:
    """Return a label as people read it."""
    return shown(_plain(label) if isinstance(label, np.generic) else label, str)


def _plain(value: object) -> Any:
    """Return a value as JSON has it: no NaN, and of dates and the like the text."""
    if isinstance(value, np.datetime64):
        value = str(np.datetime_as_string(value, unit="auto"))
    elif isinstance(value, np.generic):
        value = str(value) if value.dtype.kind == "m" else value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _check_layout(layout: object, known: tuple[str, ...]) -> None:
    if not isinstance(layout, str) or layout not in known:
        raise ValueError(f"layout must be one of {', '.join(known)}, got {shown(layout)}")
