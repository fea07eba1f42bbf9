"""Kernels for C_1(A) and C_2(A) on tiles of tokens: products that stay in the registers, C_2(A) never built.

A vector of order 2 is the upper triangle of an antisymmetric X, and C_2(A) x that of A X A^T; a tile holds X as
`size` times `size` rows, where size is n rounded up to whole BLOCKs. This is 1.5 n^3 fused multiplications and
additions a vector, where the gates of the circuit take 2 n^3 instructions and pass the rows n times through the
cache; measured, 2.5 to 3 times faster than the gates. A vector of order 1 beside it is one column more of X in the
first product, which counts for the rounding up to whole BLOCKs.

A bias is taken off while X is made of a tile, and added while the tile is made of the result.
"""

import numpy as np

from .cpu_blocks import BLOCK, accumulate_products, multiply_block
from .cpu_lanes import LANE_BYTES, shift
from .cpu_tensors import load_tensor, rotate_tensor, store_tensor
from .cpu_tiles import Flat, kernel, load_tile, store_tile

__all__ = ["TILES_PER_FLUSH", "flush", "rotate_blocks", "unrotate_blocks"]

TILES_PER_FLUSH = 16
"""Sums over tokens are kept lane by lane, and added up in float64 after this many tiles."""


@kernel()
def rotate_blocks(
    x: Flat,
    token_step: int,
    feature_step: int,
    y: Flat,
    y_step: int,
    first: int,
    last: int,
    blocks: Flat,
    block_size: int,
    single: int,
    pair: int,
    bias: Flat,
    matrices: Flat,
    n: int,
    size: int,
    tile: Flat,
    tensor: Flat,
    product: Flat,
) -> None:
    """y = R (x - bias) + bias on the sectors of order 1 and 2 of the given blocks.

    single, pair: where the sectors start in a block, -1 for one that is not there; matrices: the A_i, or one for all
    blocks, a row each, padded with zeros to size times size; tile to product as `engine.cpu_rotation` makes them.
    """
    for block in blocks:
        a = matrices[block if len(matrices) > 1 else 0]
        _rotate_block(
            x,
            token_step,
            feature_step,
            y,
            y_step,
            first,
            last,
            block * block_size,
            single,
            pair,
            bias,
            a,
            n,
            size,
            tile,
            tensor,
            product,
        )


@kernel()
def unrotate_blocks(
    grad: Flat,
    grad_token_step: int,
    grad_feature_step: int,
    y: Flat,
    y_token_step: int,
    y_feature_step: int,
    grad_x: Flat,
    grad_x_step: int,
    first: int,
    last: int,
    is_identity: Flat,
    block_size: int,
    single: int,
    pair: int,
    bias: Flat,
    inverses: Flat,
    n: int,
    size: int,
    tile: Flat,
    adjoint: Flat,
    state: Flat,
    product: Flat,
    sums: Flat,
    tangents: Flat,
) -> None:
    """grad_x = R^T grad, and tangents_i += sum over tokens of grad (y - bias)^T, order by order, in float64.

    inverses: the A_i^T; the other arguments as those of `rotate_blocks`. Where A_i = I, grad_x is not written.
    """
    zeros = np.zeros_like(bias)
    for block in range(is_identity.size):
        matrix = block if len(inverses) > 1 else 0
        _unrotate_block(
            grad,
            grad_token_step,
            grad_feature_step,
            y,
            y_token_step,
            y_feature_step,
            grad_x,
            grad_x_step,
            first,
            last,
            block * block_size,
            single,
            pair,
            bias,
            zeros,
            inverses[matrix],
            is_identity[block],
            n,
            size,
            tile,
            adjoint,
            state,
            product,
            sums,
            tangents[matrix],
        )


@kernel()
def _rotate_block(
    x: Flat,
    token_step: int,
    feature_step: int,
    y: Flat,
    y_step: int,
    first: int,
    last: int,
    begin: int,
    single: int,
    pair: int,
    bias: Flat,
    a: Flat,
    n: int,
    size: int,
    tile: Flat,
    tensor: Flat,
    product: Flat,
) -> None:
    lanes = LANE_BYTES // tile.itemsize
    width = lanes if pair >= 0 else BLOCK * lanes
    for token in range(first, last, width):
        count = min(width, last - token)
        if pair >= 0:
            load_tensor(tensor, x, token_step, feature_step, token, count, begin, single, pair, bias, n, size, tile)
            rotate_tensor(tensor, product, a, single, n, size)
            store_tensor(y, y_step, token, count, begin, single, pair, bias, tensor, product, n, size, tile)
        else:
            load_tile(tile, width, x, token_step, feature_step, token, count, begin + single, n)
            _shift_rows(tile, width, bias, begin + single, n, -1)
            for row in range(0, n, BLOCK):
                multiply_block(product, row * width, width, lanes, a, row * size, size, tile, 0, lanes, width, n)
            _shift_rows(product, width, bias, begin + single, n, 1)
            store_tile(y, y_step, product, width, token, count, begin + single, n)


@kernel()
def _unrotate_block(
    grad: Flat,
    grad_token_step: int,
    grad_feature_step: int,
    y: Flat,
    y_token_step: int,
    y_feature_step: int,
    grad_x: Flat,
    grad_x_step: int,
    first: int,
    last: int,
    begin: int,
    single: int,
    pair: int,
    bias: Flat,
    zeros: Flat,
    inverse: Flat,
    is_identity: bool,
    n: int,
    size: int,
    tile: Flat,
    adjoint: Flat,
    state: Flat,
    product: Flat,
    sums: Flat,
    tangent: Flat,
) -> None:
    lanes = LANE_BYTES // tile.itemsize
    width = lanes if pair >= 0 else BLOCK * lanes
    line = size * lanes
    columns = n + 1 if single >= 0 else n
    for token in range(first, last, width):
        count = min(width, last - token)
        if pair >= 0:
            source = token, count, begin, single, pair
            load_tensor(adjoint, grad, grad_token_step, grad_feature_step, *source, zeros, n, size, tile)
            load_tensor(state, y, y_token_step, y_feature_step, *source, bias, n, size, tile)
            for i in range(0, n, BLOCK):
                for j in range(0, n, BLOCK):
                    at = i * line + j * lanes
                    accumulate_products(
                        sums, at, line, adjoint, i * line, line, state, j * line, line, lanes, columns
                    )
        else:
            load_tile(adjoint, width, grad, grad_token_step, grad_feature_step, token, count, begin + single, n)
            load_tile(state, width, y, y_token_step, y_feature_step, token, count, begin + single, n)
            _shift_rows(state, width, bias, begin + single, n, -1)
            for i in range(0, n, BLOCK):
                for j in range(0, n, BLOCK):
                    at = i * line + j * lanes
                    accumulate_products(
                        sums, at, line, adjoint, i * width, width, state, j * width, width, lanes, BLOCK
                    )
        if (token - first) // width % TILES_PER_FLUSH == TILES_PER_FLUSH - 1 or token + width >= last:
            flush(sums, tangent, lanes)
        if is_identity:
            continue
        if pair >= 0:
            rotate_tensor(adjoint, product, inverse, single, n, size)
            store_tensor(
                grad_x, grad_x_step, token, count, begin, single, pair, zeros, adjoint, product, n, size, tile
            )
        else:
            for row in range(0, n, BLOCK):
                multiply_block(
                    product, row * width, width, lanes, inverse, row * size, size, adjoint, 0, lanes, width, n
                )
            store_tile(grad_x, grad_x_step, product, width, token, count, begin + single, n)


@kernel()
def _shift_rows(tile: Flat, width: int, bias: Flat, start: int, rows: int, sign: int) -> None:
    """Add the bias, or take it off, row by row."""
    lanes = LANE_BYTES // tile.itemsize
    for i in range(rows):
        for at in range(i * width, (i + 1) * width, lanes):
            shift(tile, at, tile, at, tile.dtype.type(1), tile.dtype.type(sign) * bias[start + i])


@kernel(reorder_sums=True)
def flush(sums: Flat, tangent: Flat, lanes: int) -> None:
    """tangent += the sums over the lanes of each of its entries, in float64; the sums start anew."""
    for entry in range(tangent.size):
        for lane in range(lanes):
            tangent[entry] += np.float64(sums[entry * lanes + lane])
    sums[:] = 0
