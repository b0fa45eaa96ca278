"""Faster fits for the explainers of lime.

The features, and their order, are those of lime: lime's own code decides what `_fits` leaves undecided.
"""

from functools import partial
from typing import Any, TypeVar

import numpy as np

from normlime_fast._checks import Array, import_optional
from normlime_fast.interop.lime import _fits
from normlime_fast.interop.lime._explanations import from_lime

__all__ = ["accelerate", "from_lime"]

_Explainer = TypeVar("_Explainer")


class AcceleratedBase:
    """Replaces `original`, a lime.lime_base.LimeBase, with the same attributes, methods and results."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the original: kernel_fn, verbose, random_state, ..."""
        if name == "original":  # not yet set in a copy
            raise AttributeError(name)
        return getattr(self.original, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "original":
            object.__setattr__(self, name, value)
        else:
            setattr(self.original, name, value)

    def _select(
        self, moments: _fits.Moments | None, data: Any, labels: Any, weights: Any, num_features: Any, method: Any
    ) -> Any:
        """Select features, in lime's order."""
        if method == "auto":
            method = "forward_selection" if num_features <= 6 else "highest_weights"
        used = None
        if moments is not None and isinstance(num_features, int | np.integer) and num_features > 0:
            count = int(num_features)
            if method == "none":
                used = np.arange(len(moments.c))
            elif method == "forward_selection":
                used = _fits.forward_selection(moments, count, partial(self._contest, data, labels, weights))
            elif method == "highest_weights":
                fitted = _fits.ridge(moments, np.arange(len(moments.c)), _fits.OF_ALL)
                used = fitted and _fits.descending(fitted[0] * data[0], fitted[1] * np.abs(data[0]), count)
            elif method == "lasso_path":
                used = _fits.lasso_path(moments, count)
        if used is None:
            return self.original.feature_selection(data, labels, weights, num_features, method)
        return used

    def _contest(self, data: Any, labels: Any, weights: Any, used: list[int], contenders: Array) -> int:
        """Return the contender with the highest R^2 of lime's fit; the first of equal ones."""
        from sklearn.linear_model import Ridge

        model = Ridge(alpha=0, fit_intercept=True, random_state=self.random_state)

        def score(feature: int) -> float:
            columns = data[:, [*used, feature]]
            return float(model.fit(columns, labels, sample_weight=weights).score(columns, labels, weights))

        return max(map(int, contenders), key=score)

    def forward_selection(self, data: Any, labels: Any, weights: Any, num_features: int) -> Any:
        """See `lime.lime_base.LimeBase`."""
        return self.feature_selection(data, labels, weights, num_features, "forward_selection")

    def feature_selection(self, data: Any, labels: Any, weights: Any, num_features: int, method: str) -> Any:
        """See `lime.lime_base.LimeBase`."""
        return self._select(_fits.moments_of(data, labels, weights), data, labels, weights, num_features, method)

    def _fit_as_lime(self, model: Any, data: Any, labels: Any, weights: Any, used: Any) -> _fits.Fit:
        if model is None:
            from sklearn.linear_model import Ridge

            model = Ridge(alpha=_fits.REFIT, fit_intercept=True, random_state=self.random_state)
        columns = data[:, used]
        model.fit(columns, labels, sample_weight=weights)
        score = model.score(columns, labels, sample_weight=weights)
        return model.intercept_, model.coef_, score, model.predict(data[0, used].reshape(1, -1))

    def explain_instance_with_data(
        self,
        neighborhood_data: Any,
        neighborhood_labels: Any,
        distances: Any,
        label: int,
        num_features: int,
        feature_selection: str = "auto",
        model_regressor: Any = None,
    ) -> tuple[Any, list[tuple[Any, Any]], Any, Any]:
        """See lime: return the intercept, (feature, weight) by decreasing size, R^2, and the local prediction."""
        weights, labels = self.kernel_fn(distances), neighborhood_labels[:, label]
        moments = _fits.moments_of(neighborhood_data, labels, weights)
        used = self._select(moments, neighborhood_data, labels, weights, num_features, feature_selection)
        fit = None
        if moments is not None and model_regressor is None and used is not None:
            fit = _fits.refit(moments, used, neighborhood_data[0])
        if fit is None:
            fit = self._fit_as_lime(model_regressor, neighborhood_data, labels, weights, used)
        intercept, coefficients, score, local = fit
        if self.verbose:
            print("Intercept", intercept)
            print("Prediction_local", local)
            print("Right:", neighborhood_labels[0, label])
        pairs = zip(used, coefficients, strict=False)  # a regressor's coef_ may have any shape
        return intercept, sorted(pairs, key=lambda pair: abs(pair[1]), reverse=True), score, local


def accelerate(explainer: _Explainer) -> _Explainer:
    """Accelerate the fits of an explainer of lime, for tables, texts or images.

    The explainer is changed in place: its `base`, which selects features and fits, is replaced. The samples, the calls
    of the model and the explanations stay the same: the same features in the same order for every `feature_selection`,
    and weights that differ only by rounding. lime's own code is used with a custom `model_regressor`, for sparse data,
    and where rounding would decide, as with ties.

    Parameters
    ----------
    explainer : lime explainer
        A LimeTabularExplainer, RecurrentTabularExplainer, LimeTextExplainer or LimeImageExplainer.

    Returns
    -------
    lime explainer
        The same object. A second call has no effect; ``explainer.base = explainer.base.original`` undoes the first.

    Raises
    ------
    ImportError
        If lime is not installed.
    TypeError
        If `explainer` is not one of lime's, or its `base` is not lime's own.

    References
    ----------
    Ribeiro, Singh and Guestrin (2016), "Why Should I Trust You?", KDD.

    Examples
    --------
    >>> import numpy as np
    >>> from lime.lime_tabular import LimeTabularExplainer
    >>> from normlime_fast.interop.lime import accelerate
    >>> X = np.random.default_rng(0).normal(size=(500, 3))
    >>> explainer = accelerate(LimeTabularExplainer(X, mode="regression", random_state=0))
    >>> explanation = explainer.explain_instance(X[0], lambda X: X @ [1.0, -2.0, 0.0], num_features=2)
    >>> [(feature, round(weight, 3)) for feature, weight in explanation.as_list()]
    [('-0.59 < 1 <= 0.10', 0.805), ('-0.13 < 0 <= 0.53', 0.459)]
    """
    import_optional("lime", "accelerate", '"normlime-fast[lime]"')
    from lime.lime_base import LimeBase

    base = getattr(explainer, "base", None)
    if isinstance(base, AcceleratedBase):
        return explainer
    if type(base) is not LimeBase:
        raise TypeError(
            "explainer must be an explainer of lime, whose base is a lime.lime_base.LimeBase, got "
            f"{type(explainer).__name__}, whose base is {type(base).__name__}"
        )
    explainer.base = AcceleratedBase(base)  # type: ignore[attr-defined]
    return explainer
