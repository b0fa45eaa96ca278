"""Compares rankings by what networks get wrong without the features that they rank last."""

import hashlib
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


def difference(one: evaluation.Retrained, other: evaluation.Retrained, level: int, wrong: Wrong) -> Difference:
    """Compare errors: those of rankings by the same images in pairs, others as two samples.

    Both are trained several times, on several rankings or with several seeds. Each such pair has a p-value of McNemar's
    exact test; twice their median is one of all.
    """
    mine, theirs = (way.scores[level].ravel() for way in (one, other))
    paired = one.scores.shape == other.scores.shape
    low = high = np.nan
    if not paired or np.ptp(mine - theirs):
        test = stats.ttest_rel(mine, theirs) if paired else stats.ttest_ind(mine, theirs, equal_var=False)
        low, high = test.confidence_interval(CONFIDENCE)
    tests = []
    for cells in zip(_cells(one, level), _cells(other, level), strict=False):
        my, their = (wrong[cell] for cell in cells)
        only = len(my - their), len(their - my)
        tests.append(stats.binomtest(only[0], sum(only)).pvalue if sum(only) else 1.0)
    return Difference(mine.mean() - theirs.mean(), low, high, min(1.0, 2 * float(np.median(tests))))


def _cells(way: evaluation.Retrained, level: int) -> list[tuple[str, int]]:
    """Name the trainings, in the order of the scores."""
    sets = [key(np.sort(order[: way.n_kept[level]])) for order in way.ranking]
    return [(kept, seed) for kept in sets for seed in way.seeds]
