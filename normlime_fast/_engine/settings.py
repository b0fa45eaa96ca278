"""The settings of a call of an explainer."""

from dataclasses import dataclass

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._model import Model
from normlime_fast._neighborhoods.base import Neighborhood


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
