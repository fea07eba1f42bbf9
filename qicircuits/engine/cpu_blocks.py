"""Products whose results stay in registers, as vector instructions for numba kernels: blocks of rows of a tile."""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .cpu_lanes import Codegen, Rows

__all__ = ["BLOCK", "accumulate_gathered", "accumulate_products", "multiply_block", "square_multiplier"]

BLOCK = 4
"""Rows and columns of the blocks of results that stay in registers."""


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
) -> tuple[Any, Codegen]:
    """out[p, q] = sum_m numbers[p, m] rows[q, m] for p, q < BLOCK and m < count: a matrix on a mode of a tensor.

    Element (p, q) of out is the row at + p out_p + q out_q, element (p, m) of numbers the number
    number + p number_p + m, and element (q, m) of rows the row row + q row_q + m row_m.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out = Rows(context, builder, signature.args[0], args[0])
        numbers = Rows(context, builder, signature.args[4], args[4])
        rows = Rows(context, builder, signature.args[7], args[7])
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
) -> tuple[Any, Codegen]:
    """out[p, q] += sum_m left[p, m] right[q, m] lane by lane, p, q < BLOCK: the outer product of two tensors.

    Element (p, m) of left is the row left_start + p left_p + m step, that of right alike, and element (p, q) of
    out the row at + p out_p + q lanes.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out = Rows(context, builder, signature.args[0], args[0])
        left = Rows(context, builder, signature.args[3], args[3])
        right = Rows(context, builder, signature.args[6], args[6])
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
) -> tuple[Any, Codegen]:
    """`accumulate_products` of gathered rows: (p, m) of left is its row rows[left_first + p + m step], right alike.

    The rows of left and right are those of a register, one after the other.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out = Rows(context, builder, signature.args[0], args[0])
        left = Rows(context, builder, signature.args[3], args[3])
        right = Rows(context, builder, signature.args[4], args[4])
        rows = Rows(context, builder, signature.args[5], args[5])
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
    ) -> tuple[Any, Codegen]:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            tile = Rows(context, builder, signature.args[0], args[0])
            rows = Rows(context, builder, signature.args[2], args[2])
            numbers = Rows(context, builder, signature.args[5], args[5])
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
