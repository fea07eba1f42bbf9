"""One circuit run on its sectors, and what PennyLane gets back for it."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.measurements import MeasurementProcess
from pennylane.operation import Operator
from pennylane.tape import QuantumScript
from pennylane.wires import Wires
from torch import Tensor

from ..circuits.loaders import Loader
from ..engine.local_gates import apply_circuit
from .compiled import Compiled, Given, compile_circuit
from .gate_parts import RUN_BY_NAME, with_parameters
from .initial_states import FLIPS, initial_state, loaded_orders, starts_circuit
from .lowering import refusal
from .measurements import SectorVector, measure
from .parameters import Parameters, check_is_one_batch, unboxed
from .sampling import sample_results

__all__ = ["Run", "as_array", "exact_results", "exact_tensors", "run", "sampled_results"]


# In place of the number of a parameter, for angles that are made of others.
_NO_NUMBER = -1

# How far matrices may be from unitary ones: users round theirs to single precision.
_ROUNDED = 1e-5


@dataclass(frozen=True)
class Run:
    """A circuit after its run.

    Attributes:
        state: the state at its end.
        processes: what is measured.
        is_batched: whether its parameters have a batch.
        has_tensors: whether any of its parameters is a torch tensor.
        theta: the parameters of the gates in the table, shape (1 or batch, n).
        theta_of: which parameters of the circuit they are, in that order.
        leaves: its other parameters that a derivative is wanted for, by number.
        wanted: the shapes of all those that a derivative is wanted for, by number.
        compiled: its plan.
        key: equal for runs of equal circuits, if runs are kept.
    """

    state: SectorVector
    processes: Sequence[MeasurementProcess]
    is_batched: bool
    has_tensors: bool
    theta: Tensor
    theta_of: list[int]
    leaves: dict[int, Tensor]
    wanted: dict[int, tuple[int, ...]]
    compiled: Compiled
    key: tuple[object, ...]


def run(
    circuit: QuantumScript,
    wires: Wires,
    trainable: Sequence[int] | None = None,
    kept: Mapping[Any, Run] | None = None,
) -> Run:
    """Run a lowered circuit.

    Args:
        circuit: made of what the device runs.
        wires: the wires of the device.
        trainable: numbers of the parameters that the device's own derivatives are wanted for.
        kept: runs by their keys, to find this one in.
    """
    parameters = Parameters(None if trainable is None else frozenset(trainable), {})
    starts: list[Operator] = []
    gates: list[Operator] = []
    numbers: list[int] = []  # of the first parameter of each gate
    number = more = 0
    prepared: int | None = None  # the parameter of a StatePrep
    for op in circuit.operations:
        if op.name in RUN_BY_NAME:
            gates.append(op)
            numbers.append(number)
        elif starts_circuit(op):
            if not all(set(gate.wires.labels).isdisjoint(op.wires.labels) for gate in gates):
                raise refusal(op)
            starts.append(op)
            prepared = prepared if op.name in FLIPS else number
        elif isinstance(op, Loader):
            more += loaded_orders(op)
            first = len(gates)
            for part in _loaded(op, number, parameters):  # a flip between gates is one of them
                (starts if starts_circuit(part) and len(gates) == first else gates).append(part)
            numbers += [_NO_NUMBER] * (len(gates) - len(numbers))
        else:
            gates.append(op)
            numbers.append(number)
        number += len(op.data)

    space, start = initial_state(starts, wires, lambda value: parameters.tensor(prepared or 0, value), more)
    compiled = compile_circuit(gates, wires, space)
    given = [_given(gates[item.gate], numbers[item.gate], item, parameters) for item in compiled.given]
    theta = parameters.angles([gates[index].data[0] for index in compiled.parametrized])
    processes = _with_leaves(circuit, number, parameters)

    key: tuple[object, ...] = ()
    if kept is not None:
        values = (tensor.detach().numpy().tobytes() for tensor in (theta, start, *given))
        key = id(compiled), wires, space.orders, frozenset(trainable or ()), tuple(values)
    # With a trainable observable the measurements are this run's own.
    if kept is not None and max(parameters.leaves, default=0) < number and (same := kept.get(key)) is not None:
        return replace(same, processes=processes)
    kinds = {type(value) for op in circuit.operations for value in op.data}
    parameters_of = circuit.get_parameters(trainable_only=False) if trainable else []
    state = SectorVector(wires, space, _final(start, theta, given, compiled))
    theta_of = [numbers[index] for index in compiled.parametrized]
    return Run(
        state,
        processes,
        parameters.has_batches or ((prepared is not None or bool(given)) and circuit.batch_size is not None),
        any(issubclass(kind, Tensor) for kind in kinds),
        theta,
        theta_of,
        parameters.leaves,
        {number: np.shape(parameters_of[number]) for number in trainable or ()},
        compiled,
        key,
    )


def _loaded(op: Loader, number: int, parameters: Parameters) -> list[Operator]:
    """The gates of a loader of several weights, their angles in torch."""
    angles = parameters.tensor(number, op.data[0])
    with qml.QueuingManager.stop_recording():
        return op.compute_decomposition(angles, op.wires, op.plan)


def _given(gate: Operator, first: int, item: Given, parameters: Parameters) -> Tensor:
    """Entries of a gate's own matrix, shape (1 or batch, n)."""
    tensors = [parameters.tensor(first + index, value) for index, value in enumerate(gate.data)]
    if item.is_diagonal:
        _check_is_unitary(tensors[0])
        return tensors[0].reshape(-1, len(item.places))[:, item.places].to(torch.complex128)
    is_traced = any(tensor.requires_grad for tensor in tensors)
    with qml.QueuingManager.stop_recording():
        matrix = with_parameters(gate, tensors if is_traced else [as_array(tensor) for tensor in tensors]).matrix()
    matrix = matrix if isinstance(matrix, Tensor) else torch.from_numpy(np.asarray(qml.math.toarray(matrix)))
    entries = matrix.reshape(-1, 4 ** len(gate.wires))[:, item.places].to(torch.complex128)
    if (entries.detach().abs().square().sum(1) - 2 ** len(gate.wires)).abs().max() > _ROUNDED * 2 ** len(gate.wires):
        raise refusal(gate)  # there is more of it between weights
    return entries


def _check_is_unitary(diagonal: Tensor) -> None:
    # The backward undoes gates by their inverses.
    if (diagonal.detach().abs() - 1).abs().max() > _ROUNDED:
        raise ValueError(f"DiagonalQubitUnitary has entries of modulus 1, got {diagonal.tolist()}")


def _with_leaves(circuit: QuantumScript, number: int, parameters: Parameters) -> list[MeasurementProcess]:
    """The measurements, their observables made of the leaves that derivatives are wanted for."""
    processes = []
    for process in circuit.measurements:
        obs = process.obs
        count = 0 if obs is None else len(obs.data)
        is_trainable = not (parameters.trainable or frozenset()).isdisjoint(range(number, number + count))
        if is_trainable and obs.pauli_rep is None:
            # Arrays of PennyLane's numpy are trainable unless they say otherwise: few mean it.
            rule = "only the coefficients of Pauli words have derivatives: the parameters of"
            warnings.warn(f"{rule} {obs.name} are taken as constants; mark them as not trainable", stacklevel=2)
            process = _measuring(process, [unboxed(value) for value in obs.data])
        elif is_trainable:
            tensors = [parameters.tensor(number + index, value) for index, value in enumerate(obs.data)]
            process = _measuring(process, tensors)
        number += count
        processes.append(process)
    return processes


def _measuring(process: MeasurementProcess, values: Sequence[Any]) -> MeasurementProcess:
    """The same measurement, its observable made of other values."""
    with qml.QueuingManager.stop_recording():
        return type(process)(obs=qml.ops.functions.bind_new_parameters(process.obs, values))


def _final(start: Tensor, theta: Tensor, given: Sequence[Tensor], compiled: Compiled) -> Tensor:
    dtype = torch.complex128 if compiled.is_complex else start.dtype
    entries = compiled.entries(theta)
    check_is_one_batch(map(len, (start, theta, *given)))
    if given:
        batch = max(len(entries), *map(len, given))
        columns = [tensor.to(torch.complex128).expand(batch, -1) for tensor in (entries, *given)]
        entries = torch.cat(columns, dim=1)
    batch = max(len(start), len(theta), len(entries))
    angles = compiled.angles(theta)
    return apply_circuit(start.to(dtype).expand(batch, -1), angles, entries.to(dtype), compiled.circuit)


def exact_results(done: Run, as_numpy: bool) -> Any:
    """One result for each measurement, alone if there is only one."""
    results = [as_array(result) if as_numpy else result for result in exact_tensors(done)]
    return results[0] if len(results) == 1 else tuple(results)


def exact_tensors(done: Run) -> list[Tensor]:
    """The results of all measurements, with a leading batch only if the circuit has one."""
    results = (measure(process, done.state) for process in done.processes)
    if not done.is_batched:
        return [result[0] for result in results]
    return [result.expand(len(done.state.amplitudes), *result.shape[1:]) for result in results]


def as_array(result: Tensor) -> Any:
    """As numpy: a number where there is only one."""
    return result.detach().resolve_conj().numpy()[()]


def sampled_results(circuit: QuantumScript, done: Run, rng: np.random.Generator) -> Any:
    """One result for each measurement, alone if there is only one; as a tuple for each part of a shot vector."""
    parts = sample_results(circuit.measurements, done.state, circuit.shots, rng, done.is_batched)
    results = tuple(part[0] if len(part) == 1 else part for part in parts)
    return results if circuit.shots.has_partitioned_shots else results[0]
