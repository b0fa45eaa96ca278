"""A Gaussian neighborhood with categories, which are drawn anew and seen as the instance's or another."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

import normlime_fast as nlf

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"age": 40 + 10 * RNG.normal(size=300), "pay": RNG.normal(size=300).astype(np.float32)})
FRAME["work"] = np.array(["private", "state", "self"])[RNG.choice(3, 300, p=[0.6, 0.3, 0.1])]
FRAME["rank"] = RNG.choice([1, 7], 300)
FRAME["size"] = pd.Categorical(RNG.choice(["S", "L"], 300), ["S", "M", "L"], ordered=True)
CATEGORICAL = {"categorical": ["size", "work", 3]}
SCALE = FRAME[["age", "pay"]].to_numpy(float).std(axis=0)


def additive(rows):
    effects = 4.0 * (rows["work"] == "self") + 2.0 * (rows["rank"] == 7) - 3.0 * (rows["size"] == "L")
    return 0.5 * rows["age"] - rows["pay"].astype(float) + effects


def bonus(rows):
    return rows["age"] + 10.0 * (rows["shop"] == "rare")


def explain(X=FRAME[:8], predict=additive, how=None, **options):
    options = {"n_features": None, "n_samples": 500, "rng": 0} | options
    return nlf.NormLIME(predict, nlf.Gaussian.from_data(FRAME, **CATEGORICAL, **how or {}), **options).explain(X)


def samples(X=FRAME[:4], **options):
    """What the model is asked about each instance."""
    asked = []

    def predict(rows):
        asked.append(rows.copy())
        return additive(rows)

    local = explain(X, predict, **options)
    together = pd.concat(asked[1:])
    return [together[k : k + 500] for k in range(0, len(together), 500)], local


@pytest.mark.parametrize("how", [{}, {"sampling": "sobol"}], ids=str)
@pytest.mark.parametrize("options", [{}, {"n_jobs": 2, "batch_size": 1200}, {"shared_samples": 4}], ids=str)
def test_an_additive_model_has_its_own_weights(how, options):
    """Exactly where there are two categories; of three, "self" is all to a self-employed, and the others differ by

    whether they draw "self", which is no function of z: least squares knows the difference of two means, of 500 * 0.6
    and 500 * 0.4 samples, whose "self" share is 0.1 / 0.4 and 0.1 / 0.7 at most: 4 * sqrt(0.25 * 0.75 / 150) each.
    """
    X = FRAME[FRAME["work"] == "self"][:8]
    local = explain(X, how=how, **options)
    ranks, sizes = np.where(X["rank"] == 7, 2.0, -2.0), np.where(X["size"] == "L", -3.0, 3.0)
    expected = np.column_stack([np.full((8, 2), SCALE * [0.5, -1]), np.full(8, 4.0), ranks, sizes])
    # the age reaches the model as float64 and the pay as float32, at a rounding of 2^-24 of some 3 units
    assert_allclose(local.weights.toarray(), expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    assert_allclose(local.intercept, additive(X), rtol=1e-6)
    private = explain(FRAME[FRAME["work"] == "private"][:8], how=how, **options).weights.toarray()[:, 2]
    share = np.mean(FRAME["work"] == "self") / np.mean(FRAME["work"] != "private")
    # of some 200 samples that are not "private", five standard errors
    assert_allclose(private, -4 * share, atol=5 * 4 * np.sqrt(share * (1 - share) / 150))


def test_samples_have_the_dtypes_and_categories_of_the_instances():
    asked, _ = samples()
    for rows in asked:
        pd.testing.assert_series_equal(rows.dtypes, FRAME.dtypes)
        assert set(rows["work"]) == {"private", "state", "self"}
        assert set(rows["rank"]) == {1, 7}
        assert set(rows["size"]) == {"S", "L"}


@pytest.mark.parametrize("sampling", ["iid", "sobol"])
def test_categories_are_drawn_by_their_shares_and_by_themselves(sampling):
    asked, _ = samples(FRAME[:20], how={"sampling": sampling, "keep": 0.0})
    drawn = pd.concat(asked)
    for column in ("work", "rank", "size"):
        for category, share in FRAME[column].value_counts(normalize=True).items():
            # five standard errors of a share of 20 times 500 samples, as all below
            assert np.mean(drawn[column] == category) == pytest.approx(share, abs=5 * np.sqrt(share / 10_000))
    indicators = [drawn["work"] == "state", drawn["rank"] == 7, drawn["size"] == "L"]
    pairs = np.corrcoef(
        [*indicators, np.repeat(0, 10_000) + drawn["age"] - np.repeat(FRAME["age"][:20], 500).to_numpy()]
    )
    assert_allclose(pairs, np.eye(4), atol=5 / np.sqrt(10_000))


def test_half_of_the_samples_keep_the_category_of_the_instance():
    asked, _ = samples(FRAME[:20])
    for column in ("work", "rank", "size"):
        kept = np.array([rows[column].to_numpy() == x for rows, x in zip(asked, FRAME[column][:20], strict=True)])
        assert kept.mean() == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / 10_000))  # five standard errors


@pytest.mark.parametrize("sampling", ["iid", "sobol"])
def test_the_effect_of_a_category_of_share_1e_4_is_found_by_every_seed(sampling):
    X = pd.DataFrame({"age": np.random.default_rng(0).normal(size=20_000), "shop": "big"})
    X.loc[:1, "shop"] = "rare"
    neighborhood = nlf.Gaussian.from_data(X, categorical=["shop"], sampling=sampling)
    for seed in range(20):
        explainer = nlf.NormLIME(bonus, neighborhood, n_features=1, n_samples=2000, rng=seed)
        weights = explainer.explain(X[:1]).weights.toarray()[0]
        # age is noise of 1 in 2,000 samples, half of them with the category; five standard errors of the difference
        assert_allclose(weights, [0, 10], atol=5 * np.sqrt(4 / 2000))


@pytest.mark.parametrize("keep", [-0.1, 1.0, 1.5, np.nan, "half", None])
def test_bad_keep(keep):
    with pytest.raises((TypeError, ValueError), match=r"^keep must be (below 1|finite and at least 0|a number)"):
        nlf.Gaussian.from_data(FRAME[["age", "pay"]], keep=keep)


def test_continuous_columns_are_those_of_a_neighborhood_without_categories():
    X = FRAME[["age", "pay"]]
    asked = []

    def predict(rows):
        asked.append(rows.to_numpy(float))
        return rows["age"] - rows["pay"]

    nlf.NormLIME(predict, nlf.Gaussian.from_data(X), n_features=None, n_samples=500, rng=0).explain(X[:4])
    with_categories, _ = samples()
    moved = [rows[["age", "pay"]].to_numpy(float) - X.iloc[k].to_numpy(float) for k, rows in enumerate(with_categories)]
    alone = asked[1].reshape(4, 500, 2) - X[:4].to_numpy(float)[:, None]
    assert_allclose(np.array(moved).std(axis=1), alone.std(axis=1), rtol=0.2)  # sqrt(1 / 1000), five times, and more


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_shared_samples_share_draws_but_not_what_they_mean(keep):
    """Instances of a set draw the same categories, or keep their own at the same time."""
    X = FRAME[:8]
    asked, shared = samples(X, how={"keep": keep}, shared_samples=4)
    for column in ("work", "rank", "size"):
        drawn = [rows[column].to_numpy() for rows in asked]
        if keep:
            drawn = [rows == x for rows, x in zip(drawn, X[column], strict=True)]
        for first in (0, 4):
            for k in range(first + 1, first + 4):
                assert_array_equal(drawn[k], drawn[first])
        assert (drawn[0] != drawn[4]).any()
    for k, rows in enumerate(asked):  # the same as of samples of its own: least squares on what it was shown
        x = X.iloc[k]
        matches = [rows[column].to_numpy() == x[column] for column in ("work", "rank", "size")]
        moved = (rows[["age", "pay"]].to_numpy(float) - x[["age", "pay"]].to_numpy(float)) / SCALE
        Z = np.column_stack([moved, np.array(matches).T - 1.0])
        fitted = nlf.fit_surrogates(Z, additive(rows), n_features=None)
        # z of float32 columns is what float32 has left of them
        assert_allclose(shared.weights[[k]].toarray(), fitted.coef, rtol=0, atol=1e-5 * np.abs(fitted.coef).max())


@pytest.mark.parametrize("options", [{"n_jobs": 2}, {"batch_size": 700}, {"batch_size": 37}], ids=str)
def test_shared_samples_are_the_same_however_they_are_cut(options):
    expected = explain(shared_samples=3)
    local = explain(shared_samples=3, **options)
    assert_array_equal(local.weights.toarray(), expected.weights.toarray())


def test_numbers_as_categories_of_an_array():
    X = np.column_stack([RNG.normal(size=100), RNG.choice([0.5, 3.0], 100)])
    gaussian = nlf.Gaussian.from_data(X, categorical=[1])
    assert_array_equal(gaussian.scale != 0, [True, False])
    explainer = nlf.NormLIME(lambda X: X[:, 0] * 2 + X[:, 1], gaussian, n_features=None, n_samples=100, rng=0)
    expected = np.column_stack([np.full(9, 2 * X[:, 0].std()), np.where(X[:9, 1] == 3, 2.5, -2.5)])
    assert_allclose(explainer.explain(X[:9]).weights.toarray(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (
            FRAME.assign(work="none"),
            ValueError,
            r"^X must have known categories in column 'work', got 'none' in row 0;",
        ),
        (FRAME.assign(rank=3), ValueError, r"^X must have known categories in column 'rank', got 3 in row 0;"),
        (FRAME.assign(work=None), ValueError, r"^X must have known categories in column 'work', got "),
        (FRAME.assign(age="old"), TypeError, r"^X must hold real numbers, got column 'age'"),
        (FRAME.iloc[:, :4], ValueError, r"^X must have the columns .*, got none of "),
        (np.zeros((2, 5)), TypeError, r"^X must be a DataFrame, as column 2 has the categories"),
    ],
)
def test_bad_instances(X, error, message):
    def never(rows):
        raise AssertionError("the model was asked")

    with pytest.raises(error, match=message) as caught:
        explain(X, never, how={"unseen": "raise"})
    assert "\n" not in str(caught.value)


# --- names of columns

NUMBERS = pd.DataFrame(RNG.normal(size=(50, 3)), columns=list("abc"))
SPREADS = NUMBERS.std()
NAMED = {
    "Gaussian.from_data": lambda: nlf.Gaussian.from_data(NUMBERS),
    "Gaussian of a Series": lambda: nlf.Gaussian(SPREADS),
    "Mask.from_data": lambda: nlf.Mask.from_data(NUMBERS),
    "Mask of a Series": lambda: nlf.Mask(NUMBERS.mean()),
}
POOLS = {
    "Pool.from_data": lambda: nlf.Pool.from_data(NUMBERS),
    "Pool.gaussian": lambda: nlf.Pool.gaussian(NUMBERS.mean(), SPREADS),
}


def of_numbers(neighborhood, X, predict):
    return nlf.NormLIME(predict, neighborhood, n_features=None, n_samples=50, rng=0).explain(X)


@pytest.mark.parametrize("name", NAMED | POOLS)
@pytest.mark.parametrize(
    ("X", "got"),
    [
        (NUMBERS[list("cab")], "another order"),
        (NUMBERS[list("ab")], r"none of \['c'\]"),
        (NUMBERS.assign(d=1.0), r"\['d'\]"),
        (NUMBERS.rename(columns={"b": "B"}), r"none of \['b'\]"),
    ],
)
def test_columns_must_be_those_it_was_made_of(name, X, got):
    def never(rows):
        raise AssertionError("the model was asked")

    message = rf"^X must have the columns that the neighborhood was made of, \['a', 'b', 'c'\], got {got}$"
    with pytest.raises(ValueError, match=message):
        of_numbers((NAMED | POOLS)[name](), X[:4], never)


@pytest.mark.parametrize("name", NAMED)
def test_an_array_has_no_names_to_compare(name):
    def predict(rows):
        return np.asarray(rows) @ [1.0, 2.0, 4.0]

    X = NUMBERS[:4]
    expected, local = (of_numbers(NAMED[name](), rows, predict) for rows in (X, X.to_numpy()))
    assert_array_equal(local.weights.toarray(), expected.weights.toarray())
    assert local.weights.nnz == 12
    assert (expected.feature_names, local.feature_names) == (("a", "b", "c"), None)


def test_mean_and_scale_of_a_pool_must_have_one_order():
    with pytest.raises(ValueError, match=r"^scale must have the columns .* \['a', 'b', 'c'\], got another order$"):
        nlf.Pool.gaussian(NUMBERS.mean(), SPREADS[::-1])


@pytest.mark.parametrize("columns", [[1], (1,), "work", {1: ["a"]}], ids=str)
def test_columns_are_those_of_from_data(columns):
    with pytest.raises(TypeError, match=r"^columns must be those of from_data, got "):
        nlf.Gaussian(1.0, columns=columns)


def test_a_model_that_needs_integers_is_told_of_from_data():
    """Without columns the model gets decimals, and fails as an index does; made from data, they stay whole."""
    weeks = pd.DataFrame({"week": np.arange(50), "price": np.linspace(0.5, 9.5, 50)})
    season = lambda rows: np.sin(np.arange(50))[rows["week"].to_numpy()]  # noqa: E731
    with pytest.raises(IndexError) as caught:
        nlf.NormLIME(season, nlf.Gaussian(1.0), n_features=2, n_samples=100, rng=0).explain(weeks[:3])
    assert caught.value.__notes__[-1] == (
        "normlime_fast: the model got the integers in 'week' as decimals; Gaussian.from_data keeps them whole"
    )
    whole = nlf.NormLIME(season, nlf.Gaussian.from_data(weeks), n_features=2, n_samples=100, rng=0).explain(weeks[:3])
    assert (whole.status == 0).all()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (pd.DataFrame({"a": np.arange(40) + 0.5}), nlf.Binned),
        (np.arange(40.0).reshape(20, 2), nlf.Binned),
        ([[0.5, 1.0], [1.5, 3.0]], nlf.Binned),
        (sparse.csr_array(np.eye(3)), nlf.Mask),
        (["one text", "and another"], nlf.Mask),
        (pd.Series(["one text", "and another"]), nlf.Mask),
        (np.ones((4, 8, 8)), nlf.Mask),
    ],
    ids=["frame", "array", "lists", "csr", "texts", "series", "images"],
)
def test_training_data_in_place_of_a_neighborhood(data, kind):
    assert type(nlf.NormLIME(np.zeros_like, data).neighborhood) is kind
