"""The public assertions pass on what is right and say what is wrong with what is not."""

import pytest
import torch

from qicircuits import brickwork, butterfly, orthogonal_from_angles
from qicircuits.circuits import orthogonal_layer, run_layer
from qicircuits.subspace import apply_layout
from qicircuits.testing import assert_circuit_is_compound, assert_circuit_is_layout


def circuit_of(layout, gate="rbs"):
    angles = torch.linspace(0.1, 1.0, layout.n_gates, dtype=torch.float64)
    return orthogonal_layer(angles.numpy(), layout, gate=gate), angles


def test_right_circuits_pass():
    circuit, angles = circuit_of(brickwork(4))
    assert_circuit_is_layout(circuit, angles, brickwork(4))
    assert_circuit_is_compound(circuit, orthogonal_from_angles(angles))
    circuit, angles = circuit_of(butterfly(4), "fbs")
    assert_circuit_is_layout(circuit, angles, butterfly(4), "fbs", orders=[2])
    assert_circuit_is_compound(circuit, orthogonal_from_angles(angles, butterfly(4)))


def test_wrong_circuits_are_named_with_their_deviation():
    circuit, angles = circuit_of(brickwork(4))
    with pytest.raises(AssertionError, match=r"weight-1 sector of 4 wires .* within 1e-12, got a deviation of \d"):
        assert_circuit_is_layout(circuit, angles + 1e-3, brickwork(4))
    circuit, angles = circuit_of(butterfly(4))
    assert_circuit_is_compound(circuit, orthogonal_from_angles(angles, butterfly(4)), orders=[0, 1, 4])
    with pytest.raises(AssertionError, match="weight-2 sector"):
        assert_circuit_is_compound(circuit, orthogonal_from_angles(angles, butterfly(4)))


def test_single_precision_is_refused_before_it_looks_like_a_deviation():
    circuit, angles = circuit_of(brickwork(4))
    with pytest.raises(TypeError, match=r"angles must be a tensor in double precision, .* got torch\.float32"):
        assert_circuit_is_layout(circuit, angles.float(), brickwork(4))
    with pytest.raises(TypeError, match=r"angles must be a tensor .* got ndarray"):
        assert_circuit_is_layout(circuit, angles.numpy(), brickwork(4))
    with pytest.raises(TypeError, match=r"matrix must be a tensor .* got torch\.float32"):
        assert_circuit_is_compound(circuit, orthogonal_from_angles(angles.float()))
    with pytest.raises(ValueError, match=r"must be square, .* got \(3,\)"):
        assert_circuit_is_compound(circuit, torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
def test_running_on_a_device_is_the_simulator_with_norms(gate):
    layout = butterfly(8)
    angles = torch.linspace(0.1, 1.0, layout.n_gates, dtype=torch.float64)
    vectors = torch.randn(3, 56, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    on_device = torch.from_numpy(run_layer(vectors.numpy(), angles.numpy(), layout, 3, gate))
    torch.testing.assert_close(on_device, apply_layout(vectors, angles, layout, 3, gate), rtol=0, atol=1e-12)


def test_states_that_cannot_be_prepared_are_refused():
    layout = brickwork(3)
    with pytest.raises(ValueError, match=r"finite vector that is not zero, got norms \[1.0, 0.0\]"):
        run_layer([[1.0, 0, 0], [0, 0, 0]], [0.1] * 3, layout, 1)
    with pytest.raises(ValueError, match="got norms"):
        run_layer([[float("nan"), 0, 0]], [0.1] * 3, layout, 1)
    with pytest.raises(ValueError, match=r"\(batch, 3\), got \(1, 2\)"):
        run_layer([[1.0, 0]], [0.1] * 3, layout, 1)
