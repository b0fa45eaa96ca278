"""How far to trust an importance: retraining without features, agreement of results, ablation by class.

Every function takes results, of this package or of others as plain arrays, and your own model as a callable. It returns
a small frozen object of arrays, with `summary()` and `to_frame()`. How important a feature is, is its |value|, as in
`Importance.top`; a value of 0 means that nothing uses the feature.
"""

from normlime_fast.evaluation.ablation import Ablation, class_ablation
from normlime_fast.evaluation.agreeing import Agreement, agreement, split_half
from normlime_fast.evaluation.retraining import Retrained, keep_and_retrain

__all__ = ["Ablation", "Agreement", "Retrained", "agreement", "class_ablation", "keep_and_retrain", "split_half"]
