"""Explanations to draw, and what is drawn, read from the axes."""

import numpy as np
from matplotlib.colors import to_hex
from scipy import sparse

import normlime_fast as nlf

D = (3, 30, 784)
BLUE, VERMILLION = "#0072b2", "#d55e00"


def explanations(d, n=60, names=True, targets=1, seed=0):
    """n explanations of up to 10 features, those with low numbers more often and with larger weights."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0.5 * (-1.0) ** np.arange(d), 1, (n, d)) / (1 + np.arange(d))
    weights[rng.random((n, d)) > 2 / (2 + np.arange(d))] = 0
    weights[:, 0] = rng.normal(1, 0.3, n)  # no row is empty
    ones = np.ones(n)
    return nlf.LocalExplanations(
        sparse.csr_array(weights),
        0 * ones,
        0.5 * ones,
        0.25 * ones,
        np.zeros(n, int),
        np.arange(n) // targets,
        np.arange(n) % targets,
        100 * ones,
        tuple(f"name of feature {j}" for j in range(d)) if names else None,
    )


def shown(ax):
    """The features of the rows, from the top down."""
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    return [text.get_text() for text in ax.get_yticklabels()]


def widths(ax):
    return [bar.get_width() for bar in ax.patches]


def colours(ax):
    return [to_hex(bar.get_facecolor()) for bar in ax.patches]


def names(local, columns):
    return [f"feature {j}" if local.feature_names is None else local.feature_names[j] for j in columns]
