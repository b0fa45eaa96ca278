"""NormLIME: composes the stages; no numerics of its own."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast.checks import Array, Rows, as_array, as_count, as_jobs, as_nonnegative, as_rows, as_seed
from normlime_fast.explanations import LocalExplanations
from normlime_fast.neighborhoods import Gaussian
from normlime_fast.prediction import Predict, predict_rows
from normlime_fast.surrogates import Fits, fit_samples, warn_of
from normlime_fast.threads import Start, Wait, pool

BATCH_BYTES = 1 << 23  # of perturbed rows, of their z or of their outputs, whichever is the most, in a batch: what was
# written is still in the cache when the model, and then the fit, reads it
PIECE = 20_000_000  # values of z that one thread takes at a time: some 50 ms

Report = Callable[[int, int], object]


class NormLIME:
    """Explain a black-box model by many local LIME surrogates and aggregate them (Ahern et al., AAAI 2020).

    Parameters
    ----------
    predict : callable
        The model: takes m rows of what X is made of (an ndarray, or a DataFrame with the same columns) and returns
        (m,) or (m, n_outputs) finite numbers, such as ``model.predict_proba`` or a regressor's ``predict``. It is
        called from the caller's thread only. The rows are a buffer that later calls fill again: copy what you keep.
    neighborhood : Gaussian
        Where perturbed samples come from.
    n_features : int or None, default 10
        How many features an explanation may use (K of K-LASSO); None is all.
    n_samples : int, default 5000
        Perturbed samples, that is rows the model is called with, per instance.
    targets : {"predicted", "all"}, int or list of int, default "predicted"
        Which outputs to explain: for every instance the largest one, all, or those numbered. A model with one output
        has target 0.
    ridge : float, default 0.0
        L2 penalty of the refit, in the scale of scikit-learn's ``Ridge`` (lime uses 1).
    tol : float, default 1e-4
        Where coordinate descent first stops; see `fit_surrogates`.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator, optional
        Where the seed comes from, once, here (SPEC 7). A row's samples depend on the seed and the row's number alone:
        not on the order of rows, `batch_size`, `n_jobs`, process or machine; Sobol samples on scipy's version, too.
    shared_samples : int, default 1
        How many rows share one set of standard normals: those whose numbers have the same quotient by it. That makes
        their explanations comparable sample by sample and several times cheaper, most of all with a `batch_size` that
        holds them together. But their errors are then no longer independent: they do not average out over the rows of a
        set, and the standard error of an importance takes them for independent.
    n_jobs : int or None, default None
        Threads for the library's own work: None is 1, which is the caller's own; -1 all cores. More than one also work
        while the model does.
    batch_size : int or None, default None
        The most rows a call of `predict` gets; by default what keeps a batch near 8 MiB, which
        caches hold.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> import normlime_fast as nlf
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000).fit(X, y)
    >>> explainer = nlf.NormLIME(model.predict_proba, nlf.Gaussian.from_data(X), n_features=2, rng=0)
    >>> local = explainer.explain(X[::10])
    >>> local.weights.shape
    (15, 4)
    >>> local.importance(by="target").values.shape
    (3, 4)
    """

    def __init__(
        self,
        predict: Predict,
        neighborhood: Gaussian,
        *,
        n_features: int | None = 10,
        n_samples: int = 5000,
        targets: str | int | ArrayLike = "predicted",
        ridge: float = 0.0,
        tol: float = 1e-4,
        rng: object = None,
        shared_samples: int = 1,
        n_jobs: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        if not callable(predict):
            raise TypeError(f"predict must be callable, such as model.predict_proba, got {type(predict).__name__}")
        if not isinstance(neighborhood, Gaussian):
            raise TypeError(f"neighborhood must be a Gaussian, got {type(neighborhood).__name__}")
        self.predict = predict
        self.neighborhood = neighborhood
        self.n_features = None if n_features is None else as_count(n_features, "n_features")
        self.n_samples = as_count(n_samples, "n_samples")
        self.targets = _as_targets(targets)
        self.ridge = as_nonnegative(ridge, "ridge")
        self.tol = as_nonnegative(tol, "tol")
        self.shared_samples = as_count(shared_samples, "shared_samples")
        self.n_jobs = as_jobs(n_jobs)
        self.batch_size = None if batch_size is None else as_count(batch_size, "batch_size")
        self.seed = as_seed(rng)

    def explain(
        self, X: ArrayLike, *, index: ArrayLike | None = None, progress: bool | Report = False
    ) -> LocalExplanations:
        """Explain every row of X for the explainer's targets.

        Parameters
        ----------
        X : array_like or pandas.DataFrame of shape (n_instances, d)
            The instances. float32 stays float32; ints and bools reach the model as floats, since they are perturbed.
        index : array_like of int of shape (n_instances,), optional
            The rows' numbers, each once; by default their positions. They key the samples: a row explained under its
            own number gets the same explanation in any order, subset or process.
        progress : bool or callable, default False
            True draws a bar (needs tqdm); a callable gets (instances done, instances in all).

        Returns
        -------
        LocalExplanations

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type, shape or range, or the model returns what it must not.
        Exception
            Whatever `predict` raises, with a note that names the instances it was working on. An error half-way
            carries the explanations finished before it as its attribute ``finished``.

        Warns
        -----
        UserWarning
            If X has fewer columns than `n_features`, or explanations are empty or approximate (see their `status`).

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0], nlf.Gaussian([1.0, 0.5]), n_features=2, rng=0)
        >>> explainer.explain(np.zeros((1, 2))).weights.toarray().round(6)
        array([[ 1., -1.]])
        """
        rows = as_rows(X)
        with pool(self.n_jobs) as start, _reporter(progress, len(rows.values)) as report:
            run = _Run(self, rows, index)
            try:
                run.explain(start, report)
            except BaseException as error:
                if run.finished:
                    error.finished = run.result()  # type: ignore[attr-defined]
                    error.add_note("normlime_fast: the explanations finished before are this exception's .finished")
                raise
        local = run.result()
        warn_of(local.status, stacklevel=2)
        return local


class _Run:
    """One call of `explain`: what it works on, and what is finished so far."""

    def __init__(self, explainer: NormLIME, rows: Rows, index: ArrayLike | None) -> None:
        n_instances, d = rows.values.shape
        self.explainer = explainer
        self.rows = rows
        self.numbers = _as_index(index, n_instances)
        self.perturb = explainer.neighborhood.sampler(explainer.seed, explainer.n_samples, rows.values)
        self.n_features = _features_of(explainer, d)
        bytes_a_row = d * rows.values.itemsize
        given = rows.values.copy()  # a model may work in place
        outputs = predict_rows(explainer.predict, rows, given, self.numbers, _rows_a_batch(explainer, bytes_a_row))
        self.n_outputs = outputs.shape[1]
        self.target_names = _target_names(explainer.predict, self.n_outputs)
        self.batch_size = _rows_a_batch(explainer, max(bytes_a_row, 8 * self.n_outputs))
        self.targets = _targets_of(explainer.targets, outputs)
        self.prediction = np.take_along_axis(outputs, self.targets, axis=1)
        self.weights, self.ridge = np.ones(explainer.n_samples), explainer.ridge / explainer.n_samples
        self.fits = Fits.room_for(self.targets.size, self.n_features)
        self.finished = 0  # instances

    def explain(self, start: Start, report: Report) -> None:
        """Draw the neighborhoods of a block of instances, ask the model, fit the surrogates, block after block.

        With threads there are two buffers: while the model works on one, they fit what it said of the other and draw
        what it will be asked next.
        """
        n_instances, n_jobs, n = len(self.numbers), self.explainer.n_jobs, self.explainer.n_samples
        size = max(1, self.batch_size // n // n_jobs) * n_jobs  # instances a block: the same number for every thread
        count = -(-n_instances // size)
        buffers = [_Buffer(self, min(size, n_instances)) for _ in range(min(count, 2 if n_jobs > 1 else 1))]
        ahead = len(buffers)
        waits = [buffer.turn_over(start, None, self._block(k, size)) for k, buffer in enumerate(buffers)]
        asked = 0
        try:
            for k in range(count + ahead):
                waits[k % ahead]()
                self._finish((k + 1 - ahead) * size, report)
                if k < count:
                    buffer = buffers[k % ahead]
                    Y = self._ask(buffer)
                    waits[k % ahead] = buffer.turn_over(start, Y, self._block(k + ahead, size))
                    asked = k + 1
        except BaseException:
            for wait in waits:  # what was asked is fitted, but nobody is told
                wait()
            self._finish(asked * size, lambda done, total: None)
            raise

    def _finish(self, done: int, report: Report) -> None:
        if min(done, len(self.numbers)) > self.finished:
            self.finished = min(done, len(self.numbers))
            report(self.finished, len(self.numbers))

    def _block(self, k: int, size: int) -> "_Block":
        """Return the k-th block of `size` instances; past the last one, it has none."""
        rows = slice(k * size, (k + 1) * size)
        sets = self.numbers[rows].astype(np.uint64) // np.uint64(min(self.explainer.shared_samples, 2**64 - 1))
        starts = np.append(np.flatnonzero(np.append(True, sets[1:] != sets[:-1])[: len(sets)]), len(sets))
        return _Block(rows, sets[starts[:-1]], starts)

    def _ask(self, buffer: "_Buffer") -> Array:
        """Call the model; its outputs for the targets, (instances * t, n)."""
        rows = buffer.block.rows
        inputs = buffer.inputs[: len(self.numbers[rows])]
        m, n, d = inputs.shape
        predict, samples = self.explainer.predict, inputs.reshape(m * n, d)
        outputs = predict_rows(predict, self.rows, samples, self.numbers[rows], self.batch_size, self.n_outputs)
        return outputs.reshape(m, n, -1)[np.arange(m)[:, None], :, self.targets[rows]].reshape(-1, n)

    def result(self) -> LocalExplanations:
        """What is finished, as explanations."""
        from scipy.sparse import csr_array  # not at import time, see importance.py

        done, t = self.finished, self.targets.shape[1]
        fits = self.fits[slice(done * t)]
        used, summaries = fits.used(), fits.summaries
        indptr = np.concatenate([[0], np.cumsum(summaries["count"])])
        shape = (done * t, self.rows.values.shape[1])
        return LocalExplanations(
            weights=csr_array((fits.coefficients[used], fits.features[used], indptr), shape=shape),
            intercept=summaries["intercept"].copy(),
            r2=summaries["r2"].copy(),
            prediction=self.prediction[:done].ravel(),
            status=summaries["status"].copy(),
            instance=np.repeat(self.numbers[:done], t),
            target=self.targets[:done].ravel(),
            feature_names=self.rows.feature_names,
            target_names=self.target_names,
        )


class _Block(NamedTuple):
    """Instances that are worked on together."""

    rows: slice
    sets: Array  # (m,) uint64: the numbers of their sets of samples
    starts: Array  # (m + 1,): at which of these instances each set begins, and where the last one ends


class _Buffer:
    """Room for the neighborhoods of a block: drawn, shown to the model, fitted, and turned over to another block."""

    def __init__(self, run: _Run, size: int) -> None:
        n, X = run.explainer.n_samples, run.rows.values
        self.run = run
        self.Z = np.empty((size, n, X.shape[1]), np.float32)
        self.inputs = np.empty((size, n, X.shape[1]), X.dtype)
        self.block = _Block(slice(0, 0), np.empty(0, np.uint64), np.zeros(1, np.int64))

    def turn_over(self, start: Start, Y: Array | None, following: _Block) -> Wait:
        """Start to fit the outputs Y, and to draw the samples of the following block in place of what was fitted."""
        run, asked = self.run, self.block
        self.block = following
        t = run.targets.shape[1]
        X = np.array(run.rows.values[following.rows])  # writable, as not all rows are: one compiled kernel fewer

        def task(piece: slice) -> None:
            if Y is not None and piece.start < len(asked.sets):
                starts = asked.starts[piece.start : piece.stop + 1] * t
                fits = run.fits[slice(asked.rows.start * t + starts[0], asked.rows.start * t + starts[-1])]
                Z, outputs = self.Z[piece][: len(starts) - 1], Y[starts[0] : starts[-1]]
                fit_samples(Z, outputs, starts - starts[0], run.weights, run.ridge, run.explainer.tol, fits)
            if piece.start < len(following.sets):
                starts = following.starts[piece.start : piece.stop + 1]
                Z, rows = self.Z[piece][: len(starts) - 1], slice(starts[0], starts[-1])
                run.perturb(following.sets[piece], starts - starts[0], X[rows], Z, self.inputs[rows])

        count = max(len(asked.sets) if Y is not None else 0, len(following.sets))
        return start(task, count, max(1, PIECE // (run.explainer.n_samples * (X.shape[1] + t))))


def _rows_a_batch(explainer: NormLIME, bytes_a_row: int) -> int:
    return explainer.batch_size or max(1, BATCH_BYTES // bytes_a_row)


def _as_index(index: ArrayLike | None, n_instances: int) -> Array:
    if index is None:
        return np.arange(n_instances)
    numbers = as_array(index, "index")
    if numbers.shape != (n_instances,) or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"index must have one integer per row of X, shape ({n_instances},),"
            f" got shape {numbers.shape} and dtype {numbers.dtype}"
        )
    if numbers.min() < 0:
        raise ValueError(f"index must hold numbers of at least 0, got {numbers.min()}")
    unique, counts = np.unique(numbers, return_counts=True)
    if len(unique) < n_instances:
        raise ValueError(f"index must hold every number once, got {unique[counts.argmax()]} {counts.max()} times")
    return numbers


def _features_of(explainer: NormLIME, d: int) -> int:
    """K for data of d columns: d, which the fit takes as all, where all are asked for."""
    asked = d if explainer.n_features is None else explainer.n_features
    if asked > d:
        warnings.warn(f"n_features is {asked}, more than the {d} columns of X: all may be used", stacklevel=4)
    if explainer.n_samples < min(asked, d) + 2:
        raise ValueError(f"n_samples must be at least n_features + 2 = {min(asked, d) + 2}, got {explainer.n_samples}")
    return min(asked, d)


def _as_targets(targets: str | int | ArrayLike) -> str | Array:
    if isinstance(targets, str):
        if targets not in ("predicted", "all"):
            raise ValueError(f'targets must be "predicted", "all", an integer or a list of them, got {targets!r}')
        return targets
    numbers = np.atleast_1d(as_array(targets, "targets"))
    if numbers.ndim != 1 or numbers.size == 0 or numbers.dtype.kind not in "iu":
        raise TypeError(f'targets must be "predicted", "all", an integer or a list of them, got {targets!r}')
    if numbers.min() < 0 or len(np.unique(numbers)) < len(numbers):
        raise ValueError(f"targets must be numbers of at least 0, each once, got {targets!r}")
    return numbers


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


@contextmanager
def _reporter(progress: bool | Report, total: int) -> Iterator[Report]:
    """Yield what to call with (done, total)."""
    if callable(progress):
        yield progress
    elif progress is False:
        yield lambda done, total: None
    elif progress is not True:
        raise TypeError(f"progress must be True, False or a callable, got {progress!r}")
    else:
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            message = 'progress=True needs tqdm; install it with: pip install "normlime-fast[progress]"'
            raise ImportError(message) from error
        with tqdm(total=total, unit="instance") as bar:
            yield lambda done, total: bar.update(done - bar.n)
