"""What the model says of rows, where errors may be passed over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._inputs.rows import Rows
from normlime_fast._model import Predict, predict_rows
from normlime_fast._neighborhoods.samplers import Neighborhood

BATCH_BYTES = 1 << 23  # of perturbed rows, of their z or of their outputs, whichever is the most, in a batch: what was
# written is still in the cache when the model, and then the fit, reads it


@dataclass(frozen=True, eq=False)
class Settings:
    """What a call of an explainer needs to know, checked and made once: it goes to workers as it is."""

    predict: Predict
    neighborhood: Neighborhood
    n_features: int | None
    n_samples: int
    selection: str
    targets: str | Array
    ridge: float
    tol: float
    shared_samples: int
    n_jobs: int
    batch_size: int | None
    seed: np.uint64


class Answer(NamedTuple):
    """What the model said of some instances."""

    outputs: Array | None  # (rows, n_outputs), 0 for instances that it failed for; None if those are all
    failed: Array  # (instances,) bool
    error: Exception | None


def ask_about_rows(settings: Settings, rows: Rows, numbers: Array, skip: bool) -> Answer:
    """Ask the model for its outputs of the rows themselves."""
    values = rows.values.copy()  # a model may work in place
    batch_size = rows_a_batch(settings, bytes_a_row(rows))

    def redraw() -> Any:
        return rows.values.copy()

    return ask(settings, rows, values, redraw, numbers, batch_size, None, skip)


def ask(
    settings: Settings,
    rows: Rows,
    values: Any,
    redraw: Callable[[], Any],
    numbers: Array,
    batch_size: int,
    n_outputs: int | None,
    skip: bool,
) -> Answer:
    """Ask the model; if `skip` and it fails, `redraw` the values and ask for each instance alone."""
    failed = np.zeros(len(numbers), bool)
    try:
        return Answer(predict_rows(settings.predict, rows, values, numbers, batch_size, n_outputs), failed, None)
    except Exception as error:
        if not skip:
            raise
        first = bare(error)
    values = redraw()
    outputs: Array | None = None
    n = values.shape[0] // len(numbers)
    for i in range(len(numbers)):
        here = slice(i * n, (i + 1) * n)
        try:
            answer = predict_rows(settings.predict, rows, values[here], numbers[i : i + 1], batch_size, n_outputs)
        except Exception:
            failed[i] = True
            continue
        if outputs is None:
            n_outputs = answer.shape[1]
            outputs = np.zeros((values.shape[0], n_outputs))
        outputs[here] = answer
    return Answer(outputs, failed, first)


def bare(error: Exception) -> Exception:
    """Take the tracebacks from an error and its causes: they hold on to every array on their way."""
    link: BaseException | None = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def bytes_a_row(rows: Rows) -> int:
    """Bytes of a row as the model gets it; about as many, where rows differ."""
    values = rows.values
    if not isinstance(values, np.ndarray):  # csr: a number and its column
        return 1 + int(values.nnz * (values.dtype.itemsize + 4) / values.shape[0])
    if values.dtype == object:
        return 1 + sum(map(len, values)) // len(values)
    return int(values[0].nbytes)


def rows_a_batch(settings: Settings, bytes_a_row: int) -> int:
    """Return the most rows of a call of the model."""
    return settings.batch_size or max(1, BATCH_BYTES // bytes_a_row)


def check_same_outputs(before: int, now: int) -> None:
    """Refuse a model whose number of outputs depends on the rows."""
    if before != now:
        raise ValueError(f"predict must return as many columns for all rows, got {before} and then {now}")
