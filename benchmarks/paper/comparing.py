"""Compares rankings by what networks get wrong without the features that they rank last."""

import hashlib
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import stats

from normlime_fast import evaluation

CONFIDENCE = 0.9
P_SMALLEST = 0.001  # that is written


Wrong = dict[tuple[str, int], set[int]]  # test images that are wrong, by `key` of the features kept and by seed


class Difference(NamedTuple):
    """Of two methods' errors at one level, in points.

    The interval is NaN where all trainings differ by the same.
    """

    mean: float
    low: float
    high: float
    p: float  # of McNemar's tests together

    def __str__(self) -> str:
        interval = "" if np.isnan(self.low) else f" [{signed(self.low)}, {signed(self.high)}]"
        return f"{signed(self.mean)}{interval}, {f'p = {self.p:.2g}' if self.p >= P_SMALLEST else f'p < {P_SMALLEST}'}"


def signed(points: float) -> str:
    return f"{points:+.2f}" if round(points, 2) else "0.00"


def key(kept: np.ndarray) -> str:
    """Name a set of features, given in ascending order."""
    return hashlib.sha256(kept.astype(np.int64).tobytes()).hexdigest()[:16]


def difference(one: evaluation.Retrained, other: evaluation.Retrained, level: float, wrong: Wrong) -> Difference:
    """Compare errors ranking by ranking, or, where the other has but one, with that; seed by seed.

    The interval is that of `Retrained.summary`, over rankings and seeds. Each pair of networks has a p-value of
    McNemar's exact test; twice their median is one of all.
    """
    (k,), (of_other,) = (np.flatnonzero(way.levels == level) for way in (one, other))
    gaps = (one.scores[k] - other.scores[of_other])[None]
    at_level = {"levels": one.levels[[k]], "n_kept": one.n_kept[[k]], "tied": one.tied[[k]]}
    row = replace(one, **at_level, scores=gaps, baseline=np.zeros(len(one.seeds))).summary(CONFIDENCE)[0]
    mine, theirs = (np.broadcast_to(_cells(way, at), gaps[0].shape) for way, at in ((one, k), (other, of_other)))
    tests = [_mcnemar(wrong[a], wrong[b]) for a, b in zip(mine.flat, theirs.flat, strict=True)]
    return Difference(row.gain, row.low, row.high, min(1.0, 2 * float(np.median(tests))))


def _mcnemar(mine: set[int], theirs: set[int]) -> float:
    only = len(mine - theirs), len(theirs - mine)
    return float(stats.binomtest(only[0], sum(only)).pvalue) if sum(only) else 1.0


def _cells(way: evaluation.Retrained, level: int) -> np.ndarray:
    """Name the trainings, in the shape of the scores."""
    cells = np.empty((len(way.ranking), len(way.seeds)), object)
    for r, s in np.ndindex(cells.shape):
        cells[r, s] = key(np.sort(way.ranking[r, : way.n_kept[level]])), way.seeds[s]
    return cells
