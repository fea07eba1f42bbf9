"""The weight-1 matrix of a circuit: a product of Givens rotations, one matrix a moment, multiplied as a tree."""

import functools

import torch
from torch import Tensor

from ..layouts import Layout
from .reference import sweep

__all__ = ["circuit_matrix"]

# Above this many entries in all moment matrices together, the sweep's O(1) memory is worth its loop over gates.
_TREE_ENTRIES = 2**21


def circuit_matrix(angles: Tensor, layout: Layout) -> Tensor:
    """The matrix of a circuit on the weight-1 sector, where RBS and FBS are the same Givens rotations.

    Args:
        angles: shape (..., n_gates), float32 or float64.
        layout: where the gates stand.

    Returns:
        A = (last gate) ... (first gate), shape (..., n, n), differentiable in the angles.
    """
    if layout.depth * layout.n**2 <= _TREE_ENTRIES:
        return _moments_product(angles, layout)
    identity = torch.eye(layout.n, dtype=angles.dtype, device=angles.device)
    columns = identity.reshape(layout.n, *[1] * (angles.dim() - 1), layout.n)
    return sweep(columns, angles.movedim(-1, 0).unsqueeze(-1), layout, 1, fermionic=False).movedim(0, -2)


def _moments_product(angles: Tensor, layout: Layout) -> Tensor:
    n, depth = layout.n, layout.depth
    if not depth:
        return torch.eye(n, dtype=angles.dtype, device=angles.device).expand(*angles.shape[:-1], n, n)
    base, entries = _moment_entries(layout)
    flat = base.to(angles).expand(*angles.shape[:-1], -1)
    cos, sin = angles.cos(), angles.sin()
    values = torch.cat((cos, cos, sin, -sin), dim=-1)
    product = flat.index_copy(-1, entries.to(angles.device), values).unflatten(-1, (depth, n, n))
    while product.shape[-3] > 1:
        even = product.shape[-3] // 2 * 2
        halves = product[..., 1:even:2, :, :] @ product[..., 0:even:2, :, :]
        product = torch.cat((halves, product[..., even:, :, :]), dim=-3)
    return product.squeeze(-3)


@functools.lru_cache(maxsize=64)
def _moment_entries(layout: Layout) -> tuple[Tensor, Tensor]:
    """Identities on idle wires, flat (depth n n,), and where each gate's cos, cos, sin, -sin stand in it."""
    n = layout.n
    base = torch.eye(n, dtype=torch.float64).repeat(layout.depth, 1, 1).flatten()
    gates = [(m, i, j) for m, moment in enumerate(layout.moments) for i, j in moment]
    corners = (lambda i, j: (i, i), lambda i, j: (j, j), lambda i, j: (j, i), lambda i, j: (i, j))
    entries = []
    for corner in corners:
        for m, i, j in gates:
            row, column = corner(i, j)
            entries.append((m * n + row) * n + column)
    index = torch.tensor(entries)
    base[index] = 0.0
    return base, index
