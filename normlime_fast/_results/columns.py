"""Results with many columns, few of them in use: compute with these only, and limit the memory of the result."""

from typing import TYPE_CHECKING

import numpy as np

from normlime_fast._checks import Array

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_WIDE = 1 << 16  # columns; above this, leaving some out may pay
_LARGE = 1 << 26  # columns times groups: 2 GiB of an Importance, 7 GiB of sums; 4 groups of 2^24 hashed words
_TIMES = 100  # a result of any size may take this many times the memory of the weights


def narrowed(weights: "csr_array") -> tuple["csr_array", Array | None]:
    """Drop the unused columns if they are the majority; one last column stands for all of them.

    Also returns the columns kept, or None for all. Results computed from them are the same to the bit.
    """
    n, d = weights.shape
    if d <= 4 * weights.nnz + _WIDE:
        return weights, None
    from scipy.sparse import csr_array

    weights = csr_array(weights)  # the user may have set another type
    columns, places = np.unique(weights.indices, return_inverse=True)
    check_columns(columns, d)
    return csr_array((weights.data, places, weights.indptr), shape=(n, len(columns) + 1)), columns


def widened(array: Array, columns: Array, d: int) -> Array:
    """Return an array (..., d) from one for `columns` whose last entry is for all other columns."""
    result = np.empty((*array.shape[:-1], d), array.dtype)
    result[...] = array[..., -1:]
    result[..., columns] = array[..., :-1]
    return result


def check_width(weights: "csr_array", n_groups: int, noun: str, size: int) -> None:
    """Refuse a result of `size` bytes per column and group if it is large, also compared with the weights."""
    cells = weights.shape[1] * n_groups
    if cells > _LARGE and cells * size > _TIMES * (
        weights.data.nbytes + weights.indices.nbytes + weights.indptr.nbytes
    ):
        columns = f"{weights.shape[1]:,} ({len(np.unique(weights.indices)):,} in use)"
        groups, fewer = (f"{n_groups:,} groups", ", or make fewer groups") if n_groups > 1 else ("1 group", "")
        raise ValueError(
            f"weights must have fewer columns, got {columns}: {noun} for {groups} would take"
            f" {cells * size / 2**30:.1f} GiB; keep the columns that you need, as in weights[:, columns]{fewer}"
        )


def check_columns(indices: Array, d: int) -> None:
    """Refuse column indices out of range."""
    for column in (indices.min(initial=0), indices.max(initial=0)):
        if not 0 <= column < d:
            raise ValueError(f"weights must have column indices from 0 to {d - 1}, got {column}")
