"""Circuits taken down to the gates that the device runs; a gate that changes the weight is refused by name."""

import functools
import operator
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.devices.preprocess import validate_device_wires
from pennylane.exceptions import DecompositionUndefinedError, DeviceError, MatrixUndefinedError
from pennylane.operation import Operator, StatePrepBase
from pennylane.tape import QuantumScript, QuantumScriptBatch
from pennylane.typing import PostprocessingFn
from pennylane.wires import Wires

from .gate_parts import RUN_BY_NAME, is_in_table, with_parameters
from .initial_states import FLIPS, loads_several_weights
from .parameters import unboxed

__all__ = ["NAME", "keeps_weight", "lower_to_subspace", "refusal"]

NAME = "qicircuits.subspace"

# Angles at which no entry of a matrix vanishes by chance.
_GENERIC = (0.7391, 1.2337, 2.1715, 0.3183, 1.6180, 0.5772)

# How far M M^H of a given matrix may be from the identity: users round theirs to single precision.
_UNITARY = 1e-5

# A gate without a place in the table is taken as its matrix, on at most so many wires.
_WIDEST = 6

_ROTATE = "use RBS or SingleExcitation on two wires to move a particle, PhaseShift or RZ for a phase"
_START = "put it before every other gate on its wire, where it chooses the basis state"
_INSTEAD = {
    "PauliX": _START,
    "PauliY": f"{_START}, as PauliX",
    "Hadamard": "use RBS(pi/4) or SingleExcitation(-pi/2) on two wires: one particle in equal superposition",
    "CNOT": "use CZ for a sign, SWAP or CSWAP to exchange wires",
    "CY": "use CZ for a sign, SWAP or CSWAP to exchange wires",
    "Toffoli": "use CCZ for a sign, CSWAP to exchange wires",
    "MultiControlledX": "use ctrl(Z) for a sign, CSWAP to exchange wires",
    "IsingXX": "use IsingXY",
    "IsingYY": "use IsingXY",
    "Loader": "one that loads several weights must stand first, on |0...0>",
    "MottonenStatePreparation": "use StatePrep, supported on fixed weights",
    "Projector": "it is not unitary: measure it, by expval",
    "QubitUnitary": f"its matrix must be unitary and block diagonal in the weight, on at most {_WIDEST} wires",
} | dict.fromkeys(("RX", "RY", "Rot", "U2", "U3", "SX", "CRX", "CRY", "CRot", "PauliRot"), _ROTATE)
_ELSE = "use RBS, FBS, SingleExcitation, DoubleExcitation, SWAP, IsingXY or gates that are diagonal"


def _first(results: tuple[object, ...]) -> object:
    return results[0]


@qml.transform
def lower_to_subspace(tape: QuantumScript, wires: Wires | None = None) -> tuple[QuantumScriptBatch, PostprocessingFn]:
    """Decompose what the device does not run itself, and refuse what does not preserve the Hamming weight.

    Pauli X and BasisState on wires that no other gate has touched choose the basis state at the start.

    Args:
        tape: the circuit.
        wires: the wires of the device; any if left out.

    Raises:
        DeviceError: an operation measures, prepares a state in the middle, or does not preserve the weight.
        WireError: the device does not have a wire of the circuit.
    """
    if not _is_on(tape, wires):
        ((tape,), _) = validate_device_wires(tape, wires, name=NAME)
    operations: list[Operator] = []
    with qml.QueuingManager.stop_recording():
        for position, op in enumerate(tape.operations):
            if op.name in RUN_BY_NAME:
                operations.append(op)
            else:
                operations += _lower(op, position, operations)
    is_same = len(operations) == len(tape.operations) and all(map(operator.is_, operations, tape.operations))
    return ((tape,) if is_same else (tape.copy(operations=operations),)), _first


def _is_on(tape: QuantumScript, wires: Wires | None) -> bool:
    """Whether a circuit is on the wires of the device, with no measurement that needs to be told which these are."""
    if wires is None or not all(process.wires for process in tape.measurements):
        return False
    parts: Iterable[Any] = chain(tape.operations, tape.measurements)
    return set(chain.from_iterable([part.wires.labels for part in parts])).issubset(wires.labels)


def _lower(op: Operator, position: int, before: Sequence[Operator]) -> list[Operator]:
    """What to run for an operation, after those before it."""
    if isinstance(op, qml.ops.MidMeasure | qml.ops.Conditional):
        rule = "mid-circuit measurements are not supported: measure at the end, with return"
        raise DeviceError(f"{NAME}: {rule}; got {op.name} on wires {op.wires.tolist()}")
    if op.name in FLIPS and _touched(before).isdisjoint(op.wires):
        return [op]
    if isinstance(op, qml.BasisState) and op.name not in FLIPS:  # BasisEmbedding is one by another name
        return _lower(qml.BasisState(op.data[0], op.wires), position, before)
    if isinstance(op, StatePrepBase):
        if position or before:
            raise _late(op)
        return [op]
    if keeps_weight(op) or (loads_several_weights(op) and not _touched(before) | _all_wires(before) & set(op.wires)):
        return [op]
    parts = _parts(op)
    if parts is None:
        raise refusal(op)
    tried: list[Operator] = []
    for part in parts:
        try:
            tried += _lower(part, position, [*before, *tried])
        except DeviceError:  # said of the whole: nobody wrote the gate deep inside that breaks the weight
            raise (_late(op) if isinstance(part, StatePrepBase) else refusal(op)) from None
    return tried


def _touched(operations: Sequence[Operator]) -> set[object]:
    """The wires that more has been done to than to flip them."""
    return {wire for op in operations if op.name not in FLIPS for wire in op.wires}


def _all_wires(operations: Sequence[Operator]) -> set[object]:
    return {wire for op in operations for wire in op.wires}


def _parts(op: Operator) -> list[Operator] | None:
    if not op.has_decomposition:
        return None
    try:
        return op.decomposition()
    except DecompositionUndefinedError:
        return None


def _late(op: Operator) -> DeviceError:
    rule = f"{op.name} prepares a state, which is supported only at the start of a circuit"
    return DeviceError(f"{NAME}: {rule}, got it on wires {op.wires.tolist()} after other operations")


def refusal(op: Operator) -> DeviceError:
    """What to say of an operation that changes the weight."""
    advice = _INSTEAD.get(op.name, _INSTEAD.get(getattr(getattr(op, "base", None), "name", ""), _ELSE))
    rule = f"{op.name} on wires {op.wires.tolist()} is not supported, because it does not preserve the Hamming weight"
    return DeviceError(f"{NAME}: {rule}; {advice}")


def keeps_weight(op: Operator) -> bool:
    """Whether the device runs a gate as it is: by the table, or by a matrix that is block diagonal in the weight.

    A gate with angles must preserve the weight at all of them: derivatives stay in the sector, too.
    """
    if is_in_table(op):
        return True
    if len(op.wires) > _WIDEST or not op.has_matrix:
        return False
    if not op.num_params or any(qml.math.ndim(value) > (op.batch_size is not None) for value in op.data):
        return _is_unitary_of_weights(op)
    if not op.hyperparameters:
        return _keeps_weight_at_all_angles(type(op), len(op.wires))  # type: ignore[arg-type]
    # PennyLane's matrix exponential of autograd's numbers is another one.
    here = with_parameters(op, [np.asarray(qml.math.toarray(qml.math.detach(unboxed(value)))) for value in op.data])
    return _is_unitary_of_weights(_elsewhere(op)) and _is_unitary_of_weights(here)


@functools.lru_cache(maxsize=1024)
def _keeps_weight_at_all_angles(kind: type[Operator], n_wires: int) -> bool:
    return _is_unitary_of_weights(kind(*_GENERIC[: kind.num_params], wires=range(n_wires)))


def _elsewhere(op: Operator) -> Operator:
    return with_parameters(op, [_GENERIC[index % len(_GENERIC)] for index in range(op.num_params)])


def _is_unitary_of_weights(op: Operator) -> bool:
    try:
        matrix = np.asarray(qml.math.toarray(qml.math.detach(op.matrix())))
    except MatrixUndefinedError:
        return False
    weights = np.bitwise_count(np.arange(matrix.shape[-1]))
    outside = np.abs(matrix)[..., weights[:, None] != weights]
    rounding = np.finfo(matrix.dtype).eps if matrix.dtype.kind in "fc" else 0.0
    # The backward undoes gates by their inverses: what is no unitary, such as Projector, has none.
    apart = np.abs(matrix @ matrix.conj().swapaxes(-1, -2) - np.eye(len(weights)))
    return bool(outside.max(initial=0.0) <= 100 * rounding and apart.max(initial=0.0) <= _UNITARY)
