"""on_error="skip": a model that fails for some instances loses those and nothing else."""

import gc
import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from test_reproducibility import X, arrays, model

import normlime_fast as nlf

OPTIONS = {"n_features": 4, "n_samples": 60, "rng": 0}
MARKED = X.copy()
MARKED[:, 0] = np.arange(9)  # column 0 is not perturbed: it says which instance a row belongs to
SCALE = np.array([0.0] + [0.7] * 11)


def explainer(predict, **options):
    return nlf.NormLIME(predict, nlf.Gaussian(SCALE), **OPTIONS | options)


def raises(rows, bad):
    rows *= np.nan  # in place, before it fails
    raise RuntimeError("cannot")


def nan_in_one_sample(rows, bad):
    outputs = model(rows)
    outputs[np.flatnonzero(bad)[-1], 1] = np.nan
    return outputs


def short(rows, bad):
    return model(rows)[:-1]


def text(rows, bad):
    return ["?"] * len(rows)


def failing_for(some, how, only_samples=False):
    def predict(rows):
        bad = np.isin(rows[:, 0], some)
        is_rows = len(np.unique(rows[:, 0])) == len(rows)  # rather than samples around them
        return how(rows, bad) if bad.any() and not (only_samples and is_rows) else model(rows)

    return predict


@pytest.mark.parametrize("how", [raises, nan_in_one_sample, short, text])
@pytest.mark.parametrize("options", [{}, {"n_jobs": 2}, {"batch_size": 7}, {"batch_size": 180, "n_jobs": 2}], ids=str)
@pytest.mark.parametrize("targets", ["predicted", "all", [2, 0]])
def test_other_instances_are_as_if_nothing_had_happened(how, options, targets):
    expected = explainer(model, targets=targets).explain(MARKED)
    t = len(expected.status) // 9
    with pytest.warns(UserWarning, match=rf"of {9 * t} explanations, {2 * t} empty because the model failed"):
        local = explainer(failing_for([3, 7], how), targets=targets, **options).explain(MARKED, on_error="skip")
    failed = np.isin(local.instance, [3, 7])
    assert_array_equal(arrays(local)[~failed], arrays(expected)[~failed])
    assert_array_equal(local.instance, expected.instance)
    assert_array_equal(local.status[failed], 6)
    assert local.weights[failed].nnz == 0
    assert np.isnan(local.intercept[failed]).all()
    assert np.isnan(local.prediction[failed]).all()
    assert_array_equal(local.target[failed], -1 if targets == "predicted" else expected.target[failed])


@pytest.mark.parametrize("how", [raises, nan_in_one_sample])
def test_where_only_samples_fail_the_prediction_is_known(how):
    expected = explainer(model).explain(MARKED)
    with pytest.warns(UserWarning, match="2 empty because the model failed"):
        local = explainer(failing_for([0, 8], how, only_samples=True)).explain(MARKED, on_error="skip")
    assert_array_equal(local.status, np.where(np.isin(local.instance, [0, 8]), 6, 0))
    assert_array_equal(local.prediction, expected.prediction)
    assert_array_equal(local.target, expected.target)


def test_a_model_that_fails_once_is_asked_again_and_nothing_is_lost():
    calls = []

    def flaky(rows):
        calls.append(len(rows))
        if len(calls) == 2:
            raise ConnectionError
        return model(rows)

    local = explainer(flaky).explain(MARKED, on_error="skip")
    assert_array_equal(arrays(local), arrays(explainer(model).explain(MARKED)))
    assert calls == [9, 540] + [60] * 9


def test_failed_instances_count_in_no_importance():
    with pytest.warns(UserWarning, match="9 empty"):
        local = explainer(failing_for([1, 2, 6], raises), targets="all").explain(MARKED, on_error="skip")
    fine = ~np.isin(range(9), [1, 2, 6])
    alone = explainer(model, targets="all").explain(MARKED[fine], index=np.flatnonzero(fine))
    labels = np.arange(9) % 2
    for kind in ("normlime", "mean_abs"):
        for by, by_alone in ((None, None), ("target", "target"), (labels, labels[fine])):
            assert_array_equal(local.importance(kind, by).values, alone.importance(kind, by_alone).values)


def test_if_it_fails_for_all_its_error_is_told():
    with pytest.raises(
        ValueError, match="predict failed for every instance, first with RuntimeError: cannot"
    ) as caught:
        explainer(failing_for(range(9), raises)).explain(MARKED, on_error="skip")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_ctrl_c_is_not_skipped():
    def interrupted(rows, bad):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explainer(failing_for([3], interrupted)).explain(MARKED, on_error="skip")


def test_errors_do_not_hold_on_to_what_they_passed():
    """A long run skips many, each of whose tracebacks would keep a batch of samples alive."""

    class Huge:
        pass

    alive = weakref.WeakSet()

    def holding(rows, bad):
        huge = Huge()
        alive.add(huge)
        raise RuntimeError("cannot")

    def count(done, total):
        gc.collect()
        seen.append(len(alive))

    seen = []
    one = explainer(failing_for([3, 7], holding))
    with pytest.warns(UserWarning, match="2 empty"):
        one.explain(MARKED, on_error="skip", block_size=1, progress=count)
    assert seen[-1] == 0
