"""The three kinds of samplers, each with its buffer: arrays for all instances, instance by instance, shared points.

They follow the protocols in `base`. A further kind needs a further pair of classes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._inputs.rows import Rows, joined
from normlime_fast._neighborhoods.base import Batch, Inputs, Samples, check_samples


def _samples(Z: Array, weights: Array, batch: Batch, piece: slice) -> Samples:
    """Return some sets of a batch from arrays for all sets; `weights` may have one row, which all sets share."""
    stop = min(piece.stop, len(batch.set_ids))
    sets = slice(piece.start, stop)
    return Samples(piece.start, stop, Z[sets], weights if len(weights) == 1 else weights[sets])


def _for_targets(predicted: Array | None, targets: Array, n_samples: int) -> Array:
    """Return the outputs of m instances' samples for their targets (m, t), as (m * t, n); 0 without predictions."""
    m = len(targets)
    if predicted is None:
        return np.zeros((targets.size, n_samples))
    outputs = predicted.reshape(m, n_samples, -1)
    return outputs[np.arange(m)[:, None], :, targets].reshape(-1, n_samples)


# --- arrays


@dataclass(frozen=True)
class ArraySampler:
    """Samples of instances that all have the same features, drawn into arrays that are used again.

    perturb(sets, starts, block, Z, weights, inputs) fills Z (m, n, d) float32 and weights (m, n) with the sets of
    samples of these numbers, and inputs (rows, n, ...) with the perturbed rows of the slice `block`: set k perturbs
    rows starts[k] to starts[k + 1]. Without proximity weights, it gets weights (1, n), all 1, and must not change them.
    """

    perturb: Callable[[Array, Array, slice, Array, Array, Array], None]
    n_samples: int
    n_features: int
    weighted: bool
    shares_sets: bool = True
    n_outputs: ClassVar[None] = None

    def check(self, n_features: int | None) -> None:
        """Refuse fewer samples than a fit needs."""
        check_samples(self.n_samples, n_features, self.n_features)

    def buffer(self, rows: Rows, size: int) -> "ArrayBuffer":
        """Return memory for batches of up to `size` of the rows."""
        return ArrayBuffer(self, rows, size)


class ArrayBuffer:
    """Arrays for the samples of one batch after another."""

    def __init__(self, sampler: ArraySampler, rows: Rows, size: int) -> None:
        self.sampler = sampler
        n_samples = sampler.n_samples
        self.Z = np.empty((size, n_samples, sampler.n_features), np.float32)
        self.weights = np.ones((size if sampler.weighted else 1, n_samples))
        self.samples = np.empty((size, n_samples, *rows.values.shape[1:]), rows.values.dtype)

    def draw(self, batch: Batch, piece: slice) -> None:
        """Draw some sets of a batch."""
        starts = batch.starts[piece.start : piece.stop + 1]
        instances = slice(starts[0], starts[-1])
        block = slice(batch.rows.start + instances.start, batch.rows.start + instances.stop)
        _, _, Z, weights, _ = _samples(self.Z, self.weights, batch, piece)
        self.sampler.perturb(batch.set_ids[piece], starts - starts[0], block, Z, weights, self.samples[instances])

    def inputs(self, batch: Batch) -> Inputs:
        """Return the model's inputs: the samples of all instances."""
        used = self.samples[: batch.starts[-1]]
        return Inputs(used.reshape(-1, *used.shape[2:]), np.ones(len(batch.instance_ids), bool))

    def outputs(self, batch: Batch, predicted: Array | None, own: Array, targets: Array) -> Array:
        """Return the model's outputs for the targets."""
        return _for_targets(predicted, targets, self.sampler.n_samples)

    def fits(self, batch: Batch, piece: slice) -> Iterator[Samples]:
        """Yield the samples to fit of some sets of a batch."""
        yield _samples(self.Z, self.weights, batch, piece)

    def most_features(self, batch: Batch) -> int:
        """Return the number of features of an instance."""
        return self.sampler.n_features

    def columns(self, batch: Batch) -> None:
        """Return None: the features are the same for all instances."""


# --- instance by instance


class InstanceSamples(NamedTuple):
    """Samples of one instance: n inputs, their features z (n, d) and weights (n,), and the columns of the features."""

    inputs: Any  # n inputs, of the same type as `Rows.values`
    Z: Array  # float32, C-contiguous
    weights: Array | None = None  # None: all equal
    columns: Any = None  # an entry of the list `SampleBuffer.columns`


@dataclass(frozen=True)
class InstanceSampler:
    """Samples of instances with different features, or from Python code: draw(number of the set, row) returns them."""

    draw: Callable[[int, int], InstanceSamples]
    n_samples: int
    n_features: int
    n_outputs: ClassVar[None] = None
    shares_sets: ClassVar[bool] = False

    def check(self, n_features: int | None) -> None:
        """Refuse nothing: the number of features of an instance is unknown before it is drawn."""

    def buffer(self, rows: Rows, size: int) -> "InstanceBuffer":
        """Return memory for batches of up to `size` of the rows."""
        return InstanceBuffer(self, size)


class InstanceBuffer:
    """The samples of each instance of a batch."""

    def __init__(self, sampler: InstanceSampler, size: int) -> None:
        self.sampler = sampler
        self.equal = np.ones((1, sampler.n_samples))
        self.drawn: list[InstanceSamples] = [InstanceSamples(None, np.empty((0, 0), np.float32))] * size

    def draw(self, batch: Batch, piece: slice) -> None:
        """Draw some sets of a batch, one instance each."""
        for k in range(piece.start, min(piece.stop, len(batch.set_ids))):
            try:
                self.drawn[k] = self.sampler.draw(int(batch.set_ids[k]), batch.rows.start + k)
            except Exception as error:  # from the user's code
                with suppress(Exception):  # some exceptions take no notes
                    error.add_note(f"normlime_fast: the neighborhood was working on instance {batch.instance_ids[k]}")
                raise

    def inputs(self, batch: Batch) -> Inputs | None:
        """Return the model's inputs: the samples of instances that have features."""
        featured = self._featured(batch)
        if not featured.any():
            return None
        return Inputs(joined([self.drawn[k].inputs for k in np.flatnonzero(featured)]), featured)

    def outputs(self, batch: Batch, predicted: Array | None, own: Array, targets: Array) -> Array:
        """Return the model's outputs for the targets; 0 for instances without features."""
        n_samples, featured = self.sampler.n_samples, self._featured(batch)
        outputs = _for_targets(predicted, targets[featured], n_samples)
        if featured.all():
            return outputs
        Y = np.zeros((*targets.shape, n_samples))
        Y[featured] = outputs.reshape(-1, targets.shape[1], n_samples)
        return Y.reshape(-1, n_samples)

    def _featured(self, batch: Batch) -> Array:
        return np.array([drawn.Z.shape[1] > 0 for drawn in self.drawn[: len(batch.set_ids)]])

    def fits(self, batch: Batch, piece: slice) -> Iterator[Samples]:
        """Yield the samples to fit of some sets of a batch."""
        for k in range(piece.start, min(piece.stop, len(batch.set_ids))):
            drawn = self.drawn[k]
            yield Samples(k, k + 1, drawn.Z[None], self.equal if drawn.weights is None else drawn.weights[None])

    def most_features(self, batch: Batch) -> int:
        """Return the largest number of features of an instance in the batch."""
        return max(int(drawn.Z.shape[1]) for drawn in self.drawn[: len(batch.set_ids)])

    def columns(self, batch: Batch) -> list[Any] | None:
        """Return the positions of each instance's features; None if they are the same."""
        columns = [drawn.columns for drawn in self.drawn[: len(batch.set_ids)]]
        return None if all(entry is None for entry in columns) else columns


# --- shared points


@dataclass(frozen=True)
class PointSampler:
    """Sets of points that instances share, with the model's outputs for them.

    The set of an instance is `Batch.set_ids` modulo n_sets.
    compare(number of the set, row, Z, weights) fills Z (n, d) float32 and weights (n,) for a row of the block, with the
    instance itself first and points after it; it returns the numbers of these points (n - 1,), or None for all points.
    """

    compare: Callable[[int, int, Array, Array], Array | None]
    predicted: Mapping[int, Array]  # number of the set -> (n_outputs, points)
    n_sets: int
    n_samples: int
    n_features: int
    rare: Mapping[int, Array]  # number of the set -> (rows of the block,) bool: see `Samples`
    columns: Callable[[slice], Array] | None = None  # rows of the block -> (m, d) ascending positions of their
    # features; None: they are the same for all
    shares_sets: ClassVar[bool] = False

    @property
    def n_outputs(self) -> int:
        """Number of the model's outputs."""
        return len(next(iter(self.predicted.values())))

    def sets(self, batch: Batch) -> list[int]:
        """Return the number of the set of each instance of a batch."""
        numbers: list[int] = (batch.set_ids % np.uint64(self.n_sets)).tolist()
        return numbers

    def check(self, n_features: int | None) -> None:
        """Refuse fewer points than a fit needs."""
        check_samples(self.n_samples, n_features, self.n_features)

    def buffer(self, rows: Rows, size: int) -> "PointBuffer":
        """Return memory for batches of up to `size` of the rows."""
        return PointBuffer(self, size)


class PointBuffer:
    """Features and weights of the shared points for each instance of a batch."""

    def __init__(self, sampler: PointSampler, size: int) -> None:
        self.sampler = sampler
        self.Z = np.empty((size, sampler.n_samples, sampler.n_features), np.float32)
        self.weights = np.empty((size, sampler.n_samples))
        self.points: list[Array | None] = [None] * size  # as returned by `PointSampler.compare`

    def draw(self, batch: Batch, piece: slice) -> None:
        """Compare some instances of a batch with the points."""
        _, stop, Z, weights, _ = _samples(self.Z, self.weights, batch, piece)
        sets = self.sampler.sets(batch)
        for k in range(piece.start, stop):
            which = sets[k], batch.rows.start + k
            self.points[k] = self.sampler.compare(*which, Z[k - piece.start], weights[k - piece.start])

    def inputs(self, batch: Batch) -> None:
        """Return None: the model's outputs are known."""

    def outputs(self, batch: Batch, predicted: Array | None, own: Array, targets: Array) -> Array:
        """Return the model's outputs of the instances and of the points for the targets."""
        m, t = targets.shape
        Y = np.empty((m, t, self.sampler.n_samples))
        Y[:, :, 0] = own
        for k, number in enumerate(self.sampler.sets(batch)):
            outputs, points = self.sampler.predicted[number][targets[k]], self.points[k]
            Y[k, :, 1:] = outputs if points is None else outputs[:, points]
        return Y.reshape(m * t, -1)

    def fits(self, batch: Batch, piece: slice) -> Iterator[Samples]:
        """Yield the samples to fit of some instances of a batch."""
        samples = _samples(self.Z, self.weights, batch, piece)
        sets = self.sampler.sets(batch)[samples.first : samples.stop]
        first = batch.rows.start + samples.first
        yield samples._replace(rare=np.array([self.sampler.rare[number][first + k] for k, number in enumerate(sets)]))

    def most_features(self, batch: Batch) -> int:
        """Return the number of features of an instance."""
        return self.sampler.n_features

    def columns(self, batch: Batch) -> list[Any] | None:
        """Return the positions of each instance's features; None if they are the same."""
        return None if self.sampler.columns is None else list(self.sampler.columns(batch.rows))
