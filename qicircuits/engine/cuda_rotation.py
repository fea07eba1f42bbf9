"""Triton kernels that rotate the features of tokens: orders 1 and 2 of all blocks of a layer in one launch.

With D = A - I, a sector of order 1 becomes v + D v. The features of a sector of order 2 are the strict upper
triangle, row by row, of an antisymmetric matrix V, and

    A V A^T = V + V D^T + D (V + V D^T) .

So no bit changes where A = I and all is finite, whatever the products round. How they round is in `cuda_products`.
"""

import triton
import triton.language as tl

from .cuda_products import conjugate, difference, dot, rest_of, times, transposed

__all__ = ["GROUP", "rotate_tokens", "tangent_tokens"]

# Tokens come in groups, of a multiple of this many: the fewest rows of a product.
GROUP = tl.constexpr(16)
_COPIED = tl.constexpr(128)  # features at a time


@triton.jit
def _copy(
    x: tl.tensor,
    token_step: tl.tensor,
    y: tl.tensor,
    features: tl.tensor,
    first: tl.tensor,
    last: tl.tensor,
    begin: tl.tensor,
    gap: tl.tensor,
    stop: tl.tensor,
    singles: tl.tensor,
    pairs: tl.tensor,
    n: tl.tensor,
    HAS_SINGLES: tl.constexpr,
    HAS_PAIRS: tl.constexpr,
) -> None:
    """The features of a block from `gap` to `stop` that lie in no sector."""
    row = tl.arange(0, GROUP)[:, None]
    column = tl.arange(0, _COPIED)[None, :]
    for shift in range(gap, stop, _COPIED):
        f = shift + column
        no_single = (f < singles) | (f >= singles + (n if HAS_SINGLES else 0))
        no_pair = (f < pairs) | (f >= pairs + (n * (n - 1) // 2 if HAS_PAIRS else 0))
        free = (f < stop) & no_single & no_pair
        for start in range(first, last, GROUP):
            token = (start + row).to(tl.int64)
            mask = free & (token < last)
            value = tl.load(x + token * token_step + begin + f, mask=mask)
            tl.store(y + token * features + begin + f, value, mask=mask)


@triton.jit
def rotate_tokens(
    x: tl.tensor,
    x_token_step: tl.tensor,
    y: tl.tensor,
    features: tl.tensor,
    bias: tl.tensor,
    matrices: tl.tensor,
    matrix_step: tl.tensor,
    row_step: tl.tensor,
    column_step: tl.tensor,
    n: tl.tensor,
    tokens: tl.tensor,
    group: tl.tensor,
    n_blocks: tl.tensor,
    block_size: tl.tensor,
    gap: tl.tensor,
    singles: tl.tensor,
    pairs: tl.tensor,
    ACC: tl.constexpr,
    SHORT: tl.constexpr,
    TERMS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_SINGLES: tl.constexpr,
    HAS_PAIRS: tl.constexpr,
    STACK: tl.constexpr,
    SIZE: tl.constexpr,
) -> None:
    """y = x + (R v - v), v = x - bias, for a group of tokens and one block (the programs of axes 0 and 1).

    y (tokens, features) is contiguous. `gap`, `singles` and `pairs` are where in a block the first feature without
    sector, and the sectors of order 1 and 2, start. ACC is the type of sums, SHORT of products, and D and v have
    TERMS terms in it: (float32, bfloat16, 1 or 2), or (float32, float32, 0). SIZE is a power of two, at least n.
    """
    block = tl.program_id(1)
    begin = block * block_size
    first = tl.program_id(0) * group
    last = tl.minimum(first + group, tokens)

    stop = tl.where(block == n_blocks - 1, features - begin, block_size)
    _copy(x, x_token_step, y, features, first, last, begin, gap, stop, singles, pairs, n, HAS_SINGLES, HAS_PAIRS)

    d = difference(matrices + block.to(tl.int64) * matrix_step, row_step, column_step, n, ACC, SIZE)
    head = d.to(SHORT)
    rest = rest_of(d, head)
    if HAS_SINGLES:
        row = tl.arange(0, GROUP)[:, None]
        j = tl.arange(0, SIZE)[None, :]
        feature = begin + singles + j
        b = tl.load(bias + feature, mask=j < n, other=0.0).to(ACC) if HAS_BIAS else tl.zeros((1, SIZE), ACC)
        for start in range(first, last, GROUP):
            token = (start + row).to(tl.int64)
            mask = (j < n) & (token < last)
            value = tl.load(x + token * x_token_step + feature, mask=mask, other=0.0).to(ACC)
            v = value - b
            rotated = times(v, tl.trans(head), tl.trans(rest), v, False, TERMS, 0, SIZE)
            tl.store(y + token * features + feature, value + (rotated - v) if HAS_BIAS else rotated, mask=mask)
    if HAS_PAIRS:
        i = tl.arange(0, SIZE)[None, :, None]
        j = tl.arange(0, SIZE)[None, None, :]
        upper = (i < j) & (j < n)
        feature = begin + pairs + i * (2 * n - i - 1) // 2 + j - i - 1
        head = tl.broadcast_to(tl.expand_dims(head, 0), (STACK, SIZE, SIZE))
        rest = tl.broadcast_to(tl.expand_dims(rest, 0), (STACK, SIZE, SIZE))
        for start in range(first, last, STACK):
            token = (start + tl.arange(0, STACK)[:, None, None]).to(tl.int64)
            mask = upper & (token < last)
            value = tl.load(x + token * x_token_step + feature, mask=mask, other=0.0)
            if HAS_BIAS:
                # Loaded for every token, from the nearest cache: kept, it would take too many registers.
                v = value.to(ACC) - tl.load(bias + feature, mask=upper, other=0.0).to(ACC)
                rotated = conjugate(v - transposed(v), head, rest, TERMS, STACK, SIZE)
                rotated = value.to(ACC) + (rotated - v)
            else:
                v = value.to(ACC) - transposed(value).to(ACC)
                rotated = conjugate(v, head, rest, TERMS, STACK, SIZE)
            tl.store(y + token * features + feature, rotated, mask=mask)


@triton.jit
def tangent_tokens(
    grad: tl.tensor,
    grad_token_step: tl.tensor,
    out: tl.tensor,
    grad_x: tl.tensor,
    features: tl.tensor,
    bias: tl.tensor,
    matrices: tl.tensor,
    matrix_step: tl.tensor,
    row_step: tl.tensor,
    column_step: tl.tensor,
    tangents: tl.tensor,
    n: tl.tensor,
    tokens: tl.tensor,
    group: tl.tensor,
    n_blocks: tl.tensor,
    block_size: tl.tensor,
    gap: tl.tensor,
    singles: tl.tensor,
    pairs: tl.tensor,
    ACC: tl.constexpr,
    SHORT: tl.constexpr,
    TERMS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_SINGLES: tl.constexpr,
    HAS_PAIRS: tl.constexpr,
    STACK: tl.constexpr,
    SIZE: tl.constexpr,
) -> None:
    r"""grad_x = R^T g and M = Σ_tokens g w^T + G W^T for w = y - bias, g and w of order 1, G and W of order 2.

    For order 2, M_ij = <g, a_i^† a_j w> is half of <G, E_ij W + W E_ij^T> with E_ij the matrix unit, and as G and W
    are antisymmetric both terms are (G W^T)_ij.

    Each program writes its own sum to `tangents`, shape (groups, n_blocks, n, n): added up afterwards, always in
    the same order. `out` and `grad_x` (tokens, features) are contiguous; the rest is as in `rotate_tokens`.
    """
    block = tl.program_id(1)
    begin = block * block_size
    first = tl.program_id(0) * group
    last = tl.minimum(first + group, tokens)

    stop = tl.where(block == n_blocks - 1, features - begin, block_size)
    _copy(
        grad,
        grad_token_step,
        grad_x,
        features,
        first,
        last,
        begin,
        gap,
        stop,
        singles,
        pairs,
        n,
        HAS_SINGLES,
        HAS_PAIRS,
    )

    # The transpose of A by its steps.
    d = difference(matrices + block.to(tl.int64) * matrix_step, column_step, row_step, n, ACC, SIZE)
    head = d.to(SHORT)
    rest = rest_of(d, head)
    m = tl.zeros((SIZE, SIZE), ACC)
    if HAS_SINGLES:
        row = tl.arange(0, GROUP)[:, None]
        j = tl.arange(0, SIZE)[None, :]
        feature = begin + singles + j
        b = tl.load(bias + feature, mask=j < n, other=0.0).to(ACC) if HAS_BIAS else tl.zeros((1, SIZE), ACC)
        for start in range(first, last, GROUP):
            token = (start + row).to(tl.int64)
            mask = (j < n) & (token < last)
            g = tl.load(grad + token * grad_token_step + feature, mask=mask, other=0.0)
            w = tl.load(out + token * features + feature, mask=mask, other=0.0).to(ACC) - b
            # The bias beyond the tokens meets gradients of zero.
            m = dot(tl.trans(g), w.to(g.dtype), m, 0, SIZE)
            v = g.to(ACC)
            v = times(v, tl.trans(head), tl.trans(rest), v, False, TERMS, 0, SIZE)
            tl.store(grad_x + token * features + feature, v, mask=mask)
    if HAS_PAIRS:
        i = tl.arange(0, SIZE)[None, :, None]
        j = tl.arange(0, SIZE)[None, None, :]
        upper = (i < j) & (j < n)
        feature = begin + pairs + i * (2 * n - i - 1) // 2 + j - i - 1
        head = tl.broadcast_to(tl.expand_dims(head, 0), (STACK, SIZE, SIZE))
        rest = tl.broadcast_to(tl.expand_dims(rest, 0), (STACK, SIZE, SIZE))
        sums = tl.zeros((STACK, SIZE, SIZE), ACC)
        for start in range(first, last, STACK):
            token = (start + tl.arange(0, STACK)[:, None, None]).to(tl.int64)
            mask = upper & (token < last)
            g = tl.load(grad + token * grad_token_step + feature, mask=mask, other=0.0)
            v = g.to(ACC) - transposed(g).to(ACC)
            w = tl.load(out + token * features + feature, mask=mask, other=0.0).to(ACC)
            if HAS_BIAS:
                w = w - tl.load(bias + feature, mask=upper, other=0.0).to(ACC)
            short = w.to(g.dtype)
            # W^T = -W: its lower triangle is the features themselves. Tiles of zeros in the place of absent tokens
            # are enough on one side.
            w = transposed(short).to(ACC) - short.to(ACC)
            sums = dot(v.to(g.dtype), w.to(g.dtype), sums, STACK, SIZE)
            v = conjugate(v, head, rest, TERMS, STACK, SIZE)
            tl.store(grad_x + token * features + feature, v, mask=mask)
        m += tl.sum(sums, axis=0)
    i = tl.arange(0, SIZE)[:, None]
    j = tl.arange(0, SIZE)[None, :]
    program = tl.program_id(0).to(tl.int64) * n_blocks + block
    tl.store(tangents + (program * n + i) * n + j, m, mask=(i < n) & (j < n))
