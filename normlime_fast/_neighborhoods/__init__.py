"""Neighborhoods: sources of perturbed samples, one file per kind."""

from typing import Any

import numpy as np

from normlime_fast._checks import as_array, as_frame, is_sparse, short_repr
from normlime_fast._neighborhoods.base import Neighborhood
from normlime_fast._neighborhoods.binned import Binned
from normlime_fast._neighborhoods.custom import Custom, Perturbs
from normlime_fast._neighborhoods.gaussian import Gaussian, sample_gaussian
from normlime_fast._neighborhoods.mask import Mask
from normlime_fast._neighborhoods.points import SharedPoints
from normlime_fast._neighborhoods.pool import Pool
from normlime_fast._neighborhoods.proximity import Proximity

__all__ = [
    "Binned",
    "Gaussian",
    "Mask",
    "Neighborhood",
    "Perturbs",
    "Pool",
    "Proximity",
    "SharedPoints",
    "as_neighborhood",
    "sample_gaussian",
]


def as_neighborhood(neighborhood: Any) -> Neighborhood:
    """Return the user's neighborhood as a `Neighborhood`."""
    if isinstance(neighborhood, SharedPoints) and not isinstance(getattr(neighborhood, "proximity", None), Proximity):
        got = short_repr(getattr(neighborhood, "proximity", None))
        raise TypeError(f"proximity of the neighborhood must be a Proximity, such as nlf.Proximity(), got {got}")
    if isinstance(neighborhood, Neighborhood):
        return neighborhood
    if isinstance(neighborhood, Perturbs) and not isinstance(neighborhood, type):
        return Custom(neighborhood)
    if isinstance(neighborhood, type):
        raise TypeError(f"{_EXPECTED}, got the class {neighborhood.__name__}; pass an object of it")
    return of_training_data(neighborhood)


_EXPECTED = (
    "neighborhood must be training data, a Gaussian, Pool, Binned, Mask, another Neighborhood or SharedPoints, or an"
    " object with perturb and n_features"
)


def of_training_data(X: Any) -> Neighborhood:
    """Return the neighborhood for data of this kind: of tables, images, sparse rows or texts."""
    if is_sparse(X):
        return Mask()
    if as_frame(X, "X") is not None:
        return Binned.from_data(X)
    is_list = isinstance(X, list | tuple)
    entries = X if is_list else getattr(X, "to_list", getattr(X, "tolist", list))() if np.ndim(X) == 1 else []
    if len(entries) and all(isinstance(text, str) for text in entries):
        return Mask.text(list(entries))
    if not is_list and not np.ndim(X):
        raise TypeError(f"{_EXPECTED}, got {type(X).__name__}")
    if np.ndim(X) > 2:
        array = as_array(X, "neighborhood")
        return Mask.from_data(array, segments=min(8, *array.shape[1:3]))
    return Binned.from_data(X)
