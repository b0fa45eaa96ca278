"""The model's outputs: the method that they come from, their names, the targets among them, and links."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, short_repr
from normlime_fast._messages import Message, Term
from normlime_fast._types import Predict

Link = Literal["identity", "logit", "log"] | Callable[[Array], ArrayLike]

SCORES = "predict_proba", "decision_function"
METHODS = *SCORES, "predict"
OUTSIDE = 1e-6  # how far rounding, in float32, may take a probability out of [0, 1]


# --- the model


def _method(predict: Predict) -> tuple[Any, str]:
    """Return the object and the name of the method that a function is, or is a `functools.partial` of."""
    while isinstance(predict, partial):
        predict = predict.func
    return getattr(predict, "__self__", None), str(getattr(predict, "__name__", ""))


def _classes(model: object) -> Any:
    """Return the classes of a fitted classifier; None for other objects."""
    with suppress(Exception):  # from a property of someone else's class
        classes: Any = model.classes_  # type: ignore[attr-defined]
        return classes if len(classes) else None
    return None


def _inner(model: Any) -> Any:
    """Return the estimator at the end of pipelines and searches."""
    while hasattr(model, "best_estimator_") or getattr(model, "steps", None):
        model = model.best_estimator_ if hasattr(model, "best_estimator_") else model.steps[-1][1]
    return model


def check_predict(predict: Predict) -> None:
    """Refuse a model in place of its function, and a function that returns class labels."""
    if not callable(predict):
        methods = _methods(predict)
        advice = f"; pass its {' or '.join(methods)}" if methods else ""
        got = f" must be callable, such as model.predict_proba, got {type(predict).__name__}{advice}"
        raise TypeError(Message(Term("predict"), got))
    model, name = _method(predict)
    with_options = isinstance(predict, partial) and (predict.args or predict.keywords)  # such as raw_score=True
    if name == "predict" and not with_options and _classes(model) is not None:
        methods = _methods(model)
        advice = f"its {' or '.join(methods)}" if methods != ["predict"] else "a function that returns scores"
        got = f" must return probabilities or scores, got {type(model).__name__}.predict, which returns class labels"
        raise TypeError(Message(Term("predict"), f"{got}; pass {advice}"))


def _methods(model: object) -> list[str]:
    """Return the names of an object's methods that could be `predict`: those of scores, if there are any."""
    there = []
    for name in METHODS:
        with suppress(Exception):
            if callable(getattr(model, name)):
                there.append(name)
    return [name for name in there if name in SCORES] or there


def _is_regressor(predict: Predict) -> bool:
    """Return whether this is `predict` of a regressor, by scikit-learn's convention."""
    model, name = _method(predict)
    if name != "predict":
        return False
    with suppress(Exception):
        return bool(model.__sklearn_tags__().estimator_type == "regressor")
    return getattr(model, "_estimator_type", None) == "regressor"


# --- names and targets


def as_distinct_names(names: Iterable[object] | None, name: str) -> tuple[str, ...] | None:
    """Return names as distinct texts."""
    if names is None:
        return None
    if isinstance(names, str | bytes) or not hasattr(type(names), "__iter__") or np.ndim(names) != 1:  # type: ignore[arg-type]
        raise TypeError(Message(Term(name), f" must be a list of names, got {short_repr(names)}"))
    texts = tuple(str(text) for text in names)
    for text, count in Counter(texts).items():
        if count > 1:
            got = f" must differ from each other, got {short_repr(text)} {count} times"
            raise ValueError(Message(Term(name), got))
    return texts


def class_names(predict: Predict) -> tuple[str, ...] | None:
    """Return the names of the outputs of a method of a classifier with one output per class, as scikit-learn's."""
    model, name = _method(predict)
    classes = _classes(model)
    if name not in (*SCORES, "predict_log_proba") or not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return None
    pairs = getattr(_inner(model), "decision_function_shape", None) == "ovo"  # outputs of a support vector machine
    if name == "decision_function" and (pairs or len(classes) == 2):  # two classes have one output
        return None
    return tuple(str(label) for label in classes)


def target_names(predict: Predict, n_outputs: int) -> tuple[str, ...] | None:
    """Return the class names of a method of a classifier if they fit its outputs."""
    names = class_names(predict)
    return names if names is not None and len(names) == n_outputs > 1 else None


def names_of_targets(given: tuple[str, ...] | None, predict: Predict) -> tuple[str, ...] | None:
    """Return the names of the outputs before the model is called: those given, or those of its classes."""
    classes = class_names(predict)
    if given is None or classes is None:
        return given or classes
    if given != classes and sorted(given) == sorted(classes):
        order, got = (short_repr(list(names)) for names in (classes, given))
        got = f" must be in the order of the model's classes, {order}, got {got}"
        raise ValueError(Message(Term("target_names"), got))
    return given


def check_target_names(names: tuple[str, ...] | None, n_outputs: int) -> None:
    """Refuse names that are not as many as the outputs."""
    if names is not None and len(names) != n_outputs:
        got = f" must be one name for each of the model's {n_outputs} outputs, got {len(names)}"
        raise ValueError(Message(Term("target_names"), got))


def targets_of(targets: str | Array, n_outputs: int, largest: Array) -> Array:
    """Return the outputs to explain for each instance, (n_instances, t); `largest` (n_instances,) are "predicted"."""
    if isinstance(targets, str):
        if targets == "predicted":
            return largest[:, None]
        targets = np.arange(n_outputs)
    if targets.max() >= n_outputs:
        raise ValueError(
            Message(Term("targets"), f" must be below the model's {n_outputs} outputs, got {targets.max()}")
        )
    return np.broadcast_to(targets, (len(largest), len(targets)))


def warn_of_units(predict: Predict, targets: str | Array, n_outputs: int | None, stacklevel: int) -> None:
    """Warn if outputs of a regressor are compared: their units may differ."""
    if isinstance(targets, str) and targets == "predicted" and (n_outputs or 1) > 1 and _is_regressor(predict):
        largest = f' is "predicted", the largest of the {n_outputs} outputs of a regressor, whose units may differ;'
        warnings.warn(Message(Term("targets"), largest, ' "all" explains each of them'), stacklevel=stacklevel + 1)


# --- links


def as_link(link: object) -> Link:
    """Return `link`, a name or a callable."""
    expected = ' must be "identity", "logit", "log" or a callable, got '
    if callable(link):
        return link
    if not isinstance(link, str):
        raise TypeError(Message(Term("link"), expected, short_repr(link)))
    if link not in ("identity", "logit", "log"):
        raise ValueError(Message(Term("link"), expected, short_repr(link)))
    return link  # type: ignore[return-value]


def outside_domain(link: Link, outputs: Array) -> tuple[Array, str] | None:
    """Return which outputs a link is not defined for, if any, and which it is defined for."""
    if link == "logit":
        outside, defined = (outputs < -OUTSIDE) | (outputs > 1.0 + OUTSIDE), "numbers from 0 to 1"
    elif link == "log":
        outside, defined = outputs < 0.0, "numbers of at least 0"
    else:
        return None
    return (outside, defined) if outside.any() else None


def linked(link: Link, outputs: Array, dtype: Any) -> Array:
    """Apply a link to outputs (m, n_outputs) that the model returned in this dtype.

    Probabilities are clipped to the last one below 1 in this dtype, and to as far from 0. So a forest's 0 and 1 have
    finite logits, of equal size, and the two classes of a model are mirror images.
    """
    if link == "identity":
        return outputs
    if callable(link):
        with np.errstate(all="ignore"):
            values = np.asarray(link(outputs.copy()))
        if values.shape != outputs.shape or values.dtype.kind not in "fiu":
            got = f"shape {values.shape} and dtype {short_repr(values.dtype, str)}"
            raise ValueError(Message(Term("link"), f" must return numbers of shape {outputs.shape}, got {got}"))
        return values.astype(np.float64, copy=False)
    end = float(np.finfo(dtype if dtype.kind == "f" and dtype.itemsize < 8 else np.float64).epsneg)
    if link == "log":
        return np.log(np.maximum(outputs, end))
    clipped = np.clip(outputs, end, 1.0 - end)
    logits: Array = np.log(clipped) - np.log1p(-clipped)
    return logits
