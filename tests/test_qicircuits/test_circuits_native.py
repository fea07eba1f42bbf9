"""Circuits in native gates: the same unitary, and as many gates as are counted and tabulated."""

from collections import Counter

import numpy as np
import pennylane as qml
import pytest

from qicircuits import brickwork, butterfly, pyramid, round_robin
from qicircuits.circuits import FBS, RBS, orthogonal_layer, to_native
from qicircuits.resources import estimate

NATIVE = {"CNOT": 2, "CZ": 2, "ISWAP": 2, "SISWAP": 2, "IsingXY": 1}


def unitary(operations, n):
    return qml.matrix(qml.tape.QuantumScript(operations), wire_order=range(n))


def kinds(operations):
    return Counter(gate.name for gate in operations)


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("theta", [0.0, 0.3, -1.1, np.pi / 2, np.pi, 5.0])
@pytest.mark.parametrize("wires", [[0, 1], [1, 0]])
def test_rbs_is_exact_in_every_native_gate(native, theta, wires):
    gate = RBS(theta, wires=wires)
    gates = to_native(gate, native)
    np.testing.assert_allclose(unitary(gates, 2), unitary([gate], 2), rtol=0, atol=1e-14)
    assert kinds(g for g in gates if len(g.wires) == 2) == {native: NATIVE[native]}
    assert all(len(g.wires) == 1 for g in gates if g.name != native)


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("gate", [qml.CZ([0, 1]), qml.CZ([1, 0]), qml.CNOT([0, 1]), qml.CNOT([1, 0])], ids=str)
def test_controlled_gates_are_native_up_to_a_phase(native, gate):
    gates = to_native(gate, native)
    found, expected = unitary(gates, 2), unitary([gate], 2)
    assert abs(np.vdot(found, expected)) == pytest.approx(4, abs=1e-12)
    assert kinds(g for g in gates if len(g.wires) == 2) == {native: 1 if native in ("CNOT", "CZ") else 2}


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("layout", [brickwork(4), pyramid(4), butterfly(4), round_robin(5)], ids=str)
@pytest.mark.parametrize("gate", ["rbs", "fbs"])
def test_layers_are_the_same_unitary(native, layout, gate):
    layer = orthogonal_layer(np.random.default_rng(1).uniform(-3, 3, layout.n_gates), layout, gate=gate)
    found, expected = unitary(to_native(layer, native), layout.n), unitary(layer, layout.n)
    assert abs(np.vdot(found, expected)) == pytest.approx(2**layout.n, abs=1e-10)


@pytest.mark.parametrize("layout", [brickwork(6), pyramid(5), butterfly(8), round_robin(5)], ids=str)
def test_counts_are_those_of_the_estimate(layout):
    layer = orthogonal_layer(np.linspace(0.1, 1, layout.n_gates), layout)
    estimated = estimate(layout).circuits[0].counts
    assert kinds(to_native(layer, "CNOT")) == estimated.gates
    for native, each in NATIVE.items():
        assert kinds(to_native(layer, native))[native] == each * layout.n_gates
        if each == 2:
            assert kinds(to_native(layer, native))[native] == estimated.two_qubit_gates
            counted = estimate(to_native(layer, native)).circuits[0].counts
            assert native not in ("CNOT", "CZ") or counted.two_qubit_gates == estimated.two_qubit_gates


def test_the_ladders_of_fbs_are_counted_as_cnot():
    layer = orthogonal_layer(np.ones(12), butterfly(8), gate="fbs")
    assert (
        kinds(to_native(layer, "CNOT"))["CNOT"]
        == estimate(butterfly(8), gate="fbs").circuits[0].counts.two_qubit_gates
    )
    assert kinds(to_native(FBS(0.1, wires=[0, 1, 2]), "CZ"))["CZ"] == 4


def test_nothing_is_queued_and_other_gates_stay():
    circuit = [qml.T(0), RBS(0.1, wires=[0, 1]), qml.RX(0.1, 1)]
    with qml.queuing.AnnotatedQueue() as queue:
        gates = to_native(circuit, "ISWAP")
    assert len(queue) == 0
    assert (gates[0], gates[-1]) == (circuit[0], circuit[-1])
    assert to_native([], "CZ") == []


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"native must be one of \['CNOT', .*\], got 'ECR'"):
        to_native(RBS(0.1, wires=[0, 1]), "ECR")
    with pytest.raises(ValueError, match="every operation must decompose into"):
        to_native(qml.Projector([1], 0), "CZ")
    with pytest.raises(TypeError, match="made of PennyLane operations"):
        to_native([1], "CZ")
