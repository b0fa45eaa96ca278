"""NormLIME: global and class-specific feature importance from many local LIME explanations, compiled.

Ahern et al., "NormLIME: A New Feature Importance Metric for Explaining Deep Neural Networks", AAAI 2020
(arXiv 1909.04200).
"""

from normlime_fast._errors import IncompleteRunError
from normlime_fast._explainer import NormLIME
from normlime_fast._neighborhoods import (
    Binned,
    Gaussian,
    Mask,
    Neighborhood,
    Perturbs,
    Pool,
    Proximity,
    SharedPoints,
    sample_gaussian,
)
from normlime_fast._results.explanations import LocalExplanations
from normlime_fast._results.importance import Importance
from normlime_fast._results.statistics import ImportanceStatistics, aggregate
from normlime_fast._surrogates import Surrogates, fit_surrogates
from normlime_fast._warming import warm_up

__all__ = [
    "Binned",
    "Gaussian",
    "Importance",
    "ImportanceStatistics",
    "IncompleteRunError",
    "LocalExplanations",
    "Mask",
    "Neighborhood",
    "NormLIME",
    "Perturbs",
    "Pool",
    "Proximity",
    "SharedPoints",
    "Surrogates",
    "aggregate",
    "fit_surrogates",
    "sample_gaussian",
    "warm_up",
]
