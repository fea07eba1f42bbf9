"""The plan of a loader of sectors: which gate acts where, on which amplitudes, under which controls."""

import functools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...memory import require_memory
from ...subsets import rank_subset, subset_array, subspace_dim
from .elimination import Merge
from .operation import Gate, LoaderPlan, Slot, signed_basis_state

__all__ = ["plan_sectors"]


@functools.lru_cache(maxsize=16)
def plan_sectors(name: str, n: int, orders: tuple[int, ...]) -> tuple[LoaderPlan, tuple[Merge, ...]]:
    """The gates that load the sectors of some weights, and what each rotates.

    Args:
        name: what drawings call the loader.
        n: number of wires.
        orders: distinct weights, in the order in which their sectors lie in the vector.

    Returns:
        The plan, and for each of its angles the pairs of entries of the vector that its gate rotates; none if the
        vector has one entry, whose sign is then the phase of a basis state.
    """
    ascending = sorted(orders)
    dim = sum(subspace_dim(n, order) for order in orders)
    pairs = sum(math.comb(n - 2, order - 1) for order in orders if 0 < order < n)  # that one gate can act on
    require_memory(16 * dim * pairs, f"a loader of {dim} amplitudes, with the pairs of them that each gate rotates,")
    flips = tuple(Slot("X", (wire,)) for wire in range(ascending[0]))
    elimination = _Elimination(n, orders)
    for order, below in zip(ascending[::-1], [*ascending[-2::-1], None], strict=True):
        for prefix, first, ones in _sector_gates((), 0, n, order):
            elimination.empty_last(prefix, first, ones)
        if below is not None:
            elimination.descend(order, below)
    if not elimination.merges:
        return signed_basis_state(name, n, range(ascending[0])), ()
    return LoaderPlan(name, n, flips + tuple(elimination.slots[::-1])), tuple(elimination.merges[::-1])


def _sector_gates(
    prefix: tuple[int, ...], first: int, n: int, ones: int
) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """The order in which amplitudes become zero, given as (prefix, first, ones).

    Among the states that hold `prefix` on the wires before `first`, and `ones` ones from there on: empty those
    without the wire `first` into one of them, that one into those with it, and those into one of them. All
    states that differ in the prefix are then either all empty or all untouched.
    """
    if 0 < ones < n - first:
        yield from _sector_gates(prefix, first + 1, n, ones)
        yield prefix, first, ones
        yield from _sector_gates((*prefix, first), first + 1, n, ones - 1)


class _Elimination:
    """Collects gates in the order of elimination, which is that of application reversed."""

    def __init__(self, n: int, orders: tuple[int, ...]) -> None:
        dims = [subspace_dim(n, order) for order in orders]
        self.n = n
        self.start = dict(zip(orders, np.cumsum([0, *dims]), strict=False))
        self.occupied = np.zeros((sum(dims), n), dtype=bool)
        for order in orders:
            rows = self.occupied[self.start[order] :][: subspace_dim(n, order)]
            np.put_along_axis(rows, subset_array(n, order), True, axis=1)
        self.alive = np.ones(sum(dims), dtype=bool)
        self.slots: list[Slot] = []
        self.merges: list[Merge] = []
        self._next_angle = sum(dims) - 2

    def empty_last(self, prefix: tuple[int, ...], first: int, ones: int) -> None:
        """Empty the state prefix + (first+1, ..., first+ones) by an RBS on the wires first and first + 1.

        Of the states with this prefix and without `first` it is the only one left, while those with `first` are all
        there: controls must pick it out, by the ones behind the gate or by the zeros behind them.
        """
        behind, beyond = range(first + 2, first + ones + 1), range(first + ones + 1, self.n)
        controls, value = (behind, 1) if len(behind) <= len(beyond) else (beyond, 0)
        moves, stays = self.occupied[:, first + 1], self.occupied[:, first]
        chosen = (self.occupied[:, list(controls)] == value).all(axis=1) & self.alive
        # The two states of a pair agree on all other wires: both lists have the order of those.
        kept, moved = np.flatnonzero(chosen & stays & ~moves), np.flatnonzero(chosen & moves & ~stays)
        target = self._index((*prefix, *range(first + 1, first + ones + 1)))
        at = int(np.flatnonzero(moved == target)[0])
        self._add("RBS", (first, first + 1), tuple(controls), (value,) * len(controls))
        self.merges.append((_to_front(kept, at), _to_front(moved, at)))
        self.alive[target] = False

    def descend(self, order: int, below: int) -> None:
        """Empty the state 1^order 0...0, the last of its sector, into the state 1^below 0...0."""
        ones = tuple(range(below + 1))
        self.slots += [Slot("X", (wire,), ones, (1,) * len(ones)) for wire in range(order - 1, below, -1)]
        self._add("RY", (below,), ones[:-1], (1,) * below)
        kept, moved = (np.array([self._index(tuple(range(k)))]) for k in (below, order))
        self.merges.append((kept, moved))
        self.alive[moved] = False

    def _index(self, subset: tuple[int, ...]) -> int:
        return int(self.start[len(subset)]) + rank_subset(subset, self.n)

    def _add(self, gate: Gate, wires: tuple[int, ...], controls: tuple[int, ...], values: tuple[int, ...]) -> None:
        self.slots.append(Slot(gate, wires, controls, values, angle=self._next_angle))
        self._next_angle -= 1


def _to_front(indices: NDArray[np.int64], position: int) -> NDArray[np.int64]:
    return np.concatenate((indices[[position]], np.delete(indices, position)))
