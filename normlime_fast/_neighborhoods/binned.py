"""Binned: lime's default neighborhood for tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_count, ignoring_float_errors, short_repr
from normlime_fast._inputs.categories import Unseen, positions_of
from normlime_fast._inputs.columns import Columns
from normlime_fast._inputs.rows import Rows, as_rows
from normlime_fast._neighborhoods.base import Features
from normlime_fast._neighborhoods.bins import Bins
from normlime_fast._neighborhoods.points import SharedPoints, check_alike
from normlime_fast._neighborhoods.proximity import Kernel, Proximity


@dataclass(frozen=True, eq=False, repr=False)
class Binned(SharedPoints):
    """Describe samples by bins and categories: a feature tells whether a column has the instance's bin or category.

    Points are drawn column by column, independently: each value is that of a random row of the training data, missing
    or not. They do not depend on the instance, so that instances share a few sets of `n_samples` points, as in `Pool`.
    The feature of a column is 0 if the point is in the instance's bin, otherwise -1: its weight is the effect of being
    in the instance's bin. A missing value is a bin, and so is a value that more rows hold than a bin would, such as
    many zeros, or -999 far outside the rest. This is lime's default for tables, but for the values within a bin. Made
    by `from_data`.

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
    columns : Columns
        What the columns are taken for.
    draw : {"observed", "normal"}
        Where values come from.
    groups : tuple of (str, tuple of int)
        Names and columns of groups.
    """

    bins: Bins
    features: Literal["column", "bin"]
    proximity: Proximity
    _data: Rows = field(repr=False)  # the training rows, or one row if values are not drawn from these
    columns: Columns
    n_sets: int = 8
    draw: Literal["observed", "normal"] = "observed"
    groups: tuple[tuple[str, tuple[int, ...]], ...] = ()
    _combinations: tuple[Array, ...] = ()  # of each group: the codes of its columns that occur, (k, columns)

    @classmethod
    @ignoring_float_errors
    def from_data(
        cls,
        X: ArrayLike,
        *,
        categorical: Sequence[int | str] = (),
        numeric: Sequence[int | str] = (),
        quantiles: int = 8,
        edges: Mapping[int | str, Sequence[float]] | None = None,
        draw: Literal["observed", "normal"] = "observed",
        groups: Mapping[str, Sequence[int | str]] | None = None,
        features: Literal["column", "bin"] = "column",
        width: float | Literal["auto"] | None = None,
        kernel: Kernel = "exponential",
        n_sets: int = 8,
        unseen: Unseen = "explain",
    ) -> "Binned":
        """Learn bins from data.

        Parameters
        ----------
        X : array_like or table of pandas, polars or pyarrow, of shape (n, d)
            The training data. It may have missing values.
        categorical, numeric : sequence of int or str, optional
            Columns, by position or name, of numbers that are categories, and of whole numbers that are not; see
            `Gaussian.from_data`. Columns of numbers are cut into bins.
        quantiles : int, default 8
            Number of bins per column: 4 for quartiles, as in lime, 10 for deciles. Equal edges are merged.
        edges : mapping of column to sequence of float, optional
            Your own inner edges for some columns; a value on an edge belongs to the bin below.
        draw : {"observed", "normal"}, default "observed"
            Take the value of a column from a random training row; or, as lime does, choose a bin by its share, and draw
            from a truncated normal with the mean and standard deviation of the bin's data. Then only missing values are
            a bin of their own.
        groups : mapping of str to sequence of columns, optional
            Columns that belong together, such as those of a one-hot encoded category, or latitude and longitude. They
            are drawn from one row, so that no combination occurs that the data does not have, and they are one feature
            with this name: whether the point has the instance's combination of bins.
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
        >>> binned = nlf.Binned.from_data(X, quantiles=2)
        >>> binned.describe(X[:1])
        [['age <= 35', 'work = Private']]
        >>> binned.columns
        age   integer   whole numbers from 20 to 50
        work  category  text; 2 values
        """
        if not isinstance(features, str) or features not in ("column", "bin"):
            raise ValueError(f'features must be "column" or "bin", got {short_repr(features)}')
        if not isinstance(draw, str) or draw not in ("observed", "normal"):
            raise ValueError(f'draw must be "observed" or "normal", got {short_repr(draw)}')
        proximity = Proximity(width, kernel)
        columns = Columns.from_data(X, categorical, numeric, unseen if features == "column" else "raise")
        rows = as_rows(X, columns=columns)
        together = _as_groups(groups or {}, rows)
        if together and (features == "bin" or draw == "normal"):
            other = 'features="bin"' if features == "bin" else 'draw="normal"'
            raise ValueError(f"groups must be left out with {other}: a group has no bins, and its values go together")
        bins = Bins.from_data(rows, columns, quantiles, edges, spikes=draw == "observed")
        codes = bins.codes(rows.values) if together else np.empty(0)
        combinations = tuple(np.unique(codes[:, list(members)], axis=0) for _, members in together)
        data = rows if draw == "observed" else rows.take(slice(1))
        sets = as_count(n_sets, "n_sets")
        return cls(bins, features, proximity, data, columns, sets, draw, together, combinations)

    def __repr__(self) -> str:
        groups = f", groups={[name for name, _ in self.groups]}" if self.groups else ""
        options = f"draw={self.draw!r}{groups}, features={self.features!r}, {self.proximity!r}, n_sets={self.n_sets}"
        return self.columns.described("Binned", f"{self.bins!r}, {options}")

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
        [['0 <= 2'], ['0 >= 3']]
        """
        rows = self._checked_rows(X)
        return [self.bins.names(codes) for codes in self.bins.codes(rows.values)]

    def _rows(self, X: object, name: str = "X") -> Rows:
        return as_rows(X, name, self.columns)

    @cached_property
    def _members(self) -> list[tuple[int, ...]]:
        """The columns of each feature, in the order of their first columns."""
        grouped = {j for _, members in self.groups for j in members}
        alone = [(j,) for j in range(len(self.columns)) if j not in grouped]
        return sorted([*alone, *(members for _, members in self.groups)])

    def _features(self, rows: Rows) -> Features:
        """Return the features: the columns and groups, or the bins of all columns."""
        if self.features == "bin":
            names = self.bins.feature_names_by_bin()
            return Features(len(names), tuple(names))
        if not self.groups:
            return super()._features(rows)
        name_of = {members: name for name, members in self.groups}
        return Features(
            len(self._members), tuple(name_of.get(part, self.columns[part[0]].name) for part in self._members)
        )

    def _check(self, rows: Rows) -> None:
        check_alike(rows, self._data)

    def _coordinates(self, values: Array) -> Array:
        """Return the codes of bins and categories, and the numbers of the combinations of groups."""
        codes = self.bins.codes(values)
        if not self.groups:
            return codes
        numbers = {
            members: _numbers_of(codes[:, list(members)], known)
            for (_, members), known in zip(self.groups, self._combinations, strict=True)
        }
        return np.column_stack([numbers.get(part, codes[:, part[0]]) for part in self._members])

    def _by_coordinate(self, unseen: Array) -> Array:
        if not self.groups:
            return unseen
        return np.column_stack([unseen[:, list(part)].any(axis=1) for part in self._members])

    @property
    def _known_columns(self) -> Columns:
        return self.columns

    def _categorical(self, d: int) -> Array:
        return np.ones(d, bool)

    def _places(self, coordinates: Array) -> Array | None:
        return None if self.features == "column" else self.bins.offsets + coordinates.astype(np.int64)

    def _points(self, seed: np.uint64, n_samples: int) -> Rows:
        if self.draw == "normal":
            return replace(self._data, values=self.bins.draw(seed, n_samples).astype(self._data.values.dtype))
        values = np.empty((n_samples, len(self.columns)), self._data.values.dtype)
        for number, members in enumerate(self._members):  # the first rows are the same for every n_samples
            words = np.random.Philox(key=np.array([seed, number], np.uint64)).random_raw(n_samples)
            rows = ((words >> np.uint64(11)) * 2.0**-53 * self._data.count).astype(np.intp)
            for j in members:
                values[:, j] = self._data.values[rows, j]
        return replace(self._data, values=values, usable=None)

    def _without_data(self) -> "Binned":
        return replace(self, _data=self._data.take(slice(1)))


def _as_groups(groups: Any, rows: Rows) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return the user's groups as names and positions of columns."""
    if not isinstance(groups, Mapping):
        raise TypeError(f"groups must be a dict of names and lists of columns, got {short_repr(groups)}")
    found: list[tuple[str, tuple[int, ...]]] = []
    for name, entries in groups.items():
        if not isinstance(name, str):
            raise TypeError(f"groups must have names that are str, got {short_repr(name)}")
        members = positions_of(entries, rows.values.shape[1], rows.columns, f"group {short_repr(name)}", "X")
        if len(members) < 2:
            raise ValueError(f"groups must have at least 2 columns each, got {len(members)} in {short_repr(name)}")
        for other, taken in found:
            if set(members) & set(taken):
                both = rows.label(min(set(members) & set(taken)))
                raise ValueError(
                    f"groups must not share columns, got {both} in {short_repr(other)} and {short_repr(name)}"
                )
        names = rows.feature_names or ()
        if name in names and names.index(name) not in members:
            raise ValueError(f"groups must not have the name of a column outside of the group, got {name!r}")
        found.append((name, members))
    return tuple(found)


def _numbers_of(codes: Array, known: Array) -> Array:
    """Return the number of each row of codes among those known, which differ; one past the end for another."""
    number_of = {row.tobytes(): number for number, row in enumerate(np.ascontiguousarray(known))}
    return np.array([number_of.get(row.tobytes(), len(known)) for row in np.ascontiguousarray(codes)], np.float64)
