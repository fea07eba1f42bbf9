"""What the device refuses, where circuits may start, and what they return: large, sampled, batched, by all tools."""

import numpy as np
import pennylane as qml
import pytest
import scipy.sparse
import torch
from device_circuits import layer, node
from pennylane.exceptions import DeviceError

from qicircuits import brickwork, rank_subset
from qicircuits.circuits import FBS, RBS, direct_sum_loader, orthogonal_layer, subspace_loader, unary_loader
from qicircuits.device import sector_probs, sector_state

REFUSED = {
    "Hadamard": (lambda: qml.Hadamard(1), "RBS"),
    "CNOT": (lambda: qml.CNOT([0, 1]), "CZ"),
    "RX": (lambda: qml.RX(0.0, 1), "SingleExcitation"),
    "PauliX": (lambda: (qml.S(1), qml.X(1)), "before every other gate"),
    "IsingXX": (lambda: qml.IsingXX(0.1, [0, 1]), "IsingXY"),
    "QFT": (lambda: qml.QFT(wires=[0, 1, 2]), "diagonal"),
    "QubitUnitary": (lambda: qml.QubitUnitary(np.eye(2)[::-1], 0), "block diagonal"),
    "Projector": (lambda: qml.Projector([1], 0), "not unitary"),
    "C(Hadamard)": (lambda: qml.ctrl(qml.Hadamard(2), 1, control_values=0), "RBS"),
    "StatePrep": (lambda: (qml.S(1), qml.StatePrep([0, 1], wires=0)), "only at the start"),
    "mid-circuit measurements": (lambda: qml.measure(0), "at the end"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_changes_the_weight_is_refused_by_name_with_advice(name):
    place, advice = REFUSED[name]

    def circuit():
        place()
        return qml.expval(qml.Z(0))

    with pytest.raises(DeviceError) as refusal:
        node(circuit, 3)()
    assert name in str(refusal.value)
    assert advice in str(refusal.value)


def test_a_gate_that_preserves_the_weight_only_at_some_angles_is_refused():
    with pytest.raises(DeviceError, match="SingleExcitation"):
        node(lambda: (qml.RY(2 * np.pi, 0), qml.expval(qml.Z(0)))[1], 2)()


def test_templates_are_taken_apart():
    def circuit(weights):
        qml.AllSinglesDoubles(weights, range(4), np.array([1, 1, 0, 0]), singles=[[0, 2]], doubles=[[0, 1, 2, 3]])
        qml.GateFabric(np.full((1, 1, 2), 0.3), wires=range(4), init_state=[1, 1, 0, 0])
        return qml.state()

    def fabric(weights):
        qml.UCCSD(
            weights, range(4), s_wires=[[0, 1, 2]], d_wires=[[[0, 1], [2, 3]]], init_state=np.array([1, 1, 0, 0])
        )
        return qml.state()

    with pytest.raises(DeviceError, match="GateFabric"):  # it prepares a state in the middle
        node(circuit, 4)(np.array([0.1, 0.2]))
    weights = np.array([0.1, 0.2])
    expected = node(fabric, 4, "default.qubit")(weights)
    np.testing.assert_allclose(node(fabric, 4)(weights), expected, rtol=0, atol=1e-12)


def test_flips_may_come_late_on_wires_that_nothing_has_touched():
    def circuit():
        qml.X("a")
        RBS(0.3, wires=["a", "b"])
        qml.X("c")
        qml.BasisState([1], wires="d")
        qml.SingleExcitation(0.2, wires=["c", "b"])
        return qml.state()

    labels = ["b", "a", "d", "c"]
    found, expected = (
        qml.QNode(circuit, qml.device(d, wires=labels))() for d in ("qicircuits.subspace", "default.qubit")
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("diff_method", ["backprop", "adjoint"])
def test_loaders_of_one_weight_and_of_several(diff_method):
    n, rng = 5, np.random.default_rng(7)
    loads = {
        n: lambda x: unary_loader(x, range(n)),
        10: lambda x: subspace_loader(x, 2, range(n)),
        25: lambda x: direct_sum_loader(x, (1, 2, 3), range(n)),
        6: lambda x: direct_sum_loader(x, (0, 4), range(n)),
    }
    for size, load in loads.items():
        vector, angles = rng.normal(size=size), rng.normal(size=10)

        def circuit(x, theta, load=load):
            load(x)
            qml.SingleExcitation(0.3, wires=[0, 4])
            orthogonal_layer(theta, brickwork(n))
            return qml.expval(qml.Z(1) + qml.X(0)), qml.probs(wires=[0, 2])

        found = []
        for device, method in (("qicircuits.subspace", diff_method), ("default.qubit", "backprop")):
            x, theta = (torch.tensor(value, requires_grad=True) for value in (vector, angles))
            z, probs = node(circuit, n, device, diff_method=method)(x, theta)
            (z + probs[1]).backward()
            found.append((z.detach(), probs.detach(), x.grad, theta.grad))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    with pytest.raises(DeviceError, match="first"):
        node(lambda: (qml.S(0), loads[25](np.ones(25)), qml.state())[-1], n)()
    assert isinstance(node(lambda: (loads[25](np.ones(25)), qml.expval(qml.Z(0)))[1], n)(), float)


def test_a_sparse_state_on_many_wires():
    n = 40
    columns = [2**n - 2 ** (n - 2), 3]  # wires 0 and 1, wires 38 and 39
    row = scipy.sparse.csr_array(([0.6, 0.8], ([0, 0], columns)), shape=(1, 2**n))

    def circuit():
        qml.StatePrep(row, wires=range(n))
        return sector_state(2), qml.expval(qml.Z(39))

    state, z = node(circuit, n)()
    assert state[rank_subset((0, 1), n)] == pytest.approx(0.6)
    assert state[rank_subset((38, 39), n)] == pytest.approx(0.8)
    assert z == pytest.approx(0.36 - 0.64)


def test_64_wires_and_200_wires():
    rng = np.random.default_rng(0)
    for n in (64, 200):
        layout = brickwork(n) if n == 64 else None
        theta = rng.normal(size=layout.n_gates if layout else n - 1)

        def circuit(theta, n=n, layout=layout):
            qml.BasisState([1, 1] + [0] * (n - 2), wires=range(n))
            if layout:
                orthogonal_layer(theta, layout)
            else:
                for wire in range(n - 1):
                    FBS(theta[wire], wires=[wire, wire + 1])
            qml.CZ([0, n - 1])
            return [*(qml.expval(qml.Z(wire)) for wire in range(n)), sector_probs((1, 2))]

        *z, probs = node(circuit, n)(theta)
        assert sum((1 - value) / 2 for value in z) == pytest.approx(2)
        assert probs[:n].sum() == 0
        assert probs.sum() == pytest.approx(1)


def test_wires_that_the_device_does_not_have_are_refused():
    def circuit(wire, measured):
        qml.X(0)
        RBS(0.3, wires=[0, wire])
        return qml.expval(qml.Z(measured)), qml.probs()

    with pytest.raises(qml.exceptions.WireError, match="wires not found on the device"):
        node(circuit, 2)("a", 0)
    with pytest.raises(qml.exceptions.WireError, match="wires not found on the device"):
        node(circuit, 2)(1, 2)
    assert node(circuit, 3)(1, 0)[1].shape == (8,)
    assert node(circuit, None)(1, 0)[1].shape == (4,)


def test_what_needs_2_to_the_n_numbers_is_refused_for_many_wires():
    for process in (qml.probs, qml.state):
        with pytest.raises(DeviceError, match="sector_probs"):
            node(lambda process=process: (qml.X(0), process())[1], 64)()
    with pytest.raises(DeviceError, match=r"0\.\.3"):
        node(lambda: (qml.X(0), sector_state(4))[1], 3)()
    with pytest.raises(ValueError, match="weights"):
        sector_state([1, 1])


def test_sector_measurements_are_the_same_on_default_qubit():
    assert repr(sector_state((2, 1))) == "sector_state([2, 1])"

    def circuit():
        qml.StatePrep(np.sqrt([0, 0.2, 0.3, 0.1, 0, 0.1, 0, 0.3]), wires=range(3))
        qml.IsingXY(0.4, wires=[0, 2])
        return sector_state((2, 1)), sector_probs((0, 3, 1))

    for found, expected in zip(node(circuit, 3)(), node(circuit, 3, "default.qubit")(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


def test_sparse_hamiltonians_and_density_matrices():
    n = 4
    hopping = qml.sum(*(qml.X(i) @ qml.X(i + 1) + qml.Y(i) @ qml.Y(i + 1) for i in range(n - 1)))
    hamiltonian = qml.SparseHamiltonian(hopping.sparse_matrix(wire_order=range(n)), wires=range(n))
    theta = np.random.default_rng(1).normal(size=6)

    def circuit():
        layer(theta, n, 2)
        qml.T(2)
        return qml.expval(hamiltonian), qml.density_matrix([1, 3]), qml.purity([0]), qml.vn_entropy([2])

    for found, expected in zip(node(circuit, n)(), node(circuit, n, "default.qubit")(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_shots_agree_with_exact_results():
    n, theta = 5, np.random.default_rng(2).normal(size=10)
    hopping = qml.X(0) @ qml.X(2) + qml.Y(0) @ qml.Y(2)

    def circuit():
        layer(theta, n, 2)
        return [
            qml.expval(qml.Z(1)),
            qml.expval(0.3 * hopping @ qml.Z(1) - qml.Z(3) @ qml.Z(4) + 0.5 * qml.X(1) @ qml.X(4)),
            qml.var(hopping),
            qml.probs(wires=[4, 0]),
            qml.expval(qml.X(2)),
            sector_probs(2),
        ]

    sampled = qml.set_shots(qml.QNode(circuit, qml.device("qicircuits.subspace", wires=n, seed=3)), 100_000)()
    for found, expected in zip(sampled, node(circuit, n)(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.02)


def test_samples_counts_and_shot_vectors():
    n, theta = 4, np.random.default_rng(3).normal(size=6)

    def circuit():
        layer(theta, n, 2)
        return qml.sample(), qml.counts(qml.Z(0)), qml.sample(qml.X(0) @ qml.X(1) + qml.Y(0) @ qml.Y(1)), qml.counts()

    parts = qml.set_shots(node(circuit, n), (50, 70))()
    for shots, (bits, values, moving, counts) in zip((50, 70), parts, strict=True):
        assert bits.shape == (shots, n)
        assert (bits.sum(axis=1) == 2).all()
        assert set(values) <= {-1.0, 1.0}
        assert sum(values.values()) == sum(counts.values()) == shots
        assert set(np.round(moving, 9)) <= {-2.0, 0.0, 2.0}


@pytest.mark.parametrize("diff_method", ["backprop", "adjoint"])
def test_batches(diff_method):
    n, batch = 4, 3
    rng = np.random.default_rng(4)
    angles, shared = rng.normal(size=(batch, 6)), rng.normal()

    def circuit(theta, alpha):
        layer(theta, n, 2)
        qml.DoubleExcitation(theta[:, 0], wires=range(n))
        qml.PhaseShift(alpha, wires=1)
        qml.DiagonalQubitUnitary(np.exp(1j * np.arange(4)), wires=[0, 2])
        qml.SingleExcitation(theta[:, 1], wires=[3, 1])
        return qml.expval(qml.X(0) @ qml.Y(1)), qml.probs(wires=[1, 2])

    found = []
    for device, method in (("qicircuits.subspace", diff_method), ("default.qubit", "backprop")):
        theta, alpha = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (angles, shared))
        values, probs = node(circuit, n, device, diff_method=method)(theta, alpha)
        (values.sin().sum() + probs[:, 1].cos().sum()).backward()
        found.append((values.detach(), probs.detach(), theta.grad, alpha.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_tools_of_pennylane():
    n, theta = 3, np.array([0.1, 0.2, 0.3])

    def circuit(theta):
        layer(theta, n, 1)
        return qml.expval(qml.Z(0))

    qnode = node(circuit, n)
    assert qml.specs(qnode)(theta)["resources"].gate_types["RBS"] == 3
    assert "RBS" in qml.draw(qnode)(theta)
    with qml.Tracker(qnode.device) as tracker:
        qnode(theta)
        qml.set_shots(qnode, 10)(theta)
    assert tracker.totals["executions"] == 2
    assert tracker.totals["shots"] == 10
    merged = qml.transforms.merge_rotations(qnode)
    assert merged(theta) == pytest.approx(qnode(theta))
    noisy = qml.transforms.split_non_commuting(qml.transforms.cancel_inverses(qnode))
    assert noisy(theta) == pytest.approx(qnode(theta))
    with pytest.raises(DeviceError, match="no options"):
        qnode.device.setup_execution_config(qml.devices.ExecutionConfig(device_options={"workers": 3}))


def test_torch_layers_learn():
    torch.manual_seed(0)
    n = 4

    def circuit(inputs, weights):
        layer(inputs, n, 2)
        orthogonal_layer(weights, brickwork(n))
        return [qml.expval(qml.Z(wire)) for wire in range(n)]

    module = qml.qnn.TorchLayer(node(circuit, n), {"weights": 6}).double()
    inputs, wanted = torch.randn(5, 6, dtype=torch.float64), torch.zeros(5, n, dtype=torch.float64)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (module(inputs) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert module(inputs).dtype == torch.float64
    assert losses[-1] < losses[0]
