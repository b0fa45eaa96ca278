"""Targets that no explanation is about, such as classes that the model never predicts."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import normlime_fast as nlf

NAMES = ("common", "rare", "other", "never")
X = np.random.default_rng(0).normal(size=(30, 3))


def predict(X):
    """Scores of four classes: the largest is that of "common" or "other"."""
    return np.stack([X[:, 0], -9.0 + X[:, 1], -X[:, 0], -9.0 - X[:, 2]], axis=1)


def explainer(**options):
    options = {"target_names": NAMES, "n_features": 1, "n_samples": 50, "rng": 0} | options
    return nlf.NormLIME(predict, nlf.Gaussian(1.0), **options)


LOCAL = explainer().explain(X)


def test_classes_that_are_never_predicted_are_named():
    importance = LOCAL.importance(by="target")
    assert importance.groups.tolist() == ["common", "other"]
    assert importance.unexplained_names == ("rare", "never")
    assert "2 groups (common, other), no explanations of rare, never; first" in repr(importance)
    assert "no explanations of rare, never" in importance._repr_html_()
    assert json.loads(json.dumps(importance.to_dict()))["unexplained_names"] == ["rare", "never"]


@pytest.mark.parametrize(
    ("options", "by", "expected"),
    [
        ({}, None, ()),
        ({}, ["a", "b"] * 15, ()),
        ({"targets": "all"}, "target", ()),
        ({"targets": "rare"}, "target", ("common", "other", "never")),
        ({"target_names": None}, "target", ()),
    ],
)
def test_groups_of_other_kinds(options, by, expected):
    one = explainer(**options)
    assert one.explain(X).importance(by=by).unexplained_names == expected
    assert one.importance(X, by=by).unexplained_names == expected
    assert ("no explanations" in repr(one.statistics(X, by=by))) == bool(expected)


def test_explanations_that_do_not_count():
    failing = X.copy()
    failing[X[:, 0] < 0] = np.inf
    with pytest.warns(UserWarning, match="could not be used"):
        local = explainer().explain(failing, on_error="skip")
    assert local.importance(by="target").unexplained_names == ("rare", "other", "never")


def test_statistics_that_are_merged():
    common, other = (explainer().statistics(X[rows], by="target") for rows in (X[:, 0] > 0, X[:, 0] < 0))
    assert (common.unexplained_names, other.unexplained_names) == (
        ("rare", "other", "never"),
        ("common", "rare", "never"),
    )
    merged = common.merge(other)
    assert merged.unexplained_names == ("rare", "never")
    assert merged.importance().unexplained_names == ("rare", "never")


def test_names_are_saved(tmp_path):
    for name, one in {
        "importance": LOCAL.importance(by="target"),
        "sums": explainer().statistics(X, by="target"),
    }.items():
        one.save(tmp_path / f"{name}.npz")
        assert type(one).load(tmp_path / f"{name}.npz").unexplained_names == ("rare", "never")


def test_many_names_are_shortened():
    names = [f"class {k}" for k in range(9)]
    one = nlf.NormLIME(
        lambda X: np.pad(X, ((0, 0), (0, 6)), constant_values=-99.0),
        nlf.Gaussian(1.0),
        n_features=1,
        target_names=names,
        rng=0,
    )
    importance = one.explain([[9.0, 0.0, 0.0]]).importance(by="target")
    assert "no explanations of class 1, class 2, class 3 and 5 more; first" in repr(importance)


def test_the_recipe_for_a_class_that_is_never_predicted():
    """As in the guide: the importance of the class's output over the rows that are of that class."""
    labels = np.where(np.arange(30) < 3, "rare", "common")
    rare = explainer(targets="rare").explain(X).importance(by=labels)
    alone = explainer(targets="rare").explain(X[:3]).importance()
    assert_array_equal(rare.values[rare.groups == "rare"][0], alone.values)
