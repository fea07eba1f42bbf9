"""Layouts on machines with few couplings: routed circuits are the same map, on coupled qubits, and counted."""

import itertools

import numpy as np
import pennylane as qml
import pytest

from qicircuits import Layout, brickwork, butterfly, pyramid, round_robin, staircase
from qicircuits.circuits import RBS, connectivity_report, orthogonal_layer, route
from qicircuits.testing import layout_cases

COUPLINGS = ["line", "ring", "all-to-all"]


def coupled(coupling, p, q, n):
    return p != q and (coupling == "all-to-all" or abs(p - q) == 1 or (coupling == "ring" and {p, q} == {0, n - 1}))


def unitary(operations, wires):
    return qml.matrix(qml.tape.QuantumScript(operations), wire_order=wires)


@pytest.mark.parametrize("coupling", COUPLINGS)
@pytest.mark.parametrize("layout", list(layout_cases(5)), ids=str)
def test_the_routed_circuit_is_the_layer_up_to_a_relabelling(layout, coupling):
    angles = np.random.default_rng(2).uniform(-3, 3, layout.n_gates)
    routing = route(layout, coupling)
    routed = [qml.SWAP([p, q]) if gate is None else RBS(angles[gate], wires=[p, q]) for gate, p, q in routing.steps]
    # Reading wire i from its qubit is the inverse permutation, as swaps of the reference circuit.
    relabelling = [qml.Permute(np.argsort(routing.output).tolist(), range(layout.n))]
    relabelled = [*orthogonal_layer(angles, layout), *relabelling]
    np.testing.assert_allclose(
        unitary(routed, range(layout.n)), unitary(relabelled, range(layout.n)), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("coupling", COUPLINGS)
@pytest.mark.parametrize("layout", list(layout_cases(9)), ids=str)
def test_every_step_is_on_coupled_qubits_and_every_gate_is_there_once(layout, coupling):
    routing = route(layout, coupling)
    assert all(coupled(coupling, p, q, layout.n) for _, p, q in routing.steps)
    assert [gate for gate, _, _ in routing.steps if gate is not None] == list(range(layout.n_gates))
    assert routing.n_fitting == sum(coupled(coupling, i, j, layout.n) for i, j in layout.pairs)
    assert sorted(routing.output) == list(range(layout.n))
    assert routing.n_gates == layout.n_gates
    assert routing.fits == (routing.n_fitting == layout.n_gates) == (routing.moved_moments == 0)
    assert routing.moved_moments <= layout.depth


@pytest.mark.parametrize("layout", [brickwork(7), pyramid(7), staircase(7), brickwork(1), butterfly(2)], ids=str)
def test_layouts_of_neighbours_fit_everywhere(layout):
    for routing in connectivity_report(layout):
        assert routing.fits
        assert routing.output == tuple(range(layout.n))


@pytest.mark.parametrize("layout", [*layout_cases(5, min_n=4), Layout(5, (((4, 0), (3, 1)), ((0, 2),)))], ids=str)
def test_fermionic_swaps_on_a_line_are_the_layer_of_fbs_up_to_a_signed_relabelling(layout):
    n = layout.n
    angles = np.random.default_rng(2).uniform(-3, 3, layout.n_gates)
    routing = route(layout, "line", gate="fbs")
    routed = []
    for gate, p, q in routing.steps:
        assert abs(p - q) == 1
        routed += [qml.SWAP([p, q]), qml.CZ([p, q])] if gate is None else [RBS(angles[gate], wires=[p, q])]
    relabelling = np.zeros((2**n, 2**n))
    for state in range(2**n):
        ones = [wire for wire in range(n) if state >> (n - 1 - wire) & 1]
        moved = [routing.output[wire] for wire in ones]
        crossed = sum(a > b for a, b in itertools.combinations(moved, 2))
        relabelling[sum(1 << (n - 1 - qubit) for qubit in moved), state] = (-1) ** crossed
    layer = unitary(orthogonal_layer(angles, layout, gate="fbs"), range(n))
    np.testing.assert_allclose(unitary(routed, range(n)), relabelling @ layer, rtol=0, atol=1e-12)


def test_distance_costs_swaps():
    line, ring, all_to_all = connectivity_report(round_robin(8))
    assert line.n_fitting == 7
    assert ring.n_fitting == 8
    assert line.n_swaps > 0
    assert ring.n_swaps > 0
    assert all_to_all.fits


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_a_shuffle_takes_the_least_swaps(m):
    half = 2 ** (m - 1)
    moment = butterfly(2 * half).moments[
        0
    ]  # (i, i + n/2): to interleave two halves is half (half - 1) / 2 inversions
    assert route(Layout(2 * half, (moment,)), "line").n_swaps == half * (half - 1) // 2
    one = route(Layout(9, (((8, 1),),)), "line")
    assert (one.n_swaps, route(Layout(9, (((8, 1),),)), "ring").n_swaps) == (6, 1)
    assert one.moved_moments == 1


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"one of \['line', 'ring', 'all-to-all'\], got 'grid'"):
        route(brickwork(3), "grid")
    with pytest.raises(TypeError, match="layout must be a Layout"):
        route("brickwork", "line")
    with pytest.raises(
        ValueError, match="gate must be \"rbs\", or \"fbs\" on a line, got 'fbs' with coupling='ring'"
    ):
        route(brickwork(3), "ring", gate="fbs")
    with pytest.raises(ValueError, match="got 'cz'"):
        route(brickwork(3), "line", gate="cz")
