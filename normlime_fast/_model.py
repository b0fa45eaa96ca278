"""Calls of the user's function: in batches, with checks of its outputs, and one by one for instances if it fails."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from normlime_fast._checks import Array, ignoring_float_errors, short_repr
from normlime_fast._inputs.rows import Rows
from normlime_fast._messages import Message, ModelNote, Numbers, Term
from normlime_fast._outputs import Link, linked, outside_domain
from normlime_fast._types import Predict

Owner = Literal["instance", "point"]  # rows are samples of an instance, or points that all instances share

BATCH_BYTES = 1 << 23  # the largest of a batch's perturbed rows, z and outputs: they are still in the cache when the
# model, and then the fit, reads them


class Predictions(NamedTuple):
    """The model's outputs for the rows of some instances."""

    outputs: Array | None  # (rows, n_outputs), 0 for instances for which it failed; None if it failed for all
    failed: Array  # (instances,) bool
    error: Exception | None  # the first error that was skipped


@dataclass(frozen=True, eq=False)
class Model:
    """The user's function, which only this class calls, the largest number of rows per call, and the link."""

    function: Predict
    batch_size: int | None = None  # None: as many rows as keep a batch near BATCH_BYTES
    link: Link = "identity"

    def rows_per_call(self, row_bytes: int) -> int:
        """Return the largest number of rows per call for rows of `row_bytes` bytes."""
        return self.batch_size or max(1, BATCH_BYTES // row_bytes)

    def predict(
        self,
        rows: Rows,
        values: Any,
        ids: Array,
        n_outputs: int | None = None,
        owner: Owner = "instance",
        largest: Array | None = None,
    ) -> Array:
        """Call the model on `values` (m, ...), of the kind of `rows`, and return its outputs (m, n_outputs), linked.

        Errors name the instances or points in `ids`; each owns equally many of the values. `largest` (m,) is filled
        with the numbers of the largest outputs before the link, which may change their order.
        """
        count: int = values.shape[0]
        rows_each = count // len(ids)
        batch_size = self.rows_per_call(bytes_per_row(rows))
        outputs: Array | None = None
        for start in range(0, count, batch_size):
            stop = min(start + batch_size, count)
            owners = Numbers(owner, ids[start // rows_each : (stop - 1) // rows_each + 1])
            inputs = rows.like(values[start:stop])
            try:
                with np.errstate():  # undoes changes that the model makes to NumPy's error state
                    returned = self.function(inputs)
            except BaseException as error:
                with suppress(Exception):  # some exceptions take no attributes
                    error.add_note(_note(owners))
                    del error.finished  # type: ignore[attr-defined]  # of a run inside of the model, or an earlier one
                raise
            batch, dtype = _as_outputs(returned, stop - start, n_outputs, owners)
            if largest is not None:
                largest[start:stop] = batch.argmax(axis=1)
            batch = self._linked(batch, dtype, ids, slice(start, stop), rows_each, owner)
            n_outputs = batch.shape[1]
            if outputs is None:
                outputs = np.empty((count, n_outputs))
            outputs[start:stop] = batch
            if isinstance(inputs, np.ndarray):
                inputs.setflags(write=False)  # a model that kept it gets an error if it writes to this buffer later
        assert outputs is not None  # instances are never empty
        return outputs

    def _linked(self, outputs: Array, dtype: Any, ids: Array, part: slice, rows_each: int, owner: Owner) -> Array:
        """Return the outputs of some rows after the link; both must be finite."""

        def invalid(bad: Array, name: str, expected: str, others: str) -> ValueError:
            id_of_row = ids[np.arange(part.start, part.stop) // rows_each]
            return ValueError(_invalid(values, bad, name, expected, others, id_of_row, owner))

        values = outputs
        if not np.isfinite(values).all():
            raise invalid(~np.isfinite(values), "predict", "finite numbers", "NaN or infinite outputs")
        if self.link == "identity":
            return values
        if (outside := outside_domain(self.link, values)) is not None:
            raise invalid(outside[0], "predict", f'{outside[1]} for link="{self.link}"', "other outputs")
        values = linked(self.link, outputs, dtype)
        if not np.isfinite(values).all():
            raise invalid(~np.isfinite(values), "link", "finite numbers", "NaN or infinite values")
        return values

    def predict_or_skip(
        self,
        rows: Rows,
        values: Any,
        redraw: Callable[[], Any],
        ids: Array,
        *,
        skip: bool,
        n_outputs: int | None = None,
        owner: Owner = "instance",
        largest: Array | None = None,
    ) -> Predictions:
        """Call the model; if `skip` and it fails, `redraw` the values and call it for each instance separately."""
        failed = np.zeros(len(ids), bool)
        try:
            return Predictions(self.predict(rows, values, ids, n_outputs, owner, largest), failed, None)
        except Exception as error:
            if not skip:
                raise
            first = _without_tracebacks(error)
        values = redraw()
        outputs: Array | None = None
        n = values.shape[0] // len(ids)
        for i in range(len(ids)):
            samples = slice(i * n, (i + 1) * n)
            try:
                part = None if largest is None else largest[samples]
                predicted = self.predict(rows, values[samples], ids[i : i + 1], n_outputs, owner, part)
            except Exception:
                failed[i] = True
                continue
            if outputs is None:
                n_outputs = predicted.shape[1]
                outputs = np.zeros((values.shape[0], n_outputs))
            outputs[samples] = predicted
        return Predictions(outputs, failed, first)

    def predict_rows(
        self,
        rows: Rows,
        ids: Array,
        *,
        skip: bool = False,
        owner: Owner = "instance",
        largest: Array | None = None,
    ) -> Predictions:
        """Call the model on the rows themselves."""

        def copied() -> Any:  # a model may write to its input
            return rows.values.copy()

        return self.predict_or_skip(rows, copied(), copied, ids, skip=skip, owner=owner, largest=largest)


def bytes_per_row(rows: Rows) -> int:
    """Return the bytes of a row as the model gets it; the mean if rows differ."""
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
    """Remove the tracebacks of an error and its causes: they keep the arrays of all their frames alive."""
    link: BaseException | None = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


@ignoring_float_errors
def _as_outputs(returned: object, rows: int, n_outputs: int | None, owners: Numbers) -> tuple[Array, Any]:
    """Return a batch's outputs as (rows, n_outputs) float64, and their own dtype; refuse other shapes and types."""
    columns = "n_outputs" if n_outputs is None else n_outputs
    numbers = f" must return ({rows}, {columns}) or ({rows},) numbers for {rows} rows of "
    expected = Message(Term("predict"), numbers, owners)
    try:
        array = np.asarray(returned)
    except ValueError:  # a ragged list
        raise ValueError(Message(expected, f", got a {type(returned).__name__} that is not an array")) from None
    if array.dtype.kind not in "fiu":
        is_array = isinstance(returned, np.ndarray | list)
        got = f"dtype {short_repr(array.dtype, str)}" if is_array else f"a {type(returned).__name__}"
        raise TypeError(Message(expected, f", got {got}{_advice(array)}"))
    if np.ma.is_masked(returned):
        raise ValueError(Message(expected, ", got masked values"))
    if array.ndim not in (1, 2) or array.shape[0] != rows or array.shape[-1] == 0:
        raise ValueError(Message(expected, f", got shape {array.shape}"))
    dtype = array.dtype
    array = array.reshape(rows, -1).astype(np.float64, copy=False)  # a long double may become infinite: refused later
    if n_outputs not in (None, array.shape[1]):
        raise ValueError(Message(expected, f" as before, got shape {array.shape}"))
    return array, dtype


def _advice(array: Array) -> str:
    """Return what to do about outputs that seem to be class labels."""
    if array.dtype.kind == "b":
        return "; return probabilities or scores, as predict_proba and decision_function do, or 0 and 1 as numbers"
    is_text = array.dtype.kind in "US" or (array.dtype == object and array.size and isinstance(array.flat[0], str))
    return "; return probabilities or scores, as predict_proba and decision_function do" if is_text else ""


def _invalid(
    values: Array, bad: Array, name: str, expected: str, others: str, id_of_row: Array, owner: Owner
) -> Message:
    """Return the message about the first of the bad values."""
    row, output = np.argwhere(bad)[0]
    failed = np.unique(id_of_row[bad.any(axis=1)])
    return Message(
        Term(name),
        f" must return {expected}, got {values[row, output]} for output {output} of"
        f" {'a sample around ' if owner == 'instance' else ''}",
        Numbers(owner, id_of_row[row : row + 1]),
        f"; {len(failed)} of these {len(np.unique(id_of_row))} ",
        Term(f"{owner}s"),
        f" have {others}",
    )


def _note(owners: Numbers) -> ModelNote:
    """Return the note that names the rows on which the model failed."""
    if owners.of == "instance":
        return ModelNote("normlime_fast: ", Term("predict"), " was working on ", owners)
    shared = ", which the neighborhood shares between all instances"
    return ModelNote("normlime_fast: ", Term("predict"), " failed on ", owners, shared)
