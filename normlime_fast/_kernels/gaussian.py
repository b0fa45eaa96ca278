"""Counter-based normal variates: Philox4x32-10 (Salmon et al. 2011) and the Box-Muller transform.

Every variate is a function of only (seed, instance, purpose, position). The 64 bits of the seed are Philox's key; the
128 bits of its counter are, word by word:

    0        low 32 bits of the sample counter
    1        high 16 bits of the sample counter (low half), purpose (high half)
    2, 3     instance, 64 bits

A counter gives four float32 variates or two float64. They come in blocks of 256 counters, and within a block, variate
v of counter i is at v * 256 + i: loops over i then read and write contiguously, which LLVM vectorises.

Logarithm, sine and cosine are polynomials (minimax, fitted by Remez exchange), not libm's, and no operation is fused or
reassociated: the bits are the same on every machine.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlime_fast._kernels.bits import bits32, bits64, float32, float64
from normlime_fast._kernels.jit import kernel

Array = NDArray[Any]

COUNTERS = 256  # per block; a power of two that divides 2**32
PERTURBATION, STREAM, SHIFT, MASK, CATEGORY, POINTS, UNSEEN = range(7)  # purposes of random numbers: different
# purposes never share numbers


u32 = np.uint32
u64 = np.uint64
i32 = np.int32
i64 = np.int64
f32 = np.float32
f64 = np.float64


@kernel(inline="always")
def philox(c0: u32, c1: u32, c2: u32, c3: u32, k0: u32, k1: u32) -> tuple[u32, u32, u32, u32]:
    """Encrypt a 128-bit counter under a 64-bit key: ten rounds of Philox4x32."""
    for _ in range(10):
        p0 = u64(0xD2511F53) * u64(c0)
        p1 = u64(0xCD9E8D57) * u64(c2)
        c0, c1, c2, c3 = u32(u32(p1 >> u64(32)) ^ c1 ^ k0), u32(p1), u32(u32(p0 >> u64(32)) ^ c3 ^ k1), u32(p0)
        k0 = u32(k0 + u32(0x9E3779B9))
        k1 = u32(k1 + u32(0xBB67AE85))
    return c0, c1, c2, c3


@kernel
def random_words(seed: u64, instance: u64, purpose: u64, first: int, out: Array) -> None:
    """Fill the uint32 `out` with random words: word v of counter first + i goes to v * (size / 4) + i."""
    count = out.size // 4
    k0, k1, c2, c3 = u32(seed), u32(seed >> u64(32)), u32(instance), u32(instance >> u64(32))
    start = (purpose << u64(48)) | u64(first)
    for i in range(count):
        c0, c1 = u32(start + u64(i)), u32((start + u64(i)) >> u64(32))
        out[i], out[count + i], out[2 * count + i], out[3 * count + i] = philox(c0, c1, c2, c3, k0, k1)


@kernel(inline="always")
def _normals32(w0: u32, w1: u32) -> tuple[f32, f32]:
    """Box-Muller: radius from w0 (31 bits, never 0), angle from w1 (its first two bits are the quarter turn)."""
    uniform = (f32(i32(w0 >> u32(1))) + f32(0.5)) * f32(2.0**-31)
    bits = bits32(uniform)
    exponent = i32(u32(bits - u32(0x3F3504F3))) >> i32(23)  # uniform = 2^exponent m, m in [1/sqrt(2), sqrt(2))
    m = float32(u32(bits - u32(u32(exponent) << u32(23))))
    s = (m - f32(1.0)) / (m + f32(1.0))  # log m = 2 artanh s
    q = s * s
    log = f32(0.66666687) + q * (f32(0.39988717) + q * f32(0.29582047))
    radius = np.sqrt(f32(-2.0) * (f32(exponent) * f32(0.6931472) + (s + s + s * q * log)))

    x = f32(i32(u32(w1 << u32(2)))) * f32(2.0**-32)  # in quarter turns, in [-1/2, 1/2)
    y = x * x
    sine = x * (f32(1.5707964) + y * (f32(-0.6459635) + y * (f32(0.07968023) + y * f32(-0.004602177))))
    cosine = f32(0.2536692) + y * (f32(-0.020860072) + y * f32(0.00090363174))
    cosine = f32(1.0) + y * (f32(-1.2337005) + y * cosine)
    swap = (w1 & u32(0x40000000)) != u32(0)
    first = sine if swap else cosine
    second = cosine if swap else sine
    first = float32(u32(bits32(first) ^ u32(u32(w1 + u32(0x40000000)) & u32(0x80000000))))
    second = float32(u32(bits32(second) ^ u32(w1 & u32(0x80000000))))
    return radius * first, radius * second


@kernel(inline="always")
def _normals64(w0: u32, w1: u32, w2: u32, w3: u32) -> tuple[f64, f64]:
    """Box-Muller in double precision: radius from w0 and w1 (53 bits, never 0), angle from w2 and w3."""
    uniform = (f64(i64((u64(w0) << u64(21)) ^ (u64(w1) >> u64(11)))) + 0.5) * 2.0**-53
    bits = bits64(uniform)
    exponent = i64(u64(bits - u64(0x3FE6A09E667F3BCD))) >> i64(52)
    m = float64(u64(bits - u64(u64(exponent) << u64(52))))
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    log = 0.18182892874011253 + q * (0.15331608391353943 + q * 0.1461773171896921)
    log = 0.3999999999989851 + q * (0.2857142862637009 + q * (0.2222221107758415 + q * log))
    log = 0.666666666666667 + q * log
    radius = np.sqrt(-2.0 * (f64(exponent) * 0.6931471805599453 + (s + s + s * q * log)))

    angle = (u64(w2) << u64(32)) | u64(w3)
    x = f64(i64(angle << u64(2))) * 2.0**-64
    y = x * x
    sine = 0.00016044115075202156 + y * (-3.5986433880444222e-06 + y * 5.633938468174061e-08)
    sine = -0.6459640975062443 + y * (0.07969262624604308 + y * (-0.0046817541323422454 + y * sine))
    sine = x * (1.5707963267948966 + y * sine)
    cosine = -2.520203677168825e-05 + y * (4.710609762532987e-07 + y * -6.3212609631364855e-09)
    cosine = 0.2536695079010467 + y * (-0.020863480763311227 + y * (0.0009192602741833647 + y * cosine))
    cosine = 1.0 + y * (-1.2337005501361697 + y * cosine)
    swap = (w2 & u32(0x40000000)) != u32(0)
    first = sine if swap else cosine
    second = cosine if swap else sine
    first = float64(bits64(first) ^ ((angle + (u64(1) << u64(62))) & (u64(1) << u64(63))))
    second = float64(bits64(second) ^ (angle & (u64(1) << u64(63))))
    return radius * first, radius * second


@kernel(inline="always")
def _words(instance: u64, purpose: u64, block: u64) -> tuple[u32, u32, u32, u32]:
    """Return the first counter of a block."""
    first = block * u64(COUNTERS)
    return u32(first), u32((first >> u64(32)) | (purpose << u64(16))), u32(instance), u32(instance >> u64(32))


@kernel
def _block32(seed: u64, instance: u64, purpose: u64, block: u64, out: Array) -> None:
    """Write one block of 4 * COUNTERS float32 variates."""
    c0, c1, c2, c3 = _words(instance, purpose, block)
    for i in range(COUNTERS):
        w0, w1, w2, w3 = philox(u32(c0 | u32(i)), c1, c2, c3, u32(seed), u32(seed >> u64(32)))
        out[i], out[COUNTERS + i] = _normals32(w0, w1)
        out[2 * COUNTERS + i], out[3 * COUNTERS + i] = _normals32(w2, w3)


@kernel
def _block64(seed: u64, instance: u64, purpose: u64, block: u64, out: Array) -> None:
    """Write one block of 2 * COUNTERS float64 variates."""
    c0, c1, c2, c3 = _words(instance, purpose, block)
    for i in range(COUNTERS):
        w0, w1, w2, w3 = philox(u32(c0 | u32(i)), c1, c2, c3, u32(seed), u32(seed >> u64(32)))
        out[i], out[COUNTERS + i] = _normals64(w0, w1, w2, w3)


@kernel
def fill(seed: u64, instance: u64, purpose: u64, block: u64, out: Array) -> None:
    """Fill the 1-D `out` with standard normal variates, starting with the first of `block`."""
    size = COUNTERS * 16 // out.itemsize
    last = np.empty(size, out.dtype)
    for start in range(0, out.size, size):
        rest = min(size, out.size - start)
        piece = out[start : start + size] if rest == size else last
        if out.itemsize == 4:
            _block32(seed, instance, purpose, block + u64(start // size), piece)
        else:
            _block64(seed, instance, purpose, block + u64(start // size), piece)
        if rest < size:
            for i in range(rest):  # a loop: assigning slices would take two seconds to compile
                out[start + i] = last[i]


@kernel
def _emit(shift: int, x: Array, scales: Array, some_fixed: bool, z: Array, perturbed: Array) -> None:
    """Write a block of inputs that begins at column `shift`."""
    x, scales = x[shift:], scales[shift:]
    if some_fixed:
        for i in range(z.size):
            z[i] = z[i] if scales[i] > 0.0 else f32(0.0)
    for i in range(z.size):
        perturbed[i] = x[i] + scales[i] * z[i]


@kernel
def perturb(
    seed: u64, keys: Array, starts: Array, X: Array, scale: Array, drawn: bool, Z: Array, inputs: Array
) -> None:
    """Draw the samples z of every key into Z (m, n, d); those of keys[k] perturb the rows starts[k] to starts[k + 1].

    inputs (rows, n, d) = X + scale * z. A feature whose scale is 0 has z = 0. With `drawn`, Z already has the samples.
    """
    m, n, d = Z.shape
    size = 4 * COUNTERS
    # Blocks do not end with rows: values that repeat in every row are tiled so that loops run over whole blocks.
    x = np.empty(d + size, X.dtype)
    scales = np.empty(d + size)
    last = np.empty(size, np.float32)
    some_fixed = False
    for i in range(d + size):
        scales[i] = scale[i % d]
        some_fixed |= scales[i] == 0.0
    for k in range(m):
        z = Z[k].reshape(-1)
        for row in range(starts[k], starts[k + 1]):
            for i in range(d + size):
                x[i] = X[row, i % d]
            perturbed = inputs[row].reshape(-1)
            for start in range(0, n * d, size):
                stop = min(start + size, n * d)
                if row == starts[k] and not drawn:
                    whole = stop - start == size
                    _block32(seed, keys[k], u64(PERTURBATION), u64(start // size), z[start:stop] if whole else last)
                    if not whole:
                        for i in range(stop - start):
                            z[start + i] = last[i]
                _emit(start % d, x, scales, some_fixed, z[start:stop], perturbed[start:stop])
