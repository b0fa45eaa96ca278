import numpy as np
import pytest
from helpers import reference
from scipy.stats import binom

from normlime_fast._kernels import categories, gaussian

SHARES = ([0.5, 0.5], [1.0], [0.05, 0.15, 0.8], np.diff(np.linspace(0, 1, 601) ** 3))  # 600: the rarest has 5e-9
COLUMNS = (1, 3, 4, 6)


def redraw(sets, n=300, *, seed=1, dtype=np.float64, own=0, keep=0.0, shares=SHARES, columns=COLUMNS):
    """Samples of instances whose categories are number `own` of each column; category t stands as 10 t - 7."""
    sets = np.array(sets, np.uint64)
    d = columns[-1] + 2
    Z, inputs = np.full((len(sets), n, d), np.nan, np.float32), np.full((len(sets), n, d), np.nan, dtype)
    firsts = np.cumsum([0, *map(len, shares)])
    cumulative = np.concatenate([np.cumsum(share) for share in shares])
    numbers = np.concatenate([10.0 * np.arange(len(share)) - 7 for share in shares])
    X = np.full((len(sets), d), 10 * own - 7, dtype)
    columns = np.array(columns)
    states, category = np.diff(firsts), np.uint64(gaussian.CATEGORY)
    categories.redraw(
        np.uint64(seed), sets, X, category, 0, keep, columns, firsts, states, cumulative, numbers, Z, inputs
    )
    rest = np.setdiff1d(np.arange(d), columns)
    assert np.isnan(Z[:, :, rest]).all()
    assert np.isnan(inputs[:, :, rest]).all()
    return Z[:, :, columns], (inputs[:, :, columns] + 7) / 10


def uniforms(seed, instance, size):
    """Blocks of 256 counters, whose four words stand one after the other."""
    blocks = np.arange(-(-size // 1024))[:, None]
    counter = blocks * 256 + np.arange(256)
    key, instance = (seed % 2**32, seed >> 32), (instance % 2**32, instance >> 32)
    words = reference.philox((counter, counter * 0 + (4 << 16), counter * 0 + instance[0], instance[1]), key)
    return np.stack(words, axis=1).ravel()[:size] / 2**32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("seed", "instance"), [(0, 0), (5, 2**32 + 3), (2**64 - 1, 2**64 - 1)])
def test_draws_are_quantiles_of_philox(seed, instance, dtype):
    uniform = uniforms(seed, instance, 700 * 4).reshape(700, 4)
    expected = [np.searchsorted(np.cumsum(p)[:-1], uniform[:, k], "right") for k, p in enumerate(SHARES)]
    Z, drawn = redraw([instance], 700, seed=seed, dtype=dtype, own=2)
    np.testing.assert_array_equal(drawn[0], np.transpose(expected))
    np.testing.assert_array_equal(Z[0] + 1, np.transpose(expected) == 2)


def test_a_uniform_number_at_the_border_is_of_the_category_above():
    """Intervals are [from, to): then a share of k / 2^32 stands for k words."""
    border = uniforms(1, 0, 1)[0]
    _, drawn = redraw([0], 1, shares=[[border, 1 - border]], columns=(0,))
    assert drawn == 1


def test_frequencies():
    """Counts are binomial: each outside its central interval of probability 1 - 1e-9, all of them below 1e-6."""
    sets, n = 50, 4000
    _, drawn = redraw(range(sets), n)
    for k, share in enumerate(SHARES):
        counts = np.bincount(drawn[:, :, k].ravel().astype(int), minlength=len(share))
        low, high = binom.interval(1 - 1e-9, sets * n, np.minimum(share, 1.0))
        assert (low <= counts).all()
        assert (counts <= high).all()


def test_columns_and_sets_are_independent():
    """Pairs of fair coins agree binomially often; central intervals of probability 1 - 1e-9."""
    n = 100_000
    _, drawn = redraw([0, 1], n, shares=[[0.5, 0.5]] * 2, columns=(0, 1))
    first, second = drawn
    low, high = binom.interval(1 - 1e-9, n, 0.5)
    for a, b in ((first[:, 0], first[:, 1]), (first[:, 0], second[:, 0]), (first[:, 1], second[:, 0])):
        assert low <= (a == b).sum() <= high


def test_samples_do_not_depend_on_how_sets_are_cut():
    sets = [3, 0, 2**63, 7]
    Z, drawn = redraw(sets)
    for part in (slice(0, 1), slice(1, 4), slice(2, 3)):
        z, again = redraw(sets[part])
        np.testing.assert_array_equal(z, Z[part])
        np.testing.assert_array_equal(again, drawn[part])
    np.testing.assert_array_equal(redraw(sets, 77)[1], drawn[:, :77])


def test_every_set_is_compared_with_its_own_instance():
    X = np.array([[0.0], [1.0]])
    Z, inputs = np.empty((2, 50, 1), np.float32), np.empty((2, 50, 1))
    arguments = np.array([0]), np.array([0, 2]), np.array([2]), np.array([0.5, 1.0]), np.array([0.0, 1.0])
    category = np.uint64(gaussian.CATEGORY)
    categories.redraw(np.uint64(1), np.array([8, 9], np.uint64), X, category, 0, 0.0, *arguments, Z, inputs)
    np.testing.assert_array_equal(Z + 1, inputs == X[:, None])
    assert set(np.unique(Z)) == {-1.0, 0.0}


def test_shares_that_sum_to_less_than_1():
    """The last category takes the rest, however much, and not the next column's; interval of probability 1 - 1e-9."""
    _, drawn = redraw(range(20), 5000, shares=[[0.25, 0.25], [0.5, 0.5]], columns=(0, 1))
    low, high = binom.interval(1 - 1e-9, 100_000, 0.75)
    assert low <= (drawn[:, :, 0] == 1).sum() <= high


# --- categories that are kept


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("own", [0, 1, 2])
def test_the_own_category_is_kept_and_others_are_drawn_by_their_shares(own, keep):
    """Counts are binomial: each outside its central interval of probability 1 - 1e-9."""
    shares, n = [0.05, 0.15, 0.8], 100_000
    Z, drawn = redraw(range(20), n // 20, own=own, keep=keep, shares=[shares], columns=(0,))
    np.testing.assert_array_equal(Z == 0, drawn == own)
    others = np.where(np.arange(3) == own, 0.0, shares)
    expected = np.where(np.arange(3) == own, keep, (1 - keep) * others / others.sum())
    low, high = binom.interval(1 - 1e-9, n, expected)
    counts = np.bincount(drawn.ravel().astype(int), minlength=3)
    assert (low <= counts).all()
    assert (counts <= high).all()


def test_draws_of_others_are_quantiles_of_philox():
    shares = np.array([0.05, 0.15, 0.3, 0.5])
    uniform = uniforms(1, 7, 900)
    for own in range(4):
        others = np.delete(np.arange(4), own)
        borders = np.cumsum(shares[others])[:-1] / shares[others].sum()
        expected = np.where(uniform < 0.25, own, others[np.searchsorted(borders, (uniform - 0.25) / 0.75, "right")])
        _, drawn = redraw([7], 900, own=own, keep=0.25, shares=[shares], columns=(0,))
        np.testing.assert_array_equal(drawn[0, :, 0], expected)


@pytest.mark.parametrize("keep", [0.0, 0.5, 1 - 2.0**-52])
def test_the_only_category_there_is_never_changes(keep):
    Z, drawn = redraw(range(5), keep=keep, shares=[[1.0]], columns=(0,))
    assert not Z.any()
    assert not drawn.any()


def test_a_category_without_a_share_is_kept_as_it_is():
    Z, drawn = redraw([0], 5000, own=9, keep=0.5, shares=[[0.5, 0.5]], columns=(0,))
    np.testing.assert_array_equal(Z == 0, drawn == 9)
    assert set(np.unique(drawn)) == {0, 1, 9}
    low, high = binom.interval(1 - 1e-9, 5000, [0.25, 0.25, 0.5])
    counts = np.array([(drawn == t).sum() for t in (0, 1, 9)])
    assert (low <= counts).all()
    assert (counts <= high).all()
