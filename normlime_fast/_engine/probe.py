"""`NormLIME.probe`: compare the model's outputs for the same rows in several calls."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._engine.settings import Settings
from normlime_fast._inputs.rows import Rows
from normlime_fast._model import bytes_per_row
from normlime_fast._neighborhoods.base import Batch
from normlime_fast._neighborhoods.points import SharedPoints, check_alike, checked_points


class Probe(NamedTuple):
    """Largest differences between a model's outputs for the same rows, from `NormLIME.probe`."""

    repeated: float  # largest difference in a second call
    regrouped: float  # largest difference in smaller batches
    largest: float  # largest |output|


def probe(settings: Settings, rows: Rows, instance_ids: Array) -> Probe:
    """Call the model on the same perturbed rows again, and once more in other batches."""
    n = min(settings.n_samples, 100)
    neighborhood = settings.neighborhood
    choose = partial(checked_points, neighborhood) if isinstance(neighborhood, SharedPoints) else neighborhood._points
    points = choose(settings.seed, n)
    if points is not None:
        check_alike(rows, points)
    inputs = _redrawn(settings, rows, instance_ids, n) if points is None else points.values.copy

    def predict(batch_size: int) -> Array:
        values = inputs()
        model = replace(settings.model, batch_size=batch_size)
        if points is None:
            return model.predict(rows, values, instance_ids)
        return model.predict(rows, values, np.arange(values.shape[0]), owner="point")

    limit = min(inputs().shape[0], settings.model.rows_per_call(bytes_per_row(rows)))
    first, again, regrouped = predict(limit), predict(limit), predict(max(1, min(n, limit // 2)))
    return Probe(*(float(np.abs(values).max()) for values in (again - first, regrouped - first, first)))


def _redrawn(settings: Settings, rows: Rows, instance_ids: Array, n: int) -> Callable[[], Any]:
    """Return a function that draws n samples around each row, and returns the model's inputs."""
    sampler = settings.neighborhood._sampler(settings.seed, n, rows)
    count = len(instance_ids)
    everything = slice(0, count)
    batch = Batch(everything, instance_ids, instance_ids.astype(np.uint64), np.arange(count + 1))
    buffer = sampler.buffer(rows, count)

    def draw() -> Any:
        buffer.draw(batch, everything)
        inputs = buffer.inputs(batch)
        if inputs is None:
            raise ValueError("X must have features to perturb, got none in any row")
        return inputs.values

    return draw
