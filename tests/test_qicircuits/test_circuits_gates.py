"""RBS and FBS are valid PennyLane operations, and are the maps that their docstrings say."""

import itertools

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp

from qicircuits.circuits import FBS, RBS

ANGLE = 0.37
GATES = [
    RBS(ANGLE, [0, 1]),
    RBS(ANGLE, [1, 0]),
    RBS(-2.5, ["a", "b"]),
    FBS(ANGLE, [0, 1]),
    FBS(ANGLE, [0, 1, 2]),
    FBS(ANGLE, ["c", "b", "a", "d"]),
    FBS(-2.5, range(6)),
    FBS(ANGLE, range(7)),  # too wide for a matrix of its own
]


def basis_image(gate, bits):
    """The state that default.qubit reaches from a basis state, as {bits: amplitude}."""
    wires = range(len(bits))

    @qml.qnode(qml.device("default.qubit", wires=wires))
    def circuit():
        qml.BasisState(np.array(bits), wires=wires)
        qml.apply(gate)
        return qml.state()

    amplitudes = circuit().reshape((2,) * len(bits))
    return {index: amplitudes[index] for index in np.ndindex(amplitudes.shape) if abs(amplitudes[index]) > 1e-15}


@pytest.mark.parametrize("gate", GATES, ids=str)
def test_pennylane_finds_the_gate_valid(gate):
    qml.ops.functions.assert_valid(gate)


@pytest.mark.parametrize("wrap", [qml.adjoint, lambda gate: qml.pow(gate, 3), lambda gate: qml.ctrl(gate, "control")])
@pytest.mark.parametrize("gate", [RBS(ANGLE, [0, 1]), FBS(ANGLE, [0, 1, 2])], ids=str)
def test_pennylane_finds_the_wrapped_gate_valid(gate, wrap):
    qml.ops.functions.assert_valid(wrap(gate))


def test_rbs_rotates_one_zero_into_zero_one():
    gate = RBS(ANGLE, [0, 1])
    cos, sin = np.cos(ANGLE), np.sin(ANGLE)
    assert basis_image(gate, (1, 0)) == pytest.approx({(1, 0): cos, (0, 1): sin})
    assert basis_image(gate, (0, 1)) == pytest.approx({(0, 1): cos, (1, 0): -sin})
    assert basis_image(gate, (0, 0)) == {(0, 0): 1}
    assert basis_image(gate, (1, 1)) == {(1, 1): 1}


@pytest.mark.parametrize("width", range(2, 8))
def test_fbs_is_rbs_with_the_sign_of_the_ones_between(width):
    gate = FBS(ANGLE, range(width))
    for between in itertools.product((0, 1), repeat=width - 2):
        sign = (-1) ** sum(between)
        image = {(1, *between, 0): np.cos(ANGLE), (0, *between, 1): sign * np.sin(ANGLE)}
        assert basis_image(gate, (1, *between, 0)) == pytest.approx(image)


def test_rbs_is_single_excitation_at_minus_twice_the_angle():
    np.testing.assert_allclose(
        RBS(ANGLE, [0, 1]).matrix(), qml.SingleExcitation(-2 * ANGLE, [0, 1]).matrix(), rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("width", range(2, 8))
def test_fbs_is_fermionic_single_excitation_at_twice_the_angle(width):
    wires = range(width)
    theirs = qml.matrix(qml.FermionicSingleExcitation(2 * ANGLE, wires=wires), wire_order=wires)
    np.testing.assert_allclose(qml.matrix(FBS(ANGLE, wires), wire_order=wires), theirs, rtol=0, atol=1e-14)


@pytest.mark.parametrize("gate", [RBS, FBS])
def test_reversed_wires_mean_the_opposite_angle(gate):
    width = 2 if gate is RBS else 5
    backwards = qml.matrix(gate(ANGLE, range(width)[::-1]), wire_order=range(width))
    np.testing.assert_allclose(backwards, gate(-ANGLE, range(width)).matrix(), rtol=0, atol=1e-15)


def test_fbs_on_two_wires_is_rbs():
    np.testing.assert_array_equal(FBS(ANGLE, [0, 1]).matrix(), RBS(ANGLE, [0, 1]).matrix())


def test_rbs_costs_two_cnot_and_gets_no_phase():
    parts = RBS(ANGLE, [0, 1]).decomposition()
    assert sorted(part.name for part in parts) == ["CNOT", "CNOT", "Hadamard", "Hadamard", "RY", "RY"]
    matrix = qml.matrix(qml.tape.QuantumScript(parts), wire_order=[0, 1])
    np.testing.assert_allclose(matrix, RBS(ANGLE, [0, 1]).matrix(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("width", range(2, 8))
def test_fbs_costs_two_cz_a_wire_between(width):
    names = [part.name for part in FBS(ANGLE, range(width)).decomposition()]
    assert names == ["CZ"] * (width - 2) + ["RBS"] + ["CZ"] * (width - 2)


@pytest.fixture
def decomposition_graph():
    qml.decomposition.enable_graph()
    yield
    qml.decomposition.disable_graph()


@pytest.mark.usefixtures("decomposition_graph")
@pytest.mark.parametrize("wrap", [lambda gate: gate, qml.adjoint, lambda gate: qml.pow(gate, 2.5)])
def test_the_graph_of_decompositions_knows_the_gates(wrap):
    gates = [RBS(ANGLE, [0, 1]), FBS(ANGLE, [0, 1, 2, 3])]
    before = qml.tape.QuantumScript([wrap(gate) for gate in gates])
    (after,), _ = qml.transforms.decompose(before, gate_set={"H", "CNOT", "RY", "CZ"})
    assert {gate.name for gate in after.operations} == {"Hadamard", "CNOT", "RY", "CZ"}
    assert len(after.operations) == 6 + (6 + 4)
    expected = qml.matrix(before, wire_order=range(4))
    np.testing.assert_allclose(qml.matrix(after, wire_order=range(4)), expected, rtol=0, atol=1e-14)


def cost(theta, gate, width, diff_method):
    """An expectation value in which both frequencies of the gate appear, at every weight."""

    @qml.qnode(qml.device("default.qubit", wires=width), diff_method=diff_method)
    def circuit(theta):
        for wire in range(width):
            qml.RX(0.4 + 0.3 * wire, wires=wire)
        gate(theta, wires=[0, width - 1] if gate is RBS else range(width))
        return qml.expval(qml.prod(*(qml.Hermitian([[0.3, 1 - 0.5j], [1 + 0.5j, -1]], w) for w in range(width))))

    return circuit(theta)


@pytest.mark.parametrize(("gate", "width"), [(RBS, 2), (FBS, 2), (FBS, 3), (FBS, 7)])
def test_parameter_shift_backprop_and_finite_differences_agree(gate, width):
    shift, backprop = (
        qml.grad(cost)(pnp.array(ANGLE), gate, width, diff_method) for diff_method in ("parameter-shift", "backprop")
    )
    step = 1e-5
    upper, lower = (cost(ANGLE + sign * step, gate, width, None) for sign in (1, -1))
    assert abs(backprop) > 0.01
    assert shift == pytest.approx(backprop, abs=1e-12)
    assert (upper - lower) / (2 * step) == pytest.approx(backprop, abs=1e-9)


@pytest.mark.parametrize("gate", [RBS(ANGLE, [0, 1]), FBS(ANGLE, [0, 1, 2])], ids=str)
def test_a_gradient_takes_four_shifted_circuits(gate):
    tape = qml.tape.QuantumScript([gate], [qml.expval(qml.Z(0))])
    tape.trainable_params = [0]
    shifted, _ = qml.gradients.param_shift(tape)
    assert len(shifted) == 4


@pytest.mark.parametrize("gate", [RBS(ANGLE, [0, 1]), FBS(ANGLE, range(4))], ids=str)
def test_eigenvalues_are_one_and_the_phases_of_the_angle(gate):
    half = 2 ** len(gate.wires) // 4
    phases = [*[-ANGLE] * half, *[0.0] * (2 * half), *[ANGLE] * half]
    np.testing.assert_allclose(np.sort(np.angle(gate.eigvals())), phases, rtol=0, atol=1e-14)
    generator = qml.eigvals(gate.generator())
    np.testing.assert_allclose(np.sort(ANGLE * generator.real), phases, rtol=0, atol=1e-14)


@pytest.mark.parametrize("gate", [RBS(ANGLE, [0, 1]), FBS(ANGLE, [0, 1, 2])], ids=str)
def test_adjoint_and_power_scale_the_angle(gate):
    matrix = gate.matrix()
    np.testing.assert_allclose(gate.adjoint().matrix() @ matrix, np.eye(len(matrix)), rtol=0, atol=1e-15)
    (cube,) = gate.pow(3)
    np.testing.assert_allclose(cube.matrix(), matrix @ matrix @ matrix, rtol=0, atol=1e-15)
    assert cube.data == (3 * ANGLE,)


def test_a_controlled_gate_acts_when_the_control_is_one():
    matrix = qml.matrix(qml.ctrl(FBS(ANGLE, [1, 2, 3]), 0), wire_order=range(4))
    np.testing.assert_allclose(matrix[:8, :8], np.eye(8), rtol=0, atol=1e-15)
    np.testing.assert_allclose(matrix[8:, 8:], FBS(ANGLE, [1, 2, 3]).matrix(), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("gate", "width"), [(RBS, 2), (FBS, 4), (FBS, 7)])
def test_a_batch_of_angles_is_a_batch_of_gates(gate, width):
    @qml.qnode(qml.device("default.qubit", wires=width))
    def circuit(theta):
        for wire in range(width):
            qml.RX(0.5 + wire, wires=wire)
        gate(theta, wires=range(width))
        return qml.state()

    batch = np.array([0.0, 0.3, -1.2])
    np.testing.assert_allclose(circuit(batch), np.stack([circuit(theta) for theta in batch]), rtol=0, atol=1e-15)


@pytest.mark.parametrize("gate", [RBS, FBS])
@pytest.mark.parametrize(
    ("theta", "kind", "precision"),
    [
        (ANGLE, np.ndarray, 1e-15),
        (np.float64(ANGLE), np.ndarray, 1e-15),
        (pnp.array(ANGLE), np.ndarray, 1e-15),
        (torch.tensor(ANGLE, dtype=torch.float64), torch.Tensor, 1e-15),
        (torch.tensor(ANGLE, dtype=torch.float32), torch.Tensor, 1e-6),
    ],
)
def test_the_matrix_is_of_the_library_and_precision_of_the_angle(gate, theta, kind, precision):
    width = 2 if gate is RBS else 3
    matrix = gate(theta, range(width)).matrix()
    assert isinstance(matrix, kind)
    assert kind is np.ndarray or matrix.dtype == theta.dtype
    np.testing.assert_allclose(np.asarray(matrix), gate(ANGLE, range(width)).matrix(), rtol=0, atol=precision)


@pytest.mark.parametrize("gate", [RBS, FBS])
@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_torch_gradients_come_in_the_dtype_of_the_angle(gate, dtype, precision):
    width = 2 if gate is RBS else 3
    theta = torch.tensor(ANGLE, dtype=dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(cost(theta, gate, width, "backprop"), theta)
    assert gradient.dtype == dtype
    assert float(gradient) == pytest.approx(qml.grad(cost)(pnp.array(ANGLE), gate, width, "backprop"), abs=precision)


def test_labels_name_the_gate_and_its_angle():
    assert RBS(ANGLE, [0, 1]).label() == "RBS"
    assert FBS(ANGLE, [0, 1, 2]).label(decimals=2) == "FBS\n(0.37)"


@pytest.mark.parametrize("gate", [RBS, FBS])
def test_repeated_wires_are_refused(gate):
    with pytest.raises(qml.exceptions.WireError, match=r"Wires must be unique; got \[0, 0\]"):
        gate(ANGLE, [0, 0])


@pytest.mark.parametrize("wires", [[0], [0, 1, 2]])
def test_rbs_refuses_other_numbers_of_wires(wires):
    with pytest.raises(ValueError, match=f"RBS: wrong number of wires. {len(wires)} wires given, 2 expected"):
        RBS(ANGLE, wires)


def test_fbs_refuses_a_single_wire():
    with pytest.raises(ValueError, match=r"FBS acts on at least 2 wires, got wires=\['a'\]"):
        FBS(ANGLE, ["a"])


def test_a_wide_fbs_says_that_it_has_no_matrix_of_its_own():
    with pytest.raises(qml.exceptions.MatrixUndefinedError, match="at most 6 wires, got 7"):
        FBS(ANGLE, range(7)).matrix()
