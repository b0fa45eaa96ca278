"""Types that annotations of several modules share: kinds and signs of importances, layouts of tables."""

from typing import Literal

Kind = Literal["normlime", "l2", "sp_lime", "mean_abs", "mean", "sum"]
Sign = Literal["absolute", "positive", "negative", "net"]

Layout = Literal["long", "wide"]  # of tables
LocalLayout = Literal["long", "wide", "fits"]  # of tables of local explanations
