"""The formula of the QuIC paper as it is written: determinants of a Cayley transform, from zero.

It is here to be measured against: `torch.linalg.det` has a gradient of exactly zero at an exactly singular minor, and
at the identity every minor that tells anything of first order is singular. Without the order 1 nothing is trained.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from qicircuits.subsets import subset_array

from ...plan import BlockPlan
from .blocks import plan_of

__all__ = ["DeterminantMap", "count_paper", "make_paper"]


class DeterminantMap(nn.Module):
    """R^T x with R = ⊕_i [⊕_k C_k(Q_i) ⊕ I], Q = (I + S)(I - S)^(-1), S = (M - M^T)/2; M an n×n array, zero at first.

    The paper multiplies row vectors by R, hence the transpose. Half of the n² numbers of M have no effect.

    Args:
        plan: where blocks and sectors lie.

    Reference:
        S. Raj and B. Coyle, arXiv:2502.06916.
    """

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.plan = plan
        self.arrays = nn.Parameter(torch.zeros(plan.parameter_shape[0], plan.n, plan.n))

    def forward(self, x: Tensor) -> Tensor:
        """R^T x, shape (..., d)."""
        plan = self.plan
        skew = (self.arrays - self.arrays.mT) / 2
        unit = torch.eye(plan.n, dtype=skew.dtype, device=skew.device)
        rotations = torch.linalg.solve(unit - skew, unit + skew)  # (N, n, n); the factors commute
        covered = plan.n_blocks * plan.block_size
        blocks = x[..., :covered].unflatten(-1, (plan.n_blocks, plan.block_size))
        parts = [
            torch.einsum(
                "...nj,nji->...ni", blocks[..., start:stop], minors(rotations, order).expand(plan.n_blocks, -1, -1)
            )
            for order, start, stop in plan.sectors
        ]
        rotated = torch.cat((*parts, blocks[..., plan.sectors[-1][2] :]), dim=-1).flatten(-2)
        return torch.cat((rotated, x[..., covered:]), dim=-1)


def minors(matrices: Tensor, order: int) -> Tensor:
    """C_k(Q), every minor by `torch.linalg.det`.

    Args:
        matrices: Q, shape (N, n, n).
        order: k.

    Returns:
        shape (N, C(n, k), C(n, k)).
    """
    rows = _subsets(matrices.shape[-1], order)
    return torch.linalg.det(matrices[:, rows[:, None, :, None], rows[None, :, None, :]])


@lru_cache(maxsize=32)
def _subsets(n: int, order: int) -> Tensor:
    return torch.tensor(subset_array(n, order))


def make_paper(layer: nn.Linear, values: Mapping[str, Any]) -> tuple[nn.Module | None, nn.Module | None]:
    """The paper's map of a layer's outputs."""
    return DeterminantMap(plan_of(layer.out_features, values)), None


def count_paper(out: int, into: int, values: Mapping[str, Any]) -> int:
    """N n²: each pair of numbers that the skew part sees once is there twice."""
    plan = plan_of(out, values)
    return plan.parameter_shape[0] * plan.n**2
