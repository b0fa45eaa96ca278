"""Every call of the user's function: in batches, its outputs checked, and once more for each instance if it fails."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from normlime_fast._checks import Array, ignoring_float_errors, short_repr
from normlime_fast._inputs.rows import Rows
from normlime_fast._messages import Message, ModelNote, Numbers, Term
from normlime_fast._types import Predict

What = Literal["instance", "point"]  # what rows belong to: their instance, or a point of the neighborhood, by itself

BATCH_BYTES = 1 << 23  # of perturbed rows, of their z or of their outputs, whichever is the most, in a batch: what was
# written is still in the cache when the model, and then the fit, reads it


class Predictions(NamedTuple):
    """The model's outputs for the rows of some instances."""

    outputs: Array | None  # (rows, n_outputs), 0 for instances that it failed for; None if those are all
    failed: Array  # (instances,) bool
    error: Exception | None  # the first one, if it was skipped


@dataclass(frozen=True, eq=False)
class Model:
    """The user's function, which nothing else calls, and the most rows that it gets at a time."""

    function: Predict
    batch_size: int | None = None  # None: what keeps a batch near BATCH_BYTES

    def rows_per_call(self, row_bytes: int) -> int:
        """Return the most rows of a call, where a row has this many bytes."""
        return self.batch_size or max(1, BATCH_BYTES // row_bytes)

    def predict(
        self, rows: Rows, values: Any, ids: Array, n_outputs: int | None = None, what: What = "instance"
    ) -> Array:
        """Call the model on `values` (m, ...), which are like `rows`, and return its outputs (m, n_outputs).

        `ids` are those of the instances or points that the values belong to, equally many each: errors name them.
        """
        count: int = values.shape[0]
        rows_each = count // len(ids)
        batch_size = self.rows_per_call(bytes_per_row(rows))
        outputs: Array | None = None
        for start in range(0, count, batch_size):
            stop = min(start + batch_size, count)
            here = ids[start // rows_each : (stop - 1) // rows_each + 1]
            given = rows.like(values[start:stop])
            try:
                with np.errstate():  # what the model sets of NumPy's error state ends here
                    returned = self.function(given)
            except BaseException as error:
                with suppress(Exception):  # some are frozen
                    error.add_note(_note(Numbers(what, here)))
                    del error.finished  # type: ignore[attr-defined]  # of a run inside of the model, or an earlier one
                raise
            batch = _as_outputs(returned, stop - start, n_outputs, Numbers(what, here))
            if not np.isfinite(batch).all():
                raise ValueError(_not_finite(batch, ids[np.arange(start, stop) // rows_each], what))
            n_outputs = batch.shape[1]
            if outputs is None:
                outputs = np.empty((count, n_outputs))
            outputs[start:stop] = batch
            if isinstance(given, np.ndarray):
                given.setflags(write=False)  # a model that kept it hears of it if it writes to what is filled again
        assert outputs is not None  # instances are never empty
        return outputs

    def predict_or_skip(
        self,
        rows: Rows,
        values: Any,
        redraw: Callable[[], Any],
        ids: Array,
        *,
        skip: bool,
        n_outputs: int | None = None,
        what: What = "instance",
    ) -> Predictions:
        """Call the model; if `skip` and it fails, `redraw` the values and call it for each instance by itself."""
        failed = np.zeros(len(ids), bool)
        try:
            return Predictions(self.predict(rows, values, ids, n_outputs, what), failed, None)
        except Exception as error:
            if not skip:
                raise
            first = _without_tracebacks(error)
        values = redraw()
        outputs: Array | None = None
        n = values.shape[0] // len(ids)
        for i in range(len(ids)):
            here = slice(i * n, (i + 1) * n)
            try:
                predicted = self.predict(rows, values[here], ids[i : i + 1], n_outputs, what)
            except Exception:
                failed[i] = True
                continue
            if outputs is None:
                n_outputs = predicted.shape[1]
                outputs = np.zeros((values.shape[0], n_outputs))
            outputs[here] = predicted
        return Predictions(outputs, failed, first)

    def predict_rows(self, rows: Rows, ids: Array, *, skip: bool = False, what: What = "instance") -> Predictions:
        """Call the model on the rows themselves."""

        def copied() -> Any:  # a model may work in place
            return rows.values.copy()

        return self.predict_or_skip(rows, copied(), copied, ids, skip=skip, what=what)


def bytes_per_row(rows: Rows) -> int:
    """Bytes of a row as the model gets it; about as many, where rows differ."""
    values = rows.values
    if not isinstance(values, np.ndarray):  # csr: a number and its column
        return 1 + int(values.nnz * (values.dtype.itemsize + 4) / values.shape[0])
    if values.dtype == object:
        return 1 + sum(map(len, values)) // len(values)
    return int(values[0].nbytes)


def check_same_outputs(before: int, now: int) -> None:
    """Refuse a model whose number of outputs depends on the rows."""
    if before != now:
        got = f" must return as many columns for all rows, got {before} and then {now}"
        raise ValueError(Message(Term("predict"), got))


def _without_tracebacks(error: Exception) -> Exception:
    """Take the tracebacks from an error and its causes: they hold on to every array on their way."""
    link: BaseException | None = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


@ignoring_float_errors
def _as_outputs(returned: object, rows: int, n_outputs: int | None, where: Numbers) -> Array:
    """Return a batch's outputs as (rows, n_outputs), or say what is wrong with their shape or type."""
    columns = "n_outputs" if n_outputs is None else n_outputs
    numbers = f" must return ({rows}, {columns}) or ({rows},) numbers for {rows} rows of "
    expected = Message(Term("predict"), numbers, where)
    try:
        array = np.asarray(returned)
    except ValueError:  # a ragged list
        raise ValueError(Message(expected, f", got a {type(returned).__name__} that is no array")) from None
    if array.dtype.kind not in "fiub":
        known = isinstance(returned, np.ndarray | list)
        got = f"dtype {short_repr(array.dtype, str)}" if known else f"a {type(returned).__name__}"
        raise TypeError(Message(expected, f", got {got}"))
    if np.ma.is_masked(returned):
        raise ValueError(Message(expected, ", got masked values"))
    if array.ndim not in (1, 2) or array.shape[0] != rows or array.shape[-1] == 0:
        raise ValueError(Message(expected, f", got shape {array.shape}"))
    array = array.reshape(rows, -1).astype(np.float64, copy=False)  # a long double may become infinite: said later
    if n_outputs not in (None, array.shape[1]):
        raise ValueError(Message(expected, f" as before, got shape {array.shape}"))
    return array


def _not_finite(outputs: Array, id_of_row: Array, what: What) -> Message:
    finite = np.isfinite(outputs)
    row, output = np.argwhere(~finite)[0]
    bad = np.unique(id_of_row[~finite.all(axis=1)])
    return Message(
        Term("predict"),
        f" must return finite numbers, got {outputs[row, output]} for output {output} of"
        f" {'a sample around ' if what == 'instance' else ''}",
        Numbers(what, id_of_row[row : row + 1]),
        f"; {len(bad)} of these {len(np.unique(id_of_row))} ",
        Term(f"{what}s"),
        " have NaN or infinite outputs",
    )


def _note(where: Numbers) -> ModelNote:
    """Return what a user is told of the rows that the model failed for."""
    if where.of == "instance":
        return ModelNote("normlime_fast: ", Term("predict"), " was working on ", where)
    shared = ", which the neighborhood shares between all instances"
    return ModelNote("normlime_fast: ", Term("predict"), " failed on ", where, shared)


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
