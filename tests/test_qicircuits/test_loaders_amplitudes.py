"""A loaded state has the data as its amplitudes, signs and zeros included, and the inverse takes it back."""

import itertools

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qicircuits import brickwork, compound_matrix, orthogonal_from_angles, random_orthogonal, subsets, subspace_dim
from qicircuits.circuits import (
    clifford_loader,
    direct_sum_loader,
    orthogonal_layer,
    slater_loader,
    subspace_loader,
    unary_loader,
    weight_block,
)
from qicircuits.free_fermion import amplitude, evolve
from qicircuits.subsets import subset_integers

KINDS = ("diagonal", "semi_diagonal", "tree")


def state_of(n, *operations, device="default.qubit"):
    """The state that a device reaches from |0...0>, shape (..., 2^n)."""

    @qml.qnode(qml.device(device, wires=n))
    def circuit():
        for operation in operations:
            qml.apply(operation)
        return qml.state()

    return circuit()


def embedded(vector, n, orders):
    """The unit vector among all 2^n amplitudes."""
    x = np.asarray(vector, dtype=np.float64)
    x = x / np.abs(x).max(axis=-1, keepdims=True)
    full = np.zeros((*x.shape[:-1], 2**n))
    full[..., np.concatenate([subset_integers(n, order) for order in orders])] = x
    return full / np.linalg.norm(full, axis=-1, keepdims=True)


def assert_loads(loader, vector, orders):
    n = len(loader.wires)
    expected = embedded(vector, n, orders)
    np.testing.assert_allclose(state_of(n, loader), expected, rtol=0, atol=1e-12)
    back = state_of(n, loader, qml.adjoint(loader))
    np.testing.assert_allclose(back, np.broadcast_to(np.eye(2**n)[0], back.shape), rtol=0, atol=1e-12)


def vectors(dim, seed=0):
    """Dense, sparse, all of one sign, and every vector with one entry, of either sign if they are few."""
    rng = np.random.default_rng(seed)
    yield rng.normal(size=dim)
    yield -np.abs(rng.normal(size=dim))
    for density in (0.3, 0.6):
        sparse = rng.normal(size=dim) * (rng.random(dim) < density)
        if sparse.any():
            yield sparse
    for index in range(dim) if dim <= 6 else (0, dim // 2, dim - 1):
        yield from (np.eye(dim)[index], -3 * np.eye(dim)[index])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", range(1, 7))
def test_unary(n, kind):
    for vector in vectors(n):
        assert_loads(unary_loader(vector, range(n), kind), vector, [1])


@pytest.mark.parametrize(("n", "order"), [(n, order) for n in range(1, 7) for order in range(n + 1)])
def test_subspace(n, order):
    for vector in vectors(subspace_dim(n, order)):
        assert_loads(subspace_loader(vector, order, range(n)), vector, [order])


@pytest.mark.parametrize("n", range(1, 7))
def test_the_subspace_loader_of_weight_one_is_the_diagonal_unary_loader(n):
    for vector in vectors(n):
        ours, unary = subspace_loader(vector, 1, range(n)), unary_loader(vector, range(n))
        assert ours.plan.slots == unary.plan.slots
        np.testing.assert_array_equal(ours.data[0], unary.data[0])


@pytest.mark.parametrize("n", range(1, 5))
def test_direct_sums_of_all_sets_of_orders(n):
    rng = np.random.default_rng(n)
    for count in range(1, n + 2):
        for orders in itertools.permutations(range(n + 1), count):
            dim = sum(subspace_dim(n, order) for order in orders)
            vector = rng.normal(size=dim) * (rng.random(dim) < 0.7)
            vector[rng.integers(dim)] = -1
            assert_loads(direct_sum_loader(vector, orders, range(n)), vector, orders)


@pytest.mark.parametrize("n", [5, 6])
@pytest.mark.parametrize("orders", [(1, 2), (1, 2, 3), (3, 1), (2, 4), (0, 1, 2, 3, 4, 5)])
def test_direct_sums_of_adapters(n, orders):
    for vector in vectors(sum(subspace_dim(n, order) for order in orders)):
        assert_loads(direct_sum_loader(vector, orders, range(n)), vector, orders)


def test_one_empty_sector_of_a_direct_sum_stays_empty():
    vector = np.concatenate((np.zeros(4), np.arange(1.0, 7.0), np.zeros(4)))
    assert_loads(direct_sum_loader(vector, (1, 2, 3), range(4)), vector, (1, 2, 3))


@pytest.mark.parametrize(("n", "order"), [(n, order) for n in range(1, 7) for order in range(n + 1)])
def test_slater_determinants_are_columns_of_compounds(n, order):
    matrices = [random_orthogonal(n, generator=torch.Generator().manual_seed(seed)).double() for seed in range(2)]
    permuted = torch.eye(n).double()[torch.randperm(n, generator=torch.Generator().manual_seed(0))]
    for matrix in [*matrices, torch.eye(n).double(), -permuted]:
        compound = compound_matrix(matrix, order).numpy()
        for index, columns in enumerate(subsets(n, order)):
            loader = slater_loader(matrix[:, list(columns)].numpy(), range(n))
            assert_loads(loader, compound[:, index], [order])


def test_slater_determinants_are_those_of_free_fermions():
    layout = brickwork(6)
    angles = torch.randn(layout.n_gates, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    orbitals = evolve([0, 2, 3], angles, layout)
    loaded = state_of(6, slater_loader(orbitals, range(6)))[subset_integers(6, 3)]
    np.testing.assert_allclose(loaded, amplitude(orbitals, subsets(6, 3)), rtol=0, atol=1e-12)
    circuit = [qml.BasisState(np.array([1, 0, 1, 1, 0, 0]), range(6)), *orthogonal_layer(angles, layout)]
    np.testing.assert_allclose(loaded, state_of(6, *circuit)[subset_integers(6, 3)], rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", range(1, 7))
def test_the_clifford_loader_is_a_combination_of_majoranas(n):
    wires = range(n)
    strings = [qml.prod(*(qml.Z(wire) for wire in range(i)), qml.X(i)) for i in wires]
    majoranas = [qml.matrix(string, wire_order=wires) for string in strings]
    for vector in vectors(n):
        expected = sum(x * majorana for x, majorana in zip(vector, majoranas, strict=True)) / np.linalg.norm(vector)
        matrix = qml.matrix(clifford_loader(vector, wires), wire_order=wires)
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-12)
        assert_loads(clifford_loader(vector, wires), vector, [1])


@pytest.mark.parametrize(("n", "order"), [(n, order) for n in range(1, 6) for order in range(1, n + 1)])
def test_clifford_loaders_of_orthonormal_vectors_make_slater_determinants(n, order):
    orbitals = random_orthogonal(n, generator=torch.Generator().manual_seed(3)).double()[:, :order].numpy()
    steps = [clifford_loader(column, range(n)) for column in orbitals.T[::-1]]
    expected = state_of(n, slater_loader(orbitals, range(n)))
    np.testing.assert_allclose(state_of(n, *steps), expected, rtol=0, atol=1e-12)


def test_a_loaded_vector_goes_through_a_layer_as_through_the_compound():
    layout = brickwork(5)
    angles = torch.randn(layout.n_gates, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vector = np.random.default_rng(0).normal(size=10)
    vector /= np.linalg.norm(vector)
    state = state_of(5, subspace_loader(vector, 2, range(5)), *orthogonal_layer(angles.numpy(), layout))
    expected = compound_matrix(orthogonal_from_angles(angles), 2).numpy() @ vector
    np.testing.assert_allclose(state[subset_integers(5, 2)], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "order"), [(8, 4), (9, 7), (10, 5), (12, 3), (20, 2)])
def test_large_sectors_by_their_weight_block(n, order):
    vector = np.random.default_rng(0).normal(size=subspace_dim(n, order))
    vector[::3] = 0
    rotations = [gate for gate in subspace_loader(vector, order, range(n)).decomposition() if gate.name != "PauliX"]
    column = weight_block(rotations, order, range(n), columns=[0])[:, 0]
    np.testing.assert_allclose(column, vector / np.linalg.norm(vector), rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [1, 20, 59])
def test_large_slater_determinants_have_their_orbitals(order):
    orbitals = random_orthogonal(60, generator=torch.Generator().manual_seed(0)).double()[:, :order].numpy()
    rotations = [gate for gate in slater_loader(orbitals, range(60)).decomposition() if gate.name != "PauliX"]
    columns = weight_block(rotations, 1, range(60), columns=range(order))
    overlap = orbitals.T @ columns  # a rotation of the orbitals among each other leaves the state as it is
    np.testing.assert_allclose(orbitals @ overlap, columns, rtol=0, atol=1e-12)
    assert np.linalg.det(overlap) == pytest.approx(1, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_numbers_that_are_not_all_zero(data):
    n = data.draw(st.integers(1, 5))
    orders = data.draw(st.lists(st.integers(0, n), min_size=1, max_size=3, unique=True))
    dim = sum(subspace_dim(n, order) for order in orders)
    numbers = st.sampled_from([0.0, -1.0, 1e-300]) | st.floats(-1e308, 1e308)
    vector = data.draw(st.lists(numbers, min_size=dim, max_size=dim).filter(any))
    assert_loads(direct_sum_loader(vector, orders, range(n)), vector, orders)
    if len(vector) <= 5:
        kind = data.draw(st.sampled_from(KINDS))
        assert_loads(unary_loader(vector, range(len(vector)), kind), vector, [1])
