"""Flops and bytes of the engine's ways to the map that a circuit is on one sector."""

import math
from dataclasses import dataclass

from .machine import Computer

__all__ = ["ClassicalCost", "as_float", "classical_paths", "density_flops", "sampling_flops", "sweep_flops"]

_WINDOW = 6
"""Wires of a window of `engine.cpu_windows`."""

_RECURSE_THROUGH_MIDDLE = 10
"""Beyond this n orders k > n/2 go through the complement, as in `compound`."""


@dataclass(frozen=True)
class ClassicalCost:
    """What one way costs for one vector.

    Attributes:
        path: "gates", "registers", "windows", "modes" or "dense".
        flops: additions and multiplications a vector, the building of a matrix not included.
        build_flops: those of building C_k(A), once for all vectors that share it.
        bytes: read and written to memory a vector, for the vectors that share a matrix: the vector, its image, and
            what lies between operations that do not share a cache.
    """

    path: str
    flops: int
    build_flops: int
    bytes: float

    def seconds(self, computer: Computer, vectors: int) -> float:
        """The time of one vector, with the building shared by so many."""
        return computer.seconds(self.flops + self.build_flops / vectors, self.bytes)


def classical_paths(
    n: int, order: int, *, n_gates: int, is_compound: bool, vectors: int = 1024, itemsize: int = 4
) -> tuple[ClassicalCost, ...]:
    r"""The ways of the engine to y = B x, B the weight-k block of a circuit, with D = C(n, k).

    ========== ============================================ ====================================================
    path       flops a vector                               what it is
    ========== ============================================ ====================================================
    gates      6 g C(n-2, k-1)                              the circuit itself; 3 k (n-k) D for n(n-1)/2 gates
    registers  2 n^2 (k = 1), 3 n^3 (k = 2)                 products with A held in registers, on a CPU
    windows    w sum_m 2 C(6, m)^2 C(n-6, k-m)              A as w rotations of six wires, for k > 2, on a CPU
    modes      2 k n^(k+1)                                  antisymmetric tensors, for k of 2 and 3, anywhere
    dense      2 D^2, and to build sum_j (2j-1) C(n, j)^2   a product with C_k(A)
    ========== ============================================ ====================================================

    For n > 10 and k > n/2 modes and the building go by the complement, n - k in place of k. All but the gates need a
    circuit that is a compound.

    Args:
        n: number of wires, at least 2.
        order: k, with 0 < k < n.
        n_gates: g, the number of RBS or FBS gates.
        is_compound: whether the circuit acts as C_k(A).
        vectors: how many share one matrix.
        itemsize: bytes of a number.

    >>> [path.flops for path in classical_paths(44, 2, n_gates=946, is_compound=True)]
    [238392, 255552, 340736, 1789832]
    """
    dim = math.comb(n, order)
    ends = 2 * dim * itemsize  # x is read and y written
    matrix = n * n * itemsize / vectors
    paths = [ClassicalCost("gates", sweep_flops(n, order, n_gates), 0, ends + n_gates * itemsize / vectors)]
    if not is_compound:
        return tuple(paths)
    if order <= 2:
        flops = 2 * n**2 if order == 1 else 3 * n**3
        paths.append(ClassicalCost("registers", flops, 0, ends + matrix))
    else:
        paths.append(ClassicalCost("windows", _window_flops(n, order), 0, ends + matrix))
    k = n - order if 2 * order > n > _RECURSE_THROUGH_MIDDLE else order
    if k in (2, 3):
        # k + 1 tensors of n^k numbers lie between the operations, each written and read.
        between = 2 * (k + 1) * n**k * itemsize
        paths.append(ClassicalCost("modes", 2 * k * n ** (k + 1), 0, ends + between + matrix))
    build = sum((2 * j - 1) * math.comb(n, j) ** 2 for j in range(2, k + 1))
    paths.append(ClassicalCost("dense", 2 * dim**2, build, ends + 2 * dim**2 * itemsize / vectors))
    return tuple(paths)


def sweep_flops(n: int, order: int, n_gates: int) -> int:
    """Flops of the gates: every gate rotates C(n-2, k-1) pairs of amplitudes, with 6 flops each."""
    return 6 * n_gates * math.comb(n - 2, order - 1)


def density_flops(n: int, order: int) -> int:
    """Flops to the density of one wire after a compound circuit on a basis state: a row of A, and k squares of it.

    The row is a vector of order 1 taken backwards through the n(n-1)/2 gates: 3 n (n-1) flops.
    """
    return 3 * n * (n - 1) + 2 * order


def sampling_flops(n: int, order: int, error: float) -> float:
    r"""Flops to the density of one wire after a compound circuit on a known vector x, by sampling.

    With a the row of A of that wire, O = a a^T lifted to the sector, and subsets I drawn with probabilities x_I^2,

        <y| n_j |y> = <x|O|x> = mean of e(I),   e(I) = (O x)_I / x_I ,   mean of e(I)^2 = |O x|^2 = <x|O|x> ,

    since O^2 = O: the variance of an outcome of the circuit, which so takes as many runs. e(I) takes only the
    1 + k(n-k) subsets that differ from I by at most one particle: 1 / error^2 samples of 4 flops for each of them, a
    row of A, and 2 D once for a table to draw from.

    Args:
        n, order: the sector, n >= 2.
        error: root mean square error.
    """
    samples = 4 * (1 + order * (n - order)) / error**2
    return as_float(2 * math.comb(n, order)) + density_flops(n, order) + samples


def as_float(number: int) -> float:
    """The number, or infinity if it is beyond floating point."""
    return float(number) if number.bit_length() < 1023 else math.inf


def _window_flops(n: int, order: int) -> int:
    size = min(_WINDOW, n)
    steps = max(1, math.ceil((n - _WINDOW // 2) / (_WINDOW // 2)))
    inside = range(max(1, order - n + size), min(order, size - 1) + 1)
    each = sum(2 * math.comb(size, m) ** 2 * math.comb(n - size, order - m) for m in inside)
    return steps * (steps + 1) // 2 * each
