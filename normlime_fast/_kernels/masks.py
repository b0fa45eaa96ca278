"""Presence and absence: random masks, and rows, images, sparse rows and texts with features switched off.

A mask's z is 0 where a feature is on and -1 where it is off; the first sample of a set is the instance itself, all on.
Values are copied as unsigned integers of their size, so that one kernel serves all types of a width.

Random words are Philox's, keyed as in gaussian.py, so that a set's masks depend only on (seed, number of the set).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.gaussian import COUNTERS, MASK, random_words
from normlime_fast._kernels.jit import kernel

Array = NDArray[Any]

POSITIONS = 1024  # of a row per loop, which stay in the cache while several rows share a mask

u32 = np.uint32
u64 = np.uint64
i64 = np.int64
f32 = np.float32


@kernel
def _draw_by_chance(seed: u64, key: u64, chance: u32, random: Array, z: Array) -> None:
    """Switch every feature of z off unless its random word is below `chance`."""
    for start in range(0, z.size, random.size):
        random_words(seed, key, u64(MASK), start // 4, random)
        piece = z[start : start + random.size]
        for i in range(piece.size):
            piece[i] = f32(0.0) if random[i] < chance else f32(-1.0)


@kernel
def _draw_by_number(seed: u64, key: u64, random: Array, order: Array, z: Array) -> None:
    """Switch off a number of features uniform on 1..d: the first of a partially shuffled order.

    Each sample continues with the order of the previous one: a shuffle is uniform from any starting order.
    """
    n, d = z.shape
    for i in range(1, n):
        random_words(seed, key, u64(MASK), i * (random.size // 4), random)
        off = 1 + i64((u64(random[0]) * u64(d)) >> u64(32))
        fewer = min(off, d - off)
        common, rare = (f32(0.0), f32(-1.0)) if fewer == off else (f32(-1.0), f32(0.0))
        for j in range(d):
            z[i, j] = common
        for j in range(fewer):
            other = j + i64((u64(random[1 + j]) * u64(d - j)) >> u64(32))
            chosen = order[other]
            order[other] = order[j]
            order[j] = chosen
            z[i, chosen] = rare


@kernel(fastmath={"reassoc"})  # sums of small integers are exact in any order
def _weigh(z: Array, table: Array, weights: Array) -> None:
    """Look up each sample's weight by the number of features that are on."""
    for i in range(z.shape[0]):
        off = f32(0.0)
        for j in range(z.shape[1]):
            off += z[i, j]
        weights[i] = table[z.shape[1] + i64(off)]


@kernel
def draw(seed: u64, keys: Array, chance: u32, table: Array, Z: Array, weights: Array) -> None:
    """Draw the masks of every key into Z (m, n, d), and their weights (m, n) from `table` (d + 1,) unless it is empty.

    A feature is on with probability chance / 2**32. If chance is 0, lime's scheme for texts is used: the number of
    features that are off is uniform on 1..d.
    """
    d = Z.shape[2]
    order = np.arange(d)
    random = np.empty(4 * COUNTERS if chance > u32(0) else 4 * (d // 8 + 1), np.uint32)  # 1 + d // 2 are used
    for k in range(Z.shape[0]):
        if chance > u32(0):
            _draw_by_chance(seed, keys[k], chance, random, Z[k].reshape(-1))
        elif d > 0:
            for j in range(d):
                order[j] = j
            _draw_by_number(seed, keys[k], random, order, Z[k])
        for j in range(d):
            Z[k, 0, j] = f32(0.0)
        if table.size > 0:
            _weigh(Z[k], table, weights[k])


@kernel
def render(Z: Array, starts: Array, X: Array, absent: Array, segment: Array, inputs: Array) -> None:
    """Switch off segments: write inputs (rows, n, size) from X where on and `absent` where off, both (rows, size).

    Set k is for rows starts[k] to starts[k + 1]; segment (size,) uint32 holds the feature of every position.
    """
    m, n, d = Z.shape
    size, lanes, zero, one = X.shape[1], 8 * X.itemsize, X.dtype.type(0), X.dtype.type(1)
    off = np.empty(d, X.dtype)  # bit s: whether the feature is off in sample s, for as many samples as bits
    spread = np.empty(POSITIONS, X.dtype)  # the same for positions, since the lookup is expensive
    for k in range(m):
        for start in range(0, n, lanes):
            off[:] = zero
            for i in range(start, min(start + lanes, n)):
                for j in range(d):
                    off[j] |= X.dtype.type(Z[k, i, j] != f32(0.0)) << X.dtype.type(i - start)
            for first in range(0, size, POSITIONS):
                here = segment[first : first + POSITIONS]
                for p in range(here.size):
                    spread[p] = off[here[p]]
                for row in range(starts[k], starts[k + 1]):
                    x, other = X[row, first:], absent[row, first:]
                    for i in range(start, min(start + lanes, n)):
                        bit, out = X.dtype.type(one << X.dtype.type(i - start)), inputs[row, i, first:]
                        for p in range(here.size):
                            present, without = x[p], other[p]  # both are read, so that LLVM can vectorise
                            out[p] = present if (spread[p] & bit) == zero else without


@kernel
def count(Z: Array, ends: Array) -> None:
    """Write cumulative counts of the features that are on to ends (n + 1,), for the z (n, d) of one set."""
    n, d = Z.shape
    ends[0] = 0
    for i in range(n):
        on = 0
        for j in range(d):
            on += Z[i, j] == f32(0.0)
        ends[i + 1] = ends[i] + on


@kernel
def thin(Z: Array, columns: Array, values: Array, columns_out: Array, values_out: Array) -> None:
    """Write the entries that are on, sample after sample; one position past the last is overwritten as well."""
    place = 0
    for i in range(Z.shape[0]):
        for j in range(Z.shape[1]):
            columns_out[place] = columns[j]
            values_out[place] = values[j]
            place += Z[i, j] == f32(0.0)


@kernel
def write(Z: Array, text: Array, feature: Array, ends: Array, out: Array) -> None:
    """Write the text n times without the characters of features that are off; text i ends before ends[i].

    feature (characters,) holds the feature of each character, d for those that always stay. One position past the last
    is overwritten as well.
    """
    n, d = Z.shape
    step = np.ones(d + 1, np.int64)
    place = 0
    for i in range(n):
        for j in range(d):
            step[j] = Z[i, j] == f32(0.0)
        for p in range(text.size):
            out[place] = text[p]
            place += step[feature[p]]
        ends[i] = place
