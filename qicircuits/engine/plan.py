"""Index tables of a sector: which amplitudes a two-wire gate mixes, and with which sign."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..subsets import subset_array, subspace_dim

__all__ = ["GateTable", "gate_table", "occupation", "ranks"]


@dataclass(frozen=True)
class GateTable:
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


_CACHED_ROWS = 100_000
"""Tables of larger sectors are made anew: they cost about as much as the gate, and would fill the memory."""


def gate_table(n: int, order: int, i: int, j: int) -> GateTable:
    """The rows that a gate on the ordered pair of wires (i, j) mixes in the weight-`order` sector."""
    return (_cached_gate_table if subspace_dim(n, order) <= _CACHED_ROWS else _gate_table)(n, order, i, j)


@functools.lru_cache(maxsize=4096)
def _cached_gate_table(n: int, order: int, i: int, j: int) -> GateTable:
    return _gate_table(n, order, i, j)


def _gate_table(n: int, order: int, i: int, j: int) -> GateTable:
    occupied = occupation(n, order)
    a = np.flatnonzero(occupied[:, i] & ~occupied[:, j])
    low, high = min(i, j), max(i, j)
    between = occupied[a, low + 1 : high].sum(axis=1)
    moved = occupied[a].copy()
    moved[:, i], moved[:, j] = False, True
    return GateTable(a, ranks(moved, order), 1 - 2 * (between % 2))


@functools.lru_cache(maxsize=64)
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
    n = occupied.shape[1]
    wires = np.nonzero(occupied)[1].reshape(len(occupied), order)
    after = _binomials(n)[n - 1 - wires, order - np.arange(order)].sum(axis=1)
    return subspace_dim(n, order) - 1 - after
