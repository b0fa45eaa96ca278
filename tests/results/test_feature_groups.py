"""Groups of features: against sums by hand, and the category that one-hot columns stand for."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.files import assert_same
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

import normlime_fast as nlf

RNG = np.random.default_rng(0)
CITY, AGE = RNG.choice(list("ABCDEFGH"), 1500, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02]), RNG.normal(size=1500)
EFFECT = dict(zip("ABCDEFGH", np.linspace(-1, 1, 8), strict=True))
RAW = pd.DataFrame({"age": AGE, "city": CITY})
HOT = pd.get_dummies(RAW, columns=["city"]).astype(float)
COLUMNS = [column for column in HOT if column.startswith("city_")]
OPTIONS = {"n_features": None, "n_samples": 2000, "rng": 0}


def of_raw(X):
    return 0.3 * X["age"].to_numpy(float) + X["city"].map(EFFECT).to_numpy(float)


def of_hot(X):
    return 0.3 * X["age"].to_numpy(float) + sum(EFFECT[name[-1]] * X[name].to_numpy(float) for name in COLUMNS)


@pytest.fixture(scope="module")
def hot():
    neighborhood = nlf.Binned.from_data(HOT, categorical=COLUMNS, width=1e3)  # with even weights
    return nlf.NormLIME(of_hot, neighborhood, **OPTIONS).explain(HOT[:200])


def test_contributions_are_summed_by_row_with_their_signs(hot):
    grouped = hot.grouped({"place": COLUMNS[1:], "years": ["age"]})
    dense = hot.contributions.toarray()
    place = [HOT.columns.get_loc(name) for name in COLUMNS[1:]]
    assert grouped.feature_names == ("years", "city_A", "place")
    expected = np.column_stack([dense[:, 0], dense[:, 1], dense[:, place].sum(axis=1)])
    assert_allclose(grouped.contributions.toarray(), expected, rtol=0, atol=1e-13)
    assert np.abs(expected[:, 2]).mean() < 0.7 * np.abs(dense[:, place]).sum(axis=1).mean()  # sizes would add to more
    assert_array_equal(grouped.weights.toarray(), grouped.contributions.toarray())
    assert grouped.stderr is None
    assert_allclose(grouped.base_value, hot.base_value, rtol=0, atol=1e-13)
    for name in ("intercept", "r2", "prediction", "status", "instance", "target", "effective_samples"):
        assert_array_equal(getattr(grouped, name), getattr(hot, name))
    for of in ("weights", "contributions"):
        assert_allclose(grouped.importance("mean_abs", of=of).values, np.abs(grouped.weights.toarray()).mean(axis=0))


def test_a_group_is_the_category_that_its_columns_stand_for(hot):
    """What a category contributes is its effect less the mean effect: for one column of text, and for its columns."""
    shares = HOT[COLUMNS].mean()
    mean = sum(EFFECT[name[-1]] * shares[name] for name in COLUMNS)
    truth = np.abs([EFFECT[city] - mean for city in CITY[:200]]).mean()
    neighborhood = nlf.Binned.from_data(RAW, categorical=["city"], width=1e3)
    raw = nlf.NormLIME(of_raw, neighborhood, **OPTIONS).explain(RAW[:200]).importance("mean_abs", of="contributions")
    values = hot.grouped({"city": COLUMNS}).importance("mean_abs")
    assert values.feature_names == raw.feature_names == ("age", "city")
    assert values["city"] == pytest.approx(truth, rel=0.05)
    assert raw["city"] == pytest.approx(truth, rel=0.05)
    apart = hot.importance("mean_abs", of="contributions")
    assert sum(apart[name] for name in COLUMNS) > 1.3 * truth


def test_columns_that_cancel_count_as_nothing():
    X = np.random.default_rng(0).normal(size=(200, 4))
    explainer = nlf.NormLIME(lambda X: X[:, 0] + 5 * X[:, 1], nlf.Binned.from_data(X), n_features=3, rng=0)
    local = explainer.explain(X[:20])
    opposite = local.contributions.toarray()
    opposite[:, 3], opposite[:, 2] = -opposite[:, 1], 0.3 * opposite[:, 1]
    opposite[:, 1] -= opposite[:, 2]
    made = sparse.csr_array(opposite)
    local = replace(local, weights=made.copy(), contributions=made, stderr=None)
    grouped = local.grouped({"none": [1, 2, 3]})
    assert grouped.feature_names == ("0", "none")
    assert grouped.importance().counts[1] == 0
    assert_allclose(grouped.weights.toarray()[:, 0], opposite[:, 0])


def test_groups_of_names_and_numbers(hot, tmp_path):
    by_name, by_number = hot.grouped({"city": COLUMNS}), hot.grouped({"city": (np.arange(8) + 1).tolist()})
    assert_same(by_name, by_number)
    assert_same(hot.grouped({"city_A": COLUMNS}), replace(by_name, feature_names=("age", "city_A")))
    by_name.save(tmp_path / "grouped.npz")
    assert_same(nlf.LocalExplanations.load(tmp_path / "grouped.npz"), by_name)
    nothing = hot.grouped({})
    assert nothing.feature_names == tuple(HOT.columns)
    assert_array_equal(nothing.contributions.toarray(), hot.contributions.toarray())


BAD = {
    "list": ([COLUMNS], TypeError, r"^groups must be a dict of names to lists of columns, got \["),
    "number": ({3: COLUMNS}, TypeError, r"^groups must have text as names, got 3$"),
    "text": ({"city": "city_A"}, TypeError, r"^groups must have a list of columns for 'city', got 'city_A'$"),
    "unknown": ({"city": ["city_a"]}, KeyError, r"there is no feature 'city_a'; did you mean 'city_H'"),
    "too large": ({"city": [9]}, KeyError, r"there is no feature 9; use a number from 0 to 8"),
    "bool": ({"city": [True]}, TypeError, r"^a feature must be its number, got True$"),
    "shared": (
        {"a": COLUMNS[:2], "b": COLUMNS[1:3]},
        ValueError,
        r"^groups must not share columns, got 'city_B' twice, in 'a' and 'b'$",
    ),
    "twice": ({"a": ["age", 0]}, ValueError, r"^groups must not share columns, got 0 twice, in 'a'$"),
    "empty": ({"city": []}, ValueError, r"^groups must not be empty, got no columns for 'city'$"),
    "name": ({"age": COLUMNS}, ValueError, r"^groups must have names that no other column has, got 'age'$"),
}


@pytest.mark.parametrize(("groups", "error", "message"), BAD.values(), ids=BAD)
def test_bad_groups(hot, groups, error, message):
    with pytest.raises(error, match=message) as caught:
        hot.grouped(groups)
    assert "\n" not in str(caught.value)


def test_there_must_be_contributions():
    local = nlf.NormLIME(lambda X: X @ [1.0, 2.0], nlf.Gaussian(1.0), n_features=2, rng=0).explain(np.eye(2))
    with pytest.raises(ValueError, match=r"^contributions must be known, got none"):
        local.grouped({"both": [0, 1]})
