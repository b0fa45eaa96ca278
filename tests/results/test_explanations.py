"""LocalExplanations: put together from several runs, with rows that are no explanations, and with little support."""

import re
import tracemalloc
import warnings
from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from helpers.files import assert_same
from scipy.sparse import csr_array

import normlime_fast as nlf
from normlime_fast import LocalExplanations
from normlime_fast._results import columns
from normlime_fast._results.explanations import COLUMNS
from normlime_fast._status import Status
from normlime_fast._types import Kind, Sign

X = np.random.default_rng(0).normal(size=(12, 5))


def explain(rows, numbers, targets="all"):
    """Every third output is constant, so that some explanations are empty."""
    model = lambda X: np.stack([X[:, 0] * X[:, 1], X[:, 2] ** 2, 0 * X[:, 0]], axis=1)  # noqa: E731
    explainer = nlf.NormLIME(model, nlf.Gaussian(1.0), n_features=2, n_samples=30, targets=targets, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # tells of the empty ones
        return explainer.explain(rows, index=numbers)


WHOLE = LocalExplanations.concatenate([explain(X, np.arange(12))])


def rows_of(local, rows):
    matrices = {name: getattr(local, name)[rows] for name in ("weights", "stderr") if getattr(local, name) is not None}
    return replace(local, **matrices, **{name: getattr(local, name)[rows] for name in COLUMNS})


# --- concatenate


@pytest.mark.parametrize("cuts", [[], [0], [12], [5], [1, 2, 3], [3, 3, 3, 11]])
def test_parts_are_the_whole_wherever_it_was_cut(cuts):
    whole = replace(WHOLE, effective_samples=np.linspace(1.0, 30.0, 36))
    parts = [rows_of(whole, np.isin(whole.instance, numbers)) for numbers in np.split(np.arange(12), cuts)]
    assert_same(whole, LocalExplanations.concatenate(parts))
    assert_same(whole, LocalExplanations.concatenate(iter(parts)))


def test_runs_are_those_of_one_run():
    """Computed in four runs, by number; the index dtype is that of the whole, whatever those of the parts are."""
    parts = [explain(X[numbers], numbers) for numbers in np.split(np.arange(12), [1, 4, 8])]
    for part, index in zip(parts, (np.int32, np.int64, np.int64, np.int32), strict=True):
        part.weights.indices = part.weights.indices.astype(index)
        part.weights.indptr = part.weights.indptr.astype(index)
    assert_same(WHOLE, LocalExplanations.concatenate(parts))
    np.testing.assert_array_equal(WHOLE.weights.toarray(), explain(X, np.arange(12)).weights.toarray())
    assert WHOLE.weights.indices.dtype == WHOLE.weights.indptr.dtype == np.int32


def test_effective_samples_are_all_of_them_where_all_weigh_the_same():
    np.testing.assert_array_equal(WHOLE.effective_samples, np.full(36, 30.0))


def test_index_of_large_numbers_in_a_list():
    """NumPy makes floats of it."""
    assert explain(X[:2], [2**63 + 1, 7]).instance.tolist() == [2**63 + 1] * 3 + [7] * 3


def test_parts_keep_their_order_and_are_left_alone():
    one, other = explain(X[:2], np.array([7, 3])), explain(X[2:4], np.array([9, 1]))
    before = one._to_bytes()
    both = LocalExplanations.concatenate([other, one])
    assert both.instance.tolist() == [9] * 3 + [1] * 3 + [7] * 3 + [3] * 3
    np.testing.assert_array_equal(both.weights.toarray()[6:], one.weights.toarray())
    both.weights.data[:] = both.intercept[:] = 0
    LocalExplanations.concatenate([one]).weights.data[:] = 0
    assert one._to_bytes() == before


@pytest.mark.parametrize("columns", [2**31 - 1, 2**31 + 5])
def test_index_dtype_is_as_large_as_it_must_be(columns):
    """64 bits where the number of columns does not fit in 32."""
    weights = csr_array((np.ones(1), np.array([columns - 1]), np.array([0, 1])), shape=(1, columns))
    float_, int_ = np.zeros(1), np.zeros(1, int)
    one = LocalExplanations(weights, float_, float_, float_, int_, int_, int_, float_)
    both = LocalExplanations.concatenate([one, one]).weights
    assert both.indices.dtype == both.indptr.dtype == (np.int32 if columns < 2**31 else np.int64)
    assert both.shape == (2, columns)
    assert both.indices.tolist() == [columns - 1, columns - 1]


def test_ten_thousand_parts():
    part = explain(X[:1], np.array([5], np.uint64))
    many = LocalExplanations.concatenate([part] * 10_000)
    assert many.weights.shape == (30_000, 5)
    np.testing.assert_array_equal(many.weights.toarray(), np.tile(part.weights.toarray(), (10_000, 1)))
    assert many.instance.dtype == np.uint64


def test_spare_room_in_a_matrix_is_no_weight():
    weights = WHOLE.weights.copy()
    weights.data, weights.indices = np.append(weights.data, 9.0), np.append(weights.indices, 4)
    assert_same(WHOLE, LocalExplanations.concatenate([replace(WHOLE, weights=weights)]))


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (explain(X[:1, :4], np.array([0])), ValueError, r"^concatenate needs .* same features, got 5 and 4 columns$"),
        (
            replace(WHOLE, feature_names=tuple("abcde")),
            ValueError,
            r"^concatenate needs .*, got different feature_names$",
        ),
        (replace(WHOLE, target_names=tuple("abc")), ValueError, r"^concatenate needs .* got different target_names$"),
        (
            replace(WHOLE, target=np.full(36, 2**63, np.uint64)),
            ValueError,
            r"^concatenate needs target numbers that fit one dtype, got -1 and 9223372036854775808$",
        ),
        (WHOLE.weights, TypeError, r"^concatenate needs LocalExplanations, got a csr_array$"),
    ],
)
def test_parts_that_do_not_belong_together(other, error, message):
    with pytest.raises(error, match=message) as raised:
        LocalExplanations.concatenate([WHOLE, replace(WHOLE, target=WHOLE.target - 1), other])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["status", "instance", "target"])
@pytest.mark.parametrize(("largest", "dtype"), [(8, np.int64), (2**63 + 1, np.uint64)])
def test_signed_and_unsigned_numbers_stay_whole(name, largest, dtype):
    """NumPy makes floats of them, which some of the numbers are not."""
    other = replace(WHOLE, **{name: np.full(36, largest, np.uint64)})
    joined = getattr(LocalExplanations.concatenate([WHOLE, other]), name)
    assert joined.dtype == dtype
    assert joined.tolist() == [*getattr(WHOLE, name).tolist(), *[largest] * 36]


def test_no_parts():
    with pytest.raises(ValueError, match=r"^concatenate needs at least one part, got none$"):
        LocalExplanations.concatenate([])


# --- rows that are no explanations


def with_unknown(local, instances, statuses=(Status.MODEL_FAILED, Status.TOO_FEW, Status.NO_FEATURES)):
    """The same explanations, those of some instances gone, for one reason after the other."""
    rows = np.isin(local.instance, instances)
    status = np.where(rows, np.resize(statuses, rows.size), local.status)
    weights = local.weights.toarray()
    weights[rows] = 0
    failed = status == Status.MODEL_FAILED
    return replace(
        local,
        weights=csr_array(weights),
        stderr=None,
        intercept=np.where(failed, np.nan, local.intercept),
        prediction=np.where(failed, np.nan, local.prediction),
        status=status,
        target=np.where(failed, -1, local.target),
        effective_samples=np.where(rows, np.where(status == Status.TOO_FEW, 1.5, 0.0), local.effective_samples),
    )


@pytest.mark.parametrize("kind", ["normlime", "l2", "mean_abs", "mean", "sum"])
@pytest.mark.parametrize("by", [None, "target", np.array(list("abcabcabcabc"))])
@pytest.mark.parametrize("statuses", [(6,), (7,), (8,), (6, 7, 8)])
def test_importance_is_that_of_the_others(kind, by, statuses):
    """As if those instances had not been asked about; labels are given for every instance all the same."""
    unknown = [2, 5, 8, 11, 3]  # all those of label c, and one more
    others = np.setdiff1d(np.arange(12), unknown)
    expected = explain(X[others], others).importance(kind, by[others] if isinstance(by, np.ndarray) else by)
    assert_same(expected, with_unknown(WHOLE, unknown, statuses).importance(kind, by))


def hand_made(statuses):
    """Two explanations each of the instances 5, 3 and 9; where a feature is used alone, gamma is 1."""
    weights = csr_array(np.array([[1.0, 0], [0, 0], [0, 3], [0, 0], [2, 0], [0, 0]]))
    zeros = np.zeros(6)
    instance, target = np.array([5, 5, 3, 3, 9, 9]), np.array([0, 1] * 3)
    return LocalExplanations(weights, zeros, zeros, zeros, np.array(statuses), instance, target, zeros)


def test_labels_stay_with_their_instances_where_some_targets_are_unknown():
    local = hand_made([0, 7, 0, 8, 0, 6])
    of_labels = local.importance(by=["x", "w", "x"])
    assert (of_labels.groups.tolist(), of_labels.explanations.tolist()) == (["w", "x"], [1, 2])
    assert of_labels.values.tolist() == [[0, 3], [1.5, 0]]
    assert of_labels.counts.tolist() == [[0, 1], [2, 0]]
    of_targets = replace(local, target_names=("no", "yes")).importance("mean", by="target")
    assert (of_targets.groups.tolist(), of_targets.explanations.tolist()) == (["no"], [3])
    assert of_targets.values.tolist() == [[1, 1]]
    # empty ones that are explanations count in means over all
    assert hand_made([0, 2, 0, 3, 0, 5]).importance("mean").values.tolist() == [0.5, 0.5]


def test_importance_by_target_names_without_those_that_failed():
    local = replace(with_unknown(WHOLE, [0]), target_names=("x", "y", "z"))
    assert local.importance(by="target").groups.tolist() == ["x", "y", "z"]
    assert local.importance(by="target").explanations.tolist() == [11, 11, 11]


@pytest.mark.parametrize("by", [None, "target", ["a"] * 12])
@pytest.mark.parametrize(
    ("statuses", "message"),
    [
        ([6], "36 with status 6 (the model failed)"),
        ([7], "36 with status 7 (too few effective samples)"),
        ([8, 8, 6, 8], "9 with status 6 (the model failed), 27 with status 8 (nothing to perturb)"),
    ],
)
def test_importance_where_all_are_unknown(by, statuses, message):
    with pytest.raises(ValueError, match=r"^importance needs explanations, ") as raised:
        with_unknown(WHOLE, range(12), statuses).importance(by=by)
    assert str(raised.value) == f"importance needs explanations, but all 36 are empty: {message}"


def test_importance_of_no_explanations():
    with pytest.raises(ValueError, match=r"^importance needs explanations, got none$"):
        rows_of(WHOLE, slice(0)).importance()


def test_labels_must_still_be_one_per_instance():
    with pytest.raises(ValueError, match=r"^by must have one label per instance, shape \(12,\), got shape \(11,\)$"):
        with_unknown(WHOLE, [3]).importance(by=["a"] * 11)


def test_unknown_ones_are_stored_and_put_together(tmp_path):
    one = with_unknown(WHOLE, [0, 7])
    one.save(tmp_path / "one")
    assert_same(one, LocalExplanations.load(tmp_path / "one"))
    both = LocalExplanations.concatenate([WHOLE, one])
    assert both.status[36:].tolist() == one.status.tolist()
    assert both.effective_samples.tolist() == [30.0] * 36 + one.effective_samples.tolist()


# --- support


@pytest.mark.parametrize(
    ("by", "sign", "min_count", "values"),
    [
        (None, "absolute", 1, [1.5, 3]),
        (None, "absolute", 2, [1.5, 0]),
        (None, "absolute", 3, [0, 0]),
        (None, "negative", 2, [0, 0]),
        ("target", "absolute", 2, [[1.5, 0], [0, 0]]),
        (["x", "w", "x"], "positive", 2, [[0, 0], [1.5, 0]]),
        (["x", "x", "w"], "absolute", 2, [[0, 0], [0, 0]]),  # two explanations use feature 0, but one of each group
    ],
)
def test_features_of_little_support_are_hidden(by, sign, min_count, values):
    local = hand_made([0, 2, 0, 2, 0, 2])
    one = local.importance(by=by, sign=sign, min_count=min_count)
    assert one.values.tolist() == values
    assert one.min_count == min_count
    np.testing.assert_array_equal(one.counts, local.importance(by=by, sign=sign).counts)


def test_unknown_ones_are_no_support():
    assert hand_made([0, 6, 0, 7, 0, 8]).importance(min_count=2).values.tolist() == [1.5, 0]
    weights = csr_array(np.array([[1.0, 0], [0, 0], [0, 3], [0, 0], [0, 0], [0, 0]]))
    fewer = replace(hand_made([0, 6, 0, 7, 7, 8]), weights=weights)
    assert fewer.importance(min_count=2).values.tolist() == [0, 0]


# --- whatever the caller has set


@pytest.mark.filterwarnings("ignore:squares of the weights of group")
def test_numpy_set_to_raise_changes_nothing():
    weights = csr_array(np.array([[1e100, 1e-200, 0.0], [5e-324, -1e-310, 0.0], [0.0, 0.0, 0.0]]))
    nan, number = np.array([0.0, 1e-310, np.nan]), np.arange(3)
    local = LocalExplanations(
        weights, nan, np.zeros(3), nan, np.array([0, 0, Status.MODEL_FAILED]), number, np.zeros(3, int), np.zeros(3)
    )

    def everything():
        both = LocalExplanations.concatenate([local, local])
        again = LocalExplanations._from_bytes(both._to_bytes(), "file")
        found = [
            again.importance(kind, by, min_count=min_count)
            for kind in ("normlime", "mean_abs")
            for by in (None, "target", [0.1, 1, 2])
            for min_count in (1, 2)
        ]
        return again, *found

    expected = everything()
    with np.errstate(all="raise"):
        assert_same(expected[0], everything()[0])
        for one, other in zip(expected[1:], everything()[1:], strict=True):
            assert_same(one, other)


# --- many columns, of which few occur


def random_explanations(seed, n, d):
    """Some of four targets, some that are none, some weights stored as 0."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(n, d)) * (rng.random((n, d)) < rng.random(d) ** 3)
    status = np.where(np.arange(n) % 10 == 9, Status.MODEL_FAILED, 0)
    W[status == Status.MODEL_FAILED] = 0.0
    weights = csr_array(W)
    weights.data[::17] = 0.0
    zeros, target = np.zeros(n), rng.integers(4, size=n)
    return LocalExplanations(weights, zeros, zeros, zeros, status, np.arange(n), target, zeros + 9)


def at_columns(local, places, d):
    """The explanations with their columns at these places of d."""
    w = local.weights
    weights = csr_array((w.data, places[w.indices], w.indptr), shape=(len(local.status), d))
    return replace(local, weights=weights, stderr=None, feature_names=None)


PAIRS = [
    (kind, sign)
    for kind in get_args(Kind)
    for sign in get_args(Sign)
    if not (kind in ("l2", "sp_lime") and sign == "net")
]


@pytest.mark.parametrize("by", [None, "target", "label"])
@pytest.mark.parametrize("min_count", [1, 3])
@pytest.mark.parametrize(("kind", "sign"), PAIRS)
def test_importance_of_few_of_many_columns(monkeypatch, kind, sign, by, min_count):
    """To the bit what all columns give, of those that are used and of the others."""
    d = 5000
    for n, seed in (1, 0), (2, 1), (3, 2), (60, 3):
        places = np.sort(np.random.default_rng(seed).choice(d, 12, replace=False))
        local = at_columns(random_explanations(seed, n, 12), places, d)
        options = {"by": np.arange(n) % 7 if by == "label" else by, "min_count": min_count}
        for shrink in (False, True)[: 1 + (kind == "normlime" and sign != "net")]:
            found = []
            for wide in (0, d):
                monkeypatch.setattr(columns, "_WIDE", wide)
                assert (columns.narrowed(local.weights)[1] is None) == (wide == d)
                found.append(local.importance(kind, sign=sign, shrink=shrink, **options))
            assert_same(*found)


PLACES = np.array([5, 10**6, 10**7, 10**8, 2 * 10**8 - 1])
WIDE, WIDEST = (at_columns(WHOLE, PLACES, d) for d in (2 * 10**8, 2**62))


def peak_of(task):
    task()  # for the modules and kernels that it loads
    tracemalloc.start()
    try:
        return task(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("wide", [WIDE, WIDEST])
@pytest.mark.parametrize(
    "task",
    [
        repr,
        LocalExplanations._repr_html_,
        LocalExplanations.to_frame,
        lambda local: local.to_frame("fits"),
        LocalExplanations.to_dict,
        LocalExplanations._to_bytes,
        lambda local: LocalExplanations._from_bytes(local._to_bytes(), "the file"),
        lambda local: LocalExplanations.concatenate([local, local]),
        lambda local: local.submodular_pick(3, by="target"),
    ],
)
def test_memory_follows_content(wide, task):
    assert peak_of(lambda: task(wide))[1] < 1e6


def test_what_is_said_of_few_of_many_columns():
    dense, wide = WHOLE._repr_html_(), WIDE._repr_html_()
    place = lambda found: f"{found[1]}{PLACES[int(found[2])]}<"  # noqa: E731
    dense = re.sub(r'(<tr><td style="text-align:left">)(\d)<', place, dense)
    assert dense.replace("5 features", "200,000,000 features") == wide
    assert "100000000" in wide
    frame = WHOLE.to_frame()
    pd.testing.assert_frame_equal(WIDE.to_frame(), frame.assign(feature=PLACES[frame["feature"]]))
    picked, expected = (local.submodular_pick(4) for local in (WIDE, WHOLE))
    assert_same(picked.instances, expected.instances)
    np.testing.assert_allclose(picked.coverage, expected.coverage, rtol=1e-15)


@pytest.mark.parametrize("by", [None, "target"])
def test_importance_that_is_large_beside_the_weights_is_refused(by):
    message = (
        r"^weights must have fewer columns, got 200,000,000 \(5 in use\): importances for .* would take .* GiB;"
        r" keep the columns that you need, as in weights\[:, columns\](, or make fewer groups)?$"
    )

    def refuse():
        with pytest.raises(ValueError, match=message):
            WIDE.importance(by=by)

    assert peak_of(refuse)[1] < 1e6


def test_small_outputs_are_warned_of_where_they_are_aggregated():
    explainer = nlf.NormLIME(lambda X: 1e-170 * X @ [1.0, -2.0], nlf.Gaussian(1.0), n_features=2, rng=0)
    X = np.random.default_rng(0).normal(size=(8, 2))
    local = explainer.explain(X)
    for compute in (local.importance, lambda: explainer.importance([X])):
        with pytest.warns(UserWarning, match="^squares of the weights underflow: standard errors are NaN") as caught:
            importance = compute()
        assert [warning.filename for warning in caught] == [__file__]
        np.testing.assert_allclose(importance.values / 1e-170, [1 / 3, 4 / 3])
