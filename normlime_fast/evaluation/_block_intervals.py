"""Confidence intervals from independent blocks of dependent explanations."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from normlime_fast._checks import Array, as_probability, ignoring_float_errors, short_repr
from normlime_fast._results.display import counted, importance_line
from normlime_fast._results.importance import Importance, without_skew
from normlime_fast._results.ratio import ratio
from normlime_fast._results.statistics import ImportanceStatistics, as_formula
from normlime_fast._types import Kind, Sign

if TYPE_CHECKING:
    import pandas

_ROOTS = "l2", "sp_lime"


@dataclass(frozen=True, eq=False, repr=False)
class BlockIntervals:
    """Result of `interval_by_blocks`.

    Attributes
    ----------
    importance : Importance
        Importance of all blocks together. Its own `stderr` and `interval` assume independent explanations
        or sets of samples.
    low, high : ndarray of shape (d,) or (n_groups, d), as for all arrays that follow
        Ends of the intervals; NaN where fewer than two blocks or `min_count` explanations use the feature.
    stderr : ndarray
        Standard errors by blocks, for every kind; NaN in the same places.
    blocks : ndarray of int
        Number of blocks that use the feature.
    freedom : ndarray
        Degrees of freedom of Student's t: the number of blocks minus one if all have equally many explanations (for
        "normlime": that use the feature), fewer the more uneven they are, at least 1.
    level : float
        Confidence level of the intervals.
    """

    importance: Importance
    low: Array
    high: Array
    stderr: Array
    blocks: Array
    freedom: Array
    level: float

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame with one row per feature (and group), like `Importance.to_frame`.

        Returns
        -------
        pandas.DataFrame
            With the columns ``group`` (if there are groups), ``feature``, ``value``, ``count``, ``blocks``, ``stderr``
            by blocks, ``low``, ``high`` and ``few``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        frame = self.importance.to_frame().drop(columns="stderr", errors="ignore")
        few, names = frame.pop("few"), ("blocks", "stderr", "low", "high")
        return frame.assign(**{name: getattr(self, name).ravel()[frame.index] for name in names}, few=few)

    def __repr__(self) -> str:
        n_blocks = counted(int(self.blocks.max()), "block")
        return f"<BlockIntervals: {self.level:.4g} of up to {n_blocks}; {importance_line(self.importance)}>"


@ignoring_float_errors
def interval_by_blocks(
    blocks: Iterable[ImportanceStatistics],
    level: float = 0.9,
    *,
    kind: Kind = "normlime",
    sign: Sign = "absolute",
    min_count: int | None = None,
) -> BlockIntervals:
    """Return confidence intervals of the importance of all blocks, assuming only that blocks are independent.

    The targets of one instance share their errors, and so do instances from one source, such as the orders of one
    customer. `Importance.interval` takes account of samples that are shared, as with `Pool` and `Binned`, but otherwise
    assumes independent explanations, and is then too short. This function assumes only independent blocks, and computes
    the variance between them.

    An importance is a ratio S = sum(T) / sum(N) of sums over blocks, or a function of one. Its variance is that of the
    residuals T - S N, with a factor that makes it unbiased if all variation is between blocks. Student's t has one
    degree of freedom less than the effective number of blocks, sum(N)**2 / sum(N**2), and is corrected for skewness as
    in `Importance.interval`. If each block is one explanation, the intervals of means are those of that method.

    Parameters
    ----------
    blocks : iterable of ImportanceStatistics
        Statistics of each block, from `aggregate`, `NormLIME.statistics` or a file. All must have the same features,
        and all or none must have groups; a group need not be in every block. Use at least 5 blocks, better 10 or more,
        of about equal size.
    level : float, default 0.9
        Probability, between 0 and 1, with which an interval covers the value that infinitely many such blocks would
        give. For "l2", "sp_lime" and "sum", which grow with the number of explanations, that number is taken as fixed.
    kind, sign, min_count
        See `ImportanceStatistics.importance`.

    Returns
    -------
    BlockIntervals
        With one block all intervals are NaN.

    Raises
    ------
    TypeError, ValueError
        If `blocks` is empty, or not statistics of the same features, or another argument is invalid.

    References
    ----------
    Cochran, "Sampling Techniques" (1977), on ratios of clusters. Kish, "Survey Sampling" (1965), on effective numbers.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> from normlime_fast import evaluation
    >>> blocks = [nlf.aggregate([[0.0, 2.0], [0.0, 2.0]]), nlf.aggregate([[0.0, 3.0], [1.0, -3.0]])]
    >>> result = evaluation.interval_by_blocks(blocks)
    >>> print(result.importance.stderr.round(3), result.stderr.round(3))
    [  nan 0.237] [  nan 0.312]
    """
    level = as_probability(level, "level")
    parts = _as_blocks(blocks)
    merged = reduce(ImportanceStatistics.merge, parts)
    importance = merged.importance(kind, sign, min_count)
    totals, sizes, counts = _by_block(parts, merged, kind, sign)
    n_blocks = (counts > 0).sum(axis=0)
    mean, stderr, freedom, skew = ratio(totals, sizes)

    from scipy.special import stdtrit  # imported here: at the top, most of the time of `import normlime_fast`

    t = -stdtrit(freedom, (1 - level) / 2)
    low, high = mean - stderr * without_skew(t, skew), mean - stderr * without_skew(-t, skew)
    if importance.stderr is None:  # not a mean, but times the number of explanations
        low, high, stderr = (a * merged.explanations[:, None] for a in (low, high, stderr))
    if kind in _ROOTS:
        low, high = np.sqrt(np.maximum(low, 0.0)), np.sqrt(np.maximum(high, 0.0))
        stderr = stderr / (2 * np.sqrt(mean * merged.explanations[:, None]))
    hidden = (n_blocks < 2) | (counts.sum(axis=0) < (importance.min_count or 1))
    low, high, stderr, freedom = (np.where(hidden, np.nan, a) for a in (low, high, stderr, freedom))
    if merged.groups is None:
        low, high, stderr, n_blocks, freedom = (a[0] for a in (low, high, stderr, n_blocks, freedom))
    return BlockIntervals(importance, low, high, stderr, n_blocks, freedom, level)


def _as_blocks(blocks: Any) -> list[ImportanceStatistics]:
    expected = "must be ImportanceStatistics, as aggregate or NormLIME.statistics returns them"
    if isinstance(blocks, ImportanceStatistics) or not isinstance(blocks, Iterable):
        raise TypeError(f"blocks must be a list of ImportanceStatistics, one per block, got {short_repr(blocks)}")
    parts = list(blocks)
    for i, part in enumerate(parts):
        if not isinstance(part, ImportanceStatistics):
            raise TypeError(f"blocks[{i}] {expected}, got {short_repr(part)}")
        if part.row_weights is not None or part.unit != parts[0].unit:
            raise ValueError(f"blocks must not have weights of rows, got some in blocks[{i}]")
    if not parts:
        raise ValueError("blocks must be at least 1, better 10, got 0")
    return parts


def _by_block(
    parts: list[ImportanceStatistics], merged: ImportanceStatistics, kind: Kind, sign: Sign
) -> tuple[Array, Array, Array]:
    """Return numerator, denominator and number of explanations in use, for every block, group and feature."""
    explanations = np.concatenate([part.explanations for part in parts])
    sums, rows = np.concatenate([part.sums for part in parts]), np.arange(len(explanations))
    debiased = None if merged.debiased is None else np.concatenate([part.debiased for part in parts])
    blocks = ImportanceStatistics(sums, explanations, rows, debiased=debiased)  # one group per block and group
    result = blocks._importance(kind, sign)
    size = result.counts if kind == "normlime" else np.broadcast_to(explanations[:, None], result.counts.shape)
    if kind in _ROOTS:  # what the root is of, which may be negative if noise is subtracted
        total = blocks._total(as_formula(kind, sign, False), [float(sign != "negative"), float(sign != "positive")])
    else:
        total = result.values if result.stderr is None else result.values * size
    labels = np.array([0]) if merged.groups is None else merged.groups
    block = np.repeat(np.arange(len(parts)), [len(part.explanations) for part in parts])
    group = np.concatenate([np.searchsorted(labels, labels if part.groups is None else part.groups) for part in parts])
    table = np.zeros((3, len(parts), len(labels), result.values.shape[1]))
    table[:, block, group] = total, size, result.counts
    return table[0], table[1], table[2]
