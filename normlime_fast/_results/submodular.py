"""SP-LIME: pick a few instances whose explanations cover the importance (Ribeiro et al. 2016, Algorithm 2)."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_count, ignoring_float_errors
from normlime_fast._results.columns import narrowed
from normlime_fast._results.groups import by_instance, grouped, is_counted, target_labels, to_python

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from normlime_fast._results.explanations import LocalExplanations

_UNITS = 2.0**52  # sums of whole numbers below twice that are exact in float64


class Picked(NamedTuple):
    """Result of `submodular_pick`.

    Attributes
    ----------
    instances : ndarray of int
        Numbers of the instances, as in `LocalExplanations.instance`, in the order picked.
    coverage : ndarray
        Share of the total importance covered by the features used so far, after each pick; at most 1.
    """

    instances: Array
    coverage: Array


@ignoring_float_errors
def submodular_pick(
    local: "LocalExplanations", budget: int, by: str | ArrayLike | None = None
) -> Picked | dict[Any, Picked]:
    """See `LocalExplanations.submodular_pick`."""
    budget = as_count(budget, "budget")
    labels = grouped(local.instance, local.target, by)
    rows, weights = np.flatnonzero(is_counted(local.status)), narrowed(local.weights)[0]
    if not weights[rows].count_nonzero():
        raise ValueError("submodular_pick needs explanations with weights, got none")
    if labels is None:
        return _pick(weights[rows], local.instance[rows], budget)
    labels, codes, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
    if isinstance(by, str):
        labels = target_labels(labels, local.target_names)
    parts = np.split(rows[np.argsort(codes, kind="stable")], np.cumsum(counts)[:-1])
    picks = [_pick(weights[part], local.instance[part], budget) for part in parts]
    return dict(zip(to_python(labels), picks, strict=True))


def _pick(weights: "csr_array", instance: Array, budget: int) -> Picked:
    """Pick greedily, reading every weight once in total."""
    instances, position = by_instance(instance)
    used, importance = _cover(weights, position, len(instances))
    users, gains, total = used.tocsc(), used @ importance, importance.sum()
    picked, gained = [], []
    for _ in range(min(budget, len(instances))):
        best = int(gains.argmax())
        if gains[best] == 0:
            break
        picked.append(best)
        gained.append(gains[best])
        for feature in used.indices[used.indptr[best] : used.indptr[best + 1]]:
            gains[users.indices[users.indptr[feature] : users.indptr[feature + 1]]] -= importance[feature]
            importance[feature] = 0.0
    return Picked(instances[np.array(picked, np.int64)], np.cumsum(gained) / total)


def _cover(weights: "csr_array", position: Array, n_instances: int) -> tuple["csr_array", Array]:
    """Return a matrix of ones for the features that each instance uses, and the importances as whole numbers.

    Sums of whole numbers do not depend on the order of addition, so ties stay ties.
    """
    from scipy.sparse import csr_array

    entries, shape = weights.tocoo(), (n_instances, weights.shape[1])
    used = csr_array((np.abs(entries.data), (position[entries.row], entries.col)), shape=shape)  # adds duplicates
    used.eliminate_zeros()
    importance = np.sqrt(np.bincount(used.indices, used.data, shape[1]))
    total = importance.sum()
    if not np.isfinite(total):
        raise ValueError("weights must be finite, and their sums too; rescale the model's output if it is large")
    used.data = np.ones(used.nnz)
    return used, np.rint(importance * (_UNITS / total)) if total else importance
