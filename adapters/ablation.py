"""AblatedRotation: the map of an adapter with an idea taken away; a reference path for comparisons."""

import itertools
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from qicircuits.compound import compound_apply
from qicircuits.engine.precision import full_precision
from qicircuits.subsets import subset_array

from .choices import Operation
from .rotation import Rotation

__all__ = ["AblatedRotation", "sector_matrix"]


@dataclass(frozen=True)
class AblatedRotation(Rotation):
    """R = ⊕_i [ ⊕_k F_k(A_i) ⊕ I_pad ] ⊕ I_untouched, which need not be orthogonal; I at zero numbers.

    F_k(A) is C_k(A), or what :func:`sector_matrix` makes of A; with the map "free" A is any matrix. Where A is no
    rotation, or F is no compound, R^T is not the inverse: `undo` solves with R.

    Args:
        plan, parameter_map: as in :class:`~adapters.rotation.Rotation`.
        operation: see :class:`~adapters.ablation_choices.AblationChoices`.
    """

    operation: Operation = "det"

    @property
    def is_compound(self) -> bool:
        """Always False."""
        return False

    def undo(self, parameters: Tensor, x: Tensor, *, transpose: bool = False) -> Tensor:
        """R^-1 x, or R^-T x."""
        dtype = torch.promote_types(torch.promote_types(parameters.dtype, x.dtype), torch.float32)
        unit = torch.eye(self.plan.features, dtype=torch.float64, device=x.device)  # R may be far from orthogonal
        images = self.apply(parameters, unit, transpose=not transpose)  # its rows are R^T e_i: it is R
        rows = x.double().reshape(-1, self.plan.features)
        return torch.linalg.solve(images, rows.mT).mT.reshape(x.shape).to(dtype)

    def _rotate_once(self, matrices: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
        if matrices.shape[0] == 1:
            matrices = matrices[0]  # no batch, as in the base class
        with full_precision(x.device):
            wide = x.to(matrices.dtype)
            v = wide if bias is None else wide - bias
            return (wide + (self._apply_blocks(matrices, v) - v)).to(x.dtype)

    def _apply_sectors(self, matrices: Tensor, columns: Tensor) -> Tensor:
        sectors = self.plan.sectors
        parts = []
        for order, start, stop in sectors:
            rows = columns[..., start:stop, :]
            if self.operation == "det":
                applied = compound_apply(matrices, rows.movedim(-1, 0), order).movedim(0, -1)
            else:
                applied = sector_matrix(matrices, order, self.operation) @ rows
            parts.append(applied)
        return torch.cat((*parts, columns[..., sectors[-1][2] :, :]), dim=-2)


def sector_matrix(matrices: Tensor, order: int, operation: Operation) -> Tensor:
    """F_k(A)[I, J] = δ_IJ + f(A[I, J]) - f(1[I, J]) for the k-subsets I and J, 1 the identity; I at A = 1.

    Args:
        matrices: A, shape (..., n, n).
        order: k.
        operation: f, of a k×k matrix: "permanent", "max" of its entries or their "mean".

    Returns:
        shape (..., C(n, k), C(n, k)).
    """
    unit = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    value = _each_submatrix(matrices, order, operation)
    same = torch.eye(value.shape[-1], dtype=matrices.dtype, device=matrices.device)
    return same + (value - _each_submatrix(unit, order, operation))


def _each_submatrix(matrices: Tensor, order: int, operation: Operation) -> Tensor:
    chosen = _chosen(matrices.shape[-1], order).to(matrices.device)
    parts = matrices[..., chosen[:, None, :, None], chosen[None, :, None, :]]  # (..., D, D, k, k)
    if operation == "max":
        return parts.amax((-2, -1))
    if operation == "mean":
        return parts.mean((-2, -1))
    rows, permutations = list(range(order)), itertools.permutations(range(order))
    return torch.stack([parts[..., rows, columns].prod(-1) for columns in map(list, permutations)]).sum(0)


@lru_cache(maxsize=32)
def _chosen(n: int, order: int) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(subset_array(n, order))
