"""How an instance sees points that it shares with others: their distances from it, and their features relative to it.

A column holds either a coordinate, in standard deviations, or a category. Two categories are at a distance of 1.
"""

from typing import Any

from numpy.typing import NDArray

from normlime_fast._kernels.jit import kernel

Array = NDArray[Any]

LARGEST = 1e18  # |z|; farther points get no weight


@kernel
def squared_distances(columns: Array, categorical: Array, x: Array, squares: Array) -> None:
    """Squared Euclidean distances (n,) of points, given by their columns (d, n), from x (d,)."""
    for i in range(squares.size):
        squares[i] = 0.0
    for j in range(x.size):
        column = columns[j]
        if categorical[j]:
            for i in range(squares.size):
                squares[i] += 0.0 if column[i] == x[j] else 1.0
        else:
            for i in range(squares.size):
                difference = column[i] - x[j]
                squares[i] += difference * difference


@kernel
def relative_features(points: Array, categorical: Array, x: Array, which: Array, Z: Array) -> None:
    """Z[1 + i] (d,) of the point which[i], whose coordinates are points[which[i]]; Z[0] is x itself, 0.

    z is how far the point is from x, or -1 where its category is not that of x.
    """
    for j in range(x.size):
        Z[0, j] = 0.0
    for i in range(which.size):
        point, z = points[which[i]], Z[1 + i]
        for j in range(x.size):
            difference = min(max(point[j] - x[j], -LARGEST), LARGEST)
            z[j] = (-1.0 if difference != 0.0 else 0.0) if categorical[j] else difference
