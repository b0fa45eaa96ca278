"""Feature importances computed from local explanations: ranking, intervals, tables and files."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from normlime_fast._checks import Array, as_count, as_probability, ignoring_float_errors
from normlime_fast._results import display, export
from normlime_fast._results.archive import Saved, labels_in, labels_out
from normlime_fast._results.selection import as_one_object, column_of
from normlime_fast._results.validation import as_counts, validate_importance
from normlime_fast._types import Layout

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, repr=False)
class Importance(Saved):
    """How important each feature is, over all explanations or per group.

    ``importance["age"]`` is the value of one feature, ``len(importance)`` the number of features.

    Attributes
    ----------
    values : ndarray of shape (d,) or (n_groups, d)
        The importance; 0 for a feature that fewer than `min_count` explanations use, if it is given.
    counts : ndarray of int, same shape
        |E(c_i)|: number of explanations that use the feature (with the requested sign). The fewer, the noisier the
        value; 0 means that no explanation selected the feature; nothing else is known about it.
    stderr : ndarray, same shape, or None
        Standard error of `values` if the kind is a mean; NaN for a mean of fewer than two, and where a `min_count`
        above 1 hides the value.
    explanations : ndarray of int of shape () or (n_groups,)
        Number of explanations, per group if there are groups; empty ones count.
    groups : ndarray of shape (n_groups,) or None
        Labels of the rows.
    feature_names : tuple of str or None
        Names of the columns.
    kind, sign, of : str
        As passed to `LocalExplanations.importance`.
    min_count : int or None
        Values of features with lower `counts` are hidden. None: no value is hidden, but features that few explanations
        use are listed after the others; see `top`.
    skewness : ndarray, same shape, or None
        Skewness of the sample behind each mean (adjusted Fisher-Pearson, G_1), for `interval`; NaN if unknown. If
        explanations share samples, that of the means of sets.
    shrink : bool
        Whether the values are shrunk. `stderr` is then approximately the square root of their mean squared error under
        the model of the shrinkage; `skewness` is None.
    effective : ndarray, same shape, or None
        Effective number of explanations behind each mean, if they have different weights: (sum v)^2 / sum v^2. If they
        share sets of samples, effective number of sets: 1 / sum p^2 of the sets' shares p of the explanations, and 2 or
        more.
    unexplained_names : tuple of str
        Names of targets without explanations, if the groups are targets with names: such as classes that the model
        never predicts, which are in no group.
    sets : ndarray of int of shape () or (n_groups,), or None
        If the explanations share samples, as with `Pool` and `Binned`: number of the sets of samples in use. `stderr`
        is then that of the mean of independent sets, and NaN with one set. None if no explanations share samples.
    debias : bool
        Whether the noise of the weights is subtracted. Values of features with weights of about 0 may then be slightly
        below 0.
    """

    _kind: ClassVar[str] = "Importance"

    values: Array
    counts: Array
    stderr: Array | None
    explanations: Array
    groups: Array | None
    feature_names: tuple[str, ...] | None
    kind: str
    sign: str
    min_count: int | None = None
    skewness: Array | None = None
    shrink: bool = False
    of: str = "weights"
    effective: Array | None = None
    unexplained_names: tuple[str, ...] = ()
    sets: Array | None = None
    debias: bool = False

    __iter__ = __contains__ = None  # ambiguous: a Series iterates over values, a dict over names

    def __len__(self) -> int:
        """Return the number of features."""
        return int(self.values.shape[-1])

    def __getitem__(self, feature: str | int) -> Any:
        """Return the value of one feature.

        Parameters
        ----------
        feature : str or int
            Its name or, if features have no names, its column, as in `top`.

        Returns
        -------
        float, or ndarray of shape (n_groups,)
            An array if there are groups.

        Raises
        ------
        KeyError
            If there is no such feature, or more than one; the message lists similar names.
        TypeError
            If `feature` is of another type.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> weights, names = [[0.0, 2.0], [1.0, -3.0]], ["age", "hours"]
        >>> nlf.aggregate(weights, feature_names=names).importance()["hours"]
        2.125
        >>> nlf.aggregate(weights, groups=["a", "b"], feature_names=names).importance()["hours"]
        array([2.  , 2.25])
        """
        value = self.values[..., column_of(feature, self.feature_names, len(self))]
        return value.copy() if self.groups is not None else value.item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return an array of no dimensions that holds this object; `values` has the numbers."""
        return as_one_object(self, dtype)

    @ignoring_float_errors
    def interval(self, level: float = 0.9) -> tuple[Array, Array]:
        """Return confidence intervals of the values, from Student's t distribution, corrected for skewness.

        A value is the mean of a sample: for "normlime" the explanations that use the feature, with count - 1 degrees of
        freedom; for "mean_abs" and "mean" all explanations of the group. Such samples have a long tail of large
        contributions, for which Student's intervals are too low; Hall's transformation of t corrects them for
        skewness. Each interval covers its own feature, not all features jointly. If explanations have different
        weights, their effective number takes the place of their number.

        Explanations that share samples, as with `Pool` and `Binned`, share their errors. There the sets of samples are
        the independent parts: skewness is that of the sets' means, the degrees of freedom are the effective number of
        sets - 1, and intervals are NaN with one set. Explanations that depend on each other in another way, such as
        those of the orders of one customer, need `evaluation.interval_by_blocks`.

        Parameters
        ----------
        level : float, default 0.9
            Probability, between 0 and 1, with which an interval covers the value that infinitely many explanations of
            rows like these would give: explanations of this number of samples, whose noise makes values too large; or,
            if the importance is debiased, approximately explanations of infinitely many samples.

        Returns
        -------
        low, high : ndarrays of the shape of `values`
            NaN where fewer than two explanations, or fewer than `min_count`, or those of only one set of samples, use
            the feature. Without correction where there are two, or if the skewness is unknown, as in the files of older
            releases.

        References
        ----------
        Cochran, "Sampling Techniques" (1977), on ratios of clusters, for explanations that share samples.
        Hall, "On the removal of skewness by transformation", Journal of the Royal Statistical Society B 54 (1992).

        Raises
        ------
        TypeError, ValueError
            If `level` is not a number between 0 and 1, the kind is not a mean ("l2", "sp_lime", "sum"), or the values
            are shrunk: they are biased on purpose, and an interval around them would not have the stated coverage.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> low, high = nlf.aggregate([[0.0, 2.0], [1.0, -3.0], [0.0, 2.5]]).importance().interval(level=0.95)
        >>> low.round(3), high.round(3)
        (array([  nan, 1.629]), array([  nan, 2.871]))
        """
        level = as_probability(level, "level")
        if self.stderr is None:
            raise ValueError(f"interval needs a kind that is a mean, normlime, mean_abs or mean, got {self.kind!r}")
        if self.shrink:
            raise ValueError("interval needs unshrunken values; use importance(shrink=False)")
        from scipy.special import stdtrit  # imported here: at the top, most of the time of `import normlime_fast`

        n = self.counts if self.kind == "normlime" else np.broadcast_to(self.explanations[..., None], self.counts.shape)
        n = n if self.effective is None else self.effective
        t = -stdtrit(n - 1.0, (1 - level) / 2)
        spread = np.where(self.counts < 2, np.nan, self.stderr)
        skewness = 0.0 if self.skewness is None else np.nan_to_num(self.skewness)
        skew = skewness / np.sqrt(np.maximum(n, 1))  # of the mean
        return self.values - spread * without_skew(t, skew), self.values - spread * without_skew(-t, skew)

    def top(self, k: int = 10) -> list[export.Ranked]:
        """Return the k most important features, per group if there are groups, by descending |value|.

        If the noise is subtracted, values below 0 are what is left of it, and come last, except for the sign "net".

        By default, features that few explanations use come after the others, whatever their value: those with a count
        below 5, or below a hundredth of the explanations of the group. The mean of so few explanations says little. So
        do all tables and plots, which mark them. ``importance(min_count=1)`` ranks all features alike.

        Parameters
        ----------
        k : int, default 10
            Largest number of features per group. Features that no explanation uses, or fewer than `min_count` if it is
            given, are left out. Equal values keep the features' order.

        Returns
        -------
        list of (group, feature, value, count, stderr) tuples
            `feature` is its name, or its column if there are no names.

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
        return [row for rows in export.top_features(self, k) for row in rows]

    def to_frame(self, layout: Layout = "long") -> "pandas.DataFrame":
        """Return a pandas DataFrame of all features, including those that `min_count` hides.

        Features that few explanations use come after the others of their group, as in `top`. The index has the order of
        the columns: ``frame.sort_index()`` restores it.

        Parameters
        ----------
        layout : {"long", "wide"}
            "long": one row per feature (and group). "wide": only the values, with one column per feature and one row
            per group, or a single row named after the kind.

        Returns
        -------
        pandas.DataFrame
            "long" has the columns ``group`` (if there are groups), ``feature``, ``value``, ``count``, ``stderr`` (if
            the kind is a mean), and ``few``, True for features that come after the others because few explanations use
            them. "wide" has the features in the order of the columns.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If `layout` is not one of these.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> nlf.aggregate([[0.0, 2.0], [1.0, -3.0]]).importance("l2").to_frame()
           feature     value  count    few
        0        0  1.000000      1  False
        1        1  3.605551      2  False
        >>> nlf.aggregate([[0.0, 2.0], [1.0, -3.0]], groups=["a", "b"]).importance().to_frame("wide").loc["b"].tolist()
        [0.25, 2.25]
        """
        frame: pandas.DataFrame = export.importance_frame(self, layout)
        return frame

    def to_dict(self, k: int | None = None) -> dict[str, Any]:
        """Return the importance as dicts, lists, numbers and text only, ready for `json.dumps`.

        Parameters
        ----------
        k : int, optional
            Only the `top` k features of each group, ranked; by default all features, in column order.

        Returns
        -------
        dict
            ``kind``, ``sign``, ``min_count``, ``shrink``, ``of``, ``debias``, ``unexplained_names`` and ``groups``: a
            list of dicts with ``group`` (None if there are no groups), ``explanations`` and ``features``, a list of
            dicts with ``feature``, ``value``, ``count`` and ``stderr`` (None if unknown).

        Raises
        ------
        TypeError, ValueError
            If `k` is not an integer of at least 1.

        Examples
        --------
        >>> import json
        >>> import normlime_fast as nlf
        >>> importance = nlf.aggregate([[0.0, 2.0], [1.0, -3.0]], feature_names=["a", "b"]).importance("l2")
        >>> print(json.dumps(importance.to_dict(1)["groups"][0]["features"]))
        [{"feature": "b", "value": 3.605551275463989, "count": 2, "stderr": null}]
        """
        return export.importance_dict(self, k)

    def to_shap(self) -> Any:
        """Return the importance as `shap.Explanation` objects that `shap.plots.bar` draws unchanged, signs included.

        shap labels the axis ``normlime(SHAP value)``, after the kind. Its last bar is the sum of the features that it
        does not show; pass ``max_display`` to show more.

        Returns
        -------
        shap.Explanation, or dict of label to shap.Explanation
            `values` of shape (d,); a dict if there are groups. `shap.plots.bar` draws a dict as bars side by side, with
            the number of explanations next to each label; it has patterns for 10 groups, so leave some out if there are
            more.

        Raises
        ------
        ImportError
            If shap is not installed.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> importance = nlf.aggregate([[0.0, 2.0], [1.0, -3.0]], feature_names=["a", "b"]).importance()
        >>> importance.to_shap().values  # for shap.plots.bar
        array([0.25 , 2.125])
        """
        from normlime_fast._results.shap import importance_to_shap

        return importance_to_shap(self)

    def __repr__(self) -> str:
        return f"<Importance: {display.importance_line(self)}>"

    def _repr_html_(self) -> str:
        return display.html(f"Importance: {display.importance_line(self)}", self)

    def _fields(self) -> tuple[dict[str, Array | None], dict[str, Any]]:
        groups, labels = labels_out(self.groups)
        scores = ("values", "counts", "stderr", "explanations", "skewness", "effective", "sets")
        names = ("feature_names", "kind", "sign", "min_count", "shrink", "of", "unexplained_names", "debias")
        arrays, header = ({name: getattr(self, name) for name in fields} for fields in (scores, names))
        return arrays | {"groups": groups}, {"groups": labels, **header}

    def _validate(self) -> None:
        validate_importance(self)

    @classmethod
    def _from_fields(cls, version: int, arrays: dict[str, Any], header: dict[str, Any]) -> Self:
        groups = labels_in(arrays.pop("groups", None), header.pop("groups"))
        if version < 4 and header.get("min_count") == 1:  # was the default
            header["min_count"] = None
        result = cls(**{"stderr": None} | arrays, groups=groups, **header)
        result._validate()
        counts, explanations = (as_counts(arrays[name], name) for name in ("counts", "explanations"))
        return replace(result, counts=counts, explanations=explanations)


def without_skew(t: Array, skew: Array) -> Array:
    """Return the deviation of a mean, in standard errors, whose transform by Hall (1992) is t."""
    a = np.where(np.abs(skew) < 1e-6, 1.0, skew)
    return np.where(np.abs(skew) < 1e-6, t, 3.0 / a * (np.cbrt(1.0 + a * (t - a / 6.0)) - 1.0))
