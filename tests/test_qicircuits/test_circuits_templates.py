"""orthogonal_layer queues the gates of a layout, on the right wires, with the right angles."""

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp

from qicircuits import Layout, apply_layout, brickwork, butterfly, pyramid, round_robin
from qicircuits.circuits import FBS, RBS, orthogonal_layer, weight_block


def test_every_pair_gets_its_gate_and_its_angle_in_order():
    layout = butterfly(4)
    angles = np.array([0.1, 0.2, 0.3, 0.4])
    assert orthogonal_layer(angles, layout) == [
        RBS(0.1, [0, 2]),
        RBS(0.2, [1, 3]),
        RBS(0.3, [0, 1]),
        RBS(0.4, [2, 3]),
    ]
    assert orthogonal_layer(angles, layout, gate="fbs") == [
        FBS(0.1, [0, 1, 2]),
        FBS(0.2, [1, 2, 3]),
        FBS(0.3, [0, 1]),
        FBS(0.4, [2, 3]),
    ]


def test_wires_are_labels_in_the_order_of_the_layout():
    layout = Layout(3, (((0, 2),),))
    assert orthogonal_layer([0.1], layout, wires=["c", "a", "b"]) == [RBS(0.1, ["c", "b"])]
    assert orthogonal_layer([0.1], layout, wires=["c", "a", "b"], gate="fbs") == [FBS(0.1, ["c", "a", "b"])]


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
@pytest.mark.parametrize("order", range(5))
def test_reversed_pairs_rotate_from_the_first_wire_to_the_second(gate, order):
    layout = Layout(4, (((3, 0),), ((2, 1),), ((3, 1), (0, 2))))
    angles = torch.tensor([0.3, -1.1, 2.0, 0.7], dtype=torch.float64)
    block = weight_block(orthogonal_layer(angles.numpy(), layout, gate=gate), order)
    columns = apply_layout(torch.eye(len(block), dtype=torch.float64), angles, layout, order, gate, method="gates")
    np.testing.assert_allclose(block, columns.T, rtol=0, atol=1e-14)


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_adjoint_of_the_template_undoes_it(gate, n):
    layout = round_robin(n)
    angles = np.random.default_rng(0).normal(size=layout.n_gates)

    def there_and_back():
        orthogonal_layer(angles, layout, gate=gate)
        if layout.n_gates:
            qml.adjoint(orthogonal_layer)(angles, layout, gate=gate)

    np.testing.assert_allclose(qml.matrix(there_and_back, range(n))(), np.eye(2**n), rtol=0, atol=1e-14)


@pytest.mark.parametrize("layout", [pyramid(5), brickwork(5), butterfly(8)], ids=str)
def test_specs_count_the_gates_and_the_depth_of_the_layout(layout):
    @qml.qnode(qml.device("default.qubit", wires=layout.n))
    def circuit(angles):
        orthogonal_layer(angles, layout)
        return qml.probs()

    resources = qml.specs(circuit, compute_depth=True)(np.zeros(layout.n_gates))["resources"]
    assert resources.gate_types == {"RBS": layout.n_gates}
    assert resources.depth == layout.depth


def test_the_drawing_shows_the_gates():
    drawing = qml.draw(orthogonal_layer, decimals=1)([0.1, 0.2, 0.3], brickwork(3))
    assert [line.rstrip() for line in drawing.splitlines()] == [
        "0: ─╭RBS(0.1)───────────╭RBS(0.3)─┤",
        "1: ─╰RBS(0.1)─╭RBS(0.2)─╰RBS(0.3)─┤",
        "2: ───────────╰RBS(0.2)───────────┤",
    ]


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
def test_parameter_shift_and_backprop_agree_through_the_layer(gate):
    layout = round_robin(4)

    def cost(angles, diff_method):
        @qml.qnode(qml.device("default.qubit", wires=4), diff_method=diff_method)
        def circuit(angles):
            qml.BasisState(np.array([1, 1, 0, 0]), wires=range(4))
            orthogonal_layer(angles, layout, gate=gate)
            return qml.expval(qml.Z(0) @ qml.Z(2) + qml.Z(1))

        return circuit(angles)

    angles = pnp.array(np.random.default_rng(0).normal(size=layout.n_gates))
    backprop = qml.grad(cost)(angles, "backprop")
    assert np.abs(backprop).max() > 0.1
    np.testing.assert_allclose(qml.grad(cost)(angles, "parameter-shift"), backprop, rtol=0, atol=1e-12)


def test_a_batch_of_angles_is_a_batch_of_circuits():
    layout = brickwork(4)
    batch = np.random.default_rng(0).normal(size=(3, layout.n_gates))
    matrices = qml.matrix(orthogonal_layer, wire_order=range(4))(batch, layout)
    each = [qml.matrix(orthogonal_layer, wire_order=range(4))(angles, layout) for angles in batch]
    np.testing.assert_allclose(matrices, np.stack(each), rtol=0, atol=1e-15)


def test_a_list_of_tensors_keeps_their_gradients():
    angles = [torch.tensor(0.3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    weight_block(orthogonal_layer(angles, brickwork(3)), 1).sum().backward()
    assert all(angle.grad is not None for angle in angles)


@pytest.mark.parametrize("angles", [[], np.zeros(0), torch.zeros(0), ()])
def test_a_layout_without_gates_queues_nothing(angles):
    assert orthogonal_layer(angles, brickwork(1)) == []


def test_the_layer_refuses_what_does_not_fit():
    layout = brickwork(3)
    needs = r"Layout\(brickwork, n=3, gates=3, depth=3\) needs"
    with pytest.raises(ValueError, match=needs + r" angles of shape \(3,\) or \(batch, 3\), got shape \(2,\)"):
        orthogonal_layer([0.1, 0.2], layout)
    with pytest.raises(ValueError, match=r"got shape \(\)"):
        orthogonal_layer(0.1, layout)
    with pytest.raises(ValueError, match=r"got shape \(1, 1, 3\)"):
        orthogonal_layer(np.zeros((1, 1, 3)), layout)
    with pytest.raises(ValueError, match=needs + r" 3 wires, got 2: \['a', 'b'\]"):
        orthogonal_layer(np.zeros(3), layout, wires=["a", "b"])
    with pytest.raises(qml.exceptions.WireError, match="Wires must be unique"):
        orthogonal_layer(np.zeros(3), layout, wires=[0, 1, 1])
    with pytest.raises(ValueError, match='gate must be "rbs" or "fbs", got \'givens\''):
        orthogonal_layer(np.zeros(3), layout, gate="givens")
    with pytest.raises(TypeError, match=r"layout must be a Layout, such as brickwork\(4\), got 'brickwork'"):
        orthogonal_layer(np.zeros(3), "brickwork")


@pytest.mark.parametrize("angles", [np.ones(6) * 1j, np.array(["0.1"] * 6)])
def test_angles_that_are_not_real_are_refused(angles):
    with pytest.raises(TypeError, match="angles must be real numbers, got"):
        orthogonal_layer(angles, brickwork(4))
