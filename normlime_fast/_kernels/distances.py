"""Distances and features, relative to an instance, of points that several instances share.

A column holds either a coordinate, in standard deviations, or a category. Different categories have distance 1, and so
have a coordinate and a special value: NaN for a missing one, or an infinite one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.jit import kernel

Array = NDArray[Any]

LARGEST = 1e18  # largest |z|; points farther away get no weight


@kernel
def squared_distances(columns: Array, categorical: Array, x: Array, squares: Array) -> None:
    """Squared Euclidean distances (n,) of points, given by their columns (d, n), from x (d,)."""
    for i in range(squares.size):
        squares[i] = 0.0
    for j in range(x.size):
        column = columns[j]
        if x[j] != x[j]:
            for i in range(squares.size):
                squares[i] += 0.0 if column[i] != column[i] else 1.0
        elif categorical[j] or abs(x[j]) == np.inf:
            for i in range(squares.size):
                squares[i] += 0.0 if column[i] == x[j] else 1.0
        else:
            for i in range(squares.size):
                difference = column[i] - x[j]
                squares[i] += difference * difference if abs(column[i]) <= LARGEST else 1.0


@kernel
def relative_features(points: Array, categorical: Array, special: bool, x: Array, which: Array, Z: Array) -> None:
    """Write to Z[1 + i] (d,) the features of points[which[i]] relative to x; Z[0], x itself, is 0.

    z is the difference from x, or -1 if the category differs from that of x, or one of them is special; `special` says
    whether any is. The loop for each case is one that LLVM vectorises.
    """
    all_categorical = not special
    for j in range(x.size):
        Z[0, j] = 0.0
        all_categorical &= categorical[j]
    for i in range(which.size):
        point, z = points[which[i]], Z[1 + i]
        if all_categorical:
            for j in range(x.size):
                z[j] = 0.0 if point[j] == x[j] else -1.0
        elif not special:
            for j in range(x.size):
                difference = min(max(point[j] - x[j], -LARGEST), LARGEST)
                z[j] = (-1.0 if difference != 0.0 else 0.0) if categorical[j] else difference
        else:
            for j in range(x.size):
                same = point[j] == x[j] or (point[j] != point[j] and x[j] != x[j])
                indicator = categorical[j] or not (abs(point[j]) <= LARGEST and abs(x[j]) < np.inf)
                difference = min(max(point[j] - x[j], -LARGEST), LARGEST)
                z[j] = (0.0 if same else -1.0) if indicator else difference
