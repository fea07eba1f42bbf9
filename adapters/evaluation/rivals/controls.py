"""Controls for compound matrices: other rotations of as many numbers as a QuIC adapter of the same size trains.

All take the sizes of QuIC (`orders`, `n_blocks`, ...), rotate outputs, start at the identity and use Cayley's
transform.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qicircuits import cayley

from ...plan import BlockPlan
from ...rotation import Rotation
from .blocks import plan_of

__all__ = [
    "RepeatedBlocks",
    "SmallBlocks",
    "SubspaceRotation",
    "UnmixedFactors",
    "count_control",
    "count_small_blocks",
    "count_unmixed",
    "make_repeated_blocks",
    "make_small_blocks",
    "make_subspace",
    "make_unmixed",
]


class SubspaceRotation(nn.Module):
    """R = ⊕_i [cayley(S_i) ⊕ I], S_i = Σ_j θ_ij G_ij with frozen random skew G_ij: as many as so(n) has dimensions.

    The features of a block that the compounds rotate, m of them, are rotated within one random subspace of so(m). The
    entries of the upper triangle of S_i are dealt out to the numbers at random, each with a random sign, so that the
    G_ij are orthogonal. Their norm is that of the compounds' generators, ‖G‖² = 2 Σ_k C(n-2, k-1).

    Args:
        plan: of the adapter that this is a control for.
    """

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.plan = plan
        rows, numbers = plan.parameter_shape
        self.width = plan.sectors[-1][2]
        entries = self.width * (self.width - 1) // 2
        owners = torch.stack([torch.randperm(entries) % numbers for _ in range(rows)])
        shares = torch.stack([own.bincount(minlength=numbers) for own in owners])
        pairs = sum(math.comb(plan.n - 2, order - 1) for order in plan.orders)
        signs = 2.0 * torch.randint(2, owners.shape) - 1
        self.register_buffer("owners", owners, persistent=False)
        self.register_buffer("weights", signs * (pairs / shares.gather(1, owners)).sqrt(), persistent=False)
        self.numbers = nn.Parameter(torch.zeros(rows, numbers))

    def skew(self) -> Tensor:
        """S, shape (N, m, m), or (1, m, m) where the blocks share one."""
        upper = self.numbers.gather(1, self.get_buffer("owners")) * self.get_buffer("weights")
        full = upper.new_zeros(len(upper), self.width, self.width)
        rows, columns = torch.triu_indices(self.width, self.width, 1)
        full[:, rows, columns] = upper
        return full - full.mT

    def forward(self, x: Tensor) -> Tensor:
        """R x, shape (..., d)."""
        skew = self.skew()
        unit = torch.eye(self.width, dtype=skew.dtype, device=skew.device)
        # Not `qicircuits.cayley`, whose float64 takes several times as long at m = 378.
        return _rotate_starts(x, torch.linalg.solve(unit + skew, unit - skew), self.plan)


class RepeatedBlocks(nn.Module):
    """R = ⊕_i [A_i ⊕ A_i ⊕ ... ⊕ I], A_i in SO(n) as often as block i has room for it: shared small OFT blocks.

    Args:
        plan: of the adapter that this is a control for.
    """

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.plan = plan
        self.repeats = plan.block_size // plan.n
        self.numbers = nn.Parameter(torch.zeros(plan.parameter_shape))

    def forward(self, x: Tensor) -> Tensor:
        """R x, shape (..., d)."""
        plan = self.plan
        covered = plan.n_blocks * plan.block_size
        blocks = x[..., :covered].unflatten(-1, (plan.n_blocks, plan.block_size))
        stop = self.repeats * plan.n
        small = blocks[..., :stop].unflatten(-1, (self.repeats, plan.n))
        rotations = cayley(self.numbers).expand(plan.n_blocks, -1, -1)
        rotated = torch.einsum("bij,...brj->...bri", rotations, small).flatten(-2)
        return torch.cat((torch.cat((rotated, blocks[..., stop:]), -1).flatten(-2), x[..., covered:]), -1)


class SmallBlocks(nn.Module):
    """R = ⊕_j A_j on small blocks, A_j in SO(s) with numbers of their own: OFT with smaller blocks.

    s is the least size of which all ⌊d/s⌋ blocks have as many numbers as the adapter; of them as many are rotated as
    have no more than it, spread evenly.

    Args:
        plan: of the adapter that this is a control for.
    """

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        size, count = _small_blocks(plan)
        available = plan.features // size
        chosen = torch.arange(count) * available // count
        self.shape = (available, size)
        self.register_buffer("chosen", chosen, persistent=False)
        self.numbers = nn.Parameter(torch.zeros(count, math.comb(size, 2)))

    def forward(self, x: Tensor) -> Tensor:
        """R x, shape (..., d)."""
        covered = math.prod(self.shape)
        blocks = x[..., :covered].unflatten(-1, self.shape)
        chosen = self.get_buffer("chosen")
        rotated = torch.einsum("bij,...bj->...bi", cayley(self.numbers), blocks.index_select(-2, chosen))
        return torch.cat((blocks.index_copy(-2, chosen, rotated).flatten(-2), x[..., covered:]), -1)


class UnmixedFactors(nn.Module):
    """R = R_F ... R_1, factors like that of a QuIC adapter but with nothing shuffled between them.

    They mix nothing: C_k(A_F) ... C_k(A_1) = C_k(A_F ... A_1), so that the product turns what one factor turns.

    Args:
        plan: of one factor.
        n_factors: F.
    """

    def __init__(self, plan: BlockPlan, n_factors: int) -> None:
        super().__init__()
        rows, numbers = plan.parameter_shape
        self.rotation = Rotation(plan, "cayley")
        self.numbers = nn.Parameter(torch.zeros(n_factors, rows, numbers))

    def forward(self, x: Tensor) -> Tensor:
        """R x, shape (..., d)."""
        product, *later = cayley(self.numbers)  # each (N, n, n)
        for factor in later:
            product = factor @ product
        return self.rotation.rotate(product, x)


def _rotate_starts(x: Tensor, rotations: Tensor, plan: BlockPlan) -> Tensor:
    """The first features of each block rotated by one of (N, m, m), or all by one."""
    covered, width = plan.n_blocks * plan.block_size, rotations.shape[-1]
    blocks = x[..., :covered].unflatten(-1, (plan.n_blocks, plan.block_size))
    rotated = torch.einsum("bij,...bj->...bi", rotations.expand(plan.n_blocks, -1, -1), blocks[..., :width])
    return torch.cat((torch.cat((rotated, blocks[..., width:]), -1).flatten(-2), x[..., covered:]), -1)


def make_subspace(layer: nn.Linear, values: Mapping[str, Any]) -> tuple[nn.Module | None, nn.Module | None]:
    """A random frozen subspace of so(m) for a layer's outputs."""
    return SubspaceRotation(plan_of(layer.out_features, values)), None


def make_repeated_blocks(layer: nn.Linear, values: Mapping[str, Any]) -> tuple[nn.Module | None, nn.Module | None]:
    """Shared small OFT blocks for a layer's outputs."""
    return RepeatedBlocks(plan_of(layer.out_features, values)), None


def make_small_blocks(layer: nn.Linear, values: Mapping[str, Any]) -> tuple[nn.Module | None, nn.Module | None]:
    """OFT with smaller blocks for a layer's outputs."""
    return SmallBlocks(plan_of(layer.out_features, values)), None


def make_unmixed(layer: nn.Linear, values: Mapping[str, Any]) -> tuple[nn.Module | None, nn.Module | None]:
    """Factors without mixing for a layer's outputs."""
    n_factors, values = _split_factors(values)
    return UnmixedFactors(plan_of(layer.out_features, values), n_factors), None


def count_unmixed(out: int, into: int, values: Mapping[str, Any]) -> int:
    """F times as many numbers as one factor has."""
    n_factors, values = _split_factors(values)
    return n_factors * plan_of(out, values).n_parameters


def _split_factors(values: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    n_factors = values.get("n_factors", 2)
    if type(n_factors) is not int or n_factors < 1:
        raise ValueError(f"n_factors must be a positive integer, got {n_factors!r}")
    return n_factors, {name: value for name, value in values.items() if name != "n_factors"}


def count_control(out: int, into: int, values: Mapping[str, Any]) -> int:
    """As many numbers as the QuIC adapter has."""
    return plan_of(out, values).n_parameters


def count_small_blocks(out: int, into: int, values: Mapping[str, Any]) -> int:
    """Those of the small blocks: at most as many as the QuIC adapter has, and less than a block fewer."""
    size, count = _small_blocks(plan_of(out, values))
    return count * math.comb(size, 2)


def _small_blocks(plan: BlockPlan) -> tuple[int, int]:
    """The size of the small blocks, and how many are rotated."""
    wanted = plan.n_parameters
    size = next(s for s in range(2, plan.features + 1) if plan.features // s * math.comb(s, 2) >= wanted)
    return size, wanted // math.comb(size, 2)
