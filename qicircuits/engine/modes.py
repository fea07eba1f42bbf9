"""C_k(A) applied through antisymmetric tensors of k modes, C_k(A) never built, as a torch operator."""

import functools
import itertools
import math
from typing import Any

import torch
from torch import Tensor

from ..subsets import subset_array

__all__ = ["apply_modes"]


@torch.library.custom_op("qicircuits::apply_modes", mutates_args=())
def apply_modes(matrix: Tensor, columns: Tensor, order: int) -> Tensor:
    """Y = C_k(A) X for columns X of shape (..., C(n, k), T) and A of shape (..., n, n), equal leading dimensions.

    A column is the increasing entries of an antisymmetric tensor of k modes, and A acts on every mode:
    2 k n^(k+1) flops a column. Only A and X are kept for the backward.
    """
    n = matrix.shape[-1]
    (_, increasing), *others = _entries(n, order)
    tensor = columns.new_zeros(*columns.shape[:-2], n**order, columns.shape[-1])
    # The increasing entries alone are enough going in: antisymmetry is restored coming out.
    tensor.index_copy_(-2, increasing.to(columns.device), columns)
    tensor = _on_modes(matrix, tensor, range(order))
    out = tensor.index_select(-2, increasing.to(columns.device))
    for sign, index in others:
        out.add_(tensor.index_select(-2, index.to(columns.device)), alpha=sign)
    return out


@torch.library.custom_op("qicircuits::apply_modes_backward", mutates_args=())
def _apply_modes_backward(grad: Tensor, matrix: Tensor, columns: Tensor, order: int) -> tuple[Tensor, Tensor]:
    # dL = <G, dY> / k! over whole antisymmetric tensors, and by symmetry each of the k modes gives the same:
    # with P = A^T on every mode of G but the first, dL/dA = P X^T / (k-1)!, and dL/dX = A^T on P's first mode.
    n = matrix.shape[-1]
    partial = _on_modes(matrix.mT, _antisymmetric(grad, n, order), range(1, order))
    first_mode = (*columns.shape[:-2], n, -1)
    product = partial.reshape(first_mode) @ _antisymmetric(columns, n, order).reshape(first_mode).mT
    tensor = _on_modes(matrix.mT, partial, range(1))
    increasing = _entries(n, order)[0][1].to(columns.device)
    return product / math.factorial(order - 1), tensor.index_select(-2, increasing)


@apply_modes.register_fake
def _(matrix: Tensor, columns: Tensor, order: int) -> Tensor:
    return torch.empty_like(columns, memory_format=torch.contiguous_format)


@_apply_modes_backward.register_fake
def _(grad: Tensor, matrix: Tensor, columns: Tensor, order: int) -> tuple[Tensor, Tensor]:
    contiguous = torch.contiguous_format
    return torch.empty_like(matrix, memory_format=contiguous), torch.empty_like(columns, memory_format=contiguous)


def _setup(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    matrix, columns, ctx.order = inputs
    ctx.save_for_backward(matrix, columns)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    return *_apply_modes_backward(grad, *ctx.saved_tensors, ctx.order), None


apply_modes.register_autograd(_backward, setup_context=_setup)


def _on_modes(matrix: Tensor, tensor: Tensor, modes: range) -> Tensor:
    """A on the given modes of a tensor (..., n^k, T)."""
    n, batch = matrix.shape[-1], tensor.shape[:-2]
    for mode in modes:
        # Earlier modes become a batch of the product, later modes and T its columns.
        split = tensor.reshape(*batch, n**mode, n, -1)
        tensor = (matrix.unsqueeze(-3) @ split).reshape(tensor.shape)
    return tensor


def _antisymmetric(columns: Tensor, n: int, order: int) -> Tensor:
    """The antisymmetric tensor (..., n^k, T) whose increasing entries are the columns."""
    tensor = columns.new_zeros(*columns.shape[:-2], n**order, columns.shape[-1])
    for sign, index in _entries(n, order):
        tensor.index_copy_(-2, index.to(columns.device), columns if sign > 0 else -columns)
    return tensor


@functools.lru_cache(maxsize=64)
def _entries(n: int, order: int) -> list[tuple[int, Tensor]]:
    """Where the k-subsets stand in a tensor of k modes: (sign, flat index (C(n, k),)) for each order of the modes.

    The first is the identity, the entries whose indices increase.
    """
    table = subset_array(n, order)
    strides = n ** torch.arange(order - 1, -1, -1)
    entries = []
    for permutation in itertools.permutations(range(order)):
        inversions = sum(p > q for p, q in itertools.combinations(permutation, 2))
        columns = torch.from_numpy(table[:, permutation].copy())
        entries.append(((-1) ** inversions, (columns * strides).sum(dim=1)))
    return entries
