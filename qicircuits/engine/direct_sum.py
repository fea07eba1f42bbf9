"""A direct sum of Hamming-weight sectors as one vector, and which of its amplitudes hold what on some wires."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .plan import occupation, ranks

__all__ = ["DirectSum", "Selection", "direct_sum"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Selection:
    """The basis states that hold `bits` on `wires`, and an even or odd number of ones on `parity_wires`.

    Attributes:
        wires: wires whose occupation is given.
        bits: 0 or 1 for each of them.
        parity_wires: wires of which only the parity of their number of ones is given.
        odd: that parity.
    """

    wires: tuple[int, ...] = ()
    bits: tuple[int, ...] = ()
    parity_wires: tuple[int, ...] = ()
    odd: int = 0


@functools.lru_cache(maxsize=32)
def direct_sum(n: int, orders: tuple[int, ...]) -> "DirectSum":
    """The direct sum of some sectors of n wires, cached with its tables.

    Args:
        n: number of wires.
        orders: Hamming weights, increasing, each in 0..n.
    """
    return DirectSum(n, orders)


class DirectSum:
    """Sectors one after another, in each of them subsets in lexicographic order.

    Attributes:
        n: number of wires.
        orders: the Hamming weights, increasing.
        sizes: C(n, k) for each of them.
        starts: where each sector starts.
        dim: the number of amplitudes.
    """

    def __init__(self, n: int, orders: tuple[int, ...]) -> None:
        self.n, self.orders = n, orders
        self.sizes = tuple(math.comb(n, order) for order in orders)
        self.starts = tuple(sum(self.sizes[:index]) for index in range(len(orders)))
        self.dim = sum(self.sizes)

    @functools.cached_property
    def occupied(self) -> NDArray[np.bool_]:
        """Whether each basis state holds a one on each wire, shape (dim, n)."""
        return np.concatenate([occupation(self.n, order) for order in self.orders])

    def rows(self, selection: Selection) -> Rows:
        """The amplitudes of a selection.

        Those of two selections on the same wires with equally many ones correspond to each other one by one: they
        agree on all other wires.
        """
        held = self.occupied[:, list(selection.wires)] == np.array(selection.bits, dtype=bool)
        chosen = held.all(axis=1)
        if selection.parity_wires:
            chosen &= self.occupied[:, list(selection.parity_wires)].sum(axis=1) % 2 == selection.odd
        return np.flatnonzero(chosen)

    def groups(self, states: tuple[Selection, ...]) -> Rows:
        """The amplitudes that hold some local states of the same wires and agree elsewhere, shape (states, groups).

        Local states may have different weights; groups of which an amplitude is in none of the sectors are left out.
        """
        if len({sum(state.bits) for state in states}) == 1:
            return np.stack([self.rows(state) for state in states])
        occupied = self.occupied[self.rows(states[0])]
        found = []
        for state in states:
            occupied[:, list(state.wires)] = np.array(state.bits, dtype=bool)
            found.append(self.find(occupied))
        groups = np.stack(found)
        return groups[:, (groups >= 0).all(axis=0)]

    def find(self, occupied: NDArray[np.bool_]) -> Rows:
        """The amplitudes of basis states given as rows of occupations; -1 for those in none of the sectors."""
        found = np.full(len(occupied), -1)
        weights = occupied.sum(axis=1)
        for order, start in zip(self.orders, self.starts, strict=True):
            here = weights == order
            found[here] = start + ranks(occupied[here], order)
        return found

    def local_states(self, wires: Sequence[int]) -> Rows:
        """What each basis state holds on some wires, as an integer with the first of them as most significant bit."""
        place = 1 << np.arange(len(wires), dtype=np.int64)[::-1]
        return self.occupied[:, list(wires)] @ place
