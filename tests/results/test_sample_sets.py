"""Sets of samples that explanations share: which rows use which, and standard errors that know it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers.files import assert_round_trip, assert_same
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.stats import binom, skew

import normlime_fast as nlf
from normlime_fast import aggregate
from normlime_fast._results.statistics import sum_weights

RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(500, 4))
X = DATA[:40]
KINDS = {"pool": nlf.Pool.from_data, "binned": partial(nlf.Binned.from_data, quantiles=4)}


def model(rows):
    return np.sin(2 * rows[:, 0]) * rows[:, 1] + np.abs(rows[:, 2])


def explainer(neighborhood, predict=model, **options):
    return nlf.NormLIME(predict, neighborhood, **{"n_features": 3, "n_samples": 100, "rng": 0} | options)


def asked_by(call, neighborhood):
    """Return the numbers of rows of the model's calls, with those for instances."""
    sizes = []

    def recorded(rows):
        sizes.append(len(rows))
        return model(rows)

    result = call(explainer(neighborhood, recorded))
    return result, sizes


# --- which rows use which samples


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_uses_the_set_of_its_number_modulo_n_sets(kind):
    """Copies of one row differ in their points alone."""
    local = explainer(KINDS[kind](DATA, n_sets=3)).explain(np.repeat(X[:1], 9, axis=0))
    assert local.sample_set.tolist() == [0, 1, 2] * 3
    weights = local.weights.toarray()
    assert_array_equal(weights[3:], weights[:-3])
    assert len(np.unique(weights, axis=0)) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_set_is_that_of_one_set(kind):
    one, eight = (explainer(KINDS[kind](DATA, n_sets=n)).explain(X) for n in (1, 8))
    assert_same(one[::8].weights, eight[::8].weights)
    assert (one[1].weights != eight[1].weights).nnz


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_explained_alike_alone_and_with_others(kind):
    together = explainer(KINDS[kind](DATA)).explain(X)
    with ThreadPoolExecutor(2) as executor:
        calls = [{}, {"executor": executor, "block_size": 1}, {"block_size": 3}]
        for options in calls:
            rows = [11, 3, 38]
            alone = explainer(KINDS[kind](DATA), n_jobs=2).explain(X[rows], index=rows, **options)
            assert_same(alone, together[rows])


@pytest.mark.parametrize("kind", KINDS)
def test_only_sets_in_use_are_predicted(kind):
    neighborhood = KINDS[kind](DATA)
    for index, used in ([2, 10, 18], 1), ([2, 10, 7], 2), (range(20), 8):
        rows = X[: len(index)]
        local, sizes = asked_by(lambda some, rows=rows, index=index: some.explain(rows, index=index), neighborhood)
        assert sizes == [100] * used + [len(rows)]
        assert local.importance().sets == used
    statistics, sizes = asked_by(lambda some: some.statistics(X[:3], first=5), neighborhood)
    assert sizes == [100] * 3 + [3]
    assert statistics.importance().sets == 3
    _, sizes = asked_by(lambda some: some.statistics(rows for rows in (X[:3], X[3:5])), neighborhood)
    assert sizes == [100] * 8 + [5]  # of a stream, the number of rows is unknown


def test_a_pool_that_takes_all_its_rows_has_one_set_without_errors():
    for n_samples in (499, 500, 800):
        local = explainer(nlf.Pool.from_data(DATA), n_samples=n_samples).explain(X)
        result = local.importance()
        if n_samples == 499:
            assert result.sets == 8
        else:
            assert local.sample_set is None
            assert_same(result, replace(aggregate(local.weights).importance(), feature_names=result.feature_names))


@pytest.mark.filterwarnings("ignore:of 8 explanations, 1 empty")
def test_shared_samples_are_sets():
    local = explainer(nlf.Gaussian(1.0), shared_samples=5).explain(X)
    assert local.sample_set.tolist() == (np.arange(40) // 5).tolist()
    assert local.importance().sets == 8
    assert explainer(nlf.Gaussian(1.0)).explain(X).sample_set is None
    failing = explainer(nlf.Gaussian(1.0), shared_samples=5).explain(
        np.vstack([X[:7], np.full((1, 4), np.nan)]), on_error="skip"
    )
    assert failing.sample_set.tolist() == [0] * 5 + [1] * 3


def test_more_sets_than_are_told_apart_are_added():
    weights, sets = csr_array(RNG.normal(size=(100, 3))), np.arange(100)
    assert_same(sum_weights(weights, None, sets=sets), sum_weights(weights, None, sets=sets % 32))


# --- standard errors


@pytest.mark.parametrize(("kind", "sign"), [("mean_abs", "absolute"), ("mean", "absolute"), ("mean_abs", "negative")])
def test_standard_errors_are_those_of_means_of_sets_of_equal_size(kind, sign):
    local = explainer(nlf.Pool.from_data(DATA)).explain(X)
    weights = local.weights.toarray()
    terms = {"mean": weights, "mean_abs": np.abs(weights) * ((weights < 0) | (sign == "absolute"))}[kind]
    means = np.array([terms[local.sample_set == s].mean(axis=0) for s in range(8)])
    result = local.importance(kind, sign=sign)
    assert_allclose(result.values, means.mean(axis=0), rtol=1e-13)
    assert_allclose(result.stderr, means.std(axis=0, ddof=1) / np.sqrt(8), rtol=1e-10)
    assert_allclose(result.effective, 8, rtol=1e-13)
    expected = np.clip(skew(means, bias=False) / np.sqrt(8), -1, 1) * np.sqrt(8)
    assert_allclose(result.skewness, expected, rtol=1e-8, atol=1e-8)
    low, high = replace(result, skewness=np.zeros(4)).interval(0.9)
    for end in (low, high):  # Student's t, 7 degrees of freedom
        assert_allclose(np.abs(end - result.values), 1.8945786 * result.stderr, rtol=1e-7)


def test_standard_errors_of_ratios():
    """ "normlime" divides by the number of explanations that use a feature, which differs between sets."""
    local = explainer(nlf.Binned.from_data(DATA, quantiles=4), n_features=2).explain(X[:37])
    size = np.abs(local.weights.toarray())
    gamma = size / size.sum(axis=1, keepdims=True)
    result = local.importance(by=np.arange(37) % 2)
    for group in (0, 1):
        for j in range(4):
            total = [(gamma * size)[(local.sample_set == s) & (np.arange(37) % 2 == group), j] for s in range(8)]
            n = np.array([np.count_nonzero(terms) for terms in total])
            h = n / n.sum()
            if np.count_nonzero(n) < 2:
                assert np.isnan(result.stderr[group, j])
                continue
            residuals = np.array([terms.sum() for terms in total]) / n.sum() - h * result.values[group, j]
            expected = sum(p**2 * ((1 - p) ** 2 + (h**2).sum() - p**2) for p in h)
            assert result.stderr[group, j] ** 2 == pytest.approx(
                (residuals**2).sum() * (h**2).sum() / expected, rel=1e-10
            )
            assert result.effective[group, j] == pytest.approx(max(2, 1 / (h**2).sum()), rel=1e-13)
    assert result.sets.tolist() == [4, 4]  # even rows use even sets


@pytest.mark.parametrize("n_sets", [4, 8, 16])
def test_intervals_cover_the_mean_if_sets_share_errors(n_sets):
    """Of 4,000 simulated means with errors of sets and of rows, as many are covered as the level says."""
    rng, runs, rows = np.random.default_rng(1), 2000, 48
    sets = np.arange(rows) % n_sets
    errors = rng.normal(size=(runs, 2, n_sets))[:, :, sets] + rng.normal(size=(runs, 2, rows))
    covered = 0
    for run in errors:
        result = sum_weights(csr_array(10.0 + run.T), None, sets=sets).importance("mean")
        low, high = result.interval(0.9)
        covered += np.count_nonzero((low < 10) & (high > 10))
    least, most = binom.ppf([1e-4, 1 - 1e-4], 2 * runs, 0.9)
    assert least <= covered <= most
    assert not sum_weights(csr_array(10.0 + errors[0].T), None).importance("mean").stderr[0] > result.stderr[0] * 2


def test_one_set_has_no_standard_error_and_says_why():
    local = explainer(nlf.Binned.from_data(DATA, quantiles=4, n_sets=1)).explain(X)
    result = local.importance()
    assert np.isnan(result.stderr).all()
    assert np.isnan(result.interval()).all()
    why = "no standard errors, since all explanations share one set of samples"
    assert why in repr(result)
    assert result._repr_html_().count(why) == 1
    assert local._repr_html_().count(why) == 1
    assert "no standard errors" not in repr(local.importance("l2"))  # it has none in any case
    some = explainer(nlf.Binned.from_data(DATA, quantiles=4)).explain(X).importance(by=[0] + [1] * 39)
    assert "no standard errors in 1 group, since" in repr(some)
    shrunken = local.importance(shrink=True)
    assert_array_equal(shrunken.values, result.values)


def test_weights_of_rows_count_like_copies_in_the_same_set():
    local, v = explainer(nlf.Pool.from_data(DATA)).explain(X), np.arange(40) % 4
    for kind in ("normlime", "mean_abs"):
        weighted = local.importance(kind, weights=v)
        repeated = local[np.repeat(np.arange(40), v)].importance(kind)
        assert_allclose(weighted.values, repeated.values, rtol=1e-12)
        assert_allclose(weighted.stderr, repeated.stderr, rtol=1e-9)
        assert_allclose(weighted.effective, repeated.effective, rtol=1e-12)


@pytest.mark.parametrize("kind", ["normlime", "mean_abs"])
def test_errors_of_sets_are_those_of_corrected_terms(kind):
    """With one feature, the corrected term of "normlime" is (w^2 - s^2) / max(sqrt(w^2 - s^2), |w| / 5)."""
    w, s, sets = RNG.normal(size=(64, 1)), np.full((64, 1), 0.3), np.arange(64) % 8
    found = sum_weights(csr_array(w), None, None, None, csr_array(s), sets).importance(kind)
    squares, size = (w**2 - s**2)[:, 0], np.abs(w[:, 0])
    terms = squares / np.maximum(np.sqrt(np.maximum(squares, 0)), size / 5)
    if kind == "mean_abs":
        terms = size - np.sqrt(10 / np.pi) * 0.3 * np.exp(-2 * size**2 / 0.09)
    means = terms.reshape(8, 8).mean(axis=0)
    assert found.values[0] == pytest.approx(means.mean(), rel=1e-12)
    assert found.stderr[0] == pytest.approx(means.std(ddof=1) / np.sqrt(8), rel=1e-10)
    assert_round_trip(sum_weights(csr_array(w), None, None, None, csr_array(s), sets))


# --- streams, merging and files


@pytest.mark.parametrize("block_size", [1, 7, None])
@pytest.mark.parametrize("weighted", [False, True])
def test_streams_give_the_errors_of_all_rows(block_size, weighted):
    some, v = explainer(nlf.Pool.from_data(DATA)), np.arange(1, 41) if weighted else None
    labels = np.where(np.arange(40) < 25, "a", "b")
    expected = some.explain(X).importance(by=labels, weights=v)
    found = some.statistics(X, by=labels, weights=v, block_size=block_size).importance()
    for name in ("values", "stderr", "effective"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-10)
    assert found.sets.tolist() == expected.sets.tolist() == [8, 8]


@pytest.mark.parametrize("weighted", [False, True])
def test_explanations_with_samples_of_their_own_are_one_set_beside_others(weighted):
    """Whatever shares a set of samples, sets are independent."""
    W, sets = csr_array(RNG.normal(size=(30, 3))), np.arange(30) % 3
    v = np.arange(1.0, 31.0) if weighted else None
    parts = slice(0, 12), slice(12, 30)
    own = sum_weights(W[parts[0]], None, None, None if v is None else v[parts[0]])
    shared = sum_weights(W[parts[1]], None, None, None if v is None else v[parts[1]], sets=sets[parts[1]])
    expected = sum_weights(W, None, None, v, sets=np.where(np.arange(30) < 12, 0, sets)).importance()
    for merged in (own.merge(shared), shared.merge(own)):
        found = merged.importance()
        assert_allclose(found.stderr, expected.stderr, rtol=1e-12)
        assert_allclose(found.values, expected.values, rtol=1e-13)
        assert found.sets == 3


def test_sets_survive_selection_concatenation_and_files():
    local = explainer(nlf.Binned.from_data(DATA, quantiles=4)).explain(X)
    assert local[[9, 2]].sample_set.tolist() == [1, 2]
    joined = nlf.LocalExplanations.concatenate([local[:5], local[5:]])
    assert_same(joined, local)
    own = explainer(nlf.Gaussian(1.0)).explain(X[:2])
    assert nlf.LocalExplanations.concatenate([own, local[:3]]).sample_set.tolist() == [0, 1, 0, 1, 2]
    assert nlf.LocalExplanations.concatenate([own, own]).sample_set is None
    for result in (local, local._statistics(None), local.importance()):
        assert_round_trip(result)


def test_frames_and_dicts_have_the_same_columns_with_and_without_sets():
    shared, own = (explainer(n).explain(X).importance() for n in (nlf.Pool.from_data(DATA), nlf.Gaussian(1.0)))
    pd.testing.assert_index_equal(shared.to_frame().columns, own.to_frame().columns)
    assert shared.to_dict().keys() == own.to_dict().keys()


# --- bad input


@pytest.mark.parametrize(
    ("n_sets", "error", "message"),
    [
        (0, ValueError, "^n_sets must be at least 1, got 0$"),
        (-1, ValueError, "^n_sets must be at least 1, got -1$"),
        (2.0, TypeError, "^n_sets must be an integer, got 2.0$"),
        (True, TypeError, "^n_sets must be an integer, got True$"),
        (None, TypeError, "^n_sets must be an integer, got None$"),
    ],
)
def test_bad_numbers_of_sets(n_sets, error, message):
    for made in (*KINDS.values(), lambda data, n_sets: nlf.Pool.gaussian([0.0], [1.0], n_sets=n_sets)):
        with pytest.raises(error, match=message):
            made(DATA, n_sets=n_sets)

    class Own(Varying):
        pass

    Own.n_sets = n_sets
    with pytest.raises(error, match=message):
        explainer(Own(), pytest.fail).explain(X)


class Varying(nlf.SharedPoints):
    """Points whose number varies."""

    proximity = nlf.Proximity(width=1.0)

    def _points(self, seed, n_samples):
        return self._rows(DATA[: n_samples - int(seed) % 7])

    def _coordinates(self, values):
        return values


def test_sets_of_different_size_are_refused():
    with pytest.raises(
        ValueError, match=r"^_points must return as many rows for every seed, got .*; or set n_sets = 1$"
    ):
        explainer(Varying()).explain(X)
    Varying.n_sets = 1
    try:
        assert len(explainer(Varying()).explain(X)) == 40
    finally:
        del Varying.n_sets
