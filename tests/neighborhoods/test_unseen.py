"""Rows with categories that the neighborhood's data does not have: explained, and counted in one warning."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from helpers.files import assert_same
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binom

import normlime_fast as nlf

RNG = np.random.default_rng(0)
TRAIN = pd.DataFrame({"age": RNG.normal(size=600), "work": RNG.choice(["a", "b", "c"], 600, p=[0.5, 0.3, 0.2])})
TRAIN["rank"] = RNG.choice([1, 5], 600)
ROWS = TRAIN[:6].assign(work=["z", "a", "b", "y", "z", "c"], rank=[1, 5, 3, 5, 1, 1])
MADE = {"gaussian": nlf.Gaussian.from_data, "pool": nlf.Pool.from_data, "binned": nlf.Binned.from_data}
CATEGORICAL = {"categorical": ["work", "rank"]}
WARNING = (
    "some rows have categories that the neighborhood's data does not have: "
    "'z' in column 'work' (2 rows), 'y' in column 'work' (1 row), 3 in column 'rank' (1 row)"
)


def model(rows):
    return rows["age"].to_numpy() + 2.0 * (rows["work"] == "b").to_numpy() - 3.0 * (rows["work"] == "z").to_numpy()


def explainer(kind, predict=model, data=TRAIN, **options):
    neighborhood = MADE[kind](data, **CATEGORICAL | options)
    return nlf.NormLIME(predict, neighborhood, n_features=None, n_samples=400, rng=0)


def explained(*how, rows=ROWS, **options):
    with pytest.warns(UserWarning, match="^some rows have categories") as caught:
        local = explainer(*how).explain(rows, **options)
    assert [str(one.message) for one in caught if "approximate" not in str(one.message)] == [WARNING]
    return local


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("dtype", [None, "category", "string"])
def test_all_rows_are_explained_and_one_warning_counts(kind, dtype):
    data, rows = TRAIN, ROWS
    if dtype is not None:
        both = pd.concat([TRAIN, ROWS]).astype({"work": dtype})
        data, rows = both[:600], both[600:]
    asked = []

    def recorded(some):
        asked.append(some.copy())
        return model(some)

    local = explained(kind, recorded, data, rows=rows)
    assert np.isin(local.status, [0, 10]).all()
    assert not (local.status[[0, 2, 3]] == 10).any()  # an unseen category is no rare one
    own = next(some for some in asked if len(some) == 6)
    assert_array_equal(own["work"].to_numpy(), rows["work"].to_numpy())
    for some in asked:
        pd.testing.assert_series_equal(some.dtypes.drop("rank"), rows.dtypes.drop("rank"))
    local = local[local.status == 0]
    if kind != "binned":  # age is linear and perturbed on its own
        weights = local.weights.toarray()
        assert_allclose(weights[:, 0], TRAIN["age"].std(ddof=0), rtol=0.4 if kind == "pool" else 0.1)


def test_gaussian_keeps_the_rows_own_category_in_half_of_the_samples():
    asked = []

    def recorded(some):
        asked.append(some.copy())
        return model(some)

    local = explained("gaussian", recorded)
    samples = asked[1][:400]  # of the first row
    assert len(asked[1]) == 2400
    least, most = binom.ppf([1e-5, 1 - 1e-5], 400, 0.5)
    assert least <= np.count_nonzero(samples["work"] == "z") <= most
    others = samples[samples["work"] != "z"]["work"].value_counts(normalize=True)
    assert set(others.index) == {"a", "b", "c"}
    for category, share in TRAIN["work"].value_counts(normalize=True).items():
        assert abs(others[category] - share) < 5 * np.sqrt(share * (1 - share) / 200)
    Z = np.stack(
        [samples["age"] - ROWS["age"].iloc[0], *(-(samples[c] != ROWS[c].iloc[0]) for c in ("work", "rank"))], 1
    )
    Z = np.column_stack([np.ones(400), Z / [TRAIN["age"].std(ddof=0), 1, 1]]).astype(float)
    expected = np.linalg.lstsq(Z, model(samples), rcond=None)[0]
    assert_allclose(local.weights.toarray()[0], expected[1:], rtol=1e-5, atol=1e-6)  # z is float32


@pytest.mark.parametrize("kind", ["pool", "binned"])
def test_no_shared_point_has_the_category(kind):
    """Only the instance itself has it, so that its weight is what the other columns leave of its own output."""
    asked = []

    def recorded(some):
        asked.append(some.copy())
        return model(some)

    local = explained(kind, recorded)
    assert not np.isin(np.concatenate([some["work"] for some in asked if len(some) != 6]), ["y", "z"]).any()
    assert_allclose(local.intercept[[0, 3, 4]], model(ROWS)[[0, 3, 4]], rtol=1e-9)
    assert_allclose(local.base_value + local.contributions.sum(axis=1), local.intercept, rtol=1e-12)


@pytest.mark.parametrize("kind", MADE)
def test_arrays(kind):
    data, rows = (frame.drop(columns="work").to_numpy() for frame in (TRAIN, ROWS))
    neighborhood = MADE[kind](data, categorical=[1])
    linear = nlf.NormLIME(lambda X: X @ [1.0, 2.0], neighborhood, n_features=None, n_samples=400, rng=0)
    with pytest.warns(UserWarning, match=r"does not have: 3 in column 1 \(1 row\)$"):
        local = linear.explain(rows)
    assert len(local) == 6
    if kind == "gaussian":  # the others are 1 and 5, about as often
        assert local.weights.toarray()[2, 1] == pytest.approx(2 * (3 - data[:, 1].mean()), abs=0.6)
    with pytest.raises(ValueError, match=r"^X must have known categories in column 1, got 3\.0 in row 2; "):
        nlf.NormLIME(pytest.fail, MADE[kind](data, categorical=[1], unseen="raise")).explain(rows)


@pytest.mark.parametrize("kind", MADE)
def test_blocks_executors_and_streams_count_alike(kind):
    expected = explained(kind)
    with ThreadPoolExecutor(2) as executor:
        assert_same(explained(kind, executor=executor, block_size=2), expected)
    with pytest.warns(UserWarning, match="^some rows") as caught:
        statistics = explainer(kind).statistics([ROWS[:2], ROWS[2:]])
    assert WARNING in [str(one.message) for one in caught]
    assert_allclose(statistics.importance().values, expected.importance().values, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:of 6 explanations, 1 empty")
def test_rows_that_are_skipped_are_not_counted():
    rows = ROWS.assign(age=[np.inf, *ROWS["age"][1:]])
    with pytest.warns(UserWarning, match="^some rows have") as caught:
        local = explainer("gaussian").explain(rows, on_error="skip")
    assert local.status.tolist() == [9, 0, 0, 0, 0, 0]
    assert "'z' in column 'work' (1 row)" in "".join(str(one.message) for one in caught)


@pytest.mark.parametrize("kind", MADE)
def test_known_categories_are_not_warned_of(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer(kind, unseen="raise").explain(TRAIN[:5])
        explainer(kind).explain(TRAIN[:5])


def test_bins_describe_it_and_bins_as_features_refuse_it():
    binned = nlf.Binned.from_data(TRAIN, **CATEGORICAL)
    assert [names[1:] for names in binned.describe(ROWS[:3])] == [
        ["work = another", "rank = 1"],
        ["work = a", "rank = 5"],
        ["work = b", "rank = another"],
    ]
    bins = nlf.Binned.from_data(TRAIN, **CATEGORICAL, features="bin")
    with pytest.raises(ValueError, match=r"^X must have known categories in column 'work', got 'z' in row 0; "):
        nlf.NormLIME(pytest.fail, bins).explain(ROWS)


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("unseen", ["warn", None, 1])
def test_bad_arguments(kind, unseen):
    with pytest.raises(ValueError, match=r'^unseen must be "explain" or "raise", got'):
        MADE[kind](TRAIN, **CATEGORICAL, unseen=unseen)


def test_many_are_named_by_the_most_frequent():
    rows = TRAIN[:30].assign(work=["x"] * 10 + [f"c{k}" for k in range(20)])
    with pytest.warns(UserWarning, match=r"does not have: 'x' in column 'work' \(10 rows\), .* and 18 more$"):
        explainer("gaussian").explain(rows)
