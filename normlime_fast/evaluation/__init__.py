"""How far to trust an importance: retraining without features, agreement, ablation by class, intervals by blocks.

Every function takes results, of this package or (but for intervals) of others as plain arrays, and your own model as a
callable. It returns a small frozen object of arrays, with `to_frame()` and (but for intervals) `summary()`. How
important a feature is, is its |value|, as in `Importance.top`; a value of 0 means that nothing uses the feature.
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
