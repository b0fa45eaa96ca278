"""SharedPoints: sets of points that are chosen and predicted once, and weighted anew for every instance."""

from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from normlime_fast._checks import Array, as_array, as_count, ignoring_float_errors, short_repr
from normlime_fast._inputs.columns import Columns
from normlime_fast._inputs.rows import Rows, check_names
from normlime_fast._kernels import distances
from normlime_fast._neighborhoods.base import Features, Neighborhood, PredictRows, check_samples
from normlime_fast._neighborhoods.proximity import Proximity
from normlime_fast._neighborhoods.samplers import PointSampler
from normlime_fast._status import RARE


class SharedPoints(Neighborhood):
    """Share a few sets of points between all instances; base class of `Pool`, `Binned` and your own classes.

    The model predicts the points once. The features of a point are its differences from the instance in the coordinates
    that `_coordinates` returns, and `proximity` computes weights from the distances. The instance itself is one more
    point, with weight 1.

    There are `n_sets` sets, 8 by default: a row with the number i uses set ``i % n_sets``, and only sets in use are
    chosen. Explanations with the same points share their errors; several sets show how large these are, which gives
    importances a standard error. With one set it is NaN.

    A subclass has an attribute `proximity`, a `Proximity`, and implements `_points` and `_coordinates`, with the same
    names of arguments. Both must depend only on their arguments and the object's fields. The rest has defaults. See
    `Neighborhood` for `_rows`, `_features`, `_check` and the reason for the underscores.

    Methods to implement
    --------------------
    _points(seed: np.uint64, n_samples: int) -> Rows
        Choose or draw 1 to `n_samples` points, rows of the kind that X is: ``self._rows`` makes them of an array or a
        DataFrame, and ``take`` takes some of these. The `seed` suits ``np.random.default_rng(int(seed))``.
    _coordinates(values: ndarray) -> ndarray
        Return coordinates (m, d) of points or instances: finite numbers, those of points at most 1e18 in size. The
        `values` (m, columns) are float32 or float64, and read-only. Distances and features are both measured in these
        coordinates: if they are standard deviations, a weight is the change of the output over one of them.

    Methods to override
    -------------------
    _features(rows: Rows) -> Features
        The number of features and a tuple of their names, or None. By default the features are the columns of X;
        if `_coordinates` returns other columns, this must be defined.
    _rows, _check
        See `Neighborhood`. An X that is unlike the points is refused in any case.
    _categorical(d: int) -> ndarray
        Which coordinates are categories, (d,) bool: two of them are at a distance of 1. By default none.
    _draws(n_samples: int) -> bool
        Whether the points depend on the seed; by default they do. If not, one set of points is all that there is, and
        its explanations count as independent.
    _without_data() -> SharedPoints
        A copy without what `_points` alone needs: it is pickled for executors. By default the object itself.

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
    n_sets: int = 8
    _counted: ClassVar[str] = "the number of points"  # its name in an error about too few points
    _special: ClassVar[bool] = False  # whether coordinates may be NaN or infinite, which equal only themselves

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

    def _by_coordinate(self, unseen: Array) -> Array:
        """Return which coordinates depend on the columns that are marked, (m, columns) bool; by default the same."""
        return unseen

    def _draws(self, n_samples: int) -> bool:
        """Return whether the points depend on the seed."""
        return True

    def _without_data(self) -> "SharedPoints":
        """Return the object without data that is not needed once the points are chosen, for other processes."""
        return self

    @ignoring_float_errors
    def _prepare(
        self,
        seed: np.uint64,
        n_samples: int,
        n_features: int | None,
        predict: PredictRows,
        instance_ids: Array | range | None = None,
    ) -> "PredictedPoints":
        """Choose the points of the sets that these instances use, and call the model for them."""
        drawn = self._draws(n_samples)
        n_sets = as_count(self.n_sets, "n_sets") if drawn else 1
        if instance_ids is None or isinstance(instance_ids, range):
            instance_ids = (instance_ids or range(n_sets))[:n_sets]
        used = np.unique(np.asarray(instance_ids, np.uint64) % np.uint64(n_sets)).tolist()
        sets = {number: self._predicted(_seed_of(seed, number), n_samples, n_features, predict) for number in used}
        first = sets[used[0]]
        for points in sets.values():
            if points.coordinates.shape != first.coordinates.shape or len(points.outputs) != len(first.outputs):
                expected = "_points must return as many rows for every seed"
                raise ValueError(
                    f"{expected}, got {len(first.coordinates)} and {len(points.coordinates)}; or set n_sets = 1"
                )
        return PredictedPoints(self._without_data(), sets, n_sets, drawn)

    def _predicted(self, seed: np.uint64, n_samples: int, n_features: int | None, predict: PredictRows) -> "PointSet":
        """Choose a set of points, and call the model for them."""
        points = checked_points(self, seed, n_samples)
        coordinates = self._located(points)
        d = coordinates.shape[1]
        self._checked_places(coordinates, points)
        categorical = np.asarray(self._categorical(d))
        if categorical.shape != (d,) or categorical.dtype != bool:
            got = f"got shape {categorical.shape} and dtype {categorical.dtype}"
            raise ValueError(f"_categorical must return a bool for each of {d} coordinates, {got}")
        nearest = self.proximity.nearest or points.count
        name = "nearest" if nearest < points.count else "n_samples" if points.count == n_samples else self._counted
        check_samples(min(points.count, nearest), n_features, d, name)
        outputs = np.ascontiguousarray(predict(points).T)
        return PointSet(coordinates, categorical, outputs, points.take(slice(1)))

    def _sampler(self, seed: np.uint64, n_samples: int, rows: Rows) -> PointSampler:
        """Raise an error: the points must be predicted first."""
        raise TypeError(f"{type(self).__name__} must be prepared before it is sampled")

    def _located(self, rows: Rows, d: int | None = None) -> Array:
        """Return the coordinates of rows; their shape is checked, since kernels rely on it."""
        coordinates = as_array(self._coordinates(_read_only(rows.values)), "what _coordinates returns")
        if (
            coordinates.ndim != 2
            or len(coordinates) != rows.count
            or coordinates.shape[1] != (d or coordinates.shape[1])
        ):
            shape = f"({rows.count}, {'d' if d is None else d})"
            raise ValueError(f"_coordinates must return an array of shape {shape}, got shape {coordinates.shape}")
        if coordinates.dtype.kind not in "fiub":
            raise TypeError(f"_coordinates must return real numbers, got dtype {coordinates.dtype}")
        coordinates = np.require(coordinates, np.float64, ["C", "W"])
        bad = np.isnan(coordinates) if d else ~(np.abs(coordinates) <= distances.LARGEST)  # of rows that may be far off
        if self._special:
            bad &= np.isfinite(coordinates)
        if bad.any():
            numbers = "finite numbers" if d else f"finite numbers of at most {distances.LARGEST:g} for points"
            raise ValueError(f"_coordinates must return {numbers}, got {coordinates[bad][0]:g}")
        return coordinates

    def _checked_places(self, coordinates: Array, rows: Rows) -> Array | None:
        """Return which of `_features` those of rows are, checked since they become columns of the result."""
        count = self._features(rows).n_features
        places = self._places(coordinates)
        if places is None:
            if coordinates.shape[1] != count:
                expected = f"_coordinates must return one column for each of the {count} features"
                raise ValueError(
                    f"{expected}, got {coordinates.shape[1]}; if other features are meant, define _features"
                )
            return None
        places = np.asarray(places)
        if (
            places.shape != coordinates.shape
            or places.dtype.kind not in "iu"
            or (np.diff(places, axis=1) <= 0).any()
            or places.min() < 0
            or places.max() >= count
        ):
            expected = f"_places must return ascending integers from 0 to {count - 1} of shape {coordinates.shape}"
            raise ValueError(f"{expected}, got {short_repr(places)}")
        return places


@dataclass(frozen=True, eq=False)
class PointSet:
    """Points with the model's outputs for them."""

    coordinates: Array  # (n, d)
    categorical: Array  # (d,) bool
    outputs: Array  # (n_outputs, n)
    like: Rows  # one of the points, as the model got it

    @cached_property
    def columns(self) -> Array:
        """The coordinates column by column, (d, n)."""
        return np.ascontiguousarray(self.coordinates.T)

    @cached_property
    def has_special(self) -> bool:
        """Whether some coordinates are missing or infinite."""
        return not bool(np.isfinite(self.coordinates).all())

    def has_rare_category(self, instances: Array, unseen: Array) -> Array:
        """Return which instances have a category or special value that fewer than `RARE` points have.

        Those that are `unseen` do not count.
        """
        rare = np.zeros(len(instances), bool)
        special = ~np.isfinite(instances)
        for j in np.flatnonzero(self.categorical | special.any(axis=0)):
            categories, which = np.unique(instances[:, j], return_inverse=True)
            points = self.columns[j]
            counts = [np.count_nonzero((points == one) | (np.isnan(points) & np.isnan(one))) for one in categories]
            rare |= (np.array(counts) < RARE)[which] & ~unseen[:, j] & (self.categorical[j] | special[:, j])
        return rare


@dataclass(frozen=True, eq=False)
class PredictedPoints(Neighborhood):
    """A neighborhood whose points are chosen, with the model's outputs for them."""

    source: SharedPoints  # without the data that it no longer needs
    sets: dict[int, PointSet]  # those in use, by number, with equally many points
    n_sets: int
    drawn: bool  # whether the points depend on the seed

    @property
    def _known_columns(self) -> Columns | None:
        return self.source._known_columns

    def _rows(self, X: object, name: str = "X") -> Rows:
        return self.source._rows(X, name)

    def _features(self, rows: Rows) -> Features:
        return self.source._features(rows)

    def _check(self, rows: Rows) -> None:
        self.source._check(rows)

    def _shared_sets(self, instance_ids: Array, shared_samples: int) -> Array | None:
        """Return the number of the set of points of each row; None if the points do not vary, and so have no error."""
        return (instance_ids.astype(np.uint64) % np.uint64(self.n_sets)).astype(np.int64) if self.drawn else None

    def _sampler(self, seed: np.uint64, n_samples: int, rows: Rows) -> PointSampler:
        """Return the sampler that compares these rows with the points of their sets."""
        first = next(iter(self.sets.values()))
        check_alike(rows, first.like)
        count, d = first.coordinates.shape
        instances = self.source._located(rows, d)
        apart = self.source._differs_from_constant(_read_only(rows.values))
        proximity = self.source.proximity
        everything = np.arange(count)
        n_nearest = count if proximity.nearest is None else min(proximity.nearest, count)
        is_subset = n_nearest < count

        def compare(number: int, row: int, Z: Array, weights: Array) -> Array | None:
            points, x = self.sets[number], instances[row]
            squares = np.empty(count)
            distances.squared_distances(points.columns, points.categorical, x, squares)
            nearest = np.sort(np.argpartition(squares, n_nearest - 1)[:n_nearest]) if is_subset else everything
            special = points.has_special or not bool(np.isfinite(x).all())
            distances.relative_features(points.coordinates, points.categorical, special, x, nearest, Z)
            weights[:] = proximity.weights(np.append(0.0, squares[nearest] if is_subset else squares), d)
            if apart[row]:  # the points do not show the effect of the column in which it differs
                weights[0] = 0.0
            return nearest if is_subset else None

        places = self.source._checked_places(instances, rows)
        columns = self._known_columns
        unseen = np.zeros(instances.shape, bool)
        if columns is not None:
            unseen = self.source._by_coordinate(columns.is_unseen(rows.values))
        return PointSampler(
            compare,
            {number: points.outputs for number, points in self.sets.items()},
            self.n_sets,
            n_samples=1 + n_nearest,
            n_features=d,
            rare={number: points.has_rare_category(instances, unseen) for number, points in self.sets.items()},
            columns=None if places is None else places.__getitem__,
        )


def _seed_of(seed: np.uint64, number: int) -> np.uint64:
    """Return the seed of a set of points; that of the first is the explainer's."""
    return np.random.SeedSequence(int(seed), spawn_key=(number,)).generate_state(1, np.uint64)[0] if number else seed


def checked_points(neighborhood: SharedPoints, seed: np.uint64, n_samples: int) -> Rows:
    """Return the points of a neighborhood as it chooses them, which may be a user's code."""
    try:
        points = neighborhood._points(seed, n_samples)
    except Exception as error:
        with suppress(Exception):  # some are frozen
            error.add_note("normlime_fast: the neighborhood was choosing its points")
        raise
    expected = f"_points must return self._rows(...) of 1 to n_samples = {n_samples} rows"
    if not isinstance(points, Rows):
        raise TypeError(f"{expected}, got {None if points is None else f'a {type(points).__name__}'}")
    if not 1 <= points.count <= n_samples:
        raise ValueError(f"{expected}, got {points.count}")
    return points


def _read_only(values: Any) -> Any:
    """Return a view for the user's code, which may work in place: these may be the user's data."""
    if not isinstance(values, np.ndarray):
        return values
    view = values.view()
    view.flags.writeable = False
    return view


def check_alike(rows: Rows, data: Rows) -> None:
    """Refuse instances whose type or columns differ from the data that a neighborhood was made of."""
    check_names(rows.feature_names, data.feature_names, "X")
    if (rows.header is None) != (data.header is None) or rows.values.shape[1:] != data.values.shape[1:]:
        kinds = [
            short_repr(list(table.feature_names or [f"{table.values.shape[1]} columns"]), str) for table in (data, rows)
        ]
        raise ValueError(f"X must have the columns that the neighborhood was made of, {kinds[0]}, got {kinds[1]}")
