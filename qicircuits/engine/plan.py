"""Index tables of a sector: which amplitudes a two-wire gate mixes, and with which sign."""

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kept import keep_bytes
from ..subsets import subset_array, subspace_dim

__all__ = ["GateTable", "gate_table", "occupation", "pair_count", "ranks"]


class GateTable(NamedTuple):
    """The row pairs (a, b) that a gate on wires (i, j) rotates in a weight-k sector.

    Row a has wire i occupied and wire j empty, row b the reverse; the gate takes
    x_a, x_b to cos x_a - sin x_b, sin x_a + cos x_b. There are C(n-2, k-1) such pairs.

    Attributes:
        a: rows with wire i occupied, shape (C(n-2, k-1),).
        b: the same rows with the particle moved from i to j.
        parity: (-1)^(ones strictly between i and j), the sign that FBS gives to its sine; shape of `a`.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    parity: NDArray[np.int64]


def pair_count(n: int, order: int) -> int:
    """C(n-2, k-1), how many row pairs a gate rotates in the weight-k sector; none in those of one state."""
    return math.comb(n - 2, order - 1) if 0 < order < n else 0


@keep_bytes(2**27)
def gate_table(n: int, order: int, i: int, j: int) -> GateTable:
    """The rows that a gate on the ordered pair of wires (i, j) mixes in the weight-`order` sector."""
    low, high = min(i, j), max(i, j)
    rests = _rests(n, order)
    rests = rests + (rests >= low)
    rests += rests >= high  # now of all wires but i and j
    between = ((low < rests) & (rests < high)).sum(axis=1)
    a, b = (_ranks_of(np.sort(np.insert(rests, 0, wire, axis=1), axis=1), n) for wire in (i, j))
    in_order = np.argsort(a)
    return GateTable(a[in_order], b[in_order], (1 - 2 * (between % 2))[in_order])


def _rests(n: int, order: int) -> NDArray[np.int64]:
    """Where the other particles of a gate can be, as subsets of n - 2 wires, shape (C(n-2, k-1), k-1)."""
    return subset_array(n - 2, order - 1) if 0 < order < n else np.empty((0, max(order - 1, 0)), np.int64)


@keep_bytes(2**27)
def occupation(n: int, order: int) -> NDArray[np.bool_]:
    """Whether each subset holds each wire, shape (C(n, k), n)."""
    occupied = np.zeros((subspace_dim(n, order), n), dtype=bool)
    np.put_along_axis(occupied, subset_array(n, order), True, axis=1)
    return occupied


@functools.lru_cache(maxsize=64)
def _binomials(n: int) -> NDArray[np.int64]:
    """Pascal's triangle up to row n; entries beyond 64 bits are never looked up by a sector that fits memory."""
    table = np.zeros((n + 1, n + 1), dtype=np.int64)
    table[:, 0] = 1
    for row in range(1, n + 1):
        table[row, 1:] = table[row - 1, 1:] + table[row - 1, :-1]
    return table


def ranks(occupied: NDArray[np.bool_], order: int) -> NDArray[np.int64]:
    """`rank_subset` for many subsets at once, given as rows of occupations."""
    return _ranks_of(np.nonzero(occupied)[1].reshape(len(occupied), order), occupied.shape[1])


def _ranks_of(wires: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The same for rows of wires in increasing order."""
    order = wires.shape[1]
    after = _binomials(n)[n - 1 - wires, order - np.arange(order)].sum(axis=1)
    return subspace_dim(n, order) - 1 - after
