"""ControlledRBS is a valid PennyLane operation, RBS under control, with one controlled rotation."""

from collections import Counter

import numpy as np
import pennylane as qml
import pytest
import torch

from qicircuits.circuits import RBS, ControlledRBS

VALUES = [(1,), (0,), (1, 0), (0, 0, 1), (1, 0, 1, 0), (1, 1, 0, 1, 1)]  # the last is too wide for a matrix


def gate_and_twin(values, theta=0.37):
    wires = list(range(len(values) + 2))
    twin = qml.ctrl(RBS(theta, wires[-2:]), wires[:-2], control_values=values)
    return ControlledRBS(theta, wires, values), qml.matrix(twin, wire_order=wires), wires


@pytest.mark.parametrize("values", VALUES)
def test_it_is_rbs_under_control(values):
    gate, twin, wires = gate_and_twin(values)
    parts = qml.tape.QuantumScript(gate.decomposition())
    np.testing.assert_allclose(qml.matrix(gate, wire_order=wires), twin, rtol=0, atol=1e-15)
    np.testing.assert_allclose(qml.matrix(parts, wire_order=wires), twin, rtol=0, atol=1e-15)


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("wrap", [lambda gate: gate, qml.adjoint, lambda gate: qml.pow(gate, 2.5)])
def test_pennylane_finds_the_gate_valid(values, wrap):
    gate, twin, wires = gate_and_twin(values)
    qml.ops.functions.assert_valid(wrap(gate))
    both = qml.matrix(qml.prod(gate, qml.adjoint(gate)), wire_order=wires)
    np.testing.assert_allclose(both, np.eye(len(twin)), rtol=0, atol=1e-15)


def test_controls_are_on_one_unless_said_otherwise():
    assert ControlledRBS(0.1, ["a", "b", 0, 1]) == ControlledRBS(0.1, ["a", "b", 0, 1], (True, True))
    assert ControlledRBS(0.1, ["a", "b", 0, 1]).control_wires.tolist() == ["a", "b"]


@pytest.mark.parametrize("value", [0, 1])
def test_one_control_costs_six_cnot_and_four_rotations(value):
    gate = ControlledRBS(0.37, range(3), (value,))
    assert Counter(part.name for part in gate.decomposition()) == {"CNOT": 6, "RY": 4}


def test_a_batch_of_angles_is_a_batch_of_matrices():
    angles = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    batch = ControlledRBS(angles, range(4), (0, 1)).matrix()
    torch.testing.assert_close(batch, torch.stack([ControlledRBS(a, range(4), (0, 1)).matrix() for a in angles]))


def test_wires_and_values_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"acts on at least 3 wires, got wires=\[0, 1\]"):
        ControlledRBS(0.1, [0, 1])
    for values in [(1,), (1, 2), (1, 1, 1)]:
        with pytest.raises(ValueError, match="control_values are 0 or 1, one for each of 2 controls, got"):
            ControlledRBS(0.1, range(4), values)
    with pytest.raises(qml.exceptions.MatrixUndefinedError, match="a matrix on at most 6 wires, got 7 wires"):
        ControlledRBS(0.1, range(7)).matrix()
