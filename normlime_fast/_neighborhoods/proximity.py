"""Points that serve all instances: which of them count how much for an instance, and what the model said of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from normlime_fast._checks import Array, as_array, as_count, as_nonnegative, as_positive, quiet, shown
from normlime_fast._inputs.rows import Rows, check_names
from normlime_fast._kernels import distances
from normlime_fast._neighborhoods.samplers import Axis, Shared

Kernel = Literal["gaussian", "exponential"] | Callable[[Array], Array]
Ask = Callable[[Rows], Array]  # the model's outputs (m, n_outputs) of rows

FAR = 1e36  # squared distances of points that get no weight: z in float32, and its squares, could overflow
CLOSE = 1e-3  # how near an effective sample size comes to the share that was asked for


@dataclass(frozen=True, eq=False)
class Proximity:
    """How proximity weights come from distances; checked as the arguments of `Pool`, which says what they mean."""

    width: float | Literal["auto"] | None
    kernel: Kernel
    nearest: int | None
    share: float

    def __post_init__(self) -> None:
        known = isinstance(self.kernel, str) and self.kernel in ("gaussian", "exponential")
        if not known and not callable(self.kernel):
            raise ValueError(f'kernel must be "gaussian", "exponential" or a callable, got {shown(self.kernel)}')
        if isinstance(self.width, str) and self.width != "auto":
            raise ValueError(f'width must be a number or "auto", got {shown(self.width)}')
        if self.width is not None and not isinstance(self.width, str):
            object.__setattr__(self, "width", as_positive(self.width, "width"))
        if self.nearest is not None:
            object.__setattr__(self, "nearest", as_count(self.nearest, "nearest"))
        object.__setattr__(self, "share", as_nonnegative(self.share, "share"))
        if not 0.0 < self.share < 1.0:
            raise ValueError(f"share must be larger than 0 and below 1, got {self.share}")

    @classmethod
    def of(cls, width: Any, kernel: Kernel, nearest: int | None, share: float | None) -> "Proximity":
        """Fill in the share."""
        return cls(width, kernel, nearest, (0.1 if nearest is None else 0.5) if share is None else share)

    @quiet
    def weights(self, squares: Array, d: int) -> Array:
        """Return the weights, at most 1, of samples at these squared distances in d columns; the instance is first."""
        near = squares <= FAR
        if not near.all():
            weights: Array = np.zeros(len(squares))
            weights[near] = self.weights(squares[near], d)
            return weights
        if callable(self.kernel):
            return _called(self.kernel, np.sqrt(squares))
        if self.width == "auto" or (self.width is None and self.kernel == "gaussian"):
            return _adapted(squares, self.share)
        width = 0.75 * np.sqrt(d) if self.width is None else self.width
        scaled: Array = squares / width / width
        return np.exp(-0.5 * scaled)


def _called(kernel: Callable[[Array], Array], distances: Array) -> Array:
    weights = as_array(kernel(distances), "what kernel returns")
    if weights.shape != distances.shape or weights.dtype.kind not in "fiub":
        got = f"shape {weights.shape} and dtype {weights.dtype}"
        raise ValueError(f"kernel must return a number for each of {len(distances)} distances, got {got}")
    weights = weights.astype(np.float64)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("kernel must return finite weights of at least 0")
    relative: Array = weights / (weights.max() or 1.0)
    return relative


def _adapted(squares: Array, share: float) -> Array:
    """Gaussian weights of the width that makes the effective sample size this share of the samples.

    With t = 1 / (2 width^2) and p = exp(-t s), log (sum p)^2 / sum p^2 falls with t from that of all samples to that
    of those where the instance is; if these are many, the share is meant of the others. Newton's method, kept between
    bounds, finds t in steps of its logarithm.
    """
    mean = squares.mean()
    if mean == 0.0:
        return np.ones(len(squares))
    relative = squares / mean
    count, here = len(squares), np.count_nonzero(squares == 0.0)
    least = share * count if 2 * here < share * count else here + share * (count - here)
    target = np.log(max(least, 1.0 + 2.0 * CLOSE))
    t, low, high = 1.0, 0.0, np.inf
    for _ in range(60):
        weights = np.exp(-t * relative)
        weighted, squared = weights * relative, weights * weights  # no products by BLAS, whose sums depend on threads
        total, twice = weights.sum(), squared.sum()
        excess = np.log(total * total / twice) - target
        if abs(excess) < CLOSE:
            break
        low, high = (t, high) if excess > 0.0 else (low, t)
        slope = 2.0 * t * ((squared * relative).sum() / twice - weighted.sum() / total)  # of the excess over log t
        t *= np.exp(np.clip(-excess / slope, -3.0, 3.0)) if slope < 0.0 else 8.0
        if not low < t < high:
            t = 0.5 * (low + high) if np.isfinite(high) else 8.0 * low
    adapted: Array = weights
    return adapted


class Source(Protocol):
    """A neighborhood that has points for all instances."""

    @property
    def proximity(self) -> Proximity:
        """How points are weighed."""

    def rows(self, X: object, name: str = "X") -> Rows:
        """As of `Neighborhood`."""

    def axis(self, rows: Rows) -> Axis:
        """As of `Neighborhood`."""

    def check(self, rows: Rows) -> None:
        """As of `Neighborhood`."""

    def coordinates(self, values: Array) -> Array:
        """Return where rows are in the space of distances and features, (m, d)."""

    def apart(self, values: Array) -> Array:
        """Return which rows differ from all points in a column that has no coordinate, (m,) bool."""

    def places(self, coordinates: Array) -> Array | None:
        """Return where the features of rows belong on the axis, (m, d); None: in the order of the axis."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A neighborhood whose points are chosen, and what the model said of them."""

    source: Source  # without the data that it no longer needs
    points: Array  # (n, d) coordinates
    categorical: Array  # (d,) bool
    outputs: Array  # (n_outputs, n)

    def rows(self, X: object, name: str = "X") -> Rows:
        """As of `Neighborhood`."""
        return self.source.rows(X, name)

    def axis(self, rows: Rows) -> Axis:
        """As of `Neighborhood`."""
        return self.source.axis(rows)

    def check(self, rows: Rows) -> None:
        """As of `Neighborhood`."""
        self.source.check(rows)

    def sampler(self, seed: np.uint64, n_samples: int, rows: Rows) -> Shared:
        """Return what compares these rows with the points."""
        instances = self.source.coordinates(rows.values)
        apart = self.source.apart(rows.values)
        count, d = self.points.shape
        proximity = self.source.proximity
        columns = np.ascontiguousarray(self.points.T)
        everything = np.arange(count)
        most = count if proximity.nearest is None else min(proximity.nearest, count)
        few = most < count

        def compare(row: int, Z: Array, weights: Array) -> Array | None:
            x = instances[row]
            squares = np.empty(count)
            distances.squared_distances(columns, self.categorical, x, squares)
            which = np.sort(np.argpartition(squares, most - 1)[:most]) if few else everything
            distances.relative_features(self.points, self.categorical, x, which, Z)
            weights[:] = proximity.weights(np.append(0.0, squares[which] if few else squares), d)
            if apart[row]:  # the points cannot say what its output owes to that
                weights[0] = 0.0
            return which if few else None

        places = self.source.places(instances)
        return Shared(
            compare,
            self.outputs,
            n_samples=1 + most,
            n_features=d,
            columns=None if places is None else places.__getitem__,
        )


def check_alike(rows: Rows, data: Rows) -> None:
    """Refuse instances that are of another kind than the data that a neighborhood was made of."""
    check_names(rows.feature_names, data.feature_names, "X")
    if (rows.frame is None) != (data.frame is None) or rows.values.shape[1:] != data.values.shape[1:]:
        kinds = [shown(list(each.feature_names or [f"{each.values.shape[1]} columns"]), str) for each in (data, rows)]
        raise ValueError(f"X must have the columns that the neighborhood was made of, {kinds[0]}, got {kinds[1]}")
