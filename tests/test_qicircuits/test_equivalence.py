"""The proof: circuit on PennyLane's device, its weight blocks, the gate sweep and the compound are one map.

For every layout, gate, n <= 8 and weight k, in float64, in value and in gradient with respect to the angles.
Where a circuit is no compound (RBS on distant wires, 1 < k < n) the shortcut is refused, and would be wrong.
"""

import math

import numpy as np
import pennylane as qml
import pytest
import torch

from qicircuits import Layout, apply_layout, compound_matrix, orthogonal_from_angles
from qicircuits.circuits import orthogonal_layer, weight_block
from qicircuits.subsets import subset_integers
from qicircuits.testing import layout_cases

EXACT = 1e-12
LAYOUTS = list(layout_cases(8, min_n=1))
DISTANT = [layout for layout in LAYOUTS if not layout.is_nearest_neighbour]


def random_angles(layout):
    generator = torch.Generator().manual_seed(layout.n_gates)
    angles = (2 * torch.rand(layout.n_gates, generator=generator, dtype=torch.float64) - 1) * math.pi
    return angles.requires_grad_()


def device_blocks(angles, layout, gate):
    """The sectors of the state vectors that default.qubit reaches from all 2^n basis states."""
    wires = range(layout.n)

    @qml.qnode(qml.device("default.qubit", wires=wires), interface="torch", diff_method="backprop")
    def circuit(angles):
        qml.StatePrep(torch.eye(2**layout.n, dtype=torch.complex128), wires=wires)  # a batch of 2^n
        orthogonal_layer(angles, layout, gate=gate)
        return qml.state()

    unitary = circuit(angles).T
    sectors = [subset_integers(layout.n, order).tolist() for order in range(layout.n + 1)]
    blocks = [unitary[rows][:, rows] for rows in sectors]
    between = unitary.detach().clone()
    for rows in sectors:
        between[np.ix_(rows, rows)] = 0
    assert between.abs().max() <= EXACT, "the circuit does not preserve the Hamming weight"
    assert all(block.imag.abs().max() <= EXACT for block in blocks), "the circuit is not real"
    return [block.real for block in blocks]


def block_of_circuit(angles, layout, gate, order):
    block = weight_block(lambda: orthogonal_layer(angles, layout, gate=gate), order, wires=range(layout.n))
    return torch.as_tensor(block)  # a circuit without gates has no tensors, and a numpy block


def block_by_sweep(angles, layout, gate, order, method="gates"):
    columns = torch.eye(math.comb(layout.n, order), dtype=torch.float64)
    return apply_layout(columns, angles, layout, order, gate, method=method).T


def block_by_compound(angles, layout, gate, order):
    return compound_matrix(orthogonal_from_angles(angles, layout), order)


def block_by_compound_shortcut(angles, layout, gate, order):
    return block_by_sweep(angles, layout, gate, order, "compound")


def gradient(blocks, angles):
    """The gradient of sum(W * block) over the given blocks, for a fixed random W."""
    generator = torch.Generator().manual_seed(0)
    total = angles.sum() * 0
    for block in blocks:
        weights = torch.randn(block.shape, generator=generator, dtype=torch.float64)
        total = total + (weights * block).sum() / len(block)
    return torch.autograd.grad(total, angles, retain_graph=True)[0]


def assert_same(blocks, gradients, others, other_gradients):
    for block, other in zip(blocks, others, strict=True):
        torch.testing.assert_close(other.detach(), block.detach(), rtol=0, atol=EXACT)
    torch.testing.assert_close(other_gradients, gradients, rtol=0, atol=EXACT)


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_circuit_sweep_and_compound_are_one_map(layout, gate):
    angles = random_angles(layout)
    truth = device_blocks(angles, layout, gate)
    orders = range(layout.n + 1)
    compounds = [k for k in orders if gate == "fbs" or layout.is_nearest_neighbour or k in (0, 1, layout.n)]
    methods = [
        (block_of_circuit, orders),
        (block_by_sweep, orders),
        (block_by_compound, compounds),
        (block_by_compound_shortcut, compounds),
    ]
    for method, valid in methods:
        wanted = [truth[order] for order in valid]
        blocks = [method(angles, layout, gate, order) for order in valid]
        wanted_gradient = gradient(wanted, angles)
        assert (wanted_gradient.abs() > 1e-6).all(), "a gradient that vanishes proves nothing"
        assert_same(wanted, wanted_gradient, blocks, gradient(blocks, angles))


@pytest.mark.parametrize("layout", DISTANT, ids=str)
def test_rbs_on_distant_wires_is_no_compound_and_the_shortcut_is_refused(layout):
    angles = random_angles(layout).detach()
    for order in range(2, layout.n):
        circuit = block_of_circuit(angles, layout, "rbs", order)
        error = (circuit - block_by_compound(angles, layout, "rbs", order)).abs().max()
        assert error > 0.1
        with pytest.raises(ValueError, match="no compound"):
            block_by_compound_shortcut(angles, layout, "rbs", order)


@pytest.mark.parametrize("n", range(2, 7))
def test_one_rbs_is_a_compound_where_no_state_puts_an_odd_number_between(n):
    """Which single gates are compounds, exactly: the library refuses all that are not, and a few that are."""
    angle = torch.tensor([1.0], dtype=torch.float64)
    for first in range(n):
        for last in set(range(n)) - {first}:
            layout = Layout(n, (((first, last),),))
            between = abs(last - first) - 1
            outside = n - 2 - between
            for order in range(n + 1):
                # order - 1 ones lie on the other wires when the gate turns; `p` of them between.
                odd = any(0 <= order - 1 - p <= outside for p in range(1, between + 1, 2))
                circuit = block_of_circuit(angle, layout, "rbs", order)
                error = (circuit - block_by_compound(angle, layout, "rbs", order)).abs().max()
                assert error > 0.1 if odd else error <= EXACT
                if odd:
                    with pytest.raises(ValueError, match="no compound"):
                        block_by_compound_shortcut(angle, layout, "rbs", order)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_automatic_method_is_the_circuit(layout):
    angles = random_angles(layout).detach()
    for gate in ("rbs", "fbs"):
        for order in range(layout.n + 1):
            automatic = block_by_sweep(angles, layout, gate, order, "auto")
            torch.testing.assert_close(automatic, block_of_circuit(angles, layout, gate, order), rtol=0, atol=EXACT)
