"""C_k(A) applied through antisymmetric tensors of k modes, C_k(A) never built, as a torch operator."""

import functools
import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..subsets import subset_array
from .gradient import register_gradient
from .precision import full_precision

__all__ = ["apply_modes"]


@torch.library.custom_op("qicircuits::apply_modes", mutates_args=())
def apply_modes(matrix: Tensor, columns: Tensor, order: int) -> Tensor:
    """Y = C_k(A) X for columns X of shape (..., C(n, k), T) and A of shape (..., n, n), equal leading dimensions.

    A column is the increasing entries of an antisymmetric tensor of k modes, and A acts on every mode:
    2 k n^(k+1) flops a column. Only A and X are kept for the backward.
    """
    # The increasing entries alone are enough going in: antisymmetry is restored coming out.
    tables = _tables(matrix.shape[-1], order, matrix.device)
    with full_precision(matrix.device):
        tensor = _on_modes(matrix, _tensor(columns, tables.increasing), range(order))
    (_, first), *others = tables.entries
    out = tensor.index_select(-2, first)
    for sign, index in others:
        out.add_(tensor.index_select(-2, index), alpha=sign)
    return out


@torch.library.custom_op("qicircuits::apply_modes_backward", mutates_args=())
def _apply_modes_backward(grad: Tensor, matrix: Tensor, columns: Tensor, order: int) -> tuple[Tensor, Tensor]:
    # dL = <G, dY> / k! over whole antisymmetric tensors, and by symmetry each of the k modes gives the same:
    # with P = A^H on every mode of G but the first, dL/dA = P X^H / (k-1)!, and dL/dX = A^H on P's first mode.
    tables = _tables(matrix.shape[-1], order, matrix.device)
    n = matrix.shape[-1]
    first_mode = (*columns.shape[:-2], n, n ** (order - 1) * columns.shape[-1])
    with full_precision(matrix.device):
        adjoint = matrix.mT.conj_physical()  # an operator's own lazy conjugates are not looked at under torch.compile
        partial = _on_modes(adjoint, _tensor(grad, tables.antisymmetric), range(1, order))
        tensor = _tensor(columns, tables.antisymmetric).reshape(first_mode)
        product = partial.reshape(first_mode) @ tensor.mT.conj_physical()
        tensor = _on_modes(adjoint, partial, range(1))
    return product / math.factorial(order - 1), tensor.index_select(-2, tables.entries[0][1])


@apply_modes.register_fake
def _(matrix: Tensor, columns: Tensor, order: int) -> Tensor:
    return torch.empty_like(columns, memory_format=torch.contiguous_format)


@_apply_modes_backward.register_fake
def _(grad: Tensor, matrix: Tensor, columns: Tensor, order: int) -> tuple[Tensor, Tensor]:
    contiguous = torch.contiguous_format
    return torch.empty_like(matrix, memory_format=contiguous), torch.empty_like(columns, memory_format=contiguous)


register_gradient(apply_modes, _apply_modes_backward, keep=lambda output, matrix, columns: (matrix, columns))


def _on_modes(matrix: Tensor, tensor: Tensor, modes: range) -> Tensor:
    """A on the given modes of a tensor (..., n^k, T)."""
    n, batch = matrix.shape[-1], tensor.shape[:-2]
    for mode in modes:
        # Earlier modes become a batch of the product, later modes and T its columns.
        split = tensor.reshape(*batch, n**mode, n, tensor.shape[-2] // n ** (mode + 1) * tensor.shape[-1])
        tensor = (matrix.unsqueeze(-3) @ split).reshape(tensor.shape)
    return tensor


def _tensor(columns: Tensor, source: Tensor) -> Tensor:
    """The tensor (..., n^k, T) whose rows are rows of (X, -X, 0). A gather: scattering is many times slower."""
    zero = columns.new_zeros(*columns.shape[:-2], 1, columns.shape[-1])
    return torch.cat((columns, -columns, zero), dim=-2).index_select(-2, source)


class _Tables(NamedTuple):
    """Where the k-subsets stand in a tensor of k modes.

    Attributes:
        entries: for each order of the modes its sign, and the flat indices of all subsets, shape (C(n, k),);
            first the identity, the entries whose indices increase.
        increasing: for every entry of the tensor its row in (X, -X, 0): X where the indices increase, else 0.
        antisymmetric: the same for the whole antisymmetric tensor.
    """

    entries: list[tuple[int, Tensor]]
    increasing: Tensor
    antisymmetric: Tensor


@functools.lru_cache(maxsize=64)
def _tables(n: int, order: int, device: torch.device) -> _Tables:
    table = subset_array(n, order)
    strides = n ** torch.arange(order - 1, -1, -1)
    dim = len(table)
    entries = []
    for permutation in itertools.permutations(range(order)):
        inversions = sum(p > q for p, q in itertools.combinations(permutation, 2))
        columns = torch.from_numpy(table[:, permutation].copy())
        entries.append(((-1) ** inversions, (columns * strides).sum(dim=1)))
    increasing = torch.full((n**order,), 2 * dim)
    increasing[entries[0][1]] = torch.arange(dim)
    antisymmetric = torch.full((n**order,), 2 * dim)
    for sign, index in entries:
        antisymmetric[index] = torch.arange(dim) + (0 if sign > 0 else dim)
    moved = [(sign, index.to(device)) for sign, index in entries]
    return _Tables(moved, increasing.to(device), antisymmetric.to(device))
