"""Determinants of a batch of matrices, with a gradient that is right also where they vanish."""

import torch
from torch import Tensor

from .gradient import register_gradient

__all__ = ["determinant"]


@torch.library.custom_op("qicircuits::determinant", mutates_args=())
def determinant(matrices: Tensor) -> Tensor:
    """The determinants of matrices (..., k, k), shape (...); 1 for k = 0. The gradient is the matrix of cofactors.

    torch.linalg.det has the same value, and a gradient of exactly zero at every exactly singular matrix.
    """
    return torch.linalg.det(matrices)


@torch.library.custom_op("qicircuits::determinant_backward", mutates_args=())
def _determinant_backward(grad: Tensor, matrices: Tensor) -> Tensor:
    """grad times the cofactors, (..., k, k).

    With M = U diag(s) W^T, the cofactors are det(U) det(W) U diag(prod_{j != i} s_j) W^T: there is no division, so
    that they are right for every rank.
    """
    u, s, w = torch.linalg.svd(matrices)
    ones = torch.ones_like(s[..., :1])
    before = torch.cat((ones, s[..., :-1]), dim=-1).cumprod(-1)
    after = torch.cat((s[..., 1:], ones), dim=-1).flip(-1).cumprod(-1).flip(-1)
    sign = (torch.linalg.det(u) * torch.linalg.det(w)).sign()
    others = (grad * sign).unsqueeze(-1) * before[..., : s.shape[-1]] * after[..., : s.shape[-1]]
    return (u * others.unsqueeze(-2)) @ w


@determinant.register_fake
def _(matrices: Tensor) -> Tensor:
    return matrices.new_empty(matrices.shape[:-2])


@_determinant_backward.register_fake
def _(grad: Tensor, matrices: Tensor) -> Tensor:
    return torch.empty_like(matrices, memory_format=torch.contiguous_format)


register_gradient(determinant, _determinant_backward, keep=lambda output, matrices: (matrices,))
