"""Single-pass column sums over sparse local explanations (Eq. 3, 4, 6 and 9 of the paper).

With gamma = |w| / ||w||_1 over an explanation's own weights, every weight adds to the five sums of its group, sign and
feature:  1,  gamma |w|,  (gamma |w|)^2,  |w|,  w^2.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast.kernels.jit import kernel

Array = NDArray[Any]

SUMS = 5  # in the order above
POSITIVE, NEGATIVE = 0, 1
CHUNK = 1 << 16  # explanations that are summed on their own; sums of chunks are added in the order of the chunks


@kernel
def _add_chunk(indptr: Array, indices: Array, data: Array, groups: Array, sums: Array, explanations: Array) -> None:
    for row in range(groups.size):
        group = groups[row]
        explanations[group] += 1
        norm = 0.0
        for k in range(indptr[row], indptr[row + 1]):
            norm += abs(data[k])
        for k in range(indptr[row], indptr[row + 1]):
            size = abs(data[k])
            if size > 0.0:  # a stored zero is no weight
                contribution = size / norm * size
                cell = sums[group, POSITIVE if data[k] > 0.0 else NEGATIVE, indices[k]]
                cell[0] += 1.0
                cell[1] += contribution
                cell[2] += contribution * contribution
                cell[3] += size
                cell[4] += size * size


@kernel
def aggregate(indptr: Array, indices: Array, data: Array, groups: Array, sums: Array, explanations: Array) -> None:
    """Add a CSR matrix of weights to sums (n_groups, 2, d, SUMS), and its rows to explanations (n_groups,).

    groups (n,) int64 says which group each row belongs to.
    """
    chunk = np.empty_like(sums)
    for start in range(0, groups.size, CHUNK):
        stop = min(start + CHUNK, groups.size)
        chunk[:] = 0.0
        _add_chunk(indptr[start : stop + 1], indices, data, groups[start:stop], chunk, explanations)
        sums += chunk
