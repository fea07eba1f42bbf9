"""Rotation: from a layer's trained numbers to R, applied to features and never built."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from qicircuits.compound import compound_apply
from qicircuits.engine.dispatch import rotate_blocks, rotates_blocks
from qicircuits.engine.precision import full_precision

from .choices import MapName, ParameterMap
from .maps import rotations
from .plan import BlockPlan

__all__ = ["Rotation"]

_RotateOnce = Callable[[int, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Rotation:
    """The orthogonal map R on d features, as a function of its parameters.

    R is applied and never built; on a device without kernels of ours, C_k(A) is for orders k > 3.

        R = ⊕_{i=1..N} [ ⊕_{k in orders} C_k(A_i) ⊕ I_pad ] ⊕ I_untouched,  A_i in SO(n)

    or the product of `plan.n_factors` such maps with shuffled features (:mod:`adapters.mixing`).

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
    parameter_map: MapName

    @property
    def is_compound(self) -> bool:
        """Whether R is made of compounds of rotations, by a map that users choose."""
        return self.parameter_map in get_args(ParameterMap)

    def matrices(self, parameters: Tensor) -> Tensor:
        """The rotations A_i.

        Args:
            parameters: shape `plan.parameter_shape`; computed in at least float32.

        Returns:
            shape (F N, n, n), or (F, n, n) where the blocks of a factor share one A; at least float32.
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
        return self.rotate(matrices, x.to(dtype), transpose=transpose)

    def undo(self, parameters: Tensor, x: Tensor, *, transpose: bool = False) -> Tensor:
        """R^-1 x, or R^-T x, as :meth:`apply`."""
        return self.apply(parameters, x, transpose=not transpose)

    def factors(self, parameters: Tensor) -> Iterator[tuple["Rotation", Tensor]]:
        """The factors without the shuffles between them, each with its parameters; the first is applied first."""
        single = Rotation(self.plan.single(), self.parameter_map)
        for own in parameters.chunk(self.plan.n_factors):
            yield single, own

    def rotate(self, matrices: Tensor, x: Tensor, bias: Tensor | None = None, *, transpose: bool = False) -> Tensor:
        """R (x - bias) + bias, for R with the given A_i; to the last bit x where they are the identity.

        Args:
            matrices: as :meth:`matrices` returns them.
            x: shape (..., d).
            bias: what is not rotated, shape (d,), or None.
            transpose: whether to apply R^T.

        Returns:
            shape (..., d), dtype of x, computed in at least float32 and rounded once.
        """
        matrices = matrices.to(torch.promote_types(matrices.dtype, x.dtype))
        if transpose:
            matrices = matrices.mT
        if self.plan.n_factors == 1:
            return self._rotate_once(matrices, x, bias)
        parts = matrices.chunk(self.plan.n_factors)
        wide = x.to(matrices.dtype)  # once, or every factor would round
        rotated = self.through_factors(
            wide, bias, lambda factor, x, bias: self._rotate_once(parts[factor], x, bias), transpose=transpose
        )
        return rotated.to(x.dtype)

    def through_factors(self, x: Tensor, bias: Tensor | None, rotate_once: _RotateOnce, *, transpose: bool) -> Tensor:
        """R (x - bias) + bias, factor by factor, with the features shuffled in between.

        Args:
            x: shape (..., d).
            bias: what is not rotated, shape (d,), or None.
            rotate_once: applies the factor of an index, or its transpose, to x and bias as they stand for it.
            transpose: whether R^T is applied: the last factor comes first.
        """
        stands = 0
        for factor in reversed(range(self.plan.n_factors)) if transpose else range(self.plan.n_factors):
            x = self._shuffle(x, factor - stands)
            bias = None if bias is None else self._shuffle(bias, factor - stands)
            x, stands = rotate_once(factor, x, bias), factor
        return self._shuffle(x, -stands)

    def _shuffle(self, x: Tensor, times: int) -> Tensor:
        """P^times x: the features where the factor that is so many factors later wants them."""
        if times == 0:
            return x
        where = (self.plan.features, self.plan.n_blocks, self.plan.block_size)
        if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
            # These find derivatives of their own, and keep no tensors.
            return x.index_select(-1, _positions(*where, -times, x.device))
        shuffled: Tensor = _Reorder.apply(
            x, _kept_positions(*where, -times, x.device), _kept_positions(*where, times, x.device)
        )
        return shuffled

    def _rotate_once(self, matrices: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
        """One factor, where the features stand."""
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


def _positions(features: int, n_blocks: int, block_size: int, times: int, device: torch.device) -> Tensor:
    """`mixing.positions` as a tensor, by arithmetic that a compiler can fold into what it is used for."""
    place = torch.arange(features, device=device)
    shift, covered = (block_size + 1) // 2, n_blocks * block_size
    for _ in range(abs(times)):
        if times > 0:
            shuffled = torch.where(place < covered, place % block_size * n_blocks + place // block_size, place)
            place = (shuffled + shift) % features
        else:
            place = (place - shift) % features
            place = torch.where(place < covered, place % n_blocks * block_size + place // n_blocks, place)
    return place


@functools.lru_cache(maxsize=256)
def _kept_positions(features: int, n_blocks: int, block_size: int, times: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # training may come later
        return _positions(features, n_blocks, block_size, times, device)


class _Reorder(torch.autograd.Function):
    """y[..., j] = x[..., index[j]] for a permutation; torch's backward adds into zeros, four times slower."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.index, ctx.inverse = index, inverse
        return x.index_select(-1, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        reordered: Tensor = _Reorder.apply(gradient, ctx.inverse, ctx.index)
        return reordered, None, None
