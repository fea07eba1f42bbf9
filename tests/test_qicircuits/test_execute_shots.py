"""A layer run with shots gives R x with its signs, with the error that the formulas state."""

import numpy as np
import pytest
import torch

from qicircuits import brickwork, butterfly, pyramid, staircase, subspace_dim
from qicircuits.circuits import measure_layer, run_layer
from qicircuits.resources.shots import shots_for_signed_magnitudes, shots_for_vector

CASES = [(layout, order) for layout in (staircase(2), pyramid(3), brickwork(5)) for order in range(1, layout.n)]


def request(layout, order, batch=3):
    rng = np.random.default_rng(layout.n + 10 * order)
    return rng.normal(size=(batch, subspace_dim(layout.n, order))), rng.normal(size=layout.n_gates), layout, order


@pytest.mark.parametrize("protocol", ["interference", "magnitudes"])
@pytest.mark.parametrize(("layout", "order"), CASES, ids=str)
def test_with_many_shots_both_protocols_are_exact(layout, order, protocol):
    asked = request(layout, order)
    measured = measure_layer(*asked, protocol=protocol)
    np.testing.assert_allclose(measured.y, run_layer(*asked), atol=1e-12)
    assert not measured.standard_error.any()
    np.testing.assert_allclose(measured.kept, 1, atol=1e-12)


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
@pytest.mark.parametrize("protocol", ["interference", "magnitudes"])
def test_gates_on_distant_wires(gate, protocol):
    asked = request(butterfly(4), 2)
    np.testing.assert_allclose(
        measure_layer(*asked, gate=gate, protocol=protocol).y, run_layer(*asked, gate), atol=1e-12
    )


@pytest.mark.parametrize("vector", [[0, 0, 1], [0, -1, 0], [1, 1, 1], [-1, -1, -1], [1e-200, -2e-200, 0]], ids=str)
def test_vectors_at_the_edges(vector):
    asked = [np.array([vector], dtype=float), np.zeros(3), brickwork(3), 1]
    for protocol in ("interference", "magnitudes"):
        scale = np.abs(vector).max()
        np.testing.assert_allclose(measure_layer(*asked, protocol=protocol).y / scale, asked[0] / scale, atol=1e-12)


@pytest.mark.parametrize("shots", [50, 2000])
@pytest.mark.parametrize(("layout", "order"), [(staircase(2), 1), (brickwork(4), 2)], ids=str)
def test_error_of_interference_is_that_of_the_formula(layout, order, shots):
    x, angles, *_ = request(layout, order, batch=1)
    x /= np.linalg.norm(x)
    measured = measure_layer(np.repeat(x, 500, axis=0), angles, layout, order, shots=shots, seed=7)
    off = measured.y - run_layer(x, angles, layout, order)
    squares = (off**2).sum(1)
    # Five standard deviations of a mean of 500 independent experiments.
    dim = x.shape[1]
    assert abs(squares.mean() - (dim - 1) / shots) < 5 * squares.std() / np.sqrt(500)
    assert np.all(np.abs(off.mean(0)) < 5 * off.std(0) / np.sqrt(500))
    # Counted fractions underestimate a variance by one part in the shots.
    assert (measured.standard_error**2).sum(1).mean() == pytest.approx((dim - 1) / shots, rel=0.05)
    assert shots_for_vector(dim, np.sqrt((dim - 1) / shots)) == pytest.approx(shots, abs=1)


def test_error_of_magnitudes_nears_half_of_that_of_interference():
    # No entry of y is small, so that 4,000 shots are many for every one.
    layout, order, shots = brickwork(4), 2, 4000
    x = np.array([[1.0, -1.5, 2.0, -1.0, 1.2, -1.8]]) / np.sqrt(13.13)
    measured = measure_layer(
        np.repeat(x, 500, axis=0), np.zeros(6), layout, order, shots=shots, seed=3, protocol="magnitudes"
    )
    squares = ((measured.y - x / np.linalg.norm(x)) ** 2).sum(1)
    formula = 5 / (2 * shots)
    assert abs(squares.mean() - formula) < 5 * squares.std() / np.sqrt(500) + 0.02 * formula
    assert (measured.standard_error**2).sum(1).mean() == pytest.approx(formula, rel=0.02)
    assert shots_for_signed_magnitudes(6, np.sqrt(formula)) == pytest.approx(shots, abs=2)


@pytest.mark.parametrize("protocol", ["interference", "magnitudes"])
def test_signs_are_recovered(protocol):
    rng = np.random.default_rng(0)
    for signs in rng.choice([-1.0, 1.0], size=(8, 6)):
        x = signs[None] * np.linspace(1, 2, 6)
        # y_I differs from zero by 6 standard errors or more.
        y = measure_layer(x, np.zeros(6), brickwork(4), 2, shots=4000, seed=1, protocol=protocol).y
        assert np.array_equal(np.sign(y[0]), signs)


def test_seeds_repeat_runs_and_separate_them():
    asked = request(brickwork(4), 2)
    first, again, other = (measure_layer(*asked, shots=100, seed=seed).y for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_integers_and_numbers_of_other_libraries_do():
    x, angles, layout, order = request(brickwork(4), 2)
    same = measure_layer(torch.from_numpy(x), angles.tolist(), layout, np.int64(order), shots=np.int64(100), seed=1)
    assert np.array_equal(same.y, measure_layer(x, angles, layout, order, shots=100, seed=1).y)


def test_one_shot_is_one_outcome():
    y = measure_layer(*request(brickwork(4), 2), shots=1, seed=0).y
    assert np.all(np.count_nonzero(y, axis=1) == 1)


REFUSED = {
    "zero vector": ({"vectors": np.zeros((1, 3))}, ValueError, "not zero"),
    "one dimension": ({"vectors": np.ones(3)}, ValueError, r"shape \(batch, 3\), got \(3,\)"),
    "nan": ({"vectors": [[1.0, np.nan, 0.0]]}, ValueError, "finite"),
    "no vector": ({"vectors": np.ones((0, 3))}, ValueError, r"got \(0, 3\)"),
    "complex": ({"vectors": [[1j, 1, 1]]}, TypeError, "real numbers, got complex"),
    "no order": ({"order": 0}, ValueError, r"orders 1\.\.2 of 3 wires, got 0"),
    "all wires": ({"order": 3}, ValueError, r"orders 1\.\.2 of 3 wires, got 3"),
    "half an order": ({"order": 0.5}, TypeError, "order must be an integer"),
    "no shots": ({"shots": 0}, ValueError, 'at least 1 for protocol="interference", got 0'),
    "one shot for two": ({"shots": 1, "protocol": "magnitudes"}, ValueError, "at least 2"),
    "shots of float": ({"shots": 10.0}, TypeError, "shots must be an integer"),
    "protocol": ({"protocol": "tomography"}, ValueError, "got 'tomography'"),
    "noise": ({"noise": 0.1}, TypeError, r"Noise\(depolarizing=0.01\), got 0.1"),
    "layout": ({"layout": 3}, TypeError, "layout must be a Layout"),
    "angles": ({"angles": np.ones(2)}, ValueError, "angles of shape"),
    "two layers": ({"angles": np.ones((2, 3))}, ValueError, r"shape \(3,\), got shape \(2, 3\)"),
    "gate": ({"gate": "xyz"}, ValueError, "gate must be"),
}


@pytest.mark.parametrize(("change", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_requests_are_refused(change, error, message):
    asked = {"vectors": np.ones((1, 3)), "angles": np.zeros(3), "layout": brickwork(3), "order": 1}
    with pytest.raises(error, match=message):
        measure_layer(**asked | change)
