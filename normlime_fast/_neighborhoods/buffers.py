"""Room for the samples of a batch of instances, one kind for each kind of sampler."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._inputs.rows import Rows, joined
from normlime_fast._neighborhoods.samplers import Drawn, Filled, Listed, Sampler, Shared


class Batch(NamedTuple):
    """Instances that the model is asked about together."""

    rows: slice  # of the block
    numbers: Array  # (instances,)
    sets: Array  # (m,) uint64: the numbers of their sets of samples
    starts: Array  # (m + 1,): at which of these instances each set begins, and where the last one ends


class Samples(NamedTuple):
    """What is fitted together: sets first to stop of a batch, which have features of the same number."""

    first: int
    stop: int
    Z: Array  # (stop - first, n, d)
    weights: Array  # (stop - first or 1, n)


def _samples(Z: Array, weights: Array, batch: Batch, piece: slice) -> Samples:
    """Return some sets of a batch, of arrays that have room for all; or weights that are the same in every set."""
    stop = min(piece.stop, len(batch.sets))
    here = slice(piece.start, stop)
    return Samples(piece.start, stop, Z[here], weights if len(weights) == 1 else weights[here])


class FilledBuffer:
    """Arrays that are filled with the samples of one batch after another."""

    def __init__(self, sampler: Filled, rows: Rows, n_samples: int, size: int) -> None:
        self.sampler = sampler
        self.Z = np.empty((size, n_samples, sampler.n_features), np.float32)
        self.weights = np.ones((size if sampler.weighted else 1, n_samples))
        self.samples = np.empty((size, n_samples, *rows.values.shape[1:]), rows.values.dtype)

    def draw(self, batch: Batch, piece: slice) -> None:
        """Draw some sets of a batch."""
        starts = batch.starts[piece.start : piece.stop + 1]
        here = slice(starts[0], starts[-1])
        of_block = slice(batch.rows.start + here.start, batch.rows.start + here.stop)
        _, _, Z, weights = _samples(self.Z, self.weights, batch, piece)
        self.sampler.perturb(batch.sets[piece], starts - starts[0], of_block, Z, weights, self.samples[here])

    def inputs(self, batch: Batch) -> Array:
        """Return what the model is asked."""
        used = self.samples[: batch.starts[-1]]
        return used.reshape(-1, *used.shape[2:])

    def asked(self, batch: Batch) -> Array:
        """Return which instances the model is asked about."""
        return np.ones(len(batch.numbers), bool)

    def fits(self, batch: Batch, piece: slice) -> Iterator[Samples]:
        """Return what is to be fitted of some sets of a batch."""
        yield _samples(self.Z, self.weights, batch, piece)

    def most_features(self, batch: Batch) -> int:
        """Return how many features an instance of the batch has at most."""
        return self.sampler.n_features

    def columns(self, batch: Batch) -> None:
        """Return where the features of each instance belong: on the axis as they are."""


class ListedBuffer:
    """The samples of every instance by themselves."""

    def __init__(self, sampler: Listed, rows: Rows, n_samples: int, size: int) -> None:
        self.sampler = sampler
        self.equal = np.ones((1, n_samples))
        self.drawn: list[Drawn] = [Drawn(None, np.empty((0, 0), np.float32))] * size

    def draw(self, batch: Batch, piece: slice) -> None:
        """Draw some sets of a batch, of one instance each."""
        for k in range(piece.start, min(piece.stop, len(batch.sets))):
            try:
                self.drawn[k] = self.sampler.draw(int(batch.sets[k]), batch.rows.start + k)
            except Exception as error:  # of the user's code
                with suppress(Exception):  # some are frozen
                    error.add_note(f"normlime_fast: the neighborhood was working on instance {batch.numbers[k]}")
                raise

    def inputs(self, batch: Batch) -> Any:
        """Return what the model is asked."""
        return joined([self.drawn[k].inputs for k in np.flatnonzero(self.asked(batch))])

    def asked(self, batch: Batch) -> Array:
        """Return which instances the model is asked about: those that have features."""
        return np.array([drawn.Z.shape[1] > 0 for drawn in self.drawn[: len(batch.sets)]])

    def fits(self, batch: Batch, piece: slice) -> Iterator[Samples]:
        """Return what is to be fitted of some sets of a batch."""
        for k in range(piece.start, min(piece.stop, len(batch.sets))):
            drawn = self.drawn[k]
            yield Samples(k, k + 1, drawn.Z[None], self.equal if drawn.weights is None else drawn.weights[None])

    def most_features(self, batch: Batch) -> int:
        """Return how many features an instance of the batch has at most."""
        return max(int(drawn.Z.shape[1]) for drawn in self.drawn[: len(batch.sets)])

    def columns(self, batch: Batch) -> list[Any] | None:
        """Return where the features of each instance belong."""
        columns = [drawn.columns for drawn in self.drawn[: len(batch.sets)]]
        return None if all(each is None for each in columns) else columns


class SharedBuffer:
    """How every instance sees the points that serve all."""

    def __init__(self, sampler: Shared, rows: Rows, n_samples: int, size: int) -> None:
        self.sampler = sampler
        self.Z = np.empty((size, n_samples, sampler.n_features), np.float32)
        self.weights = np.empty((size, n_samples))
        self.which: list[Array | None] = [None] * size

    def draw(self, batch: Batch, piece: slice) -> None:
        """Compare some instances of a batch with the points."""
        _, stop, Z, weights = _samples(self.Z, self.weights, batch, piece)
        for k in range(piece.start, stop):
            self.which[k] = self.sampler.compare(batch.rows.start + k, Z[k - piece.start], weights[k - piece.start])

    def outputs(self, batch: Batch, outputs: Array, targets: Array) -> Array:
        """Return what the model said of the instances, by targets (m, t), and of the points: (m * t, n)."""
        m, t = targets.shape
        Y = np.empty((m, t, self.weights.shape[1]))
        Y[:, :, 0] = outputs
        for k in range(m):
            said, which = self.sampler.outputs[targets[k]], self.which[k]
            Y[k, :, 1:] = said if which is None else said[:, which]
        return Y.reshape(m * t, -1)

    def fits(self, batch: Batch, piece: slice) -> Iterator[Samples]:
        """Return what is to be fitted of some instances of a batch."""
        yield _samples(self.Z, self.weights, batch, piece)

    def most_features(self, batch: Batch) -> int:
        """Return how many features an instance of the batch has at most."""
        return self.sampler.n_features

    def columns(self, batch: Batch) -> list[Any] | None:
        """Return where the features of each instance belong."""
        return None if self.sampler.columns is None else list(self.sampler.columns(batch.rows))


Buffer = FilledBuffer | ListedBuffer | SharedBuffer


def room_for(sampler: Sampler, rows: Rows, n_samples: int, size: int) -> Buffer:
    """Return room for batches of up to `size` instances of a block."""
    if isinstance(sampler, Filled):
        return FilledBuffer(sampler, rows, n_samples, size)
    if isinstance(sampler, Listed):
        return ListedBuffer(sampler, rows, n_samples, size)
    return SharedBuffer(sampler, rows, n_samples, size)
