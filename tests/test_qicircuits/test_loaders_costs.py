"""The closed forms for gates and depth are those of the circuits that are built."""

from collections import Counter
from itertools import combinations, permutations

import numpy as np
import pennylane as qml
import pytest

from qicircuits import subspace_dim
from qicircuits.circuits.controlled import ControlledRBS
from qicircuits.circuits.loaders import (
    clifford_cost,
    clifford_loader,
    direct_sum_cost,
    direct_sum_loader,
    slater_cost,
    slater_loader,
    subspace_cost,
    subspace_loader,
    unary_cost,
    unary_loader,
)

KINDS = ("diagonal", "semi_diagonal", "tree")


def kind_of(gate):
    """The name of a gate's base, and the number of its controls, from the operation itself."""
    if isinstance(gate, ControlledRBS):
        return "RBS", len(gate.control_wires)
    base = getattr(gate, "base", gate)
    return {"PauliX": "X"}.get(base.name, base.name), len(gate.control_wires)


def assert_costs(loader, cost):
    """The cost is that of the plan, and that of the gates which PennyLane queues and schedules."""
    assert loader.plan.gates == cost.gates
    assert loader.plan.depth == cost.depth
    gates = loader.decomposition()
    assert Counter(map(kind_of, gates)) == cost.gates
    assert qml.tape.QuantumScript(gates).graph.get_depth() == cost.depth


def ones(n, *orders):
    return np.ones(sum(subspace_dim(n, order) for order in orders))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [*range(1, 18), 100])
def test_unary(n, kind):
    assert_costs(unary_loader(ones(n, 1), range(n), kind), unary_cost(n, kind))


@pytest.mark.parametrize("n", [*range(1, 12), 100])
def test_clifford(n):
    assert_costs(clifford_loader(ones(n, 1), range(n)), clifford_cost(n))


@pytest.mark.parametrize("n", range(1, 10))
def test_subspace(n):
    for order in range(n + 1):
        assert_costs(subspace_loader(ones(n, order), order, range(n)), subspace_cost(n, order))


@pytest.mark.parametrize("n", range(1, 10))
def test_slater(n):
    for order in range(n + 1):
        assert_costs(slater_loader(np.eye(n)[:, :order], range(n)), slater_cost(n, order))


@pytest.mark.parametrize("n", range(1, 8))
def test_direct_sum(n):
    for count in range(1, n + 2):
        for orders in combinations(range(n + 1), count):
            assert_costs(direct_sum_loader(ones(n, *orders), orders, range(n)), direct_sum_cost(n, orders))


def test_the_order_of_the_sectors_in_the_vector_changes_no_gate():
    plans = {direct_sum_loader(ones(5, 1, 2, 4), orders, range(5)).plan.slots for orders in permutations((1, 2, 4))}
    assert len(plans) == 1
    assert direct_sum_cost(5, (4, 1, 2)) == direct_sum_cost(5, (1, 2, 4))


@pytest.mark.parametrize("n", range(2, 9))
def test_the_numbers_of_the_docstrings(n):
    gates = subspace_cost(n, 1).gates
    assert gates == {("X", 0): 1, ("RBS", 0): n - 1}
    if n >= 4:
        pairs = subspace_cost(n, 2)
        assert pairs.gates.get(("RBS", 1), 0) == n - 3
        assert pairs.depth == 3 * n - 6
    if n >= 6:
        assert subspace_cost(n, 3).depth == n**2 - 2 * n - 6
    for order in range(1, n):
        rbs = {controls: count for (gate, controls), count in subspace_cost(n, order).gates.items() if gate == "RBS"}
        assert sum(rbs.values()) == subspace_dim(n, order) - 1
        assert rbs[0] == subspace_dim(n, order) - subspace_dim(n - 2, order - 1)
        assert max(rbs) == min(order, n - order) - 1


@pytest.mark.parametrize("n", [3, 6])
def test_specs_see_the_gates_at_the_level_of_the_device(n):
    @qml.qnode(qml.device("default.qubit", wires=n))
    def circuit(vector):
        subspace_loader(vector, 2, range(n))
        return qml.probs()

    resources = qml.specs(circuit, level="device", compute_depth=True)(ones(n, 2))["resources"]
    cost = subspace_cost(n, 2)
    assert resources.gate_types["RBS"] == cost.gates[("RBS", 0)]
    assert resources.gate_types.get("ControlledRBS", 0) == cost.gates.get(("RBS", 1), 0)
    assert resources.depth == cost.depth
