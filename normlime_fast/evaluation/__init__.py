"""Evaluation of importances: retraining without features, agreement, ablation by class, intervals by blocks.

The functions take results of this package or (except for intervals) plain arrays of others, and models as callables.
Each returns a small frozen object of arrays with `to_frame()` and (except for intervals) `summary()`. Features are
ranked by |value|, as in `Importance.top` with ``min_count=1``; a value of 0 means that no explanation uses the feature.
"""

from normlime_fast.evaluation._ablation import Ablation, class_ablation
from normlime_fast.evaluation._agreement import Agreement, agreement, split_half
from normlime_fast.evaluation._block_intervals import BlockIntervals, interval_by_blocks
from normlime_fast.evaluation._retraining import Retrained, keep_and_retrain

__all__ = [
    "Ablation",
    "Agreement",
    "BlockIntervals",
    "Retrained",
    "agreement",
    "class_ablation",
    "interval_by_blocks",
    "keep_and_retrain",
    "split_half",
]
