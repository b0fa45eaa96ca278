"""Agreement between importances: of several results, or of the halves of one set of instances."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_count, as_seed, ignoring_float_errors, short_repr
from normlime_fast._results.display import counted
from normlime_fast._results.explanations import LocalExplanations
from normlime_fast._results.groups import by_instance, grouped, is_counted, target_labels, to_python
from normlime_fast._results.statistics import sum_weights
from normlime_fast._types import Kind, Sign
from normlime_fast.evaluation._common import importances, kendall, pearson, spearman, to_dataframe, top

if TYPE_CHECKING:
    import pandas

Unused = Literal["keep", "drop"]
MEASURES = ("jaccard", "kendall", "spearman", "pearson")


class AgreementRow(NamedTuple):
    """One row of `Agreement.summary`."""

    measure: str
    group: Any
    mean: float
    std: float
    lowest: float
    highest: float
    pairs: int


@dataclass(frozen=True, eq=False, repr=False)
class Agreement:
    """Result of `agreement` and `split_half`, for each pair of results and, if there are groups, each group.

    Attributes
    ----------
    jaccard : ndarray of shape (n_pairs,) or (n_pairs, n_groups)
        Number of features in the top k of both over those in the top k of either: 1 if all are shared, 0 if none is.
    kendall, spearman, pearson : ndarray, same shape
        Kendall's tau-b, and the correlations of ranks and of values; NaN where all values of a result are equal.
    unused : ndarray of int, same shape
        Number of features with the value 0 in both.
    top_sizes : ndarray of int of shape (n_pairs, 2) or (n_pairs, n_groups, 2)
        Number of features in each top k: fewer than k if fewer are not 0, more if there are ties with the k-th.
    pairs : ndarray of int of shape (n_pairs, 2)
        Numbers of the two results. The halves of split i are 2 i and 2 i + 1.
    n_features, k : int
        Number of features, and size requested for the top k.
    groups : ndarray of shape (n_groups,) or None
        Labels of the groups.
    names : tuple of str or None
        Names of the results.
    """

    jaccard: Array
    kendall: Array
    spearman: Array
    pearson: Array
    unused: Array
    top_sizes: Array
    pairs: Array
    n_features: int
    k: int
    groups: Array | None = None
    names: tuple[str, ...] | None = None

    @ignoring_float_errors
    def summary(self) -> list[AgreementRow]:
        """Return the mean and the spread of each measure over the pairs, for each group if there are groups.

        Pairs share results, and splits share instances: they are not independent, so no standard error of the mean can
        be computed from `std`.

        Returns
        -------
        list of (measure, group, mean, std, lowest, highest, pairs) tuples
            `pairs` is the number of pairs used; those whose measure is NaN are left out.
        """
        rows = []
        for measure in MEASURES:
            values = getattr(self, measure).reshape(len(self.pairs), -1)
            for group, column in zip([None] if self.groups is None else to_python(self.groups), values.T, strict=True):
                rows.append(AgreementRow(measure, group, *_described(column)))
        return rows

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame with one row per pair, and group if there are groups.

        Returns
        -------
        pandas.DataFrame
            With the columns ``first`` and ``second``, ``group`` (if there are groups), ``jaccard``, ``kendall``,
            ``spearman``, ``pearson`` and ``unused``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        n = 1 if self.groups is None else len(self.groups)
        labels = self.pairs if self.names is None else np.array(self.names, object)[self.pairs]
        columns = {"first": np.repeat(labels[:, 0], n), "second": np.repeat(labels[:, 1], n)}
        if self.groups is not None:
            columns["group"] = np.tile(self.groups, len(self.pairs))
        columns |= {name: getattr(self, name).ravel() for name in (*MEASURES, "unused")}
        frame: pandas.DataFrame = to_dataframe(columns)
        return frame

    @ignoring_float_errors
    def __repr__(self) -> str:
        parts = [counted(len(self.pairs), "pair"), counted(self.n_features, "feature")]
        if self.groups is not None:
            parts.append(counted(len(self.groups), "group"))
        measures = []
        for measure in MEASURES:
            mean, std, *_ = _described(getattr(self, measure).ravel())
            measures.append(f"{f'top-{self.k} jaccard' if measure == 'jaccard' else measure} {mean:.3f} +- {std:.3f}")
        return f"<Agreement: {', '.join(parts)}; {', '.join(measures)}>"


def agreement(results: Any, k: int = 10, *, unused: Unused = "keep") -> Agreement:
    """Compare all pairs of several importances of the same features.

    Parameters
    ----------
    results : list or dict of Importance or array_like, or one array_like (n_results, d) or (n_results, n_groups, d)
        At least two. They are compared by |value|, group by group if they have groups. Feature names, of an Importance
        or in the index of a Series, must be the same in the same order.
    k : int, default 10
        Number of most important features for `jaccard`. Ties with the k-th are included, features of value 0 are not.
    unused : {"keep", "drop"}
        Treatment in the correlations of features with the value 0 in both. "keep": they are tied at the bottom of both,
        and count as agreement if there are others. Correlations of unrelated results are then about 0. "drop": only
        features that either result uses are compared. Correlations are then lower, and below 0 for results that select
        their features at random.

    Returns
    -------
    Agreement

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or the results differ in features or groups.

    Examples
    --------
    >>> from normlime_fast import evaluation
    >>> result = evaluation.agreement({"one": [3.0, 2.0, 1.0, 0.0], "other": [3.0, 1.0, 2.0, 0.0]}, k=2)
    >>> result.jaccard.round(3), result.kendall.round(3), result.spearman
    (array([0.333]), array([0.667]), array([0.8]))
    """
    names = tuple(str(name) for name in results) if isinstance(results, Mapping) else None
    k, drop = as_count(k, "k"), _as_drop(unused)
    values, groups = importances(list(results.values()) if isinstance(results, Mapping) else results, "results")
    if len(values) < 2:
        raise ValueError(f"results must be at least 2, got {len(values)}")
    of_groups = values[:, None] if groups is None else values
    pairs = list(combinations(range(len(values)), 2))
    values_of_pairs = (of_groups[[i, j]] for i, j in pairs)
    return _compared(values_of_pairs, pairs, k, drop, groups, names)


def split_half(
    local: LocalExplanations,
    k: int = 10,
    kind: Kind = "normlime",
    by: str | ArrayLike | None = None,
    *,
    sign: Sign = "absolute",
    min_count: int = 1,
    n_splits: int = 20,
    unused: Unused = "keep",
    rng: Any = 0,
) -> Agreement:
    """Split the instances at random into halves and compare the importances of the two, several times.

    All explanations of an instance are in the same half. With groups, the halves of each group are of equal size (or
    differ by one); the group of an instance is that of its first explanation. If instances share several sets of
    samples, as with `Pool` and `Binned`, all instances of a set are in the same half: halves with the same samples
    would agree too well.

    Parameters
    ----------
    local : LocalExplanations
    k, unused
        See `agreement`.
    kind, by, sign, min_count
        See `LocalExplanations.importance`. `min_count` applies to the explanations of a half.
    n_splits : int, default 20
        Number of random splits.
    rng : None, int or numpy Generator, default 0
        Source of the random halves.

    Returns
    -------
    Agreement
        One pair for each split: the agreement of importances from half as many instances. Importances from all
        instances would agree better. NaN for a group that has only one instance.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, there are explanations of fewer than two instances, or no split can be compared: no
        feature is used by `min_count` explanations, or no group has two instances.

    Examples
    --------
    >>> import numpy as np
    >>> import normlime_fast as nlf
    >>> from normlime_fast import evaluation
    >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0, 0.0, 0.5], nlf.Gaussian(1.0), n_features=3, rng=0)
    >>> result = evaluation.split_half(explainer.explain(np.zeros((8, 4))), k=2, n_splits=5)
    >>> result.jaccard, result.spearman
    (array([1., 1., 1., 1., 1.]), array([1., 1., 1., 1., 1.]))
    """
    if not isinstance(local, LocalExplanations):
        raise TypeError(f"split_half needs LocalExplanations, got a {type(local).__name__}")
    k, n_splits, drop = as_count(k, "k"), as_count(n_splits, "n_splits"), _as_drop(unused)
    in_use = is_counted(local.status)
    weights, (parts, position) = local.weights[in_use], by_instance(local.instance[in_use])
    if len(parts) < 2:
        raise ValueError(f"split_half needs explanations of at least 2 instances, got {len(parts)}")
    labels = grouped(local.instance, local.target, by)
    groups, codes = _coded(None if labels is None else labels[in_use], len(position))
    sum_weights(weights[:1], None).importance(
        kind, sign, as_count(min_count, "min_count")
    )  # raises on invalid arguments
    first = codes[np.unique(position, return_index=True)[1]]  # group of each instance's first explanation
    if local.sample_set is not None and np.ptp(local.sample_set[in_use]):
        parts, position = np.unique(local.sample_set[in_use], return_inverse=True)
        first = np.zeros(len(parts), np.int64)
    generator = np.random.default_rng(as_seed(rng))

    def halves() -> Iterator[Array]:
        for _ in range(n_splits):
            order = generator.permutation(len(parts))
            order = order[np.argsort(first[order], kind="stable")]
            half = np.empty_like(order)
            half[order] = np.arange(len(order)) % 2
            importance = sum_weights(weights, half[position] * len(groups) + codes)._importance(kind, sign, min_count)
            values = np.full((2 * len(groups), weights.shape[1]), np.nan)  # NaN for a group missing from a half
            values[importance.groups] = np.abs(importance.values)
            yield values.reshape(2, len(groups), -1)

    if isinstance(by, str):
        groups = target_labels(groups, local.target_names)
    pairs = [(2 * i, 2 * i + 1) for i in range(n_splits)]
    result = _compared(halves(), pairs, k, drop, None if by is None else groups, None)
    if np.isnan(result.jaccard).all():
        least = counted(int(min_count), "explanation")
        in_group = "" if by is None else " of a group"
        raise ValueError(f"split_half needs features that at least {least} of a half{in_group} use, got none")
    return result


def _coded(labels: Array | None, n: int) -> tuple[Array, Array]:
    """Return the unique labels, and the position among them for each explanation."""
    if labels is None:
        return np.zeros(1, np.int64), np.zeros(n, np.int64)
    return np.unique(labels, return_inverse=True)


@ignoring_float_errors
def _compared(
    values_of_pairs: Iterator[Array],
    pairs: list[tuple[int, int]],
    k: int,
    drop: bool,
    groups: Array | None,
    names: tuple[str, ...] | None,
) -> Agreement:
    """Compare the values of each pair, (2, n_groups, d)."""
    rows, d = [], 0
    for a, b in values_of_pairs:
        d = a.shape[1]
        rows.append([_compare(*of_group, k, drop) for of_group in zip(a, b, strict=True)])
    table = np.array(rows) if groups is not None else np.array(rows)[:, 0]
    counts = table[..., len(MEASURES) :].astype(np.int64)
    measures = {name: table[..., m] for m, name in enumerate(MEASURES)}
    return Agreement(
        **measures,
        unused=counts[..., 0],
        top_sizes=counts[..., 1:],
        pairs=np.array(pairs),
        n_features=d,
        k=k,
        groups=groups,
        names=names,
    )


def _compare(a: Array, b: Array, k: int, drop: bool) -> tuple[float, ...]:
    """Return the measures, the number of features that neither uses, and the sizes of the two top k."""
    nan = float("nan")
    if np.isnan(a[0]) or np.isnan(b[0]):
        return (nan,) * len(MEASURES) + (0.0, 0.0, 0.0)
    top_a, top_b = top(a, k), top(b, k)
    either, used = np.count_nonzero(top_a | top_b), (a > 0) | (b > 0)
    jaccard = float(np.count_nonzero(top_a & top_b) / either) if either else nan
    sizes = (float(np.count_nonzero(mask)) for mask in (~used, top_a, top_b))
    if drop:
        a, b = a[used], b[used]
    return jaccard, *(measure(a, b) for measure in (kendall, spearman, pearson)), *sizes


def _described(values: Array) -> tuple[float, float, float, float, int]:
    """Mean, standard deviation, minimum, maximum and number of the values that are not NaN."""
    values = values[~np.isnan(values)]
    if not values.size:
        return (float("nan"),) * 4 + (0,)
    spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return float(values.mean()), spread, float(values.min()), float(values.max()), len(values)


def _as_drop(unused: object) -> bool:
    if not isinstance(unused, str) or unused not in get_args(Unused):
        raise ValueError(f'unused must be "keep" or "drop", got {short_repr(unused)}')
    return unused == "drop"
