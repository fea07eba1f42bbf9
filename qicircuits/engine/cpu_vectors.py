"""Kernels for C_2(A), and C_1(A) beside it, on single vectors: the columns of X stand in the lanes.

Where A changes after a few vectors, the tiles of `engine.cpu_compound` would be mostly empty. With U the upper
triangle of X, and zeros below, C_2(A) x is the upper triangle of Y - Y^T, Y = A U A^T; the vector of order 1 is one
column more of U. These are two products of n^3 fused multiplications and additions, a register of columns at a time.
"""

from .cpu_blocks import BLOCK, multiply_block
from .cpu_lanes import LANE_BYTES
from .cpu_tiles import Flat, kernel

__all__ = ["columns", "rotate_vectors"]


def columns(n: int, itemsize: int) -> int:
    """Columns of the buffers: those of U and one more, rounded up to whole blocks of registers."""
    width = BLOCK * LANE_BYTES // itemsize
    return -(-(n + 1) // width) * width


@kernel()
def rotate_vectors(
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
    line: int,
    upper: Flat,
    transposed: Flat,
    product: Flat,
    tensor: Flat,
) -> None:
    """y = C(A) (x - bias) + bias on the sectors of order 2 and, if single >= 0, 1, of the tokens first..last-1.

    begin: where the block starts; single, pair: where the sectors start in it; a: A, padded with zeros to size times
    size, a row; line: `columns` of n; upper, transposed: zeros, product, tensor: anything, size times line each.
    """
    for i in range(n):
        for j in range(n):
            transposed[j * line + i] = a[i * size + j]
    for token in range(first, last):
        source = token * token_step + begin * feature_step
        if single >= 0:
            for i in range(n):
                upper[i * line + n] = x[source + (single + i) * feature_step] - bias[begin + single + i]
        feature = pair
        for i in range(n):
            for j in range(i + 1, n):
                upper[i * line + j] = x[source + feature * feature_step] - bias[begin + feature]
                feature += 1
        _multiply(product, a, size, upper, n, line)
        _multiply(tensor, product, line, transposed, n, line)
        target = token * y_step + begin
        if single >= 0:
            for i in range(n):
                y[target + single + i] = product[i * line + n] + bias[begin + single + i]
        feature = pair
        for i in range(n):
            for j in range(i + 1, n):
                y[target + feature] = tensor[i * line + j] - tensor[j * line + i] + bias[begin + feature]
                feature += 1


@kernel()
def _multiply(out: Flat, left: Flat, step: int, right: Flat, n: int, line: int) -> None:
    """out = left right, of n rows of `step` numbers, and of n rows of `line` numbers."""
    lanes = LANE_BYTES // out.itemsize
    for i in range(0, n, BLOCK):
        for j in range(0, line, BLOCK * lanes):
            multiply_block(out, i * line + j, line, lanes, left, i * step, step, right, j, lanes, line, n)
