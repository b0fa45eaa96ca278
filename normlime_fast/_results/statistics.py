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
from normlime_fast._results.shrinkage import shrunk
from normlime_fast._results.validation import as_counts, validate_statistics
from normlime_fast._types import Kind, Of, Sign

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_COUNT, _NORMALISED, _NORMALISED_SQUARED, _ABSOLUTE, _SQUARED, _NORMALISED_CUBED, _CUBED = range(aggregation.SUMS)
_UNDERFLOWN = 1e-290  # sums of squares and cubes below it have lost digits, since their terms may be subnormal or 0
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
    """

    _kind: ClassVar[str] = "ImportanceStatistics"

    sums: Array
    explanations: Array
    groups: Array | None = None
    feature_names: tuple[str, ...] | None = None
    of: str = "weights"

    def __repr__(self) -> str:
        return f"<ImportanceStatistics: {display.statistics_line(self)}>"

    @ignoring_float_errors
    def merge(self, other: "ImportanceStatistics") -> "ImportanceStatistics":
        """Return the statistics of both inputs together; groups with the same label are added.

        Raises
        ------
        TypeError, ValueError
            If `other` is of another type, the two differ in features, only one has groups, or their labels are of
            different kinds (numbers, strings, bools, dates) or mix floats with ints above 2**53.

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
        if self.groups is None or other.groups is None:
            if self.groups is not other.groups:
                raise ValueError("merge needs groups in both statistics or in neither, got them in one")
            counts, other_counts = (as_counts(part.explanations, "explanations") for part in (self, other))
            return replace(self, sums=self.sums + other.sums, explanations=counts + other_counts)
        labels, other_labels = unified(self.groups, other.groups, "merge needs")
        groups = np.unique(np.concatenate([labels, other_labels]))
        sums = np.zeros((len(groups), *self.sums.shape[1:]))
        explanations = np.zeros(len(groups), np.int64)
        for part_labels, part in ((labels, self), (other_labels, other)):
            rows = np.searchsorted(groups, part_labels)
            sums[rows] += part.sums
            explanations[rows] += as_counts(part.explanations, "explanations")
        return replace(self, sums=sums, explanations=explanations, groups=groups)

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
            value, also for counts of 1; there is no `interval`.

        Returns
        -------
        Importance

        Raises
        ------
        ValueError
            If `kind` or `sign` is unknown, `sign` is "net" for a root ("l2", "sp_lime"), `min_count` is below 1, or
            `shrink` does not apply to this kind and sign.
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
        min_count, formula = as_min_count(min_count), as_formula(kind, sign, shrink)
        used = [float(sign != "negative"), float(sign != "positive")]
        totals = np.tensordot(used, self.sums, axes=(0, 1))  # (n_groups, d, 7)
        counts = totals[..., _COUNT]
        if formula.signed or sign == "net":
            used[1] = -used[1]
        values = np.tensordot(used, self.sums[..., formula.sum], axes=(0, 1))
        if formula.root:
            values = np.sqrt(values)
        stderr, skewness, explanations = None, None, as_counts(self.explanations, "explanations")
        if formula.over and formula.powers:
            n = counts if formula.over == "weights" else np.broadcast_to(explanations[:, None], counts.shape)
            squares, cubes = formula.powers
            cubed = np.tensordot(used, self.sums[..., cubes], axes=(0, 1))
            values, stderr, skewness = _mean_and_spread(values, totals[..., squares], cubed, n)
            lost = (totals[..., formula.powers] < _UNDERFLOWN) & (counts > 0)[..., None]
            stderr, skewness = np.where(lost[..., 0], np.nan, stderr), np.where(lost[..., 1], np.nan, skewness)
            if shrink:
                skewness = None
                for row, of_group in enumerate(zip(values, stderr, counts, strict=True)):
                    values[row], stderr[row] = shrunk(*of_group)
        if min_count is not None and min_count > 1:
            hidden = counts < min_count
            values = np.where(hidden, 0.0, values)
            stderr, skewness = (None if a is None else np.where(hidden, np.nan, a) for a in (stderr, skewness))
        if self.groups is None:
            values, counts, explanations = values[0], counts[0], explanations.reshape(())
            stderr, skewness = (None if a is None else a[0] for a in (stderr, skewness))
        counts = counts.astype(np.int64)
        fields = self.groups, self.feature_names, kind, sign, min_count
        return Importance(values, counts, stderr, explanations, *fields, skewness, bool(shrink), self.of)

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
        arrays = {"sums": self.sums, "explanations": self.explanations, "groups": groups}
        return arrays, {"groups": labels, "feature_names": self.feature_names, "of": self.of}

    def _validate(self) -> None:
        validate_statistics(self)

    @classmethod
    def _from_fields(cls, version: int, arrays: dict[str, Any], header: dict[str, Any]) -> Self:
        groups = labels_in(arrays.pop("groups", None), header.pop("groups"))
        if version == 1:
            unknown = np.where(arrays["sums"][..., :1] > 0, np.nan, 0.0)
            arrays["sums"] = np.concatenate([arrays["sums"], unknown, unknown], axis=-1)
        result = cls(**arrays, groups=groups, **header)
        result._validate()
        return replace(result, explanations=as_counts(result.explanations, "explanations"))


def as_of(of: object) -> str:
    """Return `of`, what importances are made of."""
    if not isinstance(of, str) or of not in get_args(Of):
        raise ValueError(Message(Term("of"), f' must be "weights" or "contributions", got {short_repr(of)}'))
    return str(of)


def as_formula(kind: object, sign: object, shrink: object) -> _Formula:
    """Return the formula of a kind, checked together with `sign` and `shrink`."""
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


@ignoring_float_errors
def aggregate(
    weights: Any, groups: ArrayLike | None = None, *, feature_names: Iterable[str] | None = None
) -> ImportanceStatistics:
    """Sum the weights of local explanations in one pass (Eq. 3, 4, 6 and 9).

    Parameters
    ----------
    weights : csr_array of shape (n, d), or anything csr_array takes
        One row per explanation. Zeros, stored or not, are features that the explanation does not use.
    groups : array_like of shape (n,), optional
        A label for every explanation, such as the class that it explains.
    feature_names : iterable of str, optional
        Names of the d columns.

    Returns
    -------
    ImportanceStatistics

    Raises
    ------
    TypeError, ValueError
        If the weights are not a finite 2-D matrix of numbers below 1e100, `groups` has another length, or the sums,
        112 bytes per column and group, would be very large compared with the weights.

    References
    ----------
    Ahern et al., "NormLIME: A New Feature Importance Metric for Explaining Deep Neural Networks", arXiv 1909.04200.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> nlf.aggregate([[0.0, 2.0], [1.0, -3.0]]).importance().values
    array([0.25 , 2.125])
    """
    matrix = _as_csr(weights)
    names = None if feature_names is None else tuple(map(str, feature_names))
    labels = None if groups is None else as_labels(groups, "groups", matrix.shape[0], "explanation")
    return sum_weights(matrix, labels, names)


@ignoring_float_errors
def sum_weights(
    matrix: "csr_array", groups: Array | None, names: tuple[str, ...] | None = None
) -> ImportanceStatistics:
    """`aggregate` a matrix that is known to hold numbers, with one sortable label per row."""
    n, d = matrix.shape
    if names is not None and len(names) != d:
        raise ValueError(f"feature_names must have {d} names, one per column of weights, got {len(names)}")
    if groups is None:
        labels, codes, explanations = None, np.zeros(n, np.int64), np.array([n])
    else:
        labels, codes, explanations = _coded(groups)
    check_width(matrix, len(explanations), "sums", 2 * 8 * aggregation.SUMS)
    matrix, columns = narrowed(matrix)
    sums = _summed(matrix, codes, len(explanations))
    if columns is not None:
        narrow, sums = (
            sums,
            np.zeros((*sums.shape[:2], d, aggregation.SUMS)),
        )  # unwritten pages take no memory
        sums[:, :, columns] = narrow[:, :, :-1]
    return ImportanceStatistics(sums, explanations, labels, names)


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


def _as_csr(weights: Any) -> "csr_array":
    from scipy.sparse import csr_array  # imported here: at the top, two thirds of the time of `import normlime_fast`

    expected = "weights must be (n explanations, d features), got shape"
    check_unmasked(weights, "weights")
    if isinstance(weights, list | np.ndarray):
        weights = as_array(weights, "weights")
        if weights.ndim != 2:  # some releases of scipy accept other shapes, others raise
            raise ValueError(f"{expected} {weights.shape}")
    try:
        matrix = csr_array(weights)
    except (TypeError, ValueError, OverflowError):
        got = f"{type(weights).__name__} of dtype {short_repr(getattr(weights, 'dtype', 'object'), str)}"
        raise TypeError(f"weights must be a matrix of numbers that csr_array takes, got {got}") from None
    if matrix.ndim != 2 or matrix.shape[0] == 0 or matrix.shape[1] == 0:
        raise ValueError(f"{expected} {matrix.shape}")
    if matrix.dtype.kind not in "fiub":
        raise TypeError(f"weights must hold real numbers, got dtype {matrix.dtype}")
    return matrix
