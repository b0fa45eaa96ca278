"""Types shared by the annotations of several modules: kinds and signs of importances, layouts of tables, callbacks."""

from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["normlime", "l2", "sp_lime", "mean_abs", "mean", "sum"]
Sign = Literal["absolute", "positive", "negative", "net"]
Of = Literal["weights", "contributions"]  # what importances are made of

Layout = Literal["long", "wide"]  # of tables
LocalLayout = Literal["long", "wide", "fits"]  # of tables of local explanations

Predict = Callable[[Any], Any]  # rows -> (m,) or (m, n_outputs) numbers
Progress = Callable[[int, Any], object]  # the user's: instances done, and their total or None
Advance = Callable[[int], object]  # instances done
