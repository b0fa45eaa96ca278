"""Pool: a few sets of points, predicted once and shared by all instances."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_count, as_numbers, ignoring_float_errors
from normlime_fast._inputs.categories import Unseen
from normlime_fast._inputs.columns import Columns
from normlime_fast._inputs.rows import Rows, as_rows, check_names, names_of
from normlime_fast._kernels import gaussian
from normlime_fast._neighborhoods.gaussian import Gaussian, deviations
from normlime_fast._neighborhoods.points import SharedPoints, check_alike
from normlime_fast._neighborhoods.proximity import Kernel, Proximity


@dataclass(frozen=True, eq=False, repr=False)
class Pool(SharedPoints):
    """Weight a few sets of points anew for every instance, instead of drawing new ones for the model.

    N instances then cost 8 n_samples + N model rows instead of N times n_samples. Made by `from_data`, from your rows,
    or by `gaussian`. The features of a point are its differences from the instance, column by column, in standard
    deviations; for a categorical column, 0 for the instance's category and -1 for another. A missing value is like a
    category, also in columns of numbers: it matches a missing value only; and so are numbers such as -999 far outside
    the rest. The instance itself is one more point, with weight 1, unless it differs from all points in a column that
    is constant among them.

    Instances with the same points share their errors, and more instances do not average them out. So there are `n_sets`
    sets of `n_samples` points each, 8 by default: row i uses set ``i % n_sets``, and the standard error of an
    importance is that of independent sets, which is unknown, NaN, if there is one set. A pool that uses all its rows
    draws nothing: then one set is all there is, and the standard error tells only how much instances vary.

    Attributes
    ----------
    center, scale : ndarray of shape (d,)
        Columns are standardised by (x - center) / scale; a column of scale 0 is ignored.
    proximity : Proximity
        The kernel, width, nearest and share.
    drawn : bool
        Whether it was made by `gaussian`.
    n_sets : int
        Number of sets of points.
    columns : Columns or None
        What the columns are taken for; None if it was made by `gaussian`: then all are numbers.
    """

    center: Array
    scale: Array
    proximity: Proximity
    _data: Rows = field(repr=False)  # rows to choose from; if points are drawn, one row of the same kind
    drawn: bool = False
    n_sets: int = 8
    columns: Columns | None = None
    _counted: ClassVar[str] = "the number of points of the pool"
    _special: ClassVar[bool] = True

    @classmethod
    @ignoring_float_errors
    def from_data(
        cls,
        X: ArrayLike,
        *,
        width: float | Literal["auto"] | None = None,
        kernel: Kernel = "gaussian",
        nearest: int | None = None,
        share: float | None = None,
        categorical: Sequence[int | str] = (),
        numeric: Sequence[int | str] = (),
        n_sets: int = 8,
        unseen: Unseen = "explain",
    ) -> "Pool":
        """Take the points from data: sets of `n_samples` of its rows without replacement, or all if there are fewer.

        "We first sample from our dataset according to a Gaussian probability distribution centred around x0" (Ahern et
        al.): the weights have the effect of such a distribution.

        Parameters
        ----------
        X : array_like or table of pandas, polars or pyarrow, of shape (n, d)
            Data like the model's inputs, usually the training data.
        width : float or "auto", optional
            Standard deviation of the kernel, in standard deviations of the data: weights are
            ``exp(-distance**2 / (2 * width**2))`` of the Euclidean distance. "auto" chooses it for every instance so
            that the effective sample size, ``sum(p)**2 / sum(p**2)``, is the fraction `share` of the points used; far
            from all points, the width becomes large, which a low `r2` shows.
        kernel : {"gaussian", "exponential"} or callable, default "gaussian"
            "exponential" is lime's name of the same function; then the default of `width` is lime's, 0.75 sqrt(d),
            instead of "auto". A callable takes no `width`: it receives the distances (k + 1,) from an instance of
            itself, 0, and of the k points used, and returns weights.
        nearest : int, optional
            Use only this number of nearest points, and the instance itself as one more.
        share : float, optional
            See `width`; by default 0.1, or 0.5 with `nearest`.
        categorical, numeric : sequence of int or str, optional
            Columns, by position or name, of numbers that are categories, and of whole numbers that are not; see
            `Gaussian.from_data`. Two different categories are at a distance of 1.
        n_sets : int, default 8
            Number of sets of points. The model predicts only sets in use.
        unseen : {"explain", "raise"}, default "explain"
            What happens to rows with a category that `X` does not have. They are explained like others, by samples of
            which none has that category, and one warning counts them; or they are refused.

        Returns
        -------
        Pool

        Raises
        ------
        TypeError, ValueError
            If `X` is not a table or a 2-D array of numbers, has infinite values, or another argument is not as above.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> X = np.random.default_rng(0).normal(size=(1000, 3))
        >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0, 0.0], nlf.Pool.from_data(X), n_features=2, rng=0)
        >>> explainer.explain(X[:50]).weights.toarray().std(axis=0).round(6)
        array([0., 0., 0.])
        """
        proximity = Proximity(width, kernel, nearest, share)
        columns = Columns.from_data(X, categorical, numeric, unseen)
        data = as_rows(X, columns=columns)
        values = columns.regular(data.values)
        absent = np.isnan(values)
        center = np.where(absent, 0.0, values).sum(axis=0, dtype=np.float64) / np.maximum((~absent).sum(axis=0), 1)
        scale = np.where(columns.is_category, 1.0, deviations(values, data.label))
        center[columns.is_category] = 0.0
        return cls(center, scale, proximity, data, n_sets=as_count(n_sets, "n_sets"), columns=columns)

    def __repr__(self) -> str:
        options = f"{self.proximity!r}, n_sets={self.n_sets}"
        if self.columns is None:
            return f"<Pool: {len(self.center)} columns, drawn points, {options}>"
        return self.columns.described("Pool", f"{self._data.count} rows, {options}")

    @classmethod
    @ignoring_float_errors
    def gaussian(
        cls,
        mean: ArrayLike,
        scale: ArrayLike,
        *,
        width: float | Literal["auto"] | None = None,
        kernel: Kernel = "gaussian",
        nearest: int | None = None,
        share: float | None = None,
        n_sets: int = 8,
    ) -> "Pool":
        """Draw sets of `n_samples` points from independent normal distributions, as lime does around the training mean.

        Parameters
        ----------
        mean, scale : array_like of shape (d,)
            Means and standard deviations of the columns, such as ``X_train.mean(axis=0)`` and ``X_train.std(axis=0)``.
            The model gets a DataFrame if `mean` is a pandas Series, whose index has the names of the columns, and
            float32 if `mean` is float32.
        width, kernel, nearest, share, n_sets
            See `from_data`.

        Returns
        -------
        Pool

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> pool = nlf.Pool.gaussian([10.0, 0.0], [2.0, 1.0], kernel="exponential")
        >>> local = nlf.NormLIME(lambda X: X @ [1.0, 3.0], pool, n_features=2, rng=0).explain([[11.0, 1.0]])
        >>> local.weights.toarray().round(6)
        array([[2., 3.]])
        """
        proximity = Proximity(width, kernel, nearest, share)
        center = as_numbers(mean, "mean", ndim=(1,))
        spread = np.array(as_numbers(scale, "scale", ndim=(1,)), np.float64)
        check_names(names_of(scale), names_of(mean), "scale")
        if spread.shape != center.shape:
            raise ValueError(f"scale must have one entry per entry of mean, {center.shape}, got {spread.shape}")
        if (spread < 0).any():
            raise ValueError(f"scale must be at least 0, got {spread.min()}")
        to_frame = getattr(mean, "to_frame", None)
        row = center[None] if to_frame is None else to_frame().T.astype(center.dtype)
        data = as_rows(row, "mean")
        Gaussian(spread)._check(data)
        return cls(center.astype(np.float64), spread, proximity, data, True, as_count(n_sets, "n_sets"))

    def _rows(self, X: object, name: str = "X") -> Rows:
        return as_rows(X, name, self.columns)

    def _check(self, rows: Rows) -> None:
        check_alike(rows, self._data)

    @ignoring_float_errors
    def _coordinates(self, values: Array) -> Array:
        """Standardise the columns; categories are unchanged, and what is special is infinite."""
        varies = self.scale > 0.0
        scale = np.where(varies, self.scale, 1.0)
        coordinates = np.where(varies | np.isnan(values), (values - self.center) / scale, 0.0)
        for j, (numbers, _) in (self.columns.special if self.columns is not None else {}).items():
            for number in numbers[~np.isnan(numbers)]:
                coordinates[values[:, j] == number, j] = np.copysign(np.inf, number - self.center[j])
        return coordinates

    @property
    def _known_columns(self) -> Columns | None:
        return self.columns

    def _categorical(self, d: int) -> Array:
        return super()._categorical(d) if self.columns is None else self.columns.is_category

    def _differs_from_constant(self, values: Array) -> Array:
        constant = self.scale == 0.0
        if self.columns is not None:
            alike = [one.kind == "constant" or (one.low == one.high and not one.missing) for one in self.columns]
            constant = constant & np.array(alike)
        own, first = values[:, constant], self._data.values[0, constant]
        return np.asarray(((own != first) & ~(np.isnan(own) & np.isnan(first))).any(axis=1))

    def _points(self, seed: np.uint64, n_samples: int) -> Rows:
        if self.drawn:
            values = np.empty((n_samples, len(self.center)))
            gaussian.fill(seed, np.uint64(0), np.uint64(gaussian.POINTS), np.uint64(0), values.reshape(-1))
            values = self.center + self.scale * values
            return replace(self._data, values=values.astype(self._data.values.dtype))
        keys = np.random.Philox(key=int(seed)).random_raw(self._data.count)
        return self._data.take(np.sort(np.argsort(keys, kind="stable")[:n_samples]))

    def _draws(self, n_samples: int) -> bool:
        return self.drawn or n_samples < self._data.count

    def _without_data(self) -> "Pool":
        return replace(self, _data=self._data.take(slice(1)))
