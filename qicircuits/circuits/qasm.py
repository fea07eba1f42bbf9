"""Circuits as OpenQASM programs, which other software reads back to the same unitary."""

import math
from collections.abc import Iterable

import pennylane as qml
from pennylane.operation import Operator
from pennylane.wires import Wires

from .factors import Circuit, circuit_operations
from .native import ONE_QUBIT, expand

__all__ = ["to_openqasm"]

_NAMES = {
    "Adjoint(S)": "sdg",
    "Adjoint(T)": "tdg",
    "CNOT": "cx",
    "CZ": "cz",
    "Hadamard": "h",
    "PauliX": "x",
    "PauliY": "y",
    "PauliZ": "z",
    "RBS": "rbs",
    "RX": "rx",
    "RY": "ry",
    "RZ": "rz",
    "S": "s",
    "T": "t",
}
# PhaseShift has another name in each version: p is not in every reader's qelib1.inc.
_HEADERS = {2: ('OPENQASM 2.0;\ninclude "qelib1.inc";', "u1"), 3: ('OPENQASM 3.0;\ninclude "stdgates.inc";', "p")}
_RBS = "gate rbs(theta) a, b { h a; cx a, b; ry(theta) a; ry(theta) b; cx a, b; h a; }"
_LIBRARY = {*ONE_QUBIT, *_NAMES}


def to_openqasm(circuit: Circuit, version: int = 3, *, wires: Iterable[int | str] | None = None) -> str:
    """A circuit as an OpenQASM program: the same unitary up to a global phase, with its angles to the last bit.

    RBS is one gate, defined at the top by H, CNOT and RY; all else is taken apart by PennyLane into gates of the
    standard library. Wires become the qubits of one register q, wire 0 the first of them: software whose first qubit
    is the least significant bit (such as Qiskit) prints basis states in reverse. Nothing is measured.

    Args:
        circuit: an operation, a list of operations, a tape, a QNode or a quantum function without arguments.
        version: of OpenQASM, 2 or 3.
        wires: the labels of the wires in the order of the register; those of the circuit in order of appearance if
            left out, or 0..n-1 if all of them are integers.

    Returns:
        The program.

    Raises:
        ValueError: there is no such version, a wire of the circuit has no place in the register, an angle is not a
            finite number, or PennyLane cannot decompose an operation.

    >>> from qicircuits.circuits import RBS
    >>> print(to_openqasm(RBS(0.3, wires=[0, 1])))
    OPENQASM 3.0;
    include "stdgates.inc";
    gate rbs(theta) a, b { h a; cx a, b; ry(theta) a; ry(theta) b; cx a, b; h a; }
    qubit[2] q;
    rbs(0.3) q[0], q[1];
    <BLANKLINE>
    """
    if not isinstance(version, int) or version not in _HEADERS:
        raise ValueError(f"version of OpenQASM must be 2 or 3, got {version!r}")
    with qml.QueuingManager.stop_recording():
        operations = circuit_operations(circuit)
        register = _register(operations, wires)
        gates = expand(operations, _LIBRARY)
    header, phase = _HEADERS[version]
    lines = [header]
    if any(gate.name == "RBS" for gate in gates):
        lines.append(_RBS)
    size = max(len(register), 1)  # a register is not empty
    lines.append(f"qubit[{size}] q;" if version == 3 else f"qreg q[{size}];")
    for gate in gates:
        name = phase if gate.name == "PhaseShift" else _NAMES[gate.name]
        angles = ", ".join(_number(angle, gate) for angle in gate.data)
        qubits = ", ".join(f"q[{register.index(wire)}]" for wire in gate.wires)
        lines.append(f"{name}({angles}) {qubits};" if angles else f"{name} {qubits};")
    return "\n".join(lines) + "\n"


def _register(operations: list[Operator], wires: Iterable[int | str] | None) -> Wires:
    used = Wires.all_wires([operation.wires for operation in operations])
    if wires is None:
        labels = used.tolist()
        whole = all(isinstance(label, int) and label >= 0 for label in labels)
        return Wires(range(max(labels, default=-1) + 1)) if whole else used
    register = Wires(wires)
    missing = [label for label in used if label not in register]
    if missing:
        raise ValueError(f"every wire of the circuit needs a place in wires={register.tolist()}, got {missing}")
    return register


def _number(angle: object, gate: Operator) -> str:
    if qml.math.ndim(angle):
        raise ValueError(f"a program holds one circuit, without a batch of angles, got {gate!r}")
    value = float(qml.math.toarray(angle))  # the shortest digits that are read back to the same float64
    if not math.isfinite(value):
        raise ValueError(f"angles of a circuit must be finite, got {gate!r}")
    digits = repr(value)
    return digits if "." in digits else digits.replace("e", ".0e")  # OpenQASM 2 wants the point in 1e-05
