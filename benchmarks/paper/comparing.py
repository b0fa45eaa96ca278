"""Compares rankings by what networks get wrong without the features that they rank last."""

import hashlib
from typing import NamedTuple

import numpy as np
from scipy import stats

from normlime_fast import evaluation

CONFIDENCE = 0.9


class Difference(NamedTuple):
    """Of two methods' errors at one level, in points."""

    mean: float
    low: float
    high: float
    p: float  # of McNemar's test, the median over replicates

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}], p = {self.p:.2g}"


def key(kept: np.ndarray) -> str:
    """Name a set of features, given in ascending order."""
    return hashlib.sha256(kept.astype(np.int64).tobytes()).hexdigest()[:16]


def difference(
    one: evaluation.Retrained, other: evaluation.Retrained, level: int, wrong: dict[str, set[int]]
) -> Difference:
    """Compare errors of replicates made of the same images; where the other has one ranking, each is compared with it.

    `wrong` has which images are wrong, by `key` of the features kept.
    """
    gaps = (one.scores[level] - other.scores[level])[:, 0]
    tests = []
    for r in range(len(gaps)):
        mine, theirs = (wrong[_kept(way, level, r)] for way in (one, other))
        only = len(mine - theirs), len(theirs - mine)
        tests.append(stats.binomtest(only[0], sum(only)).pvalue if sum(only) else 1.0)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(gaps) - 1) * stats.sem(gaps)
    return Difference(gaps.mean(), gaps.mean() - half, gaps.mean() + half, float(np.median(tests)))


def _kept(way: evaluation.Retrained, level: int, replicate: int) -> str:
    order = way.ranking[min(replicate, len(way.ranking) - 1)]
    return key(np.sort(order[: way.n_kept[level]]))
