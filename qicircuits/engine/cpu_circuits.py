"""The weight-1 matrices of many circuits on the CPU: the operator `circuit_matrix`, gate after gate on rows of A."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cpu_lanes import LANE_BYTES, rotate, unrotate
from .cpu_tiles import Flat, in_chunks, kernel, lanes
from .weight_one import circuit_matrix

__all__ = ["build_circuits", "build_circuits_backward"]


@circuit_matrix.register_kernel("cpu")
def build_circuits(angles: Tensor, wires: list[int], sizes: list[int], n: int) -> Tensor:
    """`weight_one.circuit_matrix` for any batch of angles; the fast twin of it."""
    count, rows = angles.shape[:-1].numel(), _padded(torch.eye(n, dtype=angles.dtype))
    out = rows.repeat(count, 1, 1)
    turns = [turn.reshape(count, angles.shape[-1]).contiguous().numpy() for turn in (angles.cos(), angles.sin())]
    pairs, flat = np.array(wires, np.int64), out.flatten(1).numpy()
    in_chunks(
        lambda first, last: _apply(flat[first:last], rows.shape[1], pairs, *(t[first:last] for t in turns)), count, 1
    )
    return out[..., :n].reshape(*angles.shape[:-1], n, n).contiguous()


@torch.library.register_kernel("qicircuits::circuit_matrix_backward", "cpu")
def build_circuits_backward(
    grad: Tensor, out: Tensor, angles: Tensor, wires: list[int], sizes: list[int], n: int
) -> Tensor:
    """Its gradient: the gates undone from the last to the first, on A and on the gradient of A."""
    count = angles.shape[:-1].numel()
    state, adjoint = (_padded(matrix.reshape(count, n, n)) for matrix in (out, grad))
    width = state.shape[-1]
    turns = [turn.reshape(count, angles.shape[-1]).contiguous().numpy() for turn in (angles.cos(), angles.sin())]
    pairs = np.array(wires, np.int64)
    gradient = np.empty(turns[0].shape, turns[0].dtype)
    values = [state.flatten(1).numpy(), adjoint.flatten(1).numpy(), *turns, gradient]
    in_chunks(lambda first, last: _undo(width, pairs, *(value[first:last] for value in values)), count, 1)
    return torch.from_numpy(gradient).reshape(angles.shape)


def _padded(matrices: Tensor) -> Tensor:
    """A copy whose rows end in zeros, up to whole registers."""
    n, step = matrices.shape[-1], lanes(matrices.dtype)
    rows = matrices.new_zeros(*matrices.shape[:-1], -(-n // step) * step)
    rows[..., :n] = matrices.detach()
    return rows


@kernel()
def _apply(matrices: Flat, width: int, wires: Flat, cos: Flat, sin: Flat) -> None:
    """The gates on the rows, of `width` numbers, of every matrix."""
    lanes = LANE_BYTES // matrices.itemsize
    for index in range(len(matrices)):
        rows = matrices[index]
        for gate in range(cos.shape[1]):
            i, j = wires[2 * gate] * width, wires[2 * gate + 1] * width
            for at in range(0, width, lanes):
                rotate(rows, i + at, j + at, cos[index, gate], sin[index, gate])


@kernel(reorder_sums=True)
def _undo(
    width: int, wires: Flat, states: Flat, adjoints: Flat, cos: Flat, sin: Flat, gradient: NDArray[np.floating]
) -> None:
    lanes = LANE_BYTES // states.itemsize
    overlap = np.zeros(lanes, states.dtype)
    for index in range(len(states)):
        state, adjoint = states[index], adjoints[index]
        for gate in range(cos.shape[1] - 1, -1, -1):
            i, j = wires[2 * gate] * width, wires[2 * gate + 1] * width
            overlap[:] = 0
            for at in range(0, width, lanes):
                unrotate(state, adjoint, i + at, j + at, cos[index, gate], sin[index, gate], overlap, 0)
            total = states.dtype.type(0)
            for lane in range(lanes):
                total += overlap[lane]
            gradient[index, gate] = total
