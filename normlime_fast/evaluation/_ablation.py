"""Class ablation: how a class's probability falls without the top features of its own map, and of other maps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import (
    Array,
    as_count,
    as_dense,
    as_labels,
    as_numbers,
    as_probability,
    as_seed,
    check_finite,
    ignoring_float_errors,
    short_repr,
)
from normlime_fast._inputs.rows import Rows, as_any_rows, as_dtype
from normlime_fast._model import Model
from normlime_fast._outputs import target_names
from normlime_fast._results.display import counted
from normlime_fast._results.export import sizes_of
from normlime_fast._results.groups import to_python
from normlime_fast._results.importance import Importance
from normlime_fast._types import Predict
from normlime_fast.evaluation._common import deviation, half_width, order_with_ties, to_dataframe

if TYPE_CHECKING:
    import pandas

Fill = float | str | Array | Callable[[Array], ArrayLike]


class AblationRow(NamedTuple):
    """One row of `Ablation.summary`."""

    fill: str
    group: Any
    own: float
    others: float
    difference: float
    low: float
    high: float
    images: int


@dataclass(frozen=True, eq=False, repr=False)
class Ablation:
    """Result of `class_ablation`.

    Attributes
    ----------
    drops : ndarray of shape (n_fills, n_images, n_maps)
        Decrease of the output for the image's own class when the features of a map are replaced.
    before : ndarray of shape (n_images,)
        That output for the unchanged image.
    own : ndarray of int of shape (n_images,)
        Number of the map of the image's own class; -1 if there is none.
    classes : tuple
        Labels of the maps' classes.
    replaced : ndarray of int of shape (n_maps,)
        Number of features of each map that were replaced: k, or fewer if fewer are not 0.
    fills : tuple of str
        Names of the fills.
    k : int
        Number of features requested.
    """

    drops: Array
    before: Array
    own: Array
    classes: tuple[Any, ...]
    replaced: Array
    fills: tuple[str, ...]
    k: int

    @property
    def own_drops(self) -> Array:
        """Drops for the map of the image's own class, (n_fills, n_images); NaN where there is none."""
        drops: Array = self.drops[:, np.arange(len(self.own)), self.own]
        return np.where(self.own < 0, np.nan, drops)

    @property
    def other_drops(self) -> Array:
        """Mean drops for the maps of the other classes, (n_fills, n_images)."""
        others = np.arange(len(self.classes)) != self.own[:, None]
        means: Array = np.where(others, self.drops, 0.0).sum(axis=2) / others.sum(axis=1)
        return means

    @ignoring_float_errors
    def summary(self, confidence: float = 0.9, by_class: bool = False) -> list[AblationRow]:
        """Return the mean drops for the own and for other maps, and the difference with its interval.

        Parameters
        ----------
        confidence : float, default 0.9
            Probability with which the interval covers the mean difference over all images like these. The images are
            paired: each has a drop for its own map and for the others. The maps are taken as fixed.
        by_class : bool, default False
            Whether to summarise the images of each class separately.

        Returns
        -------
        list of (fill, group, own, others, difference, low, high, images) tuples
            Computed from images whose class has a map. The group is a class, or None for all. `low` and `high` are NaN
            if there is one image, or if all differences are equal.

        Raises
        ------
        TypeError, ValueError
            If `confidence` is not a number between 0 and 1.
        """
        confidence = as_probability(confidence, "confidence")
        groups = [(None, self.own >= 0)]
        if by_class:
            groups = [(label, self.own == c) for c, label in enumerate(self.classes) if (self.own == c).any()]
        rows = []
        for f, fill in enumerate(self.fills):
            for group, in_group in groups:
                own, others = self.own_drops[f, in_group], self.other_drops[f, in_group]
                n, mean = len(own), float((own - others).mean())
                half = float(half_width([(deviation(own - others, 0) ** 2 / n, n)], confidence))
                rows.append(
                    AblationRow(fill, group, float(own.mean()), float(others.mean()), mean, mean - half, mean + half, n)
                )
        return rows

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame with one row per fill, image and map.

        Returns
        -------
        pandas.DataFrame
            With the columns ``fill``, ``image`` (its position), ``map`` (a class), ``own`` (whether that is the image's
            class), ``before`` and ``drop``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        fill, image, number = (place.ravel() for place in np.indices(self.drops.shape))
        columns = {
            "fill": np.array(self.fills, object)[fill],
            "image": image,
            "map": [self.classes[c] for c in number],
            "own": self.own[image] == number,
            "before": self.before[image],
            "drop": self.drops.ravel(),
        }
        frame: pandas.DataFrame = to_dataframe(columns)
        return frame

    def __repr__(self) -> str:
        n_fills, n_images, n_maps = self.drops.shape
        parts = [counted(n_images, "image"), counted(n_maps, "map"), f"k = {self.k}", counted(n_fills, "fill")]
        drops = [
            f"{short_repr(row.fill, str)}: own {row.own:.3f}, others {row.others:.3f},"
            f" difference {row.difference:.3f} [{row.low:.3f}, {row.high:.3f}]"
            for row in self.summary()[:3]
        ]
        return f"<Ablation: {', '.join(parts)}; mean drop, {'; '.join(drops)}>"


def class_ablation(
    predict: Predict,
    X: Any,
    labels: ArrayLike,
    maps: Importance | ArrayLike,
    k: int,
    fill: Fill | Mapping[str, Fill] = 0.0,
    *,
    classes: ArrayLike | None = None,
    batch_size: int = 1024,
    rng: Any = 0,
) -> Ablation:
    """Replace the k most important features of each class's map, and measure the drop of the image's class output.

    A map specific to its class lowers the output for images of that class by more than the maps of other classes do.

    Parameters
    ----------
    predict : callable
        Takes rows like those of X, returns (n, n_classes) outputs, such as probabilities.
    X : array_like of shape (n, d) or (n, H, W) or any other (n, ...), or DataFrame
        Images, or rows of any kind. Integers become float64.
    labels : array_like of shape (n,)
        True or predicted class of each image.
    maps : Importance with groups, or array_like of shape (n_classes, d)
        Importance of each feature for each class, ranked by |value|: use ``sign="positive"`` for the features that
        speak for a class. d is the number of values of an image. The groups are labels of classes, not necessarily of
        all; rows of an array are in the order of the outputs.
    k : int
        Number of features to replace, the same for each map. Features of value 0 are not replaced; see
        `Ablation.replaced`.
    fill : number, array_like of the shape of an image, "mean", callable, or dict of these, default 0.0
        Values that replace the features. "mean" is the feature's mean over X; a callable gets X and returns an array of
        its shape. A dict maps names to several fills.
    classes : array_like of shape (n_classes,), optional
        Labels of the outputs, in their order. By default, `classes_` if `predict` is a method of a scikit-learn
        classifier; otherwise labels and groups must be the outputs' numbers. Labels are compared as text.
    batch_size : int, default 1024
        Largest number of images per call of `predict`.
    rng : None, int or numpy Generator, default 0
        Source of the random order of features of equal importance.

    Returns
    -------
    Ablation

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or `predict` returns something else.

    Examples
    --------
    >>> import numpy as np
    >>> from normlime_fast import evaluation
    >>> X = np.array([[1.0, 0.2, 0.0], [0.1, 1.0, 0.0]])
    >>> result = evaluation.class_ablation(lambda X: X[:, :2], X, [0, 1], [[5.0, 0.0, 1.0], [0.0, 5.0, 1.0]], k=1)
    >>> result.own_drops, result.other_drops
    (array([[1., 1.]]), array([[0., 0.]]))
    """
    rows = _as_images(X)
    n, shape = rows.count, rows.values.shape[1:]
    flat = rows.values.reshape(n, -1)
    sizes, groups = _as_maps(maps, flat.shape[1])
    k = as_count(k, "k")
    if k > flat.shape[1]:
        raise ValueError(f"k must be at most the number of features, {flat.shape[1]}, got {k}")
    model = Model(predict, as_count(batch_size, "batch_size"))
    of_images = as_labels(labels, "labels", n, "row of X")
    generator = np.random.default_rng(as_seed(rng))
    chosen = [order_with_ties(row, generator)[: min(k, np.count_nonzero(row))] for row in sizes]
    fills = {name: _as_fill(value, name, flat, shape) for name, value in _named(fill).items()}

    def predict_flat(values: Array, n_outputs: int | None) -> Array:
        images = values.reshape(-1, *shape)
        return model.predict(rows, images, np.arange(len(images)), n_outputs)

    n_outputs = predict_flat(flat[:1].copy(), None).shape[1]  # copied, since a model may work in place
    output_labels = _labels_of_outputs(classes, predict, n_outputs)
    columns = _outputs_of(of_images, output_labels, n_outputs, "labels")
    if groups is None and len(sizes) != n_outputs:
        raise ValueError(f"maps must have one row per output of predict, {n_outputs}, got {len(sizes)}")
    mapped = np.arange(n_outputs) if groups is None else _outputs_of(groups, output_labels, n_outputs, "groups of maps")
    map_of = np.full(n_outputs, -1)
    map_of[mapped] = np.arange(len(sizes))
    if (map_of[columns] < 0).all():
        raise ValueError(f"labels must have classes that have maps, {short_repr(mapped.tolist())}, got none of them")
    own_outputs = np.arange(n), columns
    before = predict_flat(flat.copy(), n_outputs)[own_outputs]
    drops = np.empty((len(fills), n, len(sizes)))
    for f, values in enumerate(fills.values()):
        for c, features in enumerate(chosen):
            changed = flat.copy()
            changed[:, features] = values[:, features]
            drops[f, :, c] = before - predict_flat(changed, n_outputs)[own_outputs]
    replaced = np.array([len(features) for features in chosen])
    names = to_python(groups) if groups is not None else output_labels or range(n_outputs)
    return Ablation(drops, before, map_of[columns], tuple(names), replaced, tuple(fills), k)


def _as_images(X: Any) -> Rows:
    rows = as_any_rows(X)
    if not isinstance(rows.values, np.ndarray) or rows.values.dtype == object:
        raise TypeError(f"X must be an array or a DataFrame of numbers, got a {type(X).__name__}")
    floating = rows.values.dtype.kind == "f"
    return rows if floating else Rows(rows.values.astype(np.float64), rows.header)


def _as_maps(maps: Any, d: int) -> tuple[Array, Array | None]:
    """Return |values| (n_maps, d) and their groups, which are None for the outputs in order."""
    if isinstance(maps, Importance):
        if maps.groups is None:
            raise ValueError('maps must be an importance with groups, as from by="target", got none')
        check_finite(maps.values, "maps")
        values, groups = sizes_of(maps), maps.groups
    else:
        values, groups = as_numbers(maps, "maps", ndim=(2,)), None
    if len(values) < 2 or values.shape[1] != d:
        raise ValueError(f"maps must have at least 2 classes and {d} features, as X has, got shape {values.shape}")
    return np.abs(values), groups


def _named(fill: Any) -> dict[str, Any]:
    if isinstance(fill, Mapping):
        if not fill:
            raise ValueError("fill must have at least one entry, got an empty dict")
        return {str(name): value for name, value in fill.items()}
    if isinstance(fill, str):
        return {fill: fill}
    if callable(fill):
        return {getattr(fill, "__name__", "callable"): fill}
    return {"row" if hasattr(fill, "__len__") else short_repr(fill, str): fill}


def _as_fill(fill: Any, name: str, flat: Array, shape: tuple[int, ...]) -> Array:
    """Return the replacement values, (1, d) or (n, d), in the dtype of X."""
    label, n = f"fill {short_repr(name)}", len(flat)
    if isinstance(fill, str):
        if fill != "mean":
            raise ValueError(f'fill must be numbers, "mean" or a callable, or a dict of these, got {short_repr(fill)}')
        means: Array = flat.mean(axis=0, keepdims=True)
        return means
    allowed: tuple[tuple[int, ...], ...] = ((), shape, flat.shape[1:])
    if callable(fill):
        fill, allowed = fill(flat.copy().reshape(n, *shape)), ((n, *shape), flat.shape)
    array = as_dense(fill, label)
    if array.shape not in allowed:
        expected = " or ".join(map(str, dict.fromkeys(allowed)))
        raise ValueError(f"{label} must have shape {expected}, got shape {array.shape}")
    values = as_dtype(as_numbers(array, label, ndim=(array.ndim,)), flat.dtype, f"{label} must have numbers")
    return np.broadcast_to(values, (1, flat.shape[1])) if array.ndim == 0 else values.reshape(-1, flat.shape[1])


def _labels_of_outputs(classes: ArrayLike | None, predict: Predict, n_outputs: int) -> list[Any] | None:
    """Return the distinct labels of the model's outputs, or None if they only have numbers."""
    if classes is None:
        names = target_names(predict, n_outputs)
        return None if names is None else list(names)
    output_labels = to_python(as_labels(classes, "classes", n_outputs, "output of predict"))
    if len({str(label) for label in output_labels}) < n_outputs:
        raise ValueError(f"classes must differ, got {short_repr(output_labels)}")
    return output_labels


def _outputs_of(labels: Array, output_labels: list[Any] | None, n_outputs: int, name: str) -> Array:
    """Return the number of the output for each label."""
    if output_labels is None and labels.dtype.kind not in "iu":
        got = f"got {short_repr(labels[0], str)}; pass classes=, the labels of the outputs"
        raise TypeError(f"{name} must be numbers of the model's outputs, {got}")
    outputs = range(n_outputs) if output_labels is None else output_labels
    place = {str(label): j for j, label in enumerate(outputs)}
    for label in to_python(labels):
        if str(label) not in place:
            raise ValueError(
                f"{name} must be among the outputs' labels, {short_repr(list(outputs))}, got {short_repr(label)}"
            )
    return np.array([place[str(label)] for label in to_python(labels)])
