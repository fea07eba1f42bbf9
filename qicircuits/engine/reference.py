"""The circuit itself as a classical algorithm, in torch: gate after gate, undone again for the gradient."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..layouts import Layout
from .plan import gate_table

__all__ = ["sweep"]


def sweep(rows: Tensor, angles: Tensor, layout: Layout, order: int, *, fermionic: bool) -> Tensor:
    """Apply the gates of a layout to vectors of one sector, with O(1) memory in the depth.

    Each gate is a rotation by theta of its row pairs (`engine.plan.GateTable`). Only the output and the
    angles are kept for the backward: running the gates in reverse gives every intermediate vector back.

    Args:
        rows: vectors as columns, shape (C(n, k), ...), float32 or float64.
        angles: theta, shape (n_gates, ...); trailing dimensions broadcast with those of `rows`.
        layout: where the gates stand.
        order: Hamming weight k of the sector.
        fermionic: False for RBS, True for FBS.

    Returns:
        The vectors after the circuit, shape, dtype and device of `rows` after broadcasting.
    """
    out: Tensor = _Sweep.apply(rows, angles, layout, order, fermionic)  # type: ignore[no-untyped-call]
    return out


class _Sweep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, angles: Tensor, layout: Layout, order: int, fermionic: bool
    ) -> Tensor:
        batch = torch.broadcast_shapes(rows.shape[1:], angles.shape[1:])
        out = rows.expand(rows.shape[0], *batch).clone(memory_format=torch.contiguous_format)
        cos, sin = angles.cos(), angles.sin()
        for gate, (a, b, parity) in enumerate(_tables(layout, order, fermionic, out)):
            _rotate(out, a, b, cos[gate], sin[gate] if parity is None else sin[gate] * parity)
        ctx.save_for_backward(out, angles)
        ctx.plan = (layout, order, fermionic, rows.shape)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        out, angles = ctx.saved_tensors
        layout, order, fermionic, shape = ctx.plan
        state, adjoint = out.clone(), grad.clone(memory_format=torch.contiguous_format)
        cos, sin = angles.cos(), angles.sin()
        grad_angles = torch.empty_like(angles)
        tables = list(_tables(layout, order, fermionic, out))
        for gate in reversed(range(len(tables))):
            a, b, parity = tables[gate]
            # d(out)/d(theta) rotates the *output* rows by a right angle: no need to undo the gate first.
            overlap = adjoint[b] * state[a] - adjoint[a] * state[b]
            if parity is not None:
                overlap = overlap * parity
            grad_angles[gate] = overlap.sum(0).sum_to_size(angles.shape[1:])
            signed = sin[gate] if parity is None else sin[gate] * parity
            _rotate(state, a, b, cos[gate], -signed)
            _rotate(adjoint, a, b, cos[gate], -signed)
        return adjoint.sum_to_size(shape), grad_angles, None, None, None


def _rotate(rows: Tensor, a: Tensor, b: Tensor, cos: Tensor, sin: Tensor) -> None:
    """In place: rows a, b become cos a - sin b, sin a + cos b."""
    upper, lower = rows[a], rows[b]
    rows[a] = cos * upper - sin * lower
    rows[b] = sin * upper + cos * lower


def _tables(
    layout: Layout, order: int, fermionic: bool, like: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Row pairs of each gate as tensors; the parity, shaped to broadcast over columns, only where FBS needs it."""
    on_device: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor | None]] = {}
    for i, j in layout.pairs:
        if (i, j) not in on_device:
            table = gate_table(layout.n, order, i, j)
            a, b, parity = (torch.from_numpy(t).to(like.device) for t in (table.a, table.b, table.parity))
            signed = fermionic and abs(i - j) > 1
            column = parity.to(like.dtype).reshape(-1, *[1] * (like.dim() - 1)) if signed else None
            on_device[i, j] = a, b, column
        yield on_device[i, j]
