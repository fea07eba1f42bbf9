"""The circuit itself as a classical algorithm, in torch: gate after gate, undone again for the gradient."""

from collections.abc import Iterator

import torch
from torch import Tensor

from .gradient import register_gradient
from .plan import gate_table

__all__ = ["sweep_rows", "sweep_rows_backward"]

_Table = tuple[Tensor, Tensor, Tensor | None]


@torch.library.custom_op("qicircuits::sweep_rows", mutates_args=())
def sweep_rows(rows: Tensor, angles: Tensor, wires: list[int], n: int, order: int, fermionic: bool) -> Tensor:
    """Apply the gates of a circuit to vectors of one sector, with O(1) memory in the depth.

    Each gate is a rotation by theta of its row pairs (`engine.plan.GateTable`). Only the output and the
    angles are kept for the backward: running the gates in reverse gives every intermediate vector back.

    Args:
        rows: vectors as columns, shape (C(n, k), ...), float32 or float64.
        angles: theta, shape (n_gates, ...); as many dimensions as `rows`, broadcasting to it.
        wires: the wires of all gates in order of application, 2 n_gates numbers.
        n: number of wires.
        order: Hamming weight k of the sector.
        fermionic: False for RBS, True for FBS.

    Returns:
        The vectors after the circuit, shape, dtype and device of `rows`.
    """
    out = rows.clone(memory_format=torch.contiguous_format)
    cos, sin = angles.cos(), angles.sin()
    for gate, (a, b, parity) in enumerate(_tables(wires, n, order, fermionic, out)):
        _rotate(out, a, b, cos[gate], sin[gate] if parity is None else sin[gate] * parity)
    return out


@torch.library.custom_op("qicircuits::sweep_rows_backward", mutates_args=())
def sweep_rows_backward(
    grad: Tensor, out: Tensor, angles: Tensor, wires: list[int], n: int, order: int, fermionic: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of `sweep_rows` with respect to its rows and its angles, from its output: both run backwards."""
    state, adjoint = (t.clone(memory_format=torch.contiguous_format) for t in (out, grad))
    cos, sin = angles.cos(), angles.sin()
    grad_angles = torch.empty_like(angles)
    tables = list(_tables(wires, n, order, fermionic, out))
    for gate in reversed(range(len(tables))):
        a, b, parity = tables[gate]
        # d(out)/d(theta) is the *output* rows turned by a right angle: no need to undo the gate first.
        overlap = adjoint[b] * state[a] - adjoint[a] * state[b]
        if parity is not None:
            overlap = overlap * parity
        grad_angles[gate] = overlap.sum(0).sum_to_size(angles.shape[1:])
        back = -sin[gate] if parity is None else -sin[gate] * parity
        _rotate(state, a, b, cos[gate], back)
        _rotate(adjoint, a, b, cos[gate], back)
    return adjoint, grad_angles


@sweep_rows.register_fake
def _(rows: Tensor, angles: Tensor, wires: list[int], n: int, order: int, fermionic: bool) -> Tensor:
    return torch.empty_like(rows, memory_format=torch.contiguous_format)


@sweep_rows_backward.register_fake
def _(
    grad: Tensor, out: Tensor, angles: Tensor, wires: list[int], n: int, order: int, fermionic: bool
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(out, memory_format=torch.contiguous_format), torch.empty_like(angles)


register_gradient(sweep_rows, sweep_rows_backward, keep=lambda output, rows, angles: (output, angles))


def _rotate(rows: Tensor, a: Tensor, b: Tensor, cos: Tensor, sin: Tensor) -> None:
    """In place: rows a, b become cos a - sin b, sin a + cos b."""
    upper, lower = rows[a], rows[b]
    rows[a] = cos * upper - sin * lower
    rows[b] = sin * upper + cos * lower


def _tables(wires: list[int], n: int, order: int, fermionic: bool, like: Tensor) -> Iterator[_Table]:
    """Row pairs of each gate; the parity, as a column that broadcasts over vectors, only where FBS needs it."""
    on_device: dict[tuple[int, int], _Table] = {}
    for i, j in zip(wires[::2], wires[1::2], strict=True):
        if (i, j) not in on_device:
            table = gate_table(n, order, i, j)
            a, b, parity = (torch.from_numpy(t).to(like.device) for t in (table.a, table.b, table.parity))
            signed = fermionic and abs(i - j) > 1
            column = parity.to(like.dtype).reshape(-1, *[1] * (like.dim() - 1)) if signed else None
            on_device[i, j] = a, b, column
        yield on_device[i, j]
