"""Products with a change D = A - I inside Triton's kernels.

D is a sum of two short numbers, D = head + rest. For bfloat16 it is the sum of two bfloat16, which
keep 16 of its binary digits, while what it is multiplied with is rounded to one: an error of 2^-9 |D|, which differs
from token to token as that of the result does. For float16 they are sums of two bfloat16 as well: float16 would
overflow. For float32 every factor is the sum of two tf32 (Triton's "tf32x3"), which keep 21 digits.

Triton's interpreter takes bfloat16 for integers in products and sums; there its values are widened before products.
"""

import os

import triton
import triton.language as tl

__all__ = ["conjugate", "difference", "dot", "rest_of", "times", "transposed"]

_INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


@triton.jit
def dot(a: tl.tensor, b: tl.tensor, acc: tl.tensor, STACK: tl.constexpr, SIZE: tl.constexpr) -> tl.tensor:
    """acc + a b, for STACK matrices at once, or for matrices alone where STACK is 0."""
    if _INTERPRETED:
        a = a.to(acc.dtype)
        b = b.to(acc.dtype)
    if STACK == 1:  # Hopper's products of whole warp groups are of matrices, not of stacks of one
        flat = tl.dot(
            tl.reshape(a, (SIZE, SIZE)),
            tl.reshape(b, (SIZE, SIZE)),
            acc=tl.reshape(acc, (SIZE, SIZE)),
            input_precision="tf32x3",
        )
        return tl.reshape(flat, (1, SIZE, SIZE))
    else:
        return tl.dot(a, b, acc=acc, input_precision="tf32x3")


@triton.jit
def transposed(a: tl.tensor) -> tl.tensor:
    """Each matrix of a stack transposed."""
    return tl.permute(a, (0, 2, 1))


@triton.jit
def difference(
    matrix: tl.tensor,
    row_step: tl.tensor,
    column_step: tl.tensor,
    n: tl.tensor,
    ACC: tl.constexpr,
    SIZE: tl.constexpr,
) -> tl.tensor:
    """D = A - I, zero beyond n."""
    i = tl.arange(0, SIZE)[:, None]
    j = tl.arange(0, SIZE)[None, :]
    a = tl.load(matrix + i * row_step + j * column_step, mask=(i < n) & (j < n), other=0.0)
    return a.to(ACC) - ((i == j) & (i < n)).to(ACC)


@triton.jit
def rest_of(a: tl.tensor, head: tl.tensor) -> tl.tensor:
    """What `head`, a rounded to a shorter type, leaves of a."""
    return (a - head.to(a.dtype)).to(head.dtype)


@triton.jit
def times(
    v: tl.tensor,
    head: tl.tensor,
    rest: tl.tensor,
    acc: tl.tensor,
    LEFT: tl.constexpr,
    TERMS: tl.constexpr,
    STACK: tl.constexpr,
    SIZE: tl.constexpr,
) -> tl.tensor:
    """acc + D v, or acc + v D, where D = head + rest; v in TERMS terms, D in one where TERMS is 0."""
    short = v.to(head.dtype)
    if TERMS == 2:
        small = rest_of(v, short)
        acc = dot(head, small, acc, STACK, SIZE) if LEFT else dot(small, head, acc, STACK, SIZE)
    if TERMS > 0:
        acc = dot(rest, short, acc, STACK, SIZE) if LEFT else dot(short, rest, acc, STACK, SIZE)
    return dot(head, short, acc, STACK, SIZE) if LEFT else dot(short, head, acc, STACK, SIZE)


@triton.jit
def conjugate(
    v: tl.tensor,
    head: tl.tensor,
    rest: tl.tensor,
    TERMS: tl.constexpr,
    STACK: tl.constexpr,
    SIZE: tl.constexpr,
) -> tl.tensor:
    """A V A^T for matrices V, shape (STACK, SIZE, SIZE)."""
    w = times(v, transposed(head), transposed(rest), v, False, TERMS, STACK, SIZE)
    return times(w, head, rest, w, True, TERMS, STACK, SIZE)
