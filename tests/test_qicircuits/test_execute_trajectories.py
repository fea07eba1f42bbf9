"""Noise by trajectories: each is the circuit with its errors in it, and their mean is the density matrix."""

from itertools import product

import numpy as np
import pennylane as qml
import pytest
from pennylane.tape import make_qscript

from qicircuits import brickwork, butterfly, staircase, subspace_dim
from qicircuits.circuits import Noise, Trajectories, measure_layer, orthogonal_layer, subspace_loader, weight_kept
from qicircuits.circuits.interference import interfere
from qicircuits.circuits.noise import native_gates
from qicircuits.circuits.trajectories import _Circuit, _draw_errors, _expanded, _with_errors, noisy_outcomes
from qicircuits.subsets import subset_integers

CASES = [
    (staircase(2), 1, "rbs"),
    (brickwork(3), 2, "rbs"),
    (brickwork(4), 2, "rbs"),
    (butterfly(4), 2, "fbs"),
    (staircase(6), 3, "rbs"),
]


def circuits(layout, order, gate, batch=2):
    """The two circuits of a layer, with the number of wires beyond the layout's that each has."""
    rng = np.random.default_rng(layout.n + 10 * order)
    x, angles = rng.normal(size=(batch, subspace_dim(layout.n, order))), rng.normal(size=layout.n_gates)

    def load_and_rotate():
        subspace_loader(x if batch > 1 else x[0], order, range(layout.n))
        orthogonal_layer(angles, layout, gate=gate)

    return (load_and_rotate, 0), (lambda: interfere(x if batch > 1 else x[0], angles, layout, (order,), gate), 1)


def probabilities(gates, n_wires):
    @qml.qnode(qml.device("default.qubit", wires=n_wires))
    def circuit():
        for gate in gates:
            qml.apply(gate)
        return qml.probs(wires=range(n_wires))

    return circuit()


def by_density_matrix(circuit, n, order, n_more, batch, noise):
    """The chances of the outcomes in the sector, by default.mixed."""

    @qml.qnode(qml.device("default.mixed", wires=n + n_more))
    def node():
        circuit()
        return qml.probs(wires=[*range(n, n + n_more), *range(n)])

    native = qml.transforms.decompose(qml.transforms.broadcast_expand(node), gate_set=native_set())
    found = np.asarray(qml.noise.add_noise(native, noise.model())())
    return found.reshape(batch, 2**n_more, 2**n)[:, :, subset_integers(n, order)]


def native_set():
    return {"CNOT", "RX", "RY", "RZ", "Hadamard", "PauliX", "T", "Adjoint(T)", "PhaseShift", "GlobalPhase"}


@pytest.mark.parametrize(("layout", "order", "gate"), CASES, ids=str)
@pytest.mark.parametrize("which", [0, 1], ids=["load and rotate", "interfere"])
def test_a_trajectory_is_the_circuit_with_pauli_gates_where_errors_are(layout, order, gate, which):
    n = layout.n
    circuit, n_more = circuits(layout, order, gate, batch=1)[which]
    operations = list(_expanded(make_qscript(circuit)().operations))
    run = _Circuit(operations, n, order, n_more, 1)
    rng = np.random.default_rng(0)
    drawn = [_draw_errors(run.places(), 0.05, rng) for _ in range(8)]
    everything = run.window(n)
    for errors, amplitudes in run.trajectories(drawn, run.window(0), everything, everything):
        gates = [
            gate
            for index, operation in enumerate(operations)
            for gate in _with_errors(native_gates(operation), [e[1:] for e in errors if e[0] == index])
        ]
        found = np.zeros(2 ** (n + n_more))
        found[everything.states] = np.abs(amplitudes[:-1, 0]) ** 2
        np.testing.assert_allclose(found, probabilities(gates, n + n_more), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("layout", "order", "gate"), CASES[:4], ids=str)
@pytest.mark.parametrize("which", [0, 1], ids=["load and rotate", "interfere"])
def test_all_single_errors_together_are_the_first_order_of_the_density_matrix(layout, order, gate, which):
    n, p = layout.n, 1e-6
    circuit, n_more = circuits(layout, order, gate)[which]
    run = _Circuit(list(_expanded(make_qscript(circuit)().operations)), n, order, n_more, 2)
    places = run.places()
    single = [[(*place, pauli)] for place, pauli in product(places, range(3))]
    sector = run.window(0)
    chances = 0.0
    for errors, amplitudes in run.trajectories(single, sector, run.window(n), sector):
        weight = p / 3 * (1 - p) ** (len(places) - 1) if errors else (1 - p) ** len(places)
        chances += weight * np.abs(amplitudes[:-1]) ** 2
    rows = sector.find(np.arange(2**n_more)[:, None] + (subset_integers(n, order) << n_more))
    found = np.moveaxis(chances[rows], 2, 0)  # (batch, last wire, D)
    exact, perfect = (by_density_matrix(circuit, n, order, n_more, 2, Noise(each)) for each in (p, 0.0))
    # The second order is below (p len(places))^2; the first is what the noise does.
    assert np.abs(exact - perfect).max() > 3e-7
    np.testing.assert_allclose(found, exact, rtol=0, atol=(p * len(places)) ** 2)


@pytest.mark.parametrize("which", [0, 1], ids=["load and rotate", "interfere"])
def test_the_mean_of_many_is_the_density_matrix(which):
    layout, order, noise = brickwork(3), 1, Noise(0.03, 0.02)
    circuit, n_more = circuits(layout, order, "rbs")[which]
    rng = np.random.default_rng(1)
    draw = [noisy_outcomes(circuit, 3, order, n_more, 2, noise, Trajectories(10, 3), rng) for _ in range(60)]
    off = np.mean(draw, axis=0) - by_density_matrix(circuit, 3, order, n_more, 2, noise)
    assert np.all(np.abs(off) < 5 * np.std(draw, axis=0) / np.sqrt(60))


def test_errors_are_drawn_as_often_as_they_happen():
    places, p, rng = [(index, 0, 0) for index in range(30)], 0.04, np.random.default_rng(0)
    drawn = [_draw_errors(places, p, rng) for _ in range(4000)]
    count = np.array([len(errors) for errors in drawn])
    assert count.min() == 1
    mean = 30 * p / (1 - (1 - p) ** 30)  # of a binomial number that is not zero
    assert abs(count.mean() - mean) < 5 * count.std() / np.sqrt(len(count))
    where = np.bincount([error[0] for errors in drawn for error in errors], minlength=30)
    assert where.min() > 0.6 * where.mean()
    assert np.ptp(np.bincount([error[3] for errors in drawn for error in errors])) < 0.2 * count.sum() / 3
    assert all(list(errors) == sorted(errors) for errors in drawn)


@pytest.mark.parametrize("protocol", ["interference", "magnitudes"])
@pytest.mark.parametrize("post_select", [True, False])
@pytest.mark.parametrize("noise", [None, Noise(), Noise(readout=0.03)], ids=str)
def test_without_depolarising_both_machines_agree(noise, post_select, protocol):
    rng = np.random.default_rng(0)
    asked = rng.normal(size=(3, 6)), rng.normal(size=6), brickwork(4), 2
    options = {"noise": noise, "post_select": post_select, "protocol": protocol}
    ours, theirs = (measure_layer(*asked, **options, trajectories=t) for t in (Trajectories(1, 0), None))
    np.testing.assert_allclose(ours.y, theirs.y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.kept, theirs.kept, rtol=0, atol=1e-12)


def test_more_vectors_than_share_their_errors_and_seeds():
    rng = np.random.default_rng(0)
    asked = rng.normal(size=(70, 3)), rng.normal(size=3), brickwork(3), 1
    first, again, other = (
        measure_layer(*asked, noise=Noise(0.05), trajectories=Trajectories(2), seed=seed).y for seed in (1, 1, 2)
    )
    assert first.shape == (70, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_shots_scatter_about_the_mean():
    rng = np.random.default_rng(0)
    x, angles = np.repeat(rng.normal(size=(1, 6)), 50, axis=0), rng.normal(size=6)
    options = {"noise": Noise(0, 0.02), "trajectories": Trajectories(1)}
    mean = measure_layer(x[:1], angles, brickwork(4), 2, **options)
    runs = measure_layer(x, angles, brickwork(4), 2, shots=2000, seed=2, **options)
    chi_squared = np.mean(((runs.y - mean.y) / runs.standard_error) ** 2)
    assert abs(chi_squared - 1) < 5 * np.sqrt(2 / 50)


def test_forty_wires_with_noise():
    n, order = 40, 1
    rng = np.random.default_rng(0)
    x, angles = rng.normal(size=(2, n)), rng.normal(size=n * (n - 1) // 2)
    read = measure_layer(x, angles, brickwork(n), order, noise=Noise(readout=0.01), trajectories=Trajectories(1))
    np.testing.assert_allclose(read.kept, weight_kept(n, order, 0.01), rtol=0, atol=1e-12)
    kept = [
        measure_layer(x, angles, brickwork(n), order, noise=Noise(p), trajectories=Trajectories(4), seed=0).kept
        for p in (0.0, 1e-4, 1e-2)
    ]
    np.testing.assert_allclose(kept[0], 1, atol=1e-12)
    assert np.all(np.diff(kept, axis=0) < 0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1), ValueError, "at least 1 trajectory, and a reach of at least 0, got number=0, reach=1"),
        ((1, -1), ValueError, "got number=1, reach=-1"),
        ((1.5, 1), TypeError, "number must be an integer"),
        ((1, 0.5), TypeError, "reach must be an integer"),
    ],
    ids=str,
)
def test_bad_trajectories_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Trajectories(*arguments)


def test_what_is_no_trajectories_is_refused():
    with pytest.raises(TypeError, match=r"trajectories must be a Trajectories, such as Trajectories\(16\), got 8"):
        measure_layer([[1.0, 2.0]], [0.3], staircase(2), 1, noise=Noise(0.1), trajectories=8)


def test_sectors_that_do_not_fit_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(MemoryError, match="noise on 60 wires with the weights 3 to 5 needs"):
        noisy_outcomes(lambda: None, 60, 4, 0, 2000, Noise(0.1), Trajectories(1), rng)
