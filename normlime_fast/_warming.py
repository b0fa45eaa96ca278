"""Compile everything at once, such as before a fork or before the first request."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast._explainer import NormLIME
from normlime_fast._neighborhoods import Binned, Gaussian, Mask, Pool, sample_gaussian
from normlime_fast._results.statistics import aggregate
from normlime_fast._surrogates import fit_surrogates


def warm_up() -> None:
    """Compile all code that needs it, or load it from disk, by tiny calls.

    Otherwise each part is compiled at its first use. After `warm_up`, `NormLIME`, `fit_surrogates`, `aggregate` and
    `sample_gaussian` compile nothing more in this process and its forks, and processes that use the same folder for
    compiled code only load it. It takes about a minute if nothing is compiled yet, otherwise a second.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> nlf.warm_up()
    """
    from scipy.sparse import csr_array  # not at import time, see statistics.py

    for dtype in (np.float32, np.float64):
        X = (np.arange(1, 121).reshape(40, 3) % 7 + 0.5).astype(dtype)
        X[:, 1] = np.arange(40) % 2  # two categories, of which there are enough
        X[:, 2] = np.arange(40)  # integers
        for neighborhood in (
            Gaussian(0.5),
            Gaussian(0.5, sampling="sobol"),
            Gaussian.from_data(X, categorical=[1]),
            Pool.from_data(X, categorical=[1]),
            Binned.from_data(X, categorical=[1], quantiles=2),
            Mask(),
        ):
            _explain(neighborhood, X[:2])
        _explain(Mask(), csr_array(X[:2]))
        fit_surrogates(X, X[:, 0], n_features=1)
        sample_gaussian((2, 2), rng=0, dtype=dtype)
    _explain(Mask(segments=2), np.arange(32, dtype=np.uint8).reshape(2, 4, 4))
    for texts in (["one two three"], ["one two \u4e09"]):
        _explain(Mask.text(texts), texts)
    weights = csr_array(np.eye(2))
    for integer in (np.int32, np.int64):
        weights.indices, weights.indptr = weights.indices.astype(integer), weights.indptr.astype(integer)
        aggregate(weights)


def _explain(neighborhood: Any, X: Any) -> None:
    NormLIME(_model, neighborhood, n_features=1, n_samples=128, rng=0).explain(X)


def _model(X: Any) -> NDArray[np.float64]:
    """Return outputs that differ, for tables, images, sparse rows and texts."""
    sizes = [len(x) for x in X] if isinstance(X, list) else X.reshape(X.shape[0], -1).sum(axis=1)
    return np.asarray(sizes, np.float64)
