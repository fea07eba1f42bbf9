"""The choice of method="auto" in words: it is the choice that is made, and needs no numbers of the arguments."""

import itertools
import math

import pytest
import torch

from qicircuits import (
    apply_layout,
    brickwork,
    compound_apply,
    explain_compound,
    explain_layout,
    random_orthogonal,
    round_robin,
    staircase,
)
from qicircuits.engine import dispatch
from qicircuits.engine.limits import _LIMITS, fewest_vectors, fewest_vectors_by_compound


@pytest.mark.parametrize(
    ("n", "order", "vectors", "method", "how"),
    [
        (8, 4, 1, "gates", "one vector after the other"),
        (8, 4, 100, "gates", "tiles of vectors"),
        (16, 4, 1000, "compound", "rotations of six wires"),
        (64, 1, 1000, "compound", "its compound, in torch"),
    ],
)
def test_circuits(n, order, vectors, method, how):
    layout = brickwork(n)
    x = torch.randn(vectors, math.comb(n, order), generator=torch.Generator().manual_seed(0))
    angles = torch.linspace(0, 1, layout.n_gates)
    said = explain_layout(x, angles, layout, order)
    assert said.startswith(f"{method}: ")
    assert how in said
    assert said.endswith(f"{vectors} vector{'s' * (vectors > 1)} of {x.shape[1]} amplitudes")
    auto, explicit = (apply_layout(x, angles, layout, order, method=m) for m in ("auto", method))
    assert torch.equal(auto, explicit)


@pytest.mark.parametrize(("n", "order"), [(16, 4), (44, 2), (200, 1)])
def test_shallow_circuits_run_by_their_gates(n, order):
    x = torch.ones(1, 1).expand(10**5, math.comb(n, order))
    for layout, method in ((staircase(n), "gates"), (brickwork(n), "compound")):
        assert explain_layout(x, torch.zeros(layout.n_gates), layout, order).startswith(f"{method}: ")


def test_circuits_that_are_no_compound_run_by_their_gates():
    layout = round_robin(8)
    assert explain_layout(torch.ones(1000, 70), torch.zeros(28), layout, 4).startswith("gates: ")
    assert explain_layout(torch.ones(2, 70), torch.zeros(28), brickwork(8), 4, phases=torch.zeros(28)).startswith(
        "gates"
    )


def test_vectors_are_counted_once_for_every_circuit():
    said = explain_layout(torch.ones(2, 1, 70), torch.zeros(3, 28), brickwork(8), 4, phases=torch.zeros(28))
    assert said.endswith("; 6 vectors of 70 amplitudes")
    assert explain_compound(torch.eye(8).expand(3, 8, 8), torch.ones(70), 4).endswith("; 3 vectors of 70 amplitudes")


def test_few_vectors_by_the_gates_of_a_rotation_unless_it_is_trained(monkeypatch):
    ran = []
    slow = dispatch._rotate_by_gates
    monkeypatch.setattr(dispatch, "_rotate_by_gates", lambda *args: ran.append(len(args)) or slow(*args))
    rotation = random_orthogonal(8, generator=torch.Generator().manual_seed(0))
    for dtype, vectors, trained in itertools.product((torch.float64, torch.complex128), (0, 1, 4, 20), (False, True)):
        x = torch.ones(vectors, 70, dtype=dtype)
        matrix = rotation.clone().requires_grad_(trained)
        ran.clear()
        compound_apply(matrix, x, 4)
        assert ("a brickwork of gates" in explain_compound(matrix, x, 4)) == bool(ran)


def test_arguments_are_refused_as_they_are_where_they_run():
    with pytest.raises(ValueError, match=r"C\(8, 4\) = 70\), got \(71,\)"):
        explain_layout(torch.ones(71), torch.zeros(28), brickwork(8), 4)
    with pytest.raises(TypeError, match="vectors must be a torch tensor, got list"):
        explain_layout([1.0] * 70, torch.zeros(28), brickwork(8), 4)
    with pytest.raises(ValueError, match=r"C\(8, 4\) = 70\), got \(71,\)"):
        explain_compound(torch.eye(8), torch.ones(71), 4)
    with pytest.raises(ValueError, match=r"must be square, shape \(..., n, n\) with n >= 1, got \(8, 7\)"):
        explain_compound(torch.ones(8, 7), torch.ones(70), 4)


@pytest.mark.parametrize(
    ("n", "order", "vectors", "is_rotation", "method"),
    [
        (8, 2, 1, True, "modes"),
        (8, 4, 1, True, "rotation"),
        (16, 2, 1000, True, "rotation"),
        (16, 2, 1000, False, "dense"),
        (30, 3, 1, False, "modes"),
        (12, 4, 10, False, "dense"),
        (20, 19, 100, True, "dense"),
    ],
)
def test_compounds(n, order, vectors, is_rotation, method):
    generator = torch.Generator().manual_seed(1)
    matrix = random_orthogonal(n, generator=generator) if is_rotation else torch.randn(n, n, generator=generator)
    x = torch.randn(vectors, math.comb(n, order), generator=generator, dtype=matrix.dtype)
    assert explain_compound(matrix, x, order).startswith(f"{method}: ")
    auto, explicit = (compound_apply(matrix, x, order, method=m) for m in ("auto", method))
    assert torch.equal(auto, explicit)


@pytest.mark.parametrize("methods", _LIMITS)
def test_limits_are_the_measured_ones_and_lie_between_them_elsewhere(methods):
    # Sizes by sectors that have them, as far as the rows are sectors of their own order.
    for order, rows in _LIMITS[methods].items():
        sectors = {math.comb(n, order): n for n in range(order, 130)}
        measured = sorted(size for size in rows if size in sectors)
        for column, (training, dtype) in enumerate(itertools.product((False, True), (torch.float32, torch.float64))):
            limits = [fewest_vectors(*methods, sectors[size], order, dtype, training) for size in measured]
            assert limits == pytest.approx([rows[size][column] for size in measured])
            for low, high in itertools.pairwise(measured):
                ends = sorted((rows[low][column], rows[high][column]))
                for size in (size for size in sectors if low < size < high):
                    limit = fewest_vectors(*methods, sectors[size], order, dtype, training)
                    assert ends[0] * (1 - 1e-9) <= limit <= ends[1] * (1 + 1e-9)


def test_the_fewer_gates_the_more_vectors_it_takes_for_a_compound():
    limits = [
        fewest_vectors_by_compound(30, 3, n_gates, torch.float64, False)
        for n_gates in (1000, 435, 300, 250, 200, 57, 29)
    ]
    assert limits == sorted(limits)
    assert limits[1] == fewest_vectors("gates", "compound", 30, 3, torch.float64, False)
    assert limits[-2:] == [math.inf, math.inf]
