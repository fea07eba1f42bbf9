"""Closed forms of gates and depth agree exactly with counted circuits, with PennyLane's specs and its estimator."""

import numpy as np
import pennylane as qml
import pytest
from pennylane import estimator

from qicircuits import Layout, brickwork, butterfly, pyramid, round_robin, staircase, v_shape, x_shape
from qicircuits.circuits import FBS, RBS, orthogonal_layer
from qicircuits.resources import GateCounts, closed_form, count_circuit, count_t_gates, estimate, t_per_rotation
from qicircuits.resources.counts import brickwork_counts

LAYOUTS = [
    *(make(n) for make in (brickwork, pyramid, round_robin, staircase, v_shape) for n in (1, 2, 3, 4, 5, 8, 9)),
    *(x_shape(n) for n in (2, 4, 6, 8)),
    *(butterfly(n) for n in (1, 2, 4, 8, 16)),
]
KINDS = {"CNOT", "CZ", "Hadamard", "RY"}


def operations(layout, gate="rbs"):
    return orthogonal_layer(np.linspace(0.1, 1, layout.n_gates), layout, gate=gate)


def specs(layout, gate):
    @qml.transforms.decompose(gate_set=KINDS)
    @qml.qnode(qml.device("default.qubit", wires=layout.n))
    def circuit():
        orthogonal_layer(np.linspace(0.1, 1, layout.n_gates), layout, gate=gate)
        return qml.state()

    return qml.specs(circuit, level="device")().resources


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@pytest.mark.parametrize("gate", ["rbs", "fbs"])
def test_closed_forms_are_what_is_counted(layout, gate):
    form = closed_form(layout, gate)
    if gate == "fbs" and layout.name == "round_robin" and layout.n > 2:
        assert form is None
        return
    counted = count_circuit(operations(layout, gate))
    # An empty circuit has no wires for PennyLane to count.
    assert form == GateCounts(layout.n, *list(vars(counted).values())[1:])
    assert form.depth <= form.one_qubit_depth + form.two_qubit_depth


@pytest.mark.parametrize("layout", [brickwork(5), butterfly(8), round_robin(5), round_robin(6)], ids=repr)
@pytest.mark.parametrize("gate", ["rbs", "fbs"])
def test_counts_are_those_of_qml_specs(layout, gate):
    counts = estimate(layout, gate=gate).circuits[0].counts
    found = specs(layout, gate)
    assert counts.gates == dict(found.gate_types)
    assert counts.depth == found.depth
    assert counts.two_qubit_gates == found.gate_sizes[2]


@pytest.mark.parametrize("layout", [brickwork(2), pyramid(5), butterfly(8), round_robin(5)], ids=repr)
@pytest.mark.parametrize("precision", [1e-3, 1e-9])
def test_t_counts_are_those_of_the_estimator(layout, precision):
    counts = closed_form(layout)
    assert count_t_gates(operations(layout), precision) == counts.rotations * t_per_rotation(precision)
    config = estimator.ResourceConfig()
    config.set_single_qubit_rot_precision(precision)
    whole = estimator.estimate(lambda: operations(layout), config=config)()
    assert whole.gate_counts["T"] == counts.rotations * t_per_rotation(precision)
    assert whole.gate_counts["CNOT"] == counts.two_qubit_gates


def test_one_rbs_is_two_cnot_two_ry_and_two_h():
    assert count_circuit([RBS(0.3, [0, 1])]) == GateCounts(2, {"CNOT": 2, "Hadamard": 2, "RY": 2}, 5, 3, 2)


def test_whatever_is_a_circuit_is_counted():
    @qml.qnode(qml.device("default.qubit", wires=2))
    def qnode():
        RBS(0.3, [0, 1])
        return qml.probs()

    counts = count_circuit([RBS(0.3, [0, 1])])
    for circuit in (RBS(0.3, [0, 1]), qnode, qnode.func, qml.workflow.construct_tape(qnode)()):
        assert count_circuit(circuit) == counts
        assert count_t_gates(circuit, 1e-3) == count_t_gates([RBS(0.3, [0, 1])], 1e-3) > 0
    with pytest.raises(TypeError, match=r"such as those of orthogonal_layer\(angles, layout\), got Layout"):
        count_circuit(brickwork(3))


def test_an_fbs_has_two_cz_for_each_wire_between():
    assert count_circuit([FBS(0.3, range(5))]).gates == {"CNOT": 2, "CZ": 6, "Hadamard": 2, "RY": 2}


@pytest.mark.parametrize("n", [8, 32])
def test_the_basis_rotation_of_the_estimator_takes_more_t_gates_than_the_pyramid(n):
    theirs = estimator.estimate(estimator.BasisRotation(n)).gate_counts["T"]
    ours = closed_form(pyramid(n)).rotations * t_per_rotation(1e-9)
    assert 1.5 < theirs / ours < 1.9


def test_a_brickwork_of_many_wires_needs_no_layout():
    assert [brickwork_counts(n) for n in (3, 8, 9)] == [closed_form(brickwork(n)) for n in (3, 8, 9)]


def test_a_layout_that_only_has_the_name_is_counted():
    layout = Layout(4, (((0, 1),),), name="brickwork")
    assert closed_form(layout) is None
    cost = estimate(layout).circuits[0]
    assert (cost.counted, cost.counts) == ("PennyLane", GateCounts(4, {"CNOT": 2, "Hadamard": 2, "RY": 2}, 5, 3, 2))
    assert cost.t_count == 2 * t_per_rotation(1e-9)
    assert estimate(brickwork(4)).circuits[0].counted == "closed form"
    assert closed_form(Layout(3, (((0, 1),),), name="x_shape")) is None
    assert closed_form(Layout(3, (((0, 1),),), name="butterfly")) is None


def test_operations_of_any_kind_are_counted():
    controlled = estimate(qml.ctrl(RBS(0.3, [0, 1]), 2)).circuits[0]
    assert controlled.counts.wires == 3
    assert controlled.counts.two_qubit_gates > 2
    assert controlled.t_count >= controlled.counts.rotations * t_per_rotation(1e-9)
    tape = qml.tape.QuantumScript([RBS(0.3, ["a", "b"]), qml.T("a")])
    for circuit in (tape, list(tape), lambda: [qml.apply(op) for op in tape]):
        cost = estimate(circuit).circuits[0]
        assert cost.counts.gates == {"CNOT": 2, "Hadamard": 2, "RY": 2, "T": 1}
        assert cost.t_count == 2 * t_per_rotation(1e-9) + 1


@pytest.mark.parametrize(
    ("operation", "t_count"),
    [
        (qml.SX(0), 0),
        (qml.adjoint(qml.S(0)), 0),
        (qml.ISWAP([0, 1]), 0),
        (qml.adjoint(qml.T(0)), 1),
        (qml.Toffoli([0, 1, 2]), 7),
        (qml.Rot(0.1, 0.2, 0.3, 0), 3 * 44),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_only_rotations_and_t_gates_need_t_gates(operation, t_count):
    assert estimate(operation).circuits[0].t_count == t_count


def test_what_cannot_be_decomposed_is_refused():
    class Opaque(qml.operation.Operation):
        num_wires = 2

    with pytest.raises(ValueError, match="every operation must decompose into one-qubit gates, CNOT and CZ"):
        estimate(Opaque(wires=[0, 1]))


def test_rotations_that_need_no_precision_need_no_t_gates():
    assert t_per_rotation(0.99) == 9
    assert t_per_rotation(1e-9) == 44
