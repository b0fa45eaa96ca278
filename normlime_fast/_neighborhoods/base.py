"""What engine and neighborhoods agree on: `Neighborhood`, `Sampler`, `SampleBuffer`, and what passes between them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from normlime_fast._checks import Array, check_count
from normlime_fast._inputs.rows import Rows, as_rows

Ask = Callable[[Rows], Array]  # the model's outputs (m, n_outputs) of rows


class Features(NamedTuple):
    """The features that weights are reported for."""

    n_features: int
    names: tuple[str, ...] | None


class Batch(NamedTuple):
    """Instances whose samples the model predicts together."""

    rows: slice  # of the block
    instance_ids: Array  # (instances,)
    set_ids: Array  # (m,) uint64: which sets of samples, keys of their random numbers
    starts: Array  # (m + 1,): at which of these instances each set begins, and where the last one ends


class Inputs(NamedTuple):
    """Inputs for the model: `n_samples` of each of some instances of a batch."""

    values: Any  # what the rows' values are made of
    instances: Array  # (instances of the batch,) bool: which those are


class Samples(NamedTuple):
    """What is fitted together: sets first to stop of a batch, which have features of the same number.

    Every sample has features z, which are 0 at the instance itself, and a proximity weight.
    """

    first: int
    stop: int
    Z: Array  # (stop - first, n, d) float32, C-contiguous
    weights: Array  # (stop - first or 1, n) float64


class SampleBuffer(Protocol):
    """Memory for the samples of a batch of instances, filled for one batch after another.

    Threads call `draw` and `fits` for disjoint pieces of a batch, at the same time; `piece` may end behind the last
    set. All else is called by one thread, once `draw` is done.
    """

    def draw(self, batch: Batch, piece: slice) -> None:
        """Draw some sets of a batch; called again, draw the same."""

    def inputs(self, batch: Batch) -> Inputs | None:
        """Return what the model is to predict; None if it need not be called. A model may work in place."""

    def outputs(self, batch: Batch, predicted: Array | None, own: Array, targets: Array) -> Array:
        """Return what is fitted: the outputs of samples for the targets (m, t) of each instance, (m * t, n).

        `predicted` (rows, n_outputs) is what the model returned for `inputs`, None where it was not called or failed
        for all; `own` (m, t) is what it returned for the instances themselves. `predicted` has the n samples of the
        first instance first, and the result the t targets of the first instance.
        """

    def fits(self, batch: Batch, piece: slice) -> Iterator[Samples]:
        """Return what is to be fitted of some sets of a batch."""

    def most_features(self, batch: Batch) -> int:
        """Return how many features an instance of the batch has at most."""

    def columns(self, batch: Batch) -> list[Any] | None:
        """Return which of `Neighborhood._features` the features of each instance are; None: they are the same.

        Of an instance, (d,) ascending ints; a csr_array (d, n_features) of ones where one feature stands for several;
        or None.
        """


class Sampler(Protocol):
    """What makes the samples of the rows of a block: one class, and beside it one of its buffers."""

    @property
    def n_samples(self) -> int:
        """How many samples an instance has, n."""

    @property
    def n_features(self) -> int:
        """How many features a sample has, d; about as many where instances differ, for the size of batches."""

    @property
    def n_outputs(self) -> int | None:
        """How many outputs of the model are known already, without calling it for samples; None: it will be called."""

    @property
    def shares_sets(self) -> bool:
        """Whether instances of one set have the same z, and are drawn and fitted together."""

    def check(self, n_features: int | None) -> None:
        """Refuse fewer samples than a fit of so many features takes (None: of all), as far as that is known."""

    def buffer(self, rows: Rows, size: int) -> SampleBuffer:
        """Return memory for batches of up to `size` of the rows."""


class Neighborhood(ABC):
    """Where the samples around an instance come from; base class of `Gaussian`, `Pool`, `Binned` and `Mask`.

    There are three ways to a neighborhood of your own, and none of them needs a change of this package:

    * an object with ``n_features`` and ``perturb``, see `Perturbs`, for samples that Python makes for each instance;
    * a subclass of `SharedPoints`, for one set of points that serves all instances;
    * a subclass of this class, which does everything itself by a sampler: one of the three in
      ``normlime_fast._neighborhoods.samplers``, or a class pair of its own as in ``normlime_fast._neighborhoods.base``.

    What users of a neighborhood call has no underscore; what an explainer calls has one, as `_matvec` of scipy's
    LinearOperator and `_pdf` of its distributions: completion shows users what is meant for them, no attribute such as
    `Binned.features` collides with a method, and a subclass still implements documented names, which change only with
    a line in the changelog. Samplers are the engine's own and may change with every version: a subclass with one may
    have to change with them.

    A subclass must implement `_sampler`. By default, rows are tables of numbers, and their columns are the features.
    Objects are pickled for executors, and compared by checkpoints: by their fields if they are dataclasses, otherwise
    by their attributes.

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
        """Return the user's rows, checked as far as other rows of the same kind need not be known."""
        return as_rows(X, name)

    def _features(self, rows: Rows) -> Features:
        """Return the features that weights are reported for."""
        return Features(rows.values.shape[1], rows.feature_names)

    def _check(self, rows: Rows) -> None:
        """Refuse rows that it cannot perturb; by default those that `_features` refuses."""
        self._features(rows)

    def _checked_rows(self, X: Any, name: str = "X") -> Rows:
        """Return the user's rows, which it can perturb."""
        rows = self._rows(X, name)
        self._check(rows)
        return rows

    def _points(self, seed: np.uint64, n_samples: int) -> Rows | None:
        """Return points that serve all instances; None if every instance, or set of instances, has its own."""
        return None

    def _prepare(self, seed: np.uint64, n_samples: int, n_features: int | None, ask: Ask) -> "Neighborhood":
        """Do what is done once a call, before any row is explained; `ask` calls the model."""
        return self

    @abstractmethod
    def _sampler(self, seed: np.uint64, n_samples: int, rows: Rows) -> Sampler:
        """Return what makes the samples of these rows: the same for a row whatever the other rows are."""


def check_samples(n_samples: int, n_features: int | None, d: int, name: str = "n_samples") -> None:
    """Refuse fewer samples than a fit takes that selects n_features of d features, or of None all."""
    check_count(n_samples, d if n_features is None else min(n_features, d), name)
