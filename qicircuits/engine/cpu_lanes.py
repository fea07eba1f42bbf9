"""Vector instructions for numba kernels: as many tokens at once as a register holds, one row of a tile each.

A tile is a flat buffer whose row i, `width` tokens of one amplitude, starts at i * width. Each function below acts
on LANE_BYTES of a row at given offsets. LLVM's own vectoriser cannot do it: it would have to prove, or check on
every row, that the rows do not overlap.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "LANE_BYTES",
    "Codegen",
    "Rows",
    "copy",
    "rotate",
    "shift",
    "transpose",
    "unrotate",
]

_FEATURES = llvmlite.binding.get_host_cpu_features()
LANE_BYTES = 64 if _FEATURES.get("avx512f") else 32

# A product and a sum may become one fused instruction, and nothing else may change.
_FUSE = ("contract",)
Codegen = Callable[[Any, Any, Any, Any], Any]


@intrinsic
def rotate(typing: Any, rows: Any, a: Any, b: Any, cos: Any, sin: Any) -> tuple[Any, Codegen]:
    """rows[a], rows[b] = cos rows[a] - sin rows[b], sin rows[a] + cos rows[b]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = Rows(context, builder, signature.args[0], args[0])
        cos, sin = rows.splat(args[3]), rows.splat(args[4])
        rows.store_rotated(args[1], args[2], rows.load(args[1]), rows.load(args[2]), cos, sin)
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp, rows.dtype, rows.dtype), generate


@intrinsic
def unrotate(
    typing: Any, state: Any, adjoint: Any, a: Any, b: Any, cos: Any, sin: Any, overlap: Any, at: Any
) -> tuple[Any, Codegen]:
    """Undo `rotate` on both, after overlap[at] += adjoint[b] state[a] - adjoint[a] state[b]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state = Rows(context, builder, signature.args[0], args[0])
        adjoint = Rows(context, builder, signature.args[1], args[1])
        overlap = Rows(context, builder, signature.args[6], args[6])
        a, b, at = args[2], args[3], args[7]
        cos, sin = state.splat(args[4]), state.splat(builder.fneg(args[5]))
        x_a, x_b, g_a, g_b = state.load(a), state.load(b), adjoint.load(a), adjoint.load(b)
        overlap.add_overlap(at, x_a, x_b, g_a, g_b)
        state.store_rotated(a, b, x_a, x_b, cos, sin)
        adjoint.store_rotated(a, b, g_a, g_b, cos, sin)
        return context.get_dummy_value()

    arguments = (state, adjoint, types.intp, types.intp, state.dtype, state.dtype, overlap, types.intp)
    return types.void(*arguments), generate


@intrinsic
def copy(typing: Any, target: Any, to: Any, source: Any, start: Any, sign: Any) -> tuple[Any, Codegen]:
    """target[to] = sign source[start]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target = Rows(context, builder, signature.args[0], args[0])
        source = Rows(context, builder, signature.args[2], args[2])
        target.store(args[1], builder.fmul(source.splat(args[4]), source.load(args[3])))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, source.dtype), generate


@intrinsic
def shift(typing: Any, target: Any, to: Any, source: Any, start: Any, sign: Any, offset: Any) -> tuple[Any, Codegen]:
    """target[to] = sign source[start] + offset."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target = Rows(context, builder, signature.args[0], args[0])
        source = Rows(context, builder, signature.args[2], args[2])
        signed = builder.fmul(source.splat(args[4]), source.load(args[3]))
        target.store(args[1], builder.fadd(signed, source.splat(args[5])))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, source.dtype, source.dtype), generate


@intrinsic
def transpose(
    typing: Any, target: Any, to: Any, target_step: Any, source: Any, start: Any, source_step: Any
) -> tuple[Any, Codegen]:
    """target[to + j target_step + i] = source[start + i source_step + j], a square of lanes times lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target = Rows(context, builder, signature.args[0], args[0])
        source = Rows(context, builder, signature.args[3], args[3])
        rows = [source.load(source.at(args[4], (index, args[5]))) for index in range(source.lanes)]
        half = 1
        while half < source.lanes:  # swap the off-diagonal quarters of all squares of 2 half times 2 half
            upper = [j + (source.lanes - half if j & half else 0) for j in range(source.lanes)]
            lower = [j + (source.lanes if j & half else half) for j in range(source.lanes)]
            for i in (i for i in range(source.lanes) if not i & half):
                pair = rows[i], rows[i + half]
                rows[i], rows[i + half] = source.shuffle(*pair, upper), source.shuffle(*pair, lower)
            half *= 2
        for index, row in enumerate(rows):
            target.store(target.at(args[1], (index, args[2])), row)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.intp, source, types.intp, types.intp), generate


class Rows:
    """The buffer of an array argument while code is generated: offsets in numbers, vectors of `lanes` numbers."""

    def __init__(self, context: Any, builder: Any, array_type: Any, array: Any) -> None:
        self.builder = builder
        self.data = context.make_array(array_type)(context, builder, array).data
        self.align = array_type.dtype.bitwidth // 8
        self.lanes = LANE_BYTES // self.align
        self.vector = ir.VectorType(context.get_data_type(array_type.dtype), self.lanes)

    def at(self, start: Any, *steps: tuple[Any, Any]) -> Any:
        """start + sum of the products in `steps`; a factor may be a plain integer."""
        for factor, step in steps:
            if isinstance(factor, int):
                factor = ir.Constant(start.type, factor)
            start = self.builder.add(start, self.builder.mul(factor, step))
        return start

    def load(self, offset: Any) -> Any:
        """The vector that starts there."""
        return self.builder.load(self._pointer(offset), align=self.align)

    def load_number(self, offset: Any) -> Any:
        """The number that stands there."""
        return self.builder.load(self.builder.gep(self.data, [offset]))

    def store(self, offset: Any, value: Any) -> None:
        """Put a vector there."""
        self.builder.store(value, self._pointer(offset), align=self.align)

    def store_rotated(self, a: Any, b: Any, x_a: Any, x_b: Any, cos: Any, sin: Any) -> None:
        """Put the vectors x_a, x_b, rotated, at a and b."""
        multiply, builder = self.builder.fmul, self.builder
        first = builder.fsub(multiply(cos, x_a, flags=_FUSE), multiply(sin, x_b, flags=_FUSE), flags=_FUSE)
        second = builder.fadd(multiply(sin, x_a, flags=_FUSE), multiply(cos, x_b, flags=_FUSE), flags=_FUSE)
        self.store(a, first)
        self.store(b, second)

    def add_overlap(self, at: Any, x_a: Any, x_b: Any, g_a: Any, g_b: Any) -> None:
        """Add g_b x_a - g_a x_b to the vector there."""
        builder = self.builder
        total = builder.fadd(self.load(at), builder.fmul(g_b, x_a, flags=_FUSE), flags=_FUSE)
        self.store(at, builder.fsub(total, builder.fmul(g_a, x_b, flags=_FUSE), flags=_FUSE))

    def multiply_add(self, left: Any, right: Any, addend: Any | None) -> Any:
        """left right + addend, fused."""
        product = self.builder.fmul(left, right, flags=_FUSE)
        return product if addend is None else self.builder.fadd(addend, product, flags=_FUSE)

    def splat(self, number: Any) -> Any:
        """A vector of one number."""
        first = ir.Constant(ir.IntType(32), 0)
        single = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), number, first)
        return self.shuffle(single, single, [0] * self.lanes)

    def shuffle(self, first: Any, second: Any, indices: list[int]) -> Any:
        """A vector of the named numbers of two, counted through both."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), indices)
        return self.builder.shuffle_vector(first, second, mask)

    def zero_register(self) -> Any:
        """A place for a vector, zero, that LLVM keeps in a register."""
        register = cgutils.alloca_once(self.builder, self.vector)
        self.builder.store(ir.Constant(self.vector, [0.0] * self.lanes), register)
        return register

    def add_product(self, register: Any, left: Any, right: Any) -> None:
        """Add left right to a register."""
        self.builder.store(self.multiply_add(left, right, self.builder.load(register)), register)

    def _pointer(self, offset: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(self.data, [offset]), self.vector.as_pointer())
