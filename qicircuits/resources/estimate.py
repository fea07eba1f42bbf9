"""What circuits cost on a quantum machine and what the same map costs classically; counted by PennyLane."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import pennylane as qml
import pennylane.estimator
from pennylane.operation import Operator
from pennylane.tape import QuantumScript
from pennylane.transforms import decompose

from ..circuits.factors import Circuit, circuit_operations
from ..circuits.templates import orthogonal_layer
from ..layouts import Layout
from ..subsets import subspace_dim
from ..subspace import is_compound
from .blocks import BlockGroup, check_orders, describe_blocks
from .classical import classical_paths
from .counts import ROTATIONS, TWO_QUBIT, GateCounts, closed_form, t_per_rotation
from .crossover import crossovers, loading_seconds
from .machine import Assumptions
from .report import CircuitCost, Report, SectorCost
from .shots import shots_for_vector

__all__ = ["count_circuit", "count_t_gates", "estimate"]

Gate = Literal["rbs", "fbs"]

_PAULI = ("Identity", "PauliX", "PauliY", "PauliZ", "GlobalPhase")
_CLIFFORD = ("Hadamard", "S", "SX", "Adjoint(S)", "Adjoint(SX)")
_T = ("T", "Adjoint(T)")
_GATE_SET = {*TWO_QUBIT, *ROTATIONS, *_PAULI, *_CLIFFORD, *_T}


def estimate(
    x: Any, orders: Sequence[int] | None = None, *, gate: Gate = "rbs", assumptions: Assumptions | None = None
) -> Report:
    """What something with circuits costs: on a quantum machine, and as the same map on the classical engine.

    Layouts and adapters are counted in closed form where there is one, everything else by PennyLane.

    Args:
        x: a Layout; an operation, a list of operations, a tape, a QNode or a quantum function without arguments, of
            PennyLane; a BlockGroup or a list of them; or, of `adapters`, a plan, a compiled block, a layer, or a
            model.
        orders: the Hamming weights k that a Layout or a circuit acts on, in 1..n-1; without them there are neither
            shots nor, for a Layout, classical costs. What is of `adapters` has orders of its own. The time of a
            vector has loading in it for a Layout and adapters, and for a circuit only what the circuit does.
        gate: "rbs" or "fbs", the gates of a Layout.
        assumptions: machine, computer, precision, error, batch; the defaults of `Assumptions` if left out.

    Returns:
        The report.

    Raises:
        TypeError: x is none of these things, or the orders are not integers.
        ValueError: the orders do not fit the wires or are given twice, there is no such gate, or PennyLane cannot
            decompose an operation into one-qubit gates, CNOT and CZ.

    >>> from qicircuits import brickwork
    >>> report = estimate(brickwork(8), orders=(1, 2))
    >>> report.circuits[0].counts.two_qubit_gates, report.circuits[0].counts.depth, report.shots
    (56, 33, 350000)
    """
    assumptions = Assumptions() if assumptions is None else assumptions
    if not isinstance(assumptions, Assumptions):
        raise TypeError(f"assumptions must be an Assumptions, got {assumptions!r}")
    if gate not in ("rbs", "fbs"):
        raise ValueError(f'gate must be "rbs" or "fbs", got {gate!r}')
    if isinstance(x, Layout):
        groups = [BlockGroup(x, check_orders(() if orders is None else orders, x.n), 1, x.name)]
    elif describe_blocks.dispatch(type(x)) is describe_blocks.dispatch(object) and not _are_groups(x):
        return Report((_circuit_cost(x, orders, assumptions),), assumptions)
    else:
        if orders is not None or gate != "rbs":
            raise ValueError(f"{type(x).__name__} has orders and gates of its own, got {orders=}, {gate=}")
        groups = [x] if isinstance(x, BlockGroup) else list(x) if _are_groups(x) else describe_blocks(x)
    return Report(tuple(_group_cost(group, gate, assumptions) for group in groups), assumptions)


def count_circuit(circuit: Circuit) -> GateCounts:
    """The counts of a circuit after decomposition into one-qubit gates, CNOT and CZ.

    Args:
        circuit: an operation, a list of operations, a tape, a QNode or a quantum function without arguments.

    Returns:
        Gates by name, and depths.

    Raises:
        TypeError: the circuit is none of these things.
        ValueError: PennyLane cannot decompose one of its operations.
    """
    operations = circuit_operations(circuit)
    return _counts(operations, _decomposed(operations))


def count_t_gates(circuit: Circuit, precision: float) -> int:
    """The T gates of a circuit, decomposed as by :func:`count_circuit`, by PennyLane's estimator.

    Args:
        circuit: as of :func:`count_circuit`.
        precision: operator norm error of each rotation.

    Raises:
        TypeError: it is no circuit.
        ValueError: PennyLane cannot decompose one of its operations.
    """
    return _t_gates(_decomposed(circuit_operations(circuit)), precision)


def _are_groups(x: Any) -> bool:
    if isinstance(x, BlockGroup):
        return True
    return isinstance(x, list | tuple) and bool(x) and all(isinstance(group, BlockGroup) for group in x)


def _decomposed(operations: list[Operator]) -> list[Operator]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            (script,), _ = decompose(QuantumScript(operations), gate_set=_GATE_SET)
        except (UserWarning, qml.exceptions.DecompositionUndefinedError) as error:
            rule = "every operation must decompose into one-qubit gates, CNOT and CZ"
            raise ValueError(f"{rule}, got one that does not: {error}") from error
    return list(script.operations)


def _counts(operations: list[Operator], decomposed: list[Operator]) -> GateCounts:
    kinds: Counter[str] = Counter()
    ends: dict[Any, tuple[int, int, int]] = {}
    for operation in decomposed:
        if isinstance(operation, qml.GlobalPhase):  # nothing that a machine does
            continue
        kinds[operation.name] += 1
        width = len(operation.wires)
        before = [ends.get(wire, (0, 0, 0)) for wire in operation.wires]
        after = [max(end[i] for end in before) + step for i, step in enumerate((1, width == 1, width == 2))]
        ends.update((wire, tuple(after)) for wire in operation.wires)  # type: ignore[misc]
    depths = [max((end[i] for end in ends.values()), default=0) for i in range(3)]
    wires = len(qml.wires.Wires.all_wires([operation.wires for operation in operations]))
    return GateCounts(wires, dict(sorted(kinds.items())), *depths)


def _t_gates(decomposed: list[Operator], precision: float) -> int:
    others_than_clifford = [operation for operation in decomposed if operation.name in (*ROTATIONS, *_T)]
    if not others_than_clifford:
        return 0
    config = qml.estimator.ResourceConfig()
    config.set_single_qubit_rot_precision(precision)

    def circuit() -> None:
        for operation in others_than_clifford:
            qml.apply(operation)

    return int(qml.estimator.estimate(circuit, config=config)().gate_counts["T"])


def _circuit_cost(circuit: Circuit, orders: Sequence[int] | None, assumptions: Assumptions) -> CircuitCost:
    try:
        operations = circuit_operations(circuit)
    except TypeError as error:
        rule = "resources are estimated for a Layout, a PennyLane circuit, or what is of adapters (import it first)"
        raise TypeError(f"{rule}, got {type(circuit).__name__}") from error
    decomposed = _decomposed(operations)
    counts = _counts(operations, decomposed)
    shots = None
    if orders is not None:
        dim = sum(subspace_dim(counts.wires, order) for order in check_orders(orders, counts.wires))
        shots = shots_for_vector(dim, assumptions.error)
    label = circuit.name if isinstance(circuit, Operator) else "circuit"
    run_seconds = assumptions.machine.run_seconds(counts)
    t_count = _t_gates(decomposed, assumptions.precision)
    seconds = None if shots is None else shots * run_seconds
    return CircuitCost(label, 1, counts, "PennyLane", t_count, run_seconds, (), shots, seconds)


def _group_cost(group: BlockGroup, gate: Gate, assumptions: Assumptions) -> CircuitCost:
    layout = group.layout
    counts = closed_form(layout, gate)
    if counts is None:
        decomposed = _decomposed(orthogonal_layer([0.5] * layout.n_gates, layout, gate=gate))
        # A custom layout may leave wires without a gate.
        counts, counted = replace(_counts(decomposed, decomposed), wires=layout.n), "PennyLane"
        t_count = _t_gates(decomposed, assumptions.precision)
    else:
        counted, t_count = "closed form", counts.rotations * t_per_rotation(assumptions.precision)
    run = assumptions.machine.run_seconds(counts)
    if not group.orders:
        return CircuitCost(group.label, group.copies, counts, counted, t_count, run)
    sectors = tuple(_sector_cost(layout, order, gate, assumptions) for order in group.orders)
    dim = sum(sector.dimension for sector in sectors)
    shots = shots_for_vector(dim, assumptions.error)
    seconds = shots * (run + loading_seconds(layout.n, dim, assumptions))
    classical = sum(sector.best_seconds(assumptions) for sector in sectors)
    return CircuitCost(group.label, group.copies, counts, counted, t_count, run, sectors, shots, seconds, classical)


def _sector_cost(layout: Layout, order: int, gate: Gate, assumptions: Assumptions) -> SectorCost:
    compound = is_compound(layout, order, gate)
    paths = classical_paths(
        layout.n,
        order,
        n_gates=layout.n_gates,
        is_compound=compound,
        vectors=assumptions.vectors,
        itemsize=assumptions.itemsize,
    )
    where = crossovers(layout.n, order, assumptions) if compound else ()
    return SectorCost(order, subspace_dim(layout.n, order), paths, where)
