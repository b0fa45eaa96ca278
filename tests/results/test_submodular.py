"""SP-LIME's pick: beside lime's own, beside all choices that there are, and what users of groups and ties rely on."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from lime.explanation import DomainMapper, Explanation
from lime.submodular_pick import SubmodularPick
from scipy.sparse import csr_array

import normlime_fast as nlf
from normlime_fast._results.submodular import submodular_pick


def explained(W, instance=None, target=None, status=None, target_names=None):
    """LocalExplanations with these weights."""
    n, zeros = len(W), np.zeros(len(W))
    return nlf.LocalExplanations(
        weights=csr_array(np.asarray(W, float)),
        intercept=zeros,
        r2=zeros,
        prediction=zeros,
        status=zeros.astype(int) if status is None else np.asarray(status),
        instance=np.arange(n) if instance is None else np.asarray(instance),
        target=zeros.astype(int) if target is None else np.asarray(target),
        effective_samples=zeros + 9,
        target_names=target_names,
    )


def sparse_weights(seed, n, d, k):
    """A matrix of n rows with up to k weights each, so that no two sums of importances are equal by chance."""
    rng = np.random.default_rng(seed)
    W = np.zeros((n, d))
    np.put_along_axis(W, rng.integers(d, size=(n, k)), rng.standard_normal((n, k)), axis=1)
    return W


def covered(W, rows):
    """Share of the importance that these rows cover, straight from the paper's Eq. 4."""
    importance = np.sqrt(np.abs(W).sum(axis=0))
    return importance[(W[list(rows)] != 0).any(axis=0)].sum() / importance.sum()


def as_lime(local):
    """lime's own objects, in the order of X, one per instance with all its targets as labels."""
    made = {}
    for row, (instance, target) in enumerate(zip(local.instance.tolist(), local.target.tolist(), strict=True)):
        if instance not in made:
            made[instance] = Explanation(DomainMapper(), mode="classification", class_names=list("abc"))
            made[instance].local_exp = {}
        weights = local.weights[[row]]
        made[instance].local_exp[target] = list(zip(weights.indices.tolist(), weights.data.tolist(), strict=True))
    return list(made.values())


class Explained:
    """A lime explainer that has the explanations already."""

    def __init__(self, explanations):
        self.explanations = explanations

    def explain_instance(self, row, predict, **settings):
        return self.explanations[row]


def picked_by_lime(local, budget):
    explanations = as_lime(local)
    explainer, rows = Explained(explanations), range(len(explanations))
    pick = SubmodularPick(explainer, rows, None, method="full", num_exps_desired=budget, num_features=9)
    return np.asarray(pick.V)


@pytest.mark.parametrize("seed", range(5))
def test_picks_what_lime_picks(seed):
    local = explained(sparse_weights(seed, n=40, d=30, k=4))
    picked = local.submodular_pick(6)
    np.testing.assert_array_equal(picked.instances, picked_by_lime(local, 6))


@pytest.mark.parametrize("seed", range(5))
def test_adds_what_the_targets_of_an_instance_use(seed):
    """lime adds their weights with signs, of which little may be left: it is given their sizes here."""
    W = sparse_weights(seed, n=60, d=60, k=3)
    local = explained(W, instance=np.tile(np.arange(30), 2), target=np.repeat([0, 2], 30))
    picked = local.submodular_pick(4)
    np.testing.assert_array_equal(picked.instances, picked_by_lime(replace(local, weights=abs(local.weights)), 4))
    summed = abs(W[:30]) + abs(W[30:])
    # Sums of 60 numbers, rounded to 2^-52 of their sum here and as much in the oracle: 2 x 60 x 2^-52 = 2.7e-14.
    expected = [covered(summed, picked.instances[: m + 1]) for m in range(4)]
    np.testing.assert_allclose(picked.coverage, expected, rtol=0, atol=2.7e-14)


def test_the_targets_of_an_instance_do_not_cancel():
    """As both outputs of a binary classifier would, whose weights are each other's negatives."""
    W = sparse_weights(4, n=20, d=10, k=3)
    names = ("no", "yes")
    local = explained(np.vstack([W, -W]), np.tile(np.arange(20), 2), np.repeat([0, 1], 20), target_names=names)
    alone = explained(W).submodular_pick(3)
    for picked in (local.submodular_pick(3), *local.submodular_pick(3, by="target").values()):
        np.testing.assert_array_equal(picked.instances, alone.instances)
        np.testing.assert_allclose(picked.coverage, alone.coverage, rtol=0, atol=2.7e-14)
    assert list(local.submodular_pick(3, by="target")) == ["no", "yes"]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("budget", [1, 2, 3, 4])
def test_covers_63_percent_of_what_the_best_choice_would(seed, budget):
    W = sparse_weights(seed, n=9, d=7, k=2)
    picked = explained(W).submodular_pick(budget)
    best = max(covered(W, rows) for rows in combinations(range(9), budget))
    rounding = 2 * 7 * 2.0**-52  # of sums of 7 numbers, rounded to 2^-52 of their sum here and as much in the oracle
    assert picked.coverage[-1] == pytest.approx(covered(W, picked.instances), rel=0, abs=rounding)
    assert picked.coverage[-1] >= (1 - (1 - 1 / budget) ** budget) * best - rounding  # the factor is above 1 - 1/e
    gains = np.diff(picked.coverage, prepend=0)
    assert (gains > 0).all()
    assert (np.diff(gains) <= rounding).all()  # what an instance adds falls with what is covered


def test_stops_where_there_is_nothing_to_gain():
    picked = explained([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 2]]).submodular_pick(10**12)
    np.testing.assert_array_equal(picked.instances, [1, 3])
    assert picked.coverage[-1] == 1.0


@pytest.mark.parametrize("seed", range(30))
def test_of_equals_the_first_is_picked(seed):
    """Also where other features of the two are covered: what rounding leaves of these does not decide."""
    rng = np.random.default_rng(seed)
    W = np.zeros((4, 12))
    W[0, [0, 1, 2, 3, 4, 8, 9, 10, 11]] = 100 * rng.random(9)  # picked first
    shared = rng.random(3)
    W[1, 5:8], W[1, :2] = shared, rng.random(2)
    W[2, 5:8], W[2, 2:5] = shared, rng.random(3)
    W[3, 5:8], W[3, 9:] = shared, rng.random(3)
    np.testing.assert_array_equal(explained(W).submodular_pick(3).instances, [0, 1])
    np.testing.assert_array_equal(explained(W[::-1]).submodular_pick(3).instances, [3, 0])


@pytest.mark.parametrize("seed", range(5))
def test_order_of_rows_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    local = explained(sparse_weights(seed, n=80, d=60, k=3), np.tile(np.arange(40) + 7, 2), np.repeat([0, 1], 40))
    order = rng.permutation(80)
    shuffled = explained(local.weights.toarray()[order], local.instance[order], local.target[order])
    for by in (None, "target"):
        first, second = local.submodular_pick(5, by), shuffled.submodular_pick(5, by)
        for one, other in [(first, second)] if by is None else zip(first.values(), second.values(), strict=True):
            np.testing.assert_array_equal(one.instances, other.instances)
            np.testing.assert_allclose(one.coverage, other.coverage, rtol=1e-14)  # sums of 80 numbers, reordered


def assert_same(picked, expected):
    np.testing.assert_array_equal(picked.instances, expected.instances)
    np.testing.assert_array_equal(picked.coverage, expected.coverage)


def test_each_target_has_a_pick_over_its_own_explanations():
    W = sparse_weights(0, n=60, d=15, k=3)
    local = explained(W, np.tile(np.arange(20) * 10, 3), np.repeat([5, 0, 2], 20))
    picks = local.submodular_pick(4, by="target")
    assert list(picks) == [0, 2, 5]
    for target, rows in ((5, slice(0, 20)), (0, slice(20, 40)), (2, slice(40, 60))):
        assert_same(picks[target], explained(W[rows], local.instance[rows]).submodular_pick(4))
    named = replace(local, target_names=tuple("abcdef")).submodular_pick(4, by="target")
    assert list(named) == ["a", "c", "f"]
    assert_same(named["f"], picks[5])
    alike = replace(local, target_names=tuple("abbdef")).submodular_pick(4, by="target")
    assert list(alike) == [0, 2, 5]  # of equal names a dict could keep one


@pytest.mark.parametrize(
    "labels",
    [["x", "y"] * 10, [True, False] * 10, [3, -1] * 10, np.array(["2026-01-02", "2026-01-01"] * 10, "M8[ns]")],
    ids=["text", "bool", "int", "date"],
)
def test_each_label_has_a_pick_over_its_own_instances(labels):
    W = sparse_weights(1, n=40, d=15, k=3)
    instance = np.repeat(np.arange(20)[::-1], 2)  # labels go by the order of X, not by number
    local = explained(W, instance, np.tile([0, 1], 20))
    picks = local.submodular_pick(4, by=labels)
    importance = local.importance(by=labels)
    assert list(picks) == list(importance.groups)
    for start, label in enumerate(labels[:2]):
        rows = np.isin(np.arange(40) // 2 % 2, start)
        assert_same(picks[label], explained(W[rows], instance[rows], local.target[rows]).submodular_pick(4))


def test_what_is_empty_is_never_picked():
    W = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0.0, 2]])
    local = explained(W, status=[6, 7, 0, 2, 1], target=[-1, 0, 0, 1, 2], target_names=("a", "b", "c"))
    np.testing.assert_array_equal(local.submodular_pick(5).instances, [4, 2])
    by_target = local.submodular_pick(5, by="target")
    assert list(by_target) == ["a", "b", "c"]  # as in an importance: "b" has an explanation, which says nothing
    assert by_target["b"].instances.shape == by_target["b"].coverage.shape == (0,)
    assert by_target["b"].instances.dtype == local.instance.dtype
    assert list(local.submodular_pick(5, by=["failed", "failed", "good", "good", "good"])) == ["good"]
    stored = replace(local, weights=csr_array((np.zeros(5), np.zeros(5, int), np.arange(6)), shape=(5, 3)))
    with pytest.raises(ValueError, match=r"^submodular_pick needs explanations with weights, got none$"):
        stored.submodular_pick(1)  # zeros that are stored are no weights


def test_rows_are_those_that_the_user_gave():
    def fails_for_ones(X):
        if (X[0].round() == 1).all():
            raise RuntimeError("no")
        return X**2 @ [1.0, 1.0, 1.0]

    X = np.array([[1.0, 1, 1], [0, 2, 0], [3, 0, 0], [2.5, 0, 0]])
    explainer = nlf.NormLIME(fails_for_ones, nlf.Gaussian(0.01), n_features=1, n_samples=50, batch_size=50, rng=0)
    with pytest.warns(UserWarning, match="status 6"):
        local = explainer.explain(X, index=[40, 30, 20, 10], on_error="skip")
    np.testing.assert_array_equal(local.submodular_pick(3).instances, [20, 30])


@pytest.mark.parametrize("scale", [1e-290, 1e-3, 1e290])
def test_units_of_the_output_do_not_matter(scale):
    W = sparse_weights(3, n=30, d=20, k=3)
    picked, expected = (explained(each).submodular_pick(5) for each in (W * scale, W))
    np.testing.assert_array_equal(picked.instances, expected.instances)
    np.testing.assert_allclose(picked.coverage, expected.coverage, rtol=1e-14)  # sums of 30 numbers, rounded elsewhere


ONE = [[1.0, 0.0]]
BAD = {
    "budget of 0": (ONE, {"budget": 0}, ValueError, "budget must be at least 1, got 0"),
    "budget of 2.0": (ONE, {"budget": 2.0}, TypeError, "budget must be an integer, got 2.0"),
    "budget of True": (ONE, {"budget": True}, TypeError, "budget must be an integer, got True"),
    "by of class": (ONE, {"by": "class"}, ValueError, 'by must be None, "target" or one label'),
    "labels": (ONE, {"by": ["a", "b"]}, ValueError, r"by must have one label per instance, shape \(1,\)"),
    "no weight": ([[0.0, 0.0]], {}, ValueError, "submodular_pick needs explanations with weights, got none"),
    "no rows": (np.zeros((0, 2)), {}, ValueError, "submodular_pick needs explanations with weights, got none"),
    "NaN": ([[np.nan, 1.0]], {}, ValueError, "weights must be finite"),
    "infinite": ([[np.inf, 1.0]], {}, ValueError, "weights must be finite"),
    "too large": ([[1e308, 0.0], [1e308, 0.0]], {}, ValueError, "weights must be finite, and their sums too"),
}


@pytest.mark.parametrize(("W", "asked", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input(W, asked, error, message):
    with pytest.raises(error, match=f"^{message}") as caught:
        submodular_pick(explained(W), **{"budget": 1, **asked})
    assert "\n" not in str(caught.value)
