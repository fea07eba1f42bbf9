"""The k-subsets of n wires: the basis of a Hamming-weight sector, and its order.

A basis state of n wires with Hamming weight k is the k-subset of wires that hold a one. Subsets are listed
in lexicographic order, as ``itertools.combinations`` lists them. With wire 0 as the most significant bit
that is *descending* order of the basis states' integers: (0, 1) is |1100>, the largest weight-2 integer.
"""

import itertools
import math
import operator
import reprlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .kept import keep_bytes
from .memory import require_memory

__all__ = [
    "check_integer",
    "rank_subset",
    "subset_array",
    "subset_integers",
    "subsets",
    "subspace_dim",
    "unrank_subset",
]


def subspace_dim(n: int, order: int) -> int:
    """The dimension C(n, k) of the weight-k sector of n wires.

    Args:
        n: number of wires, at least 0.
        order: Hamming weight k, with 0 <= k <= n.

    Raises:
        ValueError: n is negative or the order is not in 0..n.

    >>> subspace_dim(64, 2)
    2016
    """
    _check_sector(n, order)
    return math.comb(n, order)


def subsets(n: int, order: int) -> list[tuple[int, ...]]:
    """All k-subsets of range(n), in lexicographic order.

    Args:
        n: number of wires, at least 0.
        order: Hamming weight k, with 0 <= k <= n.

    Returns:
        C(n, k) increasing tuples of wires; the position in the list is the index in the sector.

    Raises:
        ValueError: n is negative or the order is not in 0..n.
        MemoryError: the list does not fit into memory.

    >>> subsets(4, 2)
    [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    """
    dim = subspace_dim(n, order)
    # A list's entry, and a tuple with its header; the numbers in it exist once.
    require_memory(dim * (64 + 8 * order), f"the list of C({n}, {order}) = {dim} subsets")
    return list(itertools.combinations(range(n), order))


@keep_bytes(2**28)
def subset_array(n: int, order: int) -> NDArray[np.int64]:
    """The k-subsets of range(n) as a read-only array of shape (C(n, k), k), cached.

    >>> subset_array(3, 2)
    array([[0, 1],
           [0, 2],
           [1, 2]])
    """
    dim = subspace_dim(n, order)
    require_memory(8 * dim * order, f"the array of C({n}, {order}) = {dim} subsets")
    members = itertools.chain.from_iterable(itertools.combinations(range(n), order))
    table = np.fromiter(members, np.int64, dim * order).reshape(dim, order)
    table.flags.writeable = False
    return table


def subset_integers(n: int, order: int) -> NDArray[np.int64]:
    """The basis-state integers of the sector, wire 0 as most significant bit, shape (C(n, k),), n <= 62.

    They index the full state vector of 2^n amplitudes, and descend.

    >>> [f"{s:04b}" for s in subset_integers(4, 2)]
    ['1100', '1010', '1001', '0110', '0101', '0011']
    """
    if n > 62:
        raise ValueError(f"basis-state integers need n <= 62 to fit in 64 bits, got n={n}")
    return (np.int64(1) << (n - 1 - subset_array(n, order))).sum(axis=1)


def rank_subset(subset: Sequence[int], n: int) -> int:
    """The index of a subset among the k-subsets of range(n), in lexicographic order.

    Costs O(n) binomials, whatever C(n, k) is.

    Args:
        subset: increasing wires, each in 0..n-1; its length is the order k.
        n: number of wires.

    Raises:
        ValueError: the wires are not strictly increasing, or not in range(n).
        TypeError: a wire or n is not an integer.

    >>> rank_subset((1, 2), 4)
    3
    """
    wires = tuple(check_integer(wire, "a wire") for wire in subset)
    order, n = len(wires), check_integer(n, "n")
    if any(not 0 <= w < n for w in wires) or any(a >= b for a, b in itertools.pairwise(wires)):
        raise ValueError(f"a subset is strictly increasing wires in 0..{n - 1}, got {reprlib.repr(wires)}")
    # Counts the subsets that come after: those whose r-th element is the first to exceed wires[r].
    after = sum(math.comb(n - 1 - wire, order - r) for r, wire in enumerate(wires))
    return math.comb(n, order) - 1 - after


def unrank_subset(index: int, n: int, order: int) -> tuple[int, ...]:
    """The subset at an index: the inverse of :func:`rank_subset`.

    Args:
        index: 0 <= index < C(n, k).
        n: number of wires.
        order: Hamming weight k, with 0 <= k <= n.

    Raises:
        ValueError: the order is not in 0..n or the index is not in 0..C(n, k)-1.

    >>> unrank_subset(3, 4, 2)
    (1, 2)
    """
    dim = subspace_dim(n, order)
    index = check_integer(index, "index")
    if not 0 <= index < dim:
        raise ValueError(f"an index of the weight-{order} sector of {n} wires is in 0..{dim - 1}, got {index}")
    wires: list[int] = []
    wire = 0
    for left in range(order, 0, -1):
        # Of the subsets still possible, comb(n-1-wire, left-1) start with `wire`; they come first.
        while index >= (block := math.comb(n - 1 - wire, left - 1)):
            index -= block
            wire += 1
        wires.append(wire)
        wire += 1
    return tuple(wires)


def check_integer(value: int, name: str) -> int:
    """The value as an int; numpy's integers are, floats and strings are not.

    Raises:
        TypeError: it is not an integer.

    >>> check_integer(2.0, "order")
    Traceback (most recent call last):
        ...
    TypeError: order must be an integer, got 2.0
    """
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def _check_sector(n: int, order: int) -> None:
    n, order = check_integer(n, "n"), check_integer(order, "order")
    if n < 0:
        raise ValueError(f"the number of wires must be at least 0, got n={n}")
    if not 0 <= order <= n:
        raise ValueError(f"an order on {n} wires is a Hamming weight in 0..{n}, got order={order}")
