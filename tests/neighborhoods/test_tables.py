"""Tables as they are: numbers, whole numbers, a sentinel, flags, text, dates, and missing values among all of these."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pandas as pd
import polars as pl
import pytest
from helpers.reference import refit
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.stats import binom, chisquare

import normlime_fast as nlf

pytestmark = pytest.mark.filterwarnings("ignore:of .* approximate because fewer than 10 points share:UserWarning")

MICROSECONDS = 86_400e6  # of a day


def table(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "pay": rng.normal(50.0, 10.0, n),
            "age": rng.integers(18, 80, n),
            "score": rng.normal(600.0, 80.0, n).astype(np.float32),
            "flag": (rng.random(n) < 0.3).astype(np.int8),
            "work": rng.choice(["private", "state", "self"], n, p=[0.6, 0.3, 0.1]),
            "day": np.datetime64("2024-01-01", "s") + rng.integers(0, 365, n).astype("timedelta64[D]"),
            "gain": np.where(rng.random(n) < 0.7, 0.0, np.exp(rng.normal(5.0, 1.0, n))),
        }
    )
    X["pay"] = X["pay"].where(rng.random(n) >= 0.2)
    X["score"] = X["score"].where(rng.random(n) >= 0.15, np.float32(-999))
    X["work"] = X["work"].where(rng.random(n) >= 0.1, None)
    X["day"] = X["day"].where(rng.random(n) >= 0.1)
    return X


DATA = table()
NAMES = [*DATA]
ROWS = pd.concat(  # regular, missing, sentinel, all of them
    [
        DATA[DATA.pay.notna() & (DATA.score > 0) & DATA.work.notna() & DATA.day.notna()][:3],
        DATA[DATA.pay.isna()][:2],
        DATA[DATA.score < 0][:2],
        DATA[DATA.work.isna() & DATA.day.isna()][:2],
    ]
)
MADE = {"gaussian": nlf.Gaussian.from_data, "pool": nlf.Pool.from_data, "binned": nlf.Binned.from_data}
every_kind = pytest.mark.parametrize("kind", MADE)
every_library = pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
PLAIN = {"pandas": lambda frame: frame, "polars": pl.from_pandas, "pyarrow": lambda X: pl.from_pandas(X).to_arrow()}


def as_pandas(rows):
    """Rows of any library in the dtypes of DATA."""
    if isinstance(rows, pd.DataFrame):
        return rows
    return pl.DataFrame(rows).to_pandas().astype({"work": DATA["work"].dtype, "day": DATA["day"].dtype})


def model(rows):
    """Arithmetic row by row, in which every column counts, missing or not."""
    rows = as_pandas(rows)
    pay, age, score = (rows[name].to_numpy(np.float64) for name in ("pay", "age", "score"))
    value = np.where(np.isnan(pay), 1.0, (pay - 50) / 10) + np.sin(age / 10) + 0.2 * rows["flag"].to_numpy(float)
    value = value + np.where(score < 0, -1.0, (score - 600) / 200) + 0.7 * (rows["work"] == "state").to_numpy()
    value = value - 0.5 * rows["work"].isna().to_numpy() + 0.3 * rows["day"].isna().to_numpy()
    days = rows["day"].fillna(pd.Timestamp("2024-07-01")).to_numpy("datetime64[s]") - np.datetime64("2024-01-01")
    gain = np.abs(rows["gain"].to_numpy())
    return value + days / np.timedelta64(1, "D") / 365 + np.sqrt(gain) / 20


class Recorded:
    """A model that remembers what it is asked."""

    def __init__(self, predict=model):
        self.predict, self.asked = predict, []

    def __call__(self, rows):
        self.asked.append(rows.copy() if isinstance(rows, pd.DataFrame) else rows)
        return self.predict(rows)

    @property
    def samples(self):
        """All but the rows themselves."""
        return pd.concat([some for some in self.asked if len(some) != len(ROWS)], ignore_index=True)


def explainer(kind, predict=model, data=DATA, n_samples=300, neighborhood=None, **options):
    made = MADE[kind](data) if neighborhood is None else neighborhood
    return nlf.NormLIME(predict, made, **{"n_features": None, "n_samples": n_samples, "rng": 0} | options)


def test_what_the_columns_are():
    columns = nlf.Gaussian.from_data(DATA).columns
    kinds = ["number", "integer", "integer", "category", "category", "date", "number"]
    assert [column.kind for column in columns][:2] == kinds[:2]
    assert [column.kind for column in columns][3:] == kinds[3:]
    assert columns[2].special == (-999.0,)
    assert [column.missing > 0 for column in columns] == [True, False, False, False, True, True, False]


# --- weights against least squares on what the model got


def numbers(rows):
    """Columns as float64, dates as microseconds; a missing value is NaN, text its position in the alphabet."""
    rows = rows.copy()
    rows["work"] = rows["work"].map({"private": 0.0, "self": 1.0, "state": 2.0})
    day = rows["day"].to_numpy("datetime64[us]")
    rows["day"] = np.where(np.isnat(day), np.nan, day.astype(np.int64).astype(np.float64))
    return rows.to_numpy(np.float64)


TRAIN = numbers(DATA)
IS_CATEGORY = np.array([False, False, False, True, True, False, False])
SENTINEL = np.array([np.inf, np.inf, -999.0, np.inf, np.inf, np.inf, np.inf])


def is_state(values):
    return np.isnan(values) | (values == SENTINEL)


def same(values, x):
    return (values == x) | (np.isnan(values) & np.isnan(x))


REGULAR = np.where(is_state(TRAIN), np.nan, TRAIN)
SCALE = np.where(IS_CATEGORY, 1.0, np.nanstd(REGULAR, axis=0))


def standardised(values, x):
    """Differences in standard deviations; -1 for another category, or if one of both is in a state."""
    differs = np.where(same(values, x), 0.0, -1.0)
    apart = IS_CATEGORY | is_state(values) | is_state(x)
    with np.errstate(invalid="ignore"):
        return np.where(apart, differs, (values - x) / SCALE)


def check_fit(local, k, Z, y, p, rtol=2e-5):
    weights, intercept, r2 = refit(Z, y, p, np.flatnonzero((Z != 0).any(axis=0)))
    assert_allclose(local.weights[[k]].toarray()[0], weights, rtol=rtol, atol=rtol * np.abs(weights).max())
    assert local.intercept[k] == pytest.approx(intercept, rel=rtol, abs=rtol)
    assert local.r2[k] == pytest.approx(r2, rel=rtol)
    assert local.effective_samples[k] == pytest.approx(p.sum() ** 2 / (p**2).sum(), rel=1e-6)


@every_library
@pytest.mark.parametrize(("sampling", "shared"), [("iid", 1), ("sobol", 1), ("iid", 4)])
def test_gaussian_is_least_squares_on_its_samples(sampling, shared, library):
    convert = PLAIN[library]
    recorded = Recorded()
    neighborhood = nlf.Gaussian.from_data(convert(DATA), sampling=sampling)
    assert_allclose(neighborhood.scale[~IS_CATEGORY], SCALE[~IS_CATEGORY], rtol=1e-6)
    options = {"neighborhood": neighborhood, "n_samples": 512, "shared_samples": shared}
    local = explainer("gaussian", recorded, **options).explain(convert(ROWS))
    samples = pd.concat([as_pandas(some) for some in recorded.asked[1:]], ignore_index=True)
    for k in range(len(ROWS)):
        mine, x = samples[512 * k : 512 * (k + 1)], numbers(ROWS)[k]
        Z = standardised(numbers(mine), x)
        # where the row is in a state, a sample is in the same one or differs; a number may become a state, z = -1
        check_fit(local, k, Z, model(mine), np.ones(512))


@every_library
@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
def test_pool_is_weighted_least_squares_on_its_points(kernel, library):
    recorded, convert = Recorded(), PLAIN[library]
    pool = nlf.Pool.from_data(convert(DATA), kernel=kernel, width=1.5, n_sets=1)
    local = explainer("pool", recorded, neighborhood=pool).explain(convert(ROWS))
    (points,) = [as_pandas(some) for some in recorded.asked if len(some) == 300]
    values, own = numbers(points), numbers(ROWS)
    for k, x in enumerate(own):
        Z = np.vstack([np.zeros(7), standardised(values, x)])
        p = np.exp(-(Z**2).sum(axis=1) / (2 * 1.5**2))
        check_fit(local, k, Z, np.append(model(ROWS)[k], model(points)), p, rtol=1e-4)


def bins_by_hand(neighborhood, values):
    """Which bin each value is in: those of one value, missing or a category first, and intervals by their edges."""
    codes = np.empty(values.shape)
    for j, column in enumerate(neighborhood.bins.columns):
        if IS_CATEGORY[j]:
            codes[:, j] = np.where(np.isnan(values[:, j]), -1, values[:, j])
            continue
        codes[:, j] = (values[:, [j]] > column.edges).sum(axis=1)
        for position, number in enumerate(column.special):
            codes[same(values[:, j], number), j] = -1 - position
    return codes


@every_library
def test_binned_is_weighted_least_squares_on_its_points(library):
    recorded, convert = Recorded(), PLAIN[library]
    binned = nlf.Binned.from_data(convert(DATA), n_sets=1)
    local = explainer("binned", recorded, neighborhood=binned).explain(convert(ROWS))
    (points,) = [as_pandas(some) for some in recorded.asked if len(some) == 300]
    codes, own = bins_by_hand(binned, numbers(points)), bins_by_hand(binned, numbers(ROWS))
    for k in range(len(ROWS)):
        Z = np.vstack([np.zeros(7), np.where(codes == own[k], 0.0, -1.0)])
        p = np.exp(-(Z**2).sum(axis=1) / (2 * 0.75**2 * 7))
        check_fit(local, k, Z, np.append(model(ROWS)[k], model(points)), p)


def test_bins_of_a_mixed_table():
    """Missing values, the sentinel and zeros are bins of their own, the rest is cut into bins of equal shares."""
    binned = nlf.Binned.from_data(DATA)
    pay, age, score, flag, work, day, gain = binned.bins.columns
    for column, special in ((pay, [np.nan]), (age, []), (score, [-999]), (day, [np.nan]), (gain, [0.0])):
        assert_array_equal(column.special, special)
    assert [len(column.edges) + 1 for column in (pay, age, score, day, gain)] == [7, 8, 7, 8, 3]
    assert (len(flag.names), len(work.names)) == (2, 4)
    for column, values in zip(binned.bins.columns, TRAIN.T, strict=True):
        shares = np.bincount(column.codes(values).astype(int), minlength=len(column.names)) / len(DATA)
        assert_allclose(column.frequencies, shares, rtol=1e-12)
    described = binned.describe(ROWS)
    assert described[3][0] == "pay is missing"
    assert described[5][2] == "score = -999"
    assert described[7][4:6] == ["work is missing", "day is missing"]
    assert {one[6] for one in binned.describe(DATA[DATA.gain == 0][:5])} == {"gain = 0"}
    assert {one[6] for one in binned.describe(DATA[DATA.gain > 0])} == set(gain.names) - {"gain = 0"}


# --- shares of what is drawn


def check_share(held, share):
    """Binomial: outside of its central interval of probability 1 - 1e-9 by chance never."""
    low, high = binom.interval(1 - 1e-9, len(held), share)
    assert low <= np.count_nonzero(held) <= high, (np.mean(held), share)


def test_states_that_gaussian_draws_for_a_regular_row():
    recorded = Recorded()
    explainer("gaussian", recorded, n_samples=20_000).explain(ROWS[:1].copy())
    samples = pd.concat(recorded.asked[1:], ignore_index=True)
    check_share(samples.pay.isna(), DATA.pay.isna().mean())
    check_share(samples.score == -999, (DATA.score == -999).mean())
    check_share(samples.day.isna(), DATA.day.isna().mean())
    own = ROWS.iloc[0]
    check_share(samples.flag == own.flag, 0.5)
    check_share(samples.work == own.work, 0.5)
    others = DATA.work[DATA.work != own.work]
    for category in ("private", "state", "self"):
        check_share(samples.work[samples.work != own.work] == category, (others == category).mean())
    check_share(samples.work[samples.work != own.work].isna(), others.isna().mean())


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.8])
def test_a_special_row_keeps_its_state_or_gets_what_occurs(keep):
    row = DATA[DATA.pay.isna() & (DATA.score == -999)][:1]
    recorded = Recorded()
    neighborhood = nlf.Gaussian.from_data(DATA, keep=keep)
    explainer("gaussian", recorded, neighborhood=neighborhood, n_samples=20_000).explain(row)
    samples = pd.concat(recorded.asked[1:], ignore_index=True)
    check_share(samples.pay.isna(), keep or DATA.pay.isna().mean())
    check_share(samples.score == -999, keep or (DATA.score == -999).mean())
    assert np.isin(samples.pay.dropna(), DATA.pay).all()
    assert np.isin(samples.score, DATA.score).all()
    # 64 numbers that occur, spread over the rows, stand for the others: each by the same share
    numbers, counts = np.unique(neighborhood.columns[0].levels, return_counts=True)
    assert counts.sum() == 64
    for number, count in zip(numbers, counts, strict=True):
        check_share(samples.pay.dropna() == number, count / 64)


def points_of(binned, data=DATA, n=20_000):
    recorded = Recorded(lambda rows: rows["age"].to_numpy())
    explainer("binned", recorded, neighborhood=binned, n_samples=n).explain(data[:1])
    return pd.concat([some for some in recorded.asked if len(some) > 1], ignore_index=True)


def test_binned_draws_values_of_rows():
    points = points_of(nlf.Binned.from_data(DATA, n_sets=1))
    for name in NAMES:
        drawn, there = points[name], DATA[name]
        check_share(drawn.isna(), there.isna().mean())
        assert np.isin(drawn.dropna(), there.dropna()).all()
    for name, value in (("gain", 0.0), ("score", -999), ("flag", 1), ("work", "self")):
        check_share(points[name] == value, (DATA[name] == value).mean())
    check_share(points.pay < 45, (DATA.pay < 45).mean())
    # columns are drawn one by one
    check_share((points.gain == 0) & (points.flag == 1), (DATA.gain == 0).mean() * (DATA.flag == 1).mean())


def test_binned_draws_every_row_as_often():
    data = pd.DataFrame({"row": np.arange(1000.0)})
    recorded = Recorded(lambda rows: rows["row"].to_numpy())
    binned = nlf.Binned.from_data(data, n_sets=1)
    explainer("binned", recorded, neighborhood=binned, n_samples=50_000).explain(data[:1])
    (drawn,) = [some["row"].to_numpy() for some in recorded.asked if len(some) > 1]
    counts = np.bincount(drawn.astype(int), minlength=1000)
    assert len(counts) == 1000
    assert chisquare(counts).pvalue > 1e-4
    assert chisquare(counts.reshape(10, 100).sum(axis=1)).pvalue > 1e-4


def test_groups_are_drawn_together():
    data = DATA.assign(city=np.where(DATA.age < 40, "young", "old"), copy=-2 * DATA.pay)
    binned = nlf.Binned.from_data(data, groups={"pays": ["pay", "copy"], "who": [1, "city"]}, n_sets=1)
    points = points_of(binned, data, 5000)
    assert same(points["copy"].to_numpy(), -2 * points.pay.to_numpy()).all()
    assert_array_equal(points.city == "young", points.age < 40)
    check_share((points.city == "young") & points.pay.isna(), (data.city == "young").mean() * data.pay.isna().mean())


# --- dtypes and ranges


@every_kind
@every_library
def test_the_model_gets_the_dtypes_and_the_range_of_the_data(kind, library):
    convert = PLAIN[library]
    data, rows = convert(DATA), convert(ROWS)
    asked = []

    def recorded(some):
        asked.append(some)
        return model(some)

    explainer(kind, recorded, data).explain(rows)
    for some in asked:
        assert type(some) is type(data)
        if library == "pandas":
            pd.testing.assert_series_equal(some.dtypes, DATA.dtypes)
        else:
            assert some.schema == data.schema
    got = pd.concat([as_pandas(some) for some in asked])
    assert got.age.between(DATA.age.min(), DATA.age.max()).all()
    assert set(got.flag) <= {0, 1}
    assert set(got.work.dropna()) <= {"private", "state", "self"}
    days = got.day.dropna()
    assert (days == days.dt.normalize()).all()
    assert days.between(DATA.day.min(), DATA.day.max()).all()
    assert ((got.score == -999) | (got.score > 0)).all()
    if kind != "gaussian":
        assert got.gain.min() == 0


@every_kind
def test_integers_of_arrays_stay_integers(kind):
    X = DATA[["age", "flag"]].assign(more=DATA.age * 3 - 7).to_numpy(np.int16)
    asked = []

    def recorded(some):
        asked.append(some)
        return some @ np.array([1, 2, 3])

    local = explainer(kind, recorded, X).explain(X[:5])
    assert {some.dtype for some in asked} == {np.dtype(np.int16)}
    assert np.isfinite(local.weights.data).all()


def test_integers_of_any_kind_may_be_looked_up():
    """A week is an index of a list; a code is a name."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {"week": rng.integers(0, 53, 2000), "price": rng.normal(20, 4, 2000), "store": rng.integers(1, 6, 2000)}
    )
    season, effect = np.sin(np.arange(53) / 53 * 2 * np.pi), {"2": 0.5, "4": 0.5}

    def predict(rows):
        stores = rows["store"].astype(str).map(effect).fillna(0).to_numpy()
        return season[rows["week"].to_numpy()] - 0.02 * rows["price"].to_numpy() + stores

    for make in MADE.values():
        for options in ({}, {"categorical": ["week"]}):
            local = nlf.NormLIME(predict, make(X, **options), n_features=None, n_samples=2000, rng=0).explain(X[:60])
            week, price, store = local.importance("mean_abs").values
            assert min(week, store) > price


# --- the same bits


def arrays(local):
    known = [getattr(local, field.name) for field in fields(local) if field.name not in ("index", "feature_names")]
    columns = [array.toarray() if isinstance(array, csr_array) else array for array in known if array is not None]
    return np.column_stack([array for array in columns if isinstance(array, np.ndarray)])


@every_kind
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_bits_do_not_depend_on_how_the_work_is_done(kind, library, tmp_path):
    data, rows = PLAIN[library](DATA), PLAIN[library](ROWS)
    made = MADE[kind](data)
    options = {"neighborhood": made, "n_samples": 60, "n_features": 4}
    local = explainer(kind, **options).explain(rows)
    expected = arrays(local)
    for changes in ({"n_jobs": 2}, {"batch_size": 1}, {"batch_size": 130, "n_jobs": 2}):
        assert_array_equal(arrays(explainer(kind, **options | changes).explain(rows)), expected)
    assert_array_equal(arrays(explainer(kind, **options).explain(rows, block_size=2)), expected)
    with ThreadPoolExecutor(2) as executor:
        assert_array_equal(arrays(explainer(kind, **options).explain(rows, block_size=4, executor=executor)), expected)
    order = np.array([8, 2, 5, 0])
    some = rows.iloc[order] if library == "pandas" else rows[order.tolist()]
    assert_array_equal(arrays(explainer(kind, **options).explain(some, index=order)), expected[order])
    again = pickle.loads(pickle.dumps(made))
    assert_array_equal(arrays(explainer(kind, **options | {"neighborhood": again}).explain(rows)), expected)
    if library == "polars":
        as_they_were = explainer(kind, neighborhood=MADE[kind](DATA), n_samples=60, n_features=4).explain(ROWS)
        assert_array_equal(arrays(as_they_were), expected)


@every_kind
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_checkpoint_goes_on(kind, at, tmp_path):
    calls = []

    def failing(rows):
        calls.append(len(rows))
        if len(calls) == at:
            raise ConnectionError("unplugged")
        return model(rows)

    options, how = {"n_samples": 60, "n_features": 4}, {"checkpoint": tmp_path / "run", "block_size": 3}
    expected = arrays(explainer(kind, **options).explain(ROWS))
    with pytest.raises(ConnectionError, match="unplugged"):
        explainer(kind, failing, **options).explain(ROWS, **how)
    assert_array_equal(arrays(explainer(kind, **options).explain(ROWS, **how)), expected)
    with pytest.raises(ValueError, match="was begun with "):
        explainer(kind, data=table(seed=1), **options).explain(ROWS, **how)


@every_kind
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_stream_is_the_whole_table(kind, library):
    convert = PLAIN[library]
    made = explainer(kind, data=convert(DATA), n_samples=60, n_features=4)
    whole = made.statistics(convert(ROWS), block_size=4)
    for ends in ([1, 2, 7], [4], [3, 6]):
        parts = [convert(ROWS[begin:end]) for begin, end in zip([0, *ends], [*ends, 9], strict=True)]
        streamed = made.statistics(iter(parts), block_size=4)
        for field in fields(whole):
            assert_array_equal(getattr(streamed, field.name), getattr(whole, field.name))


# --- what is right


def missing_signal(n=3000):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({name: rng.normal(size=n) for name in "abc"} | {"kind": rng.choice(["x", "y", None], n)})
    X.loc[rng.random(n) < 0.3, "b"] = np.nan
    X.loc[rng.random(n) < 0.3, "c"] = np.nan
    return X


@every_kind
@every_library
def test_a_column_whose_only_signal_is_that_it_is_missing_comes_first(kind, library):
    """Another one that is missing as often, but not read, gets at most a quarter."""
    X = missing_signal()

    def predict(rows):
        frame = rows if library == "pandas" else pl.DataFrame(rows).to_pandas()
        return 1 / (1 + np.exp(1 - 0.7 * frame["a"].to_numpy(float) - 3 * frame["b"].isna().to_numpy()))

    local = explainer(kind, predict, PLAIN[library](X), n_samples=1000).explain(PLAIN[library](X[:300]))
    a, b, c, word = local.importance("mean_abs").values
    assert b > a
    assert max(c, word) < 0.25 * b


@every_kind
def test_a_model_that_ignores_missingness_gives_it_nothing(kind):
    X = missing_signal()
    local = explainer(kind, lambda rows: rows["a"].to_numpy(), X, n_samples=1000).explain(X[:200])
    a, *others = local.importance("mean_abs").values
    assert max(others) < 0.15 * a


@every_kind
def test_a_sentinel_changes_nothing_for_rows_without_it(kind):
    rng = np.random.default_rng(0)
    n = 4000
    X = pd.DataFrame({"score": rng.normal(600, 80, n), "util": rng.beta(2, 3, n)})
    absent = X.assign(score=X["score"].where(rng.random(n) >= 0.15, -999))

    def predict(rows):
        part = np.where(rows["score"] < 0, 0.5, (rows["score"] - 600) / 60) - 2 * (rows["util"] - 0.4)
        return 1 / (1 + np.exp(part))

    found = []
    for data in (X, absent):
        made = MADE[kind](data)
        rows = data[absent["score"] > 0][:300]
        local = explainer(kind, predict, neighborhood=made, n_samples=2000).explain(rows)
        found.append(local.importance("mean_abs").values)
    ratio = found[1] / found[0]
    assert (ratio > 0.5).all()
    assert (ratio < 2).all()


@pytest.mark.parametrize("as_bool", [True, False])
def test_a_one_hot_group_is_the_column_that_it_came_from(as_bool):
    rng = np.random.default_rng(0)
    raw = pd.DataFrame({"x": rng.normal(size=3000), "city": rng.choice(list("ABCDEFGH"), 3000)})
    effect = dict(zip("ABCDEFGH", np.linspace(-1, 1, 8), strict=True))
    hot = pd.get_dummies(raw, columns=["city"], dtype=bool if as_bool else np.int8)
    members = [name for name in hot if name.startswith("city_")]
    asked = []

    def of_hot(rows):
        asked.append(rows)
        return 0.3 * rows["x"].to_numpy() + rows[members].to_numpy(float) @ [effect[name[-1]] for name in members]

    binned = nlf.Binned.from_data(hot, groups={"city": members})
    many = explainer("binned", of_hot, neighborhood=binned, n_samples=2000).explain(hot[:200])
    assert many.feature_names == ("x", "city")
    assert all((rows[members].to_numpy(float).sum(axis=1) == 1).all() for rows in asked)
    one = explainer("binned", lambda rows: 0.3 * rows["x"] + rows["city"].map(effect), raw, n_samples=2000)
    expected = one.explain(raw[:200]).importance("mean_abs").values
    assert_allclose(many.importance("mean_abs").values, expected, rtol=0.15)


def test_a_group_of_numbers_is_one_feature():
    """z is 0 only in the instance's combination of bins; weights by hand."""
    recorded = Recorded()
    binned = nlf.Binned.from_data(DATA, groups={"gains": ["gain", "pay"]}, n_sets=1)
    local = explainer("binned", recorded, neighborhood=binned).explain(ROWS)
    assert local.feature_names == ("gains", "age", "score", "flag", "work", "day")
    (points,) = [some for some in recorded.asked if len(some) == 300]
    codes, own = bins_by_hand(binned, numbers(points)), bins_by_hand(binned, numbers(ROWS))
    known = {tuple(pair) for pair in bins_by_hand(binned, TRAIN)[:, [0, 6]]}
    assert {tuple(pair) for pair in codes[:, [0, 6]]} <= known
    for k in range(len(ROWS)):
        equal = codes == own[k]
        equal = np.column_stack([equal[:, 0] & equal[:, 6], equal[:, 1:6]])
        Z = np.vstack([np.zeros(6), np.where(equal, 0.0, -1.0)])
        p = np.exp(-(Z**2).sum(axis=1) / (2 * 0.75**2 * 6))
        check_fit(local, k, Z, np.append(model(ROWS)[k], model(points)), p)


def test_features_are_in_the_order_of_their_first_columns():
    data = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 5)), columns=list("abcde"))
    binned = nlf.Binned.from_data(data, groups={"late": ["e", "b"], "early": [0, 3]})
    local = explainer("binned", lambda rows: rows["a"].to_numpy(), data, neighborhood=binned).explain(data[:2])
    assert local.feature_names == ("early", "late", "c")
    assert binned.groups == (("late", (1, 4)), ("early", (0, 3)))
    assert "groups=['late', 'early']" in repr(binned)
    again = nlf.Binned.from_data(data.to_numpy(), groups={"late": [4, 1]})
    local = explainer("binned", lambda rows: rows[:, 0], neighborhood=again).explain(data.to_numpy()[:2])
    assert local.feature_names == ("0", "late", "2", "3")


GROUPS_REFUSED = {
    "a list": (["age"], TypeError, r"groups must be a dict of names and lists of columns, got \['age'\]"),
    "no text": ({1: ["age", "pay"]}, TypeError, "groups must have names that are str, got 1"),
    "one column": ({"one": ["age"]}, ValueError, "groups must have at least 2 columns each, got 1 in 'one'"),
    "no columns": ({"one": []}, ValueError, "groups must have at least 2 columns each, got 0 in 'one'"),
    "a str": ({"one": "age"}, TypeError, "group 'one' must be a list of columns, got 'age'"),
    "unknown": ({"one": ["age", "z"]}, ValueError, "group 'one' must hold names or positions of columns of X, got 'z'"),
    "twice": ({"one": ["age", 1]}, ValueError, "group 'one' must not contain duplicates, got 1 twice"),
    "shared": (
        {"one": ["age", "pay"], "two": ["day", 1]},
        ValueError,
        "groups must not share columns, got 'age' in 'one' and 'two'",
    ),
    "a column's name": (
        {"flag": ["age", "pay"]},
        ValueError,
        "groups must not have the name of a column outside of the group, got 'flag'",
    ),
}


@pytest.mark.parametrize("name", GROUPS_REFUSED)
def test_groups_that_are_refused(name):
    groups, error, message = GROUPS_REFUSED[name]
    with pytest.raises(error, match=f"^{message}$"):
        nlf.Binned.from_data(DATA, groups=groups)


@pytest.mark.parametrize("options", [{"features": "bin"}, {"draw": "normal"}])
def test_groups_that_have_no_meaning(options):
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=f'^groups must be left out with {name}="{value}": a group has no bins, and'):
        nlf.Binned.from_data(DATA, groups={"one": ["age", "pay"]}, **options)


def test_a_group_may_have_the_name_of_one_of_its_columns():
    binned = nlf.Binned.from_data(DATA, groups={"age": ["age", "pay"]})
    assert explainer("binned", neighborhood=binned).explain(ROWS[:1]).feature_names[0] == "age"


# --- missing values that the data does not have


COMPLETE = DATA.assign(pay=DATA.pay.fillna(50.0), work=DATA.work.fillna("self"), day=DATA.day.ffill().bfill())


@every_kind
@every_library
def test_missing_values_that_the_data_does_not_have(kind, library):
    convert = PLAIN[library]
    asked = []

    def recorded(some):
        asked.append(some)
        return model(some)

    made = explainer(kind, recorded, convert(COMPLETE))
    with pytest.warns(UserWarning, match="does not have") as caught:
        local = made.explain(convert(ROWS))
    (text,) = [str(one.message) for one in caught if "does not have" in str(one.message)]
    counts = ROWS.isna().sum()
    for name in ("pay", "work", "day"):
        assert f"missing in column '{name}' ({counts[name]} row" in text
    assert np.isin(local.status, [0, 1, 10]).all()
    if kind == "gaussian":
        samples = pd.concat([as_pandas(some) for some in asked[1:]], ignore_index=True)
        mine = samples[300 * 3 : 300 * 4]  # of the first row without pay
        check_share(mine.pay.isna(), 0.5)
        assert np.isin(mine.pay.dropna(), COMPLETE.pay).all()
        Z = standardised(numbers(mine), numbers(ROWS)[3])
        std = numbers(COMPLETE)
        std = np.where(IS_CATEGORY, 1.0, np.nanstd(np.where(std == SENTINEL, np.nan, std), axis=0))
        Z = np.where(IS_CATEGORY | (Z == -1), Z, Z * SCALE / std)
        check_fit(local, 3, Z, model(mine), np.ones(300))
    else:
        points = pd.concat([as_pandas(some) for some in asked if len(some) != 9])
        assert not points[["pay", "work", "day"]].isna().any().any()
    with pytest.raises(ValueError, match=r"^X must have known .* in column '.*', got a missing value in row"):
        nlf.NormLIME(pytest.fail, MADE[kind](convert(COMPLETE), unseen="raise")).explain(convert(ROWS))


@every_kind
def test_infinite_values_name_their_column(kind):
    bad = DATA.assign(pay=DATA.pay.where(DATA.age != 30, np.inf))
    with pytest.raises(ValueError, match=r"^X must be finite, got .* in column 'pay', the first in row"):
        MADE[kind](bad)
    with pytest.raises(
        ValueError, match=r"^X must be finite, got 1 infinite value in column 'pay', the first in row 1;"
    ):
        explainer(kind, pytest.fail).explain(ROWS.assign(pay=[0, -np.inf, *range(7)]))


# --- one call


@every_library
def test_training_data_in_place_of_a_neighborhood(library):
    convert = PLAIN[library]
    one_call = nlf.NormLIME(model, convert(DATA), n_features=None, n_samples=300, rng=0)
    assert isinstance(one_call.neighborhood, nlf.Binned)
    assert [column.name for column in one_call.neighborhood.columns] == NAMES
    assert_array_equal(arrays(one_call.explain(convert(ROWS))), arrays(explainer("binned").explain(ROWS)))


def test_codes_and_flags_that_nobody_named():
    """A code and a flag that matter far more than age, in a model of arithmetic, and age that hardly counts."""
    rng = np.random.default_rng(0)
    n = 2000
    X = pd.DataFrame({"age": rng.normal(40, 12, n), "class": rng.integers(1, 4, n), "cabin": rng.random(n) < 0.4})

    def predict(rows):
        code = 3 * (rows["class"] == 2) - 1 + 2 * rows["cabin"].astype(float) + 0.02 * (rows["age"] - 40)
        return (1 / (1 + np.exp(-code))).to_numpy()

    for neighborhood in (X, *(make(X) for make in MADE.values())):
        local = nlf.NormLIME(predict, neighborhood, n_features=None, rng=0).explain(X[:100])
        age, code, cabin = local.importance().values
        assert min(code, cabin) > 2 * age


def test_noise_that_leaves_the_domain_of_a_model_is_named():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"income": np.exp(rng.normal(10, 0.8, 1000)), "visits": rng.poisson(2, 1000)})

    def predict(rows):
        if (rows["income"] < 0).any():
            raise ValueError("math domain error")
        return np.log1p(rows["income"].to_numpy())

    with pytest.raises(ValueError, match="math domain error") as caught:
        nlf.NormLIME(predict, nlf.Gaussian.from_data(X), n_features=None, rng=0).explain(X[:50])
    notes = " ".join(caught.value.__notes__)
    assert "the noise left the range of the data: column 'income' had values down to -" in notes
    assert "visits" not in notes  # whole numbers keep to the range of the data
    for kind in ("pool", "binned"):
        income, visits = explainer(kind, predict, X).explain(X[:50]).importance("mean_abs").values
        assert income > visits


def test_up_to_10_features_of_a_table_of_few_columns_warn_of_nothing():
    X = np.random.default_rng(0).normal(size=(150, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        local = nlf.NormLIME(lambda rows: rows @ [1.0, 2, 3, 4], nlf.Gaussian.from_data(X), n_samples=200).explain(
            X[:5]
        )
    assert (np.diff(local.weights.indptr) == 4).all()
