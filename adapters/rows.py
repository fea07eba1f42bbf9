"""Rows of a batch with rotations of different adapters, in one call."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from qicircuits.engine.dispatch import rotate_rows as rotate_by_kernel
from qicircuits.engine.dispatch import rotates_rows

from .choices import Side
from .rotation import Rotation

__all__ = ["LentRotations", "RowGroup", "rotate_as_blocks", "rotate_rows"]


@dataclass(frozen=True)
class LentRotations:
    """Rotations of adapters that a layer does not hold, for the length of a call.

    Attributes:
        side: the side of the layer that they rotate.
        rotation: where their blocks lie.
        places: the index of every lent adapter, by its name.
        matrices: the A_i, shape (lent adapters, F N, n, n), or (lent adapters, F, n, n) where blocks share one.
    """

    side: Side
    rotation: Rotation
    places: Mapping[str, int]
    matrices: Tensor


class RowGroup(NamedTuple):
    """Rows of a batch whose adapters can be applied in one call.

    Attributes:
        side: the side of their layer that they rotate.
        rotation: where their blocks lie.
        matrices: their A_i, shape (adapters, F N, n, n), or (adapters, F, n, n) where blocks share one.
        owners: for every row of the batch the index of its adapter, or -1.
    """

    side: Side
    rotation: Rotation
    matrices: Tensor
    owners: list[int]


def rotate_rows(group: RowGroup, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """R_g (x - bias) + bias for every row x of a batch, g being its owner; rows without owner as they are.

    Args:
        group: the rotations, and the owner of every row.
        x: shape (rows, ..., d).
        bias: what is not rotated, shape (d,), or None.

    Returns:
        shape and dtype of x, computed in at least float32 and rounded once.
    """
    if max(group.owners, default=-1) < 0:
        return x
    plan = group.rotation.plan
    if plan.n_factors > 1:
        return _rotate_by_factors(group, x, bias)
    if rotates_rows(x.device, plan.n, plan.orders):
        matrices = group.matrices.to(torch.promote_types(group.matrices.dtype, x.dtype))
        return rotate_by_kernel(x, matrices, group.owners, bias, plan.sectors, plan.n_blocks, plan.block_size)
    return rotate_as_blocks(group, x, bias)


def _rotate_by_factors(group: RowGroup, x: Tensor, bias: Tensor | None) -> Tensor:
    single = Rotation(group.rotation.plan.single(), group.rotation.parameter_map)
    parts = group.matrices.chunk(group.rotation.plan.n_factors, dim=1)
    wide = x.to(torch.promote_types(group.matrices.dtype, x.dtype))  # once, or every factor would round
    rotated = group.rotation.through_factors(
        wide,
        bias,
        lambda factor, x, bias: rotate_rows(group._replace(rotation=single, matrices=parts[factor]), x, bias),
        transpose=False,
    )
    return rotated.to(x.dtype)


def rotate_as_blocks(group: RowGroup, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """The same as :func:`rotate_rows`, slower: the rows side by side, as blocks of one long rotation.

    For devices without the kernel, and the kernel's twin.
    """
    plan = group.rotation.plan
    turned = [row for row, owner in enumerate(group.owners) if owner >= 0]
    count, covered = len(turned), plan.n_blocks * plan.block_size
    rows = torch.tensor(turned, device=x.device)
    served = x.index_select(0, rows)
    long = dataclasses.replace(plan, features=count * covered, n_blocks=count * plan.n_blocks, block_share=False)
    matrices = group.matrices[[group.owners[row] for row in turned]].expand(-1, plan.n_blocks, -1, -1).flatten(0, 1)
    laid = served[..., :covered].movedim(0, -2).flatten(-2)  # (..., rows N b)
    shift = None if bias is None else bias[:covered].repeat(count)
    rotated = Rotation(long, group.rotation.parameter_map).rotate(matrices, laid, shift)
    rotated = rotated.unflatten(-1, (count, covered)).movedim(-2, 0)
    return x.index_copy(0, rows, torch.cat((rotated, served[..., covered:]), dim=-1))
