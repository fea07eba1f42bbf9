"""Programs in OpenQASM: Qiskit reads them back to the unitary that was written."""

import numpy as np
import pennylane as qml
import pytest
import qiskit_qasm3_import
from qiskit import qasm2
from qiskit.quantum_info import Operator

from qicircuits import brickwork, butterfly, pyramid, round_robin
from qicircuits.circuits import FBS, RBS, ControlledRBS, orthogonal_layer, slater_loader, to_openqasm, unary_loader

RNG = np.random.default_rng(5)


def layer(layout, gate="rbs"):
    return orthogonal_layer(np.random.default_rng(3).uniform(-3, 3, layout.n_gates), layout, gate=gate)


CIRCUITS = {
    "brickwork": layer(brickwork(4)),
    "pyramid": layer(pyramid(5)),
    "butterfly of FBS": layer(butterfly(4), "fbs"),
    "round robin": layer(round_robin(3)),
    "wide FBS": [FBS(0.4, wires=[3, 2, 1, 0])],
    "tiny and great angles": [RBS(1e-05, wires=[0, 1]), RBS(-1e22, wires=[1, 0]), RBS(3, wires=[0, 1])],
    "library": [
        *(gate(0) for gate in (qml.Hadamard, qml.X, qml.Y, qml.Z, qml.S, qml.T)),
        *(qml.adjoint(gate(1)) for gate in (qml.S, qml.T)),
        *(gate(0.7, 0) for gate in (qml.RX, qml.RY, qml.RZ, qml.PhaseShift)),
        *(gate([1, 0]) for gate in (qml.CNOT, qml.CZ, qml.SWAP)),
    ],
    "controlled": [ControlledRBS(0.3, wires=[0, 1, 2], control_values=[0])],
    "inverse": [qml.adjoint(gate) for gate in layer(brickwork(3))],
}


def phase_free(matrix, like):
    overlap = np.vdot(matrix, like)
    return matrix * overlap / abs(overlap)


def unitary(operations, n):
    return qml.matrix(qml.tape.QuantumScript(operations), wire_order=range(n))


def n_wires(operations):
    return len(qml.wires.Wires.all_wires([gate.wires for gate in operations]))


def read_by_qiskit(program, version):
    circuit = qiskit_qasm3_import.parse(program) if version == 3 else qasm2.loads(program)
    # Qiskit's first qubit is the least significant bit.
    return Operator(circuit.reverse_bits()).data


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", CIRCUITS)
def test_qiskit_reads_back_the_unitary(name, version):
    operations = CIRCUITS[name]
    expected = unitary(operations, n_wires(operations))
    found = read_by_qiskit(to_openqasm(operations, version), version)
    np.testing.assert_allclose(phase_free(found, expected), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("version", [2, 3])
def test_loaders_are_written_with_their_states(version):
    x = RNG.normal(size=5)
    columns = np.linalg.qr(RNG.normal(size=(4, 2)))[0]
    for circuit, n in ((lambda: unary_loader(x, range(5)), 5), (lambda: slater_loader(columns, range(4)), 4)):
        found = read_by_qiskit(to_openqasm(circuit, version), version)[:, 0]
        expected = unitary(qml.tape.make_qscript(circuit)().operations, n)[:, 0]
        np.testing.assert_allclose(phase_free(found, expected), expected, rtol=0, atol=1e-12)


def test_wires_have_the_places_they_are_given():
    gate = RBS(0.5, wires=["b", "a"])
    assert "rbs(0.5) q[0], q[1];" in to_openqasm(gate)
    assert "rbs(0.5) q[2], q[0];" in to_openqasm(gate, wires=["a", "c", "b"])
    assert "qreg q[4];" in to_openqasm(RBS(0.5, wires=[3, 1]), 2)
    assert "rbs(0.5) q[3], q[1];" in to_openqasm(RBS(0.5, wires=[3, 1]), 2)


def test_angles_are_written_to_the_last_bit():
    angles = RNG.normal(size=20) * 10.0 ** np.arange(-10, 10)
    lines = [line for line in to_openqasm([RBS(a, wires=[0, 1]) for a in angles]).splitlines() if line[:4] == "rbs("]
    assert [float(line[4 : line.index(")")]) for line in lines] == angles.tolist()
    assert all("." in line[: line.index(")")] for line in lines)


def test_writing_inside_a_circuit_queues_nothing():
    with qml.queuing.AnnotatedQueue() as queue:
        to_openqasm(lambda: RBS(0.1, wires=[0, 1]))
    assert len(queue) == 0
    assert to_openqasm([]).endswith("qubit[1] q;\n")


def test_bad_input_is_refused():
    def circuit(theta):
        RBS(theta, wires=[0, 1])

    gate = RBS(0.1, wires=[0, 1])
    with pytest.raises(ValueError, match="must be 2 or 3, got 4"):
        to_openqasm(gate, 4)
    with pytest.raises(ValueError, match=r"must be 2 or 3, got array\(\[0\.1\]\)"):
        to_openqasm(gate, np.array([0.1]))
    with pytest.raises(ValueError, match=r"a function without arguments, or a tape, .*, got circuit\(theta\)"):
        to_openqasm(qml.QNode(circuit, qml.device("default.qubit")))
    with pytest.raises(ValueError, match=r"needs a place in wires=\[0, 2\], got \[1\]"):
        to_openqasm(gate, wires=[0, 2])
    with pytest.raises(ValueError, match="must be finite"):
        to_openqasm(RBS(np.nan, wires=[0, 1]))
    with pytest.raises(ValueError, match="without a batch"):
        to_openqasm(RBS(np.array([0.1, 0.2]), wires=[0, 1]))
    with pytest.raises(TypeError, match="made of PennyLane operations"):
        to_openqasm([1])
    with pytest.raises(ValueError, match="every operation must decompose into"):
        to_openqasm(qml.Projector([1], 0))
