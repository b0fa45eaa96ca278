"""Plots of local explanations: one as bars, and the weights of many as points."""

import numbers
import sys
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from normlime_fast._checks import Array, as_array, as_count, as_explained, as_frame, as_names, is_sparse, short_repr
from normlime_fast._inputs.categories import column_at
from normlime_fast._inputs.frames import as_floats, holds
from normlime_fast._results.explanations import LocalExplanations
from normlime_fast._results.groups import by_instance, is_counted
from normlime_fast._results.importance import Importance
from normlime_fast._results.statistics import sum_weights
from normlime_fast._types import Kind
from normlime_fast.plotting import _common

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 2000  # per feature; more would merge into a blot
_SHADES = (_common.BLUE, "#C4708C", "#E08000")  # of low to high values: distinct steps also without red, green or blue
_GREY = "#B0B0B0"  # distinct from all shades
_HALF = 0.4  # half the height of a row for its points


def local_bars(
    local: LocalExplanations,
    instance: int,
    target: int | str | None = None,
    k: int = 10,
    ax: "Axes | None" = None,
    *,
    x: Any = None,
) -> "Axes":
    """Draw one explanation: the k largest weights as bars, to the right if they raise the output.

    Lines are 90 % intervals of the weights, by their standard errors: where they would lie with other samples.

    Parameters
    ----------
    local : LocalExplanations
    instance : int
        Number of the row explained, as in `local.instance`.
    target : int or str, optional
        Number or name of the output; required if the instance was explained for several.
    k : int, default 10
    ax : matplotlib Axes, optional
        By default those of a new figure.
    x : array_like of shape (d,), optional
        The row explained: its values are written next to the names. The index of a Series and the columns of a
        DataFrame must be the names of the features, in any order, or the default numbers 0 to d - 1.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `local` is not a LocalExplanations, no or several explanations match `instance` and `target`, the explanation
        is empty, or `k` or `x` is invalid.

    Examples
    --------
    >>> import numpy as np
    >>> import normlime_fast as nlf
    >>> from normlime_fast import plotting
    >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0, 0.0], nlf.Gaussian(1.0), n_features=2, rng=0)
    >>> local = explainer.explain(np.zeros((4, 3)))
    >>> ax = plotting.local_bars(local, instance=3)
    >>> [round(float(bar.get_width()), 2) for bar in ax.patches]
    [-2.0, 1.0]
    """
    _common.require_local(local, "local_bars")
    k = as_count(k, "k")
    row = _row_of(local, instance, target)
    weights = local.weights[[row]].toarray()[0]
    columns, _ = _common.largest_columns(weights, weights != 0, np.zeros(len(weights), bool), k)
    if not columns.size:
        raise ValueError(
            f"local_bars needs weights, got none for instance {instance}: its status is {local.status[row]}"
        )
    labels = _common.labels_of(local.feature_names, columns)
    if x is not None:
        described = _as_row(x, len(weights), local.feature_names)
        short = _common.labels_of(local.feature_names, columns, 20)
        labels = [f"{name} = {_value_text(described[j])}" for name, j in zip(short, columns.tolist(), strict=True)]
    ax = _common.axes_for(ax, len(columns))
    error = np.full(len(columns), np.nan)
    if local.stderr is not None:
        error = NormalDist().inv_cdf(0.5 + _common.LEVEL / 2) * local.stderr[[row]].toarray()[0, columns]
    _common.draw_bars(ax, weights[columns], weights[columns] - error, weights[columns] + error)
    _common.name_rows(ax, labels, _common.how_many(len(columns), len(weights)))
    ax.set_xlabel(_common.WEIGHT + f"\nlines: {_common.LEVEL:.0%} intervals" * bool(np.isfinite(error).any()))
    ax.set_title(_title(local, row), fontsize="medium", **_common.PLAIN)
    return ax


def strip(
    local: LocalExplanations,
    X: Any = None,
    k: int = 10,
    ax: "Axes | None" = None,
    *,
    target: int | str | None = None,
    kind: Kind = "normlime",
    min_count: int | None = None,
    categorical: Any = (),
) -> "Axes":
    """Draw the weights of the k most important features as points, one per explanation that uses the feature.

    For a feature with more than 2,000 points, 2,000 are drawn at random, always the same ones.

    Parameters
    ----------
    local : LocalExplanations
    X : DataFrame, array or sparse matrix of shape (n_instances, d), optional
        The rows explained, one per instance, in the order given to `explain`: the colour of a point is the feature's
        value, from its 5th to its 95th percentile in X. NaN, text, pandas' categories and `categorical` columns are
        grey.
    k : int, default 10
    ax : matplotlib Axes, optional
        By default those of a new figure.
    target : int or str, optional
        Number or name of an output whose explanations are drawn. By default all explanations; a weight then refers to
        the output of its own explanation.
    kind, min_count : optional
        The importance that ranks the features; see `LocalExplanations.importance`.
    categorical : list of int or str, optional
        Columns of X whose numbers are unordered codes; their points are grey.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `local` is not a LocalExplanations, no feature is used, or another argument is invalid.

    Examples
    --------
    >>> import numpy as np
    >>> import normlime_fast as nlf
    >>> from normlime_fast import plotting
    >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0, 0.0], nlf.Gaussian(1.0), n_features=2, rng=0)
    >>> local = explainer.explain(np.zeros((4, 3)))
    >>> ax = plotting.strip(local)
    >>> [len(points.get_offsets()) for points in ax.collections]
    [4, 4]
    """
    _common.require_local(local, "strip")
    k = as_count(k, "k")
    if not local.status.size:
        raise ValueError("strip needs explanations, got none")
    rows = is_counted(local.status)
    if target is not None:
        rows &= local.target == _as_target(local, target)
    feature_values = _Values(X, local, categorical)
    importance = _ranking(local, rows, kind, min_count)
    columns, few = _common.ranked_columns(importance, k)
    ax = _common.axes_for(ax, len(columns))
    clouds = [_points(local, rows, j) for j in columns.tolist()]
    span = np.concatenate([weights for _, weights in clouds])
    edges = np.linspace(min(span.min(), 0.0), max(span.max(), 0.0), 101)
    ax.axvline(0, color=ax.yaxis.label.get_color(), linewidth=0.8)
    grey = False
    for row, (j, (where, weights)) in enumerate(zip(columns.tolist(), clouds, strict=True)):
        shades = None if X is None else feature_values.column(j, where)
        grey = grey or (shades is not None and bool(np.isnan(shades).any()))
        _draw_points(ax, weights, row + _spread(weights, edges), shades, len(span))
    names, d = local.feature_names, importance.values.size
    _common.name_rows(ax, _common.labels_of(names, columns, few=few), _common.how_many(len(columns), d, few))
    n_points = int(importance.counts[columns].max())
    cut = f"\nat most {MOST_POINTS:,} of up to {n_points:,} points per feature" if n_points > MOST_POINTS else ""
    ax.set_xlabel(f"{_common.WEIGHT}{cut}")
    if X is not None:
        _write_colours(ax, "feature's value, 5th to 95th percentile" + "\ngrey: not a number" * grey)
    return ax


def _as_target(local: LocalExplanations, target: int | str) -> int:
    names = local.target_names
    explained = np.unique(local.target[local.target >= 0]).tolist()
    if isinstance(target, str) and names is not None and target in names and names.index(target) in explained:
        return names.index(target)
    if isinstance(target, numbers.Integral) and not isinstance(target, bool) and target in explained:
        return int(target)
    explained_names = short_repr(explained if names is None else [names[number] for number in explained])
    raise ValueError(f"target must be one of those explained, {explained_names}, got {short_repr(target)}")


def _row_of(local: LocalExplanations, instance: int, target: int | str | None) -> int:
    """Return the position of an explanation."""
    number = as_count(instance, "instance", 0)
    rows = np.flatnonzero(local.instance == number)
    if not rows.size:
        first = short_repr(np.unique(local.instance)[:5].tolist())
        raise ValueError(f"instance must be one of those explained, which begin with {first}, got {number}")
    if target is not None:
        wanted = _as_target(local, target)
        rows = rows[local.target[rows] == wanted]
        if not rows.size:
            raise ValueError(f"target must be one of those explained for instance {number}, got {short_repr(target)}")
    if len(rows) > 1:
        targets = short_repr(local.target[rows].tolist())
        raise ValueError(f"target must be given for instance {number}, which was explained for the targets {targets}")
    return int(rows[0])


def _title(local: LocalExplanations, row: int) -> str:
    """Return the instance, the target, the output and the R^2 as a title."""
    target = int(local.target[row])
    name = target if local.target_names is None else _common.flat(local.target_names[target])
    output = f"output {local.prediction[row]:.3g}" if np.isfinite(local.prediction[row]) else ""
    fit = f"R^2 {local.r2[row]:.2f}" if np.isfinite(local.r2[row]) else ""
    details = ", ".join(filter(None, [output, fit]))
    return f"instance {local.instance[row]}, target {name}" + f": {details}" * bool(details)


def _as_row(x: Any, d: int, names: tuple[str, ...] | None) -> list[Any]:
    """Return the values of one instance, in the order of the features."""
    pandas = sys.modules.get("pandas")
    labelled = pandas is not None and isinstance(x, pandas.Series)
    frame = None if labelled else as_frame(x, "x")
    columns = list(x.index) if labelled else None if frame is None else frame.columns
    if frame is not None:
        values = list(frame.row(0)) if len(frame) == 1 else []
    elif is_sparse(x):
        values = x.toarray().ravel().tolist()
    else:
        values = as_array(x, "x").ravel().tolist() if not isinstance(x, str) else []
    if len(values) != d:
        raise ValueError(f"x must be one row of {d} values, one per feature, got {short_repr(type(x).__name__, str)}")
    if columns is None or names is None:
        return values
    return [values[i] for i in _order(columns, names)]


def _order(columns: Any, names: tuple[str, ...]) -> list[int]:
    """Return the positions of the features among the columns of x."""
    given = as_names(columns)
    if given != names and set(given) == set(names) and len(set(given)) == len(given):
        positions = {name: i for i, name in enumerate(given)}
        return [positions[name] for name in names]
    if given != names and list(columns) != list(range(len(names))):
        raise ValueError(
            f"x must have the names of the features, {short_repr(list(names))}, got {short_repr(list(given))}"
        )
    return list(range(len(names)))


def _value_text(value: Any) -> str:
    """Return a value as readable text."""
    return f"{value:.4g}" if isinstance(value, float) else _common.flat(value, 12)


def _ranking(local: LocalExplanations, rows: Array, kind: Kind, min_count: int | None) -> Importance:
    """Return the importance computed from these explanations."""
    if not rows.any():
        raise ValueError("strip needs explanations, but all of those selected have status 6 to 9")
    statistics = sum_weights(local.weights[rows], None, local.feature_names)
    importance = statistics.importance(kind, min_count=min_count)
    _common.require_importance(importance, "strip", None)
    return importance


def _points(local: LocalExplanations, rows: Array, j: int) -> tuple[Array, Array]:
    """Return up to MOST_POINTS explanations that use a feature, and their weights."""
    column = local.weights[:, [j]].toarray()[:, 0]
    where = np.flatnonzero(rows & (column != 0))
    if len(where) > MOST_POINTS:
        where = np.sort(np.random.default_rng(0).choice(where, MOST_POINTS, replace=False))
    return where, column[where]


def _spread(weights: Array, edges: Array) -> Array:
    """Return the offsets of points from the middle of their row, so that points of similar weight do not overlap."""
    bins = np.searchsorted(edges, weights)
    order = np.argsort(bins, kind="stable")
    _, first, counts = np.unique(bins[order], return_index=True, return_counts=True)
    rank = np.empty(len(weights), np.int64)
    rank[order] = np.arange(len(weights)) - np.repeat(first, counts)
    step = min(0.06, 2 * _HALF / counts.max())
    return np.asarray((rank + 1) // 2 * np.where(rank % 2, 1, -1) * step)


def _draw_points(ax: "Axes", weights: Array, rows: Array, shades: Array | None, total: int) -> None:
    """Draw the points of a feature; `shades` are from 0 to 1, or NaN."""
    style: dict[str, Any] = {"s": 12, "linewidths": 0, "rasterized": total > 1000}
    if shades is None:
        ax.scatter(weights, rows, color=_common.BLUE, **style)
        return
    ax.scatter(weights, rows, c=shades, cmap=_colours(), vmin=0.0, vmax=1.0, plotnonfinite=True, **style)


def _colours() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("low to high", _SHADES).with_extremes(bad=_GREY)


def _write_colours(ax: "Axes", label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = ax.figure.colorbar(ScalarMappable(Normalize(0, 1), _colours()), ax=ax, aspect=40)
    bar.set_ticks([0, 1], labels=["5%", "95%"])
    bar.set_label(label)


class _Values:
    """The values of features that colour points."""

    def __init__(self, X: Any, local: LocalExplanations, categorical: Any) -> None:
        self.table: Any = None
        if X is None:
            if np.size(categorical):
                raise ValueError(f"categorical must be columns of X, got {short_repr(categorical)} and no X")
            return
        instances, self.rows = by_instance(local.instance)  # rows of X, for every explanation
        shape = len(instances), local.weights.shape[1]
        if as_frame(X, "X") is None and not is_sparse(X):
            X = as_array(X, "X")
            X = X.reshape(len(X), -1) if X.ndim > 2 else X  # images
        table = as_explained(X, shape, local.feature_names)
        self.table = table.tocsc() if is_sparse(table) else table
        self.codes = _as_columns(categorical, shape[1], table if hasattr(table, "to_native") else None)

    def column(self, j: int, where: Array) -> Array:
        """Return a feature's value for these explanations, from 0 at its 5th percentile to 1 at its 95th, or NaN."""
        if j in self.codes:
            return np.full(len(where), np.nan)
        column = self._numbers(j)
        column = np.where(np.isfinite(column), column, np.nan)
        values = column[self.rows[where]]
        if np.isnan(values).all():
            return values
        low, high = np.nanpercentile(column, [5, 95])
        if low == high:
            low, high = np.nanmin(column), np.nanmax(column)
        return np.clip((values - low) / (high - low), 0, 1) if low < high else np.where(np.isnan(values), np.nan, 0.5)

    def _numbers(self, j: int) -> Array:
        """Return a column as floats, NaN for values that are not numbers."""
        if hasattr(self.table, "to_native"):
            column = self.table[:, j]
            if holds(column) in ("numbers", "bools"):
                return as_floats(column).astype(np.float64)
            objects = column.to_list() if str(column.dtype) == "Object" else [None] * len(column)
            values: Array = np.array(objects, object)
        else:
            values = self.table[:, [j]].toarray()[:, 0] if is_sparse(self.table) else self.table[:, j]
        if values.dtype.kind in "fiub":
            return np.asarray(values, np.float64)
        return np.array([float(v) if isinstance(v, numbers.Real) else np.nan for v in values.tolist()])


def _as_columns(categorical: Any, d: int, frame: Any) -> set[int]:
    if isinstance(categorical, str) or not hasattr(categorical, "__iter__"):
        raise TypeError(f"categorical must be a list of columns, got {short_repr(categorical)}")
    columns = {column_at(entry, d, None if frame is None else frame.columns): entry for entry in categorical}
    if None in columns:
        raise ValueError(f"categorical must hold names or positions of columns of X, got {short_repr(columns[None])}")
    return {column for column in columns if column is not None}
