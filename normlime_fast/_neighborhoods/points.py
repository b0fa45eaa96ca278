"""SharedPoints: points that are chosen and predicted once, and weighted anew for every instance."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from normlime_fast._checks import Array, ignoring_float_errors, short_repr
from normlime_fast._inputs.rows import Rows, check_names
from normlime_fast._kernels import distances
from normlime_fast._neighborhoods.base import Features, Neighborhood, PredictRows, check_samples
from normlime_fast._neighborhoods.proximity import Proximity
from normlime_fast._neighborhoods.samplers import PointSampler


class SharedPoints(Neighborhood):
    """Share one set of points between all instances; base class of `Pool`, `Binned` and your own classes.

    The model predicts the points once. The features of a point are its differences from the instance in the coordinates
    that `_coordinates` returns, and `proximity` computes weights from the distances. The instance itself is one more
    point, with weight 1.

    A subclass has an attribute `proximity`, a `Proximity`, and implements `_points` and `_coordinates`, with the same
    names of arguments. Both must depend only on their arguments and the object's fields. The rest has defaults. See
    `Neighborhood` for `_rows`, `_features`, `_check` and the reason for the underscores.

    Examples
    --------
    >>> import numpy as np
    >>> import normlime_fast as nlf
    >>> class Box(nlf.SharedPoints):
    ...     '''Points spread evenly over a box.'''
    ...
    ...     def __init__(self, low, high):
    ...         self.low, self.high = np.array(low), np.array(high)
    ...         self.proximity = nlf.Proximity(width=0.3)
    ...
    ...     def _points(self, seed, n_samples):
    ...         rng = np.random.default_rng(int(seed))
    ...         return self._rows(rng.uniform(self.low, self.high, (n_samples, len(self.low))))
    ...
    ...     def _coordinates(self, values):
    ...         return (values - self.low) / (self.high - self.low)
    >>> explainer = nlf.NormLIME(lambda X: X @ [3.0, 0.5], Box([0.0, 0.0], [1.0, 10.0]), n_features=2, rng=0)
    >>> explainer.explain([[0.5, 5.0], [0.9, 1.0]]).weights.toarray().round(6)  # changes of the output over the box
    array([[3., 5.],
           [3., 5.]])
    """

    proximity: Proximity
    _counted: ClassVar[str] = "n_samples"  # name of the number of points in errors

    @abstractmethod
    def _points(self, seed: np.uint64, n_samples: int) -> Rows:
        """Choose or draw at most `n_samples` points; `self._rows` converts an array or DataFrame to `Rows`."""

    @abstractmethod
    def _coordinates(self, values: Array) -> Array:
        """Return the coordinates (m, d) of rows from their `values`; distances and features are computed from them."""

    def _categorical(self, d: int) -> Array:
        """Return which coordinates are categories, whose differences are 0 or -1, (d,) bool; by default none."""
        return np.zeros(d, bool)

    def _differs_from_constant(self, values: Array) -> Array:
        """Return which rows differ from all points in a column without a coordinate, (m,) bool; by default none.

        The points do not show the effect of that column on the output, so these rows get weight 0 in their own fit.
        """
        return np.zeros(len(values), bool)

    def _places(self, coordinates: Array) -> Array | None:
        """Return the ascending positions of rows' features among `_features`, (m, d); None if they are the same."""
        return None

    def _without_data(self) -> "SharedPoints":
        """Return the object without data that is not needed once the points are chosen, for other processes."""
        return self

    @ignoring_float_errors
    def _prepare(
        self, seed: np.uint64, n_samples: int, n_features: int | None, predict: PredictRows
    ) -> "PredictedPoints":
        """Choose the points and call the model for them."""
        points = self._points(seed, n_samples)
        coordinates = self._located(points)
        d = coordinates.shape[1]
        check_samples(min(points.count, self.proximity.nearest or points.count), n_features, d, self._counted)
        outputs = np.ascontiguousarray(predict(points).T)
        return PredictedPoints(self._without_data(), coordinates, self._categorical(d), outputs)

    def _sampler(self, seed: np.uint64, n_samples: int, rows: Rows) -> PointSampler:
        """Raise an error: the points must be predicted first."""
        raise TypeError(f"{type(self).__name__} must be prepared before it is sampled")

    def _located(self, rows: Rows, d: int | None = None) -> Array:
        """Return the coordinates of rows; their shape is checked, since kernels rely on it."""
        coordinates = np.asarray(self._coordinates(rows.values), np.float64)
        if (
            coordinates.ndim != 2
            or len(coordinates) != rows.count
            or coordinates.shape[1] != (d or coordinates.shape[1])
        ):
            shape = f"({rows.count}, {'d' if d is None else d})"
            raise ValueError(f"_coordinates must return an array of shape {shape}, got shape {coordinates.shape}")
        return coordinates


@dataclass(frozen=True, eq=False)
class PredictedPoints(Neighborhood):
    """A neighborhood whose points are chosen, with the model's outputs for them."""

    source: SharedPoints  # without the data that it no longer needs
    points: Array  # (n, d) coordinates
    categorical: Array  # (d,) bool
    outputs: Array  # (n_outputs, n)

    def _rows(self, X: object, name: str = "X") -> Rows:
        return self.source._rows(X, name)

    def _features(self, rows: Rows) -> Features:
        return self.source._features(rows)

    def _check(self, rows: Rows) -> None:
        self.source._check(rows)

    def _sampler(self, seed: np.uint64, n_samples: int, rows: Rows) -> PointSampler:
        """Return the sampler that compares these rows with the points."""
        count, d = self.points.shape
        instances = self.source._located(rows, d)
        apart = self.source._differs_from_constant(rows.values)
        proximity = self.source.proximity
        columns = np.ascontiguousarray(self.points.T)
        everything = np.arange(count)
        n_nearest = count if proximity.nearest is None else min(proximity.nearest, count)
        is_subset = n_nearest < count

        def compare(row: int, Z: Array, weights: Array) -> Array | None:
            x = instances[row]
            squares = np.empty(count)
            distances.squared_distances(columns, self.categorical, x, squares)
            nearest = np.sort(np.argpartition(squares, n_nearest - 1)[:n_nearest]) if is_subset else everything
            distances.relative_features(self.points, self.categorical, x, nearest, Z)
            weights[:] = proximity.weights(np.append(0.0, squares[nearest] if is_subset else squares), d)
            if apart[row]:  # the points do not show the effect of the column in which it differs
                weights[0] = 0.0
            return nearest if is_subset else None

        places = self.source._places(instances)
        return PointSampler(
            compare,
            self.outputs,
            n_samples=1 + n_nearest,
            n_features=d,
            columns=None if places is None else places.__getitem__,
        )


def check_alike(rows: Rows, data: Rows) -> None:
    """Refuse instances whose type or columns differ from the data that a neighborhood was made of."""
    check_names(rows.feature_names, data.feature_names, "X")
    if (rows.frame is None) != (data.frame is None) or rows.values.shape[1:] != data.values.shape[1:]:
        kinds = [
            short_repr(list(table.feature_names or [f"{table.values.shape[1]} columns"]), str) for table in (data, rows)
        ]
        raise ValueError(f"X must have the columns that the neighborhood was made of, {kinds[0]}, got {kinds[1]}")
