"""Which gates of a layout a machine with fewer couplings can run where they stand, and the swaps for the rest."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..layouts import Layout

__all__ = ["COUPLINGS", "Coupling", "Routing", "connectivity_report", "route"]

Coupling: TypeAlias = Literal["line", "ring", "all-to-all"]
COUPLINGS: tuple[Coupling, ...] = ("line", "ring", "all-to-all")


@dataclass(frozen=True)
class Routing:
    """A layout on a machine: its gates in their order, with swaps of coupled qubits where two wires must meet.

    Attributes:
        coupling: which qubits are coupled: of a line q and q + 1, of a ring also n - 1 and 0, or all.
        steps: (g, p, q) for the gate of ``layout.pairs[g]``, or (None, p, q) for a swap, on the qubits p and q.
        output: for each wire the qubit that it is on after the last gate; before the first, wire i is on qubit i.
        n_fitting: how many gates act on coupled qubits with every wire i on qubit i.
        gate: "rbs": gates and swaps are RBS and SWAP; "fbs": RBS and fermionic swaps, SWAP followed by CZ.
        moved_moments: how many moments of the layout must first move wires: another labelling than the one before.
    """

    coupling: Coupling
    steps: tuple[tuple[int | None, int, int], ...]
    output: tuple[int, ...]
    n_fitting: int
    moved_moments: int
    gate: Literal["rbs", "fbs"] = "rbs"

    @property
    def n_gates(self) -> int:
        """Gates of the layout."""
        return len(self.steps) - self.n_swaps

    @property
    def n_swaps(self) -> int:
        """Swaps, each three CNOT or, fermionic, one iSWAP after S† on both qubits; none brings wires back at the end.

        Where wires end is a relabelling of what is measured. After fermionic swaps it comes with a sign for every
        basis state: -1 for each pair of ones that changed order.
        """
        return sum(gate is None for gate, _, _ in self.steps)

    @property
    def fits(self) -> bool:
        """Whether every gate runs where it stands."""
        return self.n_swaps == 0


def connectivity_report(layout: Layout) -> tuple[Routing, ...]:
    """The layout of RBS gates on a line, a ring, and with all qubits coupled.

    >>> from qicircuits import butterfly
    >>> [(routing.coupling, routing.n_fitting, routing.n_swaps) for routing in connectivity_report(butterfly(4))]
    [('line', 2, 2), ('ring', 2, 2), ('all-to-all', 4, 0)]
    """
    return tuple(route(layout, coupling) for coupling in COUPLINGS)


def route(layout: Layout, coupling: Coupling, gate: Literal["rbs", "fbs"] = "rbs") -> Routing:
    """Place the gates of a layout on coupled qubits, with swaps where two wires are apart.

    Moment by moment: on a line the pairs and the single wires are sorted by their middle, which brings the wires of
    every pair together in as many swaps as two of them change order; of a ring the cheapest cut is such a line. Wires
    stay where they were brought. The number of swaps is one that suffices, not always the least.

    A swap of qubits moves RBS gates, which know only their own two wires. FBS gates are signed by the wires between:
    on a line fermionic swaps, SWAP followed by CZ, keep that sign, and every FBS becomes an RBS of neighbours. A ring
    or all couplings have no order of qubits that would do so.

    Args:
        layout: where the gates stand.
        coupling: "line", "ring" or "all-to-all"; for FBS "line".
        gate: "rbs" or "fbs".

    Returns:
        The gates and swaps in their order, and where every wire ends.

    Raises:
        TypeError: the layout is not a Layout.
        ValueError: there is no such coupling or gate, or FBS gates are to be placed on other than a line.

    >>> from qicircuits import butterfly
    >>> routing = route(butterfly(4), "line", gate="fbs")
    >>> routing.n_swaps, routing.output
    (2, (0, 1, 2, 3))
    """
    if not isinstance(layout, Layout):
        raise TypeError(f"layout must be a Layout, such as brickwork(4), got {layout!r}")
    if coupling not in COUPLINGS:
        raise ValueError(f"coupling must be one of {list(COUPLINGS)}, got {coupling!r}")
    if gate not in ("rbs", "fbs") or (gate == "fbs" and coupling != "line"):
        raise ValueError(f'gate must be "rbs", or "fbs" on a line, got {gate!r} with coupling={coupling!r}')
    n = layout.n
    cuts = {"line": range(1), "ring": range(n), "all-to-all": range(0)}[coupling]
    wires = list(range(n))  # the wire on each qubit
    steps: list[tuple[int | None, int, int]] = []
    index = moved_moments = n_fitting = 0
    for moment in layout.moments:
        swaps = min((_swaps(wires, moment, cut) for cut in cuts), key=len, default=[])
        for p, q in swaps:
            wires[p], wires[q] = wires[q], wires[p]
            steps.append((None, p, q))
        moved_moments += bool(swaps)
        qubit = {wire: place for place, wire in enumerate(wires)}
        for i, j in moment:
            steps.append((index, qubit[i], qubit[j]))
            n_fitting += _are_coupled(i, j, n, coupling)
            index += 1
    output = tuple(wires.index(wire) for wire in range(n))
    return Routing(coupling, tuple(steps), output, n_fitting, moved_moments, gate)


def _swaps(wires: list[int], moment: tuple[tuple[int, int], ...], cut: int) -> list[tuple[int, int]]:
    """Swaps of neighbours, on the line that starts at the qubit `cut`, that bring each pair of a moment together."""
    n = len(wires)
    line = wires[cut:] + wires[:cut]
    place = {wire: position for position, wire in enumerate(line)}
    paired = {wire for pair in moment for wire in pair}
    groups = [sorted(pair, key=place.__getitem__) for pair in moment] + [[w] for w in line if w not in paired]
    groups.sort(key=lambda group: sum(place[wire] for wire in group) / len(group))
    swaps = []
    for position, wire in enumerate(wire for group in groups for wire in group):
        for p in range(line.index(wire), position, -1):  # insertion sort: one swap for each inversion
            line[p - 1], line[p] = line[p], line[p - 1]
            swaps.append(((cut + p - 1) % n, (cut + p) % n))
    return swaps


def _are_coupled(i: int, j: int, n: int, coupling: Coupling) -> bool:
    distance = abs(i - j)
    return coupling == "all-to-all" or distance == 1 or (coupling == "ring" and distance == n - 1)
