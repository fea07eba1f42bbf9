"""Unary loaders: n real numbers into the amplitudes of one excitation, by n - 1 RBS gates."""

import functools
import itertools
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pennylane as qml
from pennylane.typing import TensorLike
from pennylane.wires import WiresLike

from .data import direction, sign_phase, wire_labels
from .elimination import eliminate
from .operation import Loader, LoaderPlan, Slot, signed_basis_state

__all__ = ["UnaryKind", "unary_angles", "unary_loader", "unary_moves"]

UnaryKind = Literal["diagonal", "semi_diagonal", "tree"]


def unary_loader(vector: TensorLike | Sequence[float], wires: WiresLike, kind: UnaryKind = "diagonal") -> Loader:
    r"""Load a real vector, signs included, into the weight-1 sector.

    .. math:: |0\dots0\rangle \to \frac{1}{\|x\|} \sum_{i=0}^{n-1} x_i\,|e_i\rangle.

    One X makes the excitation, and each of n - 1 RBS gates passes on, by theta = atan2(norm passed on, norm kept),
    the part of the vector that belongs further out:

    - "diagonal": from the first wire, wire by wire. Neighbours; depth n.
    - "semi_diagonal": from the middle wire (n - 1) // 2 to both ends. Neighbours; depth 1 + ceil(n / 2).
    - "tree": from the first wire, halving the wires. Any wires; depth 1 + ceil(log2 n).

    Args:
        vector: x, shape (n,), or (batch, n) for a batch of circuits; only its direction matters. Gradients pass
            where no partial norm of two or more entries is zero; to those entries they are zero.
        wires: n labels.
        kind: where the gates stand.

    Returns:
        The operation, on n wires with n - 1 angles. On one wire, a sign is a global phase.

    Raises:
        TypeError: the vector is not made of real numbers.
        ValueError: the vector is zero, not finite, or not as long as there are wires, or there is no such kind.

    Reference:
        S. Johri et al., npj Quantum Information 7, 122 (2021), arXiv:2012.04145 (diagonal and tree);
        E. A. Cherrat et al., arXiv:2209.08167 (semi-diagonal).

    >>> loader = unary_loader([3.0, 0.0, -4.0], wires=range(3))
    >>> [gate.name for gate in loader.decomposition()], loader.data[0].round(3)
    (['PauliX', 'RBS', 'RBS'], array([ 0.927, -1.571]))
    """
    if kind not in get_args(UnaryKind):
        raise ValueError(f"kind must be one of {', '.join(map(repr, get_args(UnaryKind)))}, got {kind!r}")
    labels = wire_labels(wires)
    n = len(labels)
    x = direction(vector, n, f"{n} wires")
    return Loader(unary_angles(x, kind), labels, _plan(n, kind))


def unary_angles(vector: TensorLike, kind: UnaryKind) -> TensorLike:
    """The angles for a vector that has been checked, shape (..., n - 1); for n = 1, of the phase."""
    n = qml.math.shape(vector)[-1]
    if n == 1:
        return sign_phase(vector[..., 0])
    return eliminate(vector, [(np.array([i]), np.array([j])) for i, j in unary_moves(n, kind)])


def unary_moves(n: int, kind: UnaryKind) -> list[tuple[int, int]]:
    """For each gate the wire that has the excitation and the wire that gets it, in order of application.

    >>> unary_moves(5, "semi_diagonal")
    [(2, 3), (3, 4), (2, 1), (1, 0)]
    """
    if kind == "diagonal":
        return [(i, i + 1) for i in range(n - 1)]
    if kind == "semi_diagonal":
        middle = (n - 1) // 2
        right, left = [(i, i + 1) for i in range(middle, n - 1)], [(i, i - 1) for i in range(middle, 0, -1)]
        # The first gate crosses the middle; from then on both sides move at once.
        sides = itertools.zip_longest(right[1:], left)
        return right[:1] + [move for moment in sides for move in moment if move]
    moves = []
    segments = [(0, n)]
    while segments:
        halves = [(start, (start + stop + 1) // 2, stop) for start, stop in segments if stop - start > 1]
        moves += [(start, middle) for start, middle, _ in halves]
        segments = [part for start, middle, stop in halves for part in ((start, middle), (middle, stop))]
    return moves


@functools.lru_cache(maxsize=64)
def _plan(n: int, kind: UnaryKind) -> LoaderPlan:
    if n == 1:
        return signed_basis_state("unary", 1, [0])
    moves = unary_moves(n, kind)
    gates = (Slot("RBS", move, angle=index) for index, move in enumerate(moves))
    return LoaderPlan("unary", n, (Slot("X", moves[0][:1]), *gates))
