"""Explain one block of instances in this process: from its rows to its local explanations."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._engine.settings import Settings
from normlime_fast._engine.threads import Pieces, Start
from normlime_fast._errors import attach_partial_result
from normlime_fast._inputs.rows import Rows
from normlime_fast._kernels import surrogate
from normlime_fast._model import BATCH_BYTES, bytes_per_row, check_same_outputs
from normlime_fast._neighborhoods.base import Batch, Sampler, Samples
from normlime_fast._outputs import check_target_names, target_names, targets_of
from normlime_fast._results.explanations import LocalExplanations, with_data
from normlime_fast._status import Status
from normlime_fast._surrogates import Fits, fit_samples
from normlime_fast._types import Advance

PIECE = 20_000_000  # values of z per piece of work for a thread: about 50 ms


class Explained(NamedTuple):
    """A finished block."""

    local: LocalExplanations | None  # None if no instance has an explanation
    n_outputs: int | None
    error: Exception | None  # the first error that was skipped
    fault: str | None = None  # error of the first row that cannot be used
    statuses: Array | None = None  # of the instances, if `local` is None
    unseen: Counter[tuple[str, str]] = Counter()  # noqa: RUF012  # rows by column and category that the data lacks


def explain_block(
    settings: Settings, rows: Rows, instance_ids: Array, skip: bool, start: Start, advance: Advance
) -> Explained:
    """Explain rows, whose samples are keyed by `instance_ids`; if `skip`, leave out rows for which the model fails.

    An exception has the explanations finished before it as its attribute ``finished``.
    """
    statuses, remaining = np.zeros(len(instance_ids), np.int64), instance_ids
    if rows.usable is not None:
        statuses[~rows.usable] = Status.INVALID_ROW
        rows, remaining = rows.take(rows.usable), instance_ids[rows.usable]
    if not len(remaining):
        return Explained(None, None, None, rows.fault, statuses)
    sampler = settings.neighborhood._sampler(settings.seed, settings.n_samples, rows)
    sampler.check(settings.n_features)
    if settings.feature_names is not None:
        settings.features(rows)  # refuses them before the model is called
    largest = np.zeros(len(remaining), np.int64)
    with _note_on_failure(settings, rows, rows.values):
        outputs, failed, error = settings.model.predict_rows(rows, remaining, skip=skip, largest=largest)
    statuses[statuses == 0] = np.where(failed, Status.MODEL_FAILED, 0)
    if outputs is None:
        return Explained(None, None, error, rows.fault, statuses)
    if failed.any():
        rows, remaining = rows.take(~failed), remaining[~failed]
        outputs, largest = outputs[~failed], largest[~failed]
        sampler = settings.neighborhood._sampler(settings.seed, settings.n_samples, rows)
    explainer = _BlockExplainer(settings, rows, remaining, outputs, largest, sampler, skip, error)
    try:
        explainer.explain(start, advance)
    except BaseException as raised:
        if 0 in explainer.parts:
            attach_partial_result(raised, explainer.result())
        raise
    local = explainer.result()
    left_out = statuses != 0
    if left_out.any():
        parts = [local, failed_explanations(settings, instance_ids[left_out], local, statuses[left_out])]
        local = _in_order(LocalExplanations.concatenate(parts), instance_ids)
    return Explained(local, explainer.n_outputs, explainer.error, rows.fault)


@contextmanager
def _note_on_failure(settings: Settings, rows: Rows, values: Any) -> Iterator[None]:
    """Add the neighborhood's note to an error of the model."""
    try:
        yield
    except Exception as error:
        note = settings.neighborhood._note_on_failure(rows, values)
        if note is not None:
            with suppress(Exception):  # some exceptions take no notes
                error.add_note(f"normlime_fast: {note}")
        raise


def _features_of(settings: Settings, d: int) -> int:
    """Return K for samples with d features; d if all features are requested."""
    return d if settings.n_features is None else min(settings.n_features, d)


def failed_explanations(
    settings: Settings, instance_ids: Array, example: LocalExplanations, statuses: Array
) -> LocalExplanations:
    """Return empty explanations of instances with these statuses; their names and targets are those of `example`."""
    from scipy.sparse import csr_array

    targets = example.target[example.instance == example.instance[0]]
    if _is_predicted(settings.targets):
        targets = np.array([-1])
    count = len(instance_ids) * len(targets)
    unknown = np.full(count, np.nan)
    none = csr_array((count, example.weights.shape[1]))
    return replace(
        example,
        weights=none,
        contributions=None if example.contributions is None else none,
        stderr=none,
        intercept=unknown,
        r2=np.zeros(count),
        prediction=unknown.copy(),
        status=np.repeat(statuses, len(targets)),
        instance=np.repeat(instance_ids, len(targets)),
        target=np.tile(targets, len(instance_ids)),
        effective_samples=np.zeros(count),
        sample_set=settings.shared_sets(np.repeat(instance_ids, len(targets))),
    )


def _is_predicted(targets: str | Array) -> bool:
    return isinstance(targets, str) and targets == "predicted"


def _in_order(local: LocalExplanations, instance_ids: Array) -> LocalExplanations:
    """Sort the explanations in the order of the instances' ids; each instance has equally many."""
    sorter = np.argsort(instance_ids)
    order = np.argsort(sorter[np.searchsorted(instance_ids, local.instance, sorter=sorter)], kind="stable")
    return local[order]


class _SparseRows(NamedTuple):
    """The explanations of some instances, with their weights row by row, as in a csr matrix."""

    data: Array  # (3, weights): surrogate.WEIGHT, CONTRIBUTION and ERROR
    indices: Array
    counts: Array  # of weights in each row
    summaries: Array


class _BlockExplainer:
    """The work on a block of instances, and its results so far."""

    def __init__(
        self,
        settings: Settings,
        rows: Rows,
        instance_ids: Array,
        outputs: Array,
        largest: Array,
        sampler: Sampler,
        skip: bool,
        error: Exception | None,
    ) -> None:
        self.settings = settings
        self.rows = rows
        self.instance_ids = instance_ids
        self.skip, self.error = skip, error
        self.sampler = sampler
        self.features = settings.features(rows)
        self.n_samples = sampler.n_samples
        self.n_outputs = outputs.shape[1]
        if sampler.n_outputs is not None:
            check_same_outputs(sampler.n_outputs, self.n_outputs)
        check_target_names(settings.target_names, self.n_outputs)
        self.target_names = settings.target_names or target_names(settings.model.function, self.n_outputs)
        row_bytes = max(bytes_per_row(rows), 4 * sampler.n_features, 8 * self.n_outputs)
        self.batch_size = settings.model.rows_per_call(row_bytes)
        self.model = replace(settings.model, batch_size=self.batch_size)
        if sampler.n_outputs is not None:  # the user's limit is for calls of the model, but none will follow
            self.batch_size = max(1, BATCH_BYTES // row_bytes)
        self.targets = targets_of(settings.targets, self.n_outputs, largest)
        self.prediction = np.take_along_axis(outputs, self.targets, axis=1)
        self.failed = np.zeros(len(instance_ids), bool)
        self.parts: dict[int, _SparseRows] = {}  # the finished batches, by position of their first instance
        self.ended = False  # True after an exception: then no further samples are drawn

    def explain(self, start: Start, advance: Advance) -> None:
        """Draw the neighborhoods of a batch of instances, call the model, fit the surrogates, batch after batch.

        With threads there are two slots: while the model is called on the samples of one, threads fit its outputs for
        the other's samples and draw the next ones.
        """
        n_instances, n_jobs = len(self.instance_ids), self.settings.n_jobs
        limit = self.batch_size // self.n_samples
        size = limit // n_jobs * n_jobs or max(limit, -(-n_jobs // 2))  # every thread has as many, in one slot or two
        count = -(-n_instances // size)
        slots = [_Slot(self, min(size, n_instances)) for _ in range(min(count, 2 if n_jobs > 1 else 1))]
        ahead = len(slots)
        for k, slot in enumerate(slots):
            slot.start_next(start, None, self._batch(k, size))
        try:
            for k in range(count + ahead):
                self._finish(slots[k % ahead], advance)
                if k < count:
                    Y = self._predict(slots[k % ahead])
                    slots[k % ahead].start_next(start, Y, self._batch(k + ahead, size))
        except BaseException:
            self.ended = True
            for slot in slots:
                wait(slot.pieces)
            for slot in slots:
                with suppress(Exception):  # from a fit, such as MemoryError
                    self._finish(slot, lambda done: None)  # keep fits of predicted batches; report no progress
            raise

    def _finish(self, slot: "_Slot", advance: Advance) -> None:
        """Wait for the fits of a slot, and store their explanations.

        Ctrl-C may come at any line: the slot keeps them until they are stored, by one assignment.
        """
        for piece in slot.pieces:
            piece.result()
        if slot.fitted is None:
            return
        batch = slot.fitted.batch
        if batch.rows.start not in self.parts:
            part = _to_sparse_rows(slot.fitted, self.targets.shape[1])
            self._check_columns(part.indices)
            self.parts[batch.rows.start] = part
            advance(batch.rows.start + len(batch.instance_ids))

    def _check_columns(self, columns: Array) -> None:
        """Refuse features that the result has no columns for: SciPy would read and write outside of its arrays."""
        count = self.features.n_features
        outside = columns[(columns < 0) | (columns >= count)]
        if len(outside):
            numbers = f"from 0 to {count - 1}, as its _features says"
            raise ValueError(f"the neighborhood must have features with numbers {numbers}, got {outside[0]}")

    def _batch(self, k: int, size: int) -> Batch:
        """Return the k-th batch of `size` instances, which is empty after the last instance."""
        rows = slice(k * size, (k + 1) * size)
        instance_ids = self.instance_ids[rows]
        shared = self.settings.shared_sets(instance_ids)
        sets = (instance_ids if shared is None else shared).astype(np.uint64)
        is_first = np.append(True, sets[1:] != sets[:-1])[: len(sets)]
        if not self.sampler.shares_sets:
            is_first[:] = True
        starts = np.append(np.flatnonzero(is_first), len(sets))
        return Batch(rows, instance_ids, sets[starts[:-1]], starts)

    def _predict(self, slot: "_Slot") -> Array:
        """Call the model, and return its outputs for the targets, (instances * t, n)."""
        if slot.error is not None:
            raise slot.error
        buffer, batch = slot.buffer, slot.batch
        targets = self.targets[batch.rows]
        if buffer.columns(batch) is None:
            self._check_columns(np.arange(buffer.most_features(batch)))
        inputs = buffer.inputs(batch)
        predicted: Array | None = None

        def redraw() -> Any:
            buffer.draw(batch, slice(0, len(batch.set_ids)))
            again = buffer.inputs(batch)
            return None if again is None else again.values

        if inputs is not None:
            with _note_on_failure(self.settings, self.rows, inputs.values):
                predicted, failed, error = self.model.predict_or_skip(
                    self.rows,
                    inputs.values,
                    redraw,
                    batch.instance_ids[inputs.instances],
                    skip=self.skip,
                    n_outputs=self.n_outputs,
                )
            self.failed[batch.rows][inputs.instances], self.error = failed, self.error or error
        return buffer.outputs(batch, predicted, self.prediction[batch.rows], targets)

    def fit(self, samples: Samples, Y: Array, batch: Batch, fits: Fits) -> None:
        """Fit the samples of some sets of a batch; Y are the model's outputs for the whole batch."""
        t = self.targets.shape[1]
        starts = batch.starts[samples.first : samples.stop + 1] * t
        outputs = slice(starts[0], starts[-1])
        K = _features_of(self.settings, samples.Z.shape[2])
        if samples.Z.shape[2] == 0:
            fits.summaries["status"][outputs] = Status.NO_FEATURES
            return
        shape = samples.stop - samples.first, Y.shape[1]
        if (  # the compiled code relies on these
            samples.Z.shape[:2] != shape
            or samples.weights.shape not in (shape, (1, shape[1]))
            or len(Y) != t * batch.starts[-1]
            or fits.features.shape[1] < K
        ):
            got = f"Z {samples.Z.shape}, weights {samples.weights.shape} and outputs {Y.shape}"
            raise ValueError(
                f"the neighborhood's samples must have shapes and most_features that agree, got {got} for"
                f" {shape[0]} sets and {batch.starts[-1]} instances, and most_features for {fits.features.shape[1]}"
            )
        settings = self.settings
        fit_samples(
            samples.Z,
            Y[outputs],
            starts - starts[0],
            samples.weights,
            fits[outputs],
            n_features=K,
            ridge=settings.ridge,
            tol=settings.tol,
            selection=settings.selection,
            standardize=settings.standardize,
            least_effective=K + 2,
        )
        if samples.rare is not None:
            status = fits.summaries["status"][outputs]
            fitted = np.isin(status, (Status.OK, Status.FEWER_FEATURES))
            status[fitted & np.repeat(samples.rare, np.diff(starts))] = Status.RARE_CATEGORY

    def result(self) -> LocalExplanations:
        """Return the finished explanations, up to the first missing batch, which Ctrl-C may have interrupted."""
        from scipy.sparse import csr_array  # not at import time, see statistics.py

        t = self.targets.shape[1]
        parts: list[_SparseRows] = []
        done = 0
        while done in self.parts:
            parts.append(self.parts[done])
            done += len(parts[-1].counts) // t
        data, indices, counts, summaries = (np.concatenate(fields, axis=-1) for fields in zip(*parts, strict=True))
        n_features, feature_names = self.features
        indptr = np.concatenate([[0], np.cumsum(counts)])
        failed = np.repeat(self.failed[:done], t)
        prediction = self.prediction[:done].ravel()
        status = np.where(failed, Status.MODEL_FAILED, summaries["status"])
        intercept = np.where(status == Status.NO_FEATURES, prediction, summaries["intercept"])
        weights = csr_array((data[surrogate.WEIGHT], indices, indptr), shape=(done * t, n_features))
        centred = self.settings.neighborhood._centred
        return LocalExplanations(
            weights=weights,
            contributions=None if centred else with_data(weights, data[surrogate.CONTRIBUTION]),
            stderr=with_data(weights, data[surrogate.ERROR]),
            intercept=np.where(failed, np.nan, intercept),
            r2=summaries["r2"].copy(),
            prediction=prediction,
            status=status,
            instance=np.repeat(self.instance_ids[:done], t),
            target=self.targets[:done].ravel(),
            effective_samples=np.where(failed, 0.0, summaries["effective"]),
            sample_set=self.settings.shared_sets(np.repeat(self.instance_ids[:done], t)),
            feature_names=feature_names,
            target_names=self.target_names,
        )


class _FittedBatch(NamedTuple):
    """Fits of a batch, and the columns of each instance's features in the result."""

    batch: Batch
    fits: Fits
    columns: list[Any] | None


class _Slot:
    """One of two buffers: holds a batch while it is predicted and fitted, then is refilled with the next batch."""

    def __init__(self, explainer: _BlockExplainer, size: int) -> None:
        self.explainer = explainer
        self.buffer = explainer.sampler.buffer(explainer.rows, size)
        self.batch = Batch(slice(0, 0), explainer.instance_ids[:0], np.empty(0, np.uint64), np.zeros(1, np.int64))
        self.pieces: Pieces = []
        self.fitted: _FittedBatch | None = None  # once `pieces` are done
        self.error: BaseException | None = None  # in drawing the batch

    def start_next(self, start: Start, Y: Array | None, following: Batch) -> None:
        """Start to fit the outputs Y, and to draw the samples of the following batch into the same buffer."""
        explainer, current, buffer = self.explainer, self.batch, self.buffer
        t = explainer.targets.shape[1]
        fitted = None
        if Y is not None:
            K = _features_of(explainer.settings, buffer.most_features(current))
            fitted = _FittedBatch(current, Fits.empty(len(Y), K), buffer.columns(current))

        def task(piece: slice) -> None:
            if Y is not None and fitted is not None and piece.start < len(current.set_ids):
                for samples in buffer.fits(current, piece):
                    explainer.fit(samples, Y, current, fitted.fits)
            if piece.start < len(following.set_ids) and not explainer.ended and self.error is None:
                try:
                    buffer.draw(following, piece)
                except BaseException as error:  # from the user's code, or Ctrl-C: the current batch is still fitted
                    self.error = error

        count = max(len(current.set_ids) if Y is not None else 0, len(following.set_ids))
        self.pieces = start(task, count, max(1, PIECE // (explainer.n_samples * (explainer.sampler.n_features + t))))
        self.batch, self.fitted = following, fitted


def _to_sparse_rows(fitted: _FittedBatch, t: int) -> _SparseRows:
    """Map fitted features to columns of the result; there are t fits per instance."""
    fits, counts = fitted.fits, fitted.fits.summaries["count"]
    used = fits.used()
    data, indices = fits.coefficients.swapaxes(0, 1)[:, used], fits.features[used]
    if fitted.columns is None:
        return _SparseRows(data, indices, counts, fits.summaries)
    ends = np.cumsum(counts)[:-1]
    places: list[Array] = []
    values: list[Array] = []
    for row, (terms, features) in enumerate(zip(np.split(data, ends, axis=1), np.split(indices, ends), strict=True)):
        columns = fitted.columns[row // t]
        if isinstance(columns, np.ndarray):
            features = columns[features]
        elif columns is not None:  # each feature has several columns
            counted = np.diff(columns.indptr)[features]
            features = columns[features].indices
            order = np.argsort(features, kind="stable")
            terms[surrogate.CONTRIBUTION] /= counted  # shared, so that they still add up
            features, terms = features[order], np.repeat(terms, counted, axis=1)[:, order]
        places.append(features)
        values.append(terms)
    lengths = np.array([len(features) for features in places])
    return _SparseRows(np.concatenate(values, axis=1), np.concatenate(places), lengths, fits.summaries)
