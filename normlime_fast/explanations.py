"""Local explanations: a sparse matrix of weights and what belongs to its rows."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast.checks import Array, as_labels
from normlime_fast.importance import Importance, Kind, Sign, aggregate

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class LocalExplanations:
    """One sparse linear explanation per instance and target, as `NormLIME.explain` returns them.

    Attributes
    ----------
    weights : csr_array of shape (n_explanations, d), float64
        Change of the output per unit of z (for the Gaussian: per standard deviation of the noise). A feature that was
        not selected is not stored.
    intercept : ndarray of shape (n_explanations,)
        Value of the surrogate at the instance itself.
    r2 : ndarray of shape (n_explanations,)
        In-sample R^2 of the surrogate; 0 for an empty one.
    prediction : ndarray of shape (n_explanations,)
        The model's output for the instance and target.
    status : ndarray of int of shape (n_explanations,)
        0 as asked; 1 the path ended with fewer features; 2 the output did not vary (empty); 3 all weights 0 (empty);
        4 not converged (approximate); 5 the output's range overflows (empty).
    instance : ndarray of int of shape (n_explanations,)
        Number of the row explained: its position in X, or its entry of `index`.
    target : ndarray of int of shape (n_explanations,)
        Number of the output explained.
    feature_names, target_names : tuple of str, or None
        Names, where the data or the model had them.
    """

    weights: "csr_array"
    intercept: Array
    r2: Array
    prediction: Array
    status: Array
    instance: Array
    target: Array
    feature_names: tuple[str, ...] | None = None
    target_names: tuple[str, ...] | None = None

    def importance(
        self, kind: Kind = "normlime", by: str | ArrayLike | None = None, sign: Sign = "absolute"
    ) -> Importance:
        """Aggregate the explanations into the importance of every feature.

        Parameters
        ----------
        kind, sign : str
            What to compute; see `ImportanceStatistics.importance`. The default is S(c_i), Eq. 3.
        by : None, "target", or array_like of shape (n_instances,)
            One importance over all explanations; or one per target explained (S_y(c_i), Eq. 9, where each instance was
            explained for its predicted class); or one per label, given for every instance in the order of X.

        Returns
        -------
        Importance

        Raises
        ------
        ValueError
            If `kind`, `sign` or `by` is none of these.

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
        if isinstance(by, str):
            if by != "target":
                raise ValueError(f'by must be None, "target" or one label per instance, got {by!r}')
            groups: Array | None = self.target
        elif by is None:
            groups = None
        else:
            numbers, first, position = np.unique(self.instance, return_index=True, return_inverse=True)
            order = np.argsort(np.argsort(first))  # of the numbers, as X had them
            groups = as_labels(by, "by", len(numbers), "instance")[order[position]]
        result = aggregate(self.weights, groups, feature_names=self.feature_names).importance(kind, sign)
        if isinstance(by, str) and self.target_names is not None and result.groups is not None:
            return replace(result, groups=np.array([self.target_names[target] for target in result.groups]))
        return result
