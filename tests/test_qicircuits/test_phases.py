"""Complex vectors and phases: circuit against PennyLane, and as the compound of its complex weight-1 matrix."""

import math

import pennylane as qml
import pytest
import torch

from qicircuits import (
    apply_layout,
    brickwork,
    butterfly,
    compound_apply,
    compound_matrix,
    random_orthogonal,
    staircase,
)
from qicircuits.circuits import FBS, RBS
from qicircuits.subsets import subset_integers
from qicircuits.testing import layout_cases, minors

GATES = {"rbs": RBS, "fbs": FBS}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def random_turns(layout):
    return torch.randn(2, layout.n_gates, dtype=torch.float64)


def block_of_pennylane(angles, phases, layout, order, gate):
    """The block of a sector, from the 2^n matrix of the circuit with its phases as gates of their own."""

    def circuit():
        for theta, phi, (i, j) in zip(angles.tolist(), phases.tolist(), layout.pairs, strict=True):
            qml.PhaseShift(-phi, j)
            between = range(i, j + 1) if i < j else range(i, j - 1, -1)
            GATES[gate](theta, wires=between if gate == "fbs" else [i, j])
            qml.PhaseShift(phi, j)

    matrix = torch.from_numpy(qml.matrix(circuit, wire_order=range(layout.n))())
    states = torch.from_numpy(subset_integers(layout.n, order).copy())
    return matrix[states][:, states]


def block(angles, phases, layout, order, gate="rbs", **options):
    units = torch.eye(math.comb(layout.n, order), dtype=torch.complex128)
    return apply_layout(units, angles, layout, order, gate, phases=phases, **options).mT


@pytest.mark.parametrize("gate", GATES)
def test_a_phased_circuit_is_that_of_pennylane(gate):
    for layout in layout_cases(5, min_n=2):
        angles, phases = random_turns(layout)
        for order in range(layout.n + 1):
            expected = block_of_pennylane(angles, phases, layout, order, gate)
            torch.testing.assert_close(block(angles, phases, layout, order, gate), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", [brickwork(6), butterfly(4), staircase(5)], ids=repr)
def test_a_phased_circuit_is_the_compound_of_its_complex_matrix(layout):
    angles, phases = random_turns(layout)
    matrix = block(angles, phases, layout, 1, "fbs")
    torch.testing.assert_close(matrix @ matrix.mH, torch.eye(layout.n, dtype=torch.complex128), rtol=0, atol=1e-13)
    for order in range(layout.n + 1):
        whole = block(angles, phases, layout, order, "fbs", method="gates")
        torch.testing.assert_close(compound_matrix(matrix, order), whole, rtol=0, atol=1e-13)
        shortcut = block(angles, phases, layout, order, "fbs", method="compound")
        torch.testing.assert_close(shortcut, whole, rtol=0, atol=1e-13)


def test_phases_of_zero_are_none_and_real_circuits_take_both_parts():
    layout = brickwork(5)
    angles = torch.randn(layout.n_gates, dtype=torch.float64)
    vectors = torch.randn(3, 10, dtype=torch.complex128)
    for method in ("auto", "gates", "compound"):
        real, imaginary = (
            apply_layout(part, angles, layout, 2, method=method) for part in (vectors.real, vectors.imag)
        )
        out = apply_layout(vectors, angles, layout, 2, method=method)
        torch.testing.assert_close(out, torch.complex(real, imaginary), rtol=0, atol=1e-13)
        phased = apply_layout(vectors, angles, layout, 2, phases=torch.zeros_like(angles), method=method)
        torch.testing.assert_close(phased, out, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("vectors", "turns", "expected"),
    [
        (torch.float32, torch.float32, torch.complex64),
        (torch.bfloat16, torch.float64, torch.complex64),
        (torch.float64, torch.float32, torch.complex128),
        (torch.complex64, torch.float64, torch.complex64),
        (torch.complex128, torch.float32, torch.complex128),
    ],
)
@pytest.mark.parametrize("tokens", [1, 20])
def test_phases_make_vectors_complex_in_their_own_precision(vectors, turns, expected, tokens):
    layout = brickwork(4)
    x, angles = torch.randn(tokens, 6).to(vectors), torch.randn(layout.n_gates, dtype=turns)
    assert apply_layout(x, angles, layout, 2, phases=angles).dtype == expected
    assert apply_layout(x, angles, layout, 2).dtype == vectors


def test_compounds_of_complex_matrices_are_their_minors_with_right_gradients():
    for n, order in [(4, 2), (5, 3), (4, 0), (4, 4), (11, 9)]:
        matrix = torch.linalg.qr(torch.randn(n, n, dtype=torch.complex128)).Q
        dim = math.comb(n, order)
        if n < 6:
            torch.testing.assert_close(compound_matrix(matrix, order), minors(matrix, order), rtol=0, atol=1e-13)
        x = torch.randn(2, dim, dtype=torch.complex128)
        expected = x @ compound_matrix(matrix, order).mT
        for method in ("auto", "dense", "modes") if order != 4 else ("auto", "dense"):
            torch.testing.assert_close(compound_apply(matrix, x, order, method=method), expected, rtol=0, atol=1e-12)
            if n < 6:
                inputs = matrix.clone().requires_grad_(), x.clone().requires_grad_()
                assert torch.autograd.gradcheck(
                    lambda a, x, order=order, method=method: compound_apply(a, x, order, method=method), inputs
                )


def test_real_matrices_take_complex_vectors_and_the_reverse_with_every_broadcast():
    for lead, batch in [((), ()), ((2,), ()), ((), (2,)), ((3, 1), (2,)), ((1,), (3, 2))]:
        rotation = random_orthogonal(5, batch_shape=batch)
        x = torch.randn(*lead, 10, dtype=torch.complex128)
        for method in ("auto", "dense", "modes", "rotation"):
            out = compound_apply(rotation, x, 2, method=method)
            expected = (compound_matrix(rotation, 2).to(x.dtype) @ x.unsqueeze(-1)).squeeze(-1)
            torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
        out = compound_apply(rotation.to(x.dtype), x.real, 2)
        torch.testing.assert_close(out, compound_apply(rotation, x.real, 2).to(x.dtype), rtol=0, atol=1e-12)


def test_a_complex_matrix_is_no_rotation_for_the_kernels():
    matrix = torch.eye(4, dtype=torch.complex128)
    with pytest.raises(ValueError, match="needs a real A in SO"):
        compound_apply(matrix, torch.ones(6), 2, method="rotation")


def test_bad_phases_are_refused():
    layout = brickwork(4)
    vectors, angles = torch.ones(2, 6), torch.ones(3, 1, layout.n_gates)
    with pytest.raises(ValueError, match=r"phases of .* have shape \(..., 6\), one a gate, got \(5,\)"):
        apply_layout(vectors, angles, layout, 2, phases=torch.ones(5))
    with pytest.raises(TypeError, match=r"phases must be float32 or float64, got torch\.complex64"):
        apply_layout(vectors, angles, layout, 2, phases=torch.ones(6, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"of angles and phases must broadcast, got \(3, 1, 6\) and \(2, 2, 6\)"):
        apply_layout(vectors, angles, layout, 2, phases=torch.ones(2, 2, 6))
