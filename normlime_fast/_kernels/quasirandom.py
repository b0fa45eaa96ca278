"""Normal variates from low-discrepancy points: digital shifts, and the normal quantile of integers.

XOR with one random integer per column (a random digital shift in base 2) preserves the even spread of Sobol points and
makes each of them uniform: means over them are unbiased, and every instance gets its own points.

Logarithm and quantile are polynomials (minimax, fitted by Remez exchange), not libm's, and no operation is fused or
reassociated: the bits are the same on every machine.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.bits import bits32, float32
from normlime_fast._kernels.gaussian import SHIFT, philox
from normlime_fast._kernels.jit import kernel

Array = NDArray[Any]


u32 = np.uint32
u64 = np.uint64
i32 = np.int32
f32 = np.float32


@kernel
def shifts(seed: u64, instance: u64, out: Array) -> None:
    """Fill the 1-D uint32 `out` with an instance's digital shifts: for column j the first word of counter j."""
    k0, k1 = u32(seed), u32(seed >> u64(32))
    c2, c3 = u32(instance), u32(instance >> u64(32))
    for j in range(out.size):
        out[j] = philox(u32(j), u32(SHIFT << 16), c2, c3, k0, k1)[0]


@kernel(inline="always")
def _quantile(word: u32) -> f32:
    """Return the normal quantile of u = (word + 1/2) / 2^32; ~word gives exactly the opposite.

    It is u - 1/2 times a polynomial in log2(4 u (1 - u)) near the middle and in its root in the tails, the variables of
    Giles (2010). Both have degree 7, so that only coefficients are selected, not results.
    """
    near = u32(word ^ u32(i32(word) >> i32(31)))  # steps to the nearer end, 31 bits
    v = (f32(i32(near)) + f32(0.5)) * f32(2.0**-31)  # 2 min(u, 1 - u)
    middle = (f32(i32(near ^ u32(0x7FFFFFFF))) + f32(0.5)) * f32(2.0**-32)  # |u - 1/2|

    product = v * (f32(2.0) - v)
    bits = bits32(product)
    exponent = i32(u32(bits - u32(0x3F3504F3))) >> i32(23)  # product = 2^exponent m, m in [1/sqrt(2), sqrt(2))
    m = float32(u32(bits - u32(u32(exponent) << u32(23))))
    s = (m - f32(1.0)) / (m + f32(1.0))  # log m = 2 artanh s
    q = s * s
    size = -(f32(exponent) + s * (f32(2.8853912) + q * (f32(0.9614708) + q * f32(0.5989739))))

    tail = size > f32(8.0)  # |quantile| > 3.1
    x = (np.sqrt(size) if tail else size) - f32(4.0)
    y = f32(-0.00015160651) if tail else f32(7.285385e-08)
    y = (f32(0.0007386376) if tail else f32(-7.870804e-07)) + x * y
    y = (f32(-0.001589535) if tail else f32(-4.0239993e-06)) + x * y
    y = (f32(0.0025874968) if tail else f32(0.00013576158)) + x * y
    y = (f32(-0.004906081) if tail else f32(-0.0009626738)) + x * y
    y = (f32(0.00892881) if tail else f32(-0.0069382703)) + x * y
    y = (f32(2.3690636) if tail else f32(0.47856727)) + x * y
    y = (f32(8.950724) if tail else f32(4.4358397)) + x * y
    return f32(y * float32(u32(bits32(middle) ^ u32(u32(~word) & u32(0x80000000)))))


@kernel
def quantiles(points: Array, shifts: Array, out: Array) -> None:
    """Fill the 1-D float32 `out` with normal quantiles of the uint32 `points`, each XORed with its shift."""
    for i in range(out.size):
        out[i] = _quantile(u32(points[i] ^ shifts[i]))


@kernel
def draw(seed: u64, instances: Array, points: Array, Z: Array) -> None:
    """Turn the uint32 `points` (n, d) into normal variates for every instance: Z (m, n, d)."""
    n, d = points.shape
    rows = max(1, min(n, 1024 // d))  # per loop, since short loops are slow
    shift = np.empty(rows * d, np.uint32)
    flat = points.reshape(-1)
    for k in range(Z.shape[0]):
        for i in range(rows):
            shifts(seed, instances[k], shift[i * d : (i + 1) * d])
        z = Z[k].reshape(-1)
        for start in range(0, n * d, rows * d):
            stop = min(start + rows * d, n * d)
            quantiles(flat[start:stop], shift[: stop - start], z[start:stop])
