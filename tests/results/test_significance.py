"""Weights that are not told apart from 0: a plain loop, noise; numbers of samples for an error: that many samples."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.files import assert_round_trip, assert_same
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import t

import normlime_fast as nlf
from normlime_fast import Status

X = np.random.default_rng(0).normal(size=(60, 6))
EXPLAINERS = {
    "Gaussian": nlf.Gaussian(1.0),
    "Pool": nlf.Pool.gaussian(np.zeros(6), np.ones(6)),
}


def product(X):
    return X[:, 0] + 0.3 * X[:, 1] + 2 * X[:, 2] * X[:, 3]


def explained(neighborhood="Gaussian", X=X, model=product, n_samples=200, **options):
    options = {"n_features": 5, "rng": 0} | options
    return nlf.NormLIME(model, EXPLAINERS[neighborhood], n_samples=n_samples, **options).explain(X)


# --- significant


@pytest.mark.parametrize("neighborhood", EXPLAINERS)
@pytest.mark.parametrize("level", [0.05, 0.5])
def test_a_plain_loop(neighborhood, level):
    local = explained(neighborhood)
    before = [matrix.toarray() for matrix in (local.weights, local.stderr)]
    found = local.significant(level)
    expected = before[0].copy()
    for i, (weights, errors) in enumerate(zip(*before, strict=True)):
        degrees = local.effective_samples[i] - np.count_nonzero(weights) - 1
        for j in np.flatnonzero(weights):
            if 2 * t.sf(abs(weights[j]) / errors[j], degrees) > level / 6:
                expected[i, j] = 0
    assert 0.1 < np.count_nonzero(expected) / np.count_nonzero(before[0]) < 0.95
    assert_array_equal(found.weights.toarray(), expected)
    assert found.weights.nnz == np.count_nonzero(expected)
    assert_array_equal(found.stderr.toarray(), np.where(expected != 0, before[1], 0))
    fewer = (expected != 0).sum(axis=1) < (before[0] != 0).sum(axis=1)
    assert_array_equal(found.status, np.where(fewer, Status.FEWER_FEATURES, local.status))
    assert_array_equal(found.r2, local.r2)
    if neighborhood == "Pool":
        assert_array_equal(found.contributions.toarray(), np.where(expected != 0, local.contributions.toarray(), 0))
        assert_allclose(found.base_value, local.base_value, atol=1e-14)
        assert (found.intercept != local.intercept)[fewer].all()
    else:
        assert_array_equal(found.intercept, local.intercept)
    assert_round_trip(found)
    assert found.weights.indices.dtype == local.weights.indices.dtype
    assert_array_equal(local.weights.toarray(), before[0])  # untouched
    found.intercept[:] = 0
    assert local.intercept.any()


def test_a_model_that_depends_on_nothing():
    """The sine jumps between samples: its fits are of noise, so that 5 % of explanations keep a weight; s.e. 0.6 %."""
    local = explained(X=np.zeros((1500, 6)), model=lambda X: np.sin(1e4 * X.sum(axis=1)), n_samples=300)
    found = local.significant()
    used = np.diff(found.weights.indptr)
    assert 0.03 < (used > 0).mean() < 0.09
    result = found.importance("mean_abs")
    assert result.explanations == 1500  # also those without a weight
    assert_array_equal(result.counts, np.bincount(found.weights.indices, minlength=6))
    assert (np.diff(local.weights.indptr) == 5).all()


def test_weights_without_errors_and_without_noise():
    local = explained()
    local.stderr.data[:5] = np.nan
    local.weights.data[5:8] = 0.0, 1e-300, 2.0
    local.stderr.data[5:8] = 0.0
    found = local.significant().weights[:2].toarray()
    assert_array_equal(found[0], np.zeros(6))
    assert np.count_nonzero(found[1]) >= 2
    assert 1e-300 in found[1]
    failed = replace(local[:3], status=np.array([4, 10, 0]))
    assert_array_equal(failed.significant().status, [4, 10, 1])


def test_rows_of_a_selection_and_none():
    local = explained()
    assert_same(local[10:20].significant(), local.significant()[10:20])
    assert len(local[:0].significant()) == 0


# --- samples_for


def worst(local):
    """The largest error of a leading weight of each explanation."""
    size, errors = np.abs(local.weights.toarray()), local.stderr.toarray()
    return np.where(size >= size.max(axis=1, keepdims=True) / 2, errors, 0).max(axis=1)


@pytest.mark.parametrize("neighborhood", EXPLAINERS)
def test_that_many_samples_have_the_error(neighborhood):
    """Errors of the leading weights with the number that the median explanation needs, within a tenth."""
    few = 1000
    local = explained(neighborhood, n_features=None, n_samples=few)
    error = np.median(worst(local)) / 3
    numbers = local.samples_for(error, few)
    assert_array_equal(numbers, np.round(numbers))
    more = int(np.median(numbers))
    assert more > 5 * few
    again = explained(neighborhood, n_features=None, n_samples=more)
    assert np.median(worst(again)) == pytest.approx(error, rel=0.1)
    assert np.median(again.samples_for(error, more)) == pytest.approx(more, rel=0.2)
    for i in (0, 7):
        alone = local[i].samples_for(worst(local)[i], few)
        assert alone == few


def test_numbers_that_are_not_known():
    local = explained()
    local.stderr.data[[0, 1, 2, 3, 4]] = np.nan
    empty = replace(local.significant(1e-12)[:3], effective_samples=np.array([0.0, 50.0, np.nan]))
    assert np.isnan(local.samples_for(0.1, 200)[0])
    assert np.isfinite(local.samples_for(0.1, 200)[1:]).all()
    assert np.isnan(empty.samples_for(0.1, 200)[[0, 2]]).all()
    exact = replace(local, stderr=local.stderr * 0).samples_for(1e-9, 200)[1:]
    assert_array_equal(exact, np.ceil((np.diff(local.weights.indptr)[1:] + 2) * 200 / local.effective_samples[1:]))


# --- bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda local: local.significant(0), ValueError, r"^level must be between 0 and 1, got 0$"),
        (lambda local: local.significant(1), ValueError, r"^level must be between 0 and 1, got 1$"),
        (lambda local: local.significant("5%"), TypeError, r"^level must be a number, got '5%'$"),
        (lambda local: local.samples_for(0.0, 10), ValueError, r"^error must be "),
        (lambda local: local.samples_for(-1, 10), ValueError, r"^error must be "),
        (lambda local: local.samples_for(0.1, 0), ValueError, r"^n_samples must be at least 1, got 0$"),
        (lambda local: local.samples_for(0.1, 1.5), TypeError, r"^n_samples must be an integer, got 1.5$"),
        (
            lambda local: replace(local, stderr=None).significant(),
            ValueError,
            r"^significant needs standard errors, got none: there are no standard errors of the weights in older files",
        ),
        (
            lambda local: replace(local, stderr=None).samples_for(0.1, 10),
            ValueError,
            r"^samples_for needs standard errors, got none: there are no standard errors of the weights in older files",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(explained(X=X[:2]))
