"""The interface of engine and neighborhoods: `Neighborhood`, `Sampler`, `SampleBuffer`, and the data they exchange."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from normlime_fast._checks import Array, check_count
from normlime_fast._inputs.columns import Columns
from normlime_fast._inputs.rows import Rows, as_rows

PredictRows = Callable[[Rows], Array]  # returns the model's outputs (m, n_outputs)


class Features(NamedTuple):
    """The features for which weights are reported."""

    n_features: int
    names: tuple[str, ...] | None


class Batch(NamedTuple):
    """Instances whose samples the model predicts together."""

    rows: slice  # of the block
    instance_ids: Array  # (instances,)
    set_ids: Array  # (m,) uint64: numbers of the sets of samples, which key their random numbers or name their points
    starts: Array  # (m + 1,): position in the batch of the first instance of each set, and the end of the last set


class Inputs(NamedTuple):
    """Inputs for the model: `n_samples` for each of some instances of a batch."""

    values: Any  # of the same type as `Rows.values`
    instances: Array  # (instances of the batch,) bool: True for those instances


class Samples(NamedTuple):
    """Samples that are fitted together: sets `first` to `stop` of a batch, all with the same number of features.

    Every sample has features z, which are 0 at the instance itself, and a proximity weight.
    """

    first: int
    stop: int
    Z: Array  # (stop - first, n, d) float32, C-contiguous
    weights: Array  # (stop - first or 1, n) float64
    rare: Array | None = None  # (stop - first,) bool: True if in some feature too few samples are as the instance is


class SampleBuffer(Protocol):
    """Memory for the samples of a batch of instances, filled for one batch after another.

    Threads call `draw` and `fits` concurrently for disjoint pieces of a batch; `piece` may end after the last set. One
    thread calls all other methods, after `draw` has finished.
    """

    def draw(self, batch: Batch, piece: slice) -> None:
        """Draw some sets of a batch; a repeated call draws the same samples."""

    def inputs(self, batch: Batch) -> Inputs | None:
        """Return the model's inputs, which it may overwrite; None if it need not be called."""

    def outputs(self, batch: Batch, predicted: Array | None, own: Array, targets: Array) -> Array:
        """Return the outputs to fit: those of the samples for the targets (m, t) of each instance, (m * t, n).

        `predicted` (rows, n_outputs) are the model's outputs for `inputs`, None if it was not called or failed for all;
        `own` (m, t) are its outputs for the instances themselves. Both are in the order of the instances:
        `predicted` begins with the n samples of the first one, the result with its t targets.
        """

    def fits(self, batch: Batch, piece: slice) -> Iterator[Samples]:
        """Yield the samples to fit of some sets of a batch."""

    def most_features(self, batch: Batch) -> int:
        """Return the largest number of features of an instance in the batch."""

    def columns(self, batch: Batch) -> list[Any] | None:
        """Return the positions of each instance's features among `Neighborhood._features`; None if they are the same.

        The entry of an instance is (d,) ascending ints; a csr_array (d, n_features) of ones if one feature stands for
        several; or None.
        """


class Sampler(Protocol):
    """Draws the samples of the rows of a block into buffers of a class of its own."""

    @property
    def n_samples(self) -> int:
        """Number of samples of an instance, n."""

    @property
    def n_features(self) -> int:
        """Number of features of a sample, d; an estimate for the size of batches if instances differ."""

    @property
    def n_outputs(self) -> int | None:
        """Number of the model's outputs, if the outputs of the samples are known; None if the model will be called."""

    @property
    def shares_sets(self) -> bool:
        """Whether the instances of a set have the same z, and are drawn and fitted together."""

    def check(self, n_features: int | None) -> None:
        """Refuse fewer samples than a fit of `n_features` features needs (None: of all), if their number is known."""

    def buffer(self, rows: Rows, size: int) -> SampleBuffer:
        """Return memory for batches of up to `size` rows."""


class Neighborhood(ABC):
    """Source of the samples around an instance; base class of `Gaussian`, `Pool`, `Binned` and `Mask`.

    There are three ways to define your own neighborhood, all without a change of this package:

    * an object with ``n_features`` and ``perturb``, see `Perturbs`, to draw the samples of each instance in Python;
    * a subclass of `SharedPoints`, for one set of points that all instances share;
    * a subclass of this class with its own sampler: one of the three in ``normlime_fast._neighborhoods.samplers``, or a
      new pair of classes that follow the protocols in ``normlime_fast._neighborhoods.base``.

    Methods for users of a neighborhood have no underscore; methods that an explainer calls have one, like `_matvec` of
    scipy's LinearOperator and `_pdf` of its distributions. So completion shows users only their own methods, and no
    attribute such as `Binned.features` collides with a method. Subclasses still implement documented names, which
    change only with a line in the changelog. Samplers are internal and may change with every version,
    and a subclass with its own sampler with them.

    A subclass must implement `_sampler`. By default, rows are tables of numbers, and their columns are the features.
    Objects are pickled for executors. Checkpoints compare them by their fields if they are dataclasses, otherwise by
    their attributes.

    Methods to override
    -------------------
    _sampler(seed: np.uint64, n_samples: int, rows: Rows) -> Sampler
        What makes the samples of these rows; must be implemented.
    _rows(X: Any, name: str = "X") -> Rows
        Rows of what a user passes, which messages call `name`. By default X is a table of numbers, 2-D or a DataFrame:
        `Rows.values` (m, columns) are float32 or float64, `Rows.count` is m, and `Rows.take` takes some rows.
    _features(rows: Rows) -> Features
        The number of features, and a tuple of their names or None. By default features are the columns.
    _check(rows: Rows) -> None
        Raise a ValueError for rows that it cannot perturb, before the model is called. By default it takes all.

    For annotations, `Rows` is in ``normlime_fast._inputs.rows``, and `Features` and `Sampler` are in
    ``normlime_fast._neighborhoods.base``.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> isinstance(nlf.Gaussian(1.0), nlf.Neighborhood)
    True
    """

    def _rows(self, X: Any, name: str = "X") -> Rows:
        """Convert the user's X to `Rows`, and check its type and values."""
        return as_rows(X, name)

    def _features(self, rows: Rows) -> Features:
        """Return the features for which weights are reported."""
        return Features(rows.values.shape[1], rows.feature_names)

    def _check(self, rows: Rows) -> None:
        """Refuse rows that cannot be perturbed; by default those that `_features` refuses."""
        self._features(rows)

    def _checked_rows(self, X: Any, name: str = "X") -> Rows:
        """Convert the user's X to `Rows`, and refuse rows that cannot be perturbed."""
        rows = self._rows(X, name)
        self._check(rows)
        return rows

    def _points(self, seed: np.uint64, n_samples: int) -> Rows | None:
        """Return the points that all instances share; None if every instance, or set of instances, has its own."""
        return None

    def _prepare(
        self,
        seed: np.uint64,
        n_samples: int,
        n_features: int | None,
        predict: PredictRows,
        instance_ids: Array | range | None = None,
    ) -> "Neighborhood":
        """Return the neighborhood after work that is done once per call, before any row is explained.

        `instance_ids` are the numbers of the rows that will be explained; None if they are not known yet.
        """
        return self

    def _shared_sets(self, instance_ids: Array, shared_samples: int) -> Array | None:
        """Return the number of the set of samples of each row; None if every row has samples of its own."""
        return None if shared_samples == 1 else instance_ids.astype(np.uint64) // np.uint64(min(shared_samples, 2**63))

    @property
    def _known_columns(self) -> Columns | None:
        """What the columns of the table that it was made of are taken for; None if that is not known."""
        return None

    def _note_on_failure(self, rows: Rows, values: Any) -> str | None:
        """Say what samples may have that the data has not, if the model fails on them; `values` are theirs."""
        return None

    _centred: ClassVar[bool] = False  # if the samples vary around the instance: then nothing contributes to its output

    @abstractmethod
    def _sampler(self, seed: np.uint64, n_samples: int, rows: Rows) -> Sampler:
        """Return the sampler of these rows; the samples of a row must not depend on the other rows."""


def check_samples(n_samples: int, n_features: int | None, d: int, name: str = "n_samples") -> None:
    """Refuse fewer samples than a fit needs that selects n_features of d features; None selects all."""
    check_count(n_samples, d if n_features is None else min(n_features, d), name)
