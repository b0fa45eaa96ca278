"""Flags and rare categories: a feature counts by what it explains, not by how often it varies."""

import numpy as np
import pandas as pd
import pytest

import normlime_fast as nlf

KINDS = {"gaussian": nlf.Gaussian, "binned": nlf.Binned, "pool": nlf.Pool}


@pytest.mark.parametrize("selection", ["lasso_path", "highest_weights"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_rare_category_is_selected_beside_columns_of_noise(kind, selection):
    """f = 5 [plan is gold] + 0.1 (x_0 + ... + x_11), of 1 %, with room for 10 features of 13."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(20_000, 12)), columns=[f"x{j}" for j in range(12)])
    X["plan"] = np.where(rng.random(len(X)) < 0.01, "gold", "basic")

    def model(rows):
        return 5.0 * (rows["plan"] == "gold").to_numpy() + 0.1 * rows.iloc[:, :12].to_numpy(float).sum(axis=1)

    neighborhood = KINDS[kind].from_data(X, categorical=["plan"])
    explainer = nlf.NormLIME(model, neighborhood, n_features=10, n_samples=5000, selection=selection, rng=0)
    local = explainer.explain(X[X["plan"] == "gold"][:50])
    weights = local.weights.toarray()[:, 12]
    assert np.count_nonzero(weights) == 50
    # some 50 points of 5,000 have it in Binned and Pool, and the rest of the model has a deviation of 0.1 sqrt(12): ten
    # standard errors of a mean, as a pool's points do not weigh the same
    np.testing.assert_allclose(weights, 5, atol=10 * 0.35 / np.sqrt(50))
    for importance in (local.importance(), local.importance("mean_abs")):
        assert importance.top(1)[0].feature == "plan"


@pytest.mark.parametrize("keep", [0.0, 0.5])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.03])
def test_a_flag_of_any_share_counts_by_what_it_explains(share, keep):
    """A flag of effect a explains a^2 share (1 - share) of the variance of the samples: enough to be first, or not."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=20_000), "flag": (rng.random(20_000) < share).astype(float)})
    neighborhood = nlf.Gaussian.from_data(X, categorical=["flag"], keep=keep)
    deviation = keep or np.sqrt(share * (1 - share))
    rows = X[X["flag"] == 1][:10]
    for ratio, column in ((1.5, "flag"), (0.6, "x")):

        def model(rows, effect=ratio / deviation):
            return rows["x"].to_numpy() + effect * rows["flag"].to_numpy()

        local = nlf.NormLIME(model, neighborhood, n_features=1, n_samples=5000, rng=0).explain(rows)
        assert [local.feature_names[j] for j in local.weights.indices] == [column] * 10


def test_many_categories_have_their_own_effects():
    """Each of 500 has an effect of its own: its weight is that less the mean of the others, by their shares."""
    rng = np.random.default_rng(0)
    code, effect = rng.integers(500, size=20_000), 3 * rng.normal(size=500)
    X = pd.DataFrame({"amount": rng.normal(size=20_000), "shop": [f"s{c:03d}" for c in code]})
    effects = dict(zip((f"s{c:03d}" for c in range(500)), effect, strict=True))

    def model(rows):
        return rows["amount"].to_numpy() + rows["shop"].map(effects).to_numpy(float)

    neighborhood = nlf.Gaussian.from_data(X, categorical=["shop"])
    local = nlf.NormLIME(model, neighborhood, n_features=2, n_samples=5000, rng=0).explain(X[:100])
    shares = np.bincount(code, minlength=500) / len(code)
    own = shares[code[:100]]
    others = (shares @ effect - own * effect[code[:100]]) / (1 - own)
    # half of the samples have other shops, of deviation 3; five standard errors
    expected = effect[code[:100]] - others
    np.testing.assert_allclose(local.weights.toarray()[:, 1], expected, rtol=0, atol=5 * 3 / np.sqrt(2500))


@pytest.mark.filterwarnings("ignore:of 1 explanations, 1 approximate because fewer than 10 points share:UserWarning")
@pytest.mark.parametrize(("row", "effect", "statuses"), [(0, 10.0, {10}), (2, -10.0, {0, 10})])
@pytest.mark.parametrize("kind", ["binned", "pool"])
def test_explanations_of_what_few_points_have_say_so(kind, row, effect, statuses):
    """A shop of 2 rows in 20,000, which adds 10, and one of 40, which takes 10: some 0.5 and 10 of 5,000 points."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"amount": rng.normal(size=20_000), "shop": rng.choice(["a", "b", "c"], 20_000)})
    X.loc[:1, "shop"], X.loc[2:41, "shop"] = "two", "forty"
    X.loc[:2, "amount"] = 0.325  # the mean of its quartile bin, so that what Binned leaves of it is 0
    asked = []

    def model(rows):
        asked.append(rows["shop"].to_numpy().copy())
        return rows["amount"].to_numpy() + 10.0 * (asked[-1] == "two") - 10.0 * (asked[-1] == "forty")

    found, weights = [], []
    for seed in range(20):
        asked.clear()
        explainer = nlf.NormLIME(model, KINDS[kind].from_data(X, categorical=["shop"]), n_features=2, rng=seed)
        local = explainer.explain(X[row : row + 1])
        points = max(asked, key=len)
        assert len(points) == 5000
        found.append(local.status[0])
        assert found[-1] == (10 if np.count_nonzero(points == X["shop"][row]) < 10 else 0)
        weights.append(local.weights.toarray()[0, 1])
    assert set(found) == statuses
    # bins leave deviations of at most 0.5 of the amount
    np.testing.assert_allclose(np.mean(weights), effect, atol=5 * 0.5 / np.sqrt(20))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("named", [["late"], []])
def test_a_flag_does_not_depend_on_where_trees_cut(kind, named):
    """Libraries cut 0 from 1 at 0.5, or at 1e-35, which divides noise around 0: a flag gets no noise, named or not."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"score": rng.normal(600, 80, 8000), "late": (rng.random(8000) < 0.03).astype(int)})
    width = {"width": 1.0} if kind == "pool" else {}  # so wide that rows without the flag see points that have it

    def explained(cut):
        def model(rows):
            return np.tanh((600 - rows["score"].to_numpy()) / 60) + 0.38 * (rows["late"].to_numpy() > cut)

        neighborhood = KINDS[kind].from_data(X, categorical=named, **width)
        return nlf.NormLIME(model, neighborhood, n_features=2, rng=0).explain(X[:200])

    low, middle = explained(1e-35), explained(0.5)
    np.testing.assert_array_equal(low.weights.toarray(), middle.weights.toarray())
    # all rows may share the points, and thus an error of one
    error = low.stderr.toarray()[:, 1].max()
    assert error < 0.07
    np.testing.assert_allclose(low.importance("mean_abs").values[1], 0.38, atol=5 * error)
