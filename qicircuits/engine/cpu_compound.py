"""Kernels for C_1(A) and C_2(A) on tiles of tokens: products that stay in the registers, C_2(A) never built.

A vector of order 2 is the upper triangle of an antisymmetric X, and C_2(A) x that of A X A^T; a tile holds X as
`size` times `size` rows, where size is n rounded up to whole BLOCKs. This is 1.5 n^3 fused multiplications and
additions a vector, where the gates of the circuit take 2 n^3 instructions and pass the rows n times through the
cache; measured, 2.5 to 3 times faster than the gates.

`matrices` hold the A_i one after the other, padded with zeros to size times size, `matrix_step` apart (0 where
all blocks share one).
"""

import numpy as np

from .cpu_lanes import BLOCK, LANE_BYTES, accumulate_products, copy, multiply_block
from .cpu_tiles import Flat, kernel, load_tile, store_tile

__all__ = [
    "TILES_PER_FLUSH",
    "copy_features",
    "flush",
    "rotate_pairs",
    "rotate_singles",
    "tangent_pairs",
    "tangent_singles",
]

TILES_PER_FLUSH = 16
"""Sums over tokens are kept lane by lane, and added up in float64 after this many tiles."""


@kernel()
def copy_features(
    x: Flat, token_step: int, feature_step: int, y: Flat, y_step: int, first: int, last: int, start: int, stop: int
) -> None:
    """y = x on the features start..stop-1 of the tokens first..last-1."""
    for token in range(first, last):
        for feature in range(start, stop):
            y[token * y_step + feature] = x[token * token_step + feature * feature_step]


@kernel()
def rotate_singles(
    x: Flat,
    token_step: int,
    feature_step: int,
    y: Flat,
    y_step: int,
    first: int,
    last: int,
    start: int,
    block_size: int,
    n_blocks: int,
    matrices: Flat,
    matrix_step: int,
    n: int,
    size: int,
    tile: Flat,
    product: Flat,
) -> None:
    """y = A_i x on the n features from `start` of every block; tile, product: size times BLOCK registers."""
    lanes = LANE_BYTES // tile.itemsize
    width = BLOCK * lanes
    for block in range(n_blocks):
        begin = start + block * block_size
        a = matrices[block * matrix_step : block * matrix_step + size * size]
        if _is_identity(a, n, size):
            copy_features(x, token_step, feature_step, y, y_step, first, last, begin, begin + n)
            continue
        for token in range(first, last, width):
            count = min(width, last - token)
            load_tile(tile, width, x, token_step, feature_step, token, count, begin, n)
            for row in range(0, size, BLOCK):
                multiply_block(product, row * width, width, lanes, a, row * size, size, tile, 0, lanes, width, n)
            store_tile(y, y_step, product, width, token, count, begin, n)


@kernel()
def rotate_pairs(
    x: Flat,
    token_step: int,
    feature_step: int,
    y: Flat,
    y_step: int,
    first: int,
    last: int,
    start: int,
    block_size: int,
    n_blocks: int,
    matrices: Flat,
    matrix_step: int,
    n: int,
    size: int,
    tile: Flat,
    tensor: Flat,
    product: Flat,
) -> None:
    """y = C_2(A_i) x on the n(n-1)/2 features from `start` of every block.

    tile: n(n-1)/2 registers; tensor, product: size^2 registers, tensor zero in its padding.
    """
    lanes = LANE_BYTES // tile.itemsize
    dim = n * (n - 1) // 2
    line = size * lanes
    for block in range(n_blocks):
        begin = start + block * block_size
        a = matrices[block * matrix_step : block * matrix_step + size * size]
        if _is_identity(a, n, size):
            copy_features(x, token_step, feature_step, y, y_step, first, last, begin, begin + dim)
            continue
        for token in range(first, last, lanes):
            count = min(lanes, last - token)
            load_tile(tile, lanes, x, token_step, feature_step, token, count, begin, dim)
            _unfold(tensor, tile, n, size)
            for j in range(0, size, BLOCK):
                for i in range(0, size, BLOCK):
                    multiply_block(
                        product,
                        i * line + j * lanes,
                        line,
                        lanes,
                        a,
                        i * size,
                        size,
                        tensor,
                        j * lanes,
                        lanes,
                        line,
                        n,
                    )
            # Only the blocks of the upper triangle; what they write below it is unfolded over.
            for i in range(0, size, BLOCK):
                for j in range(i, size, BLOCK):
                    multiply_block(
                        tensor,
                        i * line + j * lanes,
                        lanes,
                        line,
                        a,
                        j * size,
                        size,
                        product,
                        i * line,
                        line,
                        lanes,
                        n,
                    )
            _fold(tile, tensor, n, size)
            store_tile(y, y_step, tile, lanes, token, count, begin, dim)


@kernel()
def tangent_singles(
    grad: Flat,
    grad_token_step: int,
    grad_feature_step: int,
    y: Flat,
    y_token_step: int,
    y_feature_step: int,
    first: int,
    last: int,
    start: int,
    block_size: int,
    n_blocks: int,
    n: int,
    size: int,
    adjoint: Flat,
    state: Flat,
    sums: Flat,
    tangents: Flat,
    tangent_step: int,
) -> None:
    """tangents_i += sum over tokens of grad y^T on the n features from `start` of every block, in float64."""
    lanes = LANE_BYTES // state.itemsize
    width = BLOCK * lanes
    for block in range(n_blocks):
        begin = start + block * block_size
        tangent = tangents[block * tangent_step : block * tangent_step + size * size]
        for token in range(first, last, width):
            count = min(width, last - token)
            load_tile(adjoint, width, grad, grad_token_step, grad_feature_step, token, count, begin, n)
            load_tile(state, width, y, y_token_step, y_feature_step, token, count, begin, n)
            for i in range(0, size, BLOCK):
                for j in range(0, size, BLOCK):
                    at = (i * size + j) * lanes
                    accumulate_products(
                        sums, at, size * lanes, adjoint, i * width, width, state, j * width, width, lanes, BLOCK
                    )
            if (token - first) // width % TILES_PER_FLUSH == TILES_PER_FLUSH - 1 or token + width >= last:
                flush(sums, tangent, lanes)


@kernel()
def tangent_pairs(
    grad: Flat,
    grad_token_step: int,
    grad_feature_step: int,
    y: Flat,
    y_token_step: int,
    y_feature_step: int,
    first: int,
    last: int,
    start: int,
    block_size: int,
    n_blocks: int,
    n: int,
    size: int,
    tile: Flat,
    adjoint: Flat,
    state: Flat,
    sums: Flat,
    tangents: Flat,
    tangent_step: int,
) -> None:
    """tangents_i += sum over tokens of G Y^T, the antisymmetric matrices of grad and y in every block."""
    lanes = LANE_BYTES // state.itemsize
    dim = n * (n - 1) // 2
    line = size * lanes
    for block in range(n_blocks):
        begin = start + block * block_size
        tangent = tangents[block * tangent_step : block * tangent_step + size * size]
        for token in range(first, last, lanes):
            count = min(lanes, last - token)
            load_tile(tile, lanes, grad, grad_token_step, grad_feature_step, token, count, begin, dim)
            _unfold(adjoint, tile, n, size)
            load_tile(tile, lanes, y, y_token_step, y_feature_step, token, count, begin, dim)
            _unfold(state, tile, n, size)
            for i in range(0, size, BLOCK):
                for j in range(0, size, BLOCK):
                    at = i * line + j * lanes
                    accumulate_products(sums, at, line, adjoint, i * line, line, state, j * line, line, lanes, n)
            if (token - first) // lanes % TILES_PER_FLUSH == TILES_PER_FLUSH - 1 or token + lanes >= last:
                flush(sums, tangent, lanes)


@kernel()
def _is_identity(a: Flat, n: int, size: int) -> bool:
    for i in range(n):
        for j in range(n):
            if a[i * size + j] != (1 if i == j else 0):
                return False
    return True


@kernel()
def _unfold(tensor: Flat, tile: Flat, n: int, size: int) -> None:
    """The antisymmetric X from its upper triangle; rows and columns beyond n are left alone."""
    lanes = LANE_BYTES // tile.itemsize
    one = tile.dtype.type(1)
    feature = 0
    for i in range(n):
        tensor[(i * size + i) * lanes : (i * size + i + 1) * lanes] = 0
        for j in range(i + 1, n):
            copy(tensor, (i * size + j) * lanes, tile, feature * lanes, one)
            copy(tensor, (j * size + i) * lanes, tile, feature * lanes, -one)
            feature += 1


@kernel()
def _fold(tile: Flat, tensor: Flat, n: int, size: int) -> None:
    """The inverse of `_unfold`."""
    lanes = LANE_BYTES // tile.itemsize
    feature = 0
    for i in range(n):
        for j in range(i + 1, n):
            copy(tile, feature * lanes, tensor, (i * size + j) * lanes, tile.dtype.type(1))
            feature += 1


@kernel(reorder_sums=True)
def flush(sums: Flat, tangent: Flat, lanes: int) -> None:
    """tangent += the sums over the lanes of each of its entries, in float64; the sums start anew."""
    for entry in range(tangent.size):
        for lane in range(lanes):
            tangent[entry] += np.float64(sums[entry * lanes + lane])
    sums[:] = 0
