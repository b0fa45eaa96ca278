"""Mergeable sums over local explanations, and the importances that follow from them."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import (
    Array,
    as_array,
    as_flag,
    as_labels,
    as_min_count,
    as_row_weights,
    check_unmasked,
    ignoring_float_errors,
    outer_level,
    short_repr,
)
from normlime_fast._inputs.labels import unified
from normlime_fast._kernels import aggregation
from normlime_fast._messages import Message, Term
from normlime_fast._results import display
from normlime_fast._results.archive import Saved, labels_in, labels_out
from normlime_fast._results.columns import check_columns, check_width, narrowed
from normlime_fast._results.importance import Importance
from normlime_fast._results.ratio import ratio
from normlime_fast._results.shrinkage import shrunk
from normlime_fast._results.validation import as_counts, validate_statistics
from normlime_fast._types import Kind, Of, Sign

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_COUNT, _NORMALISED, _NORMALISED_SQUARED, _ABSOLUTE, _SQUARED, _NORMALISED_CUBED, _CUBED = range(aggregation.SUMS)
_UNDERFLOWN = 1e-290  # sums of squares and cubes below it have lost digits, since their terms may be subnormal or 0
_OF_SETS = _COUNT, _NORMALISED, _ABSOLUTE  # sums that are also kept for each set of samples
_MOST_SETS = 32  # sets of samples that are told apart; of more, some are taken as one
_FLOOR = 0.2  # least corrected norm, as a share of ||w||_1: else explanations that are all noise could count most
_SKEWED = 1e-8  # variance over mean square; below it, sums of cubes are only rounding errors


class _Formula(NamedTuple):
    """How a kind is computed from the sums: which sum, divided by which count, and whether weights keep their signs."""

    sum: int
    powers: tuple[int, int] | None = None  # sums of squares and of cubes of the same, for the spread of a mean
    over: Literal["weights", "explanations"] | None = None
    root: bool = False
    signed: bool = False


_FORMULAS = {
    "normlime": _Formula(_NORMALISED, (_NORMALISED_SQUARED, _NORMALISED_CUBED), "weights"),
    "l2": _Formula(_SQUARED, root=True),
    "sp_lime": _Formula(_ABSOLUTE, root=True),
    "mean_abs": _Formula(_ABSOLUTE, (_SQUARED, _CUBED), "explanations"),
    "mean": _Formula(_ABSOLUTE, (_SQUARED, _CUBED), "explanations", signed=True),
    "sum": _Formula(_ABSOLUTE, signed=True),
}
_SIGNS = get_args(Sign)


@dataclass(frozen=True, eq=False, repr=False)
class ImportanceStatistics(Saved):
    """The sums from which every importance is computed. Merging two gives the statistics of both inputs together.

    Attributes
    ----------
    sums : ndarray of shape (n_groups, 2, d, 7)
        Per group, sign (positive, negative) and feature: number of weights, sum of gamma |w|, of (gamma |w|)^2, of |w|,
        of w^2, of (gamma |w|)^3 and of |w|^3, with gamma = |w| / ||w||_1 (Eq. 4). The sums of cubes are NaN if
        unknown, as in files of releases that did not store them.
    explanations : ndarray of int of shape (n_groups,)
        Number of explanations in each group, empty ones included.
    groups : ndarray of shape (n_groups,) or None
        Unique labels; None if there is one group without a label.
    feature_names : tuple of str or None
        Names of the columns.
    of : {"weights", "contributions"}
        What is summed: w stands for either.
    row_weights : ndarray of shape (n_groups, 2, d, 2), or None
        If explanations have different weights v of their own: sum of v and of v^2 over the terms of `sums`, which are
        then sums of v times each term, except for the number of weights. None if all v are equal.
    group_weights : ndarray of shape (n_groups, 2), or None
        Sum of v and of v^2 over the explanations of each group.
    unit : float
        What v is divided by: the largest v so far; 1 if explanations have no weights of their own.
    unexplained_names : tuple of str
        Names of targets without explanations, if the groups are targets with names.
    set_sums : ndarray of shape (n_groups, n_sets, 2, d, 3), or None
        If explanations share sets of samples: for each set, the number of weights, sum of gamma |w| and of |w|, or with
        weights v of the explanations, sum of v and of v times these. Sets 32, 64 ... are added to set 0, and so on.
    set_explanations : ndarray of shape (n_groups, n_sets), or None
        Number of explanations with each set, or sum of their v.
    debiased : ndarray of shape (n_groups, 2, d), or None
        If the noise of the weights is subtracted: sum of w^2 - s^2. Then `sums` are those of the corrected terms, which
        may be negative; see `aggregate`.
    """

    _kind: ClassVar[str] = "ImportanceStatistics"

    sums: Array
    explanations: Array
    groups: Array | None = None
    feature_names: tuple[str, ...] | None = None
    of: str = "weights"
    row_weights: Array | None = None
    group_weights: Array | None = None
    unit: float = 1.0
    unexplained_names: tuple[str, ...] = ()
    set_sums: Array | None = None
    set_explanations: Array | None = None
    debiased: Array | None = None

    def __repr__(self) -> str:
        return f"<ImportanceStatistics: {display.statistics_line(self)}>"

    @ignoring_float_errors
    def merge(self, other: "ImportanceStatistics") -> "ImportanceStatistics":
        """Return the statistics of both inputs together; groups with the same label are added.

        Raises
        ------
        TypeError, ValueError
            If `other` is of another type, the two differ in features, only one has groups or is debiased, or their
            labels are of different kinds (numbers, strings, bools, dates) or mix floats with ints above 2**53.

        Notes
        -----
        Explanations without weights of their own have the weight 1 beside those that have. Explanations with samples of
        their own count as one set beside those that share sets of samples.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> halves = nlf.aggregate([[0.0, 2.0]]).merge(nlf.aggregate([[1.0, -3.0]]))
        >>> halves.importance().values
        array([0.25 , 2.125])
        """
        if not isinstance(other, ImportanceStatistics):
            raise TypeError(f"merge needs ImportanceStatistics, got a {type(other).__name__}")
        if self.sums.shape[2] != other.sums.shape[2]:
            columns = f"{self.sums.shape[2]} and {other.sums.shape[2]}"
            raise ValueError(f"merge needs statistics of the same features, got {columns} columns")
        if self.feature_names != other.feature_names:
            raise ValueError("merge needs statistics of the same features, got different feature_names")
        if self.of != other.of:
            raise ValueError(f"merge needs sums of the same, got {self.of} and {other.of}")
        if (self.debiased is None) != (other.debiased is None):
            raise ValueError("merge needs statistics that are both debiased or both not, got one of each")
        if (self.groups is None) != (other.groups is None):
            raise ValueError("merge needs groups in both statistics or in neither, got them in one")
        parts = self._totals(other), other._totals(self)
        unit = max(self.unit, other.unit)
        if self.groups is None or other.groups is None:
            added = {name: array + parts[1][name] for name, array in parts[0].items()}
            return replace(self, unit=unit, **added)
        labels, other_labels = unified(self.groups, other.groups, "merge needs")
        groups = np.unique(np.concatenate([labels, other_labels]))
        added = {name: np.zeros((len(groups), *array.shape[1:]), array.dtype) for name, array in parts[0].items()}
        for part_labels, part in ((labels, parts[0]), (other_labels, parts[1])):
            rows = np.searchsorted(groups, part_labels)
            for name, array in part.items():
                added[name][rows] += array
        names = dict.fromkeys([*self.unexplained_names, *other.unexplained_names])
        unexplained = tuple(name for name in names if name not in groups.tolist())
        return replace(self, groups=groups, unit=unit, unexplained_names=unexplained, **added)

    def _totals(self, other: "ImportanceStatistics") -> dict[str, Any]:
        """Return what a merge with `other` adds: sums with the weights of rows in one unit, unless all are equal."""
        totals = {"sums": self.sums, "explanations": as_counts(self.explanations, "explanations")}
        totals |= self._totals_of_sets(other)
        if self.debiased is not None:
            totals["debiased"] = self.debiased * (self.unit / max(self.unit, other.unit))
        if self.row_weights is None and other.row_weights is None and self.unit == other.unit:
            return totals
        factor = self.unit / max(self.unit, other.unit)
        row_weights, group_weights = self.row_weights, self.group_weights
        if row_weights is None or group_weights is None:  # all are 1, in this unit
            row_weights, group_weights = (np.stack([n, n], -1) for n in (self.sums[..., _COUNT], self.explanations))
        sums = self.sums * factor
        sums[..., _COUNT] = self.sums[..., _COUNT]
        powers = np.array([factor, factor * factor])
        totals |= {name: totals[name] * factor for name in ("set_sums", "set_explanations") if name in totals}
        return totals | {"sums": sums, "row_weights": row_weights * powers, "group_weights": group_weights * powers}

    def _totals_of_sets(self, other: "ImportanceStatistics") -> dict[str, Any]:
        """Return the sums of sets, if one of both has some, for as many sets as the other has."""
        sums, explanations = self.set_sums, self.set_explanations
        if sums is None or explanations is None:
            if other.set_sums is None:
                return {}
            sums, explanations = self.sums[..., _OF_SETS], self.explanations.astype(np.float64)
            if self.row_weights is not None and self.group_weights is not None:
                sums[..., 0], explanations = self.row_weights[..., 0], self.group_weights[:, 0]
            sums, explanations = sums[:, None], explanations[:, None]
        missing = 0 if other.set_sums is None else max(0, other.set_sums.shape[1] - sums.shape[1])
        padding = (0, 0), (0, missing)
        return {
            "set_sums": np.pad(sums, (*padding, (0, 0), (0, 0), (0, 0))),
            "set_explanations": np.pad(explanations, padding),
        }

    @ignoring_float_errors
    def importance(
        self, kind: Kind = "normlime", sign: Sign = "absolute", min_count: int | None = None, shrink: bool = False
    ) -> Importance:
        """Compute an importance from the sums.

        Parameters
        ----------
        kind : {"normlime", "l2", "sp_lime", "mean_abs", "mean", "sum"}
            "normlime": mean of gamma |w| over the explanations that use the feature (Eq. 3; per group Eq. 9).
            "l2": root of the sum of w^2 (Eq. 6). "sp_lime": root of the sum of |w| (Ribeiro et al. 2016).
            "mean_abs": mean of |w| over all explanations (van der Linden et al. 2019).
            "mean", "sum": signed mean over all explanations, signed sum.
        sign : {"absolute", "positive", "negative", "net"}
            Weights to count: all, the positive or the negative ones; "net" is the positive minus the negative
            contributions, over the number of both. The signed kinds "mean" and "sum" keep the sign of the weights.
        min_count : int, optional
            Features that fewer explanations use (of the group, with a weight of the requested sign) are hidden: their
            value is 0 and their stderr NaN; `counts` are unchanged. "normlime" averages only over the explanations that
            use a feature: a word that was used once with a large weight can therefore have a higher value than one that
            was used 500 times. By default nothing is hidden, but features that few explanations use, fewer than 5 or a
            hundredth of those of the group, are listed after the others; see `Importance.top`. With 1, all are listed
            by their value.
        shrink : bool, default False
            Shrinks the value of each feature toward those of features of the group that are used about as often, by
            empirical Bayes: the noisier a value, the more it moves. Values stay as they are in a group in which no
            feature is used twice, or fewer than three are used. Only for "normlime" with a sign other than "net".
            `counts` are unchanged, and features that are not used keep the value 0. `stderr` is that of the shrunken
            value, also for counts of 1; there is no `interval`. Not for debiased statistics.

        Returns
        -------
        Importance

        Raises
        ------
        ValueError
            If `kind` or `sign` is unknown, `sign` is "net" for a root ("l2", "sp_lime"), `min_count` is below 1,
            `shrink` does not apply to this kind and sign, or `kind` is "mean" or "sum" for debiased statistics.
        TypeError
            If `min_count` is not an integer, or `shrink` not a bool.

        Warns
        -----
        UserWarning
            If all weights of a group are so small, below about 1e-145, that their squares underflow: its "l2" is then
            too small. Standard errors are NaN wherever squares underflow.

        References
        ----------
        For `shrink`: Fay and Herriot, "Estimates of income for small places", Journal of the American Statistical
        Association 74 (1979); Paule and Mandel, "Consensus values and weighting factors", Journal of Research of the
        NBS 87 (1982).

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> statistics = nlf.aggregate([[0.0, 2.0], [1.0, -3.0]])
        >>> statistics.importance("mean").values
        array([ 0.5, -0.5])
        >>> statistics.importance("mean", sign="negative").values
        array([ 0. , -1.5])
        >>> statistics.importance(min_count=2).values
        array([0.   , 2.125])
        """
        result = self._importance(kind, sign, min_count, shrink)
        self._warn_of_small(_FORMULAS[kind])
        return result

    def _importance(self, kind: Kind, sign: Sign, min_count: int | None = None, shrink: bool = False) -> Importance:
        """`importance`, without a warning."""
        debias = self.debiased is not None
        min_count, formula = as_min_count(min_count), as_formula(kind, sign, shrink, debias)
        used = [float(sign != "negative"), float(sign != "positive")]
        totals = np.tensordot(used, self.sums, axes=(0, 1))  # (n_groups, d, 7)
        counts = totals[..., _COUNT]
        if formula.signed or sign == "net":
            used[1] = -used[1]
        values = self._total(formula, used)
        if self.group_weights is not None and not formula.over:
            values = values * (self.explanations.sum() / self.group_weights[:, 0].sum())  # of a mean weight of 1
        if formula.root:
            values = np.sqrt(np.maximum(values, 0.0))
        stderr, skewness, explanations = None, None, as_counts(self.explanations, "explanations")
        effective = None
        if formula.over and formula.powers:
            n = counts if formula.over == "weights" else np.broadcast_to(explanations[:, None], counts.shape)
            squares, cubes = formula.powers
            squared, cubed = totals[..., squares], np.tensordot(used, self.sums[..., cubes], axes=(0, 1))
            if self.row_weights is not None and self.group_weights is not None:
                of_group = np.broadcast_to(self.group_weights[:, None], (*counts.shape, 2))
                of_weights = np.tensordot(np.abs(used), self.row_weights, axes=(0, 1))
                n, factor = _effective(of_weights if formula.over == "weights" else of_group)
                values, squared, cubed, effective = values * factor, squared * factor, cubed * factor, n
            values, stderr, skewness = _mean_and_spread(values, squared, cubed, n)
            of_sets = self._spread_of_sets(used, formula)
            if of_sets is not None:
                stderr, effective, skewness = of_sets
            lost = (np.abs(totals[..., formula.powers]) < _UNDERFLOWN) & (counts > 0)[..., None]
            stderr, skewness = np.where(lost[..., 0], np.nan, stderr), np.where(lost[..., 1], np.nan, skewness)
            if shrink:
                skewness = None
                for row, of_each in enumerate(zip(values, stderr, n, strict=True)):
                    values[row], stderr[row] = shrunk(*of_each)
        if min_count is not None and min_count > 1:
            hidden = counts < min_count
            values = np.where(hidden, 0.0, values)
            stderr, skewness = (None if a is None else np.where(hidden, np.nan, a) for a in (stderr, skewness))
        if self.groups is None:
            values, counts, explanations = values[0], counts[0], explanations.reshape(())
            stderr, skewness, effective = (None if a is None else a[0] for a in (stderr, skewness, effective))
        counts = counts.astype(np.int64)
        asked = kind, sign, min_count
        spread = skewness, bool(shrink), self.of, effective
        fields = self.groups, self.feature_names, *asked, *spread, self.unexplained_names, self._sets(), debias
        return Importance(values, counts, stderr, explanations, *fields)

    def _total(self, formula: _Formula, used: list[float]) -> Array:
        """Return the sum that a kind is computed from, with the factors `used` of positive and negative weights."""
        terms = self.sums[..., formula.sum]
        if formula.sum == _SQUARED and self.debiased is not None:
            terms = self.debiased
        return np.tensordot(np.array(used), terms, axes=(0, 1))

    def _spread_of_sets(self, used: list[float], formula: _Formula) -> tuple[Array, Array, Array] | None:
        """Return standard error, effective number and skewness of sets; None if explanations share no samples."""
        if self.set_sums is None or self.set_explanations is None:
            return None
        totals = np.tensordot(used, self.set_sums[..., _OF_SETS.index(formula.sum)], axes=(0, 2))
        sizes = np.tensordot(np.abs(used), self.set_sums[..., 0], axes=(0, 2))  # (n_groups, n_sets, d)
        if formula.over == "explanations":
            sizes = np.broadcast_to(self.set_explanations[..., None], sizes.shape)
        _, stderr, freedom, skew = ratio(totals.swapaxes(0, 1), sizes.swapaxes(0, 1))
        effective = np.where(sizes.any(axis=1), freedom + 1.0, 0.0)
        return stderr, effective, skew * np.sqrt(effective)

    def _sets(self) -> Array | None:
        """Return the number of sets of samples in use, by group if there are groups; None if none are shared."""
        if self.set_explanations is None:
            return None
        sets = np.asarray(np.count_nonzero(self.set_explanations, axis=1))
        return sets if self.groups is not None else sets.reshape(())

    def _warn_of_small(self, formula: _Formula) -> None:
        """Warn of groups in which the squares that a kind needs underflow for all features."""
        squares = formula.powers[0] if formula.powers else formula.sum
        if squares not in (_NORMALISED_SQUARED, _SQUARED):
            return
        used = self.sums[..., _COUNT].any(axis=(1, 2))
        small = np.flatnonzero(used & (self.sums[..., squares].sum(axis=1) < _UNDERFLOWN).all(axis=1))
        if small.size:
            where = "" if self.groups is None else f" of group {short_repr(self.groups[small[0]], str)}"
            where += f" and {small.size - 1} more" if small.size > 1 else ""
            lost = "l2 is too small" if formula.root else "standard errors are NaN"
            text = f"squares of the weights{where} underflow: {lost}; rescale the model's output"
            warnings.warn(text, stacklevel=outer_level())

    def _fields(self) -> tuple[dict[str, Array | None], dict[str, Any]]:
        groups, labels = labels_out(self.groups)
        names = "sums", "explanations", "row_weights", "group_weights", "debiased", "set_sums", "set_explanations"
        arrays = {name: getattr(self, name) for name in names}
        unit = None if self.unit == 1.0 else np.array(self.unit)
        header = {name: getattr(self, name) for name in ("feature_names", "of", "unexplained_names")}
        return arrays | {"groups": groups, "unit": unit}, {"groups": labels, **header}

    def _validate(self) -> None:
        validate_statistics(self)

    @classmethod
    def _from_fields(cls, version: int, arrays: dict[str, Any], header: dict[str, Any]) -> Self:
        groups = labels_in(arrays.pop("groups", None), header.pop("groups"))
        if version == 1:
            unknown = np.where(arrays["sums"][..., :1] > 0, np.nan, 0.0)
            arrays["sums"] = np.concatenate([arrays["sums"], unknown, unknown], axis=-1)
        unit = arrays.pop("unit", None)
        result = cls(**arrays, groups=groups, unit=1.0 if unit is None else float(unit), **header)
        result._validate()
        return replace(result, explanations=as_counts(result.explanations, "explanations"))


def as_of(of: object) -> str:
    """Return `of`, what importances are made of."""
    if not isinstance(of, str) or of not in get_args(Of):
        raise ValueError(Message(Term("of"), f' must be "weights" or "contributions", got {short_repr(of)}'))
    return str(of)


def as_formula(kind: object, sign: object, shrink: object, debias: object = False) -> _Formula:
    """Return the formula of a kind, checked together with `sign`, `shrink` and `debias`."""
    if not isinstance(kind, str) or kind not in _FORMULAS:
        raise ValueError(Message(Term("kind"), f" must be one of {', '.join(_FORMULAS)}, got {short_repr(kind)}"))
    if not isinstance(sign, str) or sign not in _SIGNS:
        raise ValueError(Message(Term("sign"), f" must be one of {', '.join(_SIGNS)}, got {short_repr(sign)}"))
    formula = _FORMULAS[kind]
    if formula.root and sign == "net":
        got = f" must be absolute, positive or negative for kind {kind!r}, a root, got 'net'"
        raise ValueError(Message(Term("sign"), got))
    if as_flag(shrink, "shrink") and (kind != "normlime" or sign == "net"):
        got = f" is for kind normlime and a sign other than net, got {kind!r} and {sign!r}"
        raise ValueError(Message(Term("shrink"), got))
    if as_flag(debias, "debias"):
        if kind in ("mean", "sum"):
            got = f" is for kinds that noise biases, normlime, l2, sp_lime and mean_abs, got {kind!r}"
            raise ValueError(Message(Term("debias"), got))
        if shrink:
            raise ValueError(Message(Term("shrink"), " must be False with ", Term("debias"), ", got True"))
    return formula


def _mean_and_spread(total: Array, squares: Array, cubes: Array, n: Array) -> tuple[Array, Array, Array]:
    """Mean (0 if n is 0), standard error (NaN if n < 2) and skewness (if n > 2) from sums over n values."""
    mean = np.divide(total, n, out=np.zeros_like(total), where=n > 0)
    spread = np.maximum(squares - n * mean * mean, 0.0)  # rounding can leave it just below 0
    variance = np.divide(spread, n * (n - 1.0), out=np.full_like(total, np.nan), where=n > 1)
    third = cubes - 3.0 * mean * squares + 2.0 * n * mean**3
    factor = np.divide(n * np.sqrt(n - 1.0), n - 2.0, out=np.full_like(total, np.nan), where=n > 2)  # adjusted, G_1
    flat = spread <= _SKEWED * squares
    skewness = factor * third / np.where(flat, 1.0, spread) ** 1.5
    return mean, np.sqrt(variance), np.where(flat & (n > 2), 0.0, np.clip(skewness, -np.sqrt(n), np.sqrt(n)))


def _effective(sums: Array) -> tuple[Array, Array]:
    """Effective number of explanations from sums (..., 2) of their weights v and of v^2, and its quotient by sum v."""
    total, squares = sums[..., 0], sums[..., 1]
    n = np.divide(total * total, squares, out=np.zeros_like(total), where=squares > 0)
    return n, np.divide(n, total, out=np.zeros_like(total), where=total > 0)


@ignoring_float_errors
def aggregate(
    local_weights: Any,
    groups: ArrayLike | None = None,
    *,
    feature_names: Iterable[str] | None = None,
    weights: ArrayLike | None = None,
    stderr: Any = None,
) -> ImportanceStatistics:
    """Sum the weights of local explanations in one pass (Eq. 3, 4, 6 and 9).

    Parameters
    ----------
    local_weights : csr_array of shape (n, d), or anything csr_array takes
        Weights of the features, one row per explanation. Zeros, stored or not, are features that the explanation does
        not use.
    groups : array_like of shape (n,), optional
        A label for every explanation, such as the class that it explains.
    feature_names : iterable of str, optional
        Names of the d columns.
    weights : array_like of shape (n,), optional
        How much each explanation counts, such as the survey weight or the exposure of its row: at least 0, and not all
        0. Means become weighted means, and their standard errors and intervals are those of the effective number of
        explanations, (sum v)^2 / sum v^2 (Kish). Only ratios matter: weights that are all equal give the same as none.
    stderr : csr_array of shape (n, d), or anything csr_array takes, optional
        Standard errors s of the weights, such as `LocalExplanations.stderr`; 0 where there is none. If given, the
        statistics are debiased: sampling noise in a weight adds s^2 to w^2 on average, and this is subtracted. In place
        of w^2 there is w^2 - s^2; of gamma |w|, (w^2 - s^2) / sum_k sqrt(max(w_k^2 - s_k^2, 0)), with a sum of at least
        ||w||_1 / 5; and of |w|, |w| - sqrt(10 / pi) s exp(-2 w^2 / s^2), which is unbiased if the weight is 0 or large
        compared with s. Importances can then be slightly below 0. Not for the kinds "mean" and "sum", which have no
        such bias.

    Returns
    -------
    ImportanceStatistics

    Raises
    ------
    TypeError, ValueError
        If `local_weights` is not a finite 2-D matrix of numbers below 1e100, `groups` or `weights` has another length,
        `weights` are negative or all 0, `stderr` has another shape or is negative or not finite, or the sums, 112 bytes
        per column and group, would be very large compared with the matrix.

    References
    ----------
    Ahern et al., "NormLIME: A New Feature Importance Metric for Explaining Deep Neural Networks", arXiv 1909.04200.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> nlf.aggregate([[0.0, 2.0], [1.0, -3.0]]).importance().values
    array([0.25 , 2.125])
    >>> nlf.aggregate([[0.0, 2.0], [1.0, -3.0]], stderr=[[0.0, 1.0], [1.0, 1.0]]).importance().values.round(3)
    array([0.  , 2.28])
    """
    matrix = _as_csr(local_weights)
    errors = None if stderr is None else _as_csr(stderr, "stderr")
    if errors is not None and errors.shape != matrix.shape:
        raise ValueError(f"stderr must have the shape of the weights, {matrix.shape}, got {errors.shape}")
    names = None if feature_names is None else tuple(map(str, feature_names))
    labels = None if groups is None else as_labels(groups, "groups", matrix.shape[0], "explanation")
    row_weights = None if weights is None else as_row_weights(weights, matrix.shape[0], "explanation")
    return sum_weights(matrix, labels, names, row_weights, errors)


@ignoring_float_errors
def sum_weights(
    matrix: "csr_array",
    groups: Array | None,
    names: tuple[str, ...] | None = None,
    row_weights: Array | None = None,
    stderr: "csr_array | None" = None,
    sets: Array | None = None,
) -> ImportanceStatistics:
    """`aggregate` a matrix that is known to hold numbers.

    Every row has one sortable label, a weight if any have one, and the number of its set of samples if some share one.
    """
    n, d = matrix.shape
    if names is not None and len(names) != d:
        raise ValueError(f"feature_names must have {d} names, one per column of weights, got {len(names)}")
    if groups is None:
        labels, codes, explanations = None, np.zeros(n, np.int64), np.array([n])
    else:
        labels, codes, explanations = _coded(groups)
    n_groups, n_sets, numbers = len(explanations), 1, np.zeros(1, np.int64)
    if sets is not None:
        numbers = (sets % _MOST_SETS).astype(np.int64)
        n_sets = int(numbers.max()) + 1
    check_width(matrix, n_groups * n_sets, "sums", 2 * 8 * aggregation.SUMS)
    errors = None
    if stderr is not None:
        matrix = _tidied(matrix)
        matrix.eliminate_zeros()
        errors = _errors_of(matrix, stderr)
    matrix, columns = narrowed(matrix)
    codes = codes * n_sets + numbers
    unit = 1.0 if row_weights is None else float(row_weights.max()) or 1.0
    equal = row_weights is None or bool((row_weights == unit).all())
    if equal and errors is None:
        sums, of_rows = _summed(matrix, codes, n_groups * n_sets), np.empty((0, 2))
    else:
        shares = np.ones(n) if row_weights is None else row_weights / unit
        sums, of_rows = _weighted_sums(matrix, codes, n_groups * n_sets, shares, errors)
    by_set = sums.reshape(n_groups, n_sets, *sums.shape[1:])
    sums = by_set.sum(axis=1)
    arrays = {"sums": sums[..., : aggregation.SUMS]}
    if not equal:
        arrays["row_weights"] = sums[..., aggregation.SUMS : aggregation.SUMS + 2]
    if errors is not None:
        arrays["debiased"] = sums[..., -1:]
    if sets is not None:
        arrays["set_sums"] = by_set[..., [_COUNT if equal else aggregation.SUMS, *_OF_SETS[1:]]]
    if columns is not None:
        arrays = {name: _widened(array, columns, d) for name, array in arrays.items()}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    if errors is not None:
        arrays["debiased"] = arrays["debiased"][..., 0]
    if not equal:
        arrays["group_weights"] = of_rows.reshape(n_groups, n_sets, 2).sum(axis=1)
    if sets is not None:
        number = np.bincount(codes, minlength=n_groups * n_sets) if equal else of_rows[:, 0]
        arrays["set_explanations"] = number.reshape(n_groups, n_sets).astype(np.float64)
    return ImportanceStatistics(explanations=explanations, groups=labels, feature_names=names, unit=unit, **arrays)


def _widened(narrow: Array, columns: Array, d: int) -> Array:
    """Return sums of all d columns from those of the columns that `narrowed` keeps, and of one for the others."""
    wide = np.zeros((*narrow.shape[:-2], d, narrow.shape[-1]))  # unwritten pages take no memory
    wide[..., columns, :] = narrow[..., :-1, :]
    return wide


def _coded(groups: Array) -> tuple[Array, Array, Array]:
    """Return the sorted labels, the position of each entry, and the counts; small integers need no sorting."""
    if groups.dtype.kind in "iu" and groups.min() >= 0 and groups.max() < len(groups):
        numbers = groups.astype(np.int64, copy=False)
        counts = np.bincount(numbers)
        used = counts > 0
        codes = numbers if used.all() else (np.cumsum(used) - 1)[numbers]
        return np.flatnonzero(used).astype(groups.dtype), codes, counts[used]
    return np.unique(groups, return_inverse=True, return_counts=True)


def _summed(matrix: "csr_array", codes: Array, n_groups: int) -> Array:
    """Sums (n_groups, 2, d, 7) of the weights; the kernel finds invalid input as it reads it."""

    def plain(array: Array, dtype: type) -> Array:  # for one of the two compiled kernels; copies if necessary
        return np.require(array, dtype, ["C", "A", "W"])

    sums = np.zeros((n_groups, 2, matrix.shape[1], aggregation.SUMS))
    index = np.int32 if matrix.indices.dtype == np.int32 else np.int64
    where = plain(matrix.indptr, index), plain(matrix.indices, index)
    status = aggregation.aggregate(*where, plain(matrix.data, np.float64), plain(codes, np.int64), sums)
    if status == aggregation.UNTIDY:
        return _summed(_tidied(matrix), codes, n_groups)
    if status == aggregation.LARGE:
        _check_size(matrix.data)
    return sums


def _weighted_sums(
    matrix: "csr_array", codes: Array, n_groups: int, row_weights: Array, errors: Array | None = None
) -> tuple[Array, Array]:
    """Sums (n_groups, 2, d, 9): those of `_summed` with weights v of the rows, then of v and v^2; and both by group.

    With the standard errors of the weights of a tidy matrix: sums of corrected terms and, as the last, of w^2 - s^2.
    """
    n, d = matrix.shape
    matrix = _tidied(matrix)
    matrix.eliminate_zeros()
    if matrix.nnz:
        _check_size(matrix.data)
    row = np.repeat(np.arange(n), np.diff(matrix.indptr))
    cell = (2 * codes[row] + (matrix.data < 0)) * d + matrix.indices
    size, v = np.abs(matrix.data), row_weights[row]
    norm, last = np.bincount(row, size, n), []
    if errors is None:
        normalised = size / norm[row] * size
    else:
        squares = (size - errors) * (size + errors)
        corrected = np.bincount(row, np.sqrt(np.maximum(squares, 0.0)), n)
        normalised = squares / np.maximum(corrected, _FLOOR * norm)[row]
        size, last = _debiased_sizes(size, errors), [squares]
    powers = [normalised, normalised**2, size, size**2, normalised**3, size**3]
    terms = [*powers, np.ones_like(size), v, *last]
    table = [np.bincount(cell, v * term, n_groups * 2 * d) for term in terms]
    counts = np.bincount(cell, v > 0, n_groups * 2 * d)
    of_groups = [np.bincount(codes, term, n_groups) for term in (row_weights, row_weights**2)]
    return np.stack([counts, *table], axis=-1).reshape(n_groups, 2, d, -1), np.stack(of_groups, axis=-1)


def _debiased_sizes(size: Array, errors: Array) -> Array:
    """Return |w| less the mean that noise adds to it: sqrt(2 / pi) s if the weight is 0, almost nothing if it is large.

    |w| has no unbiased estimate, since its derivative jumps at 0. If w is normal with mean t s and standard deviation
    s, then exp(-2 w^2 / s^2) has the mean exp(-0.4 t^2) / sqrt(5): for t = 0, the correction is exact.
    """
    ratio = np.divide(size, errors, out=np.full_like(size, np.inf), where=errors > 0)
    noise: Array = np.sqrt(10.0 / np.pi) * errors * np.exp(-2.0 * ratio * ratio)
    return size - noise


def _errors_of(matrix: "csr_array", stderr: "csr_array") -> Array:
    """Return the standard errors of the weights stored in a tidy matrix; 0 where there is none."""
    stderr = _tidied(stderr)
    n, d = matrix.shape
    keys, wanted = (np.repeat(np.arange(n), np.diff(m.indptr)) * d + m.indices for m in (stderr, matrix))
    place = np.searchsorted(keys, wanted)
    found = place < len(keys)
    found[found] = keys[place[found]] == wanted[found]
    errors = np.zeros(len(wanted))
    errors[found] = stderr.data[place[found]]
    bad = ~((errors >= 0) & (errors <= aggregation.LARGEST_WEIGHT))
    if bad.any():
        largest = aggregation.LARGEST_WEIGHT
        raise ValueError(f"stderr must be from 0 to {largest} for every weight, got {errors[bad][0]}")
    return errors


def _tidied(matrix: "csr_array") -> "csr_array":
    """Return a copy in which the columns of each row are sorted and unique; raise if the matrix is invalid."""
    falls = np.flatnonzero(matrix.indptr[1:] < matrix.indptr[:-1])
    if falls.size:
        before, after = matrix.indptr[falls[0] : falls[0] + 2]
        raise ValueError(f"weights must have an indptr that never decreases, got {after} after {before}")
    check_columns(matrix.indices, matrix.shape[1])
    matrix = matrix.astype(np.float64)  # a copy in any case
    matrix.sum_duplicates()
    return matrix


def _check_size(weights: Array) -> None:
    largest = np.maximum(weights.max(), -weights.min())  # NaN if one is
    if not np.isfinite(largest):
        bad = np.count_nonzero(~np.isfinite(weights))
        raise ValueError(f"weights must be finite, got {bad} NaN or infinite values")
    if largest > aggregation.LARGEST_WEIGHT:
        raise ValueError(
            f"weights must be at most {aggregation.LARGEST_WEIGHT}, since larger cubes overflow, got {largest};"
            " rescale the model's output"
        )


def _as_csr(weights: Any, name: str = "weights") -> "csr_array":
    from scipy.sparse import csr_array  # imported here: at the top, two thirds of the time of `import normlime_fast`

    expected = f"{name} must be (n explanations, d features), got shape"
    check_unmasked(weights, name)
    if isinstance(weights, list | np.ndarray):
        weights = as_array(weights, name)
        if weights.ndim != 2:  # some releases of scipy accept other shapes, others raise
            raise ValueError(f"{expected} {weights.shape}")
    try:
        matrix = csr_array(weights)
    except (TypeError, ValueError, OverflowError):
        got = f"{type(weights).__name__} of dtype {short_repr(getattr(weights, 'dtype', 'object'), str)}"
        raise TypeError(f"{name} must be a matrix of numbers that csr_array takes, got {got}") from None
    if matrix.ndim != 2 or matrix.shape[0] == 0 or matrix.shape[1] == 0:
        raise ValueError(f"{expected} {matrix.shape}")
    if matrix.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {matrix.dtype}")
    return matrix
