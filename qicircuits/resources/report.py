"""What an estimate found: the circuits, their classical rivals, and everything that was taken for granted."""

import io
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, Group

from .classical import ClassicalCost
from .counts import GateCounts
from .crossover import TASKS, Crossover, task_seconds
from .machine import Assumptions
from .tables import tables

__all__ = ["CircuitCost", "Report", "SectorCost"]


@dataclass(frozen=True)
class SectorCost:
    """One sector of a circuit.

    Attributes:
        order: k.
        dimension: C(n, k), the features it serves.
        paths: the engine's ways to the same map, for one vector.
        crossovers: for every task, where a brickwork would take less time; empty if the circuit is not a compound.
    """

    order: int
    dimension: int
    paths: tuple[ClassicalCost, ...]
    crossovers: tuple[Crossover, ...]

    def best_seconds(self, assumptions: Assumptions) -> float:
        """The time of the fastest path for one vector."""
        return min(path.seconds(assumptions.computer, assumptions.vectors) for path in self.paths)


@dataclass(frozen=True)
class CircuitCost:
    """Circuits of one shape.

    Attributes:
        label: what they are.
        copies: how many.
        counts: gates and depths of one of them.
        counted: "closed form" or "PennyLane", where the counts are from.
        t_count: T gates of one of them at the precision assumed.
        run_seconds: one run of one of them: gates, readout and reset.
        sectors: what it does on each order; none if only gates were asked for.
        shots: runs for one vector y to the error assumed.
        quantum_seconds: those runs of one circuit, loading included; None without sectors.
        classical_seconds: of the fastest path of every sector, for one vector; None without sectors.
    """

    label: str
    copies: int
    counts: GateCounts
    counted: str
    t_count: int
    run_seconds: float
    sectors: tuple[SectorCost, ...] = ()
    shots: int | None = None
    quantum_seconds: float | None = None
    classical_seconds: float | None = None


@dataclass(frozen=True)
class Report:
    """The estimate for anything with circuits; ``print(report)`` is a table.

    Attributes:
        circuits: one entry for circuits of one shape.
        assumptions: what was taken for granted.
    """

    circuits: tuple[CircuitCost, ...]
    assumptions: Assumptions

    @property
    def n_circuits(self) -> int:
        """How many circuits one vector, or one token of a model, goes through."""
        return sum(circuit.copies for circuit in self.circuits)

    @property
    def two_qubit_gates(self) -> int:
        """CNOT and CZ of all circuits, run once each."""
        return sum(circuit.copies * circuit.counts.two_qubit_gates for circuit in self.circuits)

    @property
    def t_count(self) -> int:
        """T gates of all circuits, run once each."""
        return sum(circuit.copies * circuit.t_count for circuit in self.circuits)

    @property
    def shots(self) -> int | None:
        """Runs of all circuits for one vector each; None without sectors."""
        return _total([(circuit.copies, circuit.shots) for circuit in self.circuits])

    @property
    def quantum_seconds(self) -> float | None:
        """One vector each, all circuits one after the other on one machine; None without sectors."""
        return _total([(circuit.copies, circuit.quantum_seconds) for circuit in self.circuits])

    @property
    def classical_seconds(self) -> float | None:
        """One vector each, on one computer; None without sectors."""
        return _total([(circuit.copies, circuit.classical_seconds) for circuit in self.circuits])

    def curves(self) -> tuple[int, dict[str, list[tuple[int, float, float]]]]:
        """How the times of all tasks grow with the order, for as many wires as the widest circuit has.

        Returns:
            n, and for every task a list of (k, seconds of the circuit, classical seconds) for k in 1..n/2.

        Raises:
            ValueError: there are less than 2 wires.
        """
        n = max(circuit.counts.wires for circuit in self.circuits)
        if n < 2:
            raise ValueError(f"orders are compared on at least 2 wires, got n={n}")
        orders = range(1, n // 2 + 1)
        return n, {task: [(k, *task_seconds(task, n, k, self.assumptions)) for k in orders] for task in TASKS}

    def to_dict(self) -> dict[str, Any]:
        """The report in JSON's types; what is beyond floating point is null."""
        document = asdict(self)
        names = ("n_circuits", "two_qubit_gates", "t_count", "shots", "quantum_seconds", "classical_seconds")
        document["totals"] = {name: getattr(self, name) for name in names}
        for circuit, costs in zip(document["circuits"], self.circuits, strict=True):
            counts = costs.counts
            circuit["counts"] |= {"two_qubit_gates": counts.two_qubit_gates, "rotations": counts.rotations}
        document["assumptions"]["sentences"] = self.assumptions.sentences()
        finite: dict[str, Any] = _finite(document)
        return finite

    def to_json(self) -> str:
        """The report as a JSON document."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def __rich__(self) -> Group:
        return tables(self)

    def __str__(self) -> str:
        text = io.StringIO()
        Console(file=text, width=100, force_jupyter=False).print(self)  # a notebook would be shown it instead
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _total(parts: list[tuple[int, Any]]) -> Any:
    return None if any(each is None for _, each in parts) else sum(copies * each for copies, each in parts)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
