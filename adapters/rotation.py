"""Rotation: from a layer's trained numbers to R, applied to features and never built."""

from dataclasses import dataclass

import torch
from torch import Tensor

from qicircuits.compound import compound_apply
from qicircuits.engine.dispatch import rotate_blocks, rotates_blocks
from qicircuits.engine.precision import full_precision

from .config import ParameterMap
from .maps import rotations
from .plan import BlockPlan

__all__ = ["Rotation"]


@dataclass(frozen=True)
class Rotation:
    """The orthogonal map R on d features, as a function of its parameters.

    R is applied and never built; on a device without kernels of ours, C_k(A) is for orders k > 3.

        R = ⊕_{i=1..N} [ ⊕_{k in orders} C_k(A_i) ⊕ I_pad ] ⊕ I_untouched,  A_i in SO(n)

    It holds no tensors: the parameters, of shape `plan.parameter_shape`, are passed in. At zero parameters
    every map gives A = I, and R x = x, exactly in floating point.

    Args:
        plan: where the blocks and sectors lie.
        parameter_map: "cayley", "exponential" or "rbs" (see :class:`~adapters.config.QuICConfig`).

    >>> from adapters.plan import plan_blocks
    >>> rotation = Rotation(plan_blocks(10, (1, 2)), "cayley")
    >>> x = torch.arange(10.0)
    >>> rotation.apply(torch.zeros(rotation.plan.parameter_shape), x).equal(x)
    True
    """

    plan: BlockPlan
    parameter_map: ParameterMap

    def matrices(self, parameters: Tensor) -> Tensor:
        """The rotations A_i.

        Args:
            parameters: shape `plan.parameter_shape`; computed in at least float32.

        Returns:
            shape (N, n, n), or (1, n, n) where the blocks share one A; at least float32.
        """
        wide = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        return rotations(self.parameter_map, [wide])[0]

    def apply(self, parameters: Tensor, x: Tensor, *, transpose: bool = False) -> Tensor:
        """R x, or R^T x, which is the inverse.

        Args:
            parameters: shape `plan.parameter_shape`.
            x: shape (..., d).
            transpose: whether to apply R^T; it has the blocks C_k(A^T).

        Returns:
            shape (..., d), in the dtype it is computed in, outside autocast: the wider one of the
            parameters' and x's, and at least float32. Shorter types lose orthogonality.
        """
        dtype = torch.promote_types(torch.promote_types(parameters.dtype, x.dtype), torch.float32)
        matrices = self.matrices(parameters.to(dtype))
        return self.rotate(matrices.mT if transpose else matrices, x.to(dtype))

    def rotate(self, matrices: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """R (x - bias) + bias, for R with the given A_i; to the last bit x where they are the identity.

        Args:
            matrices: as :meth:`matrices` returns them.
            x: shape (..., d).
            bias: what is not rotated, shape (d,), or None.

        Returns:
            shape (..., d), dtype of x, computed in at least float32 and rounded once.
        """
        matrices = matrices.to(torch.promote_types(matrices.dtype, x.dtype))
        plan = self.plan
        with full_precision(x.device):
            dtype = matrices.dtype if x.dtype == torch.float32 else x.dtype
            if rotates_blocks(x.device, plan.n, plan.orders, dtype):
                return rotate_blocks(x.to(dtype), matrices, bias, plan.sectors, plan.n_blocks, plan.block_size)
            if matrices.shape[0] == 1:
                matrices = matrices[0]  # no batch: every block and every token in one product
            wide = x.to(matrices.dtype)
            v = wide if bias is None else wide - bias
            rotated = self._apply_blocks(matrices, v)
            # Not rotated + bias: with R = I that would round differently from x.
            return (rotated if bias is None else wide + (rotated - v)).to(x.dtype)

    def _apply_blocks(self, matrices: Tensor, x: Tensor) -> Tensor:
        plan = self.plan
        covered = plan.n_blocks * plan.block_size
        # Features first, tokens last, as the products want them: one transposed copy in and one out, for all
        # sectors. With one A (no batch of matrices) blocks are only more tokens.
        rows = x[..., :covered].reshape(-1, plan.block_size if matrices.dim() == 2 else covered)
        columns = rows.mT.contiguous()
        if matrices.dim() == 2:
            columns = self._apply_sectors(matrices, columns)  # (b, tokens)
        else:
            blocks = columns.unflatten(0, (plan.n_blocks, plan.block_size))
            columns = self._apply_sectors(matrices, blocks).flatten(0, 1)  # (N b, tokens)
        rotated = columns.mT.contiguous().reshape(*x.shape[:-1], covered)
        return torch.cat((rotated, x[..., covered:]), dim=-1) if plan.untouched else rotated

    def _apply_sectors(self, matrices: Tensor, columns: Tensor) -> Tensor:
        """C_k(A) on the sector of each order k of (..., b, tokens); the features after the last sector stay."""
        sectors = self.plan.sectors
        parts = []
        for order, start, stop in sectors:
            rows = columns[..., start:stop, :].movedim(-1, 0)
            # For one block C_2(A) is nearly of the size of R: not built, even where that would be the faster.
            method = "modes" if order in (2, 3) else "auto"
            parts.append(compound_apply(matrices, rows, order, method=method).movedim(0, -1))
        return torch.cat((*parts, columns[..., sectors[-1][2] :, :]), dim=-2)
