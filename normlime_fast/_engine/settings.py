"""The settings of a call of an explainer."""

from dataclasses import dataclass

import numpy as np

from normlime_fast._checks import Array, short_repr
from normlime_fast._inputs.rows import Rows
from normlime_fast._model import Model
from normlime_fast._neighborhoods.base import Features, Neighborhood


@dataclass(frozen=True, eq=False)
class Settings:
    """The settings of an explainer: checked, made once per call, and sent to workers."""

    model: Model
    neighborhood: Neighborhood
    n_features: int | None
    n_samples: int
    selection: str
    standardize: bool
    targets: str | Array
    ridge: float
    tol: float
    shared_samples: int
    n_jobs: int
    seed: np.uint64
    target_names: tuple[str, ...] | None  # given by the user, for models that have none
    feature_names: tuple[str, ...] | None

    def shared_sets(self, instance_ids: Array) -> Array | None:
        """Return the number of the set of samples of each instance; None if every instance has samples of its own."""
        return self.neighborhood._shared_sets(instance_ids, self.shared_samples)

    def features(self, rows: Rows) -> Features:
        """Return the features of rows, by the names given for those that have none."""
        count, names = self.neighborhood._features(rows)
        check_feature_names(self.feature_names, count, names)
        return Features(count, names or self.feature_names)


def check_feature_names(given: tuple[str, ...] | None, count: int, names: tuple[str, ...] | None = None) -> None:
    """Refuse names that are not as many as the features, or differ from the names that these have."""
    if given is None:
        return
    if len(given) != count:
        raise ValueError(f"feature_names must be one name for each of {count} features, got {len(given)}")
    for own, name in zip(names or (), given, strict=False):
        if name != own:
            got = f"{short_repr(name)} in place of {short_repr(own)}"
            raise ValueError(f"feature_names must be those that the features have, got {got}; leave them out")
