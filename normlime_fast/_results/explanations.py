"""Local explanations: a sparse matrix of weights and one entry per row for everything else."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_row_weights
from normlime_fast._messages import Message, Term
from normlime_fast._results import display, export
from normlime_fast._results.archive import Saved, labels_in, labels_out
from normlime_fast._results.columns import check_width, narrowed, widened
from normlime_fast._results.feature_groups import as_feature_groups, summed_columns
from normlime_fast._results.groups import by_instance, grouped, is_counted, target_labels
from normlime_fast._results.importance import Importance
from normlime_fast._results.selection import as_instance_ids, as_one_object, as_target_ids, rows_at, rows_with
from normlime_fast._results.significance import samples_for, significant
from normlime_fast._results.statistics import ImportanceStatistics, as_formula, as_of, sum_weights
from normlime_fast._results.validation import validate_local
from normlime_fast._status import Status
from normlime_fast._types import Kind, LocalLayout, Of, Sign

if TYPE_CHECKING:
    import pandas
    from scipy.sparse import csr_array

    from normlime_fast._results.submodular import Picked

COLUMNS = ("intercept", "r2", "prediction", "status", "instance", "target", "effective_samples")  # one entry per row
_OTHERS = ("contributions", "stderr")  # matrices with the same features in each row as the weights, or None
NO_CONTRIBUTIONS = (
    "contributions must be known, got none: samples of Gaussian have their mean at the instance, so that nothing"
    " contributes to its output, and older files do not have them; use the weights, or Pool, Binned or Mask"
)
NO_STDERR = (
    "there are no standard errors of the weights in older files, in explanations of lime, and for groups of columns"
)
_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True, eq=False, repr=False)
class LocalExplanations(Saved):
    """One sparse linear explanation per instance and target, as `NormLIME.explain` returns them.

    They are a collection: ``len(local)`` is the number of explanations, ``local[rows]`` selects by position, iterating
    yields them one by one, and `select` selects by instance and target. A selection is again a LocalExplanations with
    the same names; it shares no memory with the original.

    Attributes
    ----------
    weights : csr_array of shape (n_explanations, d), float64
        Change of the output per unit of z: for `Gaussian` and `Pool` per standard deviation of the noise or the data;
        for categories, bins and masks, the amount by which the output rises when the category or bin is that of the
        instance, or the part is present. A feature that was not selected is not stored.
    contributions : csr_array of shape (n_explanations, d), or None
        What each feature adds to the surrogate at the instance, compared with the mean of the samples: the weight times
        how far the instance is from their mean. They add up: ``base_value + contributions.sum(axis=1)`` is
        `intercept`. None for `Gaussian`, whose samples have their mean at the instance, and where they are not known,
        as in the files of releases that did not store them.
    stderr : csr_array of shape (n_explanations, d), or None
        Standard error of each weight: how far it would vary with other samples, for the features that were selected.
        From residuals, without the assumption that their spread is the same everywhere (White 1980); NaN if the
        effective sample size is at most one more than the number of features. With Sobol samples it is too large. None
        where it is not known.
    intercept : ndarray of shape (n_explanations,)
        Value of the surrogate at the instance itself.
    r2 : ndarray of shape (n_explanations,)
        In-sample R^2 of the surrogate; 0 for an empty one; NaN where another tool did not keep it.
    prediction : ndarray of shape (n_explanations,)
        The model's output for the instance and target; NaN where another tool did not keep it.
    status : ndarray of int of shape (n_explanations,)
        Outcome of each fit; see `Status`. With 6 to 9 there is no explanation: the row is empty, and no importance
        counts it. With 6 and 9, `intercept`, `r2` and `prediction` may be NaN, and `target` -1.
    instance : ndarray of int of shape (n_explanations,)
        Number of the row explained: its position in X, or its entry of `index`.
    target : ndarray of int of shape (n_explanations,)
        Number of the output explained.
    effective_samples : ndarray of shape (n_explanations,)
        Effective sample size of the fit, (sum p)^2 / sum p^2 of its proximity weights p: n_samples if all weights are
        equal, 1 if one sample has all the weight; 0 for status 6, 8 and 9; NaN if unknown, as in the files of releases
        that did not store it.
    feature_names, target_names : tuple of str, or None
        Names, if the data or the model had them.
    sample_set : ndarray of int of shape (n_explanations,), or None
        Number of the set of samples behind each explanation: those with the same number share samples, and so their
        errors, which the standard errors of importances take into account. None if no two instances share samples.
    index : ndarray of shape (n_explanations,), or None
        Label of the row behind each explanation, where rows have labels: the index of a pandas DataFrame or Series,
        such as after `train_test_split`. None if rows are only numbered.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import normlime_fast as nlf
    >>> local = nlf.NormLIME(lambda X: X @ [1.0, -2.0], nlf.Gaussian(1.0), n_features=2).explain(np.eye(2))
    >>> len(local), local[-1].instance, [explanation.r2.round(3).item() for explanation in local]
    (2, array([1]), [1.0, 1.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     local.save(folder + "/local.npz")
    ...     again = nlf.LocalExplanations.load(folder + "/local.npz")
    >>> (again.weights != local.weights).nnz
    0
    """

    _kind: ClassVar[str] = "LocalExplanations"

    weights: "csr_array"
    intercept: Array
    r2: Array
    prediction: Array
    status: Array
    instance: Array
    target: Array
    effective_samples: Array
    feature_names: tuple[str, ...] | None = None
    target_names: tuple[str, ...] | None = None
    contributions: "csr_array | None" = None
    stderr: "csr_array | None" = None
    sample_set: Array | None = None
    index: Array | None = None

    __contains__ = None  # membership is undefined: iterating yields new objects each time

    def __len__(self) -> int:
        """Return the number of explanations."""
        return len(self.status)

    def __getitem__(self, rows: "int | slice | ArrayLike") -> "LocalExplanations":
        """Return some explanations, by position.

        Parameters
        ----------
        rows : int, slice, boolean mask or array_like of int
            As for a one-dimensional NumPy array; negative positions count from the end. An int gives LocalExplanations
            of one explanation. A mask that is a Series is applied by position; its index is ignored.

        Returns
        -------
        LocalExplanations

        Raises
        ------
        IndexError
            If a position is out of range, or the length of a mask is wrong.
        TypeError
            If `rows` is of another type.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X**2 @ [1.0, -2.0], nlf.Gaussian(1.0), n_features=1, rng=0)
        >>> local = explainer.explain([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
        >>> local[0].instance, local[1:].instance, local[[2, 0]].instance
        (array([0]), array([1, 2]), array([2, 0]))
        >>> local[local.prediction < 0].instance
        array([0, 2])
        """
        places = rows_at(rows, len(self))
        fields: dict[str, Any] = {name: getattr(self, name)[places].copy() for name in COLUMNS}
        for name in _OTHERS:
            matrix = getattr(self, name)
            fields[name] = None if matrix is None else matrix[places]
        for name in ("sample_set", "index"):
            values = getattr(self, name)
            fields[name] = None if values is None else values[places].copy()
        return replace(self, weights=self.weights[places], **fields)

    def __iter__(self) -> "Iterator[LocalExplanations]":
        """Yield the explanations one by one, each as LocalExplanations of length 1."""
        return (self[place] for place in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return an array of no dimensions that holds this object; ``weights.toarray()`` gives the weights."""
        return as_one_object(self, dtype)

    def select(self, instance: Any = None, target: Any = None) -> "LocalExplanations":
        """Return the explanations of some instances, of some targets, or of both.

        Parameters
        ----------
        instance : int or array_like of int, optional
            Ids of instances, as in the attribute `instance`; by default all.
        target : int, str or list of these, optional
            Targets by number or name; by default all.

        Returns
        -------
        LocalExplanations
            In the order of `instance` as given and, within an instance, of `target` as given; otherwise in the original
            order. Empty if none of the instances was explained for any of the targets.

        Raises
        ------
        KeyError
            If an instance has no explanation, or a target has neither an explanation nor a name.
        TypeError
            If `instance` or `target` is of another type.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> model = lambda X: np.stack([X @ [1.0, -2.0], X @ [0.0, 3.0]], axis=1)
        >>> explainer = nlf.NormLIME(model, nlf.Gaussian(1.0), n_features=2, targets="all", rng=0)
        >>> local = explainer.explain(np.eye(2), index=[10, 20])
        >>> local.select(instance=20).target
        array([0, 1])
        >>> local.select(instance=[20, 10], target=1).instance
        array([20, 10])
        """
        selected = self
        if target is not None:
            wanted = as_target_ids(target, self.target, self.target_names)
            selected = selected[rows_with(selected.target, wanted)]
        if instance is not None:
            wanted = as_instance_ids(instance, self.instance)
            selected = selected[rows_with(selected.instance, wanted)]
        return selected if selected is not self else self[:]

    @property
    def base_value(self) -> Array:
        """Mean of the model's output over the samples, weighted: `intercept` minus the sum of the contributions."""
        return self.intercept - self._terms("contributions").sum(axis=1)

    def _terms(self, of: Of) -> "csr_array":
        """Return what importances are made of: the weights or the contributions."""
        terms: csr_array | None = getattr(self, as_of(of))
        if terms is None:
            raise ValueError(NO_CONTRIBUTIONS)
        return terms

    def importance(
        self,
        kind: Kind = "normlime",
        by: str | ArrayLike | None = None,
        sign: Sign = "absolute",
        min_count: int | None = None,
        shrink: bool = False,
        of: Of = "weights",
        weights: ArrayLike | None = None,
        debias: bool = False,
    ) -> Importance:
        """Aggregate the explanations into the importance of every feature.

        Parameters
        ----------
        kind, sign : str
            Formula of the importance; see `ImportanceStatistics.importance`. The default is S(c_i), Eq. 3.
        by : None, "target", or array_like of shape (n_instances,)
            One importance over all explanations; or one per target explained (S_y(c_i), Eq. 9, if each instance was
            explained for its predicted class), which names the targets without explanations; or one per label, given
            for every instance in the order of X. The index of a Series is ignored.
        min_count : int, optional
            Hides features that fewer explanations use (of the group, with the requested sign). By default nothing is
            hidden, but features that few explanations use are listed after the others; with 1, they are not. See
            `ImportanceStatistics.importance` and `Importance.top`.
        shrink : bool, default False
            Shrinks noisy values toward those of features of the group that are used about as often; for "normlime".
            See `ImportanceStatistics.importance`.
        of : {"weights", "contributions"}, default "weights"
            What is aggregated. Weights tell how far the output moves if a feature changes; contributions, how far it is
            moved by the values that the instances have, compared with the mean of the samples. A rare flag has the same
            weight everywhere, but contributes where it is set. Not for `Gaussian`, which has no contributions.
        weights : array_like of shape (n_instances,), optional
            How much each instance counts, in the order of X, such as its survey weight or exposure; see `aggregate`.
            The index of a Series is ignored.
        debias : bool, default False
            Subtracts the noise of the weights, by their `stderr`: with it, all values are closer to those of infinitely
            many samples, and those of features that the model does not use are about 0, or slightly below. Needs the
            standard errors of all weights; see `aggregate`. Not for the kinds "mean" and "sum", which noise does not
            bias, nor with `shrink`.

        Returns
        -------
        Importance
            Computed from all explanations except those with status 6 to 9.

        Raises
        ------
        TypeError, ValueError
            If `kind`, `sign`, `by`, `min_count`, `shrink`, `of`, `weights` or `debias` is invalid, there are no
            contributions, or no standard errors for `debias`, all explanations have status 6 to 9, or the result, 32
            bytes per column and group, would be very large compared with the weights.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0, 0.0], nlf.Gaussian(1.0), n_features=2, rng=0)
        >>> local = explainer.explain(np.zeros((4, 3)))
        >>> local.importance().values.round(3)
        array([0.333, 1.333, 0.   ])
        >>> local.importance(by=["a", "a", "b", "b"]).groups
        array(['a', 'b'], dtype='<U1')
        """
        used, columns = self._used_importance(kind, by, sign, min_count, shrink, of, weights, debias)
        if columns is None:
            return used
        check_width(self.weights, used.explanations.size, "importances", 32)
        fields = {name: getattr(used, name) for name in ("values", "counts", "stderr", "skewness", "effective")}
        d = self.weights.shape[1]
        arrays: dict[str, Any] = {name: widened(a, columns, d) for name, a in fields.items() if a is not None}
        return replace(used, feature_names=None, **arrays)

    def grouped(self, groups: "Mapping[str, Iterable[str | int]]") -> "LocalExplanations":
        """Return the explanations with groups of columns as one feature, such as those of a one-hot encoded category.

        The contribution of a group is the sum of its columns' contributions, with their signs: how far the output is
        moved by the values of all of them together. So a category counts once for each row, and columns that cancel
        count as little as they do in the model.

        Parameters
        ----------
        groups : mapping of str to list of str or int
            Columns of each group, by name or number, such as ``{"city": ["city_A", "city_B"]}``. A group takes the
            place of its first column; all other columns stay as they are.

        Returns
        -------
        LocalExplanations
            A group has no unit of its own: `weights` are the contributions, of groups and of all other columns, so that
            every `importance` is one of contributions. `stderr` is None.

        Raises
        ------
        KeyError
            If a column does not exist; the message lists similar names.
        TypeError, ValueError
            If `groups` is not such a mapping, a group is empty, groups share a column, a group has the name of another
            column, or there are no contributions, as for `Gaussian`.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> X = np.eye(3)[np.arange(300) % 3]  # a category as three columns
        >>> explainer = nlf.NormLIME(lambda X: X @ [0.0, 1.0, 2.0], nlf.Binned.from_data(X), n_features=3, rng=0)
        >>> city = explainer.explain(X[:3]).grouped({"city": [0, 1, 2]})
        >>> city.feature_names, (city.contributions.toarray().ravel() + city.base_value).round(3)
        (('city',), array([0., 1., 2.]))
        """
        check_width(self.weights, 1, "the names of all columns", 64)
        place, names = as_feature_groups(groups, self.feature_names, self.weights.shape[1])
        contributions = summed_columns(self._terms("contributions"), place, len(names))
        weights = contributions.copy()
        return replace(self[:], weights=weights, contributions=contributions, stderr=None, feature_names=names)

    def significant(self, level: float = 0.05) -> "LocalExplanations":
        """Return the explanations without the weights that are not told apart from 0.

        A weight stays if |w| / s is above the quantile of Student's t distribution for a two-sided test at `level`
        divided by d, the number of features (Bonferroni): if the output does not depend on any feature, about that
        share of explanations keeps one, also if features were selected as the largest of all (6 to 8 % with 300
        samples, 9 to 15 % with 60, for the level 0.05). Degrees of freedom are the effective samples less the features
        used and 1. Weights are not fitted again.

        Importances change in a way that has to be kept in mind: "normlime" is a mean over the explanations that use a
        feature, and so becomes one over those that use it visibly, which is larger. To subtract the noise and keep all
        explanations, use ``importance(debias=True)``.

        Parameters
        ----------
        level : float, default 0.05
            Probability, between 0 and 1, that an explanation keeps any feature that does not matter.

        Returns
        -------
        LocalExplanations
            `contributions` and `stderr` are filtered alike. The contributions of features without weight are taken off
            `intercept`, so that `base_value`, the mean over the samples, stays. `r2` is that of the full explanation.
            Explanations with fewer weights than before get status 1 if they had 0. Those that lose all of them still
            count, as explanations that use no feature. Weights without a standard error (NaN) are left out.

        Raises
        ------
        TypeError, ValueError
            If `level` is not a number between 0 and 1, or the standard errors of the weights are not known.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X[:, 0] + X[:, 0] * X[:, 1], nlf.Gaussian(1.0), n_features=3, rng=0)
        >>> local = explainer.explain(np.zeros((20, 3)))
        >>> local.importance().counts, local.significant().importance().counts
        (array([20, 20, 20]), array([20,  0,  0]))
        """
        return significant(self, level)

    def samples_for(self, error: float, n_samples: int) -> Array:
        """Return how many samples would bring the standard errors of each explanation's leading weights to `error`.

        The leading weights are those at least half as large as the largest: the ones that a reader looks at first, and
        that count most in importances. The number is extrapolated from `stderr`: variances of weights fall as one over
        the number of samples, less that of the features used. Use one that suffices for most explanations, such as
        ``np.nanquantile(..., 0.9)``, or for all. If there are fewer than about 100 effective samples, their errors are
        estimated too low, and those of the larger number come out 10 to 20 % above `error`. For Sobol samples the
        number is too large, as their `stderr` is.

        Parameters
        ----------
        error : float
            The standard error wanted, in the unit of the weights.
        n_samples : int
            Number of samples that these explanations were made with: `n_samples` of their explainer.

        Returns
        -------
        ndarray of shape (n_explanations,)
            Whole numbers, as floats; NaN for explanations without weights or without standard errors.

        Raises
        ------
        TypeError, ValueError
            If `error` is not a number above 0, `n_samples` not an integer of at least 1, or the standard errors of the
            weights are not known.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> model = lambda X: np.sin(2 * X[:, 0]) + X[:, 1]
        >>> explainer = nlf.NormLIME(model, nlf.Gaussian(1.0), n_features=2, n_samples=200, rng=0)
        >>> local = explainer.explain(np.zeros((50, 2)))
        >>> local.stderr.mean().round(3).item(), np.nanquantile(local.samples_for(0.02, 200), 0.9).round(-1).item()
        (0.057, 1300.0)
        """
        return samples_for(self, error, n_samples)

    def to_frame(self, layout: LocalLayout = "long") -> "pandas.DataFrame":
        """Return a pandas DataFrame.

        Parameters
        ----------
        layout : {"long", "wide", "fits"}
            "long": one row per weight. "wide": one row per explanation and one column per feature, 0 if it is not used;
            each cell takes 8 bytes. "fits": one row per explanation, without the weights.

        Returns
        -------
        pandas.DataFrame
            "long" has the columns ``instance``, ``target`` (a name, if targets have names), ``feature`` and ``weight``;
            "wide" has an index of instance and target; "fits" has ``instance``, ``target``, ``n_features``,
            ``intercept``, ``r2``, ``prediction``, ``status`` and ``effective_samples``. If rows have labels, these are
            the index of all three, so that ``X.join(frame)`` gives each row its own; in "wide" beside the targets, if
            there are several for a row.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If `layout` is not one of these.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0, 0.0], nlf.Gaussian(1.0), n_features=2, rng=0)
        >>> explainer.explain(np.zeros((1, 3))).to_frame().round(3)
           instance  target  feature  weight
        0         0       0        0     1.0
        1         0       0        1    -2.0
        """
        frame: pandas.DataFrame = export.local_frame(self, layout)
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return the explanations as dicts, lists, numbers and text only, ready for `json.dumps`.

        Returns
        -------
        dict
            ``columns``, the number of features, and ``explanations``: a list of dicts with ``instance``, ``target``,
            ``status``, ``intercept``, ``r2``, ``prediction``, ``effective_samples`` (None for NaN) and ``weights``, a
            list of dicts with ``feature`` and ``weight``, the largest |weight| first.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X @ [0.0, -2.0, 0.0], nlf.Gaussian(1.0), n_features=1, rng=0)
        >>> [w["feature"] for w in explainer.explain(np.zeros((1, 3))).to_dict()["explanations"][0]["weights"]]
        [1]
        """
        return export.local_dict(self)

    def to_shap(self, X: Any = None) -> Any:
        """Return the explanations as one `shap.Explanation`, which shap's plots draw.

        `values` are the `contributions`, `base_values` is the `base_value`: `shap.plots.waterfall` goes from the mean
        output over the samples to the surrogate at the instance, `intercept`.

        Without contributions, as for `Gaussian`, `values` are the weights, and `base_values` is the rest of the
        surrogate, so that ``base_values + values.sum(1)`` is `intercept`, too. Then a value is the change of the output
        per standard deviation of the noise or, for a category, the amount that having it adds; `base_values` means
        little by itself. The plots call all of these SHAP values; they come from a LIME surrogate.

        Parameters
        ----------
        X : DataFrame, array or sparse matrix of shape (n_instances, d), optional
            The rows explained, one per instance, in the order given to `explain`; explanations with status 6 to 9 are
            left out, and so are their rows of X. It becomes `data`: an array of numbers, or of objects if a column
            holds something else. bar, beeswarm, decision, heatmap, violin and waterfall work without it (violin fails
            on values that are not numbers), scatter does not. Leave X out for texts, images and other data without one
            column per feature.

        Returns
        -------
        shap.Explanation
            `values` of shape (n, d), one row per explanation. If every instance has the same t > 1 targets, the shape
            is (n, d, t), with the targets in ascending order: pick one for a plot by position or name, as in
            ``explanation[:, :, 0]``. `output_names` has the targets' names, unless rows differ in their target. The
            arrays are dense: 8 n d t bytes for `values`, and up to 8 n d more for `data`.

        Raises
        ------
        ImportError
            If shap is not installed.
        TypeError, ValueError
            If X is not of shape (n_instances, d), its columns have other names, or all explanations have status 6 to 9.
        MemoryError
            If the dense arrays do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0, 0.0], nlf.Gaussian(1.0), n_features=2, rng=0)
        >>> X = np.zeros((4, 3))
        >>> explainer.explain(X).to_shap(X).values[0].round(3)  # for shap.plots.beeswarm and others
        array([ 1., -2.,  0.])
        """
        from normlime_fast._results.shap import local_to_shap

        return local_to_shap(self, X)

    def submodular_pick(self, budget: int, by: str | ArrayLike | None = None) -> "Picked | dict[Any, Picked]":
        """Pick a few instances to inspect, which together use as much of the importance as possible.

        This is SP-LIME. A feature's importance is the root of the sum of its |w| over all explanations (the kind
        "sp_lime"). Instances are picked greedily: each pick is the instance whose features add most to the importance
        covered so far. The result covers at least 1 - 1/e = 63 % of the optimum for the same number of instances. If
        several targets of an instance are explained, lime's `SubmodularPick` adds their signed weights, which may
        cancel; this method adds absolute values.

        Parameters
        ----------
        budget : int
            Largest number of instances to pick. Fewer are returned once every feature in use is covered (lime's
            `SubmodularPick` then adds arbitrary others).
        by : None, "target", or array_like of shape (n_instances,)
            As for `LocalExplanations.importance`: pick from all explanations; or, for each target, from its
            explanations only; or for each label, given for every instance in the order of X.

        Returns
        -------
        Picked, or dict of a Picked for every target or label
            Among instances that add equally much, the first in the order of X is picked (lime's `SubmodularPick` takes
            the last). Instances without weights are never picked. The keys of targets are their names, if they have
            distinct names.

        Raises
        ------
        TypeError, ValueError
            If `budget` is not an integer of at least 1, `by` is invalid, no explanation has a weight, or weights are
            not finite.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X**2 @ [1.0, 1.0], nlf.Gaussian(0.1), n_features=1, rng=0)
        >>> picked = explainer.explain([[0.0, 2.0], [3.0, 0.0], [2.5, 0.0]]).submodular_pick(budget=2)
        >>> picked.instances, picked.coverage.round(2)
        (array([1, 0]), array([0.62, 1.  ]))
        """
        from normlime_fast._results.submodular import submodular_pick

        return submodular_pick(self, budget, by)

    def __repr__(self) -> str:
        return f"<LocalExplanations: {display.local_line(self)}>"

    def _repr_html_(self) -> str:
        line = f"LocalExplanations: {display.local_line(self)}"
        caption = "<caption>importance over all of them</caption>"
        return display.html(line, self._used_importance()[0] if is_counted(self.status).any() else None, caption)

    def _used_importance(
        self,
        kind: Kind = "normlime",
        by: str | ArrayLike | None = None,
        sign: Sign = "absolute",
        min_count: int | None = None,
        shrink: bool = False,
        of: Of = "weights",
        weights: ArrayLike | None = None,
        debias: bool = False,
    ) -> tuple[Importance, Array | None]:
        """Return the importance of the columns that `narrowed` keeps, and the numbers of these columns.

        It ranks features as the importance of all columns does, in less memory. If features have names, all columns are
        kept.
        """
        as_formula(kind, sign, shrink, debias)
        terms, errors = self._terms(of), self._errors(of) if debias else None
        terms, columns = (terms, None) if self.feature_names is not None else narrowed(terms)
        if errors is not None and columns is not None:
            errors = narrowed(errors)[0]  # the same columns, since it has the same features
        row_weights = None
        if weights is not None:
            instance_ids, position = by_instance(self.instance)
            row_weights = as_row_weights(weights, len(instance_ids), "instance")
            if not row_weights[position][is_counted(self.status)].any():
                raise ValueError("weights of instances must not all be 0 where there are explanations")
        statistics = self._sums(terms, grouped(self.instance, self.target, by), of, row_weights, errors)
        if statistics is None:
            raise ValueError(f"importance needs explanations, {_why_unknown(self.status)}")
        if isinstance(by, str):
            statistics = with_target_names(statistics, self.target_names)
        result = statistics.importance(kind, sign, min_count, shrink)
        if columns is not None:
            numbers: Any = (*columns.tolist(), None)
            result = replace(result, feature_names=numbers)
        return result, columns

    def _statistics(
        self, groups: Array | None, of: Of = "weights", weights: Array | None = None, debias: bool = False
    ) -> ImportanceStatistics | None:
        """Sum the counted explanations by group, with the weights of instances; None if none counts."""
        return self._sums(self._terms(of), groups, of, weights, self._errors(of) if debias else None)

    def _errors(self, of: Of) -> "csr_array":
        """Return the standard errors of the terms, all of which must be known."""
        if self.stderr is None:
            raise ValueError(Message(Term("debias"), f" must be False, got True: {NO_STDERR}"))
        unknown = np.unique(np.repeat(np.arange(len(self)), np.diff(self.stderr.indptr))[np.isnan(self.stderr.data)])
        if unknown.size:
            got = f"those of {unknown.size} of {len(self)} explanations are NaN, first at position {unknown[0]}"
            why = "; their effective samples are too few, so use more samples or fewer features, or leave these out"
            raise ValueError(Message(Term("debias"), f" needs the standard errors of all weights, but {got}{why}"))
        if of == "weights":
            return self.stderr
        weights, parts = self.weights.data, np.abs(self._terms(of).data)
        moved = np.divide(parts, np.abs(weights), out=np.zeros_like(parts), where=weights != 0)
        return with_data(self.weights, moved * self.stderr.data)

    def _sums(
        self,
        terms: "csr_array",
        groups: Array | None,
        of: Of,
        weights: Array | None = None,
        errors: "csr_array | None" = None,
    ) -> ImportanceStatistics | None:
        counted = is_counted(self.status)
        row_weights = None if weights is None else weights[by_instance(self.instance)[1]]
        if not counted.any():
            return None
        sets = self.sample_set
        if not counted.all():
            of_rows = groups, row_weights, sets
            groups, row_weights, sets = (None if array is None else array[counted] for array in of_rows)
            terms, errors = terms[counted], None if errors is None else errors[counted]
        return replace(sum_weights(terms, groups, self.feature_names, row_weights, errors, sets), of=of)

    @classmethod
    def concatenate(cls, parts: "Iterable[LocalExplanations]") -> "LocalExplanations":
        """Concatenate the explanations of several runs, such as those of several processes or machines.

        Parameters
        ----------
        parts : iterable of LocalExplanations
            In the order wanted. Runs of one explainer over parts of X, each with its row numbers as `index`, give the
            same result as one run over X.

        Returns
        -------
        LocalExplanations

        Raises
        ------
        TypeError, ValueError
            If `parts` is empty, or the parts differ in columns, `feature_names` or `target_names`.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0], nlf.Gaussian(1.0), n_features=1, rng=0)
        >>> X = np.eye(2)
        >>> halves = [explainer.explain(X[:1], index=[0]), explainer.explain(X[1:], index=[1])]
        >>> nlf.LocalExplanations.concatenate(halves).instance
        array([0, 1])
        """
        parts = list(parts)
        _check_alike(parts)
        joined: dict[str, Any] = {name: _joined(name, [getattr(part, name) for part in parts]) for name in COLUMNS}
        for name in ("weights", *_OTHERS):
            matrices = [getattr(part, name) for part in parts]
            joined[name] = None if any(matrix is None for matrix in matrices) else _stacked(matrices)
        if any(part.sample_set is not None for part in parts):  # whatever is in one set, sets stay independent
            sets = [part.instance if part.sample_set is None else part.sample_set for part in parts]
            joined["sample_set"] = _joined("sample_set", sets)
        labels = [part.index for part in parts]
        joined["index"] = None if any(index is None for index in labels) else _labels_joined(labels)
        return replace(parts[0], **joined)

    def _fields(self) -> tuple[dict[str, Array | None], dict[str, Any]]:
        from scipy.sparse import csr_array

        if not isinstance(self.weights, csr_array):
            raise TypeError(f"weights must be a csr_array, got {type(self.weights).__name__}")
        parts = {name: getattr(self.weights, name) for name in _PARTS}
        others = {name: getattr(getattr(self, name), "data", None) for name in _OTHERS}
        index, labels = labels_out(self.index, "index")
        names = {"feature_names": self.feature_names, "target_names": self.target_names, "index": labels}
        header = {"columns": int(self.weights.shape[1]), **names}
        columns = {name: getattr(self, name) for name in (*COLUMNS, "sample_set")}
        return parts | others | columns | {"index": index}, header

    def _validate(self) -> None:
        validate_local(self)

    @classmethod
    def _from_fields(cls, version: int, arrays: dict[str, Any], header: dict[str, Any]) -> Self:
        from scipy.sparse import csr_array

        weights = csr_array((len(arrays["status"]), header.pop("columns")))
        for name in _PARTS:  # not passed to csr_array, which would choose another dtype for the indices
            setattr(weights, name, arrays.pop(name))
        for name in _OTHERS:
            if (data := arrays.pop(name, None)) is not None:
                arrays[name] = with_data(weights, data)
        arrays["index"] = labels_in(arrays.pop("index", None), header.pop("index", None), "index")
        if version == 1:
            arrays["effective_samples"] = np.full(len(arrays["status"]), np.nan)
        result = cls(weights, **arrays, **header)
        result._validate()
        return result


def with_data(weights: "csr_array", data: Array) -> "csr_array":
    """Return a matrix with other values for the same features."""
    from scipy.sparse import csr_array

    matrix = csr_array(weights.shape)
    # Of the same dtypes, which csr_array itself would choose; copies, since scipy changes a matrix in place.
    matrix.data, matrix.indices, matrix.indptr = data, weights.indices.copy(), weights.indptr.copy()
    return matrix


def _check_alike(parts: list[LocalExplanations]) -> None:
    if not parts:
        raise ValueError("concatenate needs at least one part, got none")
    for part in parts:
        if not isinstance(part, LocalExplanations):
            raise TypeError(f"concatenate needs LocalExplanations, got a {type(part).__name__}")
        if part.weights.shape[1] != parts[0].weights.shape[1]:
            columns = f"{parts[0].weights.shape[1]} and {part.weights.shape[1]}"
            raise ValueError(f"concatenate needs explanations of the same features, got {columns} columns")
        if part.feature_names != parts[0].feature_names:
            raise ValueError("concatenate needs explanations of the same features, got different feature_names")
        if part.target_names != parts[0].target_names:
            raise ValueError("concatenate needs explanations of the same outputs, got different target_names")


def _joined(name: str, arrays: list[Array]) -> Array:
    """Concatenate arrays; a mix of signed and unsigned integers, which NumPy would turn into floats, stays integer."""
    if {array.dtype.kind for array in arrays} != {"i", "u"}:
        return np.concatenate(arrays)
    least, largest = min(array.min(initial=0) for array in arrays), max(array.max(initial=0) for array in arrays)
    dtype = np.int64 if largest < 2**63 else np.uint64
    if least < 0 and dtype is np.uint64:
        raise ValueError(f"concatenate needs {name} numbers that fit one dtype, got {least} and {largest}")
    return np.concatenate(arrays, dtype=dtype, casting="unsafe")


def _labels_joined(labels: list[Any]) -> Array:
    """Concatenate labels of rows; of different kinds, as they are, which NumPy would turn into text."""
    kinds = {array.dtype.kind for array in labels}
    return np.concatenate(labels if len(kinds) == 1 else [array.astype(object) for array in labels])


def _stacked(matrices: "list[csr_array]") -> "csr_array":
    """Stack matrices. The index dtype depends only on the size of the result, not on the parts."""
    from scipy.sparse import csr_array

    lengths = np.concatenate([np.diff(matrix.indptr) for matrix in matrices])
    data = np.concatenate([matrix.data[: matrix.indptr[-1]] for matrix in matrices])
    shape = len(lengths), matrices[0].shape[1]
    index = np.int32 if max(*shape, len(data)) <= np.iinfo(np.int32).max else np.int64
    indices = np.concatenate([matrix.indices[: matrix.indptr[-1]] for matrix in matrices], dtype=index)
    indptr = np.zeros(len(lengths) + 1, index)
    np.cumsum(lengths, out=indptr[1:])
    return csr_array((data, indices, indptr), shape=shape)


def _why_unknown(statuses: Array) -> str:
    if not statuses.size:
        return "got none"
    counts = {status: np.count_nonzero(statuses == status) for status in Status if not status.counted}
    causes = [f"{count} with status {status} ({status.cause})" for status, count in counts.items() if count]
    return f"but all {statuses.size} are empty: {', '.join(causes)}"


def with_target_names(statistics: ImportanceStatistics, target_names: tuple[str, ...] | None) -> ImportanceStatistics:
    """Replace target numbers by target names as labels, if the names are distinct; note those without explanations."""
    if statistics.groups is None or target_names is None or len(set(target_names)) < len(target_names):
        return statistics
    explained = set(statistics.groups.tolist())
    unexplained = tuple(name for target, name in enumerate(target_names) if target not in explained)
    groups = target_labels(statistics.groups, target_names)
    return replace(statistics, groups=groups, unexplained_names=unexplained)
