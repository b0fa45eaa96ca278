"""Conversion of lime's explanations to LocalExplanations."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_index, as_targets, ignoring_float_errors, is_sparse, short_repr
from normlime_fast._kernels.surrogate import EQUAL
from normlime_fast._results.explanations import LocalExplanations
from normlime_fast._status import Status

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Axis = Literal["column", "bin"]


@ignoring_float_errors
def from_lime(
    explanations: Iterable[Any],
    *,
    targets: str | int | ArrayLike = "all",
    features: Axis = "column",
    index: ArrayLike | None = None,
) -> LocalExplanations:
    """Convert the objects returned by lime's `explain_instance` to LocalExplanations.

    Parameters
    ----------
    explanations : iterable of lime.explanation.Explanation or lime.lime_image.ImageExplanation
        All of tables, of texts, or of images with the same segments. Results of `as_map` and `as_list` are not enough.
    targets : "all", "predicted", int, str, or array_like of int or str
        Labels to take from each explanation: all that it has; that of its most probable class; or the given ones, by
        number or class name, which every explanation must have. A regression has only target 0.
    features : {"column", "bin"}
        Features of tables: the columns, or the bins and categories of columns that the explanations use, with lime's
        names ("37.00 < Age <= 48.00"). The features of texts are the words that the explanations use, sorted; the
        weights of a word that has several, as with ``bow=False``, are added. Those of images are the segments, by
        number.
    index : array_like of int, optional
        A number for each explanation, such as that of its row; by default its position.

    Returns
    -------
    LocalExplanations
        In the order given, targets ascending. `intercept` is the surrogate's value at the instance, as in all results
        of this package; lime's intercept is its value where all of lime's features are 0. `r2` is lime's score, or NaN
        if lime did not keep it: lime 0.2.0.1 keeps only that of the last label. `prediction` is NaN for images,
        `effective_samples` is always NaN. `status` is 0; if all weights are 0, it is 2, and `r2` is 0. Weights that are
        only rounding errors of the output, or of the largest weight, count as 0: lime has them where the output is
        constant. Several targets of an instance count as several explanations, though they are not independent: choose
        one, or aggregate ``by="target"``.

    Raises
    ------
    TypeError, ValueError
        If `explanations` is empty, or they are not lime's, not all of the same kind, or differ in columns, segments or
        class names; or if one lacks a target or has a weight that is not finite. The message gives the position of the
        first invalid one.

    Examples
    --------
    >>> import numpy as np
    >>> from lime.lime_tabular import LimeTabularExplainer
    >>> from normlime_fast.interop.lime import from_lime
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> explainer = LimeTabularExplainer(X, mode="regression", discretize_continuous=False, random_state=0)
    >>> explanations = [explainer.explain_instance(x, lambda X: X @ [1.0, -2.0, 0.0], num_samples=100) for x in X[:5]]
    >>> from_lime(explanations).importance("mean").values.argsort()
    array([1, 2, 0])
    """
    if not isinstance(features, str) or features not in get_args(Axis):
        raise ValueError(f'features must be "column" or "bin", got {short_repr(features)}')
    if isinstance(explanations, Mapping) or not isinstance(explanations, Iterable):
        raise TypeError(f"explanations must be a list of lime's, got a {type(explanations).__name__}")
    explained = [_Explained(explanation, position) for position, explanation in enumerate(explanations)]
    if not explained:
        raise ValueError("explanations must not be empty")
    _common("be of the same kind", explained, [item.kind for item in explained])
    if features == "bin" and explained[0].data != "tabular":
        raise ValueError(f'features must be "column" for explanations of {explained[0].data} data, got "bin"')
    class_names = _common("have the same class_names", explained, [item.class_names for item in explained])
    wanted = as_targets(targets, class_names)
    instance = as_index(index, len(explained), "explanation")
    chosen = [(item, target) for item in explained for target in item.chosen(wanted)]
    target = np.array([target for _, target in chosen])
    rows = [item.weights(target, features) for item, target in chosen]
    weights, names = _aligned(explained, rows, features)
    empty = np.diff(weights.indptr) == 0  # lime's R^2 is 1 there
    return LocalExplanations(
        weights,
        intercept=np.array([item.at_instance(target) for item, target in chosen]),
        r2=np.where(empty, 0.0, [item.score(target) for item, target in chosen]),
        prediction=np.array([item.prediction(target) for item, target in chosen]),
        status=np.where(empty, Status.CONSTANT_OUTPUT, Status.OK),
        instance=instance[[item.position for item, _ in chosen]],
        target=target,
        effective_samples=np.full(len(chosen), np.nan),
        feature_names=names,
        target_names=class_names if class_names is not None and target.max() < len(class_names) else None,
    )


class _Explained:
    """An explanation of lime, of a table, text or image."""

    def __init__(self, explanation: Any, position: int) -> None:
        self.position = position
        self._explanation = explanation
        self._weights: Any = getattr(explanation, "local_exp", None)
        if not isinstance(self._weights, dict):
            got = f"a {type(explanation).__name__} at position {position}"
            raise TypeError(f"explanations must be objects that lime's explain_instance returns, got {got}")
        if not self._weights:
            raise ValueError(f"explanations must have labels, got none at position {position}")
        self.mapper: Any = getattr(explanation, "domain_mapper", None)
        self.segments: Any = getattr(explanation, "segments", None)
        if hasattr(self.mapper, "feature_names"):
            self.data = "tabular"
        elif hasattr(self.mapper, "indexed_string"):
            self.data = "text"
        elif self.segments is not None:
            self.data = "image"
        else:
            got = f"those of a {type(self.mapper).__name__} at position {position}"
            raise TypeError(f"explanations must be of tables, texts or images, got {got}")
        self._regression = getattr(explanation, "mode", None) == "regression"
        self.kind = f"{self.data} {'regression' if self._regression else 'classification'}"
        names = None if self._regression else getattr(explanation, "class_names", None)
        self.class_names = None if names is None else tuple(map(str, names))

    def chosen(self, wanted: str | Array) -> list[int]:
        """Return the targets to take."""
        explained = [0] if self._regression else sorted(int(label) for label in self._weights)
        if isinstance(wanted, str) and (wanted == "all" or self._regression):
            return explained
        targets = self._predicted(explained) if isinstance(wanted, str) else wanted.tolist()
        for target in targets:
            if target not in explained:
                got = f"{explained} at position {self.position}; choose lime's labels with labels= or top_labels="
                raise ValueError(f"explanations must have target {target}, got {got}")
        return targets

    def _predicted(self, explained: list[int]) -> list[int]:
        probabilities = getattr(self._explanation, "predict_proba", None)
        if probabilities is not None:
            best = np.flatnonzero(probabilities == np.max(probabilities)).tolist()
        else:  # of an image, whose top_labels lime sorts
            best = (getattr(self._explanation, "top_labels", None) or [])[:1]
        if not best:
            got = f"none at position {self.position}; pass their numbers"
            raise ValueError(f'explanations must have top_labels for targets="predicted", got {got}')
        return [
            int(next((label for label in best if label in explained), best[0]))
        ]  # among ties, one that is explained

    def _label(self, target: int) -> int:
        return int(self._explanation.dummy_label) if self._regression else target

    def weights(self, target: int, features: Axis) -> dict[Any, float]:
        """Return the weights of a target, by column or segment, (column, bin) or word."""
        total: dict[Any, float] = {}
        for feature, weight in self._weights[self._label(target)]:
            if not math.isfinite(weight):
                got = f"{weight} at position {self.position}"
                raise ValueError(f"explanations must have finite weights, got {got}")
            if self.data == "text":
                key: Any = str(self.mapper.indexed_string.word(feature))
            elif features == "bin":
                key = int(feature), str(self.mapper.map_exp_ids([(feature, weight)])[0][0])
            else:
                key = int(feature)
            total[key] = total.get(key, 0.0) + float(weight)
        sizes = [self._explanation.intercept[self._label(target)], self.prediction(target), *total.values()]
        rounding = EQUAL * max(abs(float(size)) for size in sizes if not math.isnan(size))  # NaN: unknown
        return {key: weight for key, weight in total.items() if abs(weight) > rounding}

    def at_instance(self, target: int) -> float:
        """Return the value of the surrogate at the instance."""
        label = self._label(target)
        features = [feature for feature, _ in self._weights[label]]
        weights = np.array([weight for _, weight in self._weights[label]], np.float64)
        values: Any = 1.0
        if self.data == "tabular":  # in lime's units: 1 for bins and categories
            row = self.mapper.scaled_row
            values = (row.toarray().ravel() if is_sparse(row) else np.asarray(row))[features]
        return float(self._explanation.intercept[label]) + float(np.sum(values * weights))

    def score(self, target: int) -> float:
        """Return lime's R^2, or NaN if lime kept only that of another target."""
        score = getattr(self._explanation, "score", None)
        if isinstance(score, dict):
            score = score.get(target)
        elif self._label(target) != list(self._weights)[-1]:
            score = None
        return math.nan if score is None else float(score)

    def prediction(self, target: int) -> float:
        """Return the model's output, or NaN if it was not kept."""
        if self._regression:
            return float(self._explanation.predicted_value)
        probabilities = getattr(self._explanation, "predict_proba", None)
        return math.nan if probabilities is None else float(probabilities[target])


def _common(rule: str, explained: list[_Explained], values: list[Any]) -> Any:
    """Return the common value, or raise an error that names the rule."""
    for item, value in zip(explained, values, strict=True):
        if value != values[0]:
            got = f"{short_repr(values[0], str)} at position 0 and {short_repr(value, str)} at position {item.position}"
            raise ValueError(f"explanations must {rule}, got {got}")
    return values[0]


def _aligned(
    explained: list[_Explained], rows: list[dict[Any, float]], features: Axis
) -> tuple["csr_array", tuple[str, ...] | None]:
    """Return the weights as a matrix, and the names of its columns."""
    from scipy.sparse import csr_array

    names: tuple[str, ...] | None
    if explained[0].data == "tabular" and features == "column":
        names = _column_names(explained)
        columns: Any = range(len(names))
    elif explained[0].data == "image":
        names, columns = None, range(_count_segments(explained))
    else:
        columns = sorted({key for row in rows for key in row})
        names = tuple(key if isinstance(key, str) else key[1] for key in columns)
        if not columns:
            raise ValueError("explanations must have weights, got only zeros")
    column_of = {key: column for column, key in enumerate(columns)}
    entries = [sorted((column_of[key], weight) for key, weight in row.items()) for row in rows]
    indices = np.array([column for row in entries for column, _ in row], np.int64)
    data = np.array([weight for row in entries for _, weight in row], np.float64)
    indptr = np.cumsum([0, *map(len, entries)])
    return csr_array((data, indices, indptr), shape=(len(rows), len(columns))), names


def _column_names(explained: list[_Explained]) -> tuple[str, ...]:
    """Names of columns, without the instance's value that lime adds for a categorical column."""
    d = _common("have the same columns", explained, [len(item.mapper.feature_names) for item in explained])
    mapper = explained[0].mapper
    names = []
    for column in range(d):
        all_names = [str(item.mapper.feature_names[column]) for item in explained]
        if mapper.feature_indexes is None and mapper.feature_values[column] == "True":  # lime's mark of a category
            names.append(_before_value(all_names))
        else:
            names.append(_common(f"have the same name for column {column}", explained, all_names))
    return tuple(names)


def _before_value(names: Sequence[str]) -> str:
    """Return the longest text before a "=" that is common to all names; name and value may contain "=" as well."""
    common = {names[0][:position] for position, character in enumerate(names[0]) if character == "="}
    for position, name in enumerate(names):
        common = {start for start in common if name.startswith(f"{start}=")}
        if not common:
            got = f"{short_repr(names[0], str)} at position 0 and {short_repr(name, str)} at position {position}"
            raise ValueError(f"explanations must have the same columns, got {got}")
    return max(common, key=len)


def _count_segments(explained: list[_Explained]) -> int:
    first = explained[0].segments
    for item in explained:
        if item.segments is not first and not np.array_equal(item.segments, first):
            raise ValueError(
                f"explanations must be of images in the same segments, got others at position {item.position};"
                " explain with a segmentation_fn that gives every image the same segments, such as a grid"
            )
    return len(np.unique(first))
