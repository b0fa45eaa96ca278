"""NormLIME: global and class-specific feature importance from many local LIME explanations, compiled.

Ahern et al., "NormLIME: A New Feature Importance Metric for Explaining Deep Neural Networks", AAAI 2020
(arXiv 1909.04200).
"""

from normlime_fast.errors import IncompleteRunError
from normlime_fast.explainer import NormLIME
from normlime_fast.explanations import LocalExplanations
from normlime_fast.importance import ImportanceStatistics, aggregate
from normlime_fast.neighborhoods import Binned, Gaussian, Mask, Perturbs, Pool, sample_gaussian
from normlime_fast.ranking import Importance
from normlime_fast.surrogates import Surrogates, fit_surrogates
from normlime_fast.warming import warm_up

__all__ = [
    "Binned",
    "Gaussian",
    "Importance",
    "ImportanceStatistics",
    "IncompleteRunError",
    "LocalExplanations",
    "Mask",
    "NormLIME",
    "Perturbs",
    "Pool",
    "Surrogates",
    "aggregate",
    "fit_surrogates",
    "sample_gaussian",
    "warm_up",
]
