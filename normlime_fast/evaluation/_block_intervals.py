"""Intervals for explanations that are not independent, from blocks of them that are."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from normlime_fast._checks import Array, as_probability, ignoring_float_errors, short_repr
from normlime_fast._results.display import counted, importance_line
from normlime_fast._results.importance import Importance, without_skew
from normlime_fast._results.statistics import ImportanceStatistics
from normlime_fast._types import Kind, Sign

if TYPE_CHECKING:
    import pandas

_ROOTS = "l2", "sp_lime"


@dataclass(frozen=True, eq=False, repr=False)
class BlockIntervals:
    """What `interval_by_blocks` found.

    Attributes
    ----------
    importance : Importance
        Of all blocks together. Its own `stderr` and `interval` take explanations for independent.
    low, high : ndarray of shape (d,) or (n_groups, d), as are all that follow
        Ends of the intervals; NaN where fewer than two blocks or `min_count` explanations use the feature.
    stderr : ndarray
        Standard errors by blocks, of every kind; NaN likewise.
    blocks : ndarray of int
        How many blocks use the feature.
    freedom : ndarray
        Degrees of freedom of Student's t: the number of blocks less one if all have as many explanations (for
        "normlime": that use the feature), and fewer the more uneven they are, at least 1.
    level : float
        What the intervals were made for.
    """

    importance: Importance
    low: Array
    high: Array
    stderr: Array
    blocks: Array
    freedom: Array
    level: float

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame with one row per feature (and group), as `Importance.to_frame`.

        Returns
        -------
        pandas.DataFrame
            With the columns ``group`` (if there are groups), ``feature``, ``value``, ``count``, ``blocks``, ``stderr``
            by blocks, ``low`` and ``high``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        frame = self.importance.to_frame().drop(columns="stderr", errors="ignore")
        return frame.assign(**{name: getattr(self, name).ravel() for name in ("blocks", "stderr", "low", "high")})

    def __repr__(self) -> str:
        most = counted(int(self.blocks.max()), "block")
        return f"<BlockIntervals: {self.level:.4g} of up to {most}; {importance_line(self.importance)}>"


@ignoring_float_errors
def interval_by_blocks(
    blocks: Iterable[ImportanceStatistics],
    level: float = 0.9,
    *,
    kind: Kind = "normlime",
    sign: Sign = "absolute",
    min_count: int = 1,
) -> BlockIntervals:
    """Return confidence intervals of the importance of all blocks, where only the blocks are independent.

    Explanations that share samples share their errors: those of one run with a `Pool` or `Binned`, and those of one set
    of `shared_samples`. So do the targets of one instance, and instances of one source. `Importance.interval` takes all
    for independent, and is then too short. This takes blocks alone for independent, and asks how far they differ.

    An importance is a ratio of sums over blocks, sum(T) / sum(N), or made of one. Its variance is that of the residuals
    T - S N, with a factor that makes it unbiased where what a block has in common is all that varies. Student's t has
    one degree of freedom less than the effective number of blocks, sum(N)**2 / sum(N**2), and is corrected for skewness
    as in `Importance.interval`. Where each block is one explanation, the intervals of means are the same as there.

    Parameters
    ----------
    blocks : iterable of ImportanceStatistics
        What `aggregate`, `NormLIME.statistics` or a file has of each block. All have the same features, and groups or
        none; a group need not be in every block. Blocks of about equal size do best: 5 at least, better 10 or more.
    level : float, default 0.9
        Probability, between 0 and 1, with which an interval covers the value that infinitely many such blocks would
        give. For "l2", "sp_lime" and "sum", which grow with the number of explanations: times that number, as it is.
    kind, sign, min_count
        See `ImportanceStatistics.importance`.

    Returns
    -------
    BlockIntervals
        With one block all intervals are NaN.

    Raises
    ------
    TypeError, ValueError
        If `blocks` are other than statistics of the same features, or none, or another argument is not as above.

    References
    ----------
    Cochran, "Sampling Techniques" (1977), on ratios of clusters. Kish, "Survey Sampling" (1965), on effective numbers.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> from normlime_fast import evaluation
    >>> blocks = [nlf.aggregate([[0.0, 2.0], [0.0, 2.0]]), nlf.aggregate([[0.0, 3.0], [1.0, -3.0]])]
    >>> found = evaluation.interval_by_blocks(blocks)
    >>> print(found.importance.stderr.round(3), found.stderr.round(3))
    [  nan 0.237] [  nan 0.312]
    """
    level = as_probability(level, "level")
    parts = _as_blocks(blocks)
    merged = reduce(ImportanceStatistics.merge, parts)
    importance = merged.importance(kind, sign, min_count)
    totals, sizes, counts = _by_block(parts, merged, kind, sign)
    known = (counts > 0).sum(axis=0)
    mean, stderr, freedom, skew = _ratio(totals, sizes)

    from scipy.special import stdtrit  # most of what `import normlime_fast` would take

    t = -stdtrit(freedom, (1 - level) / 2)
    found = [mean - stderr * without_skew(t, skew), mean - stderr * without_skew(-t, skew), stderr]
    if importance.stderr is None:  # not a mean, but times the number of explanations
        found = [one * merged.explanations[:, None] for one in found]
    if kind in _ROOTS:
        root = np.sqrt(mean * merged.explanations[:, None])
        found = [*(np.sqrt(np.maximum(one, 0.0)) for one in found[:2]), found[2] / (2 * root)]
    hidden = (known < 2) | (counts.sum(axis=0) < importance.min_count)
    low, high, stderr, freedom = (np.where(hidden, np.nan, one) for one in (*found, freedom))
    if merged.groups is None:
        low, high, stderr, known, freedom = (one[0] for one in (low, high, stderr, known, freedom))
    return BlockIntervals(importance, low, high, stderr, known, freedom, level)


def _as_blocks(blocks: Any) -> list[ImportanceStatistics]:
    expected = "must be ImportanceStatistics, as aggregate or NormLIME.statistics returns them"
    if isinstance(blocks, ImportanceStatistics) or not isinstance(blocks, Iterable):
        raise TypeError(f"blocks must be a list of ImportanceStatistics, one a block, got {short_repr(blocks)}")
    parts = list(blocks)
    for i, part in enumerate(parts):
        if not isinstance(part, ImportanceStatistics):
            raise TypeError(f"blocks[{i}] {expected}, got {short_repr(part)}")
    if not parts:
        raise ValueError("blocks must be at least 1, better 10, got 0")
    return parts


def _by_block(
    parts: list[ImportanceStatistics], merged: ImportanceStatistics, kind: Kind, sign: Sign
) -> tuple[Array, Array, Array]:
    """Return of every block, group and feature the numerator, the denominator, and how many explanations use it."""
    explanations = np.concatenate([part.explanations for part in parts])
    sums, rows = np.concatenate([part.sums for part in parts]), np.arange(len(explanations))
    each = ImportanceStatistics(sums, explanations, rows).importance(kind, sign)  # as if all were groups
    over = each.counts if kind == "normlime" else np.broadcast_to(explanations[:, None], each.counts.shape)
    total = each.values**2 if kind in _ROOTS else each.values if each.stderr is None else each.values * over
    labels = np.array([0]) if merged.groups is None else merged.groups
    block = np.repeat(np.arange(len(parts)), [len(part.explanations) for part in parts])
    group = np.concatenate([np.searchsorted(labels, labels if part.groups is None else part.groups) for part in parts])
    found = np.zeros((3, len(parts), len(labels), each.values.shape[1]))
    found[:, block, group] = total, over, each.counts
    return found[0], found[1], found[2]


def _ratio(totals: Array, sizes: Array) -> tuple[Array, Array, Array, Array]:
    """Return sum(totals) / sum(sizes) over the first axis, its standard error, degrees of freedom and skewness.

    With shares h = sizes / sum(sizes), the ratio is the sum of h x, and a residual h (x - ratio). If the x are alike,
    of variance v, the ratio's is v sum(h^2), and the squares of the residuals v sum(h^2 ((1 - h)^2 + sum of the other
    h^2)): of C equal shares, these are C/(C - 1) times apart. The number of blocks counts as Kish's 1 / sum(h^2).
    """
    size = sizes.sum(axis=0)
    shares = sizes / np.where(size > 0, size, 1.0)
    mean = totals.sum(axis=0) / np.where(size > 0, size, 1.0)
    residuals = totals / np.where(size > 0, size, 1.0) - mean * shares
    squares = shares**2
    sum_of_squares = squares.sum(axis=0)
    others = np.maximum(sum_of_squares - squares, 0.0)  # rounding can leave it just below 0
    seen = (squares * ((1.0 - shares) ** 2 + others)).sum(axis=0)
    spread = (residuals**2).sum(axis=0)
    variance = sum_of_squares / seen * spread  # NaN of one block
    n = np.maximum(1.0 / sum_of_squares, 2.0)
    third = (residuals**3).sum(axis=0) / np.where(spread > 0, spread, 1.0) ** 1.5
    factor = np.sqrt(n * (n - 1.0)) / np.maximum(n - 2.0, 1.0)  # adjusted, as G_1
    skew = np.where(n > 3.0 - 1e-9, np.clip(factor * third, -1.0, 1.0), 0.0)  # of three, too, which may be rounded
    return mean, np.sqrt(variance), n - 1.0, skew
