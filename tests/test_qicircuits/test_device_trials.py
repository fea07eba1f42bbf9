"""The device where its users try it out: other states, observables and shots, wrong circuits, second derivatives."""

import pickle

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp
from pennylane.exceptions import DeviceError

from qicircuits.circuits import RBS, clifford_loader, slater_loader
from qicircuits.device import sector_probs


def node(circuit, n, device="qicircuits.subspace", **options):
    return qml.QNode(circuit, qml.device(device, wires=n), **options)


def after_start(n, *operations, process):
    """A circuit of two ones, all wires turned, and what is to be tried."""

    def circuit():
        qml.BasisState([1, 1] + [0] * (n - 2), wires=range(n))
        for wire in range(n - 1):
            qml.SingleExcitation(0.3 + wire, wires=[wire, wire + 1])
        for operation in operations:
            operation()
        return process()

    return circuit


def hopping(i, j):
    """a_i^dagger a_j and its conjugate, by Jordan and Wigner."""
    ends = (qml.X, qml.X), (qml.Y, qml.Y)
    between = [qml.Z(wire) for wire in range(i + 1, j)]
    return qml.sum(*(0.5 * qml.prod(a(i), *between, b(j)) for a, b in ends))


def test_trotter_steps_of_hopping_terms():
    hamiltonian = qml.sum(0.5 * hopping(0, 1), 0.4 * hopping(1, 3), 0.3 * qml.Z(2))
    circuit = after_start(
        4,
        lambda: qml.TrotterProduct(hamiltonian, 0.3, n=2, order=2),
        lambda: qml.evolve(0.7 * hopping(0, 2), 0.4),
        process=qml.state,
    )
    np.testing.assert_allclose(node(circuit, 4)(), node(circuit, 4, "default.qubit")(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("interface", ["torch", "autograd"])
def test_the_time_of_an_evolution_has_a_gradient(interface):
    def circuit(time):
        qml.BasisState(np.array([1, 0, 0]), wires=range(3))
        qml.evolve(0.7 * hopping(0, 2) + 0.2 * qml.Z(0), time)
        return qml.expval(qml.Z(2))

    if interface == "autograd":
        assert node(circuit, 3)(pnp.array(0.4)) == pytest.approx(node(circuit, 3)(0.4), abs=1e-12)
        found = qml.grad(node(circuit, 3))(pnp.array(0.4, requires_grad=True))
    else:
        time = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
        node(circuit, 3)(time).backward()
        found = time.grad
    # By differences: PennyLane's matrix exponential is not that of autograd's numbers.
    values = [node(circuit, 3, "default.qubit")(0.4 + step) for step in (1e-5, -1e-5)]
    assert float(found) == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-8)


def test_the_clifford_loader_loads_one_particle():
    x, y = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 2)))[0].T

    def circuit(vector):
        clifford_loader(vector, range(4))
        qml.SingleExcitation(0.3, wires=[0, 3])
        return qml.state()

    np.testing.assert_allclose(node(circuit, 4)(x), node(circuit, 4, "default.qubit")(x), rtol=0, atol=1e-12)

    def slater(orbitals):
        slater_loader(orbitals, range(4))
        return qml.state()

    orbitals = np.stack([x, y], axis=1)
    np.testing.assert_allclose(
        node(slater, 4)(orbitals), node(slater, 4, "default.qubit")(orbitals), rtol=0, atol=1e-12
    )
    with pytest.raises(DeviceError, match="must stand first"):
        node(lambda: (clifford_loader(x, range(4)), clifford_loader(y, range(4)), qml.state())[-1], 4)()


def test_shots_of_sums_and_of_distant_hopping():
    n, shots = 9, 40_000
    whole = 0.3 * qml.X(0) @ qml.X(1) + 0.5 * qml.Z(0)
    sums = 0.7 * hopping(0, 8) + 0.2 * qml.Z(3) + 0.4 * hopping(1, 2)
    results = [
        *(lambda obs=obs: qml.expval(obs) for obs in (hopping(0, 8), sums, whole)),
        *(lambda obs=obs: qml.var(obs) for obs in (hopping(0, 8), whole)),
    ]
    for process in results:
        circuit = after_start(n, process=process)
        sampled = qml.set_shots(qml.QNode(circuit, qml.device("qicircuits.subspace", wires=n, seed=2)), shots)()
        assert sampled == pytest.approx(node(circuit, n)(), abs=0.02)
    with pytest.raises(DeviceError, match="flips at most 6 wires"):
        qml.set_shots(node(after_start(n, process=lambda: qml.var(sums)), n), 5)()


def test_all_outcomes_are_the_eigenvalues_once_each():
    for obs in (hopping(0, 1), 0.3 * qml.X(0) @ qml.X(1) + 0.5 * qml.Z(0)):
        circuit = after_start(3, process=lambda obs=obs: qml.counts(obs, all_outcomes=True))
        counts = qml.set_shots(node(circuit, 3), 50)()
        expected = np.unique(np.round(qml.eigvals(obs), 9))
        np.testing.assert_allclose(sorted(counts), expected, rtol=0, atol=1e-9)
        assert sum(counts.values()) == 50


def test_shots_on_many_wires():
    n = 70
    circuit = after_start(n, process=lambda: (sector_probs((1, 2)), qml.counts(wires=[3, 0])))
    probs, counts = qml.set_shots(node(circuit, n), 30)()
    assert probs.shape == (n + n * (n - 1) // 2,)
    assert probs[:n].sum() == 0
    assert probs.sum() == pytest.approx(1)
    assert sum(counts.values()) == 30
    for process in (qml.probs, lambda: qml.counts(all_outcomes=True)):
        with pytest.raises(DeviceError, match="at most w = 24 wires"):
            qml.set_shots(node(after_start(n, process=process), n), 30)()
    strings = qml.prod(*(qml.Z(wire) for wire in range(n)))
    with pytest.raises(DeviceError, match="all_outcomes lists"):
        qml.set_shots(node(after_start(n, process=lambda: qml.counts(strings, all_outcomes=True)), n), 5)()


WRONG = {
    "shots": (lambda: None, qml.sample, "set_shots"),
    "a template's own state": (
        lambda: qml.AllSinglesDoubles([0.1], range(4), np.array([1, 1, 0, 0]), singles=[[0, 2]]),
        qml.state,
        "AllSinglesDoubles prepares a state, which is supported only at the start",
    ),
    "CY": (lambda: qml.CY([0, 1]), qml.state, "CY on wires .* use CZ"),
    "a diagonal": (lambda: qml.DiagonalQubitUnitary([1.0, 2.0], 0), qml.state, "modulus 1"),
    "batches": (
        lambda: (RBS(np.ones(2), [0, 1]), RBS(np.ones(3), [0, 1])),
        qml.state,
        r"one size, got the sizes \[2, 3\]",
    ),
    "X probs": (lambda: None, lambda: qml.probs(op=qml.X(0)), "by expval or var"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_circuits_are_refused_in_one_sentence(name):
    operation, process, message = WRONG[name]
    with pytest.raises((DeviceError, ValueError), match=message):
        node(after_start(4, operation, process=process), 4)()


def test_complex_angles_are_refused():
    for angle in (0.1 + 1j, np.array([0.1, 0.2j])):
        with pytest.raises(TypeError, match="real numbers"):
            node(after_start(4, lambda angle=angle: qml.SingleExcitation(angle, [0, 1]), process=qml.state), 4)()


def test_batches_of_states_and_angles_have_one_size():
    def circuit(angles):
        qml.StatePrep(np.eye(4)[[1, 2]], wires=range(2))
        qml.SingleExcitation(angles, wires=[0, 1])
        return qml.probs(wires=0)

    assert node(circuit, 2)(np.ones(2)).shape == (2, 2)
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        node(circuit, 2)(np.ones(3))


def test_tapes_that_nobody_lowered_are_refused_not_run_wrongly():
    device = qml.device("qicircuits.subspace", wires=2)
    for operations in ([qml.Hadamard(0)], [qml.X(0), RBS(0.3, wires=[0, 1]), qml.X(0)], [qml.RX(0.1, 0)]):
        with pytest.raises(DeviceError, match="does not preserve the Hamming weight"):
            device.execute(qml.tape.QuantumScript(operations, [qml.expval(qml.Z(0))]))


@pytest.mark.filterwarnings("ignore:Casting complex values:numpy.exceptions.ComplexWarning")  # default.qubit's
def test_hessians_by_torch():
    def circuit(theta):
        qml.BasisState(np.array([1, 0, 1, 0]), wires=range(4))
        qml.SingleExcitation(theta[0], wires=[0, 1])
        qml.PhaseShift(theta[1], wires=1)
        qml.DoubleExcitation(theta[2], wires=range(4))
        for wire in (0, 2, 1) * 4:  # enough of them to be swept
            RBS(theta[3] * (1 + wire), wires=[wire, wire + 1])
        return qml.expval(qml.Z(0) @ qml.X(1) @ qml.X(3) + hopping(1, 2))

    theta = np.random.default_rng(3).normal(size=4)
    found = torch.autograd.functional.hessian(node(circuit, 4), torch.tensor(theta))
    expected = qml.jacobian(qml.grad(node(circuit, 4, "default.qubit")))(pnp.array(theta, requires_grad=True))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_the_interface_that_is_asked_for():
    circuit = after_start(3, process=lambda: qml.expval(qml.Z(0)))
    assert isinstance(node(circuit, 3, interface="torch")(), torch.Tensor)
    assert isinstance(node(circuit, 3)(), float)


def test_devices_are_pickled_with_their_random_numbers():
    device = qml.device("qicircuits.subspace", wires=3, seed=1)
    circuit = after_start(3, process=lambda: qml.sample(wires=0))
    again = pickle.loads(pickle.dumps(device))
    ours, theirs = (qml.set_shots(qml.QNode(circuit, each), 40)() for each in (device, again))
    assert (ours == theirs).all()
