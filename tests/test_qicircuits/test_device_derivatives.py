"""Derivatives on the device: by every kind of parameter, of every order that is exact, through torch and autograd."""

import numpy as np
import pennylane as qml
import pytest
import torch
from device_circuits import layer, node
from pennylane import numpy as pnp
from pennylane.exceptions import DeviceError

from qicircuits.circuits import RBS


def test_gradients_of_states_matrices_and_coefficients():
    rng = np.random.default_rng(5)
    vector = np.zeros(8)
    vector[[1, 2, 4]] = rng.normal(size=3)
    vector /= np.linalg.norm(vector)
    diagonal = np.exp(1j * rng.normal(size=4))

    def circuit(vector, theta, coefficient, diagonal):
        qml.StatePrep(vector, wires=range(3))
        qml.OrbitalRotation(theta, wires=[0, 1, 2, 3])
        qml.DiagonalQubitUnitary(diagonal, wires=[0, 2])
        return qml.expval(coefficient * qml.X(0) @ qml.X(1) + 0.2 * qml.Z(2))

    found = []
    methods = ("qicircuits.subspace", "backprop"), ("qicircuits.subspace", "adjoint"), ("default.qubit", "backprop")
    for device, method in methods:
        values = [torch.tensor(v, requires_grad=True) for v in (vector, np.float64(0.4), np.float64(0.7), diagonal)]
        node(circuit, 4, device, diff_method=method)(*values).backward()
        found.append([value.grad for value in values])
    for by_torch, own, theirs, support in zip(*found, (vector != 0, ..., ..., ...), strict=True):
        torch.testing.assert_close(by_torch[support], theirs[support], rtol=0, atol=1e-12)
        torch.testing.assert_close(own[support], theirs[support], rtol=0, atol=1e-12)


def test_autograd_with_any_method_and_higher_derivatives_by_parameter_shift():
    n, theta = 4, pnp.array(np.random.default_rng(6).normal(size=6), requires_grad=True)

    def circuit(theta):
        layer(theta, n, 2)
        return qml.expval(qml.Z(0) @ qml.Z(3)), qml.probs(wires=1)

    def cost(qnode):
        return lambda theta: pnp.sum(pnp.sin(pnp.hstack(qnode(theta))))

    expected = qml.grad(cost(node(circuit, n, "default.qubit")))(theta)
    for method in ("best", "backprop", "adjoint", "parameter-shift"):
        np.testing.assert_allclose(qml.grad(cost(node(circuit, n, diff_method=method)))(theta), expected, atol=1e-10)
    value, slopes = node(circuit, n)(theta)[0], qml.jacobian(lambda t: node(circuit, n)(t)[0])(theta)
    assert np.shape(value) == ()
    assert slopes.dtype == np.float64

    def single(theta):
        layer(theta, n, 2)
        return qml.expval(qml.Z(0) @ qml.Z(3))

    hessians = [
        qml.jacobian(qml.grad(node(single, n, device, diff_method="parameter-shift", max_diff=2)))(theta)
        for device in ("qicircuits.subspace", "default.qubit")
    ]
    np.testing.assert_allclose(*hessians, atol=1e-10)


@pytest.mark.filterwarnings("ignore:Casting complex values:numpy.exceptions.ComplexWarning")  # default.qubit's
def test_autograd_by_every_kind_of_parameter():
    rng = np.random.default_rng(8)
    vector, batch = np.zeros(8), rng.normal(size=3)
    vector[[1, 2, 4]] = rng.normal(size=3)
    values = [vector / np.linalg.norm(vector), rng.normal(), batch, rng.normal(), rng.normal(size=4)]

    def circuit(vector, theta, batch, coefficient, phases):
        qml.StatePrep(vector, wires=range(3))
        qml.SingleExcitation(batch, wires=[0, 3])
        qml.OrbitalRotation(theta, wires=[0, 1, 2, 3])
        qml.DiagonalQubitUnitary(qml.math.exp(1j * phases), wires=[0, 2])
        return qml.expval(qml.dot([coefficient, 0.2], [qml.X(0) @ qml.X(1), qml.Z(2)])), qml.probs(wires=[1, 3])

    def cost(qnode):
        def weighted(*values):
            z, probs = qnode(*values)
            return pnp.sum(pnp.sin(z)) + pnp.sum(pnp.cos(probs[:, 1]))

        return weighted

    traced = [pnp.array(value, requires_grad=True) for value in values]
    ours, theirs = (
        qml.grad(cost(node(circuit, 4, name)))(*traced) for name in ("qicircuits.subspace", "default.qubit")
    )
    for found, expected, support in zip(ours, theirs, (vector != 0, ..., ..., ..., ...), strict=True):
        np.testing.assert_allclose(found[support], expected[support], rtol=0, atol=1e-12)


def test_second_derivatives_are_refused_where_they_are_not_exact():
    def circuit(theta):
        qml.X(0)
        RBS(theta, wires=[0, 1])
        return qml.expval(qml.Z(1))

    with pytest.raises(DeviceError, match="parameter-shift"):
        qml.jacobian(qml.grad(node(circuit, 2)))(pnp.array(0.3, requires_grad=True))


def test_matrices_of_observables_are_constants():
    def circuit(theta, matrix):
        qml.X(0)
        RBS(theta, wires=[0, 1])
        return qml.expval(qml.Hermitian(matrix, wires=1))

    matrix = np.array([[0.5, 0.1], [0.1, -1.0]])
    values = pnp.array(0.3, requires_grad=True), pnp.array(matrix)
    assert qml.grad(node(circuit, 2), argnums=0)(*values) == pytest.approx(-1.5 * np.sin(0.6))
    with pytest.warns(UserWarning, match="Hermitian are taken as constants"):
        assert not qml.grad(node(circuit, 2), argnums=1)(*values).any()
    with pytest.warns(UserWarning, match="Hermitian are taken as constants"):
        slope = qml.grad(node(circuit, 2, diff_method="adjoint"), argnums=0)(*values)
    assert slope == pytest.approx(-1.5 * np.sin(0.6))
    with pytest.raises(DeviceError, match="only the coefficients"):
        node(circuit, 2)(torch.tensor(0.3), torch.tensor(matrix, requires_grad=True))


def test_the_devices_own_jacobian():
    tape = qml.tape.QuantumScript(
        [qml.BasisState([1, 0], [0, 1]), RBS(0.3, wires=[0, 1]), qml.RZ(0.2, 1)], [qml.expval(qml.Z(0)), qml.state()]
    )
    tape.trainable_params = [1, 2]
    device = qml.device("qicircuits.subspace", wires=2)
    (z, state), (z_slopes, state_slopes) = device.execute_and_compute_derivatives(tape)
    assert z == pytest.approx(-np.cos(0.6))
    assert z_slopes[0] == pytest.approx(2 * np.sin(0.6))
    assert z_slopes[1] == pytest.approx(0)
    np.testing.assert_allclose(state_slopes[1][1], 0.5j * state[1])
    (products,) = device.compute_vjp([tape], [(np.array(1.0), np.zeros(4))])
    np.testing.assert_allclose(products, z_slopes)
    # As jax asks for a Jacobian: a batch of cotangents, with zeros in place of what it does not ask for.
    (products,) = device.compute_vjp([tape], [(np.array([1.0, 2.0, 0.0]), np.zeros(4))])
    np.testing.assert_allclose(products, np.outer(z_slopes, [1, 2, 0]), atol=1e-15)


def test_the_jacobian_by_a_complex_parameter():
    phases = np.exp(1j * np.array([0.1, 0.4]))
    operations = [qml.BasisState([1, 0], [0, 1]), RBS(0.3, wires=[0, 1]), qml.DiagonalQubitUnitary(phases, 1)]
    tape = qml.tape.QuantumScript([*operations, RBS(0.2, wires=[0, 1])], [qml.expval(qml.Z(0)), qml.state()])
    tape.trainable_params = [2]
    z_slopes, state_slopes = qml.device("qicircuits.subspace", wires=2).compute_derivatives(tape)
    c, s, cos, sin = np.cos(0.3), np.sin(0.3), np.cos(0.2), np.sin(0.2)
    # The state is linear in the phases: |10> gets cos c d_0 - sin s d_1.
    np.testing.assert_allclose(state_slopes[2], [cos * c, -sin * s], atol=1e-15)
    amplitudes = np.array([cos * c * phases[0] - sin * s * phases[1], sin * c * phases[0] + cos * s * phases[1]])
    by_phase = np.array([[cos * c, -sin * s], [sin * c, cos * s]])
    np.testing.assert_allclose(z_slopes, 2 * ([-1, 1] * amplitudes.conj()) @ by_phase, atol=1e-15)
