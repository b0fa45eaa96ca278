"""Gaussian: independent normal noise around the instance; and `sample_gaussian`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from normlime_fast._checks import (
    Array,
    as_count,
    as_nonnegative,
    as_numbers,
    as_positive,
    as_seed,
    ignoring_float_errors,
    short_repr,
)
from normlime_fast._inputs.categories import Unseen
from normlime_fast._inputs.columns import Columns
from normlime_fast._inputs.rows import Rows, as_rows, names_of, overflow_message
from normlime_fast._kernels import categories as states
from normlime_fast._kernels import gaussian, quasirandom
from normlime_fast._messages import Message, Numbers
from normlime_fast._neighborhoods.base import Neighborhood
from normlime_fast._neighborhoods.samplers import ArraySampler

LARGEST_NORMAL = 6.7  # above every float32 variate: sqrt(-2 log 2^-32) = 6.66


@dataclass(frozen=True, eq=False, repr=False)
class Gaussian(Neighborhood):
    """Perturb each feature around the instance by independent Gaussian noise (Eq. 2 of the paper).

    A sample is ``x + scale * z`` with standard normal ``z``. The surrogate is fitted to ``z``, so its weights are
    changes of the output per standard deviation of the noise, and comparable between features of different units.

    Parameters
    ----------
    scale : float or array_like of shape (d,)
        Standard deviation of the noise of every feature, in the feature's own unit. A feature whose scale is 0 or
        subnormal is held fixed and never selected.
    sampling : {"iid", "sobol"}, default "iid"
        Independent samples, or scrambled Sobol points (Owen 1998), which are spread more evenly; every set of samples
        has its own random digital shift. On tables with tree ensembles, Sobol points reduced the variance of the
        weights 2 to 7 times; for a smooth model of five columns, more than 10 times; for a model that looks like noise
        at this scale, not at all (``benchmarks/studies/sampling.py``). Use "sobol" if calls of the model dominate the
        time, and lower n_samples, preferably to a power of 2. Means stay unbiased; rows share the points, but not their
        shifts. The points are scipy's, for at most 21,201 columns, and may change with its version.
    columns : Columns, optional
        What the columns are taken for, as found by `from_data`. Without it, all are numbers, and the model gets floats.

        Categories are drawn anew: z is 0 if a sample has the instance's category and -1 otherwise, so the weight is the
        effect of having the instance's category instead of the others, as frequent as they are in the data. Missing
        values, and numbers such as -999 far outside the rest, are states like categories: an instance in one keeps it
        or gets a value that occurs; an instance with a number gets one by its share, with z = -1. Integers and dates
        are rounded to whole steps, between the least and the greatest value of the data, and z is what is left of the
        noise.
    keep : float, default 0.5
        Fraction of the samples in which a column keeps the instance's category, or stays missing; in the others it has
        another value, drawn by its frequency in the data. So the effect of the instance's category is estimated equally
        well however rare it is. With 0, categories are drawn by their frequencies, whichever the instance has.

    Raises
    ------
    TypeError, ValueError
        If `scale` is not numeric, not finite, negative, or neither a number nor 1-D, `sampling` is not as above, or
        `keep` is not in [0, 1).
        `explain` refuses rows to which noise cannot be added: if it overflows, or if its scale is less than half the
        distance between neighbouring floating-point numbers (64 for float32 near 1e9), so that it is rounded away.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> nlf.Gaussian([0.5, 2.0, 0.0]).scale
    array([0.5, 2. , 0. ])
    """

    scale: Array | float
    sampling: Literal["iid", "sobol"] = "iid"
    columns: Columns | None = None
    keep: float = 0.5
    _names: tuple[str, ...] | None = None  # of a scale with names
    _centred: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.columns, Columns | None):
            raise TypeError(f"columns must be those of from_data, got {short_repr(self.columns)}")
        if self._names is None:
            object.__setattr__(self, "_names", names_of(self.scale))
        scale = as_numbers(self.scale, "scale", ndim=(0, 1)).astype(np.float64)
        if (scale < 0).any():
            raise ValueError(f"scale must be at least 0, got {scale.min()}")
        scale.setflags(write=False)
        object.__setattr__(self, "scale", scale if scale.ndim else float(scale))
        if not isinstance(self.sampling, str) or self.sampling not in ("iid", "sobol"):
            raise ValueError(f'sampling must be "iid" or "sobol", got {short_repr(self.sampling)}')
        keep = as_nonnegative(self.keep, "keep")
        if keep >= 1:
            raise ValueError(f"keep must be below 1, or no category would ever change, got {keep}")
        object.__setattr__(self, "keep", keep)

    @classmethod
    @ignoring_float_errors
    def from_data(
        cls,
        X: ArrayLike,
        width: float = 1.0,
        *,
        sampling: Literal["iid", "sobol"] = "iid",
        categorical: Sequence[int | str] = (),
        numeric: Sequence[int | str] = (),
        keep: float = 0.5,
        unseen: Unseen = "explain",
    ) -> "Gaussian":
        """Use the column standard deviations of data, times `width`, as the scale.

        A column that is constant except for rounding gets 0: its standard deviation is less than half the distance
        between neighbouring floating-point numbers.

        Parameters
        ----------
        X : array_like or table of pandas, polars or pyarrow, of shape (n, d)
            Data like the model's inputs, usually the training data. It may have missing values.
        width : float, default 1.0
            Width of the neighborhood, in standard deviations of the data.
        sampling : {"iid", "sobol"}, default "iid"
            See `Gaussian`.
        categorical, numeric : sequence of int or str, optional
            Columns, by position or name, of numbers that are categories, and of whole numbers that are not. By default,
            text, bools, 0 and 1, and up to 10 whole numbers that occur often are categories; `columns` shows which.
        keep : float, default 0.5
            See `Gaussian`.
        unseen : {"explain", "raise"}, default "explain"
            What happens to rows with a category that `X` does not have. They are explained like others, with that
            category and those of the data, and one warning counts them; or they are refused.

        Returns
        -------
        Gaussian

        Raises
        ------
        TypeError, ValueError
            If `X` is not a table or a 2-D array of numbers, or has infinite values; a column's standard deviation
            overflows; `width` is not positive; `categorical` or `numeric` has an entry that is not a column of `X`; or
            `keep` is not in [0, 1).

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> nlf.Gaussian.from_data([[0.0, 10.0], [2.0, 50.0]], width=0.5).scale
        array([ 0.5, 10. ])
        """
        width = as_positive(width, "width")
        columns = Columns.from_data(X, categorical, numeric, unseen)
        rows = as_rows(X, columns=columns)
        values = columns.regular(rows.values)
        scale = deviations(values, rows.label, width, columns.categories.columns)
        sizes = np.nanmax(np.abs(values), axis=0, initial=0.0)
        scale[scale < width * _least(rows.float32, sizes)] = 0.0  # constant except for rounding
        return cls(scale, sampling, columns, keep)

    def __repr__(self) -> str:
        options = f"sampling={self.sampling!r}, keep={self.keep!r}"
        if self.columns is None:
            return f"<Gaussian: scale={short_repr(self.scale)}, {options}>"
        return self.columns.described("Gaussian", options)

    @property
    def _known_columns(self) -> Columns | None:
        return self.columns

    def _rows(self, X: object, name: str = "X") -> Rows:
        return as_rows(X, name, self.columns, self._names)

    def _note_on_failure(self, rows: Rows, values: Array) -> str | None:
        """Name columns that the noise moved beyond the data, or integers that it made decimals of."""
        if self.columns is not None:
            return self.columns.beyond(values)
        whole = [rows.label(j) for j in rows.whole]
        names = ", ".join(whole[:3]) + f" and {len(whole) - 3} more" * (len(whole) > 3)
        return (
            f"the model got the integers in {names} as decimals; Gaussian.from_data keeps them whole" if whole else None
        )

    @ignoring_float_errors
    def _check(self, rows: Rows) -> None:
        self._scale_for(rows)
        if self.sampling == "sobol":
            _check_sobol_columns(rows.values.shape[1])

    @ignoring_float_errors
    def _sampler(self, seed: np.uint64, n_samples: int, rows: Rows) -> ArraySampler:
        """Return the sampler of these rows, after a check that they can be perturbed."""
        d = rows.values.shape[1]
        scale = self._scale_for(rows)
        points = _sobol_points(seed, n_samples, d) if self.sampling == "sobol" else None
        tables = None if self.columns is None else _tables(self.columns, scale, rows.values, n_samples)

        def perturb(sets: Array, starts: Array, block: slice, Z: Array, weights: Array, inputs: Array) -> None:
            X = np.array(rows.values[block])  # always writable, so that only one kernel is compiled
            if points is not None:
                quasirandom.draw(seed, sets, points, Z)
            gaussian.perturb(seed, sets, starts, X, scale, points is not None, Z, inputs)
            if tables is None:
                return
            if len(tables.stepped):
                steps, lows, highs = tables.limits
                states.round_to_steps(X, tables.stepped, steps, lows, highs, scale, Z, inputs)
            for purpose, first, draws in tables.draws:
                columns, firsts, counts, cumulative, numbers = draws
                states.redraw(
                    seed, sets, X, purpose, first, self.keep, columns, firsts, counts, cumulative, numbers, Z, inputs
                )

        shares_sets = tables is None or not (len(tables.stepped) or tables.draws)
        return ArraySampler(perturb, n_samples, d, weighted=False, shares_sets=shares_sets)

    def _scale_for(self, rows: Rows) -> Array:
        """Return the scale as (d,), checked against the rows."""
        d = rows.values.shape[1]
        scale = np.full(d, self.scale) if np.ndim(self.scale) == 0 else np.array(self.scale)
        if scale.shape != (d,):
            raise ValueError(f"scale must have one entry per column of X, shape ({d},), got shape {scale.shape}")
        if self.columns is not None:
            scale[self.columns.is_category] = 0.0  # categories are drawn anew instead
        scale[scale < np.finfo(np.float64).tiny] = 0.0  # some processors flush subnormal numbers to 0
        largest = np.nanmax(np.abs(rows.values), axis=0, initial=0.0)
        room = np.where(rows.float32, np.finfo(np.float32).max, np.finfo(np.float64).max) / 8
        far = largest.astype(np.float64) / 8 + LARGEST_NORMAL / 8 * scale > room  # in eighths, without overflow
        if far.any():
            k = int(far.argmax())
            raise ValueError(overflow_message(_dtype(rows, k), rows.label(k)))
        lost = (scale > 0) & (scale < _least(rows.float32, largest))
        if lost.any():
            raise ValueError(_lost(rows, scale, int(lost.argmax())))
        return scale


def _dtype(rows: Rows, k: int) -> str:
    """Return the dtype of a column in the model's inputs."""
    return "float32" if rows.float32[k] else "float64"


@ignoring_float_errors
def _least(float32: Array, sizes: Array) -> Array:
    """Return the scales below which noise added to numbers of these sizes is rounded away: half of their spacing.

    At that scale, two thirds of the samples equal the row's own number. The surrogate of a linear model is fitted to
    noise that the model did not get, so that its weights are 1.4% too small. At half that scale: 95% and 57%.
    """
    spacing: Array = np.where(float32, np.spacing(sizes.astype(np.float32)), np.spacing(sizes))
    return spacing.astype(np.float64) / 2


def _lost(rows: Rows, scale: Array, k: int) -> Message:
    """Return the error that names the first row in which a column's noise is rounded away."""
    values = rows.values[:, k]
    least = _least(rows.float32[k], np.abs(values))
    row = int((scale[k] < least).argmax())
    return Message(
        f"scale must be at least {least[row]} in column {rows.label(k)}, half the distance between {_dtype(rows, k)}"
        f" numbers near {values[row]:g} (in ",
        Numbers("row", np.array([row])),
        f"), or the noise is rounded away, got {scale[k]}; raise it{', or pass float64' if rows.float32[k] else ''}",
    )


def deviations(values: Array, labels: Callable[[int], str], width: float = 1.0, fixed: Sequence[int] = ()) -> Array:
    """Return the standard deviations of the columns of X times `width`; 0 for `fixed` and constant columns.

    NaN does not count.
    """
    values = values.astype(np.float64)
    exponents = np.frexp(np.nanmax(np.abs(values), axis=0, initial=0.0))[
        1
    ]  # squares near 1 neither overflow nor vanish
    scaled, absent = np.ldexp(values, -exponents), np.isnan(values)
    if absent.any():
        mean = scaled.sum(axis=0, where=~absent) / np.maximum((~absent).sum(axis=0), 1)
        scaled = np.where(absent, mean, scaled)  # so that they add nothing to the sum of squares
        scaled_std = scaled.std(axis=0) / np.sqrt(np.maximum((~absent).mean(axis=0), 1 / len(values)))
    else:
        scaled_std = scaled.std(axis=0)
    scale: Array = width * np.ldexp(scaled_std, exponents)
    least, greatest = np.fmin.reduce(values), np.fmax.reduce(values)
    scale[(least == greatest) | np.isnan(least)] = 0.0  # the mean of equal values may be off by a rounding
    scale[list(fixed)] = 0.0
    if not np.isfinite(scale).all():
        column = int(np.flatnonzero(~np.isfinite(scale))[0])
        raise ValueError(f"X must have finite column standard deviations, got an overflow in column {labels(column)}")
    return scale


class _Draws(NamedTuple):
    """Values of columns for the kernel `redraw`: of column c, those from firsts[c] on."""

    columns: Array
    firsts: Array
    states: Array  # number of the states of each column
    cumulative: Array
    numbers: Array


class _Tables(NamedTuple):
    """What kernels need to know of columns that are more than numbers."""

    stepped: Array  # columns of integers and dates
    limits: tuple[Array, Array, Array]  # their steps, least and greatest values
    draws: list[tuple[np.uint64, int, _Draws]]  # purpose and first counter of the random numbers


def _tables(columns: Columns, scale: Array, values: Array, n_samples: int) -> _Tables:
    stepped = np.flatnonzero((columns.steps > 0.0) & (scale > 0.0)).tolist()
    low, high = (np.array([getattr(columns[j], end) for j in stepped]) for end in ("low", "high"))
    found: list[tuple[int, int, Array, Array]] = []  # column, number of its states, numbers and their shares
    categories = columns.categories
    for k, j in enumerate(categories.columns):
        found.append((j, len(categories.values[k]), categories.numbers(k), categories.frequencies[k]))
    for j, (numbers, shares) in columns.special.items():
        others = columns[j].levels
        each = np.full(len(others), (1.0 - shares.sum()) / max(len(others), 1))
        found.append((j, len(numbers), np.concatenate([numbers, others]), np.concatenate([shares, each])))
    draws = [(np.uint64(gaussian.CATEGORY), 0, _draws(sorted(found, key=itemgetter(0))))] if found else []
    for j in np.flatnonzero((np.isnan(values) & columns.is_unseen(values)).any(axis=0)).tolist():
        if not columns.is_category[j]:  # values that are missing here, but not in the data
            blocks = -(-n_samples // (4 * gaussian.COUNTERS))  # a counter gives four words
            first = j * blocks * gaussian.COUNTERS
            levels = columns[j].levels
            each = np.full(len(levels), 1.0 / len(levels))
            draws.append((np.uint64(gaussian.UNSEEN), first, _draws([(j, 0, levels, each)])))
    return _Tables(np.array(stepped, np.int64), (columns.steps[stepped], low, high), draws)


def _draws(found: list[tuple[int, int, Array, Array]]) -> _Draws:
    columns, counts, numbers, shares = zip(*found, strict=True)
    firsts = np.cumsum([0, *map(len, numbers)])
    cumulative = np.concatenate([np.cumsum(each) for each in shares])
    return _Draws(np.array(columns, np.int64), firsts, np.array(counts, np.int64), cumulative, np.concatenate(numbers))


def _check_sobol_columns(d: int) -> None:
    from scipy.stats import qmc

    if d > qmc.Sobol.MAXDIM:
        raise ValueError(f'sampling "sobol" takes at most {qmc.Sobol.MAXDIM} columns, got {d}')


@lru_cache(maxsize=2)  # shared by the blocks of a run
def _sobol_points(seed: np.uint64, n: int, d: int) -> Array:
    """Return scrambled Sobol points, (n, d) uint32."""
    from scipy.stats import qmc  # takes longer to import than everything else

    rng = np.random.default_rng(int(seed))
    try:
        sobol = qmc.Sobol(d, bits=32, rng=rng)
    except TypeError:  # scipy before 1.15
        sobol = qmc.Sobol(d, bits=32, seed=rng)
    first = 1 << (n.bit_length() - 1)  # a power of 2: scipy warns of other first numbers
    points = np.concatenate([sobol.random(first), sobol.random(n - first)]) if n > first else sobol.random(first)
    return (points * 2.0**32).astype(np.uint32)


def sample_gaussian(shape: int | Iterable[int], rng: object = None, *, dtype: DTypeLike = np.float32) -> Array:
    """Draw standard normal variates with the library's own counter-based generator.

    Philox4x32-10 (Salmon et al., SC 2011) and the Box-Muller transform, in polynomials that give the same bits on
    every machine. float32 variates have 31 random bits in the radius and reach 6.66, float64 ones 53 and 8.65.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator, optional
        Source of the 64-bit seed (SPEC 7).
    dtype : {float32, float64}, default float32
        Floating type of the result.

    Returns
    -------
    ndarray of the given shape and dtype

    Raises
    ------
    TypeError, ValueError
        If a dimension is not an integer of at least 0, or `dtype` or `rng` is not as above.
    MemoryError
        If the result does not fit into memory.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> z = nlf.sample_gaussian((1000, 3), rng=0)
    >>> z.shape, z.dtype
    ((1000, 3), dtype('float32'))
    >>> bool((z == nlf.sample_gaussian((1000, 3), rng=0)).all())
    True
    """
    if isinstance(shape, np.ndarray):  # an Iterable even without dimensions
        shape = shape.tolist()
    lengths = shape if isinstance(shape, Iterable) else (shape,)
    dimensions = tuple(as_count(length, "shape", minimum=0) for length in lengths)
    try:
        supported = np.dtype(dtype) in (np.float32, np.float64)
    except TypeError:
        supported = False
    if not supported:
        raise ValueError(f"dtype must be float32 or float64, got {short_repr(dtype)}")
    try:
        out = np.empty(dimensions, dtype)
    except ValueError as error:
        raise ValueError(f"shape must be a valid shape of an array, got {short_repr(dimensions)}: {error}") from None
    gaussian.fill(as_seed(rng), np.uint64(0), np.uint64(gaussian.STREAM), np.uint64(0), out.reshape(-1))
    return out
