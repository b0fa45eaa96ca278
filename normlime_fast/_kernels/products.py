"""The product of two tall matrices, tile by tile, for moments and Gram matrices.

A block of 4 x 8 sums stays in registers while all rows of a tile are added, which neither numba nor LLVM derives from
loops over arrays. So this is written in LLVM's own language. The order of each sum is fixed: row by row.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from normlime_fast._kernels.jit import kernel

Array = NDArray[Any]

TILE = 64  # rows that stay in cache while all products with them are summed
# Size of a block of sums: it fills the registers of AVX2 and keeps the multipliers of AVX-512 busy.
HIGH, WIDE = 4, 8


@intrinsic
def _add_block(
    context: Any, left: Any, b: Any, right: Any, step: Any, j: Any, rows: Any, squared: Any, sums: Any
) -> Any:
    """Make sums[b : b + 4, j : j + 8] += left[:rows, b : b + 4]' @ right[:rows, j : j + 8].

    `right` is flat, and `step` from row to row. If `squared`, the last row is that of the squares of `right` instead.
    """
    vector = ir.VectorType(ir.DoubleType(), WIDE)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        def array(k: int) -> Any:
            return context.make_array(signature.args[k])(context, builder, arguments[k])

        def at(pointer: Any, index: Any, target: Any = None) -> Any:
            address = builder.gep(pointer, [index])
            return address if target is None else builder.bitcast(address, target.as_pointer())

        def constant(value: int) -> Any:
            return context.get_constant(types.intp, value)

        left, right, sums = array(0), array(2), array(7)
        _, b, _, step, j, rows, squared, _ = arguments
        left_step, width = (cgutils.unpack_tuple(builder, each.shape)[1] for each in (left, sums))
        number = context.get_value_type(signature.args[2].dtype)
        narrow = ir.VectorType(number, WIDE)
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{WIDE}f64"
        )
        totals = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(HIGH)]

        def add_rows(squares: Any) -> None:
            with cgutils.for_range(builder, rows) as loop:
                load = at(right.data, builder.add(builder.mul(loop.index, step), j), narrow)
                values = builder.load(load, align=context.get_abi_sizeof(number))
                if narrow != vector:
                    values = builder.fpext(values, vector)
                first = builder.add(builder.mul(loop.index, left_step), b)
                for k in range(HIGH):
                    factor = builder.load(at(left.data, builder.add(first, constant(k))))
                    spread = ir.Constant(vector, ir.Undefined)
                    spread = builder.insert_element(spread, factor, ir.Constant(ir.IntType(32), 0))
                    spread = builder.shuffle_vector(
                        spread, spread, ir.Constant(ir.VectorType(ir.IntType(32), WIDE), [0] * WIDE)
                    )
                    if squares and k == HIGH - 1:
                        spread = builder.fmul(spread, values)
                    total = builder.load(totals[k])
                    builder.store(builder.call(multiply_add, [spread, values, total]), totals[k])

        with builder.if_else(squared) as (then, otherwise):
            with then:
                add_rows(squares=True)
            with otherwise:
                add_rows(squares=False)
        for k in range(HIGH):
            row = builder.add(builder.mul(builder.add(b, constant(k)), width), j)
            target = at(sums.data, row, vector)
            builder.store(builder.fadd(builder.load(target, align=8), builder.load(totals[k])), target, align=8)
        return context.get_dummy_value()

    return types.void(left, types.intp, right, types.intp, types.intp, types.intp, types.boolean, sums), generate


@kernel
def add_products(left: Array, right: Array, step: int, rows: int, first: int, squared: bool, sums: Array) -> None:
    """sums += left[:rows]' @ right in float64; row first + a of sums may leave out the columns before a.

    If `squared`, the last row is that of the squares: sums of left_i right_ij^2, for the last column of `left`.

    `left` has a multiple of HIGH columns, `sums` as many rows and a multiple of WIDE columns. `right` is flat: row i
    begins at i * step. If step is not a multiple of WIDE, the last columns of sums come from the next row and are
    meaningless; `right` must extend that far.
    """
    for b in range(0, sums.shape[0], HIGH):
        for j in range(max(0, b - first) // WIDE * WIDE, sums.shape[1], WIDE):
            _add_block(left, b, right, step, j, rows, squared and b + HIGH == sums.shape[0], sums)
