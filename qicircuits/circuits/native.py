"""Circuits in the two-qubit gate that a machine has: CNOT, CZ, or one of the iSWAP family."""

import math
import warnings
from collections.abc import Callable
from typing import Literal, TypeAlias

import pennylane as qml
from pennylane.operation import Operator
from pennylane.tape import QuantumScript
from pennylane.transforms import decompose
from pennylane.typing import TensorLike
from pennylane.wires import Wires

from .factors import Circuit, circuit_operations
from .gates import RBS

__all__ = ["ONE_QUBIT", "NativeGate", "expand", "to_native"]

NativeGate: TypeAlias = Literal["CNOT", "CZ", "ISWAP", "SISWAP", "IsingXY"]

ONE_QUBIT = ("Hadamard", "PauliX", "PauliY", "PauliZ", "PhaseShift", "RX", "RY", "RZ", "S", "T")
"""What every machine is taken to have."""

_Wire: TypeAlias = int | str


def to_native(circuit: Circuit, native: NativeGate) -> list[Operator]:
    r"""A circuit in one-qubit gates and one kind of two-qubit gate: the same unitary up to a global phase.

    What it takes for one gate:

    ============================== ===== ===== ===========
    native                         RBS   CZ    CNOT
    ============================== ===== ===== ===========
    CNOT                           2     1     1
    CZ                             2     1     1
    ISWAP                          2     2     2
    SISWAP (square root of iSWAP)  2     2     2
    IsingXY (of any angle)         1     2     2
    ============================== ===== ===== ===========

    The decompositions of RBS are exact, phase included; with CZ in the iSWAP family comes a global phase.
    ``to_native(circuit, "CNOT")`` is what `qicircuits.resources` counts, for circuits of RBS, CNOT and CZ with each
    CZ as a CNOT.

    Args:
        circuit: an operation, a list of operations, a tape, a QNode or a quantum function without arguments.
        native: "CNOT", "CZ", "ISWAP", "SISWAP" or "IsingXY".

    Returns:
        The gates, in order of application, none cancelled.

    Raises:
        ValueError: there is no such native gate, or PennyLane cannot decompose an operation.

    >>> [gate.name for gate in to_native(RBS(0.3, wires=[0, 1]), "IsingXY")]
    ['Adjoint(S)', 'IsingXY', 'S']
    """
    if native not in _RULES:
        raise ValueError(f"native must be one of {list(_RULES)}, got {native!r}")
    rotation, controlled = _RULES[native]
    with qml.QueuingManager.stop_recording():
        gates: list[Operator] = []
        for operation in expand(circuit, {"RBS", "CNOT", "CZ", *ONE_QUBIT, "Adjoint(S)", "Adjoint(T)"}):
            i, j = operation.wires[0], operation.wires[-1]
            if operation.name == "RBS":
                gates += rotation(operation.data[0], i, j)
            elif operation.name == native:
                gates.append(operation)
            elif operation.name == "CZ":
                gates += controlled(i, j)
            elif operation.name == "CNOT":
                gates += [qml.Hadamard(j), *controlled(i, j), qml.Hadamard(j)]
            else:
                gates.append(operation)
    return gates


def expand(circuit: Circuit, gate_set: set[str]) -> list[Operator]:
    """The operations of a circuit taken apart by PennyLane until all are in the gate set; global phases dropped.

    Raises:
        ValueError: PennyLane cannot decompose one of them.
    """
    with warnings.catch_warnings(), qml.QueuingManager.stop_recording():
        warnings.simplefilter("error")
        operations = circuit_operations(circuit)
        try:
            (script,), _ = decompose(QuantumScript(operations), gate_set=gate_set | {"GlobalPhase"})
        except (UserWarning, qml.exceptions.DecompositionUndefinedError) as error:
            rule = f"every operation must decompose into {', '.join(sorted(gate_set))}"
            raise ValueError(f"{rule}, got one that does not: {error}") from error
    return [operation for operation in script.operations if operation.name != "GlobalPhase"]


def _rbs_from_cnot(theta: TensorLike, i: _Wire, j: _Wire) -> list[Operator]:
    return RBS.compute_decomposition(theta, Wires([i, j]))


def _rbs_from_cz(theta: TensorLike, i: _Wire, j: _Wire) -> list[Operator]:
    """CNOT = H CZ H, and the H of the target turn RY(theta) into RY(-theta)."""
    basis = [qml.Hadamard(i), qml.Hadamard(j)]
    return [*basis, qml.CZ([i, j]), qml.RY(theta, i), qml.RY(-theta, j), qml.CZ([i, j]), *basis]


def _rbs_from_iswap(theta: TensorLike, i: _Wire, j: _Wire) -> list[Operator]:
    """CZ = (S^-1 S^-1) iSWAP SWAP; the two SWAP exchange what is between them, and are gone."""
    basis = [qml.Hadamard(i), qml.Hadamard(j)]
    phases = [qml.adjoint(qml.S(i)), qml.adjoint(qml.S(j))]
    turns = [qml.RY(-theta, i), qml.RY(theta, j)]
    return [*basis, *phases, qml.ISWAP([i, j]), *turns, qml.ISWAP([i, j]), *phases, *basis]


def _rbs_from_siswap(theta: TensorLike, i: _Wire, j: _Wire) -> list[Operator]:
    """exp(i pi/4 X) exp(-i theta Z) exp(-i pi/4 X) = exp(-i theta Y) on |10>, |01>; Z inverts a root of iSWAP."""
    turns = [qml.RZ(-theta, i), qml.RZ(theta, j)]
    return [qml.Z(i), qml.SISWAP([i, j]), qml.Z(i), *turns, qml.SISWAP([i, j])]


def _rbs_from_xy(theta: TensorLike, i: _Wire, j: _Wire) -> list[Operator]:
    """S on one wire turns (X X + Y Y) into (Y X - X Y), the generator of RBS."""
    return [qml.adjoint(qml.S(j)), qml.IsingXY(-2 * theta, [i, j]), qml.S(j)]


def _cz_from_cnot(i: _Wire, j: _Wire) -> list[Operator]:
    return [qml.Hadamard(j), qml.CNOT([i, j]), qml.Hadamard(j)]


def _cz_from_zz(i: _Wire, j: _Wire, zz: list[Operator]) -> list[Operator]:
    """CZ = S S exp(i pi/4 Z Z), up to a phase."""
    return [*zz, qml.S(i), qml.S(j)]


def _cz_from_xx(i: _Wire, j: _Wire, half: Callable[[], Operator]) -> list[Operator]:
    """Two halves exp(i pi/8 (X X + Y Y)), one of them between X on a wire, are exp(i pi/4 X X)."""
    basis = [qml.Hadamard(i), qml.Hadamard(j)]
    return _cz_from_zz(i, j, [*basis, half(), qml.X(i), half(), qml.X(i), *basis])


def _cz_from_iswap(i: _Wire, j: _Wire) -> list[Operator]:
    """CZ exp(i phi X_j) CZ = exp(i phi Z_i X_j), with each CZ as in the decomposition of RBS."""
    phases = [qml.adjoint(qml.S(i)), qml.adjoint(qml.S(j))]
    iswap = qml.ISWAP([i, j])
    zx = [*phases, iswap, qml.RX(-math.pi / 2, i), iswap, *phases]
    return _cz_from_zz(i, j, [qml.Hadamard(j), *zx, qml.Hadamard(j)])


def _cz_from_siswap(i: _Wire, j: _Wire) -> list[Operator]:
    return _cz_from_xx(i, j, lambda: qml.SISWAP([i, j]))


def _cz_from_xy(i: _Wire, j: _Wire) -> list[Operator]:
    return _cz_from_xx(i, j, lambda: qml.IsingXY(math.pi / 2, [i, j]))


def _cz(i: _Wire, j: _Wire) -> list[Operator]:
    return [qml.CZ([i, j])]


_Rotation: TypeAlias = Callable[[TensorLike, _Wire, _Wire], list[Operator]]
_Controlled: TypeAlias = Callable[[_Wire, _Wire], list[Operator]]
_RULES: dict[str, tuple[_Rotation, _Controlled]] = {
    "CNOT": (_rbs_from_cnot, _cz_from_cnot),
    "CZ": (_rbs_from_cz, _cz),
    "ISWAP": (_rbs_from_iswap, _cz_from_iswap),
    "SISWAP": (_rbs_from_siswap, _cz_from_siswap),
    "IsingXY": (_rbs_from_xy, _cz_from_xy),
}
