"""weight_block is the slice of PennyLane's 2^n x 2^n matrix, taken without making that matrix."""

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp

from qicircuits import brickwork, round_robin, staircase
from qicircuits.circuits import FBS, RBS, orthogonal_layer, weight_block
from qicircuits.subsets import subset_integers

# Every kind of operation: with a matrix, with a decomposition only, wide, wrapped, complex, without wires.
REAL_POOL = [
    RBS(0.3, [3, 1]),
    FBS(-0.4, [0, 1, 2, 3, 4]),
    qml.CZ([0, 4]),
    qml.SWAP([1, 4]),
    qml.SingleExcitation(0.5, [2, 0]),
    qml.DoubleExcitation(0.6, [4, 2, 0, 1]),
    qml.adjoint(FBS(0.7, [4, 3, 2])),
    qml.pow(RBS(0.8, [0, 2]), 3),
    qml.ctrl(RBS(0.9, [2, 3]), 0),
    qml.prod(qml.CZ([0, 1]), RBS(1.1, [0, 3])),
    qml.OrbitalRotation(1.2, [0, 1, 3, 4]),
    qml.Barrier([0, 1, 2]),
    qml.Snapshot("here"),
    qml.MultiControlledX([0, 1, 2]) @ qml.MultiControlledX([0, 1, 2]),
    qml.QubitUnitary(np.diag([1.0, -1.0, 1.0, -1.0]), [2, 4]),
]
COMPLEX_POOL = [
    qml.GlobalPhase(0.3),
    qml.T(2),
    qml.pow(RBS(0.8, [0, 2]), 2.5),  # complex by rounding
    qml.FermionicSingleExcitation(0.4, [1, 2, 3]),
    qml.FermionicSWAP(0.5, [0, 3]),
    qml.ISWAP([1, 4]),
    qml.PhaseShift(0.6, 0),
    qml.IsingXY(0.7, [2, 3]),
    qml.adjoint(qml.S(4)),
]


def slices(matrix, n):
    for weight in range(n + 1):
        rows = subset_integers(n, weight)
        yield weight, matrix[np.ix_(rows, rows)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("pool", "dtype"), [(REAL_POOL, np.float64), (REAL_POOL + COMPLEX_POOL, np.complex128)])
def test_a_mixed_circuit_is_sliced_at_every_weight(pool, dtype, seed):
    order = np.random.default_rng(seed).permutation(len(pool))
    circuit = [pool[index] for index in order]
    for weight, expected in slices(qml.matrix(qml.tape.QuantumScript(circuit), wire_order=range(5)), 5):
        block = weight_block(circuit, weight)
        assert block.dtype == dtype
        np.testing.assert_allclose(block, expected, rtol=0, atol=1e-13)


def test_the_block_is_what_the_device_does_to_basis_states():
    operations = orthogonal_layer(np.random.default_rng(0).normal(size=6), round_robin(4), gate="rbs")

    @qml.qnode(qml.device("default.qubit", wires=4))
    def column(occupied):
        qml.BasisState(np.array(occupied), wires=range(4))
        for operation in operations:
            qml.apply(operation)
        return qml.state()

    rows = subset_integers(4, 2)  # 1100, 1010, 1001, 0110, 0101, 0011
    states = [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]]
    expected = np.stack([column(state)[rows] for state in states], axis=1)
    np.testing.assert_allclose(weight_block(operations, 2), expected, rtol=0, atol=1e-14)


def test_a_circuit_is_an_operation_a_list_a_tape_a_function_or_a_qnode():
    operations = [RBS(0.3, [0, 1]), FBS(0.5, [0, 1, 2])]

    def function():
        for operation in operations:
            qml.apply(operation)
        return qml.expval(qml.Z(0))

    expected = weight_block(operations, 1)
    assert expected.shape == (3, 3)
    kinds = [
        tuple(operations),
        qml.tape.QuantumScript(operations, [qml.probs()]),
        function,
        qml.QNode(function, qml.device("default.qubit", wires=3)),
        qml.prod(*reversed(operations)),  # a product is written as matrices are, the last factor acts first
    ]
    for circuit in kinds:
        np.testing.assert_allclose(weight_block(circuit, 1), expected, rtol=0, atol=1e-15)


def test_wires_give_the_order_and_may_be_more_than_the_circuit_uses():
    gate = RBS(0.3, ["b", "a"])
    np.testing.assert_array_equal(weight_block(gate, 1), RBS(-0.3, [0, 1]).matrix()[2:0:-1, 2:0:-1])
    for weight, expected in slices(qml.matrix(gate, wire_order=["b", 7, "a"]), 3):
        np.testing.assert_allclose(weight_block(gate, weight, wires=["b", 7, "a"]), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_an_empty_circuit_is_the_identity(n):
    for weight in range(n + 1):
        rows = subset_integers(n, weight)
        np.testing.assert_array_equal(weight_block([], weight, wires=range(n)), np.eye(len(rows)))


def test_columns_are_columns_of_the_block():
    circuit = orthogonal_layer(np.random.default_rng(0).normal(size=10), brickwork(5))
    np.testing.assert_array_equal(weight_block(circuit, 2, columns=[7, 0, 7]), weight_block(circuit, 2)[:, [7, 0, 7]])
    assert weight_block(circuit, 2, columns=[]).shape == (10, 0)


def test_nothing_is_queued_while_a_block_is_taken():
    with qml.queuing.AnnotatedQueue() as queue:
        weight_block(qml.adjoint(FBS(0.3, range(8))), 1)
        before = len(queue)
    assert before == 1  # the operation written in the call itself


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
def test_forty_wires_are_far_beyond_any_full_matrix(gate):
    n, angle = 40, 0.2
    layout = staircase(n)
    # Particle 0 walks down the staircase: amplitude s^j c after j steps, and s^(n-1) at the end.
    block = weight_block(orthogonal_layer(np.full(n - 1, angle), layout, gate=gate), 1, columns=[0])
    expected = np.sin(angle) ** np.arange(n) * np.where(np.arange(n) < n - 1, np.cos(angle), 1)
    np.testing.assert_allclose(block[:, 0], expected, rtol=1e-13)


def test_a_wide_gate_is_taken_apart():
    gate = FBS(0.3, range(40))
    block = weight_block(gate, 2, columns=[0, 38])  # |1100...0>, |10...01>
    outer_to_last = (40 - 1) + 38 - 1  # the index of the subset (1, 39)
    assert block[0, 0] == pytest.approx(np.cos(0.3))
    assert block[outer_to_last, 0] == pytest.approx(-np.sin(0.3))
    np.testing.assert_array_equal(block[:, 1], np.eye(len(block))[38])


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_torch_gradients_are_right_also_where_a_gate_is_the_identity(angle):
    layout = round_robin(4)
    angles = torch.full((layout.n_gates,), angle, dtype=torch.float64, requires_grad=True)
    for gate in ("rbs", "fbs"):
        assert torch.autograd.gradcheck(
            lambda theta, gate=gate: weight_block(orthogonal_layer(theta, layout, gate=gate), 2), angles
        )


def test_complex_gates_between_torch_gates_keep_the_gradient():
    def block(theta):
        return weight_block([RBS(theta, [0, 1]), qml.T(0), qml.CZ([0, 1]), FBS(theta, [0, 1, 2])], 2)

    theta = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    assert block(theta).dtype == torch.complex128
    assert torch.autograd.gradcheck(block, theta)


def test_a_phase_whose_value_is_real_keeps_its_gradient():
    phase = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: weight_block([RBS(0.3, [0, 1]), qml.PhaseShift(p, 0)], 1), phase)


def test_autograd_gradients_are_those_of_torch():
    layout = round_robin(4)
    values = np.random.default_rng(0).normal(size=layout.n_gates)

    def cost(angles):
        return qml.math.sum(weight_block(orthogonal_layer(angles, layout, gate="fbs"), 2) ** 3)

    angles = torch.tensor(values, requires_grad=True)
    cost(angles).backward()
    np.testing.assert_allclose(qml.grad(cost)(pnp.array(values)), angles.grad, rtol=0, atol=1e-13)


def test_short_angles_are_worked_on_in_double_precision():
    angles = torch.tensor([0.3, 0.4], requires_grad=True)
    block = weight_block(orthogonal_layer(angles, staircase(3)), 1)
    assert block.dtype == torch.float64
    block.sum().backward()
    assert angles.grad.dtype == torch.float32


@pytest.mark.parametrize(
    "operation",
    [
        qml.Hadamard(0),
        qml.RX(1e-3, 0),
        qml.CNOT([0, 1]),
        qml.BasisState(np.zeros(2, dtype=int), [0, 1]),
        qml.AmplitudeDamping(0.1, 0),
        qml.QFT(range(7)),
        qml.FermionicSingleExcitation(0.3, range(11)),
        qml.adjoint(qml.prod(qml.X(0), RBS(0.3, [1, 2]))),
    ],
    ids=str,
)
def test_an_operation_that_may_not_preserve_the_weight_is_refused_by_name(operation):
    name = f"{operation.name} on wires {operation.wires.tolist()}"
    with pytest.raises(ValueError, match="must preserve the Hamming weight") as error:
        weight_block([RBS(0.1, [0, 1]), operation], 1)
    assert str(error.value).endswith(f"got {name}")


def test_a_measurement_in_the_middle_is_refused():
    with pytest.raises(ValueError, match=r"must preserve the Hamming weight.*got MidMeasure"):
        weight_block(lambda: qml.measure(0), 1)


def test_what_does_not_fit_is_refused():
    gate = RBS(0.1, [0, 1])
    with pytest.raises(ValueError, match="without a batch of parameters, got a batch of 2 in RBS"):
        weight_block(RBS(np.array([0.1, 0.2]), [0, 1]), 1)
    with pytest.raises(ValueError, match=r"must hold every wire of the circuit, got \[0, 2\] without \[1\]"):
        weight_block(gate, 1, wires=[0, 2])
    with pytest.raises(ValueError, match=r"need an order, wires=\[...\], got \['a', 0\]"):
        weight_block(RBS(0.1, ["a", 0]), 1)
    with pytest.raises(ValueError, match=r"on 2 wires is in 0\.\.2, got weight=3"):
        weight_block(gate, 3)
    with pytest.raises(ValueError, match=r"columns of this block are in 0..1, got \[0, 2\]"):
        weight_block(gate, 1, columns=[0, 2])
    for wrong in (3, [gate, 3], "RBS", qml.expval(qml.Z(0))):
        with pytest.raises(TypeError, match=r"a circuit is made of PennyLane operations, such as .*, got"):
            weight_block(wrong, 1)


def test_parameters_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match=r"must be finite, got RBS with \(nan,\)"):
        weight_block(RBS(float("nan"), wires=[0, 1]), 1)
