"""Categories, and missing and special values, kept or drawn by their shares; numbers rounded to steps.

Random numbers are those of the same counter-based generator as normal variates (gaussian.py).

Every draw is a function of only (seed, set of samples, position): draws of a set come in blocks of 256 counters, and
within a block, word v of counter i is at v * 256 + i.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.gaussian import COUNTERS, random_words
from normlime_fast._kernels.jit import kernel

Array = NDArray[Any]


u32 = np.uint32
u64 = np.uint64
f32 = np.float32
f64 = np.float64


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
    """Where `number` is among numbers[first:last], which ascend, NaN last; -1 if it is not."""
    if number != number:
        return last - 1 if last > first and numbers[last - 1] != numbers[last - 1] else -1
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
    purpose: u64,
    start: int,
    keep: float,
    columns: Array,
    firsts: Array,
    states: Array,
    cumulative: Array,
    numbers: Array,
    Z: Array,
    inputs: Array,
) -> None:
    """Draw columns of every sample from the values that occur; the other columns are left as they are.

    The values of columns[c] are numbers[t], firsts[c] <= t < firsts[c + 1], and cumulative[t] is the share of those up
    to t. The first states[c] of them ascend, NaN last: categories, of which there is nothing else, or special values of
    a column of numbers, before values that represent the rest.

    An instance of X (m, d) that is in a state, or NaN, keeps it with probability `keep`, and else gets one of the other
    values by their shares; where keep is 0, any by their shares. Another instance, a number, is left as it is, but by
    the share of the states gets one of them. inputs (m, n, d) gets the numbers; Z (m, n, d) gets 0 where the state of
    the instance is kept, else -1. Random numbers begin at counter `start` of the purpose.
    """
    m, n, _ = Z.shape
    words = np.empty(4 * COUNTERS, np.uint32)
    guide = np.empty((columns.size, 256), np.int64)
    _guide(firsts, cumulative, guide)
    own = np.empty(columns.size, np.int64)
    below, share = np.zeros(columns.size), np.zeros(columns.size)  # of all: the values before its own, and its own
    special = np.zeros(columns.size)  # the share of the states, for a number
    for k in range(m):
        for c in range(columns.size):
            first, last = firsts[c], firsts[c + 1]
            x = X[k, columns[c]]
            own[c] = _position(numbers, first, first + states[c], x)
            below[c] = cumulative[own[c] - 1] if own[c] > first else 0.0
            share[c] = cumulative[own[c]] - below[c] if own[c] >= 0 and keep > 0.0 else 0.0
            is_number = own[c] < 0 and x == x and first + states[c] < last
            special[c] = -1.0
            if is_number:
                special[c] = cumulative[first + states[c] - 1] if states[c] > 0 else 0.0
        used = words.size
        position = start
        for i in range(n):
            for c in range(columns.size):
                if used == words.size:
                    random_words(seed, sets[k], purpose, position, words)
                    used = 0
                    position += COUNTERS
                uniform = words[used] * 2.0**-32
                used += 1
                j = columns[c]
                if special[c] >= 0.0:
                    if uniform >= special[c]:
                        continue
                elif uniform < keep:
                    inputs[k, i, j] = X[k, j]
                    Z[k, i, j] = f32(0.0)
                    continue
                else:
                    uniform = (uniform - keep) / (1.0 - keep) * (1.0 - share[c])
                    if uniform >= below[c]:  # shares of the others, without a gap for its own
                        uniform += share[c]
                t, last = guide[c, int(min(uniform * 256.0, 255.0))], firsts[c + 1] - 1
                while t < last and uniform >= cumulative[t]:
                    t += 1
                inputs[k, i, j] = numbers[t]
                Z[k, i, j] = f32(0.0) if t == own[c] else f32(-1.0)


@kernel
def round_to_steps(
    X: Array, columns: Array, steps: Array, lows: Array, highs: Array, scale: Array, Z: Array, inputs: Array
) -> None:
    """Round columns of every sample to whole steps, between the least and the greatest value of the data.

    What lies beyond is reflected at half a step from these, or from the instance's own value, of X (m, d), if that is
    farther out. Z gets the difference from the instance that is left, in units of `scale` (d,).
    """
    m, n, _ = Z.shape
    for k in range(m):
        for c in range(columns.size):
            j, step = columns[c], steps[c]
            x = f64(X[k, j])
            if x != x or scale[j] == 0.0:
                continue
            low, width = min(lows[c], x) - 0.5 * step, abs(max(highs[c], x) - min(lows[c], x)) + step
            for i in range(n):
                beyond = f64(inputs[k, i, j]) - low
                beyond -= 2.0 * width * np.floor(beyond / (2.0 * width))
                if beyond > width:
                    beyond = 2.0 * width - beyond
                value = np.rint((low + beyond) / step) * step
                value = min(max(value, min(lows[c], x)), max(highs[c], x))
                inputs[k, i, j] = value
                Z[k, i, j] = f32((f64(inputs[k, i, j]) - x) / scale[j])
