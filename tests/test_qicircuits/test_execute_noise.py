"""A layer run on a noisy machine: what noise does to y, and what post-selection on the Hamming weight takes back."""

from itertools import product

import numpy as np
import pennylane as qml
import pytest

from qicircuits import brickwork, butterfly, staircase, subspace_dim
from qicircuits.circuits import Noise, measure_layer, run_layer, weight_kept
from qicircuits.subsets import subset_integers


def request(layout, order, batch=2):
    rng = np.random.default_rng(layout.n + 10 * order)
    return rng.normal(size=(batch, subspace_dim(layout.n, order))), rng.normal(size=layout.n_gates), layout, order


def error(measured, asked):
    y = run_layer(*asked)
    return np.linalg.norm(measured.y - y, axis=1) / np.linalg.norm(y, axis=1)


@pytest.mark.parametrize("protocol", ["interference", "magnitudes"])
@pytest.mark.parametrize("gate", ["rbs", "fbs"])
def test_no_noise_on_density_matrices_is_exact(gate, protocol):
    asked = request(butterfly(4), 2)
    measured = measure_layer(*asked, noise=Noise(), gate=gate, protocol=protocol)
    np.testing.assert_allclose(measured.y, run_layer(*asked, gate), atol=1e-12)


@pytest.mark.parametrize("protocol", ["interference", "magnitudes"])
@pytest.mark.parametrize(("n", "order"), [(2, 1), (3, 2), (4, 2)])
def test_the_kept_fraction_under_readout_alone_is_the_closed_form(n, order, protocol):
    for q in (0.0, 0.03, 0.5, 1.0):
        kept = measure_layer(
            *request(brickwork(n), order), noise=Noise(readout=q), protocol=protocol, post_select=False
        ).kept
        np.testing.assert_allclose(kept, weight_kept(n, order, q), atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_closed_form_is_the_sum_over_all_wrong_readings(n):
    q = 0.2
    for order in range(n + 1):
        ones = np.arange(n) < order
        total = sum(
            q ** sum(flips) * (1 - q) ** (n - sum(flips))
            for flips in product([0, 1], repeat=n)
            if np.sum(ones ^ np.array(flips, dtype=bool)) == order
        )
        assert weight_kept(n, order, q) == pytest.approx(total, abs=1e-15)


def test_readout_alone_mixes_outcomes_as_its_matrix_says():
    x, angles, layout, order = request(brickwork(4), 2, batch=1)
    q = 0.05
    y = run_layer(x, angles, layout, order)[0] / np.linalg.norm(x)
    states = subset_integers(4, order)
    u = 1 / np.sqrt(len(states))
    right = np.array([[1 - q, q], [q, 1 - q]])
    distance = np.bitwise_count(states[:, None] ^ states[None, :]).astype(float)
    mixing = q**distance * (1 - q) ** (4 - distance)
    outcomes = right @ np.array([(y + u) ** 2, (y - u) ** 2]) / 4 @ mixing
    expected = np.linalg.norm(x) * (outcomes[0] - outcomes[1]) / u
    noise = Noise(readout=q)
    np.testing.assert_allclose(measure_layer(x, angles, layout, order, noise=noise, post_select=False).y[0], expected)
    selected = measure_layer(x, angles, layout, order, noise=noise).y[0]
    np.testing.assert_allclose(selected, expected / weight_kept(4, order, q))


def test_full_depolarising_leaves_nothing():
    # p = 3/4 takes any state of a wire to the maximally mixed one: the last CNOT leaves both wires so.
    measured = measure_layer(*request(staircase(2), 1), noise=Noise(depolarizing=0.75))
    np.testing.assert_allclose(measured.y, 0, atol=1e-12)
    np.testing.assert_allclose(measured.kept, 0.5, atol=1e-12)


@pytest.mark.parametrize("protocol", ["interference", "magnitudes"])
@pytest.mark.parametrize("noise", [Noise(0.001), Noise(0.01), Noise(0, 0.02), Noise(0.003, 0.02)], ids=str)
@pytest.mark.parametrize(("n", "order"), [(3, 1), (4, 2)])
def test_post_selection_takes_back_a_part_of_the_error(n, order, noise, protocol):
    asked = request(brickwork(n), order)
    kept_all = measure_layer(*asked, noise=noise, protocol=protocol, post_select=False)
    selected = measure_layer(*asked, noise=noise, protocol=protocol)
    assert np.all(error(selected, asked) < error(kept_all, asked))
    np.testing.assert_array_equal(selected.kept, kept_all.kept)
    assert np.all(selected.kept < 1)


def test_more_noise_keeps_less_and_errs_more():
    asked = request(brickwork(4), 2)
    runs = [measure_layer(*asked, noise=Noise(p, 2 * p)) for p in (0.0, 0.001, 0.004, 0.016)]
    assert np.all(np.diff([run.kept for run in runs], axis=0) < 0)
    assert np.all(np.diff([error(run, asked) for run in runs], axis=0) > 0)


@pytest.mark.parametrize("protocol", ["interference", "magnitudes"])
def test_shots_of_a_noisy_machine_scatter_about_its_mean(protocol):
    x, angles, layout, order = request(brickwork(3), 1, batch=1)
    noise = Noise(0.01, 0.02)
    mean = measure_layer(x, angles, layout, order, noise=noise, protocol=protocol)
    repeated = np.repeat(x, 40, axis=0)
    runs = measure_layer(repeated, angles, layout, order, noise=noise, protocol=protocol, shots=4000, seed=5)
    # Over 40 x 3 numbers, chi squared per degree of freedom has a standard deviation of at most sqrt(2 / 40).
    chi_squared = np.mean(((runs.y - mean.y) / runs.standard_error) ** 2)
    assert abs(chi_squared - 1) < 5 * np.sqrt(2 / 40)
    spread = np.sqrt(mean.kept * (1 - mean.kept) / (4000 * 40))
    assert np.all(np.abs(runs.kept.mean() - mean.kept) < 5 * spread)


def test_when_no_run_is_kept_it_is_said():
    # Both bits wrong for sure keep the weight of |10>; one in two wrong loses the only run half of the time.
    vectors = np.repeat([[1.0, 2.0]], 20, axis=0)
    with pytest.raises(ValueError, match="needs a run of the right weight for every vector, got none"):
        measure_layer(vectors, [0.3], staircase(2), 1, shots=1, noise=Noise(readout=0.5), seed=0)
    free = measure_layer(
        vectors, [0.3], staircase(2), 1, shots=1, noise=Noise(readout=0.5), seed=0, post_select=False
    )
    assert set(free.kept) == {0.0, 1.0}


def test_what_does_not_fit_is_refused():
    vectors, angles, layout = np.ones((1, 24)), np.zeros(23), staircase(24)
    with pytest.raises(
        MemoryError,
        match="density matrix of 24 wires and one more, without trajectories, needs 18,014,398,509,481,984 bytes",
    ):
        measure_layer(vectors, angles, layout, 1, noise=Noise(0.01))
    with pytest.raises(MemoryError, match="the state of 48 wires and one more for each of 1 vectors needs"):
        measure_layer(np.ones((1, 48)), np.zeros(47), staircase(48), 1)


def test_the_model_reaches_gates_on_two_wires_and_readings_alone():
    @qml.noise.add_noise(noise_model=Noise(0.1, 0.2).model())
    @qml.qnode(qml.device("default.mixed", wires=3))
    def circuit():
        qml.Hadamard(0)
        qml.CNOT([0, 2])
        return qml.probs(wires=[0, 1])

    tape = qml.workflow.construct_tape(circuit, level="user")()
    placed = [(gate.name, gate.wires[0]) for gate in tape.operations if gate.num_wires == 1]
    channels = [("DepolarizingChannel", 0), ("DepolarizingChannel", 2), ("BitFlip", 0), ("BitFlip", 1)]
    assert placed == [("Hadamard", 0), *channels]


@pytest.mark.parametrize("field", ["depolarizing", "readout"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(field, value):
    with pytest.raises(ValueError, match=rf"{field} must be a probability, in 0..1, got {value}"):
        Noise(**{field: value})
    with pytest.raises(ValueError, match="readout must be a probability"):
        weight_kept(3, 1, value)
    with pytest.raises(ValueError, match="Hamming weight"):
        weight_kept(3, 4, 0.1)
