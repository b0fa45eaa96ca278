"""Whether the model predicts the same for the same rows: `NormLIME.probe`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._engine.settings import Settings, bytes_a_row, rows_a_batch
from normlime_fast._inputs.rows import Rows
from normlime_fast._model import predict_rows
from normlime_fast._neighborhoods.buffers import Batch, SharedBuffer, room_for


class Probe(NamedTuple):
    """How far a model's outputs differ for the same rows, from `NormLIME.probe`."""

    repeated: float  # largest difference when asked again
    regrouped: float  # and when asked in smaller batches
    largest: float  # |output|


def probe(settings: Settings, rows: Rows, numbers: Array) -> Probe:
    """Ask the model about the same perturbed rows again, and again in other batches."""
    n = min(settings.n_samples, 100)
    points = getattr(settings.neighborhood, "points", None)
    inputs = _redrawn(settings, rows, numbers, n) if points is None else points(settings.seed, n).values.copy

    def asked(batch_size: int) -> Array:
        values = inputs()
        some = numbers if points is None else np.arange(values.shape[0])
        return predict_rows(settings.predict, rows, values, some, batch_size)

    most = min(inputs().shape[0], rows_a_batch(settings, bytes_a_row(rows)))
    first, again, regrouped = asked(most), asked(most), asked(max(1, min(n, most // 2)))
    return Probe(*(float(np.abs(values).max()) for values in (again - first, regrouped - first, first)))


def _redrawn(settings: Settings, rows: Rows, numbers: Array, n: int) -> Callable[[], Any]:
    """Return a function that draws n samples around each row, and returns what the model is to be asked."""
    sampler = settings.neighborhood.sampler(settings.seed, n, rows)
    everything = slice(0, len(numbers))
    batch = Batch(everything, numbers, numbers.astype(np.uint64), np.arange(len(numbers) + 1))
    buffer = room_for(sampler, rows, n, len(numbers))
    assert not isinstance(buffer, SharedBuffer)  # of those, the points are asked about

    def draw() -> Any:
        buffer.draw(batch, everything)
        return buffer.inputs(batch)

    return draw
