"""Groups of features, such as the columns of a one-hot encoded category, as one feature."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from normlime_fast._checks import Array, short_repr
from normlime_fast._kernels.surrogate import EQUAL
from normlime_fast._results.selection import column_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def as_feature_groups(groups: Any, names: tuple[str, ...] | None, d: int) -> tuple[Array, tuple[str, ...]]:
    """Return the new column of each of d columns, and the names of the new columns.

    A group is where its first column was; columns outside of groups keep their names, or get their numbers as names.
    """
    if not isinstance(groups, Mapping):
        raise TypeError(f"groups must be a dict of names to lists of columns, got {short_repr(groups)}")
    group_of: dict[int, str] = {}
    for name, columns in groups.items():
        if not isinstance(name, str):
            raise TypeError(f"groups must have text as names, got {short_repr(name)}")
        if isinstance(columns, str | bytes | Mapping) or not hasattr(type(columns), "__iter__"):
            raise TypeError(f"groups must have a list of columns for {short_repr(name)}, got {short_repr(columns)}")
        for feature in (members := list(columns)):
            column = column_of(feature, names if isinstance(feature, str) else None, d)
            if column in group_of:
                where = " and ".join(dict.fromkeys([short_repr(group_of[column]), short_repr(name)]))
                raise ValueError(f"groups must not share columns, got {short_repr(feature)} twice, in {where}")
            group_of[column] = name
        if not members:
            raise ValueError(f"groups must not be empty, got no columns for {short_repr(name)}")
    new: dict[str | int, int] = {}
    place = np.array([new.setdefault(group_of.get(column, column), len(new)) for column in range(d)], np.int64)
    outside = {str(column) if names is None else names[column] for column in range(d) if column not in group_of}
    taken = [name for name in groups if name in outside]
    if taken:
        raise ValueError(f"groups must have names that no other column has, got {short_repr(taken[0])}")
    labels = (key if isinstance(key, str) else str(key) if names is None else names[key] for key in new)
    return place, tuple(labels)


def summed_columns(matrix: "csr_array", place: Array, d: int) -> "csr_array":
    """Return the sums of the columns with the same `place`, of d; those that are only rounding errors are 0."""
    from scipy.sparse import csr_array

    def total(data: Array) -> "csr_array":
        summed = csr_array((data, place[matrix.indices], matrix.indptr.copy()), shape=(matrix.shape[0], d))
        summed.sum_duplicates()
        return summed

    sums, sizes = total(matrix.data.copy()), total(np.abs(matrix.data))  # of the same structure
    sums.data[np.abs(sums.data) <= EQUAL * sizes.data] = 0.0
    sums.eliminate_zeros()
    return sums
