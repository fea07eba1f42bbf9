"""A vector of order 2 as the antisymmetric X it is the upper triangle of: moved into tiles, A X A^T, and back."""

from .cpu_blocks import BLOCK, multiply_block
from .cpu_lanes import LANE_BYTES, shift
from .cpu_tiles import Flat, kernel, load_tile, store_tile

__all__ = ["load_tensor", "rotate_tensor", "store_tensor"]


@kernel()
def rotate_tensor(tensor: Flat, product: Flat, a: Flat, single: int, n: int, size: int) -> None:
    """The upper triangle of A X A^T in the place of X; `product` keeps A [X | x], x being column n."""
    lanes = LANE_BYTES // tensor.itemsize
    line = size * lanes
    columns = n + 1 if single >= 0 else n
    for j in range(0, columns, BLOCK):
        for i in range(0, n, BLOCK):
            multiply_block(
                product, i * line + j * lanes, line, lanes, a, i * size, size, tensor, j * lanes, lanes, line, n
            )
    # Only the blocks of the upper triangle; what they write below it is unfolded over.
    for i in range(0, n, BLOCK):
        for j in range(i, n, BLOCK):
            multiply_block(
                tensor, i * line + j * lanes, lanes, line, a, j * size, size, product, i * line, line, lanes, n
            )


@kernel()
def load_tensor(
    tensor: Flat,
    x: Flat,
    token_step: int,
    feature_step: int,
    token: int,
    count: int,
    begin: int,
    single: int,
    pair: int,
    bias: Flat,
    n: int,
    size: int,
    tile: Flat,
) -> None:
    """The antisymmetric X of x - bias, and its vector of order 1 as column n; what is beyond is left alone."""
    lanes = LANE_BYTES // tile.itemsize
    one = tile.dtype.type(1)
    if single >= 0:
        load_tile(tile, lanes, x, token_step, feature_step, token, count, begin + single, n)
        for i in range(n):
            shift(tensor, (i * size + n) * lanes, tile, i * lanes, one, -bias[begin + single + i])
    load_tile(tile, lanes, x, token_step, feature_step, token, count, begin + pair, n * (n - 1) // 2)
    feature = 0
    for i in range(n):
        tensor[(i * size + i) * lanes : (i * size + i + 1) * lanes] = 0
        for j in range(i + 1, n):
            offset = bias[begin + pair + feature]
            shift(tensor, (i * size + j) * lanes, tile, feature * lanes, one, -offset)
            shift(tensor, (j * size + i) * lanes, tile, feature * lanes, -one, offset)
            feature += 1


@kernel()
def store_tensor(
    y: Flat,
    y_step: int,
    token: int,
    count: int,
    begin: int,
    single: int,
    pair: int,
    bias: Flat,
    tensor: Flat,
    product: Flat,
    n: int,
    size: int,
    tile: Flat,
) -> None:
    """The inverse of `load_tensor`, after `rotate_tensor`."""
    lanes = LANE_BYTES // tile.itemsize
    one = tile.dtype.type(1)
    if single >= 0:
        for i in range(n):
            shift(tile, i * lanes, product, (i * size + n) * lanes, one, bias[begin + single + i])
        store_tile(y, y_step, tile, lanes, token, count, begin + single, n)
    feature = 0
    for i in range(n):
        for j in range(i + 1, n):
            shift(tile, feature * lanes, tensor, (i * size + j) * lanes, one, bias[begin + pair + feature])
            feature += 1
    store_tile(y, y_step, tile, lanes, token, count, begin + pair, feature)
