"""The user's own neighborhoods: objects with `perturb`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_array, as_count, as_numbers, ignoring_float_errors, short_repr
from normlime_fast._inputs.rows import Rows, as_any_rows, as_dtype
from normlime_fast._neighborhoods.base import Features, Neighborhood
from normlime_fast._neighborhoods.samplers import InstanceSampler, InstanceSamples


@runtime_checkable
class Perturbs(Protocol):
    """Interface of your own neighborhood: a number of features, and a method that perturbs an instance.

    A tuple of str ``feature_names`` names the features. Without it they have no names: those of a DataFrame's columns
    are not used, since features need not be columns.

    The object is pickled for executors, and checkpoints compare its attributes, but not its code: `perturb` must not
    change the attributes. With `n_jobs`, several threads call it at the same time. The number of columns of X is not
    checked, and the model predicts X first, so that a model may fail for rows that `perturb` would refuse. An error in
    `perturb` ends the run, also with ``on_error="skip"``.

    Attributes
    ----------
    n_features : int
        Number of features of a sample, d.
    """

    n_features: int

    def perturb(self, instance: Any, n_samples: int, rng: np.random.Generator) -> tuple[Any, ...]:
        """Perturb an instance.

        Parameters
        ----------
        instance : ndarray, str, or csr row of shape (1, columns)
            A row of X; if X is a DataFrame, the row's values.
        n_samples : int
            Number of samples to return, n.
        rng : numpy.random.Generator
            The only source of randomness to use: it depends on the seed of the explainer and the number of the row, or
            of its set of `shared_samples`.

        Returns
        -------
        inputs : array of shape (n, ...), csr matrix of n rows, or list of n str
            Samples as inputs of the model, of the same kind as X.
        Z : array of shape (n, d)
            Their features, stored as float32. If these are 0 at the instance, the explanation's `intercept` is the
            surrogate's value at the instance.
        weights : array of shape (n,), optional
            Their proximity weights, at least 0; without weights, all are equal.
        """
        ...


@dataclass(frozen=True, eq=False)
class Custom(Neighborhood):
    """Wraps the user's own neighborhood as a `Neighborhood`."""

    neighborhood: Perturbs

    def __post_init__(self) -> None:
        """Refuse a number of features that is none before there are rows."""
        self._n_features()

    def _n_features(self) -> int:
        return as_count(self.neighborhood.n_features, "n_features of the neighborhood")

    def _rows(self, X: object, name: str = "X") -> Rows:
        return as_any_rows(X, name)

    def _features(self, rows: Rows) -> Features:
        """Return the features that the user's object declares."""
        d = self._n_features()
        names = getattr(self.neighborhood, "feature_names", None)
        if names is not None and len(names) != d:
            raise ValueError(f"feature_names of the neighborhood must have {d} names, got {len(names)}")
        return Features(d, None if names is None else tuple(str(name) for name in names))

    def _sampler(self, seed: np.uint64, n_samples: int, rows: Rows) -> InstanceSampler:
        """Return a sampler that calls the user's `perturb`."""
        d = self._features(rows).n_features

        def draw(number: int, row: int) -> InstanceSamples:
            rng = np.random.Generator(np.random.Philox(key=[int(seed), number]))
            instance = rows.values[row if isinstance(rows.values, np.ndarray) else slice(row, row + 1)]
            instance = instance if isinstance(instance, str) else instance.copy()
            return self._checked(self.neighborhood.perturb(instance, n_samples, rng), n_samples, d, rows)

        return InstanceSampler(draw, n_samples, d)

    @ignoring_float_errors
    def _checked(self, returned: object, n: int, d: int, rows: Rows) -> InstanceSamples:
        if not isinstance(returned, tuple) or len(returned) not in (2, 3):
            raise TypeError(
                f"perturb must return a tuple (inputs, Z) or (inputs, Z, weights), got {_described(returned)}"
            )
        Z = np.require(_part(as_numbers, returned[1], "Z", ndim=(2,)), np.float32, ["C", "W"])
        if Z.shape != (n, d):
            raise ValueError(f"perturb must return Z of shape ({n}, {d}), got {Z.shape}")
        if not np.isfinite(Z).all():
            raise ValueError("perturb must return Z that fits into float32, got an overflow")
        given = _part(as_any_rows, returned[0], "inputs").values
        if type(given) is not type(rows.values):
            got = f"{type(given).__name__} for a {type(rows.values).__name__}"
            raise TypeError(f"perturb must return inputs of the same kind as X, got a {got}")
        if given.shape != (n, *rows.values.shape[1:]):
            raise ValueError(f"perturb must return inputs of shape {(n, *rows.values.shape[1:])}, got {given.shape}")
        if rows.values.dtype.kind == "f":
            given = as_dtype(given, rows.values.dtype, "perturb must return inputs")
        weights = None if len(returned) == 2 else _weights(returned[2], n)
        return InstanceSamples(given, Z, weights)


def _part(checked: Callable[..., Any], given: object, name: str, **options: Any) -> Any:
    """Return part of what perturb returned, or say what is wrong with it: `name` is no argument of the user's call."""
    try:
        return checked(given, name, **options)
    except (TypeError, ValueError) as error:
        raise type(error)(f"the {name} that perturb returns{str(error).removeprefix(name)}") from None


def _described(returned: object) -> str:
    """Return the types of what perturb returned, with shapes instead of numbers."""
    if isinstance(returned, tuple | list):
        parts = [_kind(part) for part in returned[:4]] + ["..."] * (len(returned) > 4)
        return f"a {type(returned).__name__} ({', '.join(parts)})"
    return _kind(returned) if hasattr(returned, "shape") else short_repr(returned)


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__}{'' if shape is None else f' of shape {shape}'}"


def _weights(given: ArrayLike, n: int) -> Array:
    weights = as_array(_part(as_numbers, given, "weights", ndim=(1,)), "weights").astype(np.float64)
    if weights.shape != (n,):
        raise ValueError(f"perturb must return one weight per sample, shape ({n},), got shape {weights.shape}")
    if (weights < 0).any():
        raise ValueError(f"perturb must return weights of at least 0, got {weights.min()}")
    relative: Array = weights / max(weights.max(), 1.0)
    return relative
