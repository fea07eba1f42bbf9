"""What loaders refuse: data that no state can have, before any gate is made."""

import numpy as np
import pennylane as qml
import pytest
import torch

from qicircuits import subspace_dim
from qicircuits.circuits import clifford_loader, direct_sum_loader, slater_loader, subspace_loader, unary_loader
from qicircuits.circuits.loaders import Loader

VECTORS = {
    "zero": ([0.0, 0.0, 0.0], ValueError, "a state needs a vector with a direction, got 3 zeros"),
    "zero in a batch": ([[1, 2, 3], [0, 0, 0]], ValueError, "got 3 zeros"),
    "nan": ([1.0, np.nan, 0.0], ValueError, "the entries of a vector must be finite, got nan"),
    "infinite": (torch.tensor([1.0, torch.inf, 0.0]), ValueError, "must be finite, got inf"),
    "short": ([1.0, 2.0], ValueError, r"has shape \(3,\) or \(batch, 3\), got \(2,\)"),
    "one batch too many": (np.ones((1, 1, 3)), ValueError, r"got \(1, 1, 3\)"),
    "empty batch": (np.ones((0, 3)), ValueError, r"got \(0, 3\)"),
    "number": (3.0, ValueError, r"got \(\)"),
    "ragged": ([[1, 2, 3], [1]], ValueError, "must be an array, got lists of different lengths"),
    "complex": ([1j, 2, 3], TypeError, "must be real numbers, got complex128"),
    "words": (["1", "2", "3"], TypeError, "must be real numbers, got str"),
    "truth": ([True, False, True], TypeError, "must be real numbers, got bool"),
    "nothing": (None, TypeError, "must be real numbers, got object"),
}


@pytest.mark.parametrize(("vector", "error", "message"), VECTORS.values(), ids=VECTORS)
def test_vectors_that_cannot_be_loaded_are_refused_before_a_gate_is_made(vector, error, message):
    loads = [
        lambda: unary_loader(vector, range(3)),
        lambda: unary_loader(vector, range(3), "tree"),
        lambda: subspace_loader(vector, 2, range(3)),
        lambda: direct_sum_loader(vector, (1,), range(3)),
        lambda: clifford_loader(vector, range(3)),
    ]
    with qml.queuing.AnnotatedQueue() as queue:
        for load in loads:
            with pytest.raises(error, match=message):
                load()
    assert not queue.queue


ORBITALS_REFUSED = {
    "not orthonormal": (np.ones((3, 2)), ValueError, r"V\^T V = I, got max \|V\^T V - I\| = 3.0e\+00"),
    "rows": (np.eye(3)[:2], ValueError, r"orbitals on 3 wires have shape \(3, k\) with k <= 3, got \(2, 3\)"),
    "too many": (np.ones((3, 4)), ValueError, r"got \(3, 4\)"),
    "vector": ([1.0, 0.0, 0.0], ValueError, r"got \(3,\)"),
    "nan": ([[np.nan], [0.0], [1.0]], ValueError, "orbitals must be finite, got nan"),
    "complex": (1j * np.eye(3), TypeError, "orbitals must be real numbers, got complex128"),
}


@pytest.mark.parametrize(("orbitals", "error", "message"), ORBITALS_REFUSED.values(), ids=ORBITALS_REFUSED)
def test_orbitals_that_cannot_be_loaded_are_refused(orbitals, error, message):
    with pytest.raises(error, match=message):
        slater_loader(orbitals, range(3))


def test_sectors_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match=r"an order on 3 wires is a Hamming weight in 0..3, got order=4"):
        subspace_loader([1.0], 4, range(3))
    with pytest.raises(TypeError, match=r"order must be an integer, got 1\.0"):
        subspace_loader([1.0], 1.0, range(3))
    for orders in [(), (1, 1)]:
        with pytest.raises(ValueError, match="orders must be distinct weights, at least one, got"):
            direct_sum_loader([1.0] * 6, orders, range(3))
    with pytest.raises(TypeError, match=r"orders must be a sequence of weights, such as \(1, 2\), got 2"):
        direct_sum_loader([1.0] * 6, 2, range(3))
    with pytest.raises(ValueError, match="kind must be one of 'diagonal', 'semi_diagonal', 'tree', got 'parallel'"):
        unary_loader([1.0, 2.0], range(2), "parallel")
    with pytest.raises(ValueError, match="a loader needs at least 1 wire, got none"):
        unary_loader([], [])
    with pytest.raises(MemoryError, match=r"a loader of \d+ amplitudes, with the pairs"):
        subspace_loader(np.ones(subspace_dim(50, 4)), 4, range(50))


def test_an_operation_refuses_what_is_not_in_its_plan():
    plan = unary_loader([1.0, 2.0, 3.0], range(3)).plan
    with pytest.raises(ValueError, match="this loader is planned for 3 wires, got 2"):
        Loader(np.zeros(2), range(2), plan)
    with pytest.raises(ValueError, match=r"takes angles of shape \(2,\) or \(batch, 2\), got \(3,\)"):
        Loader(np.zeros(3), range(3), plan)
