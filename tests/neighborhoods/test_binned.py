"""Tables in bins and categories: lime's own weights on lime's own points, and bins by name."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from helpers.reference import lime_weights
from lime.lime_tabular import LimeTabularExplainer
from numpy.testing import assert_allclose, assert_array_equal

import normlime_fast as nlf

RNG = np.random.default_rng(0)
DATA = RNG.normal([3, -2, 0, 1, 50], [1, 5, 2, 0.1, 1], (400, 5)).round(3)
DATA[:, 2] = RNG.choice([0, 1, 5], 400, p=[0.5, 0.3, 0.2])
FRAME = pd.DataFrame({"age": np.floor(20 + 60 * RNG.random(400)), "pay": DATA[:, 1].astype(np.float32)})
FRAME["work"] = np.array(["private", "state", "self"])[RNG.choice(3, 400, p=[0.6, 0.3, 0.1])]
FRAME["rank"] = pd.Categorical(RNG.integers(1, 4, 400), [3, 2, 1])
CATEGORICAL = {"categorical": ["work", "rank"]}


def model(rows):
    v = np.asarray(rows, np.float64)
    scores = np.stack([v[:, 0] * v[:, 1], (v[:, 2] == 1) + np.abs(v[:, 3]) * 5, v[:, 0] - 0.1 * v[:, 1] ** 2], axis=1)
    return np.exp(scores / 10) / np.exp(scores / 10).sum(axis=1, keepdims=True)


def frame_model(rows):
    codes = rows["work"].map({"private": 0.0, "state": 1.0, "self": 4.0}).to_numpy()
    return 0.1 * rows["age"] + np.abs(rows["pay"]) * codes - rows["rank"].to_numpy(float) ** 2


def explain(binned, X, predict=frame_model, **options):
    options = {"n_features": None, "n_samples": 300, "targets": "all", "rng": 0} | options
    return nlf.NormLIME(predict, binned, **options).explain(X)


class Given(nlf.Binned):
    """Points that are given instead of drawn."""

    def _points(self, seed, n_samples):
        return replace(self._data, values=GIVEN[-1][1:])


GIVEN = []


# --- lime


@pytest.mark.parametrize(("quantiles", "discretizer"), [(4, "quartile"), (10, "decile")])
@pytest.mark.parametrize("selection", ["lasso_path", "highest_weights"])
@pytest.mark.parametrize("K", [1, 3, 5])
def test_weights_are_limes_on_the_points_that_lime_draws(selection, K, quantiles, discretizer):
    lime = LimeTabularExplainer(
        DATA, discretizer=discretizer, categorical_features=[2], feature_selection=selection, random_state=1
    )
    binned = nlf.Binned.from_data(DATA, categorical=[2], quantiles=quantiles, draw="normal")
    binned = Given(*[getattr(binned, field.name) for field in fields(binned)])
    for x in DATA[:8]:

        def recorded(rows):
            GIVEN.append(rows.copy())
            return model(rows)

        theirs = lime.explain_instance(x, recorded, labels=(0, 1, 2), num_features=K, num_samples=400)
        options = {"n_features": K, "selection": selection, "standardize": False}
        local = explain(binned, x[None], model, n_samples=399, ridge=1.0, **options)
        for target in range(3):
            expected = lime_weights(theirs, target, 5)
            weights = local.weights[[target]].toarray()[0]
            assert_array_equal(weights != 0, expected != 0)
            # z is -1 or 0: no digit is lost, and 1e-9 is far above 400 roundings
            assert_allclose(weights, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
        assert_allclose(local.r2[2], theirs.score, rtol=1e-9)  # lime keeps these of the last label only
        assert_allclose(local.intercept[2], theirs.local_pred[0], rtol=1e-9)
        names = [name.split("=")[-1].strip() for name in binned.describe(x[None])[0]]
        assert names[2] == f"{x[2]:g}"


# --- points and weights


def test_points_are_drawn_by_frequency_and_asked_about_once():
    asked = []

    def recorded(rows):
        asked.append(rows.copy())
        return frame_model(rows)

    binned = nlf.Binned.from_data(FRAME, **CATEGORICAL, n_sets=1)
    local = explain(binned, FRAME[:7], recorded, n_samples=3000, n_jobs=2)
    points = asked[0]
    assert [len(rows) for rows in asked] == [3000, 7]
    for rows in asked:
        pd.testing.assert_series_equal(rows.dtypes, FRAME.dtypes)
    described, learned = (np.array(binned.describe(rows)) for rows in (points, FRAME))
    instances = np.array(binned.describe(FRAME[:7]))
    for j in range(4):
        for name in np.unique(learned[:, j]):
            share = np.mean(learned[:, j] == name)
            # five standard errors of a share
            assert np.mean(described[:, j] == name) == pytest.approx(share, abs=5 * np.sqrt(share / 3000))
    for k in range(7):  # lime's kernel, of the number of columns that differ
        squares = np.append(0, (described != instances[k]).sum(axis=1))
        p = np.sqrt(np.exp(-squares / (0.75 * np.sqrt(4)) ** 2))
        assert local.effective_samples[k] == pytest.approx(p.sum() ** 2 / (p**2).sum(), rel=1e-9)


def test_the_weight_of_a_bin_is_its_effect():
    """Of two bins, exactly: the model is constant inside of them."""
    edges = {"age": [50], "pay": [0.0]}
    binned = nlf.Binned.from_data(FRAME[["age", "pay"]], edges=edges)
    local = explain(binned, FRAME[["age", "pay"]][:20], lambda X: 3.0 * (X["age"] > 50) - 1.0 * (X["pay"] > 0))
    inside = [np.where(FRAME["age"][:20] > 50, 3.0, -3.0), np.where(FRAME["pay"][:20] > 0, -1.0, 1.0)]
    assert_allclose(local.weights.toarray(), np.transpose(inside), rtol=1e-9)


# --- bins by name


def test_describe():
    X = pd.DataFrame({"age": [20, 30, 40, 50], "work": ["private", "private", "state", "self"], "code": [1, 1, 2, 7]})
    binned = nlf.Binned.from_data(X, categorical=["work", 2], edges={"age": [25.5, 37]})
    assert binned.describe(X.iloc[[0, 2, 3]]) == [
        ["age <= 25", "work = private", "code = 1"],
        ["age >= 38", "work = state", "code = 2"],
        ["age >= 38", "work = self", "code = 7"],
    ]
    more = X.iloc[:1].assign(age=37)
    assert binned.describe(more) == [["26 <= age <= 37", "work = private", "code = 1"]]
    assert nlf.Binned.from_data(X[["age"]], quantiles=2).describe(more[["age"]]) == [["age >= 36"]]


@pytest.mark.parametrize("K", [None, 2])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_weights_by_bin_are_those_by_column_in_another_place(K, n_jobs):
    X = FRAME[:40]
    options = {"n_features": K, "n_jobs": n_jobs}
    by_column = explain(nlf.Binned.from_data(FRAME, **CATEGORICAL, quantiles=4), X, **options)
    binned = nlf.Binned.from_data(FRAME, features="bin", **CATEGORICAL, quantiles=4)
    by_bin = explain(binned, X, **options)
    names = np.array(by_bin.feature_names)
    assert len(set(names)) == len(names) == 4 + 4 + 3 + 3
    columns = np.repeat(range(4), [4, 4, 3, 3])
    expected, got = by_column.weights.toarray(), by_bin.weights.toarray()
    for row, described in enumerate(binned.describe(X)):
        for j, name in enumerate(described):
            assert got[row, names == name] == expected[row, j]
            assert np.count_nonzero(got[row, columns == j]) <= 1
    for field in ("intercept", "r2", "prediction", "status", "effective_samples"):
        assert_array_equal(getattr(by_bin, field), getattr(by_column, field))


def test_importance_by_bin():
    """A bin's is the mean over the explanations of instances in it, and a column's the mean over its bins'."""
    X = FRAME[:40]
    binned = nlf.Binned.from_data(FRAME, features="bin", **CATEGORICAL, quantiles=4)
    by_bin = explain(binned, X, n_features=2)
    importance = by_bin.importance()
    by_column = explain(nlf.Binned.from_data(FRAME, **CATEGORICAL, quantiles=4), X, n_features=2).importance()
    described, W = np.array(binned.describe(X)), np.abs(by_bin.weights.toarray())
    contributions = W**2 / W.sum(axis=1, keepdims=True)  # |c| times its share
    for k, name in enumerate(importance.feature_names):
        used = (described == name).any(axis=1) & (W[:, k] > 0)
        assert importance.counts[k] == used.sum()
        expected = contributions[used, k].mean() if used.any() else 0.0
        assert importance.values[k] == pytest.approx(expected, rel=1e-12)
    sums = np.add.reduceat(importance.values * importance.counts, [0, 4, 8, 11])
    assert_allclose(sums, by_column.values * by_column.counts, rtol=1e-12)
    assert_array_equal(np.add.reduceat(importance.counts, [0, 4, 8, 11]), by_column.counts)


# --- bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"quantiles": 1}, ValueError, r"^quantiles must be at least 2, got 1$"),
        ({"quantiles": "many"}, TypeError, r"^quantiles must be an integer, got 'many'$"),
        ({"edges": {"wage": [1]}}, ValueError, r"^edges must be of columns of X, by name or position, got 'wage'$"),
        ({"edges": {7: [1]}}, ValueError, r"^edges must be of columns of X, by name or position, got 7$"),
        ({"edges": {"age": [60, 40]}}, ValueError, r"^edges of column age must ascend, got \[60.0, 40.0\]$"),
        (
            {"edges": {"age": [200]}},
            ValueError,
            r"^edges must leave training rows in every bin, got none in the bin age >",
        ),
        ({"edges": {"age": [np.nan]}}, ValueError, r"^edges of column age must be finite"),
        ({"edges": {"age": []}}, ValueError, r"^edges of column age must not be empty"),
        (
            {"edges": {"work": [1]}},
            ValueError,
            r"^edges must be of columns of numbers, got the categorical column work",
        ),
        ({"edges": [1, 2]}, TypeError, r"^edges must be a dict of columns and their edges, got \[1, 2\]$"),
        ({"features": "row"}, ValueError, r"^features must be \"column\" or \"bin\", got 'row'$"),
        ({"categorical": ["job"]}, ValueError, r"^categorical must hold names or positions of columns of X, got 'job'"),
        ({"categorical": ["work", 2]}, ValueError, r"^categorical must not contain duplicates"),
        ({"numeric": ["work"]}, ValueError, r"^numeric must not have columns that categorical has, got 'work'$"),
        (
            {"categorical": [], "numeric": ["work"]},
            TypeError,
            r"^numeric must name columns of numbers, got column 'work' of",
        ),
        ({"width": 0}, ValueError, r"^width must be larger than 0, got 0.0$"),
        ({"kernel": "cosine"}, ValueError, r"^kernel must be \"gaussian\", .* got 'cosine'$"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message) as caught:
        nlf.Binned.from_data(FRAME, **CATEGORICAL | options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (
            FRAME.assign(work="none"),
            ValueError,
            r"^X must have known categories in column 'work', got 'none' in row 0;",
        ),
        (FRAME.assign(rank=9), ValueError, r"^X must have known categories in column 'rank', got 9 in row 0;"),
        (FRAME[["pay", "age", "work", "rank"]], ValueError, r"^X must have the columns that the neighborhood was made"),
        (FRAME[["age", "pay", "work"]], ValueError, r"^X must have the columns .*, got none of "),
        (FRAME.assign(age=np.inf), ValueError, r"^X must be finite, got 400 infinite values in column 'age'"),
        (FRAME.assign(age=np.nan), ValueError, r"^X must have known .* column 'age', got a missing value in row 0"),
        (DATA[:, :4], TypeError, r"^X must be a DataFrame, as column 2 has the categories"),
    ],
)
def test_instances_that_do_not_fit(X, error, message):
    binned = nlf.Binned.from_data(FRAME, **CATEGORICAL, unseen="raise")

    def never(rows):
        raise AssertionError("the model was asked")

    for call in (binned.describe, lambda X: explain(binned, X, never)):
        with pytest.raises(error, match=message) as caught:
            call(X)
        assert "\n" not in str(caught.value)


def test_a_category_unseen_in_a_stream_is_told_of_with_its_batch():
    binned = nlf.Binned.from_data(FRAME, **CATEGORICAL, unseen="raise")
    explainer = nlf.NormLIME(frame_model, binned, n_features=3, n_samples=100, rng=0)
    with pytest.raises(ValueError, match=r"^batch must have known categories .* got 'none' in row 0") as caught:
        explainer.statistics(iter([FRAME[:5], FRAME[5:9].assign(work="none")]))
    assert "this is batch 1 of the stream, which begins with row 5" in " ".join(caught.value.__notes__)
