from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from lime.lime_tabular import LimeTabularExplainer
from scipy.stats import binom, kstest, norm, truncnorm

from normlime_fast._inputs.columns import Columns
from normlime_fast._inputs.rows import as_rows
from normlime_fast._neighborhoods.bins import Bins

QUANTILES = [(4, "quartile"), (10, "decile")]


def adult(n=3000):
    """Ages, mostly zero gains, hours with a heavy middle, a binary column, a category with codes."""
    rng = np.random.default_rng(0)
    age = np.floor(17 + rng.gamma(2.5, 9, n)).clip(17, 90)
    gain = np.where(rng.random(n) < 0.92, 0, np.floor(rng.lognormal(8, 1, n)))
    hours = np.where(rng.random(n) < 0.5, 40, np.floor(rng.normal(40, 15, n)).clip(1, 99))
    return np.column_stack([age, gain, hours, rng.random(n) < 0.3, rng.choice([0, 2, 5], n, p=[0.7, 0.2, 0.1])])


def california(n=3000):
    """Continuous columns of very different scales and tails, negative ones too; no category."""
    rng = np.random.default_rng(1)
    z = rng.standard_normal((n, 5))
    return np.column_stack([np.exp(z[:, 0]), 1e-6 * z[:, 1], 1000 * np.exp(2 * z[:, 2]), -119 + z[:, 3], 1e9 + z[:, 4]])


TABLES = {"adult": (adult(), [4]), "california": (california(), [])}


def bins_of(X, categorical=(), **options):
    numbers = [j for j in range(X.shape[1]) if j not in categorical]
    columns = Columns.from_data(X, categorical, numbers)
    return Bins.from_data(as_rows(X, columns=columns), columns, **{"quantiles": 4, "spikes": False} | options)


def normal_column(n=4000, dtype=np.float64):
    return np.random.default_rng(2).normal(5, 3, (n, 1)).astype(dtype)


# --- lime


@pytest.mark.parametrize(("quantiles", "discretizer"), QUANTILES)
@pytest.mark.parametrize("table", TABLES)
def test_bins_are_limes(table, quantiles, discretizer):
    X, categorical = TABLES[table]
    lime = LimeTabularExplainer(X, categorical_features=categorical, discretizer=discretizer)
    bins = bins_of(X, categorical, quantiles=quantiles)
    np.testing.assert_array_equal(
        [len(c.frequencies) for c in bins.columns], [len(v) for v in lime.feature_values.values()]
    )
    for j, column in enumerate(bins.columns):
        np.testing.assert_array_equal(column.frequencies, lime.feature_frequencies[j])
        if j in categorical:
            np.testing.assert_array_equal(column.numbers, lime.feature_values[j])
            continue
        known = np.array(lime.feature_values[j], int)  # lime's bins with training rows: here all but perhaps the last
        np.testing.assert_array_equal(known, np.arange(len(known)))
        for field in ("means", "stds", "mins", "maxs"):
            np.testing.assert_array_equal(getattr(column, field), np.array(getattr(lime.discretizer, field)[j])[known])
    codes = lime.discretizer.discretize(X)
    codes[:, categorical] = np.searchsorted([0, 2, 5], X[:, categorical])
    np.testing.assert_array_equal(bins.codes(X), codes)


def test_bins_where_lime_has_some_without_rows():
    """Of the bins x <= 0, 0 < x <= 0.25 and x > 0.25 the second has no rows; of a constant column's x > 3."""
    X = np.array([[0.0, 3.0], [0, 3], [0, 3], [1, 3]])
    bins = bins_of(X)
    assert bins.feature_names_by_bin() == ("0 <= 0.25", "0 > 0.25", "1")
    assert [c.frequencies.tolist() for c in bins.columns] == [[0.75, 0.25], [1.0]]
    assert bins.columns[1].edges.size == 0
    np.testing.assert_array_equal(bins.codes(np.array([[0.1, 3.0], [0.3, 2.0], [9, 4]])), [[0, 0], [1, 0], [1, 0]])
    np.testing.assert_array_equal(bins.draw(np.uint64(0), 50)[:, 1], 3.0)


# --- draws


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("table", TABLES)
def test_draws_are_in_the_bins_that_are_chosen(table, dtype):
    X, categorical = TABLES[table]
    X = X.astype(dtype)
    bins = bins_of(X, categorical, quantiles=10)
    values = bins.draw(np.uint64(3), 20_000)
    assert values.dtype == np.float64
    cast = values.astype(dtype)
    np.testing.assert_array_equal(cast, values)
    for j, (column, codes) in enumerate(zip(bins.columns, bins.codes(cast).T, strict=True)):
        uniform = np.random.Philox(key=[3, j]).random_raw(40_000)[::2] / 2**64
        np.testing.assert_array_equal(codes, np.searchsorted(np.cumsum(column.frequencies)[:-1], uniform, "right"))
    assert (cast >= X.min(axis=0)).all()
    assert (cast <= X.max(axis=0)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("table", TABLES)
def test_extreme_draws_stay_in_their_bins(table, dtype):
    """Quantiles of the least and the largest uniform numbers, which round to the edges or beyond."""
    X, categorical = TABLES[table]
    X = X.astype(dtype)
    for column in bins_of(X, categorical, quantiles=10).columns:
        if hasattr(column, "edges"):
            every = np.arange(len(column.names))
            for uniform in (2.0**-53, 1 - 2.0**-53):
                values = column.draw(every, uniform)
                assert values.dtype == dtype
                np.testing.assert_array_equal(column.codes(values), every)
                assert values.min() >= column.mins[0]
                assert values.max() <= column.maxs[-1]


@pytest.mark.parametrize("table", TABLES)
def test_frequencies(table):
    """Counts are binomial: each in its central interval of probability 1 - 1e-9, all 40 or fewer but for 4e-8."""
    n = 100_000
    bins = bins_of(*TABLES[table], quantiles=10)
    codes = bins.codes(bins.draw(np.uint64(5), n))
    for column, drawn in zip(bins.columns, codes.T, strict=True):
        counts = np.bincount(drawn.astype(int), minlength=len(column.frequencies))
        low, high = binom.interval(1 - 1e-9, n, column.frequencies)
        assert (low <= counts).all()
        assert (counts <= high).all()


@pytest.mark.parametrize("b", range(4))
def test_values_inside_a_bin_are_truncated_normal(b):
    """Kolmogorov-Smirnov at level 1e-6 a bin; the mean and the variance within 6 of their standard errors."""
    bins = bins_of(normal_column())
    drawn, column = bins.draw(np.uint64(b), 200_000), bins.columns[0]
    values = drawn[bins.codes(drawn) == b]
    mean, std = column.means[b], column.stds[b]
    law = truncnorm((column.mins[b] - mean) / std, (column.maxs[b] - mean) / std, mean, std)
    assert kstest(values, law.cdf).pvalue > 1e-6
    variance, fourth = law.var(), law.expect(lambda x: (x - law.mean()) ** 4)
    assert abs(values.mean() - law.mean()) < 6 * np.sqrt(variance / values.size)
    assert abs(((values - law.mean()) ** 2).mean() - variance) < 6 * np.sqrt((fourth - variance**2) / values.size)


def test_values_are_quantiles_also_in_the_tails():
    """A bin that reaches 29 standard deviations up, or down: nothing is cut off there but the far side of its edge.

    ndtri, ndtr and their mixture are each good to some 1e-15 of the probability p, and |d log z / d log p| < 1 for
    z > 0.5, where all of these are; 1e-12 is hundreds of times that.
    """
    X = np.concatenate([np.linspace(-1, 1, 999), [40.0]])[:, None]
    small = 2.0 ** -np.arange(2.0, 52)
    for sign, uniform in ((1, 1 - small), (-1, small)):
        column = bins_of(sign * X, edges={0: [sign * -0.999]}).columns[0]
        b = int(sign > 0)
        mean, std = column.means[b], column.stds[b]
        beyond_edge = norm.cdf((-0.999 - sign * mean) / std)
        expected = sign * std * norm.isf(small * (1 - beyond_edge))
        values = column.draw(np.full(small.size, b), uniform)
        np.testing.assert_allclose(values - mean, expected, rtol=1e-12)


def test_columns_are_independent():
    """Of two columns with the same bins: pairs of codes agree binomially often, correlation of places within."""
    n = 100_000
    bins = bins_of(np.repeat(normal_column(), 2, axis=1))
    values = bins.draw(np.uint64(0), n)
    codes = bins.codes(values)
    low, high = binom.interval(1 - 1e-9, n, 0.25)
    assert low <= (codes[:, 0] == codes[:, 1]).sum() <= high
    assert abs(np.corrcoef(values.T)[0, 1]) < 6 / np.sqrt(n)  # whose standard error is 1 / sqrt(n)


def test_draws_are_determined_by_the_seed_and_the_first_are_the_same_for_every_n():
    bins = bins_of(*TABLES["adult"])
    values = bins.draw(np.uint64(2**64 - 1), 300)
    np.testing.assert_array_equal(bins.draw(np.uint64(2**64 - 1), 40), values[:40])
    assert (bins.draw(np.uint64(0), 300) != values).any()


@pytest.mark.parametrize("value", [0.1, -0.1, 1e9 / 0.7, -1e9 / 0.7, 1e-30])
@pytest.mark.parametrize("count", [7, 1001])
def test_bins_of_one_value(value, count):
    """lime draws 0 where the least value is the largest.

    Where a value is not the only number in its bin, its standard deviation is that of its mean's rounding, plus 1e-11.
    No draw is 7 of them from the mean, and the mean of 1001 is off by less than 2 units in the last place.
    """
    values = value + abs(value) * np.array([-0.5, 0, 0.5])
    bins = bins_of(np.repeat(values, count)[:, None], edges={0: values[:2]})
    drawn = bins.draw(np.uint64(1), 100)
    codes = bins.codes(drawn)
    np.testing.assert_allclose(drawn[:, 0], values[codes[:, 0].astype(int)], rtol=8 * 2**-51, atol=7e-11)
    np.testing.assert_array_equal(drawn[codes == 0], values[0])


# --- names


@pytest.mark.parametrize(
    ("edges", "texts"),
    [
        ([28, 37, 48], ["28", "37", "48"]),
        ([0], ["0"]),
        ([-0.0, 0.5], ["0", "0.5"]),
        ([3.5348123, 4.743251], ["3.535", "4.743"]),
        ([0.1 + 0.2, 0.30000001, 9], ["0.3", "0.30000001", "9"]),
        ([-37.87654321], ["-37.877"]),
        ([1.23456e-9, 50.25], ["1.235e-09", "50.25"]),
        ([60.0, 60.00001], ["60", "60.00001"]),
    ],
)
def test_names_of_edges(edges, texts):
    marks = np.concatenate([[-40], np.unique(edges), [90]])
    X = np.append(-40, (marks[:-1] + marks[1:]) / 2)  # in the middle of every bin, and at the ends
    bins = bins_of(np.append(X, 90)[:, None], edges={0: edges})
    between = [f"{low} < 0 <= {high}" for low, high in pairwise(texts)]
    assert bins.feature_names_by_bin() == (f"0 <= {texts[0]}", *between, f"0 > {texts[-1]}")


def test_large_whole_numbers_are_printed_whole():
    X = np.array([12285.0, 117827, 178356, 237051, 1490400])[:, None]
    bins = bins_of(X, edges={0: [117827, 178356, 237051]})
    assert bins.names(np.array([1.0])) == ["117827 < 0 <= 178356"]


def test_different_edges_look_different():
    rng = np.random.default_rng(4)
    X = np.column_stack([np.exp(rng.normal(0, 12, 500)), 1e6 + 1e-8 * rng.random(500), rng.integers(0, 15, 500)])
    names = bins_of(X, quantiles=50).feature_names_by_bin()
    assert len(set(names)) == len(names) > 100


def test_names_of_an_instance_and_of_all_bins():
    frame = pd.DataFrame({"age": [20.0, 30, 40, 50], "workclass": ["State", "Private", "Private", "Private"]})
    columns = Columns.from_data(frame, numeric=["age"])
    rows = as_rows(frame, columns=columns)
    bins = Bins.from_data(rows, columns, 4, edges={"age": [25, 45]})
    everything = ("age <= 25", "25 < age <= 45", "age > 45", "workclass = Private", "workclass = State")
    assert bins.feature_names_by_bin() == everything
    np.testing.assert_array_equal(bins.offsets, [0, 3])
    codes = bins.codes(rows.values)
    np.testing.assert_array_equal(codes, [[0, 1], [1, 0], [1, 0], [2, 0]])
    for row in codes:
        assert bins.names(row) == [everything[int(k)] for k in bins.offsets + row]


# --- own edges, and what is refused


def test_edges_by_position_and_by_name():
    frame = pd.DataFrame(california(200)[:, :2], columns=["a", 0])
    columns = Columns.from_data(frame)
    for edges, column in (({"a": [1.0]}, 0), ({0: [0.0]}, 1), ({1: [0.0]}, 1)):  # a name goes before a position
        bins = Bins.from_data(as_rows(frame, columns=columns), columns, 4, edges=edges)
        np.testing.assert_array_equal(bins.columns[column].edges, next(iter(edges.values())))
        assert len(bins.columns[1 - column].edges) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"quantiles": 1}, ValueError, "quantiles must be at least 2, got 1"),
        ({"quantiles": 4.0}, TypeError, "quantiles must be an integer, got 4.0"),
        ({"edges": [1, 2]}, TypeError, "edges must be a dict of columns and their edges, got [1, 2]"),
        ({"edges": {"age": [1]}}, ValueError, "edges must be of columns of X, by name or position, got 'age'"),
        ({"edges": {5: [1]}}, ValueError, "edges must be of columns of X, by name or position, got 5"),
        ({"edges": {True: [1]}}, ValueError, "edges must be of columns of X, by name or position, got True"),
        (
            {"edges": {4: [1]}},
            ValueError,
            "edges must be of columns of numbers, got the categorical column 4; name it in numeric",
        ),
        ({"edges": {0: [40, 30]}}, ValueError, "edges of column 0 must ascend, got [40.0, 30.0]"),
        ({"edges": {0: [30, 30]}}, ValueError, "edges of column 0 must ascend, got [30.0, 30.0]"),
        ({"edges": {0: []}}, ValueError, "edges of column 0 must not be empty, got shape (0,)"),
        ({"edges": {0: [30, 99.5]}}, ValueError, "training rows in every bin, got none in the bin 0 > 99.5"),
        ({"edges": {0: [16, 30]}}, ValueError, "training rows in every bin, got none in the bin 0 <= 16"),
        ({"edges": {0: [30.2, 30.4]}}, ValueError, "training rows in every bin, got none in the bin 30.2 < 0 <= 30.4"),
    ],
)
def test_what_is_refused(options, error, message):
    with pytest.raises(error) as raised:
        bins_of(*TABLES["adult"], **options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_spread_that_overflows():
    with pytest.raises(ValueError, match="overflow in column 1"):
        bins_of(np.array([[0.0, 1e308], [1, -1e308], [2, 1.5e308], [3, -1.5e308]]), quantiles=2)
