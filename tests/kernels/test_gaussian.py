import numpy as np
import pandas as pd
import pytest
from helpers import reference
from scipy import stats

from normlime_fast import Gaussian, sample_gaussian
from normlime_fast._kernels import gaussian

SEED = 0x0123_4567_89AB_CDEF
FALSE_ALARM = 1e-6  # of every statistical test here, all its comparisons together; the seeds are fixed

# Relative error of a variate = radius * sine in units of its type's rounding, eps / 2, roundings alone:
#   5   radius: the logarithm e log 2 + t, t = 2 artanh s, has 2 in its first term, 3 in t and cancels at worst to |t| =
#       log 2 / 2, where they are 2 * 2 + 3, with the sum's own 8; the root halves that and adds 1
#   5   sine (cosine has less): 1 of the angle, 1 of the leading coefficient, 1 of the sum, 1 of the product, and what
#       is left of the inner terms' roundings, which |y| <= 1/4 shrinks tenfold
#   1   their product
#   4   the oracle's own logarithm, root, sine and product, and the truncated series: Chebyshev's bound on the first
#       term left out is 3e-9 of t and of sine in float32, 4e-18 in float64, each below 1/10
ROUNDINGS = 5 + 5 + 1 + 4


def variates(size, seed=SEED, instance=0, purpose=0, block=0, dtype=np.float32):
    out = np.full(size, np.nan, dtype)
    gaussian.fill(np.uint64(seed), np.uint64(instance), np.uint64(purpose), np.uint64(block), out)
    return out


def rounding(dtype):
    return ROUNDINGS * np.finfo(dtype).eps / 2


def z_bound(comparisons):
    """What none of so many standard normal statistics exceeds, but for FALSE_ALARM."""
    return stats.norm.isf(FALSE_ALARM / comparisons / 2)


def assert_uncorrelated(rows):
    """No two of the rows, nor their squares, correlate: n r^2 is chi-squared of one degree."""
    count, n = rows.shape
    for values in (rows, rows**2):
        r = np.corrcoef(values)[np.triu_indices(count, 1)]
        assert np.abs(r).max() * np.sqrt(n) < z_bound(2 * r.size)


@pytest.mark.parametrize(
    ("counter", "key", "result"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_random123(counter, key, result):
    assert gaussian.philox(*(np.uint32(word) for word in (*counter, *key))) == result
    assert tuple(int(word) for word in reference.philox(counter, key)) == result  # the oracle below


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("seed", "instance", "purpose", "block"),
    [
        (SEED, 0, 0, 0),
        (2**64 - 1, 1, 1, 1),
        (2**63, 2**32 - 1, 0, 5),
        (1, 2**32, 0, 2**24 - 1),  # the counter's low word overflows into the next
        (1, 2**32 + 1, 0, 2**24),
        (2**32, 2**64 - 1, 2**16 - 1, 2**32),
        (2**40 + 7, 3, 5, 2**40 - 2),  # the last two blocks
    ],
)
def test_stream_is_philox_and_box_muller(seed, instance, purpose, block, dtype):
    size = 2 * 4096 // np.dtype(dtype).itemsize
    z = variates(size, seed, instance, purpose, block, dtype)
    expected = reference.normals(seed, instance, purpose, block, size, dtype)
    np.testing.assert_allclose(z, expected, rtol=rounding(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_in_a_million_variates(dtype):
    size = 2**20 + 3
    np.testing.assert_allclose(
        variates(size, dtype=dtype), reference.normals(SEED, 0, 0, 0, size, dtype), rtol=rounding(dtype)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_block_is_addressable_on_its_own(dtype):
    size = 4096 // np.dtype(dtype).itemsize
    whole = variates(7 * size, block=2**24 - 3, dtype=dtype)  # across the boundary of the counter's words
    for block in range(7):
        np.testing.assert_array_equal(
            variates(size, block=2**24 - 3 + block, dtype=dtype), whole[block * size : (block + 1) * size]
        )
    for length in (0, 1, 255, size - 1, size + 1, 6 * size + 100):
        np.testing.assert_array_equal(variates(length, block=2**24 - 3, dtype=dtype), whole[:length])


def test_every_bit_of_every_part_of_the_key_matters():
    """A counter is 48 bits of position (40 of block, 8 of the place in it), 16 of purpose and 64 of instance."""
    widths = {"seed": 64, "instance": 64, "purpose": 16, "block": 40}
    streams = [variates(1024)]
    for name, width in widths.items():
        base = SEED if name == "seed" else 0
        streams += [variates(1024, **{name: base ^ 1 << bit}) for bit in range(width)]
    # All 185 * 256 counters differ; two values of float32 still meet where their 63 bits round to the same, so compare
    # quadruples: with 126 random bits, none should.
    quadruples = np.stack(streams).reshape(-1, 4, 256).transpose(0, 2, 1).reshape(-1, 4)
    assert len(np.unique(quadruples, axis=0)) == len(quadruples) == 185 * 256


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("d", "n"), [(1, 5), (7, 300), (8, 128), (30, 600), (1500, 37), (20_000, 3)], ids=lambda size: str(size)
)
def test_perturbed_samples_follow_the_stream(d, n, dtype):
    """Row after row of n samples takes the next d variates of the instance's own stream."""
    rng = np.random.default_rng(d)
    instances = np.array([0, 7, 2**32 + 1], np.uint64)
    X = rng.normal(size=(3, d)).astype(dtype)
    scale = rng.exponential(size=d)
    scale[d // 2 :: 3] = 0.0
    Z = np.full((3, n, d), np.nan, np.float32)
    inputs = np.full((3, n, d), np.nan, dtype)
    gaussian.perturb(np.uint64(SEED), instances, np.arange(4), X, scale, False, Z, inputs)
    for k, instance in enumerate(instances):
        z = variates(n * d, instance=instance, purpose=gaussian.PERTURBATION).reshape(n, d)
        np.testing.assert_array_equal(Z[k], np.where(scale > 0, z, 0))
        step = scale * z.astype(np.float64)
        # the sum is rounded once, and before it the product, each to the inputs' type or better
        tolerance = np.finfo(dtype).eps / 2 * (np.abs(step) + np.abs(X[k] + step))
        assert (np.abs(inputs[k] - (X[k] + step)) <= tolerance * (1 + 1e-6)).all()
    np.testing.assert_array_equal(inputs[:, :, scale == 0], np.broadcast_to(X[:, None], inputs.shape)[:, :, scale == 0])


def test_instances_of_a_call_do_not_depend_on_each_other():
    instances, X, scale = np.arange(5, dtype=np.uint64), np.ones((5, 6)), np.ones(6)
    Z, inputs = np.empty((5, 9, 6), np.float32), np.empty((5, 9, 6))
    gaussian.perturb(np.uint64(1), instances, np.arange(6), X, scale, False, Z, inputs)
    Z_some, inputs_some = np.empty((2, 9, 6), np.float32), np.empty((2, 9, 6))
    gaussian.perturb(np.uint64(1), instances[[4, 1]], np.arange(3), X[:2], scale, False, Z_some, inputs_some)
    np.testing.assert_array_equal(Z_some, Z[[4, 1]])
    np.testing.assert_array_equal(inputs_some, inputs[[4, 1]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [0, 1, 2**63 + 5])
def test_moments(seed, dtype):
    """The mean of z^k is off by sqrt((E z^2k - (E z^k)^2) / n) times a standard normal variate."""
    n = 2**21
    z = variates(n, seed, dtype=dtype).astype(np.float64)
    power = np.ones(n)
    for k in range(1, 7):
        power *= z
        mean, second = stats.norm.moment(k), stats.norm.moment(2 * k)
        assert abs(power.mean() - mean) < z_bound(6 * 6) * np.sqrt((second - mean**2) / n), f"moment {k}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [0, 1, 2**63 + 5])
def test_kolmogorov_smirnov(seed, dtype):
    z = variates(2**19, seed, dtype=dtype)
    assert stats.kstest(z, "norm").pvalue > FALSE_ALARM / 6
    pairs = z.reshape(-1, 2, 256).astype(np.float64)
    assert stats.kstest((pairs**2).sum(axis=1).ravel(), "chi2", args=(2,)).pvalue > FALSE_ALARM / 6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tails(dtype):
    """Numbers beyond a threshold are binomial: 8 million variates have 531 beyond 4 sigma and 4.8 beyond 5."""
    z = variates(2**23, dtype=dtype)
    for threshold in (1, 2, 3, 4, 5):
        for count in ((z > threshold).sum(), (z < -threshold).sum()):
            p = stats.binomtest(int(count), z.size, stats.norm.sf(threshold)).pvalue
            assert p > FALSE_ALARM / 20, f"beyond {threshold}"


def test_largest_variates():
    """Uniform numbers stop at 2^-32 and 2^-54: radii of 6.66 and 8.65. The border relies on the first."""
    for dtype, smallest in ((np.float32, 2.0**-32), (np.float64, 2.0**-54)):
        assert np.abs(variates(2**20, dtype=dtype)).max() < np.sqrt(-2 * np.log(smallest)) * (1 + rounding(dtype))


def test_no_correlation_between_features_and_between_samples():
    Z = np.empty((1, 4096, 40), np.float32)
    one, X = np.array([0, 1]), np.zeros((1, 40))
    gaussian.perturb(np.uint64(3), np.zeros(1, np.uint64), one, X, np.ones(40), False, Z, np.empty((1, 4096, 40)))
    assert_uncorrelated(Z[0].T.astype(np.float64))
    assert_uncorrelated(Z[0, :, :32].reshape(64, -1).astype(np.float64))


@pytest.mark.parametrize("name", ["instance", "seed", "purpose", "block"])
def test_no_correlation_between_neighbouring_streams(name):
    width = {"purpose": 16, "block": 40}.get(name, 64)
    numbers = [*range(16), *(1 << bit for bit in range(4, width)), 2**width - 1]
    rows = np.stack([variates(4096, **{name: number}) for number in numbers]).astype(np.float64)
    if name == "block":
        rows = rows[:, :1024]  # the next block begins there
    assert_uncorrelated(rows)


def test_no_correlation_within_a_stream():
    """At all lags within two blocks, so also between the variates of a counter and of its neighbours."""
    n, lags = 2**20, 2048
    z = variates(n).astype(np.float64)
    for values in (z, (z**2 - 1) / np.sqrt(2)):
        spectrum = np.abs(np.fft.rfft(values, 2 * n)) ** 2
        correlation = np.fft.irfft(spectrum)[1 : lags + 1] / np.sqrt(n - np.arange(1, lags + 1))
        assert np.abs(correlation).max() < z_bound(2 * lags)


# --- the public functions over these kernels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [0, 5, (), (0, 3), (7, 300), [2, 3, 4], (np.int64(9),)])
def test_sample_gaussian_is_the_stream_of_its_seed(shape, dtype):
    z = sample_gaussian(shape, rng=5, dtype=dtype)
    assert (z.shape, z.dtype) == (np.empty(shape).shape, dtype)
    seed = int(np.random.default_rng(5).integers(2**64, dtype=np.uint64))
    np.testing.assert_array_equal(z.ravel(), variates(z.size, seed, purpose=gaussian.STREAM, dtype=dtype))


def test_rng_follows_spec_7():
    expected = sample_gaussian(10, rng=3)
    generator = np.random.default_rng(3)
    for rng in (np.int64(3), np.random.SeedSequence(3), np.random.PCG64(3), generator):
        np.testing.assert_array_equal(sample_gaussian(10, rng=rng), expected)
    assert (sample_gaussian(10, rng=generator) != expected).any()  # a generator goes on
    assert (sample_gaussian(10) != sample_gaussian(10)).any()


def test_global_state_of_numpy_is_neither_read_nor_set():
    def after_seeding(draw):
        np.random.seed(0)  # noqa: NPY002
        draw()
        return np.random.random()  # noqa: NPY002

    assert after_seeding(lambda: sample_gaussian(10)) == after_seeding(lambda: None)
    np.random.seed(0)  # noqa: NPY002
    first = sample_gaussian(10)
    np.random.seed(0)  # noqa: NPY002
    assert (sample_gaussian(10) != first).any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1,), ValueError, r"^shape must be at least 0, got -1$"),
        (((2, -3),), ValueError, r"^shape must be at least 0, got -3$"),
        ((2.0,), TypeError, r"^shape must be an integer, got 2.0$"),
        (((2, "3"),), TypeError, r"^shape must be an integer, got '3'$"),
        ((None,), TypeError, r"^shape must be an integer, got None$"),
        ((2, -1), TypeError, r"^rng must be None, an integer >= 0, .* got -1$"),
        ((2, "seed"), TypeError, r"^rng must be None, an integer >= 0, .* got 'seed'$"),
        ((2, 1.5), TypeError, r"^rng must be None, an integer >= 0, .* got 1.5$"),
        ((2, 0, np.float16), ValueError, r"^dtype must be float32 or float64, got .*float16"),
        ((2, 0, int), ValueError, r"^dtype must be float32 or float64, got .*int"),
    ],
)
def test_bad_input_of_sample_gaussian(arguments, error, message):
    shape, rng, dtype = (*arguments, *(0, np.float32)[len(arguments) - 1 :])
    with pytest.raises(error, match=message):
        sample_gaussian(shape, rng, dtype=dtype)


def test_gaussian_keeps_its_scale():
    scale = np.array([0.5, 0.0, 2.0])
    neighborhood = Gaussian(scale)
    scale[0] = 7.0
    assert neighborhood.scale.tolist() == [0.5, 0.0, 2.0]
    assert not neighborhood.scale.flags.writeable
    assert Gaussian(2).scale == Gaussian(np.float32(2)).scale == 2.0
    assert Gaussian([True, 3]).scale.dtype == np.float64


def test_gaussian_from_data():
    X = np.random.default_rng(0).normal(size=(100, 4)) * [1.0, 1e-300, 1e150, 5.0]
    X[:, 3] = 0.1  # a sum of 100 tenths is not 10
    expected = 0.5 * (X / [1.0, 1e-300, 1e150, 1.0]).std(axis=0) * [1.0, 1e-300, 1e150, 0.0]
    np.testing.assert_allclose(Gaussian.from_data(X, 0.5).scale, expected, rtol=1e-12)
    frame = pd.DataFrame({"a": [1, 3], "b": [False, True]})
    assert Gaussian.from_data(frame).scale.tolist() == [1.0, 0.0]  # bools are categories
    assert Gaussian.from_data([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]]).scale.tolist() == [1.0, 0.0]
    assert Gaussian.from_data([[1.0, 2.0]]).scale.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("scale", "error", "message"),
    [
        (-1.0, ValueError, r"^scale must be at least 0, got -1.0$"),
        ([1.0, -0.5], ValueError, r"^scale must be at least 0, got -0.5$"),
        (np.nan, ValueError, r"^scale must be finite, got 1 NaN or infinite values"),
        (
            [1.0, np.nan, np.inf],
            ValueError,
            r"^scale must be finite, got 2 NaN or infinite values, the first at \(1,\)$",
        ),
        ([], ValueError, r"^scale must not be empty, got shape \(0,\)$"),
        ([[1.0, 2.0]], ValueError, r"^scale must be 0-D or 1-D, got shape \(1, 2\)$"),
        ("wide", TypeError, r"^scale must hold real numbers, got dtype <U4$"),
        (None, (TypeError, ValueError), r"^scale must "),
    ],
)
def test_bad_input_of_gaussian(scale, error, message):
    with pytest.raises(error, match=message):
        Gaussian(scale)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((0, 3)),), ValueError, r"^X must not be empty, got shape \(0, 3\)$"),
        (([1.0, 2.0],), ValueError, r"^X must be 2-D, got shape \(2,\)$"),
        (
            ([[1.0, np.inf]],),
            ValueError,
            r"^X must be finite, got 1 infinite value in column 1, the first in row 0; ",
        ),
        (([["a", "b"]],), TypeError, r"^X must hold real numbers, got dtype <U1; pass a DataFrame, "),
        ((pd.DataFrame({"a": [1j]}),), TypeError, r"^X must hold numbers, text, .*, got column 'a' of dtype complex"),
        (([[0.0, 1e308], [0.0, -1e308]], 2.0), ValueError, r"^X must have finite column .* an overflow in column 1$"),
        (([[0.0], [1.0]], 0), ValueError, r"^width must be larger than 0, got 0"),
        (([[0.0], [1.0]], -1.0), ValueError, r"^width must be finite and at least 0, got -1.0$"),
        (([[0.0], [1.0]], np.inf), ValueError, r"^width must be finite and at least 0, got inf$"),
        (([[0.0], [1.0]], "1"), TypeError, r"^width must be a number, got '1'$"),
    ],
)
def test_bad_input_of_from_data(arguments, error, message):
    with pytest.raises(error, match=message):
        Gaussian.from_data(*arguments)
