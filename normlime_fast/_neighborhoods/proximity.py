"""Proximity: weights from the distances between an instance and points."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from normlime_fast._checks import (
    Array,
    as_array,
    as_count,
    as_nonnegative,
    as_positive,
    ignoring_float_errors,
    short_repr,
)
from normlime_fast._messages import Message, Term

Kernel = Literal["gaussian", "exponential"] | Callable[[Array], Array]

FAR = 1e36  # points beyond this squared distance get weight 0: z and its squares could overflow float32
CLOSE = 1e-3  # tolerance of the logarithm of the effective sample size


@dataclass(frozen=True, eq=False)
class Proximity:
    """Compute proximity weights from distances; for the parameters, see also `Pool.from_data`.

    Parameters
    ----------
    width : float or "auto", optional
        Standard deviation of the kernel, in units of the distance. By default "auto"; for the exponential kernel,
        0.75 sqrt(d) in d columns.
    kernel : {"gaussian", "exponential"} or callable, default "gaussian"
        A callable takes no `width`: it receives the distances (k + 1,) from an instance of itself, 0, and of the k
        points used, and returns weights.
    nearest : int, optional
        Use only this number of nearest points, and the instance itself as one more.
    share : float, optional
        Effective sample size for the width "auto", as a fraction of the points used; by default 0.1, or 0.5 with
        `nearest`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> nlf.Proximity(nearest=200)
    Proximity(width=None, kernel='gaussian', nearest=200, share=0.5)
    """

    width: float | Literal["auto"] | None = None
    kernel: Kernel = "gaussian"
    nearest: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        is_name = isinstance(self.kernel, str) and self.kernel in ("gaussian", "exponential")
        if not is_name and not callable(self.kernel):
            raise ValueError(f'kernel must be "gaussian", "exponential" or a callable, got {short_repr(self.kernel)}')
        if isinstance(self.width, str) and self.width != "auto":
            raise ValueError(Message(Term("width"), f' must be a number or "auto", got {short_repr(self.width)}'))
        if self.width is not None and callable(self.kernel):
            raise ValueError(f"width must be left out with a callable kernel, which sees to it, got {self.width!r}")
        if self.width is not None and not isinstance(self.width, str):
            object.__setattr__(self, "width", as_positive(self.width, "width"))
        if self.nearest is not None:
            object.__setattr__(self, "nearest", as_count(self.nearest, "nearest"))
        default = 0.1 if self.nearest is None else 0.5
        share = default if self.share is None else as_nonnegative(self.share, "share")
        if not 0.0 < share < 1.0:
            raise ValueError(f"share must be larger than 0 and below 1, got {share}")
        object.__setattr__(self, "share", share)

    @ignoring_float_errors
    def weights(self, squares: Array, d: int) -> Array:
        """Return the weights, at most 1, of samples at these squared distances in d columns; the instance is first."""
        near = squares <= FAR
        if not near.all():
            weights: Array = np.zeros(len(squares))
            weights[near] = self.weights(squares[near], d)
            return weights
        if callable(self.kernel):
            return _called(self.kernel, np.sqrt(squares))
        if self.width == "auto" or (self.width is None and self.kernel == "gaussian"):
            assert self.share is not None  # since __post_init__
            return _adapted(squares, self.share)
        width = 0.75 * np.sqrt(d) if self.width is None else self.width
        scaled: Array = squares / width / width
        return np.exp(-0.5 * scaled)


def _called(kernel: Callable[[Array], Array], distances: Array) -> Array:
    weights = as_array(kernel(distances), "the output of kernel")
    if weights.shape != distances.shape or weights.dtype.kind not in "fiub":
        got = f"shape {weights.shape} and dtype {weights.dtype}"
        raise ValueError(f"kernel must return a number for each of {len(distances)} distances, got {got}")
    weights = weights.astype(np.float64)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("kernel must return finite weights of at least 0")
    relative: Array = weights / (weights.max() or 1.0)
    return relative


def _adapted(squares: Array, share: float) -> Array:
    """Return Gaussian weights whose width makes the effective sample size this share of the samples.

    With t = 1 / (2 width^2) and p = exp(-t s), log (sum p)^2 / sum p^2 decreases in t from the value for all samples to
    that for the samples at distance 0; if these are many, `share` refers to the others. Newton's method on log t, with
    bounds, finds t.
    """
    mean = squares.mean()
    if mean == 0.0:
        return np.ones(len(squares))
    relative = squares / mean
    count, at_zero = len(squares), np.count_nonzero(squares == 0.0)
    size = share * count if 2 * at_zero < share * count else at_zero + share * (count - at_zero)
    target = np.log(max(size, 1.0 + 2.0 * CLOSE))
    t, low, high = 1.0, 0.0, np.inf
    for _ in range(60):
        weights = np.exp(-t * relative)
        weighted, squared = weights * relative, weights * weights  # no BLAS: its sums depend on the number of threads
        total, twice = weights.sum(), squared.sum()
        excess = np.log(total * total / twice) - target
        if abs(excess) < CLOSE:
            break
        low, high = (t, high) if excess > 0.0 else (low, t)
        slope = 2.0 * t * ((squared * relative).sum() / twice - weighted.sum() / total)  # d excess / d log t
        t *= np.exp(np.clip(-excess / slope, -3.0, 3.0)) if slope < 0.0 else 8.0
        if not low < t < high:
            t = 0.5 * (low + high) if np.isfinite(high) else 8.0 * low
    adapted: Array = weights
    return adapted
