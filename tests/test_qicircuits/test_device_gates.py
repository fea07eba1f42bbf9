"""Every supported gate, and random circuits of them, do on the device what they do on default.qubit."""

import numpy as np
import pennylane as qml
import pytest
import torch
from device_circuits import GATES, measurements

TOLERANCE = 1e-10


def results_and_gradients(device, circuit, angles, diff_method, weights):
    """The results of a circuit, and the gradient of their weighted sum."""
    theta = torch.tensor(angles, requires_grad=True)
    results = qml.QNode(circuit, qml.device(device, wires=weights[1]), diff_method=diff_method)(theta)
    sum((weight * result).sum() for weight, result in zip(weights[0], results, strict=True)).backward()
    return [*(result.detach().numpy() for result in results), theta.grad.numpy()]


def assert_same(circuit, angles, n, seed, diff_methods=("backprop", "adjoint")):
    count = len(measurements(np.random.default_rng(seed), n))
    weights = np.random.default_rng(seed + 1).normal(size=count), n
    expected = results_and_gradients("default.qubit", circuit, angles, "backprop", weights)
    for diff_method in diff_methods:
        found = results_and_gradients("qicircuits.subspace", circuit, angles, diff_method, weights)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def start_state(rng, n, weights):
    """A random vector on some weights."""
    vector = rng.normal(size=2**n) + 1j * rng.normal(size=2**n)
    vector[~np.isin(np.bitwise_count(np.arange(2**n)), weights)] = 0
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("name", GATES)
def test_every_gate_on_random_states_of_every_weight(name):
    n_wires, n_angles, place = GATES[name]
    n = 5
    for weights in ([0], [1], [2], [4], [5], [1, 2], [0, 3, 5]):
        rng = np.random.default_rng(sum(weights))
        state, wires = start_state(rng, n, weights), rng.permutation(n)[:n_wires].tolist()

        def circuit(theta, state=state, wires=wires, weights=weights):
            qml.StatePrep(state, wires=range(n))
            qml.apply(place(*([theta[0]] if n_angles else []), wires))
            qml.SingleExcitation(theta[1], wires=[0, 3])
            return measurements(np.random.default_rng(sum(weights)), n)

        assert_same(circuit, rng.normal(size=2), n, sum(weights), diff_methods=("backprop",))


def random_circuit(seed):
    """A circuit on 3 to 8 wires, from a basis state or several weights, with as many angles as it takes."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 9))
    orders = sorted(set(rng.integers(0, n + 1, size=rng.integers(1, 4)).tolist()))
    names = [name for name in GATES if GATES[name][0] <= n]
    chosen = [str(name) for name in rng.choice(names, size=rng.integers(1, 25))]
    wires = [rng.permutation(n)[: GATES[name][0]].tolist() for name in chosen]
    state = start_state(rng, n, orders) if rng.random() < 0.5 else None
    bits = rng.permutation(n) < orders[-1]
    n_angles = sum(GATES[name][1] for name in chosen) + 1

    def circuit(theta):
        if state is None:
            qml.BasisState(bits.astype(int), wires=range(n))
        else:
            qml.StatePrep(state, wires=range(n))
        angles = iter(theta)
        for name, where in zip(chosen, wires, strict=True):
            qml.apply(GATES[name][2](*([next(angles)] if GATES[name][1] else []), where))
        qml.SingleExcitation(next(angles), wires=[n - 1, 0])
        return measurements(np.random.default_rng(seed), n)

    return circuit, n, rng.normal(size=n_angles)


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_random_circuits(first):
    for seed in range(first, first + 20):
        circuit, n, angles = random_circuit(seed)
        assert_same(circuit, angles, n, seed)
