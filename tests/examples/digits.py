"""Which parts of an image make it a digit: segments that are there or not (8 x 8 digits, in squares of 2 x 2)."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import normlime_fast as nlf

digits = load_digits()
images = digits.images  # (1797, 8, 8)
model = make_pipeline(StandardScaler(), SVC(C=10)).fit(images.reshape(-1, 64)[::2], digits.target[::2])


def scores(images):
    return model.decision_function(images.reshape(len(images), 64))


neighborhood = nlf.Mask(baseline=0.0, segments=(4, 4))  # a segment that is off has no ink
explainer = nlf.NormLIME(scores, neighborhood, n_features=6, n_samples=200, rng=0)
local = explainer.explain(images[1::6])
importance = local.importance(by="target", sign="positive", min_count=10)  # few images have ink in the corners
for group, values in zip(importance.groups, importance.values, strict=True):
    print(f"digit {group}")
    for row in np.digitize(values.reshape(4, 4) / values.max(), [0.1, 0.3, 0.6]):
        print("   " + "".join(" .o#"[level] for level in row))
