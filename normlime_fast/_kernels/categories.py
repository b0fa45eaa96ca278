"""Categories drawn by frequency, with the same counter-based generator as normal variates (see gaussian.py).

Every draw is a function of only (seed, set of samples, position): draws of a set come in blocks of 256 counters, and
within a block, word v of counter i is at v * 256 + i.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.gaussian import CATEGORY, COUNTERS, random_words
from normlime_fast._kernels.jit import kernel

Array = NDArray[Any]


u32 = np.uint32
u64 = np.uint64
f32 = np.float32


@kernel
def _guide(firsts: Array, cumulative: Array, guide: Array) -> None:
    """Fill guide (columns, 256) with the first category possible for a word with this first byte."""
    for c in range(firsts.size - 1):
        t, last = firsts[c], firsts[c + 1] - 1
        for byte in range(256):
            while t < last and byte * 2.0**-8 >= cumulative[t]:
                t += 1
            guide[c, byte] = t


@kernel
def redraw(
    seed: u64,
    sets: Array,
    X: Array,
    columns: Array,
    firsts: Array,
    cumulative: Array,
    numbers: Array,
    Z: Array,
    inputs: Array,
) -> None:
    """Draw the categorical columns of every sample; the other columns are left as they are.

    The categories of columns[c] are numbers[t], firsts[c] <= t < firsts[c + 1], and cumulative[t] is the relative
    frequency of those up to t. inputs (m, n, d) receives the numbers; Z (m, n, d) receives 0 if the number is that of
    the instance, X (m, d), else -1.
    """
    m, n, _ = Z.shape
    words = np.empty(4 * COUNTERS, np.uint32)
    guide = np.empty((columns.size, 256), np.int64)
    _guide(firsts, cumulative, guide)
    for k in range(m):
        used = words.size
        first = 0
        for i in range(n):
            for c in range(columns.size):
                if used == words.size:
                    random_words(seed, sets[k], u64(CATEGORY), first, words)
                    used = 0
                    first += COUNTERS
                word = words[used]
                used += 1
                t, last = guide[c, word >> u32(24)], firsts[c + 1] - 1
                while t < last and word * 2.0**-32 >= cumulative[t]:
                    t += 1
                j = columns[c]
                inputs[k, i, j] = numbers[t]
                Z[k, i, j] = f32(0.0) if numbers[t] == X[k, j] else f32(-1.0)
