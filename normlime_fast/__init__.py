"""NormLIME: global and class-specific feature importance from many local LIME explanations, compiled.

Ahern et al., "NormLIME: A New Feature Importance Metric for Explaining Deep Neural Networks", AAAI 2020
(arXiv 1909.04200).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from normlime_fast._errors import CheckpointMismatchError, IncompleteRunError
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
from normlime_fast._status import Status
from normlime_fast._surrogates import Surrogates, fit_surrogates
from normlime_fast._version import installed_version
from normlime_fast._warming import warm_up

__all__ = [
    "Binned",
    "CheckpointMismatchError",
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
    "Status",
    "Surrogates",
    "aggregate",
    "fit_surrogates",
    "sample_gaussian",
    "warm_up",
]

_SUBPACKAGES = ("evaluation", "interop", "plotting")  # imported at first use

if TYPE_CHECKING:
    from normlime_fast import evaluation as evaluation
    from normlime_fast import interop as interop
    from normlime_fast import plotting as plotting

    __version__: str
else:  # type checkers would accept every name if they saw this

    def __getattr__(name: str) -> Any:
        if name in _SUBPACKAGES:
            return import_module(f"{__name__}.{name}")
        if name == "__version__":
            return installed_version()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBPACKAGES, "__version__"})
