"""How far two rotations of one layer are apart, in Frobenius and operator norm, without building them."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from qicircuits.subsets import subset_array

from .rotation import Rotation

__all__ = ["RotationChange", "rotation_change"]


@dataclass(frozen=True)
class RotationChange:
    """The distance of two rotations R and R'; for products of several factors an upper bound of it.

    Args:
        frobenius: |R - R'|_F, the root of the sum of the squared entries.
        operator: |R - R'|_2, the largest change of a vector of length 1; at most 2.
    """

    frobenius: float
    operator: float


def rotation_change(rotation: Rotation, before: Tensor, after: Tensor) -> RotationChange:
    r"""The distance of the rotations that two sets of parameters give, computed in float64.

    R - R' = (1 - R' R^T) R, so its singular values are |1 - z| for the eigenvalues z of R' R^T. That has the sectors
    C_k(A'_i A_i^T), whose eigenvalues are the products of k different ones of A'_i A_i^T; with those as e^{iφ_j},

        |R - R'|_F^2 = Σ_i Σ_k Σ_J 4 sin^2(Σ_{j in J} φ_j / 2),  J the k-subsets of range(n),

    and the operator norm is the root of the largest term. It costs an eigenvalue problem of n×n for each block. Of a
    product of factors it is the sum over them, an upper bound of either norm.

    Args:
        rotation: where the blocks lie, and the map.
        before: parameters of R, shape `rotation.plan.parameter_shape`.
        after: those of R', of the same shape.

    >>> from adapters.plan import plan_blocks
    >>> rotation = Rotation(plan_blocks(2, (1,)), "exponential")
    >>> change = rotation_change(rotation, torch.zeros(1, 1), torch.full((1, 1), torch.pi))
    >>> print(f"{change.operator:.6f} {change.frobenius:.6f}")
    2.000000 2.828427
    """
    changes = []
    factors = zip(rotation.factors(before.double()), rotation.factors(after.double()), strict=True)
    for (factor, old), (_, new) in factors:
        turn = factor.matrices(new) @ factor.matrices(old).mT
        phases = torch.linalg.eigvals(turn).angle()  # (blocks, n)
        squares = torch.cat([_squares(phases, order) for order in factor.plan.orders], dim=1)
        copies = factor.plan.n_blocks // len(squares)  # blocks with the same A
        changes.append((math.sqrt(copies * float(squares.sum())), math.sqrt(float(squares.max()))))
    return RotationChange(*(sum(norms) for norms in zip(*changes, strict=True)))


def _squares(phases: Tensor, order: int) -> Tensor:
    """|1 - z|^2 for the eigenvalues z of C_k, shape (blocks, C(n, k))."""
    chosen = torch.tensor(subset_array(phases.shape[1], order))  # (C(n, k), k)
    return 4 * (phases[:, chosen].sum(-1) / 2).sin().square()
