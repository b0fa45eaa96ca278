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


# --- states of columns of numbers


STATES = np.array([-999.0, 1e6, np.nan])  # a number ascends, a missing value is the last
LEVELS = np.array([3.0, 1.0, 2.0, 5.0])  # that represent the rest, in any order
OF_STATES = np.array([0.1, 0.05, 0.25])


def redraw_numbers(values, *, keep=0.5, n=20_000, states=STATES, shares=OF_STATES, levels=LEVELS, seed=1):
    """Samples (m, n) of instances in one column, whose numbers are those of Gaussian's noise: z = 7."""
    X = np.array(values, np.float64)[:, None]
    m = len(X)
    Z, inputs = np.full((m, n, 1), 7.0, np.float32), np.full((m, n, 1), 77.0)
    every = np.concatenate([shares, np.full(len(levels), (1 - np.sum(shares)) / max(len(levels), 1))])
    numbers = np.concatenate([states, levels])
    columns, firsts, counts = np.array([0]), np.array([0, len(numbers)]), np.array([len(states)])
    purpose, sets = np.uint64(gaussian.CATEGORY), np.arange(m, dtype=np.uint64)
    categories.redraw(
        np.uint64(seed), sets, X, purpose, 0, keep, columns, firsts, counts, np.cumsum(every), numbers, Z, inputs
    )
    return Z[:, :, 0], inputs[:, :, 0]


def check_counts(drawn, expected):
    """Counts are binomial, each outside its central interval of probability 1 - 1e-9; nothing else is drawn."""
    total = 0
    for number, share in expected:
        count = np.count_nonzero(np.isnan(drawn) if np.isnan(number) else drawn == number)
        low, high = binom.interval(1 - 1e-9, len(drawn), share)
        assert low <= count <= high, number
        total += count
    assert total == len(drawn)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("own", [4.0, 1.0, -5e5])  # also one that is a level
def test_a_number_gets_states_by_their_shares_whatever_keep_is(own, keep):
    Z, inputs = redraw_numbers([own], keep=keep)
    check_counts(inputs[0], [(77.0, 0.6), *zip(STATES, OF_STATES, strict=True)])
    assert set(np.unique(Z[0])) == {-1.0, 7.0}
    np.testing.assert_array_equal(Z[0] == 7.0, inputs[0] == 77.0)


@pytest.mark.parametrize("own", [0, 1, 2])
@pytest.mark.parametrize("keep", [0.25, 0.5])
def test_a_state_is_kept_or_gets_another_or_a_number_that_occurs(own, keep):
    Z, inputs = redraw_numbers([STATES[own]], keep=keep)
    every = np.append(OF_STATES, np.full(4, 0.15))
    rest = np.where(np.arange(7) == own, 0.0, every)
    expected = np.where(np.arange(7) == own, keep, (1 - keep) * rest / rest.sum())
    check_counts(inputs[0], zip([*STATES, *LEVELS], expected, strict=True))
    kept = np.isnan(inputs[0]) if own == 2 else inputs[0] == STATES[own]
    np.testing.assert_array_equal(Z[0], np.where(kept, 0.0, -1.0))


def test_without_keep_a_state_is_drawn_by_its_share():
    Z, inputs = redraw_numbers([np.nan], keep=0.0)
    check_counts(inputs[0], zip([*STATES, *LEVELS], [*OF_STATES, *np.full(4, 0.15)], strict=True))
    np.testing.assert_array_equal(Z[0], np.where(np.isnan(inputs[0]), 0.0, -1.0))


def test_a_missing_value_that_the_data_does_not_have_is_kept_or_becomes_a_number():
    Z, inputs = redraw_numbers([np.nan, 4.0], states=np.empty(0), shares=np.empty(0))
    check_counts(inputs[0], [(np.nan, 0.5), *zip(LEVELS, np.full(4, 0.125), strict=True)])
    np.testing.assert_array_equal(Z[0], np.where(np.isnan(inputs[0]), 0.0, -1.0))
    assert (inputs[1] == 77.0).all()  # a number beside it is left as it is
    assert (Z[1] == 7.0).all()


def test_a_column_of_nothing_but_states():
    _, inputs = redraw_numbers([-999.0, np.nan], shares=np.array([0.5, 0.2, 0.3]), levels=np.empty(0))
    check_counts(inputs[0], zip(STATES, [0.5, 0.2, 0.3], strict=True))
    check_counts(inputs[1], zip(STATES, [0.5 * 5 / 7, 0.5 * 2 / 7, 0.5], strict=True))


def test_no_state_leaves_every_number_as_it_is():
    Z, inputs = redraw_numbers([4.0, 3.0], states=np.empty(0), shares=np.empty(0))
    assert (inputs == 77.0).all()
    assert (Z == 7.0).all()


# --- whole steps


def rounded(X, columns, steps, lows, highs, scale, Z, inputs):
    """The same one number at a time: reflect until it is inside, round, and stay inside."""
    Z, inputs = Z.copy(), inputs.copy()
    for k, i in np.ndindex(Z.shape[:2]):
        for j, step, low, high in zip(columns, steps, lows, highs, strict=True):
            x = float(X[k, j])
            if np.isnan(x) or scale[j] == 0:
                continue
            low, high = min(low, x), max(high, x)
            value = float(inputs[k, i, j])
            while not low - step / 2 <= value <= high + step / 2:
                value = 2 * low - step - value if value < low - step / 2 else 2 * high + step - value
            value = np.clip(np.rint(value / step) * step, low, high)
            inputs[k, i, j] = value
            Z[k, i, j] = (float(inputs[k, i, j]) - x) / scale[j]
    return Z, inputs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [0.3, 3.0, 300.0])
def test_rounding_against_loops(width, dtype):
    rng = np.random.default_rng(0)
    columns, scale = np.array([0, 2, 3, 4, 5]), width * np.array([1.0, 1.0, 60.0, 1.0, 0.0, 1.0])
    steps, lows, highs = (
        np.array([1.0, 60.0, 1.0, 1.0, 1.0]),
        np.array([0.0, -600, -3, 0, 4]),
        np.array([9.0, 0, 3, 9, 4]),
    )
    X = np.array([[0, 0.5, -60, 2, 5, 4], [9, 0.5, -600, -3, 5, 4], [40, 0.5, 1200, np.nan, 5, 5]], dtype)
    Z = rng.normal(size=(3, 200, 6)).astype(np.float32)
    inputs = (X[:, None] + scale * Z).astype(dtype)
    before = inputs.copy()
    expected = rounded(X, columns, steps, lows, highs, scale, Z, inputs)
    categories.round_to_steps(X, columns, steps, lows, highs, scale, Z, inputs)
    # float32 numbers before the rounding may be half-way to one side or the other of a step
    close = np.isclose(inputs, expected[1], equal_nan=True) & np.isclose(Z, expected[0], rtol=1e-5)
    assert close.mean() > (0.999 if dtype == np.float32 else 1 - 1e-12)
    for j, step, low, high in zip(columns[:3], steps, lows, highs, strict=False):
        own = inputs[:, :, j]
        own, x = own[~np.isnan(own).any(axis=1)], X[~np.isnan(X[:, j]), j]
        np.testing.assert_array_equal(own % step, 0)
        assert (own.min(axis=1) >= np.minimum(low, x)).all()
        assert (own.max(axis=1) <= np.maximum(high, x)).all()
        np.testing.assert_allclose(Z[~np.isnan(X[:, j]), :, j], (own - x[:, None]) / scale[j], rtol=1e-6)
    np.testing.assert_array_equal(inputs[:, :, [1, 4]], before[:, :, [1, 4]])


def test_what_is_not_rounded_stays():
    """Other columns, those held fixed, and missing values."""
    X = np.array([[0.25, 5.5, np.nan]])
    Z, inputs = np.full((1, 4, 3), 0.3, np.float32), np.full((1, 4, 3), 7.7)
    arguments = np.array([1, 2]), np.ones(2), np.zeros(2), np.full(2, 3.0), np.array([1.0, 0.0, 1.0])
    categories.round_to_steps(X, *arguments, Z, inputs)
    assert (inputs == 7.7).all()
    assert (Z == np.float32(0.3)).all()


def test_noise_wide_or_narrow_leaves_every_step_possible():
    """The ends are as likely as numbers inside: half a step beyond them is reflected. Uniform noise stays uniform."""
    n = 60_000
    X, Z = np.array([[4.0]]), np.zeros((1, n, 1), np.float32)
    inputs = np.random.default_rng(3).uniform(-10.5, 29.5, (1, n, 1))  # four times the width of 0 to 9
    categories.round_to_steps(X, np.array([0]), np.ones(1), np.zeros(1), np.full(1, 9.0), np.ones(1), Z, inputs)
    check_counts(inputs[0, :, 0], [(float(number), 0.1) for number in range(10)])
    np.testing.assert_array_equal(Z[0], inputs[0] - 4)


def test_dates_are_exact():
    """Microseconds since 1970 of two days a century away, as float64."""
    day = 86_400_000_000
    low, high = np.array([-18_000.0 * day]), np.array([36_500.0 * day])
    X = high[None].copy()
    Z = np.random.default_rng(0).normal(size=(1, 500, 1)).astype(np.float32)
    inputs = X[:, None] + 1e15 * Z
    categories.round_to_steps(X, np.array([0]), np.array([1.0 * day]), low, high, np.array([1e15]), Z, inputs)
    assert (inputs % day == 0).all()
    np.testing.assert_allclose(Z, (inputs - X) / 1e15, rtol=1e-6)
