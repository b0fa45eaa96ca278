"""Features that the model does not use: what their weights are, which are noise, and what leaves them out."""

import numpy as np
import pytest

import normlime_fast as nlf

D, SCALE, INSTANCES = 6, 0.5, 600
SLOPES = np.array([1.0, -0.8])
LEFT_OUT = 1 / 2  # cos(20 (x + z / 2)) / 2 has variance 1/8 and no slope, each but for some exp(-50)


def explained(n_samples, n_features):
    explainer = nlf.NormLIME(
        lambda X: X[:, :2] @ SLOPES + np.cos(20 * X[:, :2]).sum(axis=1) / 2,
        nlf.Gaussian(SCALE),
        n_features=n_features,
        n_samples=n_samples,
        rng=0,
    )
    return explainer.explain(np.random.default_rng(1).normal(size=(INSTANCES, D)))


@pytest.mark.parametrize("n_samples", [500, 2000])
def test_weights_of_a_null_feature_are_noise_of_known_size(n_samples):
    """E|w| = s sqrt(2 / pi), s = r / sqrt(n), or n - d for the 7 parameters of the fit: within d / n, here 0.012.

    2,400 independent half-normal weights: their mean has a relative standard deviation of sqrt(pi / 2 - 1) / sqrt(2400)
    = 0.0154, of which 4 are 0.062.
    """
    local = explained(n_samples, None)
    of_noise = LEFT_OUT / np.sqrt(n_samples) * np.sqrt(2 / np.pi)
    found = local.importance("mean_abs").values[2:].mean()
    assert abs(found / of_noise - 1) < 0.062 + D / n_samples


def test_no_interval_of_sizes_covers_zero_but_that_of_signed_means_can():
    """Four means of 600 signed weights: within 4 standard errors of 0."""
    local = explained(500, None)
    for kind in ("normlime", "mean_abs"):
        assert (local.importance(kind).interval(0.999)[0] > 0).all()
    mean = local.importance("mean")
    assert (np.abs(mean.values[2:]) < 4 * mean.stderr[2:]).all()


def test_lasso_leaves_out_what_is_not_used():
    """The weakest slope, 0.8 x 0.5, is 36 standard errors 0.5 / sqrt(2000) of the others."""
    local = explained(2000, 2)
    assert local.importance().counts.tolist() == [INSTANCES] * 2 + [0] * 4
