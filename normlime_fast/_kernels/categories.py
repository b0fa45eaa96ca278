"""Categories kept or drawn by their frequency, by the same counter-based generator as normal variates (gaussian.py).

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
def _position(numbers: Array, first: int, last: int, number: float) -> int:
    """Where `number` is among numbers[first:last], which ascend; -1 if it is not."""
    stop = last
    while first < stop:
        middle = (first + stop) // 2
        if numbers[middle] < number:
            first = middle + 1
        else:
            stop = middle
    return first if first < last and numbers[first] == number else -1


@kernel
def redraw(
    seed: u64,
    sets: Array,
    X: Array,
    keep: float,
    columns: Array,
    firsts: Array,
    cumulative: Array,
    numbers: Array,
    Z: Array,
    inputs: Array,
) -> None:
    """Draw the categorical columns of every sample; the other columns are left as they are.

    The categories of columns[c] are numbers[t], firsts[c] <= t < firsts[c + 1], and cumulative[t] is the share of those
    up to t. A sample has the instance's own category, of X (m, d), with probability `keep`, else one of the others by
    their shares; where keep is 0, any by their shares. inputs (m, n, d) gets the numbers; Z (m, n, d) gets 0 where it
    is that of the instance, else -1.
    """
    m, n, _ = Z.shape
    words = np.empty(4 * COUNTERS, np.uint32)
    guide = np.empty((columns.size, 256), np.int64)
    _guide(firsts, cumulative, guide)
    own = np.empty(columns.size, np.int64)
    below, share = np.zeros(columns.size), np.zeros(columns.size)  # of all: the categories before its own, and its own
    for k in range(m):
        for c in range(columns.size):
            own[c] = _position(numbers, firsts[c], firsts[c + 1], X[k, columns[c]])
            below[c] = cumulative[own[c] - 1] if own[c] > firsts[c] else 0.0
            share[c] = cumulative[own[c]] - below[c] if own[c] >= 0 and keep > 0.0 else 0.0
        used = words.size
        first = 0
        for i in range(n):
            for c in range(columns.size):
                if used == words.size:
                    random_words(seed, sets[k], u64(CATEGORY), first, words)
                    used = 0
                    first += COUNTERS
                uniform = words[used] * 2.0**-32
                used += 1
                j = columns[c]
                if uniform < keep:
                    inputs[k, i, j] = X[k, j]
                    Z[k, i, j] = f32(0.0)
                    continue
                uniform = (uniform - keep) / (1.0 - keep) * (1.0 - share[c])
                if uniform >= below[c]:  # shares of the others, without a gap for its own
                    uniform += share[c]
                t, last = guide[c, int(min(uniform * 256.0, 255.0))], firsts[c + 1] - 1
                while t < last and uniform >= cumulative[t]:
                    t += 1
                inputs[k, i, j] = numbers[t]
                Z[k, i, j] = f32(0.0) if t == own[c] else f32(-1.0)
