"""NormLIME: checks its arguments and calls the engine."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import (
    Array,
    as_count,
    as_executor,
    as_flag,
    as_index,
    as_jobs,
    as_min_count,
    as_nonnegative,
    as_on_error,
    as_seed,
    as_targets,
    check_count,
    error_text,
    short_repr,
)
from normlime_fast._engine.checkpoint import Checkpoint
from normlime_fast._engine.dispatch import Options
from normlime_fast._engine.fingerprint import fingerprint
from normlime_fast._engine.probe import Probe, probe
from normlime_fast._engine.progress import reporter
from normlime_fast._engine.settings import Settings, check_feature_names
from normlime_fast._engine.stream import sum_stream
from normlime_fast._engine.table import explain_table
from normlime_fast._errors import keep_result_if_warning_raises, none_finished
from normlime_fast._inputs.categories import MISSING
from normlime_fast._inputs.labels import row_labels
from normlime_fast._inputs.sources import (
    Partitions,
    Table,
    as_grouping,
    as_weighting,
    blocks_of_batches,
    blocks_of_partitions,
    is_dask,
)
from normlime_fast._inputs.usable import usable_rows
from normlime_fast._model import Model
from normlime_fast._neighborhoods import Neighborhood, Perturbs, as_neighborhood
from normlime_fast._outputs import (
    Link,
    as_distinct_names,
    as_link,
    check_predict,
    names_of_targets,
    warn_of_units,
)
from normlime_fast._results.display import counted
from normlime_fast._results.explanations import NO_CONTRIBUTIONS, LocalExplanations
from normlime_fast._results.groups import by_instance
from normlime_fast._results.importance import Importance
from normlime_fast._results.statistics import ImportanceStatistics, as_formula, as_of
from normlime_fast._status import Status
from normlime_fast._surrogates import as_selection, warn_of_counts
from normlime_fast._types import Kind, Of, Predict, Progress, Sign

BLOCK_SAMPLES = 1_000_000  # approximate number of model rows per block
MIN_BLOCKS, MAX_BLOCKS = 100, 10_000  # per table; with fewer, the first would take long to finish

FIRST = 2**62  # limit of `first`, since row numbers of a stream are int64


class NormLIME:
    """Explain a black-box model by many local LIME surrogates and aggregate them (Ahern et al., AAAI 2020).

    Parameters
    ----------
    predict : callable
        The model: takes m rows of the same kind as X (an ndarray, a DataFrame with the same columns, a csr matrix, a
        list of str) and returns (m,) or (m, n_outputs) finite numbers, such as ``model.predict_proba`` or a
        regressor's ``predict``; not class labels, as a classifier's ``predict``. Without an executor, it is called only
        from the caller's thread. The rows are a buffer that later calls overwrite, and an array becomes read-only after
        the call: copy rows to keep them.
    neighborhood : training data, Gaussian, Pool, Binned, Mask, another `Neighborhood`, or an object like `Perturbs`
        Source of the perturbed samples; also defines the features of explanations. Training data stand for the usual
        neighborhood of their kind: ``Binned.from_data(X_train)`` for a table of pandas, polars or pyarrow or an array
        (n, d), `Mask` for images, sparse rows and texts. `explainer.neighborhood` shows which, and what each column is
        taken for.
    n_features : int or None, default 10
        Largest number of features in an explanation (K of K-LASSO); None means all. Tables may have fewer.
    n_samples : int, default 5000
        Number of perturbed samples, which are rows for the model, per instance; with a `Pool` or `Binned`, for each of
        the sets that instances share, 8 by default.
    selection : {"lasso_path", "highest_weights"}, default "lasso_path"
        How the features of an explanation are selected: by K-LASSO, or by the largest weights of a ridge regression on
        all features, which is lime's default for more than 6 features; see `fit_surrogates`.
    standardize : bool, default True
        Select features as if all had the same standard deviation in the samples, so that neither their units nor the
        frequency of a category matter; see `fit_surrogates`. False is lime's way: features that vary more come first.
        The weights are those of the features as they are either way.
    targets : {"predicted", "all"}, int, str, or list of int or str, default "predicted"
        Outputs to explain: for every instance the largest one, all, or those with these numbers or names, such as
        ``"malignant"``. A model with one output has target 0. "predicted" is for outputs that can be compared, such as
        probabilities; for several outputs of a regressor, or several quantiles, use "all".
    link : {"identity", "logit", "log"} or callable, default "identity"
        What is explained: this function of the outputs. "logit" is for probabilities, "log" for those and for other
        outputs of at least 0. Probabilities of 0 and 1 are clipped where their dtype ends: for "logit" to 2^-53 and
        1 - 2^-53 (2^-24 and 1 - 2^-24 for float32), logits of -36.7 and 36.7 (-16.6 and 16.6); for "log" all outputs
        below 2^-53 (2^-24) become that. A callable takes outputs (m, n_outputs) and returns finite numbers of the same
        shape; it is pickled for executors. `prediction`, `intercept` and the weights of the explanations are on
        the scale of the link; the target "predicted" is the largest output before it.
    target_names, feature_names : list of str, optional
        Names of all outputs of the model, and of all features, for those that have none. Names of classes are found if
        `predict` is a method of a classifier like scikit-learn's, a pipeline or a search, or a `functools.partial` of
        one, and names of features if X is a DataFrame. `target_names` replace those of the classes, in their order.
    ridge : float, default 0.0
        L2 penalty of the refit, on the scale of scikit-learn's ``Ridge`` (lime uses 1).
    tol : float, default 1e-4
        Tolerance at which coordinate descent first stops; see `fit_surrogates`.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator, optional
        Source of the seed, which is drawn once, when the explainer is made (SPEC 7). A row's samples depend only on the
        seed and the row's number: not on the order of rows, `batch_size`, `n_jobs`, process or machine. Sobol samples
        also depend on the version of scipy.
    shared_samples : int, default 1
        Number of consecutive rows that share one set of random samples: with 50, rows 0 to 49 share one set, rows 50 to
        99 the next. That makes their explanations comparable sample by sample and several times cheaper, most of all
        if a batch of `batch_size` rows holds a whole set. But their errors are then no longer independent: they do not
        average out over the rows of a set, and the standard error of an importance is that of sets. `Pool` and `Binned`
        ignore it: they have sets of their own.
    n_jobs : int or None, default None
        Threads for the library's own work: None means 1, the caller's own; -1 means all cores. With more than one, they
        also work while the model is called.
    batch_size : int or None, default None
        Largest number of rows per call of `predict`; by default as many as keep a batch near 8 MiB, so that it fits
        into the cache.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range; `predict` is a model, or its method that returns class labels; or a
        target has a name that is not among those of the outputs, or there are none.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> import normlime_fast as nlf
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000).fit(X, y)
    >>> explainer = nlf.NormLIME(model.predict_proba, X, n_features=2, rng=0)
    >>> local = explainer.explain(X[::10])
    >>> local.weights.shape
    (15, 4)
    >>> local.importance(by="target").values.shape
    (3, 4)
    >>> names = ["setosa", "versicolor", "virginica"]
    >>> explainer = nlf.NormLIME(model.predict_proba, nlf.Gaussian.from_data(X), n_features=2, rng=0,
    ...                          targets="virginica", target_names=names, link="logit")
    >>> explainer.explain(X[::10]).importance(by="target").groups
    array(['virginica'], dtype='<U10')
    """

    def __init__(
        self,
        predict: Predict,
        neighborhood: Neighborhood | Perturbs | ArrayLike,
        *,
        n_features: int | None = 10,
        n_samples: int = 5000,
        selection: Literal["lasso_path", "highest_weights"] = "lasso_path",
        standardize: bool = True,
        targets: str | int | ArrayLike = "predicted",
        link: Link = "identity",
        target_names: Iterable[str] | None = None,
        feature_names: Iterable[str] | None = None,
        ridge: float = 0.0,
        tol: float = 1e-4,
        rng: object = None,
        shared_samples: int = 1,
        n_jobs: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        check_predict(predict)
        self.predict = predict
        self.neighborhood = as_neighborhood(neighborhood)
        self.n_features = None if n_features is None else as_count(n_features, "n_features")
        self.n_samples = as_count(n_samples, "n_samples")
        self.selection = as_selection(selection)
        self.standardize = as_flag(standardize, "standardize")
        self.targets = targets
        self.link = as_link(link)
        self.target_names = as_distinct_names(target_names, "target_names")
        self.feature_names = as_distinct_names(feature_names, "feature_names")
        self.ridge = as_nonnegative(ridge, "ridge")
        self.tol = as_nonnegative(tol, "tol")
        self.shared_samples = as_count(shared_samples, "shared_samples")
        self.n_jobs = as_jobs(n_jobs)
        self.batch_size = None if batch_size is None else as_count(batch_size, "batch_size")
        self.seed = as_seed(rng)
        self._any_seed = rng is None
        self._settings()  # refuses targets

    def __repr__(self) -> str:
        given = ("n_features", "n_samples", "selection", "standardize", "targets", "link", "ridge", "shared_samples")
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in (*given, "n_jobs", "batch_size"))
        return f"<NormLIME: {short_repr(self.predict)}, {short_repr(self.neighborhood)}, {settings}>"

    def _settings(self) -> Settings:
        check_predict(self.predict)  # once more: the model may have been fitted since
        return Settings(
            model=Model(self.predict, self.batch_size, self.link),
            neighborhood=self.neighborhood,
            n_features=self.n_features,
            n_samples=self.n_samples,
            selection=self.selection,
            standardize=self.standardize,
            targets=as_targets(self.targets, names_of_targets(self.target_names, self.predict)),
            ridge=self.ridge,
            tol=self.tol,
            shared_samples=self.shared_samples,
            n_jobs=self.n_jobs,
            seed=self.seed,
            target_names=self.target_names,
            feature_names=self.feature_names,
        )

    def explain(
        self,
        X: ArrayLike,
        *,
        index: ArrayLike | None = None,
        progress: bool | Progress = False,
        executor: Executor | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        block_size: int | None = None,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> LocalExplanations:
        """Explain every row of X for the explainer's targets.

        Parameters
        ----------
        X : array_like, pandas.DataFrame, Dask array or dataframe of shape (n_instances, d)
            The instances, in any form that the neighborhood accepts: for a `Mask` also images, sparse rows and texts.
            float32 stays float32. Tables reach the model in their own dtypes if the neighborhood was made from data;
            otherwise ints and bools become floats, since they are perturbed.
            With the executor of a Dask client, the partitions of a Dask collection stay on its workers; without one,
            they are computed in this process, one at a time.
        index : array_like of int of shape (n_instances,), optional
            Distinct numbers of the rows; by default their positions. They key the samples: a row explained under its
            own number gets the same explanation in any order, subset or process.
        progress : bool or callable, default False
            True draws a bar (needs tqdm); a callable receives the number of finished instances and the total.
        executor : concurrent.futures.Executor, optional
            Runs the work: a pool of processes or threads, loky's, or ``client.get_executor()`` of Dask. It receives
            blocks of instances and returns explanations. The model is pickled for other processes (by cloudpickle, if
            that is installed); threads call it concurrently.
        checkpoint : str or path, optional
            A folder for finished blocks of instances, used by one run at a time. After any kind of interruption, the
            same call continues from it; with other settings, data or predictions it is refused. With ``rng=None``, the
            call takes the seed of the checkpoint.
        block_size : int, optional
            Instances per block, for an executor or a checkpoint; by default about a million model rows, but between a
            ten-thousandth and a hundredth of X. A checkpoint keeps its own; the blocks of a Dask collection are its
            partitions.
        on_error : {"raise", "skip"}, default "raise"
            What happens if the model raises, or returns invalid outputs, for a batch of rows. "skip" calls it again for
            each instance of the batch separately; if that fails, too, the instance gets an empty explanation with
            status 6. Rows that cannot be explained, such as one with an infinite value, get one with status 9; but if
            none of the first 100 can be explained, the error is raised. One warning counts both. A checkpoint stores
            these explanations, except in blocks without any other.

        Returns
        -------
        LocalExplanations

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type, shape or range, or the model returns invalid outputs.
        CheckpointMismatchError
            If the checkpoint belongs to another run, is in use or damaged.
        IncompleteRunError
            If the executor fails, or the checkpoint cannot be written.
        Exception
            Any exception of `predict`, with a note that names the instances it was called for. An error half-way has
            the explanations finished before it as its attribute ``finished``.

        Warns
        -----
        UserWarning
            If explanations are empty or approximate (see their `status`), or rows have categories that the
            neighborhood's data does not have.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0], nlf.Gaussian([1.0, 0.5]), n_features=2, rng=0)
        >>> explainer.explain(np.zeros((1, 2))).weights.toarray().round(6)
        array([[ 1., -1.]])
        """
        executor = as_executor(executor)
        skip = as_on_error(on_error)
        settings = self._settings()
        checked = self.neighborhood._checked_rows
        if is_dask(X):
            table: Table | Partitions = Partitions(X, executor)
        else:
            table = Table(usable_rows(checked, X) if skip else checked(X))
        instance_ids = as_index(index, len(table))
        if isinstance(table, Table):
            d = settings.features(table.whole).n_features
        else:
            d = table.n_columns
            check_feature_names(self.feature_names, d)
        if self.n_features is not None:
            check_count(self.n_samples, min(self.n_features, d), "n_samples")
        size = _block_size(self, len(table), block_size, executor is None and checkpoint is None)
        opened: AbstractContextManager[Checkpoint | None] = nullcontext()
        if checkpoint is not None:
            free = ("block_size", "rng") if self._any_seed else ("block_size",)
            opened = Checkpoint.opened(checkpoint, fingerprint(settings, table.identity(), instance_ids, size), free)
        with reporter(progress, len(table)) as report, opened as store:
            options = Options(executor, skip, lambda done: report(done, len(table)))
            if store is not None:
                size = store.settings["block_size"]
                settings = replace(settings, seed=np.uint64(store.settings["rng"]))
            local, error, fault, n_outputs, unseen = explain_table(settings, table, instance_ids, size, store, options)
            if (labels := row_labels(X)) is not None:
                local = replace(local, index=labels[by_instance(local.instance)[1]])
        with keep_result_if_warning_raises(local):
            _warn(np.bincount(local.status), error, fault, unseen)
            warn_of_units(self.predict, settings.targets, n_outputs, stacklevel=2)
        return local

    def statistics(
        self,
        batches: Any,
        *,
        by: str | ArrayLike | Callable[[Any], ArrayLike] | None = None,
        first: int = 0,
        progress: bool | Progress = False,
        executor: Executor | None = None,
        block_size: int | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        of: Of = "weights",
        weights: ArrayLike | Callable[[Any], ArrayLike] | None = None,
        debias: bool = False,
    ) -> ImportanceStatistics:
        """Explain a stream of rows and keep only the sums behind importances, in memory that does not grow with it.

        Parameters
        ----------
        batches : iterable of batches of m rows, each a valid X of `explain`; or one such X
            Blocks of rows, such as a generator, or ``iter_batches()`` of a Parquet file; or a table: an array, which
            may be mapped from a file, a DataFrame, a Dask collection.
        by : None, "target", callable, or array_like of shape (n_instances,)
            Groups of the sums: one over all explanations; one per explained target; or one per label. A callable
            returns the labels of a batch's rows, as in ``by=lambda batch: batch["region"]``. Labels are numbers,
            strings, bools or NumPy's dates; a row without one (None, NaN) is an error, or skipped with status 9.
        first : int, default 0
            The number of the first row. Rows are numbered from there, and their numbers key their samples.
        progress, executor, on_error
            See `explain`. If the total is unknown, a progress callable receives None as the total.
            After the first row that can be explained, any number of rows may be skipped; a batch with other columns is
            still an error.
        block_size : int, optional
            Instances that are summed before they are added to the total; by default about a million model rows. Sums
            depend on it, by rounding, but not on the division of a stream into batches. The blocks of a Dask
            collection are its partitions.
        of : {"weights", "contributions"}, default "weights"
            What is summed; see `LocalExplanations.importance`.
        weights : array_like of shape (n_instances,), or callable, optional
            How much each row counts, such as its survey weight or exposure; see `aggregate`. A callable returns the
            weights of a batch's rows, as in ``weights=lambda batch: batch["exposure"]``.
        debias : bool, default False
            Subtracts the noise of the weights; see `LocalExplanations.importance`.

        Returns
        -------
        ImportanceStatistics

        Raises
        ------
        TypeError, ValueError, IncompleteRunError, Exception
            As in `explain`. Every exception has two attributes: ``finished``, the statistics of the rows before it, or
            None; and ``rows_finished``, the number of these rows.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0], nlf.Gaussian(1.0), n_features=2, rng=0)
        >>> statistics = explainer.statistics(np.zeros((5, 2)) for _ in range(20))
        >>> statistics.explanations
        array([100])
        >>> statistics.importance("mean").values.round(6)
        array([ 1., -2.])
        """
        with ExitStack() as stack:
            with none_finished():
                settings = self._settings()
                executor, first = as_executor(executor), as_count(first, "first", minimum=0)
                if first >= FIRST:
                    raise ValueError(f"first must be below 2**62, got {short_repr(first)}")
                size = (
                    max(1, BLOCK_SAMPLES // self.n_samples)
                    if block_size is None
                    else as_count(block_size, "block_size")
                )
                skip = as_on_error(on_error)
                debias = as_flag(debias, "debias")
                if as_of(of) == "contributions" and self.neighborhood._centred:
                    raise ValueError(NO_CONTRIBUTIONS)
                table = Partitions(batches, executor) if is_dask(batches) else None
                shape: tuple[Any, ...] = getattr(batches, "shape", ())
                total = len(table) if table is not None else int(shape[0]) if len(shape) >= 2 else None
                by, weights = as_grouping(by, total, skip), as_weighting(weights, total)
                if table is not None:
                    blocks = blocks_of_partitions(table, by, first, weights)
                else:
                    checked = self.neighborhood._checked_rows
                    as_rows = partial(usable_rows, checked) if skip else checked
                    blocks = blocks_of_batches(batches, by, first, size, as_rows, skip, weights)
                report = stack.enter_context(reporter(progress, total))
            options = Options(executor, skip, lambda done: report(done, total))
            numbers = None if total is None else range(first, first + total)
            statistics, summed = sum_stream(settings, blocks, isinstance(by, str), of, debias, options, numbers)
        with keep_result_if_warning_raises(statistics, summed.n_instances):
            _warn(summed.statuses, summed.error, summed.fault, summed.unseen)
            warn_of_units(self.predict, settings.targets, summed.n_outputs, stacklevel=2)
        return statistics

    def importance(
        self,
        batches: Any,
        *,
        kind: Kind = "normlime",
        by: str | ArrayLike | Callable[[Any], ArrayLike] | None = None,
        sign: Sign = "absolute",
        min_count: int | None = None,
        shrink: bool = False,
        debias: bool = False,
        **options: Any,
    ) -> Importance:
        """Explain a stream of rows and aggregate it on the way, in memory that does not grow with it.

        Parameters
        ----------
        batches, by
            See `statistics`, also for all other options.
        kind, sign, min_count, shrink
            See `ImportanceStatistics.importance`.
        debias : bool, default False
            Subtracts the noise of the weights; see `LocalExplanations.importance`.

        Returns
        -------
        Importance

        Raises
        ------
        TypeError, ValueError, IncompleteRunError, Exception
            As in `statistics`.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0], nlf.Gaussian(1.0), n_features=2, rng=0)
        >>> explainer.importance(np.zeros((5, 2)) for _ in range(20)).values.round(3)
        array([0.333, 1.333])
        """
        with none_finished():  # refuse bad arguments before the model is called
            as_min_count(min_count)
            as_formula(kind, sign, shrink, debias)
        statistics = self.statistics(batches, by=by, debias=debias, **options)
        return statistics.importance(kind, sign, min_count, shrink)

    def probe(self, X: ArrayLike) -> Probe:
        """Call the model twice on the same perturbed rows, and once more in other batches.

        The same samples give the same explanations, to the bit, if the model is deterministic. A model that draws
        random numbers, such as a network with dropout left on, is not; one that multiplies matrices may add in another
        order in batches of another size, which changes the last digits.

        Parameters
        ----------
        X : array_like or pandas.DataFrame of shape (m, d)
            Some instances; each gets at most 100 samples.

        Returns
        -------
        Probe
            The largest differences between outputs, ``repeated`` and ``regrouped``, and the ``largest`` |output|.

        Raises
        ------
        TypeError, ValueError, Exception
            As in `explain`.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> noise = np.random.default_rng(0)
        >>> explainer = nlf.NormLIME(lambda X: X[:, 0] + noise.normal(size=len(X)), nlf.Gaussian(1.0), rng=0)
        >>> explainer.probe(np.zeros((3, 2))).repeated > 0.1
        True
        """
        rows = self.neighborhood._checked_rows(X)
        return probe(self._settings(), rows, np.arange(rows.count))


def _warn(statuses: Array, error: Exception | None, fault: str | None, unseen: Counter[tuple[str, str]]) -> None:
    """Warn the caller of a public method of explanations that are empty or approximate, and of unseen categories."""
    warn_of_counts(statuses, stacklevel=3)
    causes = {Status.MODEL_FAILED: None if error is None else error_text(error), Status.INVALID_ROW: fault}
    warn_of_counts(statuses, stacklevel=3, causes=causes)
    if unseen:
        first = [
            f"{category} in column {column} ({counted(n, 'row')})" for (column, category), n in unseen.most_common(3)
        ]
        more = f" and {len(unseen) - 3} more" if len(unseen) > 3 else ""
        what = "categories or missing values" if any(value == MISSING for _, value in unseen) else "categories"
        text = f"some rows have {what} that the neighborhood's data does not have: {', '.join(first)}{more}"
        warnings.warn(text, stacklevel=3)


def _block_size(explainer: NormLIME, n_instances: int, requested: int | None, whole: bool) -> int:
    if requested is not None:
        return as_count(requested, "block_size")
    if whole:
        return n_instances
    largest, smallest = (-(-n_instances // count) for count in (MIN_BLOCKS, MAX_BLOCKS))
    return max(smallest, min(largest, BLOCK_SAMPLES // explainer.n_samples), 1)
