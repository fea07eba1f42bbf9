"""ETHER and ETHER+: reflections on hyperplanes, block by block, after their paper."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Reflection", "RelaxedReflection", "count_ether", "make_ether"]


class Reflection(nn.Module):
    """H x with H = ⊕_i (I - 2 u_i u_i^T), u_i a trained direction of unit length in block i.

    H is orthogonal with determinant (-1)^N and is never the identity: its distance from it is 2 for every block,
    whatever u. It starts at random directions.

    Args:
        features: d.
        n_blocks: N, a divisor of d.

    Reference:
        M. Bini, K. Roth, Z. Akata and A. Khoreva, ETHER, ICML 2024, arXiv:2405.20271.
    """

    def __init__(self, features: int, n_blocks: int) -> None:
        super().__init__()
        _check_blocks(features, n_blocks)
        self.directions = nn.Parameter(torch.randn(n_blocks, features // n_blocks))

    def forward(self, x: Tensor) -> Tensor:
        """H x, shape (..., d)."""
        blocks = x.unflatten(-1, tuple(self.directions.shape))
        return (blocks - 2 * _projected(blocks, self.directions)).flatten(-2)


class RelaxedReflection(nn.Module):
    """H+ x with H+ = ⊕_i (I - u_i u_i^T + v_i v_i^T), the map of ETHER+: at most 2 away from the identity.

    It starts at v_i = u_i, random, where it is the identity exactly.

    Args:
        features: d.
        n_blocks: N, a divisor of d.

    Reference:
        as :class:`Reflection`.
    """

    def __init__(self, features: int, n_blocks: int) -> None:
        super().__init__()
        _check_blocks(features, n_blocks)
        self.directions = nn.Parameter(torch.randn(n_blocks, features // n_blocks))
        self.opposites = nn.Parameter(self.directions.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """H+ x, shape (..., d)."""
        blocks = x.unflatten(-1, tuple(self.directions.shape))
        change = _projected(blocks, self.opposites) - _projected(blocks, self.directions)
        return (blocks + change).flatten(-2)


def _projected(blocks: Tensor, directions: Tensor) -> Tensor:
    """u (u^T x) for each block, with u of unit length."""
    unit = nn.functional.normalize(directions, dim=-1)
    return (blocks * unit).sum(-1, keepdim=True) * unit


def _check_blocks(features: int, n_blocks: int) -> None:
    if type(n_blocks) is not int or n_blocks < 1 or features % n_blocks:
        raise ValueError(f"n_blocks must divide the {features} features of a layer, got n_blocks={n_blocks!r}")


def make_ether(layer: nn.Linear, values: Mapping[str, Any]) -> tuple[nn.Module | None, nn.Module | None]:
    """ETHER reflects the inputs, W' = W H; ETHER+ relaxes both sides, W' = H+ W H+.

    Args:
        layer: the layer.
        values: `n_blocks`, and `plus` for ETHER+.
    """
    n_blocks, is_relaxed = _read(values)
    if is_relaxed:
        return RelaxedReflection(layer.out_features, n_blocks), RelaxedReflection(layer.in_features, n_blocks)
    return None, Reflection(layer.in_features, n_blocks)


def count_ether(out: int, into: int, values: Mapping[str, Any]) -> int:
    """d numbers for ETHER, whatever N; 2 (out + in) for ETHER+."""
    _, is_relaxed = _read(values)
    return 2 * (out + into) if is_relaxed else into


def _read(values: Mapping[str, Any]) -> tuple[int, bool]:
    if unknown := sorted(values.keys() - {"n_blocks", "plus"}):
        raise ValueError(f"'ether' has the values n_blocks and plus, got {unknown}")
    return values.get("n_blocks", 1), bool(values.get("plus", False))
