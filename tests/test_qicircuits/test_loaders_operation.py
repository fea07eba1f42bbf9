"""Loaders are valid PennyLane operations: batches, labels, devices, drawings and gradients."""

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp

from qicircuits import random_orthogonal, subsets
from qicircuits.circuits import (
    clifford_loader,
    direct_sum_loader,
    slater_loader,
    subspace_loader,
    unary_loader,
    weight_block,
)
from qicircuits.subsets import subset_integers

ORBITALS = random_orthogonal(5, generator=torch.Generator().manual_seed(0)).double()[:, :2]


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape)


def make_loaders():
    return [
        unary_loader(numbers(4), range(4)),
        unary_loader(numbers(5), list("edcba"), "semi_diagonal"),
        unary_loader(numbers(5), range(5), "tree"),
        subspace_loader(numbers(10), 2, range(5)),
        subspace_loader(numbers(15), 4, range(6)),
        subspace_loader(numbers(20), 3, range(6)),
        direct_sum_loader(numbers(15), (4, 2), list("abcde")),
        slater_loader(ORBITALS.numpy(), range(5)),
        clifford_loader(numbers(3), range(3)),
    ]


@pytest.mark.parametrize("loader", make_loaders(), ids=lambda loader: f"{loader.plan.name}-{len(loader.wires)}")
def test_pennylane_finds_the_loader_and_its_inverse_valid(loader):
    qml.ops.functions.assert_valid(loader)
    qml.ops.functions.assert_valid(qml.adjoint(loader))


@pytest.mark.parametrize("loader", [unary_loader([-1.0], [0]), subspace_loader([-1.0], 3, range(3))], ids=str)
def test_pennylane_finds_a_signed_basis_state_valid(loader):
    # Its probabilities have no angle left in them, which the check of gradients does not expect.
    qml.ops.functions.assert_valid(loader, skip_differentiation=True)


@pytest.fixture
def decomposition_graph():
    qml.decomposition.enable_graph()
    yield
    qml.decomposition.disable_graph()


@pytest.mark.usefixtures("decomposition_graph")
@pytest.mark.parametrize("loader", make_loaders()[:-1], ids=lambda loader: f"{loader.plan.name}-{len(loader.wires)}")
def test_the_graph_of_decompositions_knows_the_loader(loader):
    tape = qml.tape.QuantumScript([loader, qml.adjoint(loader, lazy=True)])
    gate_set = {"RX", "RY", "RZ", "CNOT", "PauliX", "Hadamard", "GlobalPhase"}
    (after,), _ = qml.transforms.decompose(tape, gate_set=gate_set)
    assert {gate.name for gate in after.operations} <= gate_set
    matrix = qml.matrix(after, wire_order=loader.wires)
    np.testing.assert_allclose(matrix, np.eye(len(matrix)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
def test_devices_run_the_loader_and_its_inverse(device):
    vector = numbers(20)

    @qml.qnode(qml.device(device, wires=6))
    def circuit(vector, back):
        subspace_loader(vector, 3, range(6))
        if back:
            qml.adjoint(subspace_loader)(vector, 3, range(6))
        return qml.state()

    loaded = circuit(vector, back=False)
    expected = vector / np.linalg.norm(vector)
    np.testing.assert_allclose(loaded[subset_integers(6, 3)], expected, rtol=0, atol=1e-12)
    assert circuit(vector, back=True)[0] == pytest.approx(1, abs=1e-12)


def test_two_controls_of_a_loader_act_only_together():
    loader = direct_sum_loader(numbers(6), (1, 2), [2, 3, 4])
    state = qml.matrix(qml.ctrl(loader, [0, 1]), wire_order=range(5))[:, [0b00000, 0b01000, 0b11000]]
    np.testing.assert_allclose(state[[0, 8], [0, 1]], 1, rtol=0, atol=1e-12)
    block = subset_integers(3, 1).tolist() + subset_integers(3, 2).tolist()
    expected = numbers(6) / np.linalg.norm(numbers(6))
    np.testing.assert_allclose(state[24 + np.array(block), 2], expected, rtol=0, atol=1e-12)


def test_wires_are_labels_in_order():
    gates = unary_loader([1.0, 2.0, 3.0], wires=["c", "a", "b"], kind="semi_diagonal").decomposition()
    assert [gate.wires.tolist() for gate in gates] == [["a"], ["a", "b"], ["a", "c"]]


def test_a_drawing_names_the_loader_and_its_gates():
    loader = subspace_loader([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 2, range(4))
    box = qml.draw(lambda: qml.apply(loader))()
    assert [line.rstrip() for line in box.splitlines()] == [
        "0: ─╭subspace─┤",
        "1: ─├subspace─┤",
        "2: ─├subspace─┤",
        "3: ─╰subspace─┤",
    ]
    gates = qml.draw(loader.decomposition, decimals=None)()
    assert [line.rstrip() for line in gates.splitlines()] == [
        "0: ──X───────────╭ControlledRBS───────────┤",
        "1: ──X─╭RBS──────├ControlledRBS──────╭RBS─┤",
        "2: ────╰RBS─╭RBS─╰ControlledRBS─╭RBS─╰RBS─┤",
        "3: ─────────╰RBS────────────────╰RBS──────┤",
    ]


@pytest.mark.parametrize(
    ("load", "dim", "orders"),
    [
        (lambda x: unary_loader(x, range(4)), 4, [1]),
        (lambda x: unary_loader(x, [0]), 1, [1]),
        (lambda x: subspace_loader(x, 2, range(4)), 6, [2]),
        (lambda x: direct_sum_loader(x, (1, 2), range(4)), 10, [1, 2]),
        (lambda x: clifford_loader(x, range(4)), 4, [1]),
    ],
)
def test_a_batch_of_vectors_is_a_batch_of_circuits(load, dim, orders):
    batch = numbers(3, dim)
    n = len(load(batch).wires)
    where = np.concatenate([subset_integers(n, order) for order in orders])

    @qml.qnode(qml.device("default.qubit", wires=n))
    def circuit():
        load(batch)
        return qml.state()

    expected = batch / np.linalg.norm(batch, axis=1, keepdims=True)
    np.testing.assert_allclose(circuit()[:, where], expected, rtol=0, atol=1e-12)


NUMBERS = [3, 0, -4]


@pytest.mark.parametrize(
    "vector",
    [
        NUMBERS,
        tuple(NUMBERS),
        [3.0, np.float32(0), torch.tensor(-4.0)],
        *(np.array(NUMBERS, dtype=dtype) for dtype in ("float32", "int8")),
        *(torch.tensor(NUMBERS, dtype=dtype) for dtype in (torch.float64, torch.bfloat16, torch.int64)),
        pnp.array(NUMBERS),
    ],
    ids=repr,
)
def test_numbers_of_any_library(vector):
    angles = unary_loader(vector, range(3)).data[0]
    assert qml.math.get_dtype_name(angles) == "float64"
    np.testing.assert_allclose(angles, [np.arctan2(4, 3), -np.pi / 2], rtol=1e-15)


LOADS = {
    "diagonal": (lambda x: unary_loader(x, range(5)), 5, [1]),
    "semi_diagonal": (lambda x: unary_loader(x, range(5), "semi_diagonal"), 5, [1]),
    "tree": (lambda x: unary_loader(x, range(5), "tree"), 5, [1]),
    "clifford": (lambda x: clifford_loader(x, range(5)), 5, [1]),
    "subspace": (lambda x: subspace_loader(x, 2, range(5)), 10, [2]),
    "direct_sum": (lambda x: direct_sum_loader(x, (2, 1), range(5)), 15, [2, 1]),
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_gradients_are_those_of_the_unit_vector(load):
    load, dim, orders = load
    where = np.concatenate([subset_integers(5, order) for order in orders])

    @qml.qnode(qml.device("default.qubit", wires=5), interface="torch", diff_method="backprop")
    def circuit(vector):
        load(vector)
        return qml.state()

    vector = torch.tensor(3 * numbers(dim), requires_grad=True)
    weights = torch.tensor(np.random.default_rng(1).normal(size=dim))
    (circuit(vector)[where].real * weights).sum().backward()
    expected = torch.autograd.grad((vector / vector.norm() * weights).sum(), vector)[0]
    torch.testing.assert_close(vector.grad, expected, rtol=0, atol=1e-12)


def test_gradients_of_slater_determinants_are_those_of_minors():
    orbitals = ORBITALS.clone().requires_grad_()

    @qml.qnode(qml.device("default.qubit", wires=5), interface="torch", diff_method="backprop")
    def circuit(orbitals):
        slater_loader(orbitals, range(5))
        return qml.state()

    weights = torch.tensor(numbers(10))
    (circuit(orbitals)[subset_integers(5, 2)].real * weights).sum().backward()
    twin = ORBITALS.clone().requires_grad_()
    minors = torch.stack([twin[i, 0] * twin[j, 1] - twin[j, 0] * twin[i, 1] for i, j in subsets(5, 2)])
    (minors * weights).sum().backward()
    skew = torch.tensor(numbers(5, 5))
    along = (skew - skew.T) @ ORBITALS  # orthonormal columns stay so in this direction
    torch.testing.assert_close((orbitals.grad * along).sum(), (twin.grad * along).sum(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_gradients_are_finite_where_parts_of_the_vector_are_zero(load):
    load, dim, _ = load
    vector = torch.zeros(dim, dtype=torch.float64)
    vector[dim // 2] = -2.0
    vector.requires_grad_()
    load(vector).data[0].sum().backward()
    assert vector.grad.isfinite().all()


def test_parameter_shift_and_backprop_agree_through_a_loader():
    def cost(vector, diff_method):
        @qml.qnode(qml.device("default.qubit", wires=4), diff_method=diff_method)
        def circuit(vector):
            subspace_loader(vector, 2, range(4))
            return qml.expval(qml.Z(0) @ qml.Z(2) + qml.X(1) @ qml.X(3))

        return circuit(vector)

    vector = pnp.array(numbers(6))
    backprop = qml.grad(cost)(vector, "backprop")
    assert np.abs(backprop).max() > 0.1
    np.testing.assert_allclose(qml.grad(cost)(vector, "parameter-shift"), backprop, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("loader", "order", "column"),
    [
        (subspace_loader(numbers(10), 2, range(5)), 2, numbers(10) / np.linalg.norm(numbers(10))),
        (
            slater_loader(ORBITALS.numpy(), range(5)),
            2,
            [np.linalg.det(ORBITALS[list(rows)]) for rows in subsets(5, 2)],
        ),
    ],
)
def test_the_rotations_of_a_loader_have_the_data_as_their_first_column(loader, order, column):
    rotations = [gate for gate in loader.decomposition() if gate.name != "PauliX"]
    block = weight_block(rotations, order, range(5))
    np.testing.assert_allclose(block[:, 0], column, rtol=0, atol=1e-12)
