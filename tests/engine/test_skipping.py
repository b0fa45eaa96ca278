"""on_error="skip": a model that fails for some instances loses those and nothing else."""

import gc
import re
import weakref
from itertools import pairwise

import numpy as np
import pandas
import pytest
from helpers.runs import X, arrays, model
from numpy.testing import assert_array_equal
from scipy import sparse

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


# --- rows that cannot be used

FRAME = pandas.DataFrame(X, columns=list("abcdefghijkl"))
WORDS = ["plain", "plain", "plain", "rare", "rare", "plain", "rare", "plain", "plain"]
TEXTS = ["a fine dress", "a poor fit", "fine", "a dress", "poor dress", "a fit", "fine fit", "poor", "dress"]
BAD = (0, 4, 5)


def with_value(value, rows=X, dtype=None):
    changed = rows.astype(dtype or rows.dtype)
    changed[list(BAD), 3] = value
    return changed


def in_frame(value, column="d"):
    frame = FRAME.assign(m=WORDS).astype({column: object})
    frame.loc[list(BAD), column] = value
    return frame


def of_frame(frame):
    return model(frame.iloc[:, :12].to_numpy(float)) + (frame["m"] == "rare").to_numpy()[:, None]


def of_texts(texts):
    return np.array([[len(text), len(text.split())] for text in texts], float)


def on_frames():
    return of_frame, nlf.Gaussian.from_data(FRAME.assign(m=WORDS), categorical=["m"], unseen="raise")


# the model and the neighborhood, rows of which BAD cannot be used, and the rows as they would be in order
UNUSABLE = {
    "infinite": (model, nlf.Gaussian(0.7), with_value(np.inf), X),
    "NaN": (model, nlf.Gaussian(0.7), with_value(np.nan), X),
    "text among numbers": (model, nlf.Gaussian(0.7), with_value("?", dtype=object), X),
    "a list of rows": (model, nlf.Gaussian(0.7), with_value("?", dtype=object).tolist(), X),
    "masked": (model, nlf.Gaussian(0.7), np.ma.masked_equal(with_value(9.0), 9.0), X),
    "binned": (model, nlf.Binned.from_data(X, quantiles=2), with_value(np.inf), X),
    "mask": (model, nlf.Mask(), with_value(np.inf), X),
    "sparse": (lambda X: model(X.toarray()), nlf.Mask(), sparse.csr_array(with_value(np.nan)), sparse.csr_array(X)),
    "text in a frame": (*on_frames(), in_frame("?"), FRAME.assign(m=WORDS)),
    "missing in a frame": (*on_frames(), in_frame(None), FRAME.assign(m=WORDS)),
    "an unknown category": (*on_frames(), in_frame("unseen", "m"), FRAME.assign(m=WORDS)),
    "texts": (
        of_texts,
        nlf.Mask.text(TEXTS, scheme="bernoulli", kernel="uniform"),
        [None if k in BAD else text for k, text in enumerate(TEXTS)],
        TEXTS,
    ),
}


def taken(rows, some):
    return [rows[k] for k in some] if isinstance(rows, list) else getattr(rows, "iloc", rows)[some]


@pytest.mark.parametrize("block_size", [None, 1, 4])
@pytest.mark.parametrize("case", UNUSABLE)
def test_rows_that_cannot_be_used_are_left_out_and_nothing_else(case, block_size, tmp_path):
    predict, neighborhood, rows, usual = UNUSABLE[case]
    one = nlf.NormLIME(predict, neighborhood, targets="all", **OPTIONS | {"n_features": 2})
    good = np.setdiff1d(range(9), BAD)
    expected = one.explain(taken(usual, good), index=good)
    t = len(expected.status) // 6
    message = rf"^of {9 * t} explanations, {3 * t} empty because the row could not be used \(status 9\), first with "
    with pytest.raises((TypeError, ValueError)) as refused:
        one.explain(rows)
    first = re.escape(str(refused.value)[:60])
    for options in ({}, {"checkpoint": tmp_path / "run"}, {"checkpoint": tmp_path / "run"}):
        with pytest.warns(UserWarning, match=message + rf"\w+Error: {first}"):
            local = one.explain(rows, on_error="skip", block_size=block_size, **options)
        bad = np.isin(local.instance, BAD)
        assert local.instance.tolist() == np.repeat(range(9), t).tolist()
        assert local.target.tolist() == list(range(t)) * 9
        assert set(local.status[bad]) == {9}
        assert (local.weights[bad].nnz, set(local.effective_samples[bad])) == (0, {0.0})
        assert np.isnan(local.prediction[bad]).all()
        assert_array_equal(arrays(local)[~bad], arrays(expected))
        assert_array_equal(local.importance().values, expected.importance().values)
    local.save(tmp_path / "local.npz")
    assert_array_equal(arrays(nlf.LocalExplanations.load(tmp_path / "local.npz")), arrays(local))


@pytest.mark.parametrize("cuts", [None, range(1, 9), [5], [1, 2]])
@pytest.mark.parametrize("block_size", [1, 4, 1000])
@pytest.mark.parametrize("case", [case for case in UNUSABLE if case not in ("a list of rows", "texts")])
def test_streams_skip_rows_that_cannot_be_used(case, block_size, cuts):
    predict, neighborhood, rows, usual = UNUSABLE[case]
    one = nlf.NormLIME(predict, neighborhood, targets="all", **OPTIONS | {"n_features": 2})
    good = np.setdiff1d(range(9), BAD)
    labels = np.array(list("aabbaabba"))
    expected = nlf.aggregate(one.explain(taken(usual, good), index=good).weights, labels[good].repeat(3))
    ends = [0, *(cuts or ()), 9]
    batches = iter([taken(rows, slice(*here)) for here in pairwise(ends)]) if cuts else rows
    with pytest.warns(UserWarning, match=r"could not be used \(status 9\), first with \w+Error: "):
        statistics = one.statistics(batches, by=labels, block_size=block_size, on_error="skip")
    assert_array_equal(statistics.groups, expected.groups)
    assert_array_equal(statistics.explanations, expected.explanations)
    assert_array_equal(statistics.sums[..., 0], expected.sums[..., 0])
    np.testing.assert_allclose(statistics.sums, expected.sums, rtol=1e-13)


def test_both_kinds_of_failures_are_told_in_one_warning():
    rows = MARKED.copy()
    rows[[2, 5], 3] = np.inf
    message = (
        r"^of 9 explanations, 1 empty because the model failed \(status 6\), first with RuntimeError: cannot; 2 empty"
        r" because the row could not be used \(status 9\), first with ValueError: X must be finite, got 2 .*\(2, 3\)$"
    )
    for block_size in (1, 2, 9):
        with pytest.warns(UserWarning, match=message):
            local = explainer(failing_for([3], raises)).explain(rows, on_error="skip", block_size=block_size)
        assert local.status.tolist() == [0, 0, 9, 6, 0, 9, 0, 0, 0]
    with pytest.warns(UserWarning, match=r"1 empty because the model failed .*; 2 empty because the row"):
        statistics = explainer(failing_for([3], raises)).statistics(rows, on_error="skip", block_size=2)
    assert statistics.explanations.tolist() == [6]


@pytest.mark.parametrize(
    "rows", [3, "text", X[:0], X[:, :5], FRAME.astype(str), X * np.inf, with_value("?", dtype=object)[[0, 4]]], ids=str
)
@pytest.mark.parametrize("method", ["explain", "statistics"])
def test_where_no_row_can_be_used_the_error_is_that_of_the_table(rows, method):
    one = explainer(model)
    call = lambda **options: getattr(one, method)(rows, **options)  # noqa: E731
    with pytest.raises((TypeError, ValueError)) as expected:
        call()
    for block_size in (1, 4, 1000):
        with pytest.raises((TypeError, ValueError)) as caught:
            call(on_error="skip", block_size=block_size)
        assert type(caught.value) is type(expected.value)
        if method == "explain" or block_size == 1000:
            assert str(caught.value) == str(expected.value)


@pytest.mark.parametrize("block_size", [1, 30, 1000])
def test_a_hundred_rows_to_begin_with_are_taken_for_the_fault_of_the_table(block_size):
    rows = np.tile(X, (15, 1))
    rows[:100] = np.nan
    for method in ("explain", "statistics"):
        with pytest.raises(ValueError, match="must be finite"):
            getattr(explainer(model), method)(rows, on_error="skip", block_size=block_size)
    with pytest.warns(UserWarning, match="99 empty because the row could not be used"):
        statistics = explainer(model).statistics(rows[1:], on_error="skip", block_size=block_size)
    assert statistics.explanations.tolist() == [35]


def test_a_batch_with_other_columns_is_no_matter_of_rows():
    for wrong in (X[:, :5], FRAME[list("ab")], FRAME):
        with pytest.raises((TypeError, ValueError)) as caught:
            explainer(model).statistics(iter([X, wrong]), on_error="skip", block_size=9)
        assert caught.value.rows_finished == 9


def test_how_many_parts_are_looked_at():
    looked = []

    class Counting(nlf.Gaussian):
        def _rows(self, X, name="X"):
            looked.append(len(X))
            return super()._rows(X, name)

    rows = np.tile(X, (1000, 1))
    rows[[10, 8000], 0] = np.nan
    with pytest.warns(UserWarning, match="2 empty"):
        nlf.NormLIME(lambda X: X[:, 0], Counting(0.7), n_features=2, n_samples=4, rng=0).explain(rows, on_error="skip")
    assert len(looked) <= 2 + 2 * 2 * 14


def test_a_checkpoint_knows_which_rows_could_not_be_used(tmp_path):
    rows = with_value(np.nan)
    with pytest.warns(UserWarning, match="3 empty"):
        explainer(model).explain(rows, on_error="skip", checkpoint=tmp_path, block_size=4)
    mended = X.copy()
    mended[list(BAD)] = X[[1, 3, 3]]  # which stood in for them
    with pytest.raises(ValueError, match="was begun with values of X"):
        explainer(model).explain(mended, checkpoint=tmp_path, block_size=4)
