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
