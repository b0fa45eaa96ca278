"""Class ablation, beside plain loops and SciPy's paired t, and on models whose classes have features of their own."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

import normlime_fast as nlf
from normlime_fast.evaluation import class_ablation

RNG = np.random.default_rng(0)
COEFFICIENTS = RNG.standard_normal((12, 3))
X = RNG.random((20, 12))
LABELS = RNG.integers(0, 3, 20)
MAPS = RNG.standard_normal((3, 12))


def linear(X):
    return X.reshape(len(X), -1) @ COEFFICIENTS


def shuffled(X):
    return X[::-1]


FILLS = {
    "number": (0.25, lambda i: np.full(12, 0.25)),
    "row": (np.arange(12.0), lambda i: np.arange(12.0)),
    "mean": ("mean", lambda i: X.mean(axis=0)),
    "callable": (shuffled, lambda i: X[19 - i]),
}
# Linear models' sums of 12 products below 12 x 3, in another order.
ROUNDING = 1e-12


@pytest.mark.parametrize("shape", [(12,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("fill", FILLS)
def test_drops_are_those_of_plain_loops(fill, shape):
    given, row_of = FILLS[fill]
    given = given.reshape(shape) if fill == "row" else given
    images = X.reshape(20, *shape).copy()
    found = class_ablation(linear, images, LABELS, MAPS, k=4, fill=given, batch_size=7)
    np.testing.assert_array_equal(images, X.reshape(20, *shape))
    expected = np.empty((20, 3))
    for i, label in enumerate(LABELS):
        for c in range(3):
            best = np.argsort(-np.abs(MAPS[c]))[:4]
            expected[i, c] = (X[i, best] - row_of(i)[best]) @ COEFFICIENTS[best, label]
    np.testing.assert_allclose(found.drops[0], expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(found.before, linear(X)[np.arange(20), LABELS], rtol=0, atol=ROUNDING)
    np.testing.assert_array_equal(found.own_drops[0], found.drops[0, np.arange(20), LABELS])
    others = [np.delete(found.drops[0, i], label).mean() for i, label in enumerate(LABELS)]
    np.testing.assert_allclose(found.other_drops[0], others, rtol=0, atol=ROUNDING)
    assert found.replaced.tolist() == [4, 4, 4]


def blocks(X):
    """Probability of class c: what is lit of the four features that are its own."""
    return X.reshape(len(X), 3, -1).mean(axis=2)


BLOCKS = np.kron(np.eye(3), np.ones(4))


def test_own_features_and_nothing_else():
    images = BLOCKS[[0, 0, 1, 2]]
    found = class_ablation(blocks, images, [0, 0, 1, 2], BLOCKS, k=2, fill={"off": 0, "mean": "mean", "self": np.copy})
    mean = 1 - np.array([0.5, 0.5, 0.25, 0.25])
    np.testing.assert_array_equal(found.own_drops, [[0.5] * 4, mean / 2, [0] * 4])
    np.testing.assert_array_equal(found.other_drops, np.zeros((3, 4)))
    off, *_ = found.summary()
    assert (*off[:5], off.images) == ("off", None, 0.5, 0.0, 0.5, 4)
    assert np.isnan([off.low, off.high]).all()  # the differences are equal
    assert found.fills == ("off", "mean", "self")
    assert repr(found) == (
        "<Ablation: 4 images, 3 maps, k = 2, 3 fills; mean drop, off: own 0.500, others 0.000, difference 0.500"
        " [nan, nan]; mean: own 0.312, others 0.000, difference 0.312 [0.228, 0.397]; self: own 0.000, others"
        " 0.000, difference 0.000 [nan, nan]>"
    )


def test_interval_is_that_of_paired_differences():
    found = class_ablation(linear, X, LABELS, MAPS, k=3)
    own, others = found.own_drops[0], found.other_drops[0]
    for confidence in (0.9, 0.99):
        (row,) = found.summary(confidence)
        expected = stats.ttest_rel(own, others).confidence_interval(confidence)
        np.testing.assert_allclose([row.low, row.high], expected, rtol=1e-9)  # quantiles of two functions of SciPy
        assert (row.own, row.others, row.images) == (own.mean(), others.mean(), 20)
    by_class = found.summary(by_class=True)
    assert [row.group for row in by_class] == [0, 1, 2]
    of_two = class_ablation(linear, X[:2], [0, 2], MAPS, k=3)
    assert [(row.group, row.images) for row in of_two.summary(by_class=True)] == [(0, 1), (2, 1)]
    for row in by_class:
        here = row.group == LABELS
        expected = stats.ttest_rel(own[here], others[here]).confidence_interval(0.9)
        np.testing.assert_allclose([row.low, row.high], expected, rtol=1e-9)
        assert row.images == here.sum()


def test_no_more_than_what_a_map_has_and_ties_at_random():
    few = np.array([[1.0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    found = class_ablation(lambda X: X[:, :3], np.ones((2, 4)), [0, 1], few, k=2)
    assert found.replaced.tolist() == [1, 2, 0]
    assert (found.drops[0, :, 2] == 0).all()
    tied = [
        class_ablation(lambda X: X[:, :3], np.ones((2, 4)), [0, 1], few, k=2, rng=rng).drops[0, 0, 1]
        for rng in range(99)
    ]
    assert 0 < sum(tied) < 99


def test_labels_of_classes():
    plain = class_ablation(linear, X, LABELS, MAPS, k=3)
    names = np.array(["cat", "dog", "eel"])
    text = class_ablation(linear, X, names[LABELS], MAPS, k=3, classes=names)
    np.testing.assert_array_equal(text.drops, plain.drops)
    assert (plain.classes, text.classes) == ((0, 1, 2), ("cat", "dog", "eel"))
    some = nlf.aggregate(np.abs(MAPS[[2, 0]]), ["eel", "cat"]).importance("mean")
    found = class_ablation(linear, X, names[LABELS], some, k=3, classes=names)
    assert found.classes == ("cat", "eel")
    np.testing.assert_array_equal(found.drops, plain.drops[:, :, [0, 2]])
    np.testing.assert_array_equal(np.isnan(found.own_drops[0]), LABELS == 1)  # no map is theirs: all are others'
    np.testing.assert_allclose(found.other_drops[0, LABELS == 1], found.drops[0, LABELS == 1].mean(axis=1), rtol=1e-14)
    assert found.summary()[0].images == (LABELS != 1).sum()
    assert [row.group for row in found.summary(by_class=True)] == ["cat", "eel"]
    numbered = nlf.aggregate(np.abs(MAPS[[2, 0]]), [2, 0]).importance("mean")
    np.testing.assert_array_equal(class_ablation(linear, X, LABELS, numbered, k=3).drops, found.drops)


def test_classifiers_know_their_classes():
    """Its labels are numbers, 3 to 5, which are not the numbers of its outputs; the importance has them as text."""
    frame = pd.DataFrame(X, columns=list("abcdefghijkl"))
    model = LogisticRegression().fit(frame, LABELS + 3)
    local = nlf.NormLIME(model.predict_proba, nlf.Gaussian(0.1), n_features=4, targets="all", rng=0).explain(frame)
    maps = local.importance(by="target")
    found = class_ablation(model.predict_proba, frame, LABELS + 3, maps, k=3)
    assert found.classes == ("3", "4", "5")

    def predict(X):
        return model.predict_proba(pd.DataFrame(X, columns=frame.columns))

    np.testing.assert_array_equal(found.drops, class_ablation(predict, X, LABELS, maps.values, k=3).drops)


def test_a_model_may_work_in_place_and_integers_become_float():
    def halves(X):
        assert X.dtype == np.float64
        X /= 2
        return linear(X)

    pixels = (X * 255).astype(np.uint8).reshape(20, 3, 4)
    found = class_ablation(halves, pixels, LABELS, MAPS, k=3, fill="mean")
    expected = class_ablation(lambda X: linear(X / 2), pixels.astype(float), LABELS, MAPS, k=3, fill="mean")
    np.testing.assert_array_equal(found.drops, expected.drops)


def test_frame_has_all_drops():
    found = class_ablation(linear, X, LABELS, MAPS, k=3, fill={"a": 0, "b": 1})
    frame = found.to_frame()
    assert list(frame) == ["fill", "image", "map", "own", "before", "drop"]
    assert len(frame) == 2 * 20 * 3
    np.testing.assert_array_equal(frame["drop"], found.drops.ravel())
    own = frame[frame["own"] & (frame["fill"] == "b")]
    np.testing.assert_array_equal(own["drop"], found.own_drops[1])
    np.testing.assert_array_equal(own["before"], found.before)
    np.testing.assert_array_equal(own["map"], LABELS)


TEXT = nlf.aggregate(np.abs(MAPS), ["cat", "dog", "eel"]).importance()
BAD = {
    "one dimension": ({"X": X[0]}, ValueError, "X must be 2-D"),
    "texts": ({"X": ["one", "two"]}, TypeError, "X must be an array or a DataFrame of numbers, got a list"),
    "NaN": ({"X": X * np.nan}, ValueError, "X must be finite"),
    "labels": ({"labels": LABELS[:3]}, ValueError, "labels must have one label per row of X"),
    "names": (
        {"labels": ["cat"] * 20},
        TypeError,
        "labels must be numbers of the model's outputs, got cat; pass classes=",
    ),
    "label 3": ({"labels": [3] * 20}, ValueError, r"labels must be among the outputs' labels, \[0, 1, 2\], got 3"),
    "features": ({"maps": MAPS[:, :5]}, ValueError, r"maps must have at least 2 classes and 12 features.*\(3, 5\)"),
    "rows of maps": ({"maps": MAPS[:2]}, ValueError, "maps must have one row per output of predict, 3, got 2"),
    "no groups": ({"maps": nlf.aggregate(MAPS).importance()}, ValueError, "maps must be an importance with groups"),
    "groups": ({"maps": TEXT}, TypeError, "groups of maps must be numbers of the model's outputs, got cat"),
    "no own map": (
        {"maps": nlf.aggregate(MAPS, [0, 1, 1]).importance(), "labels": [2] * 20},
        ValueError,
        "labels must have classes that have maps",
    ),
    "k of 0": ({"k": 0}, ValueError, "k must be at least 1, got 0"),
    "k of 13": ({"k": 13}, ValueError, "k must be at most the number of features, 12, got 13"),
    "median": ({"fill": "median"}, ValueError, 'fill must be numbers, "mean" or a callable, or a dict of these'),
    "shape": ({"fill": [1.0, 2]}, ValueError, r"fill 'row' must have shape \(\) or \(12,\), got shape \(2,\)"),
    "callable": ({"fill": {"a": len}}, ValueError, r"fill 'a' must have shape \(20, 12\), got shape \(\)"),
    "infinite": ({"fill": np.inf}, ValueError, "fill 'inf' must be finite"),
    "none": ({"fill": {}}, ValueError, "fill must have at least one entry, got an empty dict"),
    "too large": (
        {"fill": 1e300, "X": X.astype(np.float32)},
        ValueError,
        "fill '1e\\+300' must have numbers that fit into float32",
    ),
    "classes": (
        {"classes": ["a", "b"]},
        ValueError,
        r"classes must have one label per output of predict, shape \(3,\)",
    ),
    "classes twice": ({"classes": ["a", "b", "a"]}, ValueError, "classes must differ"),
    "batch_size": ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    "one output": ({"predict": lambda X: X[:, 0]}, ValueError, "labels must be among the outputs' labels, .0.,"),
}


@pytest.mark.parametrize(("asked", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input(asked, error, message):
    calls = []

    def predict(X):
        calls.append(len(X))
        return linear(X)

    with pytest.raises(error, match=f"^{message}"):
        class_ablation(**{"predict": predict, "X": X, "labels": LABELS, "maps": MAPS, "k": 3, **asked})
    assert calls in ([], [1])  # one row, for the number of outputs
