"""C_k from C_(k-1) by Laplace expansion along the first column, as a torch operator."""

import functools
import itertools
import math

import torch
from torch import Tensor

from ..subsets import subsets
from .gradient import register_gradient

__all__ = ["next_compound"]

# The columns J = (j, J') of C_k with a fixed first element j are a contiguous slice of it, and their tails
# J' > j are the last columns of C_(k-1): only rows are gathered, every access to columns is a slice.


@torch.library.custom_op("qicircuits::next_compound", mutates_args=())
def next_compound(matrix: Tensor, previous: Tensor, order: int) -> Tensor:
    """C_k(A), shape (..., C(n, k), C(n, k)), from A (..., n, n) and C_(k-1)(A), for k >= 1.

    det A[I, J] = sum_r (-1)^r A[I_r, J_0] det A[I without I_r, J without J_0]: a polynomial, whose gradient
    is right where minors vanish.
    """
    n = matrix.shape[-1]
    out = matrix.new_empty(*matrix.shape[:-2], *[math.comb(n, order)] * 2)
    for r, (wire, rest) in enumerate(_rows(n, order, matrix.device)):
        entry, minors = matrix.index_select(-2, wire), previous.index_select(-2, rest)
        for j, here, tail in _first_columns(n, order):
            if r == 0:
                torch.mul(entry[..., j : j + 1], minors[..., tail:], out=out[..., here])
            else:
                out[..., here].addcmul_(entry[..., j : j + 1], minors[..., tail:], value=(-1) ** r)
    return out


@torch.library.custom_op("qicircuits::next_compound_backward", mutates_args=())
def _next_compound_backward(grad: Tensor, matrix: Tensor, previous: Tensor, order: int) -> tuple[Tensor, Tensor]:
    grad_matrix, grad_previous = torch.zeros_like(matrix), torch.zeros_like(previous)
    for r, (wire, rest) in enumerate(_rows(matrix.shape[-1], order, matrix.device)):
        entry, minors = matrix.index_select(-2, wire), previous.index_select(-2, rest)
        grad_entry, grad_minors = torch.zeros_like(entry), torch.zeros_like(minors)
        for j, here, tail in _first_columns(matrix.shape[-1], order):
            grad_entry[..., j] = (grad[..., here] * minors[..., tail:].conj_physical()).sum(-1)
            grad_minors[..., tail:].addcmul_(entry[..., j : j + 1].conj_physical(), grad[..., here])
        grad_matrix.index_add_(-2, wire, grad_entry, alpha=(-1) ** r)
        grad_previous.index_add_(-2, rest, grad_minors, alpha=(-1) ** r)
    return grad_matrix, grad_previous


@next_compound.register_fake
def _(matrix: Tensor, previous: Tensor, order: int) -> Tensor:
    return matrix.new_empty(*matrix.shape[:-2], *[math.comb(matrix.shape[-1], order)] * 2)


@_next_compound_backward.register_fake
def _(grad: Tensor, matrix: Tensor, previous: Tensor, order: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(matrix), torch.empty_like(previous)


register_gradient(next_compound, _next_compound_backward, keep=lambda output, matrix, previous: (matrix, previous))


@functools.lru_cache(maxsize=256)
def _rows(n: int, order: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """For each r < k: the r-th wire of each k-subset, and the rank of the subset without it; (C(n, k),) each."""
    rank = {subset: index for index, subset in enumerate(subsets(n, order - 1))}
    members = subsets(n, order)
    wires = [[s[r] for s in members] for r in range(order)]
    rests = [[rank[s[:r] + s[r + 1 :]] for s in members] for r in range(order)]
    return [
        (torch.tensor(w, device=device), torch.tensor(r, device=device)) for w, r in zip(wires, rests, strict=True)
    ]


@functools.lru_cache(maxsize=256)
def _first_columns(n: int, order: int) -> list[tuple[int, slice, int]]:
    """For each first element j: the slice of columns (j, J') in C_k, and where their tails J' start in C_(k-1)."""
    sizes = [math.comb(n - 1 - j, order - 1) for j in range(n - order + 1)]
    starts = itertools.accumulate(sizes, initial=0)
    width = math.comb(n, order - 1)
    return [(j, slice(s, s + m), width - m) for j, (s, m) in enumerate(zip(starts, sizes, strict=False))]
