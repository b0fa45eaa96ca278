"""Cholesky factors of a Gram matrix on some of its features, row by row; collinear later features drop out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.jit import kernel
from normlime_fast._kernels.moments import COLLINEAR, Gram

Array = NDArray[Any]


# The flags allow sums in any order; inputs and results are finite.
@kernel(fastmath={"contract", "reassoc", "nsz"})
def append_row(L: Array, gram: Gram, support: Array, a: int, ridge: float) -> None:
    """Compute row a of the Cholesky factor of G + ridge I on `support`; its diagonal is 0 for a collinear feature."""
    column = gram.values[gram.row[support[a]]]
    for b in range(a + 1):
        rest = column[support[b]] + (ridge if a == b else 0.0)
        whole = rest
        for i in range(b):
            rest -= L[a, i] * L[b, i]
        if a > b:
            L[a, b] = rest / L[b, b] if L[b, b] > 0.0 else 0.0
        else:
            L[a, a] = np.sqrt(rest) if rest > COLLINEAR * whole else 0.0


@kernel(fastmath={"contract", "reassoc", "nsz"})
def substitute(L: Array, x: Array) -> Array:
    """Solve L L' x = b in place, with b passed as x; x is 0 where the diagonal is 0."""
    k = x.size
    for a in range(k):
        for i in range(a):
            x[a] -= L[a, i] * x[i]
        x[a] = x[a] / L[a, a] if L[a, a] > 0.0 else 0.0
    for a in range(k - 1, -1, -1):
        x[a] = x[a] / L[a, a] if L[a, a] > 0.0 else 0.0
        for i in range(a):
            x[i] -= L[a, i] * x[a]
    return x


@kernel(inline="always")
def factor(gram: Gram, support: Array, ridge: float) -> Array:
    """Factor G + ridge I on `support`."""
    L = np.zeros((support.size, support.size))
    for a in range(support.size):
        append_row(L, gram, support, a, ridge)
    return L
