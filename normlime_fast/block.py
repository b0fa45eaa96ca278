"""One block of instances: from its rows to its local explanations, in this process."""

from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from normlime_fast.checks import Array, Rows
from normlime_fast.errors import attach
from normlime_fast.explanations import MODEL_FAILED, LocalExplanations
from normlime_fast.neighborhoods import Gaussian, Perturb
from normlime_fast.prediction import Predict, predict_rows
from normlime_fast.surrogates import Fits, fit_samples
from normlime_fast.threads import Pieces, Start

BATCH_BYTES = 1 << 23  # of perturbed rows, of their z or of their outputs, whichever is the most, in a batch: what was
# written is still in the cache when the model, and then the fit, reads it
PIECE = 20_000_000  # values of z that one thread takes at a time: some 50 ms

Report = Callable[[int], object]


class Settings(Protocol):
    """What a block needs to know: the settings of an explainer."""

    predict: Predict
    neighborhood: Gaussian
    n_features: int | None
    n_samples: int
    targets: str | Array
    ridge: float
    tol: float
    shared_samples: int
    n_jobs: int
    batch_size: int | None
    seed: np.uint64


class Explained(NamedTuple):
    """A block that is finished."""

    local: LocalExplanations | None  # None if the model failed for every instance
    n_outputs: int | None
    error: Exception | None  # the first one that was skipped


class _Answer(NamedTuple):
    """What the model said of some instances."""

    outputs: Array | None  # (rows, n_outputs), 0 for instances that it failed for; None if those are all
    failed: Array  # (instances,) bool
    error: Exception | None


def explain_block(
    settings: Settings, rows: Rows, numbers: Array, skip: bool, start: Start, report: Report
) -> Explained:
    """Explain the rows, whose samples are keyed by `numbers`; if `skip`, leave out instances that the model fails for.

    An exception carries what was finished before it as its attribute ``finished``.
    """
    features_of(settings, rows.values.shape[1])
    perturb = settings.neighborhood.sampler(settings.seed, settings.n_samples, rows.values)
    outputs, failed, error = ask_about_rows(settings, rows, numbers, skip)
    if outputs is None:
        return Explained(None, None, error)
    if failed.any():
        rows, asked, outputs = Rows(rows.values[~failed], rows.frame), numbers[~failed], outputs[~failed]
    else:
        asked = numbers
    run = _Run(settings, rows, asked, outputs, perturb, skip, error)
    try:
        run.explain(start, report)
    except BaseException as raised:
        if run.finished:
            attach(raised, run.result())
        raise
    local = run.result()
    if failed.any():
        parts = [local, failed_explanations(settings, numbers[failed], local)]
        local = _in_order(LocalExplanations.concatenate(parts), numbers)
    return Explained(local, run.n_outputs, run.error)


def ask_about_rows(settings: Settings, rows: Rows, numbers: Array, skip: bool) -> _Answer:
    """Ask the model for its outputs of the rows themselves."""
    values = np.empty_like(rows.values)  # a model may work in place
    batch_size = _rows_a_batch(settings, values.shape[1] * values.itemsize)

    def draw() -> None:
        values[:] = rows.values

    draw()
    return _ask(settings, rows, values, draw, numbers, batch_size, None, skip)


def _ask(
    settings: Settings,
    rows: Rows,
    values: Array,
    draw: Callable[[], None],
    numbers: Array,
    batch_size: int,
    n_outputs: int | None,
    skip: bool,
) -> _Answer:
    """Ask the model; if `skip` and it fails, `draw` the values anew and ask for each instance alone."""
    failed = np.zeros(len(numbers), bool)
    try:
        return _Answer(predict_rows(settings.predict, rows, values, numbers, batch_size, n_outputs), failed, None)
    except Exception as error:
        if not skip:
            raise
        first = _bare(error)
    draw()
    outputs: Array | None = None
    n = len(values) // len(numbers)
    for i in range(len(numbers)):
        here = slice(i * n, (i + 1) * n)
        try:
            answer = predict_rows(settings.predict, rows, values[here], numbers[i : i + 1], batch_size, n_outputs)
        except Exception:
            failed[i] = True
            continue
        if outputs is None:
            n_outputs = answer.shape[1]
            outputs = np.zeros((len(values), n_outputs))
        outputs[here] = answer
    return _Answer(outputs, failed, first)


def _bare(error: Exception) -> Exception:
    """Take the tracebacks from an error and its causes: they hold on to every array on their way."""
    link: BaseException | None = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def failed_explanations(settings: Settings, numbers: Array, like: LocalExplanations) -> LocalExplanations:
    """Empty explanations of instances that the model failed for, with names and targets as others have them."""
    from scipy.sparse import csr_array

    known = like.target[like.instance == like.instance[0]]
    targets = np.array([-1]) if _is_predicted(settings.targets) else known
    count = len(numbers) * len(targets)
    unknown = np.full(count, np.nan)
    return replace(
        like,
        weights=csr_array((count, like.weights.shape[1])),
        intercept=unknown,
        r2=np.zeros(count),
        prediction=unknown.copy(),
        status=np.full(count, MODEL_FAILED),
        instance=np.repeat(numbers, len(targets)),
        target=np.tile(targets, len(numbers)),
    )


def _is_predicted(targets: str | Array) -> bool:
    return isinstance(targets, str) and targets == "predicted"


def _in_order(local: LocalExplanations, numbers: Array) -> LocalExplanations:
    """Put the explanations in the order of the instances' numbers, of which each has equally many."""
    sorter = np.argsort(numbers)
    order = np.argsort(sorter[np.searchsorted(numbers, local.instance, sorter=sorter)], kind="stable")
    fields = ("weights", "intercept", "r2", "prediction", "status", "instance", "target")
    return replace(local, **{name: getattr(local, name)[order] for name in fields})


def features_of(settings: Settings, d: int) -> int:
    """K for data of d columns: d, which the fit takes as all, where all are asked for."""
    K = d if settings.n_features is None else min(settings.n_features, d)
    if settings.n_samples < K + 2:
        raise ValueError(f"n_samples must be at least n_features + 2 = {K + 2}, got {settings.n_samples}")
    return K


class Probe(NamedTuple):
    """How far a model's outputs differ for the same rows, from `NormLIME.probe`."""

    repeated: float  # largest difference when asked again
    regrouped: float  # and when asked in smaller batches
    largest: float  # |output|


def probe(settings: Settings, rows: Rows, numbers: Array) -> Probe:
    """Ask the model about the same perturbed rows again, and again in other batches."""
    m, d = rows.values.shape
    n = min(settings.n_samples, 100)
    perturb = settings.neighborhood.sampler(settings.seed, n, rows.values)
    Z, inputs = np.empty((m, n, d), np.float32), np.empty((m, n, d), rows.values.dtype)

    def asked(batch_size: int) -> Array:
        perturb(numbers.astype(np.uint64), np.arange(m + 1), np.array(rows.values), Z, inputs)
        return predict_rows(settings.predict, rows, inputs.reshape(m * n, d), numbers, batch_size)

    most = min(m * n, _rows_a_batch(settings, d * rows.values.itemsize))
    first, again, regrouped = asked(most), asked(most), asked(max(1, min(n, most // 2)))
    return Probe(*(float(np.abs(values).max()) for values in (again - first, regrouped - first, first)))


class _Run:
    """The work on a block of instances, and what of it is finished so far."""

    def __init__(
        self,
        settings: Settings,
        rows: Rows,
        numbers: Array,
        outputs: Array,
        perturb: Perturb,
        skip: bool,
        error: Exception | None,
    ) -> None:
        d = rows.values.shape[1]
        self.settings = settings
        self.rows = rows
        self.numbers = numbers
        self.skip, self.error = skip, error
        self.perturb = perturb
        self.n_features = features_of(settings, d)
        self.n_outputs = outputs.shape[1]
        self.target_names = _target_names(settings.predict, self.n_outputs)
        self.batch_size = _rows_a_batch(settings, max(d * rows.values.itemsize, 8 * self.n_outputs))
        self.targets = _targets_of(settings.targets, outputs)
        self.prediction = np.take_along_axis(outputs, self.targets, axis=1)
        self.weights, self.ridge = np.ones(settings.n_samples), settings.ridge / settings.n_samples
        self.fits = Fits.room_for(self.targets.size, self.n_features)
        self.failed = np.zeros(len(numbers), bool)
        self.finished = 0  # instances
        self.ended = False  # by an exception: nothing needs to be drawn any more

    def explain(self, start: Start, report: Report) -> None:
        """Draw the neighborhoods of a batch of instances, ask the model, fit the surrogates, batch after batch.

        With threads there are two buffers: while the model works on one, they fit what it said of the other and draw
        what it will be asked next.
        """
        n_instances, n_jobs, n = len(self.numbers), self.settings.n_jobs, self.settings.n_samples
        size = max(1, self.batch_size // n // n_jobs) * n_jobs  # instances a batch: the same number for every thread
        count = -(-n_instances // size)
        buffers = [_Buffer(self, min(size, n_instances)) for _ in range(min(count, 2 if n_jobs > 1 else 1))]
        ahead = len(buffers)
        works = [buffer.turn_over(start, None, self._batch(k, size)) for k, buffer in enumerate(buffers)]
        asked = 0
        try:
            for k in range(count + ahead):
                for piece in works[k % ahead]:
                    piece.result()
                self._finish((k + 1 - ahead) * size, report)
                if k < count:
                    buffer = buffers[k % ahead]
                    Y = self._ask(buffer)
                    works[k % ahead] = buffer.turn_over(start, Y, self._batch(k + ahead, size))
                    asked = k + 1
        except BaseException:
            self.ended = True
            wait([piece for work in works for piece in work])  # what was asked is fitted, but nobody is told
            self._finish(asked * size, lambda done: None)
            raise

    def _finish(self, done: int, report: Report) -> None:
        if min(done, len(self.numbers)) > self.finished:
            self.finished = min(done, len(self.numbers))
            report(self.finished)

    def _batch(self, k: int, size: int) -> "_Batch":
        """Return the k-th batch of `size` instances; past the last one, it has none."""
        rows = slice(k * size, (k + 1) * size)
        sets = self.numbers[rows].astype(np.uint64) // np.uint64(min(self.settings.shared_samples, 2**64 - 1))
        starts = np.append(np.flatnonzero(np.append(True, sets[1:] != sets[:-1])[: len(sets)]), len(sets))
        return _Batch(rows, sets[starts[:-1]], starts)

    def _ask(self, buffer: "_Buffer") -> Array:
        """Call the model; its outputs for the targets, (instances * t, n)."""
        here = buffer.batch.rows
        inputs = buffer.inputs[: len(self.numbers[here])]
        m, n, d = inputs.shape
        outputs, failed, error = _ask(
            self.settings,
            self.rows,
            inputs.reshape(m * n, d),
            buffer.draw,
            self.numbers[here],
            self.batch_size,
            self.n_outputs,
            self.skip,
        )
        self.failed[here], self.error = failed, self.error or error
        if outputs is None:
            outputs = np.zeros((m * n, self.n_outputs))
        return outputs.reshape(m, n, -1)[np.arange(m)[:, None], :, self.targets[here]].reshape(-1, n)

    def result(self) -> LocalExplanations:
        """What is finished, as explanations."""
        from scipy.sparse import csr_array  # not at import time, see importance.py

        done, t = self.finished, self.targets.shape[1]
        fits = self.fits[slice(done * t)]
        used, summaries = fits.used(), fits.summaries
        indptr = np.concatenate([[0], np.cumsum(summaries["count"])])
        shape = (done * t, self.rows.values.shape[1])
        failed = np.repeat(self.failed[:done], t)
        return LocalExplanations(
            weights=csr_array((fits.coefficients[used], fits.features[used], indptr), shape=shape),
            intercept=np.where(failed, np.nan, summaries["intercept"]),
            r2=summaries["r2"].copy(),
            prediction=self.prediction[:done].ravel(),
            status=np.where(failed, MODEL_FAILED, summaries["status"]),
            instance=np.repeat(self.numbers[:done], t),
            target=self.targets[:done].ravel(),
            feature_names=self.rows.feature_names,
            target_names=self.target_names,
        )


class _Batch(NamedTuple):
    """Instances that the model is asked about together."""

    rows: slice
    sets: Array  # (m,) uint64: the numbers of their sets of samples
    starts: Array  # (m + 1,): at which of these instances each set begins, and where the last one ends


class _Buffer:
    """Room for the neighborhoods of a batch: drawn, shown to the model, fitted, and turned over to another batch."""

    def __init__(self, run: _Run, size: int) -> None:
        n, X = run.settings.n_samples, run.rows.values
        self.run = run
        self.Z = np.empty((size, n, X.shape[1]), np.float32)
        self.inputs = np.empty((size, n, X.shape[1]), X.dtype)
        self.batch = _Batch(slice(0, 0), np.empty(0, np.uint64), np.zeros(1, np.int64))

    def turn_over(self, start: Start, Y: Array | None, following: _Batch) -> Pieces:
        """Start to fit the outputs Y, and to draw the samples of the following batch in place of what was fitted."""
        run, asked = self.run, self.batch
        self.batch = following
        t = run.targets.shape[1]
        X = self._instances()

        def task(piece: slice) -> None:
            if Y is not None and piece.start < len(asked.sets):
                starts = asked.starts[piece.start : piece.stop + 1] * t
                fits = run.fits[slice(asked.rows.start * t + starts[0], asked.rows.start * t + starts[-1])]
                Z, outputs = self.Z[piece][: len(starts) - 1], Y[starts[0] : starts[-1]]
                fit_samples(Z, outputs, starts - starts[0], run.weights, run.ridge, run.settings.tol, fits)
            if piece.start < len(following.sets) and not run.ended:
                self._draw(X, piece)

        count = max(len(asked.sets) if Y is not None else 0, len(following.sets))
        return start(task, count, max(1, PIECE // (run.settings.n_samples * (X.shape[1] + t))))

    def draw(self) -> None:
        """Draw the batch's samples once more, the same."""
        self._draw(self._instances(), slice(0, len(self.batch.sets)))

    def _instances(self) -> Array:
        return np.array(self.run.rows.values[self.batch.rows])  # writable, as not all are: one compiled kernel fewer

    def _draw(self, X: Array, piece: slice) -> None:
        starts = self.batch.starts[piece.start : piece.stop + 1]
        Z, rows = self.Z[piece][: len(starts) - 1], slice(starts[0], starts[-1])
        self.run.perturb(self.batch.sets[piece], starts - starts[0], X[rows], Z, self.inputs[rows])


def _rows_a_batch(settings: Settings, bytes_a_row: int) -> int:
    return settings.batch_size or max(1, BATCH_BYTES // bytes_a_row)


def _targets_of(targets: str | Array, outputs: Array) -> Array:
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


def _target_names(predict: Predict, n_outputs: int) -> tuple[str, ...] | None:
    """Class names of a scikit-learn classifier whose method `predict` is, where they fit its outputs."""
    model = getattr(predict, "__self__", None)
    classes = getattr(model, "classes_", None)
    pairs = getattr(model, "decision_function_shape", None) == "ovo"  # outputs of a support vector machine
    scores = getattr(predict, "__name__", "") in ("predict_proba", "predict_log_proba", "decision_function")
    if not scores or pairs or n_outputs == 1 or not isinstance(classes, np.ndarray) or classes.shape != (n_outputs,):
        return None
    return tuple(str(name) for name in classes)
