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
    "BLOCK",
    "LANE_BYTES",
    "accumulate_gathered",
    "accumulate_products",
    "copy",
    "multiply_block",
    "rotate",
    "shift",
    "square_multiplier",
    "transpose",
    "unrotate",
]

_FEATURES = llvmlite.binding.get_host_cpu_features()
LANE_BYTES = 64 if _FEATURES.get("avx512f") else 32

BLOCK = 4
"""Rows and columns of the blocks of results that stay in registers."""

# A product and a sum may become one fused instruction, and nothing else may change.
_FUSE = ("contract",)
_Codegen = Callable[[Any, Any, Any, Any], Any]


@intrinsic
def rotate(typing: Any, rows: Any, a: Any, b: Any, cos: Any, sin: Any) -> tuple[Any, _Codegen]:
    """rows[a], rows[b] = cos rows[a] - sin rows[b], sin rows[a] + cos rows[b]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = _Rows(context, builder, signature.args[0], args[0])
        cos, sin = rows.splat(args[3]), rows.splat(args[4])
        rows.store_rotated(args[1], args[2], rows.load(args[1]), rows.load(args[2]), cos, sin)
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp, rows.dtype, rows.dtype), generate


@intrinsic
def unrotate(
    typing: Any, state: Any, adjoint: Any, a: Any, b: Any, cos: Any, sin: Any, overlap: Any, at: Any
) -> tuple[Any, _Codegen]:
    """Undo `rotate` on both, after overlap[at] += adjoint[b] state[a] - adjoint[a] state[b]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state = _Rows(context, builder, signature.args[0], args[0])
        adjoint = _Rows(context, builder, signature.args[1], args[1])
        overlap = _Rows(context, builder, signature.args[6], args[6])
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
def copy(typing: Any, target: Any, to: Any, source: Any, start: Any, sign: Any) -> tuple[Any, _Codegen]:
    """target[to] = sign source[start]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target = _Rows(context, builder, signature.args[0], args[0])
        source = _Rows(context, builder, signature.args[2], args[2])
        target.store(args[1], builder.fmul(source.splat(args[4]), source.load(args[3])))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, source.dtype), generate


@intrinsic
def shift(typing: Any, target: Any, to: Any, source: Any, start: Any, sign: Any, offset: Any) -> tuple[Any, _Codegen]:
    """target[to] = sign source[start] + offset."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target = _Rows(context, builder, signature.args[0], args[0])
        source = _Rows(context, builder, signature.args[2], args[2])
        signed = builder.fmul(source.splat(args[4]), source.load(args[3]))
        target.store(args[1], builder.fadd(signed, source.splat(args[5])))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, source.dtype, source.dtype), generate


@intrinsic
def transpose(
    typing: Any, target: Any, to: Any, target_step: Any, source: Any, start: Any, source_step: Any
) -> tuple[Any, _Codegen]:
    """target[to + j target_step + i] = source[start + i source_step + j], a square of lanes times lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target = _Rows(context, builder, signature.args[0], args[0])
        source = _Rows(context, builder, signature.args[3], args[3])
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


@intrinsic
def multiply_block(
    typing: Any,
    out: Any,
    at: Any,
    out_p: Any,
    out_q: Any,
    numbers: Any,
    number: Any,
    number_p: Any,
    rows: Any,
    row: Any,
    row_q: Any,
    row_m: Any,
    count: Any,
) -> tuple[Any, _Codegen]:
    """out[p, q] = sum_m numbers[p, m] rows[q, m] for p, q < BLOCK and m < count: a matrix on a mode of a tensor.

    Element (p, q) of out is the row at + p out_p + q out_q, element (p, m) of numbers the number
    number + p number_p + m, and element (q, m) of rows the row row + q row_q + m row_m.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out = _Rows(context, builder, signature.args[0], args[0])
        numbers = _Rows(context, builder, signature.args[4], args[4])
        rows = _Rows(context, builder, signature.args[7], args[7])
        sums = [[rows.zero_register() for _ in range(BLOCK)] for _ in range(BLOCK)]
        with cgutils.for_range(builder, args[11]) as loop:
            vectors = [rows.load(rows.at(args[8], (q, args[9]), (loop.index, args[10]))) for q in range(BLOCK)]
            for p in range(BLOCK):
                number = numbers.splat(numbers.load_number(numbers.at(args[5], (p, args[6]), (1, loop.index))))
                for q in range(BLOCK):
                    rows.add_product(sums[p][q], number, vectors[q])
        for p in range(BLOCK):
            for q in range(BLOCK):
                out.store(out.at(args[1], (p, args[2]), (q, args[3])), builder.load(sums[p][q]))
        return context.get_dummy_value()

    index = types.intp
    arguments = (out, index, index, index, numbers, index, index, rows, index, index, index, index)
    return types.void(*arguments), generate


@intrinsic
def accumulate_products(
    typing: Any,
    out: Any,
    at: Any,
    out_p: Any,
    left: Any,
    left_start: Any,
    left_p: Any,
    right: Any,
    right_start: Any,
    right_q: Any,
    step: Any,
    count: Any,
) -> tuple[Any, _Codegen]:
    """out[p, q] += sum_m left[p, m] right[q, m] lane by lane, p, q < BLOCK: the outer product of two tensors.

    Element (p, m) of left is the row left_start + p left_p + m step, that of right alike, and element (p, q) of
    out the row at + p out_p + q lanes.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out = _Rows(context, builder, signature.args[0], args[0])
        left = _Rows(context, builder, signature.args[3], args[3])
        right = _Rows(context, builder, signature.args[6], args[6])
        sums = [[left.zero_register() for _ in range(BLOCK)] for _ in range(BLOCK)]
        with cgutils.for_range(builder, args[10]) as loop:
            factors = [right.load(right.at(args[7], (q, args[8]), (loop.index, args[9]))) for q in range(BLOCK)]
            for p in range(BLOCK):
                row = left.load(left.at(args[4], (p, args[5]), (loop.index, args[9])))
                for q in range(BLOCK):
                    left.add_product(sums[p][q], row, factors[q])
        for p in range(BLOCK):
            for q in range(BLOCK):
                place = out.at(args[1], (p, args[2]), (q, ir.Constant(args[1].type, out.lanes)))
                out.store(place, builder.fadd(out.load(place), builder.load(sums[p][q])))
        return context.get_dummy_value()

    index = types.intp
    arguments = (out, index, index, left, index, index, right, index, index, index, index)
    return types.void(*arguments), generate


@intrinsic
def accumulate_gathered(
    typing: Any,
    out: Any,
    at: Any,
    out_p: Any,
    left: Any,
    right: Any,
    rows: Any,
    left_first: Any,
    right_first: Any,
    step: Any,
    count: Any,
) -> tuple[Any, _Codegen]:
    """`accumulate_products` of gathered rows: (p, m) of left is its row rows[left_first + p + m step], right alike.

    The rows of left and right are those of a register, one after the other.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out = _Rows(context, builder, signature.args[0], args[0])
        left = _Rows(context, builder, signature.args[3], args[3])
        right = _Rows(context, builder, signature.args[4], args[4])
        rows = _Rows(context, builder, signature.args[5], args[5])
        one, lanes = args[1].type(1), args[1].type(out.lanes)
        sums = [[left.zero_register() for _ in range(BLOCK)] for _ in range(BLOCK)]

        def gather(of: Any, first: Any, p: int, m: Any) -> Any:
            row = rows.load_number(rows.at(first, (p, one), (m, args[8])))
            return of.load(builder.mul(builder.sext(row, one.type), lanes))

        with cgutils.for_range(builder, args[9]) as loop:
            factors = [gather(right, args[7], q, loop.index) for q in range(BLOCK)]
            for p in range(BLOCK):
                row = gather(left, args[6], p, loop.index)
                for q in range(BLOCK):
                    left.add_product(sums[p][q], row, factors[q])
        for p in range(BLOCK):
            for q in range(BLOCK):
                place = out.at(args[1], (p, args[2]), (q, lanes))
                out.store(place, builder.fadd(out.load(place), builder.load(sums[p][q])))
        return context.get_dummy_value()

    index = types.intp
    return types.void(out, index, index, left, right, rows, index, index, index, index), generate


def square_multiplier(count: int) -> Any:
    """The intrinsic that multiplies `count` rows by a square matrix, in place, all of them in registers.

    It is multiply(tile, start, rows, first, width, numbers, number): the rows of the tile are those of a register
    at start + rows[first + p] width, and element (p, q) of the matrix is numbers[number + p count + q].
    """

    @intrinsic
    def multiply(
        typing: Any, tile: Any, start: Any, rows: Any, first: Any, width: Any, numbers: Any, number: Any
    ) -> tuple[Any, _Codegen]:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            tile = _Rows(context, builder, signature.args[0], args[0])
            rows = _Rows(context, builder, signature.args[2], args[2])
            numbers = _Rows(context, builder, signature.args[5], args[5])
            places = [
                tile.at(args[1], (rows.load_number(rows.at(args[3], (index, args[3].type(1)))), args[4]))
                for index in range(count)
            ]
            vectors = [tile.load(place) for place in places]
            for p, place in enumerate(places):
                result = None
                for q, vector in enumerate(vectors):
                    number = numbers.load_number(numbers.at(args[6], (p * count + q, args[6].type(1))))
                    result = tile.multiply_add(tile.splat(number), vector, result)
                tile.store(place, result)
            return context.get_dummy_value()

        index = types.intp
        return types.void(tile, index, rows, index, index, numbers, index), generate

    return multiply


class _Rows:
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
        return self.builder.load(self._pointer(offset), align=self.align)

    def load_number(self, offset: Any) -> Any:
        return self.builder.load(self.builder.gep(self.data, [offset]))

    def store(self, offset: Any, value: Any) -> None:
        self.builder.store(value, self._pointer(offset), align=self.align)

    def store_rotated(self, a: Any, b: Any, x_a: Any, x_b: Any, cos: Any, sin: Any) -> None:
        multiply, builder = self.builder.fmul, self.builder
        first = builder.fsub(multiply(cos, x_a, flags=_FUSE), multiply(sin, x_b, flags=_FUSE), flags=_FUSE)
        second = builder.fadd(multiply(sin, x_a, flags=_FUSE), multiply(cos, x_b, flags=_FUSE), flags=_FUSE)
        self.store(a, first)
        self.store(b, second)

    def add_overlap(self, at: Any, x_a: Any, x_b: Any, g_a: Any, g_b: Any) -> None:
        builder = self.builder
        total = builder.fadd(self.load(at), builder.fmul(g_b, x_a, flags=_FUSE), flags=_FUSE)
        self.store(at, builder.fsub(total, builder.fmul(g_a, x_b, flags=_FUSE), flags=_FUSE))

    def multiply_add(self, left: Any, right: Any, addend: Any | None) -> Any:
        product = self.builder.fmul(left, right, flags=_FUSE)
        return product if addend is None else self.builder.fadd(addend, product, flags=_FUSE)

    def splat(self, number: Any) -> Any:
        first = ir.Constant(ir.IntType(32), 0)
        single = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), number, first)
        return self.shuffle(single, single, [0] * self.lanes)

    def shuffle(self, first: Any, second: Any, indices: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), indices)
        return self.builder.shuffle_vector(first, second, mask)

    def zero_register(self) -> Any:
        register = cgutils.alloca_once(self.builder, self.vector)
        self.builder.store(ir.Constant(self.vector, [0.0] * self.lanes), register)
        return register

    def add_product(self, register: Any, left: Any, right: Any) -> None:
        self.builder.store(self.multiply_add(left, right, self.builder.load(register)), register)

    def _pointer(self, offset: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(self.data, [offset]), self.vector.as_pointer())
