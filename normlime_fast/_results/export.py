"""Export of results: ranked rows, pandas DataFrames, and dicts for JSON."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from normlime_fast._checks import Array, as_count, import_optional, short_repr
from normlime_fast._results.groups import target_labels, to_python
from normlime_fast._types import Layout, LocalLayout

if TYPE_CHECKING:
    from normlime_fast._results.explanations import LocalExplanations
    from normlime_fast._results.importance import Importance


FEW, SHARE = 5, 0.01  # fewer explanations, or a smaller share of them, are few for a mean
NOTE = "* few explanations use it; listed last"


class Ranked(NamedTuple):
    """One row of `Importance.top`."""

    group: Any
    feature: str | int
    value: float
    count: int  # type: ignore[assignment]  # hides tuple.count on purpose
    stderr: float | None


def top_features(importance: "Importance", k: int | None) -> Iterator[list[Ranked]]:
    """Yield the features of every group of an Importance: the k largest in use, or all in column order."""
    return (rows for rows, _ in ranked_features(importance, k))


def ranked_features(importance: "Importance", k: int | None) -> Iterator[tuple[list[Ranked], list[bool]]]:
    """Yield `top_features` of every group, and for each whether `rests_on_few`."""
    errors = importance.stderr if importance.stderr is not None else np.full(importance.values.shape, None)
    arrays = (importance.values, importance.counts, errors, rests_on_few(importance), sizes_of(importance))
    for group, *columns, few, size in zip(_labels(importance.groups), *map(np.atleast_2d, arrays), strict=True):
        order = np.arange(importance.values.shape[-1])
        if k is not None:
            used = np.flatnonzero(columns[1] >= (importance.min_count or 1))
            order = used[np.lexsort((-size[used], few[used]))][:k]
        names = order.tolist() if importance.feature_names is None else [importance.feature_names[j] for j in order]
        cells = (column[order].tolist() for column in columns)
        yield [Ranked(group, *row) for row in zip(names, *cells, strict=True)], few[order].tolist()


def sizes_of(importance: "Importance") -> Array:
    """Return what features are ranked by: |values|, and 0 for values below 0 that are left of subtracted noise."""
    if importance.debias and importance.sign != "net":
        return np.maximum(importance.values, 0.0)
    return np.abs(importance.values)


def rests_on_few(importance: "Importance") -> Array:
    """Return a mask of the features that are listed after the others of their group, since few explanations use them.

    Few are fewer than `min_count`, or by default than FEW or SHARE of the explanations of the group. If all features
    rest on few, there are no others, and none is marked.
    """
    least = importance.min_count
    if least == 1:
        return np.zeros(importance.counts.shape, bool)
    few = importance.counts < (np.maximum(FEW, SHARE * importance.explanations)[..., None] if least is None else least)
    return few & ~few.all(axis=-1, keepdims=True)


def _labels(groups: Array | None) -> list[Any]:
    return [None] if groups is None else to_python(groups)


def importance_frame(result: "Importance", layout: Layout) -> Any:
    """Return an Importance as a pandas DataFrame."""
    _check_layout(layout, get_args(Layout))
    pandas = import_optional("pandas", "to_frame", "pandas")
    d = result.values.shape[-1]
    names = list(range(d)) if result.feature_names is None else list(result.feature_names)
    if layout == "wide":
        index = pandas.Index(
            [result.kind] if result.groups is None else result.groups, name="kind" if result.groups is None else "group"
        )
        return pandas.DataFrame(np.atleast_2d(result.values), index, names)
    columns: dict[str, Any] = {} if result.groups is None else {"group": np.repeat(result.groups, d)}
    columns["feature"] = names * (1 if result.groups is None else len(result.groups))
    few = rests_on_few(result)
    arrays = {"value": result.values, "count": result.counts, "stderr": result.stderr, "few": few}
    columns |= {name: values.ravel() for name, values in arrays.items() if values is not None}
    group = np.repeat(np.arange(few.size // d), d)
    return pandas.DataFrame(columns).iloc[np.lexsort((few.ravel(), group))]


def local_frame(local: "LocalExplanations", layout: LocalLayout) -> Any:
    """Return LocalExplanations as a pandas DataFrame."""
    _check_layout(layout, get_args(LocalLayout))
    pandas = import_optional("pandas", "to_frame", "pandas")
    weights = local.weights
    keys = {"instance": local.instance, "target": target_labels(local.target, local.target_names)}
    used = np.diff(weights.indptr)
    if layout == "fits":
        fields = ("intercept", "r2", "prediction", "status", "effective_samples")
        columns = keys | {"n_features": used} | {name: getattr(local, name) for name in fields}
        return pandas.DataFrame(columns, local.index)
    names = None if local.feature_names is None else np.array(local.feature_names, object)
    if layout == "wide":
        if local.index is not None:
            keys = {"row": local.index, "target": keys["target"]}
        index = pandas.MultiIndex.from_arrays(list(keys.values()), names=list(keys))
        if local.index is not None and len(np.unique(local.instance)) == len(local):
            index = pandas.Index(local.index)
        return pandas.DataFrame(weights.toarray(), index, names)
    row = np.repeat(np.arange(len(used)), used)
    columns = {name: values[row] for name, values in keys.items()}
    features = weights.indices.astype(np.int64) if names is None else names[weights.indices]
    labels = None if local.index is None else local.index[row]
    return pandas.DataFrame(columns | {"feature": features, "weight": weights.data}, labels)


def importance_dict(importance: "Importance", k: int | None) -> dict[str, Any]:
    """Return an Importance as a dict for JSON."""
    k = None if k is None else as_count(k, "k")
    explanations = np.atleast_1d(importance.explanations).tolist()
    groups = []
    for label, number, rows in zip(_labels(importance.groups), explanations, top_features(importance, k), strict=True):
        features = [{name: to_json(value) for name, value in list(row._asdict().items())[1:]} for row in rows]
        groups.append({"group": to_json(label), "explanations": number, "features": features})
    settings = {name: getattr(importance, name) for name in ("kind", "sign", "min_count", "shrink", "of", "debias")}
    settings["min_count"] = importance.min_count or 1  # by default nothing is hidden, as with 1
    return settings | {"unexplained_names": list(importance.unexplained_names), "groups": groups}


def local_dict(local: "LocalExplanations") -> dict[str, Any]:
    """Return LocalExplanations as a dict for JSON."""
    weights, targets = local.weights, target_labels(local.target, local.target_names)
    explanations = []
    for i, (start, end) in enumerate(zip(weights.indptr[:-1], weights.indptr[1:], strict=True)):
        order = start + np.argsort(-np.abs(weights.data[start:end]), kind="stable")
        numbers = weights.indices[order].tolist()
        names = numbers if local.feature_names is None else [local.feature_names[j] for j in numbers]
        pairs = zip(names, weights.data[order].tolist(), strict=True)
        fit = {"instance": int(local.instance[i]), "target": to_json(targets[i]), "status": int(local.status[i])}
        fit |= {} if local.index is None else {"index": to_json(local.index[i])}
        for name in ("intercept", "r2", "prediction", "effective_samples"):
            fit[name] = to_json(getattr(local, name)[i])
        explanations.append(fit | {"weights": [{"feature": name, "weight": weight} for name, weight in pairs]})
    return {"columns": int(weights.shape[1]), "explanations": explanations}


def to_json(value: object) -> Any:
    """Return a value that JSON can hold: None for NaN and infinity, text for dates and other objects."""
    if isinstance(value, np.datetime64):
        value = str(np.datetime_as_string(value, unit="auto"))
    elif isinstance(value, np.generic):
        value = str(value) if value.dtype.kind == "m" else value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _check_layout(layout: object, allowed: tuple[str, ...]) -> None:
    if not isinstance(layout, str) or layout not in allowed:
        raise ValueError(f"layout must be one of {', '.join(allowed)}, got {short_repr(layout)}")
