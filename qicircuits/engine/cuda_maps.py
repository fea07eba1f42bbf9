"""Triton kernels from parameters to rotations: Cayley's map and the swap network, for all matrices in one launch.

They compute in float64 and round once, as `qicircuits.orthogonal` does: the matrices are small beside the vectors,
and in float32 they would lose more than 1e-6 of orthogonality at n = 90. A program of Cayley's map holds a whole
matrix, one of the swap network some of its columns, which never meet.
"""

import triton
import triton.language as tl

__all__ = ["COLUMNS", "cayley_backward", "cayley_forward", "swap_backward", "swap_forward"]

COLUMNS = tl.constexpr(16)  # of a matrix, in one program of the swap network


@triton.jit
def cayley_forward(
    parameters: tl.tensor,
    matrices: tl.tensor,
    sizes: tl.tensor,
    parameter_starts: tl.tensor,
    matrix_starts: tl.tensor,
    SIZE: tl.constexpr,
) -> None:
    """A = (I - S)(I + S)^(-1) = 2 (I + S)^(-1) - I for the matrix of each program.

    S has the parameters from `parameter_starts` as its strict upper triangle, row by row, and A goes to n^2 numbers
    from `matrix_starts`. The inverse is Gauss-Jordan's without pivots: the symmetric part of I + S is I, and so is at
    least I that of every matrix which is left to invert.
    """
    program = tl.program_id(0)
    n = tl.load(sizes + program)
    parameters += tl.load(parameter_starts + program)
    i = tl.arange(0, SIZE)[:, None]
    j = tl.arange(0, SIZE)[None, :]
    low = tl.minimum(i, j)
    place = low * (2 * n - low - 1) // 2 + tl.maximum(i, j) - low - 1
    s = tl.load(parameters + place, mask=(i != j) & (i < n) & (j < n), other=0.0).to(tl.float64)
    inverse = tl.where(i < j, s, -s) + (i == j).to(tl.float64)
    for k in range(n):
        row = tl.sum(tl.where(i == k, inverse, 0.0), axis=0)[None, :]
        column = tl.sum(tl.where(j == k, inverse, 0.0), axis=1)[:, None]
        pivot = tl.sum(tl.where(j == k, row, 0.0), axis=1)[:, None]
        row = tl.where(j == k, 1.0, row) / pivot
        inverse = tl.where(i == k, row, tl.where(j == k, 0.0, inverse) - column * row)
    a = 2.0 * inverse - (i == j).to(tl.float64)
    matrices += tl.load(matrix_starts + program)
    tl.store(matrices + i * n + j, a, mask=(i < n) & (j < n))


@triton.jit
def cayley_backward(
    grad: tl.tensor,
    matrices: tl.tensor,
    grad_parameters: tl.tensor,
    sizes: tl.tensor,
    parameter_starts: tl.tensor,
    matrix_starts: tl.tensor,
    SIZE: tl.constexpr,
) -> None:
    """The gradient of the parameters: T_ij - T_ji for i < j, T = -1/2 (I + A)^T G (I + A)^T, G the gradient of A.

    For dA = -2 K dS K and K = (I + S)^(-1) = (I + A)/2: the inverse is not needed again.
    """
    program = tl.program_id(0)
    n = tl.load(sizes + program)
    start = tl.load(matrix_starts + program)
    grad += start
    matrices += start
    line = tl.arange(0, SIZE)
    i = line[:, None]
    j = line[None, :]
    left = tl.zeros((SIZE, SIZE), tl.float64)  # (I + A)^T G, one row of both factors after the other
    for k in range(n):
        a = tl.load(matrices + k * n + line, mask=line < n, other=0.0).to(tl.float64) + (line == k).to(tl.float64)
        g = tl.load(grad + k * n + line, mask=line < n, other=0.0).to(tl.float64)
        left += a[:, None] * g[None, :]
    t = tl.zeros((SIZE, SIZE), tl.float64)
    for k in range(n):
        column = tl.sum(tl.where(j == k, left, 0.0), axis=1)
        a = tl.load(matrices + line * n + k, mask=line < n, other=0.0).to(tl.float64) + (line == k).to(tl.float64)
        # T - T^T at once: the transpose of a whole tile would not fit into the shared memory of smaller devices.
        t += a[:, None] * column[None, :] - column[:, None] * a[None, :]
    place = i * (2 * n - i - 1) // 2 + j - i - 1
    tl.store(grad_parameters + tl.load(parameter_starts + program) + place, 0.5 * t, mask=(i < j) & (j < n))


@triton.jit
def _moment(
    angles: tl.tensor, partners: tl.tensor, gates: tl.tensor, signs: tl.tensor, wire: tl.tensor, n: tl.tensor
) -> tuple[tl.tensor, ...]:
    """Of each wire in a moment: its partner, its gate, the sign before sin in its row, and cos and sin."""
    there = wire < n
    partner = tl.load(partners + wire, mask=there, other=0)
    gate = tl.load(gates + wire, mask=there, other=0)
    sign = tl.load(signs + wire, mask=there, other=0)
    theta = tl.load(angles + gate, mask=there & (sign != 0), other=0.0).to(tl.float64)
    return tl.where(there, partner, wire), gate, sign, tl.cos(theta), sign.to(tl.float64) * tl.sin(theta)


@triton.jit
def swap_forward(
    parameters: tl.tensor,
    matrices: tl.tensor,
    sizes: tl.tensor,
    parameter_starts: tl.tensor,
    matrix_starts: tl.tensor,
    partners: tl.tensor,
    gates: tl.tensor,
    signs: tl.tensor,
    table_starts: tl.tensor,
    SIZE: tl.constexpr,
) -> None:
    """A of the swap network, COLUMNS of its columns a program of axis 1, one moment of gates after the other.

    In a moment row a becomes cos a + sign sin b, with b its partner: itself, and sign 0, where no gate acts. The
    tables from `table_starts` hold n moments of n wires.
    """
    program = tl.program_id(0)
    n = tl.load(sizes + program)
    parameters += tl.load(parameter_starts + program)
    table = tl.load(table_starts + program)
    wire = tl.arange(0, SIZE)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    state = (wire[:, None] == column).to(tl.float64)
    for moment in range(n):
        at = table + moment * n
        partner, _, _, cos, sin = _moment(parameters, partners + at, gates + at, signs + at, wire, n)
        index = tl.broadcast_to(partner[:, None], (SIZE, COLUMNS))
        state = cos[:, None] * state + sin[:, None] * tl.gather(state, index, 0)
    matrices += tl.load(matrix_starts + program)
    tl.store(matrices + wire[:, None] * n + column, state, mask=(wire[:, None] < n) & (column < n))


@triton.jit
def swap_backward(
    grad: tl.tensor,
    matrices: tl.tensor,
    parameters: tl.tensor,
    grad_parameters: tl.tensor,
    count: tl.tensor,
    sizes: tl.tensor,
    parameter_starts: tl.tensor,
    matrix_starts: tl.tensor,
    partners: tl.tensor,
    gates: tl.tensor,
    signs: tl.tensor,
    table_starts: tl.tensor,
    SIZE: tl.constexpr,
) -> None:
    """The gradient of the angles from each group of columns, to rows of `grad_parameters`, (groups, count).

    The moments are undone from the last to the first, on A and on its gradient; sums over columns are left to do.
    """
    program = tl.program_id(0)
    n = tl.load(sizes + program)
    start = tl.load(parameter_starts + program)
    table = tl.load(table_starts + program)
    wire = tl.arange(0, SIZE)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    entry = tl.load(matrix_starts + program) + wire[:, None] * n + column
    there = (wire[:, None] < n) & (column < n)
    state = tl.load(matrices + entry, mask=there, other=0.0).to(tl.float64)
    adjoint = tl.load(grad + entry, mask=there, other=0.0).to(tl.float64)
    grad_parameters += tl.program_id(1).to(tl.int64) * count + start
    for step in range(n):
        at = table + (n - 1 - step) * n
        partner, gate, sign, cos, sin = _moment(parameters + start, partners + at, gates + at, signs + at, wire, n)
        index = tl.broadcast_to(partner[:, None], (SIZE, COLUMNS))
        swapped = tl.gather(state, index, 0)
        turned = sign.to(tl.float64) * tl.sum(adjoint * swapped, axis=1)
        turned += tl.gather(turned, partner, 0)
        tl.store(grad_parameters + gate, turned, mask=(wire < partner) & (wire < n))
        # The signs of a and b are opposite: those of the transposed rotation.
        state = cos[:, None] * state - sin[:, None] * swapped
        adjoint = cos[:, None] * adjoint - sin[:, None] * tl.gather(adjoint, index, 0)
