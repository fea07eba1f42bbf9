"""Gates and depth of every loader in closed form, without its plan: a second count, to hold the circuits against."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb

from .unary import UnaryKind

__all__ = ["LoaderCost", "clifford_cost", "direct_sum_cost", "slater_cost", "subspace_cost", "unary_cost"]

GateCounts = dict[tuple[str, int], int]


@dataclass(frozen=True)
class LoaderCost:
    """What a loader costs.

    Args:
        gates: for each kind of gate, ("X" | "RBS" | "RY" | "GlobalPhase", number of controls), how many there are.
        depth: the moments that they fill, a controlled gate being one gate.
    """

    gates: GateCounts
    depth: int


def unary_cost(n: int, kind: UnaryKind = "diagonal") -> LoaderCost:
    """One X and n - 1 RBS; depth n, 1 + ceil(n/2) or 1 + ceil(log2 n) for n > 1.

    >>> unary_cost(8, "tree")
    LoaderCost(gates={('X', 0): 1, ('RBS', 0): 7}, depth=4)
    """
    if n == 1:
        return _signed_basis_state(1)
    rounds = {"diagonal": n - 1, "semi_diagonal": (n + 1) // 2, "tree": (n - 1).bit_length()}
    return LoaderCost({("X", 0): 1, ("RBS", 0): n - 1}, 1 + rounds[kind])


def subspace_cost(n: int, order: int) -> LoaderCost:
    """k X and C(n, k) - 1 RBS, of which C(n - 2c, k - c) - 1 have c controls or more.

    For 0 < k < n the depth is |n - 2k| + 2 Σ_{c=1}^{min(k, n-k)} C(n - 2c, k - c): n, 3n - 6, n² - 2n - 6 for
    k = 1, 2, 3 as long as n >= 2k.

    >>> subspace_cost(8, 3)
    LoaderCost(gates={('X', 0): 3, ('RBS', 0): 41, ('RBS', 1): 11, ('RBS', 2): 3}, depth=42)
    """
    return direct_sum_cost(n, (order,))


def direct_sum_cost(n: int, orders: Sequence[int]) -> LoaderCost:
    """As many X as the smallest order k has ones, the RBS of every sector, and between orders k < l one RY with k
    controls and l - k - 1 X with k + 1 controls.

    The depth is that of the sectors together; from k > 0 to l = k + g it grows by min(g, k + l + 1 - n), which is
    negative where the gates of the next sector start before those of this one end; by g from k = 0.

    >>> direct_sum_cost(8, (1, 2))
    LoaderCost(gates={('X', 0): 1, ('RBS', 0): 29, ('RBS', 1): 5, ('RY', 1): 1}, depth=21)
    """
    ascending = sorted(orders)
    if sum(comb(n, order) for order in ascending) == 1:
        return _signed_basis_state(ascending[0])
    gates: GateCounts = {}
    _add(gates, ("X", 0), ascending[0])
    for order in ascending:
        for controls in range(min(order, n - order)):
            _add(gates, ("RBS", controls), _controlled_at_least(n, order, controls))
            _add(gates, ("RBS", controls), -_controlled_at_least(n, order, controls + 1))
    depth = min(1, ascending[0]) + sum(_sector_depth(n, order) for order in ascending)
    for below, order in pairwise(ascending):
        _add(gates, ("RY", below), 1)
        _add(gates, ("X", below + 1), order - below - 1)
        depth += min(order - below, below + order + 1 - n) if below else order
    return LoaderCost(gates, depth)


def slater_cost(n: int, order: int) -> LoaderCost:
    """k X and k(n - k) RBS; depth n for 0 < k < n.

    >>> slater_cost(8, 3)
    LoaderCost(gates={('X', 0): 3, ('RBS', 0): 15}, depth=8)
    """
    if order in (0, n):
        return _signed_basis_state(order)
    return LoaderCost({("X", 0): order, ("RBS", 0): order * (n - order)}, n)


def clifford_cost(n: int) -> LoaderCost:
    """2(n - 1) RBS and one X; depth 2n - 1.

    >>> clifford_cost(8)
    LoaderCost(gates={('X', 0): 1, ('RBS', 0): 14}, depth=15)
    """
    if n == 1:
        return _signed_basis_state(1)
    return LoaderCost({("X", 0): 1, ("RBS", 0): 2 * (n - 1)}, 2 * n - 1)


def _signed_basis_state(ones: int) -> LoaderCost:
    gates: GateCounts = {}
    _add(gates, ("X", 0), ones)
    _add(gates, ("GlobalPhase", 0), 1)
    return LoaderCost(gates, 1 + min(1, ones))


def _controlled_at_least(n: int, order: int, controls: int) -> int:
    """The RBS gates of a sector with so many controls or more: c >= 0 of them, c < min(k, n - k), else none."""
    return comb(n - 2 * controls, order - controls) - 1 if controls < min(order, n - order) else 0


def _sector_depth(n: int, order: int) -> int:
    fewer = min(order, n - order)
    return abs(n - 2 * order) - 1 + 2 * sum(comb(n - 2 * c, order - c) for c in range(1, fewer + 1)) if fewer else 0


def _add(gates: GateCounts, key: tuple[str, int], count: int) -> None:
    if gates.get(key, 0) + count:
        gates[key] = gates.get(key, 0) + count
