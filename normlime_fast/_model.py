"""The only calls into the user's model: batching, and checks of what comes back."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from normlime_fast._checks import Array, quiet, shown
from normlime_fast._inputs.rows import Rows
from normlime_fast._messages import Message, ModelNote, Numbers, Term

Predict = Callable[[Any], Any]


def predict_rows(
    predict: Predict, rows: Rows, values: Any, instances: Array, batch_size: int, n_outputs: int | None = None
) -> Array:
    """Call the model on `values` (m, ...), at most `batch_size` rows at a time, and return its outputs (m, n_outputs).

    `instances` are the numbers of the instances that the rows belong to, equally many rows each: errors name them.
    """
    count: int = values.shape[0]
    rows_each = count // len(instances)
    outputs: Array | None = None
    for start in range(0, count, batch_size):
        stop = min(start + batch_size, count)
        here = instances[start // rows_each : (stop - 1) // rows_each + 1]
        given = rows.like(values[start:stop])
        try:
            with np.errstate():  # what the model sets of NumPy's error state ends here
                returned = predict(given)
        except BaseException as error:
            with suppress(Exception):  # some are frozen
                error.add_note(
                    ModelNote("normlime_fast: ", Term("predict"), " was working on ", Numbers("instance", here))
                )
                del error.finished  # type: ignore[attr-defined]  # of a run inside of the model, or of an earlier one
            raise
        batch = _as_outputs(returned, stop - start, n_outputs, here)
        if not np.isfinite(batch).all():
            raise ValueError(_not_finite(batch, instances[np.arange(start, stop) // rows_each]))
        n_outputs = batch.shape[1]
        if outputs is None:
            outputs = np.empty((count, n_outputs))
        outputs[start:stop] = batch
        if isinstance(given, np.ndarray):
            given.setflags(write=False)  # a model that kept it hears of it if it writes to what is filled again
    assert outputs is not None  # instances are never empty
    return outputs


@quiet
def _as_outputs(returned: object, rows: int, n_outputs: int | None, here: Array) -> Array:
    """Return a batch's outputs as (rows, n_outputs), or say what is wrong with their shape or type."""
    columns = "n_outputs" if n_outputs is None else n_outputs
    numbers = f" must return ({rows}, {columns}) or ({rows},) numbers for {rows} rows of "
    expected = Message(Term("predict"), numbers, Numbers("instance", here))
    try:
        array = np.asarray(returned)
    except ValueError:  # a ragged list
        raise ValueError(Message(expected, f", got a {type(returned).__name__} that is no array")) from None
    if array.dtype.kind not in "fiub":
        known = isinstance(returned, np.ndarray | list)
        got = f"dtype {shown(array.dtype, str)}" if known else f"a {type(returned).__name__}"
        raise TypeError(Message(expected, f", got {got}"))
    if np.ma.is_masked(returned):
        raise ValueError(Message(expected, ", got masked values"))
    if array.ndim not in (1, 2) or array.shape[0] != rows or array.shape[-1] == 0:
        raise ValueError(Message(expected, f", got shape {array.shape}"))
    array = array.reshape(rows, -1).astype(np.float64, copy=False)  # a long double may become infinite: said later
    if n_outputs not in (None, array.shape[1]):
        raise ValueError(Message(expected, f" as before, got shape {array.shape}"))
    return array


def _not_finite(outputs: Array, instance_of_row: Array) -> Message:
    finite = np.isfinite(outputs)
    row, output = np.argwhere(~finite)[0]
    bad = np.unique(instance_of_row[~finite.all(axis=1)])
    return Message(
        Term("predict"),
        f" must return finite numbers, got {outputs[row, output]} for output {output} of a sample around ",
        Numbers("instance", instance_of_row[row : row + 1]),
        f"; {len(bad)} of these {len(np.unique(instance_of_row))} ",
        Term("instances"),
        " have NaN or infinite outputs",
    )


def targets_of(targets: str | Array, outputs: Array) -> Array:
    """Which outputs to explain for each instance, (n_instances, t)."""
    n_instances, n_outputs = outputs.shape
    if isinstance(targets, str):
        if targets == "predicted":
            predicted: Array = np.argmax(outputs, axis=1, keepdims=True)
            return predicted
        targets = np.arange(n_outputs)
    if targets.max() >= n_outputs:
        raise ValueError(
            Message(Term("targets"), f" must be below the model's {n_outputs} outputs, got {targets.max()}")
        )
    return np.broadcast_to(targets, (n_instances, len(targets)))


def target_names(predict: Predict, n_outputs: int) -> tuple[str, ...] | None:
    """Class names of a scikit-learn classifier whose method `predict` is, where they fit its outputs."""
    model = getattr(predict, "__self__", None)
    classes = getattr(model, "classes_", None)
    pairs = getattr(model, "decision_function_shape", None) == "ovo"  # outputs of a support vector machine
    scores = getattr(predict, "__name__", "") in ("predict_proba", "predict_log_proba", "decision_function")
    if not scores or pairs or n_outputs == 1 or not isinstance(classes, np.ndarray) or classes.shape != (n_outputs,):
        return None
    return tuple(str(name) for name in classes)
