"""A model of arithmetic alone, its rows and explainer: what tests of bits, checkpoints and executors run.

Its output for a row does not depend on the rows beside it. Matrix products do not keep that: BLAS adds in another order
for another number of rows. So the model is elementwise arithmetic that IEEE 754 rounds exactly.
"""

import hashlib

import numpy as np

import normlime_fast as nlf

OPTIONS = {"n_features": 4, "n_samples": 60, "targets": "all", "rng": 0}
X = np.random.default_rng(0).normal(size=(9, 12))


def model(X):
    first = X[:, 0] * X[:, 1] + X[:, 2] - X[:, 3] * X[:, 3]
    second = X[:, 4] / (1 + X[:, 5] * X[:, 5]) + np.abs(X[:, 6])
    return np.stack([first, second, first - second + X[:, 11]], axis=1)


def explainer(rng=0, sampling="iid", **options):
    options = {"n_features": 4, "n_samples": 60, "targets": "all"} | options
    return nlf.NormLIME(model, nlf.Gaussian(0.7, sampling), rng=rng, **options)


def arrays(local, rows=slice(None)):
    """All of a result's arrays, by explanation."""
    fields = [local.intercept, local.r2, local.prediction, local.status, local.instance, local.target]
    return np.column_stack([local.weights.toarray(), local.stderr.toarray(), *fields])[rows]


def digest(**options):
    """Of every array as it is stored."""
    local = explainer(**options).explain(X)
    stored = [local.weights.data, local.weights.indices.astype(np.int64), local.weights.indptr.astype(np.int64)]
    stored += [local.stderr.data, local.intercept, local.r2, local.prediction, local.status]
    stored += [local.instance, local.target]
    return hashlib.sha256(b"".join(array.tobytes() for array in stored)).hexdigest()


def shards(folder):
    return sorted(folder.glob("*.npz"))


def counting(predict=model):
    """A model that counts the rows that it is asked about."""

    def count(rows):
        count.rows += len(rows)
        return predict(rows)

    count.rows = 0
    return count
