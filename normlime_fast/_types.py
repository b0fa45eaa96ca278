"""The closed lists of words and numbers that results are made of, and the types of callbacks."""

from collections.abc import Callable
from typing import Any, Literal

from normlime_fast._kernels.surrogate import CONSTANT_OUTPUT, NO_FEATURES, NO_WEIGHT, OVERFLOW, TOO_FEW

Kind = Literal["normlime", "l2", "sp_lime", "mean_abs", "mean", "sum"]
Sign = Literal["absolute", "positive", "negative", "net"]

MODEL_FAILED, INVALID_ROW = 6, 9  # statuses beside those of the fits: there was nothing to fit
UNKNOWN = {  # statuses of what is no explanation at all, and why
    MODEL_FAILED: "the model failed",
    TOO_FEW: "too few effective samples",
    NO_FEATURES: "nothing to perturb",
    INVALID_ROW: "the row could not be used",
}
EMPTY = (CONSTANT_OUTPUT, NO_WEIGHT, OVERFLOW, *UNKNOWN)  # statuses of explanations without weights
N_STATUSES = max(UNKNOWN) + 1

Layout = Literal["long", "wide"]  # of tables
LocalLayout = Literal["long", "wide", "fits"]  # of tables of local explanations

Predict = Callable[[Any], Any]  # rows -> (m,) or (m, n_outputs) numbers
Progress = Callable[[int, Any], object]  # the user's: instances done, and in all, if that is known
Advance = Callable[[int], object]  # instances done
