"""Gates and depth of the layouts in closed form, after decomposition into CNOT, CZ and one-qubit gates."""

import math
from dataclasses import dataclass
from typing import Literal

from ..layouts import LAYOUTS, Layout

__all__ = ["ROTATIONS", "TWO_QUBIT", "GateCounts", "brickwork_counts", "closed_form", "t_per_rotation"]

TWO_QUBIT = ("CNOT", "CZ")
ROTATIONS = ("RX", "RY", "RZ", "PhaseShift")


@dataclass(frozen=True)
class GateCounts:
    """What a circuit takes once it is decomposed, every gate as early as its wires allow, none cancelled.

    Attributes:
        wires: number of wires.
        gates: how many gates of each kind, by PennyLane's name, sorted.
        depth: moments of gates of any kind.
        one_qubit_depth: the most one-qubit gates that must follow each other.
        two_qubit_depth: the most two-qubit gates that must follow each other.
    """

    wires: int
    gates: dict[str, int]
    depth: int
    one_qubit_depth: int
    two_qubit_depth: int

    @property
    def n_gates(self) -> int:
        """All gates."""
        return sum(self.gates.values())

    @property
    def two_qubit_gates(self) -> int:
        """CNOT and CZ."""
        return sum(self.gates.get(kind, 0) for kind in TWO_QUBIT)

    @property
    def rotations(self) -> int:
        """Gates with an angle, which a fault-tolerant machine approximates by T gates."""
        return sum(self.gates.get(kind, 0) for kind in ROTATIONS)


def closed_form(layout: Layout, gate: Literal["rbs", "fbs"] = "rbs") -> GateCounts | None:
    r"""The counts of a layout by formula, or None where there is none.

    With g gates and d moments, and RBS = H CNOT (RY RY) CNOT H with both H on its first wire: 2g CNOT, 2g RY, 2g H,
    and

    ============================ ===================== ==================== ==================
    layout                       depth                 one-qubit depth      two-qubit depth
    ============================ ===================== ==================== ==================
    neighbours                   4d + 1                2d + 1               2d
    butterfly                    5d                    3d                   2d
    round_robin, n even          5d                    3d                   2d
    round_robin, n odd           5d - 2                3d - 2               2d
    butterfly of FBS             sum                   3(n - 1)             2(n^2 - 1)/3
    ============================ ===================== ==================== ==================

    FBS on (i, j) adds 2(j - i - 1) CZ: n(n - 1 - log2 n) for a butterfly. The depth of FBS in a round_robin has no
    simple form.

    Args:
        layout: a layout as its constructor makes it.
        gate: "rbs" or "fbs".

    >>> from qicircuits import brickwork
    >>> closed_form(brickwork(4)).gates
    {'CNOT': 12, 'Hadamard': 12, 'RY': 12}
    """
    if not _is_as_made(layout):
        return None
    n, d = layout.n, layout.depth
    if not d:
        return GateCounts(n, {}, 0, 0, 0)
    if layout.is_nearest_neighbour and layout.name != "round_robin":
        # On two wires a butterfly is one gate, as every other layout.
        return _rbs_counts(n, layout.n_gates, 2 * d + 1, 2 * d)
    if layout.name not in ("butterfly", "round_robin"):
        return None
    if gate == "fbs" and not layout.is_nearest_neighbour:
        return _fbs_butterfly(layout) if layout.name == "butterfly" else None
    odd = layout.name == "round_robin" and n % 2 == 1
    return _rbs_counts(n, layout.n_gates, 3 * d - 2 * odd, 2 * d)


def brickwork_counts(n: int) -> GateCounts:
    """``closed_form(brickwork(n))`` for n >= 3 without the layout, for n in the millions."""
    return _rbs_counts(n, n * (n - 1) // 2, 2 * n + 1, 2 * n)


def t_per_rotation(precision: float) -> int:
    """T gates of one rotation to an operator-norm precision e: 1.149 log2(1/e) + 9.2, rounded, 0 at least.

    The mean over angles of repeat-until-success synthesis, and what PennyLane's estimator uses.

    Reference: A. Bocharov, M. Roetteler and K. M. Svore, arXiv:1404.5320.

    >>> t_per_rotation(1e-9)
    44
    """
    return max(0, round(1.149 * math.log2(1 / precision) + 9.2))


def _is_as_made(layout: Layout) -> bool:
    make = LAYOUTS.get(layout.name)
    try:
        return make is not None and make(layout.n) == layout
    except ValueError:  # its name is that of a layout that does not exist for so many wires
        return False


def _rbs_counts(n: int, gates: int, one_qubit_depth: int, two_qubit_depth: int) -> GateCounts:
    kinds = dict.fromkeys(("CNOT", "Hadamard", "RY"), 2 * gates)
    return GateCounts(n, kinds, one_qubit_depth + two_qubit_depth, one_qubit_depth, two_qubit_depth)


def _fbs_butterfly(layout: Layout) -> GateCounts:
    n, g = layout.n, layout.n_gates
    kinds = {"CNOT": 2 * g, "CZ": n * (n - 1 - layout.depth), "Hadamard": 2 * g, "RY": 2 * g}
    one, two = 3 * (n - 1), 2 * (n * n - 1) // 3
    return GateCounts(n, kinds, one + two, one, two)
