"""lime's own explanations, aggregated: against what its objects say, added up by hand."""

import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from lime.explanation import DomainMapper, Explanation
from lime.lime_image import LimeImageExplainer
from lime.lime_tabular import LimeTabularExplainer
from lime.lime_text import LimeTextExplainer
from lime.submodular_pick import SubmodularPick
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from normlime_fast import LocalExplanations
from normlime_fast.interop.lime._explanations import from_lime

rng = np.random.default_rng(0)
TABLE = np.column_stack([rng.normal(size=(200, 3)), rng.integers(3, size=200)])
NAMES = ["a=b", "same", "same", "kind=of"]
CLASSES = ["cat", "dog", "cow"]
TEXTS = ["good good film", "a bad film, a bad day", "good day", "bad good bad"]
ROWS, COLUMNS = (np.arange(64).reshape(8, 8) // 16, np.arange(64).reshape(8, 8) % 8 // 2)  # segments


def probabilities(rows):
    scores = np.stack([rows[:, 0] * rows[:, 1], np.abs(rows[:, 2]), (rows[:, 3] == 1) * rows[:, 0]], axis=1)
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def of_texts(texts):
    score = np.array([0.1 + 0.3 * ("good" in text) - 0.08 * text.count("bad") for text in texts])
    return np.stack([1 - score, score], axis=1)


def of_images(images):
    return np.stack([(images[:, :4] ** 2).mean((1, 2, 3)), images[:, -1, -1, 0]], axis=1)


@cache
def tabular(discretize=True, mode="classification", **options):
    explainer = LimeTabularExplainer(
        TABLE,
        mode,
        feature_names=NAMES,
        class_names=CLASSES,
        categorical_features=[3],
        categorical_names={3: ["<=1", "x", "=y"]},
        discretize_continuous=discretize,
        random_state=1,
    )
    predict = probabilities if mode == "classification" else lambda rows: probabilities(rows)[:, 1]
    options = {"num_features": 2, "num_samples": 100} | options
    return [explainer.explain_instance(row, predict, **options) for row in TABLE[:12]]


@cache
def texts(bow=True, **options):
    explainer = LimeTextExplainer(class_names=CLASSES[:2], bow=bow, random_state=1)
    return [explainer.explain_instance(text, of_texts, num_samples=60, **options) for text in TEXTS]


@cache
def images(by_row=True, **options):
    explainer = LimeImageExplainer(random_state=1)
    options = {"num_samples": 20, "segmentation_fn": lambda image: (ROWS if by_row else COLUMNS).copy()} | options
    drawn = np.random.default_rng(1).random((3, 8, 8, 3))
    return [explainer.explain_instance(image, of_images, **options) for image in drawn]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr("lime.lime_image.tqdm", lambda rows: rows)


def by_hand(explanations, label, name=None):
    """Eq. 3: the mean of w^2 / ||w||_1 over the explanations that use a feature."""
    found = {}
    for explanation in explanations:
        weights = {}
        for feature, weight in explanation.local_exp[label]:
            key = feature if name is None else name(explanation, feature)
            weights[key] = weights.get(key, 0.0) + weight
        size = sum(abs(weight) for weight in weights.values())
        for key, weight in weights.items():
            if weight:
                found.setdefault(key, []).append(weight**2 / size)
    return {key: np.mean(terms) for key, terms in found.items()}


def scores(local, **options):
    importance = local.importance(**options)
    return {row.feature: row.value for row in replace(importance, feature_names=None).top(1000)}


def assert_same(found, expected):
    """Sums of fewer than 20 terms, all positive: at most 40 roundings."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=40 * np.finfo(float).eps)


# --- tables


@pytest.mark.parametrize("discretize", [True, False])
def test_columns_of_tables(discretize):
    explanations = tabular(discretize)
    local = from_lime(explanations)
    assert_same(scores(local), by_hand(explanations, 1))
    assert local.feature_names == tuple(NAMES)
    assert local.target_names == tuple(CLASSES)
    assert local.weights.has_sorted_indices
    assert local.instance.tolist() == list(range(12))
    assert local.target.tolist() == [1] * 12
    assert local.status.tolist() == [0] * 12
    assert np.isnan(local.effective_samples).all()
    assert_array_equal(local.prediction, probabilities(TABLE[:12])[:, 1])
    assert_array_equal(local.r2, [one.score for one in explanations])
    # scikit-learn adds 2 products and an intercept, in another order
    assert_allclose(local.intercept, [one.local_pred[0] for one in explanations], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("discretize", [True, False])
def test_regression(discretize):
    explanations = tabular(discretize, "regression")
    local = from_lime(explanations)
    assert_same(scores(local), by_hand(explanations, 1))
    assert_allclose(
        local.weights[[0]].toarray()[0][explanations[0].as_map()[1][0][0]], explanations[0].as_map()[1][0][1]
    )
    assert local.target.tolist() == [0] * 12
    assert local.target_names is None
    assert_array_equal(local.prediction, probabilities(TABLE[:12])[:, 1])
    assert_array_equal(local.r2, [one.score for one in explanations])
    assert_allclose(local.intercept, [one.local_pred[0] for one in explanations], rtol=1e-13, atol=1e-13)
    for targets in ("predicted", 0):
        assert_array_equal(from_lime(explanations, targets=targets).weights.toarray(), local.weights.toarray())


def test_bins():
    explanations = tabular()
    local = from_lime(explanations, features="bin")
    names = [[name for name, _ in one.as_list()] for one in explanations]
    found = {local.feature_names[column]: value for column, value in scores(local).items()}
    hand = by_hand(explanations, 1, lambda one, j: one.domain_mapper.discretized_feature_names[j])
    assert len(hand) > 4
    assert_same(found, hand)
    assert set(local.feature_names) == {name for some in names for name in some}
    assert local.feature_names[-1].startswith("kind=of=")


def test_bins_of_columns_with_one_name_are_two_features():
    made = [made_of(tabular()[0], {1: [(1, 2.0), (2, 1.0)]}) for _ in range(2)]
    for one in made:
        one.domain_mapper.discretized_feature_names[1:3] = ["same <= 0", "same <= 0"]
    local = from_lime(made, features="bin")
    assert local.feature_names == ("same <= 0", "same <= 0")
    assert_array_equal(local.weights.toarray(), [[2, 1], [2, 1]])


def test_sp_lime_is_that_of_submodular_pick():
    explainer = LimeTabularExplainer(TABLE, feature_names=["a", "b", "c", "d"], random_state=1)
    options = {"num_features": 2, "num_samples": 60, "method": "full", "num_exps_desired": 4}
    pick = SubmodularPick(explainer, TABLE[:15], probabilities, **options)
    local = from_lime(pick.explanations, features="bin")
    importance = local.importance("sp_lime").values
    total = {}
    for explanation in pick.explanations:
        for name, weight in explanation.as_list(explanation.available_labels()[0]):
            total[name] = total.get(name, 0.0) + abs(weight)
    hand = {local.feature_names.index(name): value**0.5 for name, value in total.items()}
    assert_same(scores(local, kind="sp_lime"), hand)
    used, covered, left = local.weights.toarray() != 0, np.zeros(len(importance), bool), set(range(15))
    for expected in pick.V:
        gains = {row: (covered | used[row]) @ importance for row in left}
        assert gains[expected] == pytest.approx(max(gains.values()), rel=1e-13)  # the order of sums decides ties
        covered |= used[expected]
        left.remove(expected)


def test_sparse_tables():
    rows = sparse.csr_matrix(np.where(TABLE > 0.3, TABLE, 0.0))
    explainer = LimeTabularExplainer(rows, discretize_continuous=False, random_state=1)
    predict = lambda some: probabilities(some.toarray())  # noqa: E731
    explanations = [explainer.explain_instance(rows[k], predict, num_samples=60, num_features=2) for k in range(4)]
    local = from_lime(explanations)
    assert_same(scores(local), by_hand(explanations, 1))
    assert local.feature_names == ("0", "1", "2", "3")
    assert_allclose(local.intercept, [one.local_pred[0] for one in explanations], rtol=1e-13, atol=1e-13)


# --- labels


def test_several_labels():
    explanations = tabular(top_labels=2)
    local = from_lime(explanations)
    assert len(local.target) == 24
    assert local.instance.tolist() == np.repeat(np.arange(12), 2).tolist()
    importance = local.importance(by="target")
    for label, name in enumerate(CLASSES):
        some = [one for one in explanations if label in one.as_map()]
        row = importance.values[importance.groups.tolist().index(name)]
        expected = by_hand(some, label)
        assert_same({j: row[j] for j in np.flatnonzero(row)}, expected)
    last = [list(one.as_map())[-1] for one in explanations]
    known = local.target == np.repeat(last, 2)
    assert_array_equal(local.r2[known], [one.score for one in explanations])
    assert np.isnan(local.r2[~known]).all()
    assert_array_equal(local.prediction, probabilities(TABLE[:12])[local.instance, local.target])
    predicted = from_lime(explanations, targets="predicted")
    assert_array_equal(predicted.target, probabilities(TABLE[:12]).argmax(axis=1))
    assert_array_equal(predicted.weights.toarray(), local.weights[known].toarray())


def test_labels_that_are_chosen():
    explanations = tabular(labels=(2, 0, 1))
    assert from_lime(explanations).target[:3].tolist() == [0, 1, 2]
    two = from_lime(explanations, targets=[2, 1], index=range(50, 38, -1))
    assert two.target.tolist() == [2, 1] * 12
    assert two.instance[:4].tolist() == [50, 50, 49, 49]
    assert_array_equal(two.weights[::2].toarray(), from_lime(explanations, targets=2).weights.toarray())


def test_of_equal_probabilities_the_one_that_lime_explained():
    one = made_of(tabular()[0], {2: [(0, 1.0)]}, predict_proba=np.array([0.4, 0.2, 0.4]))
    assert from_lime([one], targets="predicted").target.tolist() == [2]
    one.predict_proba = np.array([0.6, 0.2, 0.2])
    with pytest.raises(ValueError, match=r"must have target 0, got \[2\] at position 0"):
        from_lime([one], targets="predicted")


# --- texts and images


@pytest.mark.parametrize("bow", [True, False])
def test_words_of_texts(bow):
    explanations = texts(bow)
    local = from_lime(explanations)
    assert local.feature_names == ("a", "bad", "day", "film", "good")
    hand = by_hand(explanations, 1, lambda one, j: one.domain_mapper.indexed_string.word(j))
    assert_same({local.feature_names[j]: value for j, value in scores(local).items()}, hand)
    assert all(type(name) is str for name in local.feature_names)
    assert local.target_names == ("cat", "dog")
    assert_array_equal(local.prediction, of_texts(TEXTS)[:, 1])
    assert_allclose(local.intercept, [one.local_pred[0] for one in explanations], rtol=1e-13, atol=1e-13)


def test_segments_of_images():
    explanations = images(top_labels=2)
    local = from_lime(explanations, targets=0)
    assert_same(scores(local), by_hand(explanations, 0))
    assert local.weights.shape == (3, 4)
    assert local.feature_names is None
    assert local.target_names is None
    assert np.isnan(local.prediction).all()
    last = from_lime(explanations, targets="predicted")
    assert last.target.tolist() == [one.top_labels[0] for one in explanations]
    assert_allclose(last.intercept, [one.local_pred[0] for one in explanations], rtol=1e-13, atol=1e-13)


# --- files, and other releases of lime


@pytest.mark.parametrize(
    "make", [tabular, texts, images, lambda: tabular(mode="regression"), lambda: tabular(top_labels=2)]
)
def test_save_and_load(make, tmp_path):
    local = from_lime(pickle.loads(pickle.dumps(make())))
    local.save(tmp_path / "local.npz")
    again = LocalExplanations.load(tmp_path / "local.npz")
    assert_array_equal(again.weights.toarray(), local.weights.toarray())
    for name in ("intercept", "r2", "prediction", "status", "instance", "target", "effective_samples"):
        assert_array_equal(getattr(again, name), getattr(local, name))
    assert (again.feature_names, again.target_names) == (local.feature_names, local.target_names)


def made_of(explanation, weights, **attributes):
    """A copy of one of lime's explanations with other weights."""
    made = pickle.loads(pickle.dumps(explanation))
    made.local_exp = weights
    made.intercept = dict.fromkeys(weights, 0.5)
    vars(made).update(attributes)
    return made


def test_scores_by_label_as_later_releases_keep_them():
    made = made_of(tabular()[0], {1: [(0, 1.0)], 0: [(1, 1.0)]}, score={0: 0.25, 1: 0.75})
    assert from_lime([made]).r2.tolist() == [0.25, 0.75]
    made = made_of(tabular(mode="regression")[0], {0: [(0, -1.0)], 1: [(0, 1.0)]}, score={0: 0.25})
    assert from_lime([made]).r2.tolist() == [0.25]


def test_explanations_without_weights():
    made = [made_of(tabular()[0], {1: some}) for some in ([], [(0, 0.0)], [(0, 2.0), (1, 0.0)])]
    local = from_lime(made)
    assert local.status.tolist() == [2, 2, 0]
    assert local.r2[:2].tolist() == [0.0, 0.0]
    assert local.weights.nnz == 1
    assert local.intercept[:2].tolist() == [0.5, 0.5]


def test_targets_by_name():
    made = [made_of(tabular()[0], {1: [(0, 1.0)], 0: [(1, 1.0)]}, class_names=["no", "yes"])]
    for targets, numbers in (("yes", [1]), (["no"], [0]), (["yes", "no"], [1, 0])):
        assert from_lime(made, targets=targets).target.tolist() == numbers


def test_weights_that_are_rounding_do_not_count():
    made = [made_of(tabular()[0], {1: some}) for some in ([(0, 1e-33), (1, -1e-18)], [(0, 1e-170), (1, -2.0)])]
    made += [made_of(tabular()[0], {1: [(0, 1e-15), (1, 2e-15)]}, intercept={1: 1e-16}, predict_proba=np.zeros(3))]
    local = from_lime(made)
    assert local.status.tolist() == [2, 0, 0]
    assert_array_equal(local.weights.toarray()[:, :2], [[0, 0], [0, -2], [1e-15, 2e-15]])


@pytest.mark.filterwarnings("ignore:squares of the weights underflow")
@pytest.mark.parametrize("unit", [1.0, 1e-170, 1e90])
def test_a_flat_model_uses_no_feature(unit):
    """The true slope is 1 beyond 0.8 and 0 before, where a narrow neighborhood is flat: its weights are rounding."""
    explainer = LimeTabularExplainer(
        TABLE[:, :3], "regression", discretize_continuous=False, sample_around_instance=True, random_state=0
    )
    explainer.scaler.scale_ = 0.1 * np.ones(3)
    rows = np.array([[x, 0.0, 0.0] for x in (-1.0, 0.0, 0.2, 1.3, 1.5)])

    def model(X):
        return (np.maximum(X[:, 0] - 0.8, 0.0) + 0.3) * unit

    local = from_lime([explainer.explain_instance(row, model, num_features=2, num_samples=500) for row in rows])
    assert local.status.tolist() == [2, 2, 2, 0, 0]
    assert local.importance().counts[0] == 2
    assert local.importance().values[0] / unit == pytest.approx(0.1, rel=0.05)  # per unit of 0.1


def test_class_names_that_are_too_few_are_none():
    made = made_of(tabular()[0], {2: [(0, 1.0)]}, class_names=["no", "yes"])
    assert from_lime([made]).target_names is None


# --- what is refused


def renamed(names):
    made = made_of(tabular()[1], {1: [(0, 1.0)]})
    made.domain_mapper.feature_names[:] = names
    return made


REFUSED = [
    (list, {}, "explanations must not be empty"),
    (lambda: tabular()[0], {}, "explanations must be a list of lime's, got a Explanation"),
    (lambda: [tabular()[0], tabular()[0].as_map()], {}, "explain_instance returns, got a dict at position 1"),
    (lambda: [tabular()[0], None], {}, "explain_instance returns, got a NoneType at position 1"),
    (lambda: [tabular()[0], made_of(tabular()[0], {})], {}, "must have labels, got none at position 1"),
    (lambda: [made_of(Explanation(DomainMapper()), {1: []})], {}, "got those of a DomainMapper at position 0"),
    (lambda: [*tabular(), *texts()], {}, "got tabular classification at position 0 and text .* at position 12"),
    (lambda: [*images(), *texts()], {}, "of the same kind, got image .* at position 0 and text .* at position 3"),
    (lambda: [*tabular(), *tabular(mode="regression")], {}, "classification .* and tabular regression at position 12"),
    (lambda: [*texts(), made_of(texts()[0], {1: []}, class_names=["a"])], {}, r"same class_names, .* position 4"),
    (lambda: [*tabular(), renamed(["a"])], {}, "same columns, got 4 at position 0 and 1 at position 12"),
    (lambda: [*tabular(), renamed(["a=b", "other", "same", "kind=of=x"])], {}, "name for column 1, .* at position 12"),
    (
        lambda: [*tabular(), renamed(["a=b", "same", "same", "sort=x"])],
        {},
        "same columns, got .* and sort=x at position 12",
    ),
    (lambda: [*images(), *images(by_row=False)], {}, "same segments, got others at position 3; explain with"),
    (lambda: [tabular()[0], made_of(tabular()[0], {1: [(0, np.nan)]})], {}, "finite weights, got nan at position 1"),
    (lambda: [made_of(texts()[0], {1: []})], {}, "explanations must have weights, got only zeros"),
    (tabular, {"targets": 2}, r"must have target 2, got \[1\] at position 0"),
    (lambda: tabular(mode="regression"), {"targets": 1}, r"must have target 1, got \[0\] at position 0"),
    (lambda: images(top_labels=None), {"targets": "predicted"}, 'top_labels for targets="predicted", got none at pos'),
    (
        tabular,
        {"targets": "best"},
        'targets must be "predicted", "all", a number, a name or a list of them, got \'best\'',
    ),
    (tabular, {"features": "bins"}, 'features must be "column" or "bin", got \'bins\''),
    (texts, {"features": "bin"}, 'features must be "column" for explanations of text data, got "bin"'),
    (tabular, {"index": [1, 2]}, r"index must have one integer per explanation, shape \(12,\)"),
]


@pytest.mark.parametrize(("make", "options", "expected"), REFUSED)
def test_what_is_refused(make, options, expected):
    with pytest.raises((TypeError, ValueError), match=expected) as caught:
        from_lime(make(), **options)
    assert "\n" not in str(caught.value)
