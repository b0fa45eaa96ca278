"""Mergeable sums over local explanations, and the importances that follow from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast.checks import Array, as_array, as_count, as_labels
from normlime_fast.kernels import aggregation

if TYPE_CHECKING:
    import pandas
    from scipy.sparse import csr_array

Kind = Literal["normlime", "l2", "sp_lime", "mean_abs", "mean", "sum"]
Sign = Literal["absolute", "positive", "negative", "net"]

_COUNT, _NORMALISED, _NORMALISED_SQUARED, _ABSOLUTE, _SQUARED = range(aggregation.SUMS)


class _Formula(NamedTuple):
    """How a kind follows from the sums: of what, over what, and whether the weights keep their signs."""

    sum: int
    squares: int | None = None  # sum of squares of the same, for the standard error of a mean
    over: Literal["weights", "explanations"] | None = None
    root: bool = False
    signed: bool = False


_FORMULAS = {
    "normlime": _Formula(_NORMALISED, _NORMALISED_SQUARED, "weights"),
    "l2": _Formula(_SQUARED, root=True),
    "sp_lime": _Formula(_ABSOLUTE, root=True),
    "mean_abs": _Formula(_ABSOLUTE, _SQUARED, "explanations"),
    "mean": _Formula(_ABSOLUTE, _SQUARED, "explanations", signed=True),
    "sum": _Formula(_ABSOLUTE, signed=True),
}
_SIGNS = ("absolute", "positive", "negative", "net")


class Ranked(NamedTuple):
    """One row of `Importance.top`."""

    group: Any
    feature: str | int
    value: float
    count: int  # type: ignore[assignment]  # a name that tuples have, too; here it is the better one
    stderr: float | None


@dataclass(frozen=True, eq=False)
class Importance:
    """How important each feature is, over all explanations or per group.

    Attributes
    ----------
    values : ndarray of shape (d,) or (n_groups, d)
        The importance; 0 for a feature that no explanation uses.
    counts : ndarray of int, same shape
        |E(c_i)|: how many explanations use the feature (with the sign asked for). The fewer, the noisier the value;
        0 says that nothing is known but that no explanation selected it.
    stderr : ndarray, same shape, or None
        Standard error of `values` where the kind is a mean; NaN where it is a mean of fewer than two.
    groups : ndarray of shape (n_groups,) or None
        Labels of the rows.
    feature_names : tuple of str or None
        Names of the columns.
    kind, sign : str
        What was computed.
    """

    values: Array
    counts: Array
    stderr: Array | None
    groups: Array | None
    feature_names: tuple[str, ...] | None
    kind: str
    sign: str

    def _rows(self) -> list[tuple[Any, Array, Array, Array | None]]:
        """One (label, values, counts, stderr) per group."""
        if self.groups is None:
            return [(None, self.values, self.counts, self.stderr)]
        errors = [None] * len(self.groups) if self.stderr is None else self.stderr
        return list(zip(self.groups.tolist(), self.values, self.counts, errors, strict=True))

    def top(self, k: int = 10) -> list[Ranked]:
        """Return the k most important features, of each group if there are groups, the largest |value| first.

        Parameters
        ----------
        k : int, default 10
            How many features; those that no explanation uses are left out. Equal values keep the features' order.

        Returns
        -------
        list of (group, feature, value, count, stderr) tuples
            `feature` is its name, or its column where there are no names.

        Raises
        ------
        TypeError, ValueError
            If `k` is not an integer of at least 1.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> best = nlf.aggregate([[0.0, 2.0], [1.0, -3.0]]).importance().top(1)[0]
        >>> best.feature, best.value, best.count
        (1, 2.125, 2)
        """
        k = as_count(k, "k")
        ranked = []
        for group, values, counts, errors in self._rows():
            used = np.flatnonzero(counts)
            for j in used[np.argsort(-np.abs(values[used]), kind="stable")][:k].tolist():
                name = j if self.feature_names is None else self.feature_names[j]
                error = None if errors is None else float(errors[j])
                ranked.append(Ranked(group, name, float(values[j]), int(counts[j]), error))
        return ranked

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame with one row per feature (and group).

        Returns
        -------
        pandas.DataFrame
            Columns ``group`` (if there are groups), ``feature``, ``value``, ``count``, and ``stderr`` (if the kind is
            a mean), in the order of groups and features.

        Raises
        ------
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> nlf.aggregate([[0.0, 2.0], [1.0, -3.0]]).importance("l2").to_frame()
           feature     value  count
        0        0  1.000000      1
        1        1  3.605551      2
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_frame needs pandas; install it with: pip install pandas") from error
        d = self.values.shape[-1]
        columns: dict[str, Any] = {}
        if self.groups is not None:
            columns["group"] = np.repeat(self.groups, d)
        names = range(d) if self.feature_names is None else self.feature_names
        columns["feature"] = list(names) * (1 if self.groups is None else len(self.groups))
        columns["value"] = self.values.ravel()
        columns["count"] = self.counts.ravel()
        if self.stderr is not None:
            columns["stderr"] = self.stderr.ravel()
        return pandas.DataFrame(columns)


@dataclass(frozen=True, eq=False)
class ImportanceStatistics:
    """The sums behind every importance. Two of them merge into what one pass over both inputs would have given.

    Attributes
    ----------
    sums : ndarray of shape (n_groups, 2, d, 5)
        Per group, sign (positive, negative) and feature: number of weights, sum of gamma |w|, of (gamma |w|)^2, of |w|
        and of w^2, with gamma = |w| / ||w||_1 (Eq. 4).
    explanations : ndarray of int of shape (n_groups,)
        How many explanations each group has, empty ones included.
    groups : ndarray of shape (n_groups,) or None
        Sorted labels; None where there is one group without a label.
    feature_names : tuple of str or None
        Names of the columns.
    """

    sums: Array
    explanations: Array
    groups: Array | None = None
    feature_names: tuple[str, ...] | None = None

    def merge(self, other: "ImportanceStatistics") -> "ImportanceStatistics":
        """Return the statistics of both inputs together; groups with the same label are added.

        Raises
        ------
        ValueError
            If the two differ in features, or only one has groups.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> halves = nlf.aggregate([[0.0, 2.0]]).merge(nlf.aggregate([[1.0, -3.0]]))
        >>> halves.importance().values
        array([0.25 , 2.125])
        """
        if self.sums.shape[2] != other.sums.shape[2]:
            columns = f"{self.sums.shape[2]} and {other.sums.shape[2]}"
            raise ValueError(f"merge needs statistics of the same features, got {columns} columns")
        if self.feature_names != other.feature_names:
            raise ValueError("merge needs statistics of the same features, got different feature_names")
        if self.groups is None or other.groups is None:
            if self.groups is not other.groups:
                raise ValueError("merge needs groups in both statistics or in neither, got them in one")
            return ImportanceStatistics(
                self.sums + other.sums, self.explanations + other.explanations, None, self.feature_names
            )
        if self.groups.dtype.kind != other.groups.dtype.kind:
            raise ValueError(f"merge needs labels of one kind, got {self.groups.dtype} and {other.groups.dtype}")
        groups = np.unique(np.concatenate([self.groups, other.groups]))
        sums = np.zeros((len(groups), *self.sums.shape[1:]))
        explanations = np.zeros(len(groups), np.int64)
        for labels, part in ((self.groups, self), (other.groups, other)):
            rows = np.searchsorted(groups, labels)
            sums[rows] += part.sums
            explanations[rows] += part.explanations
        return ImportanceStatistics(sums, explanations, groups, self.feature_names)

    def importance(self, kind: Kind = "normlime", sign: Sign = "absolute") -> Importance:
        """Compute an importance from the sums.

        Parameters
        ----------
        kind : {"normlime", "l2", "sp_lime", "mean_abs", "mean", "sum"}
            "normlime": mean of gamma |w| over the explanations that use the feature (Eq. 3; per group Eq. 9).
            "l2": root of the sum of w^2 (Eq. 6). "sp_lime": root of the sum of |w| (Ribeiro et al. 2016).
            "mean_abs": mean of |w| over all explanations (van der Linden et al. 2019).
            "mean", "sum": signed mean over all explanations, signed sum.
        sign : {"absolute", "positive", "negative", "net"}
            Which weights count: all, the positive or the negative ones; "net" is the positive minus the negative
            contributions, over the number of both. The signed kinds "mean" and "sum" keep the sign of the weights.

        Returns
        -------
        Importance

        Raises
        ------
        ValueError
            If `kind` or `sign` is another, or `sign` is "net" for a root ("l2", "sp_lime").

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> statistics = nlf.aggregate([[0.0, 2.0], [1.0, -3.0]])
        >>> statistics.importance("mean").values
        array([ 0.5, -0.5])
        >>> statistics.importance("mean", sign="negative").values
        array([ 0. , -1.5])
        """
        if not isinstance(kind, str) or kind not in _FORMULAS:
            raise ValueError(f"kind must be one of {', '.join(_FORMULAS)}, got {kind!r}")
        if sign not in _SIGNS:
            raise ValueError(f"sign must be one of {', '.join(_SIGNS)}, got {sign!r}")
        formula = _FORMULAS[kind]
        if formula.root and sign == "net":
            raise ValueError(f"sign must be absolute, positive or negative for kind {kind!r}, a root, got 'net'")
        used = [float(sign != "negative"), float(sign != "positive")]
        totals = np.tensordot(used, self.sums, axes=(0, 1))  # (n_groups, d, 5)
        counts = totals[..., _COUNT]
        if formula.signed or sign == "net":
            used[1] = -used[1]
        values = np.tensordot(used, self.sums[..., formula.sum], axes=(0, 1))
        if formula.root:
            values = np.sqrt(values)
        stderr = None
        if formula.over and formula.squares:
            n = counts if formula.over == "weights" else np.broadcast_to(self.explanations[:, None], counts.shape)
            values, stderr = _mean_and_error(values, totals[..., formula.squares], n)
        if self.groups is None:
            values, counts, stderr = values[0], counts[0], None if stderr is None else stderr[0]
        return Importance(values, counts.astype(np.int64), stderr, self.groups, self.feature_names, kind, sign)


def _mean_and_error(total: Array, squares: Array, n: Array) -> tuple[Array, Array]:
    """Mean (0 of nothing) and its standard error (NaN for fewer than two) from sums over n values."""
    mean = np.divide(total, n, out=np.zeros_like(total), where=n > 0)
    spread = np.maximum(squares - n * mean * mean, 0.0)  # rounding can leave it just below 0
    variance = np.divide(spread, n * (n - 1.0), out=np.full_like(total, np.nan), where=n > 1)
    return mean, np.sqrt(variance)


def aggregate(
    weights: Any, groups: ArrayLike | None = None, *, feature_names: Iterable[str] | None = None
) -> ImportanceStatistics:
    """Sum the weights of local explanations in one pass (Eq. 3, 4, 6 and 9).

    Parameters
    ----------
    weights : csr_array of shape (n, d), or anything csr_array takes
        One explanation a row. Zeros, stored or not, are features that the explanation does not use.
    groups : array_like of shape (n,), optional
        A label for every explanation, such as the class it explains.
    feature_names : iterable of str, optional
        Names of the d columns.

    Returns
    -------
    ImportanceStatistics

    Raises
    ------
    TypeError, ValueError
        If the weights are not a finite 2-D matrix of numbers below 1e150, or `groups` has another length.

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
    n, d = matrix.shape
    names = None if feature_names is None else tuple(map(str, feature_names))
    if names is not None and len(names) != d:
        raise ValueError(f"feature_names must have {d} names, one per column of weights, got {len(names)}")
    if groups is None:
        labels, codes, explanations = None, np.zeros(n, np.int64), np.array([n])
    else:
        labels, codes, explanations = _coded(as_labels(groups, "groups", n, "explanation"))
    return ImportanceStatistics(_summed(matrix, codes, len(explanations)), explanations, labels, names)


def _coded(groups: Array) -> tuple[Array, Array, Array]:
    """Sorted labels, for every group which of them it is, and how many are; small numbers need no sorting."""
    if groups.dtype.kind in "iu" and groups.min() >= 0 and groups.max() < len(groups):
        numbers = groups.astype(np.int64, copy=False)
        counts = np.bincount(numbers)
        used = counts > 0
        codes = numbers if used.all() else (np.cumsum(used) - 1)[numbers]
        return np.flatnonzero(used).astype(groups.dtype), codes, counts[used]
    return np.unique(groups, return_inverse=True, return_counts=True)


def _summed(matrix: "csr_array", codes: Array, n_groups: int) -> Array:
    """Sums (n_groups, 2, d, 5) of the weights, whose faults the kernel finds as it reads them."""

    def plain(array: Array, dtype: type) -> Array:  # as one of two compiled kernels takes it; copied if it is not so
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
    """Copy the matrix with the columns of each row in order and once, or say why that cannot be."""
    falls = np.flatnonzero(matrix.indptr[1:] < matrix.indptr[:-1])
    if falls.size:
        before, after = matrix.indptr[falls[0] : falls[0] + 2]
        raise ValueError(f"weights must have an indptr that never decreases, got {after} after {before}")
    for column in (matrix.indices.min(), matrix.indices.max()):
        if not 0 <= column < matrix.shape[1]:
            raise ValueError(f"weights must have column indices from 0 to {matrix.shape[1] - 1}, got {column}")
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
            f"weights must be at most {aggregation.LARGEST_WEIGHT}, or their squares overflow, got {largest};"
            " rescale the model's output"
        )


def _as_csr(weights: Any) -> "csr_array":
    from scipy.sparse import csr_array  # two thirds of what `import normlime_fast` would take

    expected = "weights must be (n explanations, d features), got shape"
    if isinstance(weights, list | np.ndarray):
        weights = as_array(weights, "weights")
        if weights.ndim != 2:  # of which some releases of scipy make a matrix and others an error
            raise ValueError(f"{expected} {weights.shape}")
    try:
        matrix = csr_array(weights)
    except (TypeError, ValueError):
        got = f"{type(weights).__name__} of dtype {getattr(weights, 'dtype', 'object')}"
        raise TypeError(f"weights must be a matrix of numbers that csr_array takes, got {got}") from None
    if matrix.ndim != 2 or matrix.shape[0] == 0 or matrix.shape[1] == 0:
        raise ValueError(f"{expected} {matrix.shape}")
    if matrix.dtype.kind not in "fiub":
        raise TypeError(f"weights must hold real numbers, got dtype {matrix.dtype}")
    return matrix
