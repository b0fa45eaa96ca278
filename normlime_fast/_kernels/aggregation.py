"""Single-pass column sums over sparse local explanations (Eq. 3, 4, 6 and 9 of the paper).

With gamma = |w| / ||w||_1 over an explanation's own weights, every weight adds to seven sums of its group, sign and
feature:  1,  gamma |w|,  (gamma |w|)^2,  |w|,  w^2,  (gamma |w|)^3,  |w|^3.

Loading and storing these sums costs more than computing the terms. So within a chunk the first is counted in 16 bits,
and the other six, the terms, are contiguous and added as vectors, which numba does not generate from a loop.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from normlime_fast._kernels.bits import bits64
from normlime_fast._kernels.jit import kernel

Array = NDArray[Any]

SUMS = 7  # in the order above
_TERMS = SUMS - 1
CHUNK = (1 << 16) - 1  # explanations that 16 bits can count; chunks are summed separately and added in order
BLOCK = 1 << 15  # approximate number of weights that are still in the cache when their norms are known
DONE, LARGE, UNTIDY = range(3)  # results of `aggregate`
LARGEST_WEIGHT = 1e100  # sums of many of its cubes are finite
_SCALE = 2.0**60  # of norms, so that no reciprocal overflows

u64 = np.uint64  # index type: with unsigned indices numba skips the check for negative ones


@intrinsic
def _add_terms(context: Any, data: Any, k: Any, inverse: Any, cells: Any, terms: Any) -> Any:
    """Add gamma |w|, |w|, their squares and cubes, of data[k], data[k + 1] ..., to terms[cells[0]], terms[cells[1]] ...

    inverse is 1 / (||w||_1 * _SCALE).
    """
    lanes = len(cells)
    number, lane = ir.DoubleType(), ir.IntType(32)
    several, four, two = (ir.VectorType(number, width) for width in (lanes, 4, 2))

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        def at(argument: int, index: Any, target: Any) -> Any:
            array = context.make_array(signature.args[argument])(context, builder, arguments[argument])
            return builder.bitcast(builder.gep(array.data, [index]), target.as_pointer())

        def mix(left: Any, right: Any, *places: int) -> Any:
            return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(lane, len(places)), places))

        _, k, inverse, cells, _ = arguments
        kind = ir.FunctionType(several, [several])
        absolute = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.v{lanes}f64")
        size = builder.call(absolute, [builder.load(at(0, k, several), align=8)])
        inverses = builder.insert_element(ir.Constant(several, ir.Undefined), inverse, ir.Constant(lane, 0))
        inverses = mix(inverses, inverses, *[0] * lanes)
        gamma = builder.fmul(builder.fmul(size, ir.Constant(several, [_SCALE] * lanes)), inverses)
        contribution = builder.fmul(gamma, size)
        for n, cell in enumerate(cgutils.unpack_tuple(builder, cells)):
            pair = mix(contribution, size, n, lanes + n)
            squares = builder.fmul(pair, pair)
            first = builder.mul(cell, ir.Constant(cell.type, _TERMS))
            last = builder.add(first, ir.Constant(cell.type, 4))
            for place, kind, added in (
                (first, four, mix(pair, squares, 0, 1, 2, 3)),
                (last, two, builder.fmul(pair, squares)),
            ):
                target = at(4, place, kind)
                builder.store(builder.fadd(builder.load(target, align=8), added), target, align=8)
        return context.get_dummy_value()

    return types.void(data, types.uint64, types.float64, cells, terms), generate


@kernel(fastmath={"reassoc"})  # a norm may be summed several weights at a time
def _invert_norms(rows: tuple[Array, ...], d: int, inverses: Array) -> int:
    """Write 1 / (||w||_1 * _SCALE) of every row, negative if it has stored zeros; check the input of _add_rows."""
    indptr, indices, data = rows
    status = DONE
    for row in range(inverses.size):
        start, stop = u64(indptr[row]), u64(indptr[row + 1])
        if start > stop or stop > u64(data.size):
            return UNTIDY
        tidy = start == stop or (indices[start] >= 0 and indices[stop - u64(1)] < d)
        for k in range(start + u64(1), stop):
            tidy &= indices[k - u64(1)] < indices[k]
        if not tidy:
            return UNTIDY
        norm, zeros = 0.0, False
        for k in range(start, stop):
            norm += abs(data[k])
            zeros |= data[k] == 0.0
        if not norm <= LARGEST_WEIGHT:  # or it is NaN
            status = LARGE
        inverse = 1.0 / (norm * _SCALE) if norm > 0.0 else 1.0
        inverses[row] = -inverse if zeros else inverse
    return status


@kernel(inline="always")
def _count(indices: Array, data: Array, k: u64, first: int, d: int, counts: Array, n: int) -> u64:
    """Add n to the count of weight k's cell, that of its group, sign and feature; return the cell."""
    negative = np.int64(bits64(data[k])) >> 63  # -1 or 0
    cell = u64(first + indices[k] + (negative & d))
    counts[cell] += n
    return cell


@kernel
def _add_rows(rows: tuple[Array, ...], groups: Array, d: int, inverses: Array, counts: Array, terms: Array) -> None:
    """Add rows to counts (n_groups * 2 * d,) and terms (n_groups * 2 * d, 6)."""
    indptr, indices, data = rows
    for row in range(inverses.size):
        first, inverse = groups[row] * 2 * d, abs(inverses[row])
        k, stop = u64(indptr[row]), u64(indptr[row + 1])
        nonzero = stop if inverses[row] > 0.0 else k
        while k + u64(4) <= nonzero:
            cells = (
                _count(indices, data, k, first, d, counts, 1),
                _count(indices, data, k + u64(1), first, d, counts, 1),
                _count(indices, data, k + u64(2), first, d, counts, 1),
                _count(indices, data, k + u64(3), first, d, counts, 1),
            )
            _add_terms(data, k, inverse, cells, terms)
            k += u64(4)
        while k < stop:  # the remainder, or rows with stored zeros, which do not count as weights
            cell = _count(indices, data, k, first, d, counts, data[k] != 0.0)
            _add_terms(data, k, inverse, (cell,), terms)
            k += u64(1)


@kernel
def aggregate(indptr: Array, indices: Array, data: Array, groups: Array, sums: Array) -> int:
    """Add a CSR matrix of weights to sums (n_groups, 2, d, SUMS).

    groups (n,) int64 holds the group of each row. Returns DONE; LARGE if some weights may not be finite or may exceed
    LARGEST_WEIGHT; or UNTIDY, with invalid sums, if the columns of a row are unsorted, duplicate or out of range.
    """
    d = sums.shape[2]
    totals = sums.reshape((sums.size // SUMS, SUMS))
    counts = np.empty(len(totals), np.uint16)
    terms = np.empty((len(totals), _TERMS))
    block = max(1, min(CHUNK, BLOCK * groups.size // max(1, data.size)))
    inverses = np.empty(block)
    status = DONE
    for start in range(0, groups.size, CHUNK):
        end = min(start + CHUNK, groups.size)
        counts[:] = 0
        terms[:] = 0.0
        for first in range(start, end, block):
            last = min(first + block, end)
            rows, known = (indptr[first : last + 1], indices, data), inverses[: last - first]
            found = _invert_norms(rows, d, known)
            if found == UNTIDY:
                return UNTIDY
            status = max(status, found)
            _add_rows(rows, groups[first:last], d, known, counts, terms)
        for cell in range(len(totals)):
            total, term = totals[cell], terms[cell]
            total[0] += counts[cell]
            total[1] += term[0]
            total[2] += term[2]
            total[3] += term[1]
            total[4] += term[3]
            total[5] += term[4]
            total[6] += term[5]
    return status
