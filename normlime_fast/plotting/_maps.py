"""Importances as colours: heatmaps of groups by features, and images."""

from typing import TYPE_CHECKING, Any

import numpy as np

from normlime_fast._checks import Array, as_array, as_count, short_repr
from normlime_fast._results.importance import Importance
from normlime_fast.plotting import _common

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def heatmap(importance: Importance, k: int = 30, ax: "Axes | None" = None) -> "Axes":
    """Draw importances as colours, with features in rows and groups in columns.

    Parameters
    ----------
    importance : Importance
        With groups.
    k : int, default 30
        Number of features: those with the largest |value| in any group, in descending order.
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
        If `importance` is not an Importance, has no groups or no feature in use; if `k` is not an integer of at least
        1.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> from normlime_fast import plotting
    >>> ax = plotting.heatmap(nlf.aggregate([[0.0, 2.0], [1.0, -3.0]], groups=["x", "y"]).importance("mean"))
    >>> ax.images[0].get_array().tolist()
    [[2.0, -3.0], [0.0, 1.0]]
    """
    _common.require_importance(importance, "heatmap", True, "bars")
    k = as_count(k, "k")
    columns, few = _common.ranked_columns(importance, k)
    groups = _common.groups_of(importance)
    ax = _common.axes_for(ax, len(columns), 0.25 * len(groups))
    image = ax.imshow(importance.values.T[columns], aspect="auto", interpolation="nearest", **_scale(importance))
    axis = _common.how_many(len(columns), importance.values.shape[1], few)
    _common.name_rows(ax, _common.labels_of(importance.feature_names, columns, few=few), axis)
    upright = sum(map(len, groups)) > 40
    ax.set_xticks(range(len(groups)), labels=groups, rotation=90 if upright else 0, **_common.PLAIN)
    number = f"{len(groups):,} groups" if len(groups) > 1 else "1 group"
    ax.set_xlabel(number + _common.missing_groups(importance), **_common.PLAIN)
    ax.grid(False, which="both")
    ax.figure.colorbar(image, ax=ax, label=_common.wrapped(_common.quantity_of(importance)))
    return ax


def maps(importance: Importance, shape: Any = None, axes: Any = None, *, segments: Any = None) -> Array:
    """Draw importances of pixels as images, one per group, with a common colour scale.

    Parameters
    ----------
    importance : Importance
        Its features are the pixels of an image, row by row, or its segments.
    shape : (int, int), optional
        Height and width H, W of an image with H * W features; (7, 7), its grid, for `Mask(segments=7)`. Not needed with
        `segments`.
    axes : array_like of matplotlib Axes, optional
        One per group, or one if there are no groups; by default those of a new figure, for up to 100 groups.
    segments : array_like of int of shape (H, W), optional
        Number of the feature of every pixel, as passed to `Mask`.

    Returns
    -------
    ndarray of matplotlib Axes, of shape (n_groups,) or (1,)

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `importance` is not an Importance or has no feature in use; if `shape`, `segments` or `axes` is invalid.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> from normlime_fast import plotting
    >>> axes = plotting.maps(nlf.aggregate([[0.0, 2.0, 1.0, 0.0]]).importance("mean"), (2, 2))
    >>> axes[0].images[0].get_array().tolist()
    [[0.0, 2.0], [1.0, 0.0]]
    """
    _common.require_importance(importance, "maps", None)
    features = _pixel_features(importance.values.shape[-1], shape, segments)
    titles = _common.groups_of(importance, 16) or [""]
    panels = _common.as_many_axes(axes, len(titles), "group")
    if panels is None:
        height = float(np.clip(1.6 * features.shape[0] / features.shape[1], 0.6, 4.0)) + 0.4
        panels = _common.new_panels(len(titles), 5, (1.8, height), 3.8 if len(titles) > 1 else 0.0)
    figure = _common.one_figure(panels)
    scale = _scale(importance)
    for ax, values, title in zip(panels, np.atleast_2d(importance.values), titles, strict=True):
        image = ax.imshow(values[features], interpolation="nearest", **scale)
        ax.set(xticks=[], yticks=[])
        ax.grid(False, which="both")
        ax.set_title(title, fontsize="medium", **_common.PLAIN)
    figure.colorbar(image, ax=panels, label=_common.wrapped(_common.quantity_of(importance)))
    return np.array(panels, dtype=object)


def _scale(importance: Importance) -> dict[str, Any]:
    """Return the colour map of values and its limits: from 0, or symmetric if values have signs."""
    largest = float(np.abs(importance.values).max()) or 1.0
    if _common.is_signed(importance):
        return {"cmap": _common.DIVERGING, "vmin": -largest, "vmax": largest}
    return {"cmap": _common.SEQUENTIAL, "vmin": 0.0, "vmax": largest}


def _pixel_features(d: int, shape: Any, segments: Any) -> Array:
    """Return the number of the feature, out of d, that every pixel shows."""
    size = None if shape is None else _common.shape_of(shape)
    if segments is None:
        if size is None:
            raise TypeError("maps needs the shape of the image, or its segments, got neither")
        if size[0] * size[1] != d:
            raise ValueError(f"shape must have H*W = {d}, the number of features, got {size}")
        return np.arange(d).reshape(size)
    labels = as_array(segments, "segments")
    if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "iu":
        got = f"shape {labels.shape} and dtype {short_repr(labels.dtype, str)}"
        raise TypeError(f"segments must be a 2-D map of integers, got {got}")
    if size not in (None, labels.shape):
        raise ValueError(f"shape must be that of segments, {labels.shape}, got {size}")
    if labels.min() < 0 or labels.max() >= d:
        raise ValueError(f"segments must have labels from 0 to {d - 1}, got {labels.min()} to {labels.max()}")
    return labels
