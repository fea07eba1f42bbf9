"""The weight-1 matrix of a circuit: a product of Givens rotations, one matrix a moment, multiplied as a tree."""

import functools
import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..layouts import Layout
from .gradient import register_gradient
from .precision import full_precision

__all__ = ["circuit_matrix", "gate_lists", "gate_wires"]

# Above this many entries in all moment matrices together, one moment after the other saves memory and time.
_TREE_ENTRIES = 2**21


def gate_lists(layout: Layout) -> tuple[list[int], list[int]]:
    """The wires of all gates one after the other, and the number of gates in each moment: what operators take."""
    return [wire for pair in layout.pairs for wire in pair], [len(moment) for moment in layout.moments]


def gate_wires(layout: Layout) -> Tensor:
    """The first of `gate_lists` as a tensor."""
    if torch.compiler.is_compiling():  # it warns of caches
        return torch.tensor(gate_lists(layout)[0], dtype=torch.int64)
    return torch.from_numpy(_gate_wires(layout))


@functools.lru_cache(maxsize=64)
def _gate_wires(layout: Layout) -> NDArray[np.int64]:
    return np.array(layout.pairs, np.int64).reshape(-1)


@torch.library.custom_op("qicircuits::circuit_matrix", mutates_args=())
def circuit_matrix(angles: Tensor, wires: list[int], sizes: list[int], n: int) -> Tensor:
    """The matrix of a circuit on the weight-1 sector, where RBS and FBS are the same Givens rotations.

    Args:
        angles: shape (..., n_gates), float32 or float64.
        wires: the wires of all gates, 2 n_gates numbers.
        sizes: the number of gates in each moment.
        n: number of wires.

    Returns:
        A = (last gate) ... (first gate), shape (..., n, n). Only the angles and A are kept for the backward.
    """
    if len(sizes) * n * n > _TREE_ENTRIES:
        out = torch.eye(n, dtype=angles.dtype, device=angles.device).repeat(*angles.shape[:-1], 1, 1)
        cos, sin = angles.cos().unsqueeze(-1), angles.sin().unsqueeze(-1)
        for moment, i, j in _by_moment(wires, sizes, angles.device):
            _rotate(out, i, j, cos[..., moment, :], sin[..., moment, :])
        return out
    if not sizes:
        return torch.eye(n, dtype=angles.dtype, device=angles.device).repeat(*angles.shape[:-1], 1, 1)
    with full_precision(angles.device):
        return _tree(_moments(angles, wires, sizes, n))[-1].squeeze(-3).clone()  # an operator must not return a view


@torch.library.custom_op("qicircuits::circuit_matrix_backward", mutates_args=())
def _circuit_matrix_backward(
    grad: Tensor, out: Tensor, angles: Tensor, wires: list[int], sizes: list[int], n: int
) -> Tensor:
    if len(sizes) * n * n > _TREE_ENTRIES:
        return _undo_moments(grad, out, angles, wires, sizes)
    if not sizes:
        return torch.zeros_like(angles)
    with full_precision(angles.device):
        grad = _undo_tree(grad, _tree(_moments(angles, wires, sizes, n)))
    corners = grad.flatten(-3).index_select(-1, _moment_entries(tuple(wires), tuple(sizes), n, grad.device))
    at_i, at_j, at_ji, at_ij = corners.unflatten(-1, (4, -1)).unbind(-2)
    return (at_ji - at_ij) * angles.cos() - (at_i + at_j) * angles.sin()


@circuit_matrix.register_fake
def _(angles: Tensor, wires: list[int], sizes: list[int], n: int) -> Tensor:
    return angles.new_empty(*angles.shape[:-1], n, n)


@_circuit_matrix_backward.register_fake
def _(grad: Tensor, out: Tensor, angles: Tensor, wires: list[int], sizes: list[int], n: int) -> Tensor:
    return torch.empty_like(angles, memory_format=torch.contiguous_format)


register_gradient(circuit_matrix, _circuit_matrix_backward, keep=lambda output, angles: (output, angles))


def _undo_moments(grad: Tensor, out: Tensor, angles: Tensor, wires: list[int], sizes: list[int]) -> Tensor:
    """The gradient of the angles, the moments undone from the last to the first on A and on its gradient."""
    state, adjoint = out.clone(), grad.clone(memory_format=torch.contiguous_format)
    cos, sin = angles.cos().unsqueeze(-1), angles.sin().unsqueeze(-1)
    grad_angles = torch.empty_like(angles)
    for moment, i, j in reversed(_by_moment(wires, sizes, angles.device)):
        overlap = adjoint[..., j, :] * state[..., i, :] - adjoint[..., i, :] * state[..., j, :]
        grad_angles[..., moment] = overlap.sum(-1)
        _rotate(state, i, j, cos[..., moment, :], -sin[..., moment, :])
        _rotate(adjoint, i, j, cos[..., moment, :], -sin[..., moment, :])
    return grad_angles


def _rotate(rows: Tensor, i: Tensor, j: Tensor, cos: Tensor, sin: Tensor) -> None:
    """In place: rows i, j of (..., n, n) become cos i - sin j, sin i + cos j, for disjoint pairs at once."""
    upper, lower = rows[..., i, :], rows[..., j, :]
    rows[..., i, :] = cos * upper - sin * lower
    rows[..., j, :] = sin * upper + cos * lower


def _by_moment(wires: list[int], sizes: list[int], device: torch.device) -> list[tuple[slice, Tensor, Tensor]]:
    """For each moment: its slice of the angles, and the first and second wires of its gates."""
    pairs = torch.tensor(wires, device=device).reshape(-1, 2)
    stops = list(itertools.accumulate(sizes))
    slices = [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
    return [(moment, pairs[moment, 0], pairs[moment, 1]) for moment in slices]


def _moments(angles: Tensor, wires: list[int], sizes: list[int], n: int) -> Tensor:
    """One matrix a moment, shape (..., depth, n, n)."""
    flat = torch.eye(n, dtype=angles.dtype, device=angles.device).repeat(*angles.shape[:-1], len(sizes), 1, 1)
    cos, sin = angles.cos(), angles.sin()
    entries = _moment_entries(tuple(wires), tuple(sizes), n, angles.device)
    flat.flatten(-3).index_copy_(-1, entries, torch.cat((cos, cos, sin, -sin), dim=-1))
    return flat


def _tree(factors: Tensor) -> list[Tensor]:
    """The factors (..., m, n, n), their products two by two, later times earlier, and so on to one product."""
    levels = [factors]
    while factors.shape[-3] > 1:
        even = factors.shape[-3] // 2 * 2
        products = factors[..., 1:even:2, :, :] @ factors[..., 0:even:2, :, :]
        factors = torch.cat((products, factors[..., even:, :, :]), dim=-3)
        levels.append(factors)
    return levels


def _undo_tree(grad: Tensor, levels: list[Tensor]) -> Tensor:
    """The gradients of the factors, (..., m, n, n), from that of their product, (..., n, n)."""
    grad = grad.unsqueeze(-3)
    for factors in levels[-2::-1]:
        even = factors.shape[-3] // 2 * 2
        first, second = factors[..., 0:even:2, :, :], factors[..., 1:even:2, :, :]
        spread = torch.empty_like(factors)
        spread[..., 1:even:2, :, :] = grad[..., : even // 2, :, :] @ first.mT
        spread[..., 0:even:2, :, :] = second.mT @ grad[..., : even // 2, :, :]
        spread[..., even:, :, :] = grad[..., even // 2 :, :, :]
        grad = spread
    return grad


@functools.lru_cache(maxsize=64)
def _moment_entries(wires: tuple[int, ...], sizes: tuple[int, ...], n: int, device: torch.device) -> Tensor:
    """Where the gates' cos, cos, sin, -sin stand in the flattened moments (depth n n): four times n_gates."""
    moment = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)) * n * n
    i, j = torch.tensor(wires).reshape(-1, 2).unbind(-1)
    entries = torch.cat([moment + row * n + column for row, column in ((i, i), (j, j), (j, i), (i, j))])
    return entries.to(device)
