"""Where the two-wire gates of a circuit stand: ordered pairs of wires, grouped in moments."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .subsets import check_integer

__all__ = ["LAYOUTS", "Layout", "brickwork", "butterfly", "pyramid", "round_robin", "staircase", "v_shape", "x_shape"]

Pair = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """The places of a circuit's gates: moments of disjoint ordered pairs of wires.

    Moments are applied one after the other; the gates of one moment act on disjoint wires and commute.
    The angles of a circuit follow `pairs`, moment by moment.

    Args:
        n: number of wires, at least 1.
        moments: for each moment the ordered pairs (i, j) of wires that its gates act on.
        name: what errors and drawings call it.

    Attributes:
        pairs: the pairs of wires in order of application; the k-th angle belongs to the k-th pair.
        is_nearest_neighbour: whether every gate acts on neighbouring wires, |i - j| = 1.

    Raises:
        ValueError: a wire is not in range(n), a pair repeats its wire, a moment is empty or uses a wire twice.

    >>> Layout(3, (((0, 1),), ((1, 2),))).pairs
    ((0, 1), (1, 2))
    """

    n: int
    moments: tuple[tuple[Pair, ...], ...]
    name: str = field(default="custom", compare=False)
    pairs: tuple[Pair, ...] = field(init=False, compare=False)
    is_nearest_neighbour: bool = field(init=False, compare=False)
    _hash: int = field(init=False, compare=False)  # engines look their plans up by it at every call

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", _check_wires(self.n))
        object.__setattr__(self, "moments", tuple(tuple(map(_check_pair, moment)) for moment in self.moments))
        object.__setattr__(self, "pairs", tuple(itertools.chain.from_iterable(self.moments)))
        object.__setattr__(self, "is_nearest_neighbour", all(abs(i - j) == 1 for i, j in self.pairs))
        object.__setattr__(self, "_hash", hash((self.n, self.moments)))
        for position, moment in enumerate(self.moments):
            wires = [wire for pair in moment for wire in pair]
            if not moment:
                raise ValueError(f"a moment holds at least one pair of wires, got none in moment {position}")
            if any(not 0 <= wire < self.n for wire in wires):
                raise ValueError(f"wires must be in 0..{self.n - 1}, got {moment} in moment {position}")
            if len(set(wires)) != len(wires):
                raise ValueError(f"the pairs of a moment must not share wires, got {moment} in moment {position}")

    @property
    def depth(self) -> int:
        """Number of moments."""
        return len(self.moments)

    @property
    def n_gates(self) -> int:
        """Number of gates, which is the number of angles."""
        return len(self.pairs)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Layout({self.name}, n={self.n}, gates={self.n_gates}, depth={self.depth})"


def pyramid(n: int) -> Layout:
    """Neighbours in a triangle: n(n-1)/2 gates, depth 2n-3. Reaches all of SO(n).

    Reference: I. Kerenidis, J. Landman and N. Mathur, arXiv:2106.07198.

    Args:
        n: number of wires, at least 1.

    Returns:
        The layout.

    Raises:
        TypeError: n is not an integer.
        ValueError: n is not positive.

    >>> pyramid(3).moments
    (((0, 1),), ((1, 2),), ((0, 1),))
    """
    n = _check_wires(n)
    depth = 2 * n - 3
    moments = [[(q, q + 1) for q in range(m % 2, min(m, depth - 1 - m) + 1, 2)] for m in range(depth)]
    return _layout("pyramid", n, moments)


def brickwork(n: int) -> Layout:
    """Neighbours in alternating moments: n(n-1)/2 gates, depth n (1 for n = 2). Reaches all of SO(n).

    Reference: W. R. Clements et al., Optica 3, 1460 (2016).

    Args:
        n: number of wires, at least 1.

    Returns:
        The layout.

    Raises:
        TypeError: n is not an integer.
        ValueError: n is not positive.

    >>> brickwork(4).moments
    (((0, 1), (2, 3)), ((1, 2),), ((0, 1), (2, 3)), ((1, 2),))
    """
    n = _check_wires(n)
    return _layout("brickwork", n, [[(q, q + 1) for q in range(m % 2, n - 1, 2)] for m in range(n)])


def x_shape(n: int) -> Layout:
    """Two staircases that cross: 2n-3 gates, depth n-1, for even n.

    Reference: E. A. Cherrat et al., arXiv:2209.08167.

    Args:
        n: number of wires, at least 1.

    Returns:
        The layout.

    Raises:
        TypeError: n is not an integer.
        ValueError: n is not positive or odd.

    >>> x_shape(4).moments
    (((0, 1), (2, 3)), ((1, 2),), ((0, 1), (2, 3)))
    """
    n = _check_wires(n)
    if n % 2:
        raise ValueError(f"x_shape needs an even number of wires, for its diagonals to meet in one gate, got n={n}")
    # dict.fromkeys drops the second copy of the gate where the diagonals cross.
    moments = [sorted(dict.fromkeys([(m, m + 1), (n - 2 - m, n - 1 - m)])) for m in range(n - 1)]
    return _layout("x_shape", n, moments)


def v_shape(n: int) -> Layout:
    """One staircase down and up again: 2n-3 gates, depth 2n-3.

    Args:
        n: number of wires, at least 1.

    Returns:
        The layout.

    Raises:
        TypeError: n is not an integer.
        ValueError: n is not positive.

    >>> v_shape(3).pairs
    ((0, 1), (1, 2), (0, 1))
    """
    n = _check_wires(n)
    down = list(range(n - 1))
    return _layout("v_shape", n, [[(q, q + 1)] for q in down + down[-2::-1]])


def staircase(n: int) -> Layout:
    """Neighbours one after the other: n-1 gates, depth n-1.

    Args:
        n: number of wires, at least 1.

    Returns:
        The layout.

    Raises:
        TypeError: n is not an integer.
        ValueError: n is not positive.

    >>> staircase(3).pairs
    ((0, 1), (1, 2))
    """
    n = _check_wires(n)
    return _layout("staircase", n, [[(q, q + 1)] for q in range(n - 1)])


def butterfly(n: int) -> Layout:
    """Long range, strides n/2, n/4, ..., 1: (n/2) log2(n) gates, depth log2(n), for n a power of two.

    Reference: E. A. Cherrat et al., arXiv:2209.08167.

    Args:
        n: number of wires, at least 1.

    Returns:
        The layout.

    Raises:
        TypeError: n is not an integer.
        ValueError: n is not positive or not a power of two.

    >>> butterfly(4).moments
    (((0, 2), (1, 3)), ((0, 1), (2, 3)))
    """
    n = _check_wires(n)
    if n & (n - 1):
        raise ValueError(f"butterfly needs a power of two of wires, got n={n}")
    strides = [n >> m for m in range(1, n.bit_length())]
    return _layout("butterfly", n, [[(i, i + s) for i in range(n) if not i & s] for s in strides])


def round_robin(n: int) -> Layout:
    """Every pair of wires once, by the circle method: n(n-1)/2 gates, depth n-1 for even n, n for odd n.

    Args:
        n: number of wires, at least 1.

    Returns:
        The layout.

    Raises:
        TypeError: n is not an integer.
        ValueError: n is not positive.

    >>> round_robin(4).moments
    (((0, 3), (1, 2)), ((0, 2), (1, 3)), ((0, 1), (2, 3)))
    """
    n = _check_wires(n)
    players = n + n % 2  # with n odd, the last player is absent and its opponent rests
    moments = []
    for m in range(players - 1):
        ring = [0] + [1 + (p - m) % (players - 1) for p in range(players - 1)]
        pairs = (sorted((ring[p], ring[-1 - p])) for p in range(players // 2))
        moments.append(sorted((i, j) for i, j in pairs if j < n))
    return _layout("round_robin", n, moments)


LAYOUTS: dict[str, Callable[[int], Layout]] = {
    make.__name__: make for make in (brickwork, butterfly, pyramid, round_robin, staircase, v_shape, x_shape)
}
"""The layouts by name."""


def _check_wires(n: int) -> int:
    if check_integer(n, "n") < 1:
        raise ValueError(f"a layout needs at least 1 wire, got n={n}")
    return check_integer(n, "n")


def _check_pair(pair: Pair) -> Pair:
    if not isinstance(pair, Sequence) or len(pair) != 2:
        raise ValueError(
            f"moments hold pairs of wires, such as (((0, 1), (2, 3)), ((1, 2),)), got {pair!r} in place of a pair"
        )
    return check_integer(pair[0], "a wire"), check_integer(pair[1], "a wire")


def _layout(name: str, n: int, moments: list[list[Pair]]) -> Layout:
    return Layout(n, tuple(tuple(m) for m in moments if m), name)
