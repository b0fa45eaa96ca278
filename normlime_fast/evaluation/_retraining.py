"""Keep and retrain: scores of models trained without the least important features."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import (
    Array,
    as_array,
    as_executor,
    as_numbers,
    as_probability,
    as_seed,
    ignoring_float_errors,
    short_repr,
)
from normlime_fast._engine import executors
from normlime_fast._engine.progress import reporter
from normlime_fast._errors import attach_partial_result
from normlime_fast._results.display import counted
from normlime_fast._types import Progress
from normlime_fast.evaluation._common import deviation, half_width, importances, order_with_ties, to_dataframe

if TYPE_CHECKING:
    import pandas

TrainAndScore = Callable[[Array, int], float]


class RetrainingRow(NamedTuple):
    """One row of `Retrained.summary`."""

    level: float
    n_kept: int
    gain: float
    low: float
    high: float
    over_replicates: float
    over_seeds: float
    tied: float


@dataclass(frozen=True, eq=False, repr=False)
class Retrained:
    """Result of `keep_and_retrain`.

    Attributes
    ----------
    levels : ndarray of shape (n_levels,)
        Fractions of the features removed.
    n_kept : ndarray of int, same shape
        Numbers of features kept.
    seeds : tuple of int
        Seeds of the trainings.
    scores : ndarray of shape (n_levels, n_replicates, n_seeds)
        Values returned by `train_and_score`; NaN for calls that an error prevented.
    baseline : ndarray of shape (n_seeds,)
        Scores with all features.
    tied : ndarray of int of shape (n_levels, n_replicates)
        Number of features that are as important as the last one kept, if one of them was removed: the choice among them
        was random. 0 if there is no tie at the cut.
    ranking : ndarray of int of shape (n_replicates, d)
        Features of each replicate by descending importance. The first `n_kept` were kept.
    """

    levels: Array
    n_kept: Array
    seeds: tuple[int, ...]
    scores: Array
    baseline: Array
    tied: Array
    ranking: Array

    @property
    def gains(self) -> Array:
        """Scores minus the baseline of the same seed; if the score is an error, values above 0 are worse."""
        return self.scores - self.baseline

    @ignoring_float_errors
    def summary(self, confidence: float = 0.9) -> list[RetrainingRow]:
        """Return the mean gain of each level, its interval, and the spreads over replicates and over seeds.

        Parameters
        ----------
        confidence : float, default 0.9
            Probability with which the interval covers the mean over all possible replicates and seeds.

        Returns
        -------
        list of (level, n_kept, gain, low, high, over_replicates, over_seeds, tied) tuples
            `over_replicates` is the standard deviation, over replicates, of the means over seeds; `over_seeds` is that,
            over seeds, of the means over replicates. They are NaN for a single replicate or seed. The variance of the
            mean gain is over_replicates**2 / n_replicates + over_seeds**2 / n_seeds, and the interval is Student's.
            With several replicates and one seed it holds for that seed only; with one replicate, for that ranking
            only. `low` and `high` are NaN if all gains are equal: a spread of 0 carries no information about other
            replicates and seeds. `tied` is the mean over replicates. The gains and spreads of an unfinished level are
            NaN.

        Raises
        ------
        TypeError, ValueError
            If `confidence` is not a number between 0 and 1.
        """
        confidence = as_probability(confidence, "confidence")
        gains = self.gains
        of_replicates, of_seeds = gains.mean(axis=2), gains.mean(axis=1)
        largest = np.maximum(np.abs(self.scores).max(axis=(1, 2)), np.abs(self.baseline).max())
        rounding = 8 * np.finfo(np.float64).eps * largest  # of differences of scores, and of their means
        deviations = deviation(of_replicates, 1), deviation(of_seeds, 1)
        spreads = [np.where(spread <= rounding, 0.0, spread) for spread in deviations]
        sizes = gains.shape[1:]
        parts = [(spread**2 / n, n) for spread, n in zip(spreads, sizes, strict=True)]
        mean, half = gains.mean(axis=(1, 2)), half_width(parts, confidence)
        half = np.where(self.n_kept == self.ranking.shape[1], 0.0, half)  # nothing was removed: the gain is exactly 0
        columns = (self.levels, self.n_kept, mean, mean - half, mean + half, *spreads, self.tied.mean(axis=1))
        return [RetrainingRow(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame with one row per level, replicate and seed.

        Returns
        -------
        pandas.DataFrame
            With the columns ``level``, ``n_kept``, ``replicate``, ``seed``, ``score``, ``gain`` and ``tied``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        level, replicate, seed = (place.ravel() for place in np.indices(self.scores.shape))
        columns = {
            "level": self.levels[level],
            "n_kept": self.n_kept[level],
            "replicate": replicate,
            "seed": np.array(self.seeds)[seed],
            "score": self.scores.ravel(),
            "gain": self.gains.ravel(),
            "tied": self.tied[level, replicate],
        }
        frame: pandas.DataFrame = to_dataframe(columns)
        return frame

    @ignoring_float_errors
    def __repr__(self) -> str:
        shape = self.scores.shape
        parts = [counted(n, noun) for n, noun in zip(shape, ("level", "replicate", "seed"), strict=True)]
        parts.append(counted(self.ranking.shape[1], "feature"))
        missing = np.isnan(self.scores).sum() + np.isnan(self.baseline).sum()
        if missing:
            return f"<Retrained: {', '.join(parts)}; {counted(int(missing), 'score')} missing>"
        last = self.summary()[-1]
        gain = f"mean gain {last.gain:.3g} [{last.low:.3g}, {last.high:.3g}] at level {last.level:g}"
        return f"<Retrained: {', '.join(parts)}; baseline {self.baseline.mean():.4g}, {gain}>"


def keep_and_retrain(
    importance: Any,
    train_and_score: TrainAndScore,
    levels: ArrayLike | None = None,
    *,
    seeds: Sequence[int] = (0,),
    rng: Any = 0,
    finished: Retrained | None = None,
    progress: bool | Progress = False,
    executor: Executor | None = None,
) -> Retrained:
    """Remove the least important features, retrain on the rest, and compare with training on all features.

    Parameters
    ----------
    importance : Importance without groups, array_like of shape (d,) or (n_replicates, d), or a list of these
        Importance of each feature, ranked by |value|. Several are replicates: for example importances of disjoint
        instances, whose spread is that of the ranking. Repeating one importance shows the effect of ties, and only
        equal values, ``np.zeros((5, d))``, give random rankings. The features must be in the order of the columns:
        names, of an Importance or in the index of a Series, must be the same.
    train_and_score : callable(kept, seed) -> float
        Trains a model on the columns `kept`, an array of their numbers in ascending order, with everything else as in
        the other calls, and returns its score on separate data: an error, an accuracy, or any other number. `seed` is
        for the randomness of the training.
    levels : array_like of shape (n_levels,), optional
        Fractions of the features to remove, ascending, from 0 to below 1; the number is rounded. By default 0.1, 0.2,
        ..., 0.9, without levels that would remove all features.
    seeds : sequence of int, default (0,)
        Each set of columns is trained on once with each seed.
    rng : None, int or numpy Generator, default 0
        Source of the random order of features of equal importance, drawn once per replicate. The order is the same at
        all levels, so that the features kept at one level were also kept at all lower ones.
    finished : Retrained, optional
        A result for the same `train_and_score`, such as the `finished` of an error; its scores are not computed again.
    progress : bool or callable, default False
        True shows a bar, which needs tqdm; a callable gets (trainings done, trainings in all).
    executor : concurrent.futures.Executor, optional
        Runs the calls of `train_and_score`; by default they run in this thread, one after the other.

    Returns
    -------
    Retrained
        Equal sets of columns, of different replicates or levels, are trained on once for each seed.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or `train_and_score` does not return a finite number.
    Exception
        Any exception of `train_and_score`. Exceptions during the trainings have an attribute `finished`, a Retrained
        with the scores so far and NaN for those that are missing.

    References
    ----------
    Ahern et al., "NormLIME: A New Feature Importance Metric for Explaining Deep Neural Networks", arXiv 1909.04200,
    Figures 5 and 6; after Hooker et al., "A Benchmark for Interpretability Methods in Deep Neural Networks", NeurIPS
    2019.

    Examples
    --------
    >>> from normlime_fast import evaluation
    >>> lost = [0.3, 0.0, 0.1, 0.2]  # loss of a model without each feature
    >>> def error(kept, seed):
    ...     return 1 - sum(lost[j] for j in kept)
    >>> result = evaluation.keep_and_retrain([3.0, 0.0, 1.0, 2.0], error, [0.25, 0.5, 0.75])
    >>> result.gains[:, 0, 0].round(2)
    array([0. , 0.1, 0.3])
    """
    sizes, groups = importances(importance, "importance")
    if groups is not None:
        raise ValueError(f"importance must have no groups, got {len(groups)}; evaluate them one after the other")
    d = sizes.shape[1]
    removed, n_kept = _as_levels(levels, d)
    seeds = _as_seeds(seeds)
    if not callable(train_and_score):
        raise TypeError(f"train_and_score must be callable, got {short_repr(train_and_score)}")
    executor = as_executor(executor)
    if finished is not None and (not isinstance(finished, Retrained) or finished.ranking.shape[1] != d):
        raise ValueError(f"finished must be a Retrained of {counted(d, 'feature')}, got {short_repr(finished)}")
    generator = np.random.default_rng(as_seed(rng))
    ranking = np.stack([order_with_ties(row, generator) for row in sizes])
    tied = np.array([[_tied(row, n) for row in sizes] for n in n_kept])
    empty = np.full((len(removed), len(sizes), len(seeds)), np.nan)
    result = Retrained(removed, n_kept, seeds, empty, empty[0, 0].copy(), tied, ranking)
    known_scores = {} if finished is None else _scores(finished)
    return _filled(result, known_scores, train_and_score, progress, executor)


def _filled(
    result: Retrained,
    known_scores: dict[tuple[bytes, int], float],
    train_and_score: TrainAndScore,
    progress: bool | Progress,
    executor: Executor | None,
) -> Retrained:
    """Fill in the known scores, and compute the others."""
    places: dict[tuple[bytes, int], list[Array]] = {}
    calls = {}
    for kept, scores in _cells(result):
        for s, seed in enumerate(result.seeds):
            key = kept.tobytes(), seed
            places.setdefault(key, []).append(scores[s : s + 1])
            if key not in known_scores:
                calls[key] = kept, seed
    for key in places.keys() & known_scores.keys():
        for place in places[key]:
            place[:] = known_scores[key]
    keys, done = list(calls), 0
    with reporter(progress, len(keys), "training") as report:

        def take(i: int, score: Any) -> None:
            nonlocal done
            number = _as_score(score)
            for place in places[keys[i]]:
                place[:] = number
            done += 1
            report(done, len(keys))

        try:
            if executor is not None:
                executors.run(executor, train_and_score, calls.values(), take)
            else:
                for i, call in enumerate(calls.values()):
                    take(i, train_and_score(*call))
        except BaseException as error:
            note = f"{done} of {len(keys)} scores are in this exception's .finished; pass it as finished= to continue"
            attach_partial_result(error, result, note)
            raise
    return result


def _cells(result: Retrained) -> list[tuple[Array, Array]]:
    """Return each set of columns, sorted, with a view of its scores, one per seed."""
    cells = [(np.arange(result.ranking.shape[1], dtype=np.int64), result.baseline)]
    for n, scores in zip(result.n_kept, result.scores, strict=True):
        cells += [(np.sort(order[:n]), row) for order, row in zip(result.ranking, scores, strict=True)]
    return cells


def _scores(result: Retrained) -> dict[tuple[bytes, int], float]:
    """Return the scores that are not missing, by columns and seed."""
    return {
        (kept.tobytes(), seed): score
        for kept, scores in _cells(result)
        for seed, score in zip(result.seeds, scores.tolist(), strict=True)
        if score == score
    }


def _tied(sizes: Array, n_kept: int) -> int:
    """Count the features tied with the last one kept; 0 if the first one removed is not."""
    if n_kept == len(sizes):
        return 0
    removed, kept = np.partition(sizes, [-n_kept - 1, -n_kept])[[-n_kept - 1, -n_kept]]
    return int(np.count_nonzero(sizes == kept)) if removed == kept else 0


def _as_levels(levels: Any, d: int) -> tuple[Array, Array]:
    """Return the levels and the numbers of features kept."""
    if levels is None:
        levels = [tenth / 10 for tenth in range(1, 10) if np.rint(tenth / 10 * d) < d]
    array = as_numbers(levels, "levels", ndim=(1,)).astype(np.float64)
    if array[0] < 0 or array[-1] >= 1 or (np.diff(array) <= 0).any():
        raise ValueError(f"levels must ascend from 0 or more to below 1, got {short_repr(array.tolist())}")
    n_kept = d - np.rint(array * d).astype(np.int64)
    if n_kept[-1] == 0:
        raise ValueError(f"levels must leave at least 1 of {d} features, got {array[-1]:g}, which removes all")
    return array, n_kept


def _as_seeds(seeds: Any) -> tuple[int, ...]:
    array = as_array(seeds, "seeds")
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise TypeError(f"seeds must be a sequence of integers, got {short_repr(seeds)}")
    if len(np.unique(array)) < len(array):
        raise ValueError(f"seeds must differ, got {short_repr(seeds)}")
    return tuple(array.tolist())


def _as_score(score: Any) -> float:
    array = as_array(score, "the result of train_and_score")
    if array.ndim or array.dtype.kind not in "fiub":
        raise TypeError(f"train_and_score must return a number, got {short_repr(score)}")
    if not np.isfinite(array):
        raise ValueError(f"train_and_score must return a finite number, got {array}")
    return float(array)
