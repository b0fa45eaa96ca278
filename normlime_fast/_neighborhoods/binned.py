"""Binned: lime's default neighborhood for tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_count, ignoring_float_errors, short_repr
from normlime_fast._inputs.categories import Categories, Unseen
from normlime_fast._inputs.rows import Rows, as_rows
from normlime_fast._neighborhoods.base import Features
from normlime_fast._neighborhoods.bins import Bins
from normlime_fast._neighborhoods.points import SharedPoints, check_alike
from normlime_fast._neighborhoods.proximity import Kernel, Proximity


@dataclass(frozen=True, eq=False)
class Binned(SharedPoints):
    """Describe samples by bins and categories: a feature tells whether a column has the instance's bin or category.

    This is lime's default for tables. Points are drawn column by column: a bin or category by its share of the training
    data, and a value in a bin from a truncated normal with the mean and standard deviation of the bin's data. They do
    not depend on the instance, so that instances share a few sets of `n_samples` points, as in `Pool`. The feature of
    a column is 0 if the point is in the instance's bin, otherwise -1: its weight is the effect of being in the
    instance's bin. Made by `from_data`.

    Attributes
    ----------
    bins : Bins
        Edges, shares, means and standard deviations of the bins.
    features : {"column", "bin"}
        Whether weights are reported for columns or for bins.
    proximity : Proximity
        The kernel and its width.
    n_sets : int
        Number of sets of points.
    """

    bins: Bins
    features: Literal["column", "bin"]
    proximity: Proximity
    _data: Rows = field(repr=False)  # one row, for the type, dtypes and names of rows
    n_sets: int = 8

    @classmethod
    @ignoring_float_errors
    def from_data(
        cls,
        X: ArrayLike,
        *,
        categorical: Sequence[int | str] = (),
        quantiles: int = 4,
        edges: Mapping[int | str, Sequence[float]] | None = None,
        features: Literal["column", "bin"] = "column",
        width: float | Literal["auto"] | None = None,
        kernel: Kernel = "exponential",
        n_sets: int = 8,
        unseen: Unseen = "explain",
    ) -> "Binned":
        """Learn bins from data.

        Parameters
        ----------
        X : array_like or pandas.DataFrame of shape (n, d)
            The training data.
        categorical : sequence of int or str, optional
            Columns, by position or name, that hold categories: numbers, or strings in a DataFrame. All others are cut
            into bins.
        quantiles : int, default 4
            Number of bins per column: 4 for quartiles, 10 for deciles. Equal edges are merged.
        edges : mapping of column to sequence of float, optional
            Your own inner edges for some columns; a value on an edge belongs to the bin below.
        features : {"column", "bin"}, default "column"
            Features for which weights are reported: the columns; or every bin and category of every column, where an
            instance has one per column. Then the importance is that of bins, with the names of `describe`.
        width, kernel
            See `Pool.from_data`; the defaults are lime's. A distance is the root of the number of columns that differ.
        n_sets : int, default 8
            Number of sets of points; see `Pool`. 1 is lime's way.
        unseen : {"explain", "raise"}, default "explain"
            What happens to rows with a category that `X` does not have. They are explained like others, by samples of
            which none has that category, and one warning counts them; or they are refused, as always with `features`
            "bin", since their category is none of these.

        Returns
        -------
        Binned

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above, or a bin contains no row of `X`.

        Examples
        --------
        >>> import pandas as pd
        >>> import normlime_fast as nlf
        >>> X = pd.DataFrame({"age": [20, 30, 40, 50], "work": ["Private", "Private", "State", "State"]})
        >>> binned = nlf.Binned.from_data(X, categorical=["work"], quantiles=2)
        >>> binned.describe(X[:1])
        [['age <= 35', 'work = Private']]
        """
        if not isinstance(features, str) or features not in ("column", "bin"):
            raise ValueError(f'features must be "column" or "bin", got {short_repr(features)}')
        proximity = Proximity(width, kernel)
        categories = Categories.from_data(X, categorical, unseen if features == "column" else "raise")
        rows = as_rows(X, categories=categories)
        bins = Bins.from_data(rows, quantiles=quantiles, edges=edges)
        return cls(bins, features, proximity, rows.take(slice(1)), as_count(n_sets, "n_sets"))

    def describe(self, X: ArrayLike) -> list[list[str]]:
        """Describe the features of rows: the bin or category of each column.

        Parameters
        ----------
        X : array_like or pandas.DataFrame of shape (m, d)

        Returns
        -------
        list of m lists of d str

        Raises
        ------
        TypeError, ValueError
            If `X` has other columns than the training data, or, with `unseen` "raise", a category that is not in it.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> binned = nlf.Binned.from_data([[1.0], [2.0], [3.0], [4.0]], quantiles=2)
        >>> binned.describe([[1.5], [7.0]])
        [['0 <= 2.5'], ['0 > 2.5']]
        """
        rows = self._checked_rows(X)
        return [self.bins.names(codes) for codes in self._coordinates(rows.values)]

    def _rows(self, X: object, name: str = "X") -> Rows:
        return as_rows(X, name, self._data.categories)

    def _features(self, rows: Rows) -> Features:
        """Return the features: the columns, or the bins of all columns."""
        if self.features == "column":
            return super()._features(rows)
        names = self.bins.feature_names_by_bin()
        return Features(len(names), tuple(names))

    def _check(self, rows: Rows) -> None:
        check_alike(rows, self._data)

    def _coordinates(self, values: Array) -> Array:
        """Return the codes of bins and categories."""
        return self.bins.codes(values)

    @property
    def _categories(self) -> Categories | None:
        return self._data.categories

    def _categorical(self, d: int) -> Array:
        return np.ones(d, bool)

    def _places(self, coordinates: Array) -> Array | None:
        return None if self.features == "column" else self.bins.offsets + coordinates.astype(np.int64)

    def _points(self, seed: np.uint64, n_samples: int) -> Rows:
        return replace(self._data, values=self.bins.draw(seed, n_samples).astype(self._data.values.dtype))
