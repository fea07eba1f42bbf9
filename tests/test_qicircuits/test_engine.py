"""The engine's operators: torch's own checks of each, and tables against the subsets they index."""

import math

import pytest
import torch

from qicircuits import (
    apply_layout,
    brickwork,
    cayley,
    compound_apply,
    exponential,
    random_orthogonal,
    rank_subset,
    round_robin,
    subsets,
    swap_network,
)
from qicircuits.engine.laplace import next_compound
from qicircuits.engine.modes import apply_modes
from qicircuits.engine.plan import gate_table
from qicircuits.engine.reference import sweep_rows
from qicircuits.engine.weight_one import circuit_matrix, gate_lists


@pytest.mark.parametrize(("n", "order"), [(2, 1), (5, 2), (6, 3), (6, 5), (6, 6), (6, 0)])
def test_gate_tables_move_one_particle(n, order):
    members = subsets(n, order)
    for i in range(n):
        for j in set(range(n)) - {i}:
            table = gate_table(n, order, i, j)
            assert len(table.a) == (math.comb(n - 2, order - 1) if 0 < order < n else 0)
            for a, b, parity in zip(table.a, table.b, table.parity, strict=True):
                assert set(members[a]) - set(members[b]) == {i}
                assert set(members[b]) - set(members[a]) == {j}
                assert parity == (-1) ** sum(min(i, j) < wire < max(i, j) for wire in members[a])


def test_gate_tables_rank_far_beyond_small_sectors():
    table = gate_table(200, 2, 3, 150)
    members = subsets(200, 2)
    for position in (0, 57, 197):
        moved = tuple(sorted({*members[table.a[position]], 150} - {3}))
        assert table.b[position] == rank_subset(moved, 200)


def test_operators_pass_the_checks_of_torch():
    torch.manual_seed(0)
    layout = round_robin(5)
    wires, sizes = gate_lists(layout)
    angles = torch.randn(layout.n_gates, 1, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(10, 3, dtype=torch.float64, requires_grad=True)
    for fermionic in (False, True):
        torch.library.opcheck(sweep_rows, (rows, angles, wires, 5, 2, fermionic))
    angles = torch.randn(2, layout.n_gates, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(circuit_matrix, (angles, wires, sizes, 5))
    matrix = torch.randn(2, 5, 5, dtype=torch.float64, requires_grad=True)
    previous = torch.randn(2, 10, 10, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(next_compound, (matrix, previous, 3))
    for order in (2, 3):
        columns = torch.randn(2, 10, 4, dtype=torch.float64, requires_grad=True)
        torch.library.opcheck(apply_modes, (matrix, columns, order))


@pytest.mark.parametrize("to_rotation", [cayley, exponential, swap_network])
def test_maps_and_compounds_compile_without_a_graph_break(to_rotation):
    def rotate(parameters, vectors):
        rotation = to_rotation(parameters)
        return compound_apply(rotation, vectors, 2, method="modes") + compound_apply(
            rotation, vectors, 2, method="dense"
        )

    torch.manual_seed(0)
    parameters = torch.randn(3, 10, requires_grad=True)
    vectors = torch.randn(4, 3, 10)
    compiled = torch.compile(rotate, fullgraph=True, backend="aot_eager")(parameters, vectors)
    (gradient,) = torch.autograd.grad(compiled.square().sum() + compiled.sum(), parameters)
    eager = rotate(parameters, vectors)
    (expected,) = torch.autograd.grad(eager.square().sum() + eager.sum(), parameters)
    torch.testing.assert_close(compiled, eager)
    torch.testing.assert_close(gradient, expected)


def test_layouts_and_complements_compile_without_a_graph_break():
    layout = brickwork(4)

    def circuit(vectors, angles):
        return apply_layout(vectors, angles, layout, 2, method="gates")

    vectors, angles = torch.randn(3, 6), torch.randn(layout.n_gates)
    compiled = torch.compile(circuit, fullgraph=True, backend="aot_eager")(vectors, angles)
    torch.testing.assert_close(compiled, circuit(vectors, angles))
    matrix, vectors = random_orthogonal(11, dtype=torch.float32), torch.randn(3, 55)
    compiled = torch.compile(compound_apply, fullgraph=True, backend="aot_eager")(matrix, vectors, 9)
    torch.testing.assert_close(compiled, compound_apply(matrix, vectors, 9))
