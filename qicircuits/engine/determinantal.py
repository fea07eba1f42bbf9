"""Exact draws from a projection determinantal point process: kernels on a CPU, many shots side by side in torch."""

import torch
from torch import Tensor

from .precision import full_precision

try:
    from .cpu_determinantal import reject_subsets
except ModuleNotFoundError as error:  # the torch engine needs no numba
    if error.name not in ("numba", "llvmlite"):
        raise
    _HAS_KERNELS = False
else:
    _HAS_KERNELS = True

__all__ = ["draw_subsets", "project_subsets"]

# Numbers that the shots drawn at once work on: 8 MB of them are near the best from n = 100 to n = 2,000.
_NUMBERS_AT_ONCE = 2**20


def draw_subsets(v: Tensor, shots: int, generator: torch.Generator | None) -> Tensor:
    """Subsets I with the probabilities det(V[I, :])^2, for V (n, k) in float64: shape (shots, k), in no order."""
    if _HAS_KERNELS and v.device.type == "cpu":
        seeds = torch.randint(-(2**63), 2**63 - 1, (shots,), generator=generator, device="cpu")
        return reject_subsets(v, seeds)
    uniform = torch.rand(shots, v.shape[1], dtype=v.dtype, generator=generator, device="cpu")
    return project_subsets(v, uniform.to(v.device))


def project_subsets(v: Tensor, uniform: Tensor) -> Tensor:
    """The sampler as `free_fermion.sample` describes it: O(n k^2) a shot.

    Args:
        v: V, shape (n, k), orthonormal columns; float64.
        uniform: numbers in [0, 1), shape (shots, k), dtype and device of V.

    Returns:
        The elements in the order in which they were drawn, shape (shots, k), int64.
    """
    n, k = v.shape
    parts = uniform.split(max(1, _NUMBERS_AT_ONCE // (2 * n + k * k)))
    with full_precision(v.device):
        return torch.cat([_project(v.contiguous(), part) for part in parts])


def _project(v: Tensor, uniform: Tensor) -> Tensor:
    """One shot for each row of uniform numbers (shots, k): wires in the order in which they were drawn."""
    shots, k = uniform.shape
    wires = torch.empty(shots, k, dtype=torch.int64, device=v.device)
    density = v.square().sum(-1).repeat(shots, 1)  # (shots, n), given the wires drawn so far
    drawn = v.new_empty(shots, k, k)  # an orthonormal basis of the rows of the wires drawn so far
    for step in range(k):
        heights = density.cumsum(-1)
        # u < 1 and rounding keep u * total below the total, and a wire without density has no height of its own.
        j = torch.searchsorted(heights, uniform[:, step, None] * heights[:, -1:], right=True)
        row, basis = v[j[:, 0]], drawn[:, :step]
        # Once is enough: a row is drawn as rarely as little of it is left, and so are the digits that are lost.
        row = row - (basis.mT @ (basis @ row.unsqueeze(-1))).squeeze(-1)
        row = row / row.norm(dim=-1, keepdim=True)
        wires[:, step], drawn[:, step] = j[:, 0], row
        overlap = row @ v.mT
        density = density.addcmul_(overlap, overlap, value=-1).clamp_min_(0).scatter_(1, j, 0)
    return wires
