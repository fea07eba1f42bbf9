"""Index tables of compound matrices: the Laplace recursion and the antisymmetric modes."""

import functools
import itertools
import math

import torch
from torch import Tensor

from ..subsets import subset_array, subsets

__all__ = ["complement_signs", "laplace_rows", "mode_entries"]


@functools.lru_cache(maxsize=256)
def laplace_rows(n: int, order: int) -> list[tuple[Tensor, Tensor]]:
    """For each r < k: the r-th wire of each k-subset, and the rank of the subset without it; (C(n, k),) each."""
    rank = {subset: index for index, subset in enumerate(subsets(n, order - 1))}
    members = subsets(n, order)
    return [
        (torch.tensor([s[r] for s in members]), torch.tensor([rank[s[:r] + s[r + 1 :]] for s in members]))
        for r in range(order)
    ]


@functools.lru_cache(maxsize=64)
def mode_entries(n: int, order: int) -> list[tuple[int, Tensor]]:
    """Where an order-k vector stands in the antisymmetric tensor of k modes: (sign, flat index (C(n, k),)).

    One entry for each permutation of the modes; the first is the identity, the entries with I increasing.
    """
    table = subset_array(n, order)
    strides = n ** torch.arange(order - 1, -1, -1)
    entries = []
    for permutation in itertools.permutations(range(order)):
        inversions = sum(p > q for p, q in itertools.combinations(permutation, 2))
        columns = torch.from_numpy(table[:, permutation].copy())
        entries.append(((-1) ** inversions, (columns * strides).sum(dim=1)))
    return entries


@functools.lru_cache(maxsize=64)
def complement_signs(n: int, order: int) -> Tensor:
    """(-1)^(sum of the wires of I) over the k-subsets I, shape (C(n, k),), as float64."""
    if not math.comb(n, order):
        return torch.empty(0, dtype=torch.float64)
    return torch.from_numpy(1.0 - 2.0 * (subset_array(n, order).sum(axis=1) % 2))
