"""Reinterpretation of the bits of floats as integers and back, which LLVM can vectorise."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _bitcast(source: types.Type, target: types.Type) -> Any:
    """Make a function that reads the bits of a `source` as a `target`."""

    @intrinsic
    def cast(context: Any, value: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(source), generate

    return cast


bits32 = _bitcast(types.float32, types.uint32)
float32 = _bitcast(types.uint32, types.float32)
bits64 = _bitcast(types.float64, types.uint64)
float64 = _bitcast(types.uint64, types.float64)
