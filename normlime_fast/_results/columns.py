"""Results of many columns, few of which occur: computed from those, and refused if all would take too much memory."""

from typing import TYPE_CHECKING

import numpy as np

from normlime_fast._checks import Array

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_WIDE = 1 << 16  # columns, from which on it may pay to leave some out
_LARGE = 1 << 26  # columns times groups: 2 GiB of an Importance, 7 GiB of sums; 4 groups of 2^24 hashed words
_TIMES = 100  # the memory of the weights, which a result of any size may take


def narrowed(weights: "csr_array") -> tuple["csr_array", Array | None]:
    """Leave out the columns that do not occur where they are most, except for a last one that stands for them.

    Returns also which columns are kept, or None if all are. What is computed of them is the same to the bit.
    """
    n, d = weights.shape
    if d <= 4 * weights.nnz + _WIDE:
        return weights, None
    from scipy.sparse import csr_array

    weights = csr_array(weights)  # whatever the user has put there
    columns, places = np.unique(weights.indices, return_inverse=True)
    check_columns(columns, d)
    return csr_array((weights.data, places, weights.indptr), shape=(n, len(columns) + 1)), columns


def widened(array: Array, columns: Array, d: int) -> Array:
    """Return an array (..., d) from one of `columns` and, in the last place, of all others."""
    result = np.empty((*array.shape[:-1], d), array.dtype)
    result[...] = array[..., -1:]
    result[..., columns] = array[..., :-1]
    return result


def check_width(weights: "csr_array", n_groups: int, what: str, size: int) -> None:
    """Refuse a result of `size` bytes per column and group that is large, and large compared with the weights."""
    cells = weights.shape[1] * n_groups
    if cells > _LARGE and cells * size > _TIMES * (
        weights.data.nbytes + weights.indices.nbytes + weights.indptr.nbytes
    ):
        columns = f"{weights.shape[1]:,} ({len(np.unique(weights.indices)):,} in use)"
        groups, fewer = (f"{n_groups:,} groups", ", or make fewer groups") if n_groups > 1 else ("1 group", "")
        raise ValueError(
            f"weights must have fewer columns, got {columns}: {what} for {groups} would take"
            f" {cells * size / 2**30:.1f} GiB; keep the columns that you need, as in weights[:, columns]{fewer}"
        )


def check_columns(indices: Array, d: int) -> None:
    """Refuse indices of columns that do not exist."""
    for column in (indices.min(initial=0), indices.max(initial=0)):
        if not 0 <= column < d:
            raise ValueError(f"weights must have column indices from 0 to {d - 1}, got {column}")
