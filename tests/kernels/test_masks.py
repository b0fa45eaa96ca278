import numpy as np
import pytest
from helpers import reference
from scipy.stats import chisquare

from normlime_fast._kernels import gaussian, masks

HALF = np.uint32(2**31)
BY_NUMBER = np.uint32(0)
UNLIKELY = 1e-6  # of a p-value: seeds are fixed, so that a test that passes once passes always


def drawn(n, d, chance=HALF, keys=(3,), seed=1, table=()):
    Z = np.full((len(keys), n, d), np.nan, np.float32)
    weights = np.full((len(keys), n), np.nan)
    masks.draw(np.uint64(seed), np.array(keys, np.uint64), np.uint32(chance), np.array(table, float), Z, weights)
    return Z, weights


def philox_words(count, seed, key, first=0):
    counters = first + np.arange(count)
    words = reference.philox(
        (counters % 2**32, counters // 2**32 + (masks.MASK << 16), key % 2**32, key >> 32), (seed % 2**32, seed >> 32)
    )
    return np.concatenate([np.broadcast_to(word, count) for word in words])


@pytest.mark.parametrize("seed", [0, 2**32 + 5, 2**64 - 1])
@pytest.mark.parametrize("key", [0, 2**32 + 3, 2**64 - 1])
@pytest.mark.parametrize("first", [0, 7, 2**32 - 3])
def test_words_are_philox(seed, key, first):
    out = np.zeros(4 * 9, np.uint32)
    gaussian.random_words(np.uint64(seed), np.uint64(key), np.uint64(masks.MASK), first, out)
    np.testing.assert_array_equal(out, philox_words(9, seed, key, first))


@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 3), (16, 64), (100, 41), (5, 1024)])
@pytest.mark.parametrize("chance", [1, 2**30, 2**32 - 1, int(philox_words(256, 1, 3)[-1])])
def test_features_are_on_where_their_word_is_below_the_chance(n, d, chance):
    blocks = [philox_words(256, 1, 3, start // 4) for start in range(0, n * d, 1024)]
    words = np.concatenate(blocks)[: n * d].reshape(n, d)
    expected = np.where(words < chance, 0, -1)
    expected[0] = 0
    np.testing.assert_array_equal(drawn(n, d, chance)[0][0], expected)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_share_of_features_that_are_on(probability):
    """The share of N independent ones is off by 5 standard deviations, sqrt(p (1 - p) / N), once in 1.7 million."""
    n, d = 20_001, 10
    on = drawn(n, d, round(probability * 2**32))[0][0, 1:] + 1
    deviation = np.sqrt(probability * (1 - probability) / (n - 1))
    assert abs(on.mean() - probability) < 5 * deviation / np.sqrt(d)
    np.testing.assert_array_less(abs(on.mean(axis=0) - probability), 5 * deviation)
    correlations = np.corrcoef(on.T)[np.triu_indices(d, 1)]
    np.testing.assert_array_less(abs(correlations), 5 / np.sqrt(n - 1))


@pytest.mark.parametrize("d", [1, 2, 5, 16, 60])
def test_number_of_features_that_are_off_is_uniform(d):
    off = -drawn(20_001, d, BY_NUMBER)[0][0, 1:].sum(axis=1).astype(int)
    counts = np.bincount(off, minlength=d + 1)
    assert counts[0] == 0
    assert d == 1 or chisquare(counts[1:]).pvalue > UNLIKELY


def test_sets_of_features_that_are_off_are_uniform_given_their_number():
    d, n = 5, 50_001
    off = -drawn(n, d, BY_NUMBER)[0][0, 1:].astype(int)
    number, subset = off.sum(axis=1), off @ (1 << np.arange(d))
    for k in range(1, d):
        counts = np.bincount(subset[number == k], minlength=2**d)
        possible = np.array([bin(s).count("1") == k for s in range(2**d)])
        assert counts[~possible].sum() == 0
        assert chisquare(counts[possible]).pvalue > UNLIKELY


def shuffled(n, d):
    """Draws by number in plain Python: no word of Philox is used twice."""
    order, count, z = list(range(d)), d // 8 + 1, np.zeros((n, d))
    for i in range(1, n):
        words = philox_words(count, 1, 3, first=i * count).astype(object)  # integers that do not overflow
        off = 1 + (words[0] * d >> 32)
        fewer = min(off, d - off)
        for j in range(fewer):
            other = j + (words[1 + j] * (d - j) >> 32)
            order[j], order[other] = order[other], order[j]
        z[i, order[:fewer] if fewer == off else order[fewer:]] = -1
    return z


@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 60, 63, 64])
def test_draws_by_number_against_python(d):
    np.testing.assert_array_equal(drawn(50, d, BY_NUMBER)[0][0], shuffled(50, d))


def test_samples_by_number_are_independent_of_the_one_before():
    """Each goes on with the order that the last one left: which are off twice in a row must not show it."""
    off = -drawn(20_001, 6, BY_NUMBER)[0][0, 1:]
    single = off[off.sum(axis=1) == 1].argmax(axis=1)
    pairs = np.bincount(6 * single[:-1] + single[1:], minlength=36)
    assert chisquare(pairs).pvalue > UNLIKELY


@pytest.mark.parametrize("chance", [HALF, BY_NUMBER])
@pytest.mark.parametrize("d", [0, 1, 7, 50])
def test_sets_depend_on_their_number_and_the_seed_alone(chance, d):
    whole = drawn(300, d, chance, keys=(4, 9, 4, 0))[0]
    assert (whole[:, 0] == 0).all()
    np.testing.assert_array_equal(whole[1:2], drawn(300, d, chance, keys=(9,))[0])
    np.testing.assert_array_equal(whole[0], whole[2])
    np.testing.assert_array_equal(whole[:, :70], drawn(70, d, chance, keys=(4, 9, 4, 0))[0])
    if d > 1:
        assert (whole[0] != whole[1]).any()
        assert (whole[0] != drawn(300, d, chance, keys=(4,), seed=2)[0][0]).any()


@pytest.mark.parametrize("chance", [HALF, BY_NUMBER])
@pytest.mark.parametrize("d", [1, 17, 300])
def test_weights_go_by_the_number_of_features_that_are_on(chance, d):
    table = np.random.default_rng(0).random(d + 1)
    Z, weights = drawn(90, d, chance, keys=(1, 2), table=table)
    np.testing.assert_array_equal(weights, table[(Z == 0).sum(axis=2)])


def test_weights_are_left_alone_without_a_table():
    assert np.isnan(drawn(9, 3)[1]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 150])  # around the bits of a lane
@pytest.mark.parametrize("size", [1, 1023, 1024, 2500])  # around what one loop takes
def test_rendering_against_numpy(dtype, n, size):
    rng = np.random.default_rng(n)
    d = min(size, 49)
    Z = drawn(n, d, keys=(1, 2, 3))[0]
    starts = np.array([0, 2, 2, 3])  # a set of two rows, of none, of one
    X, absent = (rng.integers(np.iinfo(dtype).max, size=(3, size), dtype=dtype, endpoint=True) for _ in range(2))
    segment = rng.integers(d, size=size).astype(np.uint32)
    inputs = np.zeros((3, n, size), dtype)
    masks.render(Z, starts, X, absent, segment, inputs)
    for row, k in enumerate([0, 0, 2]):
        np.testing.assert_array_equal(inputs[row], np.where(Z[k][:, segment] == 0, X[row], absent[row]))


@pytest.mark.parametrize("d", [0, 1, 40])
@pytest.mark.parametrize(("of_columns", "of_values"), [(np.uint32, np.uint64), (np.uint64, np.uint32)])
def test_thinned_entries_against_numpy(d, of_columns, of_values):
    Z = drawn(30, d)[0][0]
    columns, values = np.arange(5, 5 + d, dtype=of_columns), np.arange(100, 100 + d, dtype=of_values)
    ends = np.full(31, -1)
    masks.count(Z, ends)
    np.testing.assert_array_equal(ends, np.concatenate([[0], np.cumsum((Z == 0).sum(axis=1))]))
    kept, thinned = np.empty(ends[-1] + 1, of_columns), np.empty(ends[-1] + 1, of_values)
    masks.thin(Z, columns, values, kept, thinned)
    np.testing.assert_array_equal(kept[:-1], np.concatenate([columns[z == 0] for z in Z]))
    np.testing.assert_array_equal(thinned[:-1], np.concatenate([values[z == 0] for z in Z]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32])
@pytest.mark.parametrize("d", [0, 1, 9])
def test_written_texts_against_numpy(dtype, d):
    text = np.arange(40, dtype=dtype)
    feature = np.random.default_rng(d).integers(d + 1, size=40).astype(np.uint32)  # d is of no feature
    Z = drawn(20, d)[0][0]
    ends, out = np.zeros(20, int), np.zeros(20 * 40 + 1, dtype)
    masks.write(Z, text, feature, ends, out)
    kept = np.concatenate([Z == 0, np.ones((20, 1), bool)], axis=1)[:, feature]
    np.testing.assert_array_equal(ends, np.cumsum(kept.sum(axis=1)))
    np.testing.assert_array_equal(out[: ends[-1]], np.concatenate([text[row] for row in kept]))
