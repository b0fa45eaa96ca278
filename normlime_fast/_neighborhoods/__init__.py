"""Neighborhoods: sources of perturbed samples, one file per kind."""

from typing import Any

from normlime_fast._checks import short_repr
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
    got = type(neighborhood).__name__
    if isinstance(neighborhood, type):
        got = f"the class {neighborhood.__name__}; pass an object of it"
    raise TypeError(
        "neighborhood must be a Gaussian, Pool, Binned, Mask, another Neighborhood or SharedPoints, or an object with"
        f" perturb and n_features, got {got}"
    )
