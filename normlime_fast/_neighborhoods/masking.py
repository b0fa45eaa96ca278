"""Samplers of `Mask` for tables, images, sparse rows and texts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from normlime_fast._checks import Array, as_array, ignoring_float_errors
from normlime_fast._inputs.rows import as_dtype
from normlime_fast._kernels import masks
from normlime_fast._neighborhoods.samplers import ArraySampler, InstanceSampler, InstanceSamples
from normlime_fast._neighborhoods.segments import Segments, absent_values
from normlime_fast._neighborhoods.words import Words, written

SEGMENTS = 100  # a usual number in an image; affects only the size of batches
SINGLE = np.array([0, 1])  # start and stop of the only instance of a set


@dataclass(frozen=True)
class Draws:
    """Draws masks and their weights."""

    seed: np.uint64
    n_samples: int
    chance: np.uint32  # see masks.draw
    width: float | None  # of the exponential kernel; None: all weights are equal

    @ignoring_float_errors
    def table(self, d: int) -> Array:
        """Return weights by the number of features that are on; an empty array if all are equal."""
        if self.width is None:
            return np.empty(0)
        distance = 1.0 - np.sqrt(np.arange(d + 1) / d if d else np.ones(1))
        return np.exp(-0.5 * (distance / self.width) ** 2)

    def of_set(self, number: int, d: int) -> tuple[Array, Array | None]:
        """Draw one set of masks: z (n, d) and weights (n,)."""
        Z, weights, table = np.empty((1, self.n_samples, d), np.float32), np.empty((1, self.n_samples)), self.table(d)
        masks.draw(self.seed, np.array([number], np.uint64), self.chance, table, Z, weights)
        return Z[0], weights[0] if table.size else None


def filled(draws: Draws, baseline: Any, segments: Array | None, values: Array) -> ArraySampler:
    """Return the sampler of rows with the same segments."""
    common = Segments.of(segments, values.shape[1:])
    X = values.reshape(len(values), -1)
    table = draws.table(common.count)

    def perturb(sets: Array, starts: Array, block: slice, Z: Array, weights: Array, inputs: Array) -> None:
        masks.draw(draws.seed, sets, draws.chance, table, Z, weights)
        flat = inputs.reshape(*inputs.shape[:2], -1)
        absent = absent_values(baseline, values[block], common).reshape(X[block].shape)
        masks.render(Z, starts, _bits(X[block]), _bits(absent), common.of_values, _bits(flat))

    return ArraySampler(perturb, draws.n_samples, common.count, weighted=table.size > 0)


def segmented(draws: Draws, baseline: Any, find: Callable[[Array], Any], values: Array) -> InstanceSampler:
    """Return the sampler of rows that each have their own segments."""

    def draw(number: int, row: int) -> InstanceSamples:
        x = values[row : row + 1]
        segments = Segments.of_row(find, x[0])
        Z, weights = draws.of_set(number, segments.count)
        absent = absent_values(baseline, x, segments)
        flat = np.empty((1, len(Z), x.size), x.dtype)
        X, others = x.reshape(1, -1), absent.reshape(1, -1)
        masks.render(Z[None], SINGLE, _bits(X), _bits(others), segments.of_values, _bits(flat))
        return InstanceSamples(flat.reshape(len(Z), *x.shape[1:]), Z, weights, segments.places())

    return InstanceSampler(draw, draws.n_samples, min(SEGMENTS, values[0].size))


def rendered(draws: Draws, render: Callable[[Array, Array], Any], segments: Any, values: Array) -> InstanceSampler:
    """Return the sampler of rows whose inputs the user renders."""
    shape, dtype = values.shape[1:], values.dtype

    def segments_of(row: int) -> Segments:
        return Segments.of_row(segments, values[row]) if callable(segments) else Segments.of(segments, shape)

    def draw(number: int, row: int) -> InstanceSamples:
        own = segments_of(row)
        Z, weights = draws.of_set(number, own.count)
        inputs = as_array(render(values[row].copy(), Z == 0), "the output of render")
        if inputs.shape != (len(Z), *shape):
            raise ValueError(
                f"render must return an input for each mask, shape {(len(Z), *shape)}, got shape {inputs.shape}"
            )
        if inputs.dtype.kind not in "fiub" or not np.isfinite(inputs).all():
            raise ValueError(f"render must return finite numbers, got other values of dtype {inputs.dtype}")
        if dtype.kind == "f":
            inputs = as_dtype(inputs, dtype, "render must return inputs")
        return InstanceSamples(inputs, Z, weights, own.places() if callable(segments) else None)

    return InstanceSampler(
        draw, draws.n_samples, min(SEGMENTS, values[0].size) if callable(segments) else segments_of(0).count
    )


def sparse(draws: Draws, values: Any) -> InstanceSampler:
    """Return the sampler of rows of a csr matrix, whose non-zeros are their features."""

    def draw(number: int, row: int) -> InstanceSamples:
        entries = slice(values.indptr[row], values.indptr[row + 1])
        columns, data = values.indices[entries].copy(), values.data[entries].copy()
        Z, weights = draws.of_set(number, len(columns))
        ends = np.empty(len(Z) + 1, np.int64)
        masks.count(Z, ends)
        kept, thinned = np.empty(ends[-1] + 1, columns.dtype), np.empty(ends[-1] + 1, data.dtype)
        masks.thin(Z, _bits(columns), _bits(data), _bits(kept), _bits(thinned))
        inputs = type(values)((thinned[:-1], kept[:-1], ends), shape=(len(Z), values.shape[1]))
        inputs.has_canonical_format = True
        return InstanceSamples(inputs, Z, weights, columns)

    return InstanceSampler(draw, draws.n_samples, -(-values.nnz // values.shape[0]))


def texts(draws: Draws, words: Words, values: Array) -> InstanceSampler:
    """Return the sampler of texts, whose words are their features."""

    def draw(number: int, row: int) -> InstanceSamples:
        columns, feature = words.find(values[row])
        Z, weights = draws.of_set(number, len(columns))
        inputs = np.empty(len(Z), object)
        inputs[:] = written(values[row], feature, Z)
        return InstanceSamples(inputs, Z, weights, columns)

    examples = values[:: -(-len(values) // 10)]
    return InstanceSampler(
        draw, draws.n_samples, -(-sum(len(words.find(text)[0]) for text in examples) // len(examples))
    )


def _bits(values: Array) -> Array:
    """Return a view of the values as unsigned integers."""
    return values.view(f"u{values.itemsize}")
