"""The choice of method="auto" in words: it is the choice that is made, and needs no numbers of the arguments."""

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
)


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


def test_circuits_that_are_no_compound_run_by_their_gates():
    layout = round_robin(8)
    assert explain_layout(torch.ones(1000, 70), torch.zeros(28), layout, 4).startswith("gates: ")
    assert explain_layout(torch.ones(2, 70), torch.zeros(28), brickwork(8), 4, phases=torch.zeros(28)).startswith(
        "gates"
    )


@pytest.mark.parametrize(
    ("n", "order", "vectors", "is_rotation", "method"),
    [
        (8, 2, 1, True, "modes"),
        (8, 4, 1, True, "rotation"),
        (16, 2, 1000, True, "rotation"),
        (16, 2, 1000, False, "dense"),
        (30, 3, 1, False, "modes"),
        (12, 4, 10, False, "dense"),
    ],
)
def test_compounds(n, order, vectors, is_rotation, method):
    generator = torch.Generator().manual_seed(1)
    matrix = random_orthogonal(n, generator=generator) if is_rotation else torch.randn(n, n, generator=generator)
    x = torch.randn(vectors, math.comb(n, order), generator=generator, dtype=matrix.dtype)
    assert explain_compound(matrix, x, order).startswith(f"{method}: ")
    auto, explicit = (compound_apply(matrix, x, order, method=m) for m in ("auto", method))
    assert torch.equal(auto, explicit)
