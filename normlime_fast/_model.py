"""The only calls into the user's model: batching, and checks of what comes back."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from normlime_fast._checks import Array, quiet, shown
from normlime_fast._inputs.rows import Rows

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
                error.add_note(f"normlime_fast: predict was working on {_named(here)}")
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
    expected = f"predict must return ({rows}, {columns}) or ({rows},) numbers for {rows} rows of {_named(here)}"
    try:
        array = np.asarray(returned)
    except ValueError:  # a ragged list
        raise ValueError(f"{expected}, got a {type(returned).__name__} that is no array") from None
    if array.dtype.kind not in "fiub":
        known = isinstance(returned, np.ndarray | list)
        got = f"dtype {shown(array.dtype, str)}" if known else f"a {type(returned).__name__}"
        raise TypeError(f"{expected}, got {got}")
    if np.ma.is_masked(returned):
        raise ValueError(f"{expected}, got masked values")
    if array.ndim not in (1, 2) or array.shape[0] != rows or array.shape[-1] == 0:
        raise ValueError(f"{expected}, got shape {array.shape}")
    array = array.reshape(rows, -1).astype(np.float64, copy=False)  # a long double may become infinite: said later
    if n_outputs not in (None, array.shape[1]):
        raise ValueError(f"{expected} as before, got shape {array.shape}")
    return array


def _not_finite(outputs: Array, instance_of_row: Array) -> str:
    finite = np.isfinite(outputs)
    row, output = np.argwhere(~finite)[0]
    bad = np.unique(instance_of_row[~finite.all(axis=1)])
    return (
        f"predict must return finite numbers, got {outputs[row, output]} for output {output} of a sample around"
        f" {_named(instance_of_row[row : row + 1])}; {len(bad)} of these {len(np.unique(instance_of_row))}"
        f" instances have NaN or infinite outputs"
    )


def _named(instances: Array) -> str:
    if len(instances) == 1:
        return f"instance {instances[0]}"
    if (np.diff(instances) == 1).all():
        return f"instances {instances[0]} to {instances[-1]}"
    some = ", ".join(map(str, instances[:5]))
    return f"instances {some}" if len(instances) <= 5 else f"{len(instances)} instances, the first {some}"


def targets_of(targets: str | Array, outputs: Array) -> Array:
    """Which outputs to explain for each instance, (n_instances, t)."""
    n_instances, n_outputs = outputs.shape
    if isinstance(targets, str):
        if targets == "predicted":
            predicted: Array = np.argmax(outputs, axis=1, keepdims=True)
            return predicted
        targets = np.arange(n_outputs)
    if targets.max() >= n_outputs:
        raise ValueError(f"targets must be below the model's {n_outputs} outputs, got {targets.max()}")
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
