import hashlib

import numpy as np
import pytest
from helpers import reference
from scipy.special import ndtri

from normlime_fast._kernels import quasirandom

LAST = 2**32 - 1
EXTREME = 6.3379571  # minus the normal quantile of 2^-33

# Relative error of a quantile = |u - 1/2| times a polynomial of degree 7 in x:
#   3.6e-7  the polynomial with its rounded coefficients, the worse one (maximum of a dense grid in float64)
#   in units of float32's rounding, 2^-24:
#   2       |u - 1/2|: the integer and the half added to it
#   1       the product
#   1       the polynomial's last sum
#   1       what is left of its inner sums and products, which shrink tenfold from the constant on
#   1       x, from the logarithm: at most 8 roundings of an x of at most 8 (in the tails 1 of 5.6), times |p'/p| < 0.12
RELATIVE = 3.6e-7 + 6 * 2.0**-24


def quantiles(points, shifts=0):
    points = np.ascontiguousarray(points, np.uint32)
    out = np.full(points.shape, np.nan, np.float32)
    every = np.broadcast_to(np.asarray(shifts, np.uint32), points.shape)
    quasirandom.quantiles(points.ravel(), every.ravel(), out.reshape(-1))
    return out


def shifts(size, seed=1, instance=0):
    out = np.zeros(size, np.uint32)
    quasirandom.shifts(np.uint64(seed), np.uint64(instance), out)
    return out


def lower_half():
    """The extreme points, those around the change of polynomials (|z| = 3.1) and around 1/2, and a grid, ascending."""
    grid = np.arange(0, 2**31, 16411)
    change = round((1 - np.sqrt(1 - 2.0**-8)) * 2**31)  # log2(4 u (1 - u)) = -8
    runs = [np.arange(start, start + 2**14) for start in (0, change - 2**13, 2**31 - 2**14)]
    return np.unique(np.concatenate([grid, *runs]))


def test_quantiles_are_scipys():
    points = lower_half()
    expected = ndtri((points + 0.5) / 2**32)  # exact uniform numbers
    for z, signed in ((quantiles(points), expected), (quantiles(LAST - points), -expected)):
        np.testing.assert_allclose(z, signed, rtol=RELATIVE)
        assert np.abs(z - signed)[expected > -4.5].max() < 2e-6


def test_quantiles_ascend_up_to_rounding():
    """Rounding makes neighbours fall by 4 units in the last place at most (over all 2^32 points)."""
    z = quantiles(lower_half())
    assert (np.diff(z) >= -4 * np.spacing(np.abs(z[1:]))).all()
    assert z[0] < z[-1] < 0


def test_quantiles_are_antisymmetric():
    points = np.concatenate([lower_half(), np.random.default_rng(0).integers(2**32, size=10_000)]).astype(np.uint32)
    np.testing.assert_array_equal(quantiles(~points), -quantiles(points))


def test_extreme_quantiles_are_finite():
    """The border of `Gaussian` relies on it: none is beyond 6.7."""
    ends = quantiles(np.array([0, LAST]))
    np.testing.assert_allclose(ends, [-EXTREME, EXTREME], rtol=RELATIVE)
    smallest = quantiles(np.array([2**31 - 1, 2**31]))
    np.testing.assert_allclose(smallest, np.array([-1, 1]) * np.sqrt(2 * np.pi) * 2.0**-33, rtol=RELATIVE)


@pytest.mark.parametrize("shift", [0, 1, 2**31, 0xDEADBEEF, LAST])
def test_points_are_shifted_before(shift):
    points = np.random.default_rng(1).integers(2**32, size=1000, dtype=np.uint32)
    np.testing.assert_array_equal(quantiles(points, shift), quantiles(points ^ np.uint32(shift)))


@pytest.mark.parametrize("shift", [0, 2**31 + 12345, 0xDEADBEEF])
def test_moments_of_a_grid_under_any_shift(shift):
    """One point in each of N equal cells, before the shift and after: then the mean of f is off by less than the
    variation of f over N (Koksma 1942), which is 2 * 6.34^k for z^k."""
    n = 2**16
    z = quantiles(np.arange(n, dtype=np.uint32) << np.uint32(16), shift).astype(float)
    for k, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert abs((z**k).mean() - moment) < 2 * EXTREME**k / n


def test_quantiles_do_not_depend_on_their_place():
    """Vector code and what handles the rest of a loop give the same bits."""
    points = np.random.default_rng(2).integers(2**32, size=300, dtype=np.uint32)
    whole = quantiles(points)
    for start, stop in ((0, 0), (0, 1), (1, 18), (7, 300), (130, 197)):
        np.testing.assert_array_equal(quantiles(points[start:stop]), whole[start:stop])


def test_bits_of_quantiles_are_the_same_on_every_machine():
    """As first computed; the test above says that they are right, this one that nothing is fused or reordered."""
    z = quantiles(lower_half()).astype("<f4")
    assert hashlib.sha256(z.tobytes()).hexdigest() == "3950416e99fb8a6c2e1ec17ce2fd2f32b956227e12b3a2905de602a755a16e8a"


@pytest.mark.parametrize("seed", [0, 5, 2**32 + 5, 2**64 - 1])
@pytest.mark.parametrize("instance", [0, 3, 2**32 + 3, 2**64 - 1])
def test_shifts_are_philox(seed, instance):
    expected = reference.philox((np.arange(37), 2 << 16, instance % 2**32, instance >> 32), (seed % 2**32, seed >> 32))
    np.testing.assert_array_equal(shifts(37, seed, instance), expected[0])


def test_shifts_of_instances_and_seeds_and_columns_differ():
    """Of 4 * 16 numbers of 32 bits two agree with probability 5e-7."""
    drawn = [shifts(16, seed, instance) for seed in (0, 1) for instance in (0, 1)]
    assert len(np.unique(drawn)) == 4 * 16
    np.testing.assert_array_equal(shifts(5), shifts(16)[:5])


@pytest.mark.parametrize(("n", "d"), [(1, 1), (5, 3), (700, 3), (3, 1000), (3, 1024), (2, 1500)])
def test_instances_draw_from_the_same_points_by_their_own_shifts(n, d):
    points = np.random.default_rng(d).integers(2**32, size=(n, d), dtype=np.uint32)
    instances = np.array([7, 0, 2**64 - 1], np.uint64)
    Z = np.full((3, n, d), np.nan, np.float32)
    quasirandom.draw(np.uint64(1), instances, points, Z)
    for z, instance in zip(Z, instances, strict=True):
        np.testing.assert_array_equal(z, quantiles(points, shifts(d, 1, instance)))
