"""C_1(A) and C_2(A) on vectors where they stand, computed in float64 and rounded once: weights that are to be turned.

The vectors are columns or rows of a matrix that is long in memory. A few of them at a time are widened into tiles,
turned as `engine.cpu_compound` does it, and rounded back to where they came from: there is never a copy of the matrix
in float64.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from .cpu_lanes import LANE_BYTES, Codegen, Rows
from .cpu_rotation import SectorKernels
from .cpu_tensors import rotate_tensor
from .cpu_tiles import Flat, flat_rows, in_chunks, kernel, scratch

__all__ = ["rotate_in_place"]


def rotate_in_place(x: Tensor, matrices: Tensor, sectors: list[int], n_blocks: int, block_size: int) -> None:
    """x <- R x, as `engine.cpu_rotation.rotate_sectors` has it without a bias; other features are not touched.

    Args:
        x: vectors, shape (tokens, features), float32 or float64, one of its strides 1.
        matrices: the A_i, float64, as there.
        sectors, n_blocks, block_size: as there; of order 2, or of orders 1 and 2.
    """
    layer = SectorKernels(matrices, None, sectors, n_blocks, block_size, x.shape)
    numbers, token_step, feature_step = flat_rows(x)
    a = layer.padded()
    rows = layer.n * (layer.n + 1) // 2

    def work(first: int, last: int) -> None:
        stage = scratch(rows * layer.lanes, layer.bias)
        _rotate(
            *(numbers, token_step, feature_step, first, last, layer.turned, block_size, layer.single, layer.pair),
            *(a, layer.n, layer.size, stage, *layer.tiles(2)[1:]),
        )

    in_chunks(work, layer.tokens, layer.lanes)


@kernel()
def _rotate(
    x: Flat,
    token_step: int,
    feature_step: int,
    first: int,
    last: int,
    blocks: Flat,
    block_size: int,
    single: int,
    pair: int,
    matrices: Flat,
    n: int,
    size: int,
    stage: Flat,
    tensor: Flat,
    product: Flat,
) -> None:
    lanes = LANE_BYTES // tensor.itemsize
    pairs = n * (n - 1) // 2
    for block in blocks:
        a = matrices[block if len(matrices) > 1 else 0]
        begin = block * block_size * feature_step
        for token in range(first, last, lanes):
            count = min(lanes, last - token)
            start = begin + token * token_step
            two, one = start + pair * feature_step, start + single * feature_step
            if token_step == 1 and count == lanes:
                _unfold(tensor, x, one, two, feature_step, single, n, size)
                rotate_tensor(tensor, product, a, single, n, size)
                _fold(x, one, two, feature_step, tensor, product, single, n, size)
                continue
            _gather(stage, 0, x, two, token_step, feature_step, count, pairs)
            if single >= 0:
                _gather(stage, pairs * lanes, x, one, token_step, feature_step, count, n)
            _unfold(tensor, stage, pairs * lanes, 0, lanes, single, n, size)
            rotate_tensor(tensor, product, a, single, n, size)
            _fold(stage, pairs * lanes, 0, lanes, tensor, product, single, n, size)
            _scatter(x, two, token_step, feature_step, stage, 0, count, pairs)
            if single >= 0:
                _scatter(x, one, token_step, feature_step, stage, pairs * lanes, count, n)


@kernel()
def _unfold(tensor: Flat, rows: Flat, one: int, two: int, step: int, single: int, n: int, size: int) -> None:
    """The antisymmetric X of the rows from `two` on, and as its column n the rows from `one` on."""
    lanes = LANE_BYTES // tensor.itemsize
    for i in range(n):
        tensor[(i * size + i) * lanes : (i * size + i + 1) * lanes] = 0
        if single >= 0:
            _convert(tensor, (i * size + n) * lanes, rows, one + i * step, False)
        for j in range(i + 1, n):
            _convert(tensor, (i * size + j) * lanes, rows, two, False)
            _convert(tensor, (j * size + i) * lanes, rows, two, True)
            two += step


@kernel()
def _fold(
    rows: Flat, one: int, two: int, step: int, tensor: Flat, product: Flat, single: int, n: int, size: int
) -> None:
    """The inverse of `_unfold`, after `rotate_tensor`."""
    lanes = LANE_BYTES // tensor.itemsize
    for i in range(n):
        if single >= 0:
            _convert(rows, one + i * step, product, (i * size + n) * lanes, False)
        for j in range(i + 1, n):
            _convert(rows, two, tensor, (i * size + j) * lanes, False)
            two += step


@kernel()
def _gather(
    stage: Flat, to: int, x: Flat, start: int, token_step: int, feature_step: int, count: int, rows: int
) -> None:
    """Rows of a tile from `count` vectors; the lanes that are left become 0."""
    lanes = LANE_BYTES // stage.itemsize
    for i in range(rows):
        for t in range(lanes):
            at = start + t * token_step + i * feature_step
            stage[to + i * lanes + t] = x[at] if t < count else 0


@kernel()
def _scatter(
    x: Flat, start: int, token_step: int, feature_step: int, stage: Flat, to: int, count: int, rows: int
) -> None:
    """The inverse of `_gather`."""
    lanes = LANE_BYTES // stage.itemsize
    for t in range(count):
        for i in range(rows):
            x[start + t * token_step + i * feature_step] = stage[to + i * lanes + t]


class _Registers(Rows):
    """Rows of as many numbers as a register holds in float64, whatever they are stored as."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.vector = ir.VectorType(self.vector.element, LANE_BYTES // 8)


@intrinsic
def _convert(typing: Any, target: Any, to: Any, source: Any, start: Any, negated: Any) -> tuple[Any, Codegen]:
    """target[to] = source[start] or its negative, a register of float64, rounded where the target is float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target = _Registers(context, builder, signature.args[0], args[0])
        source = _Registers(context, builder, signature.args[2], args[2])
        value = source.load(args[3])
        if target.align > source.align:
            value = builder.fpext(value, target.vector)
        elif target.align < source.align:
            value = builder.fptrunc(value, target.vector)
        target.store(args[1], builder.select(args[4], builder.fneg(value), value))
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.boolean), generate
