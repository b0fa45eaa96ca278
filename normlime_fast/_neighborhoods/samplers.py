"""What a neighborhood gives to a block of instances: samples filled into arrays, made one by one, or shared by all.

Every sample has features z, which are 0 at the instance itself, a proximity weight, and an input for the model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._inputs.rows import Rows


class Axis(NamedTuple):
    """The features that weights are reported for."""

    n_features: int
    names: tuple[str, ...] | None


@dataclass(frozen=True)
class Filled:
    """Samples of instances that all have the same features: filled into arrays that are used again and again.

    perturb(sets, starts, here, Z, weights, inputs) fills Z (m, n, d) float32 and weights (m, n) with the sets of
    samples of these numbers, and inputs (rows, n, ...) with the block's rows `here`, perturbed: set k perturbs those
    from starts[k] to starts[k + 1]. Without proximity weights it gets weights (1, n), all 1, and leaves them alone.
    """

    perturb: Callable[[Array, Array, slice, Array, Array, Array], None]
    n_features: int
    weighted: bool
    shared: bool = True  # whether instances of one set have the same z


class Drawn(NamedTuple):
    """Samples of one instance: n inputs, of which the features z (n, d), weights (n,) and where the features belong."""

    inputs: Any  # n of what the rows' values are made of
    Z: Array  # float32, C-contiguous
    weights: Array | None = None  # None: all equal
    columns: Any = None  # (d,) ascending ints: the features' places on the axis; a csr_array (d, axis) where a feature
    # has several; None: the axis itself


@dataclass(frozen=True)
class Listed:
    """Samples of instances that each have features of their own, or that Python makes: draw(number of set, row)."""

    draw: Callable[[int, int], Drawn]
    n_features: int  # about as many an instance, for the size of batches


@dataclass(frozen=True)
class Shared:
    """Points that serve all instances, and what the model said of them.

    compare(row, Z, weights) fills Z (n, d) float32 and weights (n,) for a row of the block, with the instance itself
    first and points after it; it returns which of the points (n - 1,), or None if all.
    """

    compare: Callable[[int, Array, Array], Array | None]
    outputs: Array  # (n_outputs, points)
    n_samples: int  # n
    n_features: int
    columns: Callable[[slice], Array] | None = None  # rows of the block -> (m, d) ascending places of their features on
    # the axis; None: the axis itself


Sampler = Filled | Listed | Shared


class Neighborhood(Protocol):
    """What an explainer asks of a neighborhood."""

    def rows(self, X: object, name: str = "X") -> Rows:
        """Return the user's rows, checked as far as other rows of the same kind need not be known."""

    def axis(self, rows: Rows) -> Axis:
        """Return the features that weights are reported for."""

    def check(self, rows: Rows) -> None:
        """Refuse rows that it cannot perturb."""

    def sampler(self, seed: np.uint64, n_samples: int, rows: Rows) -> Sampler:
        """Return what makes the samples of these rows."""
