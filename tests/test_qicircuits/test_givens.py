"""Angles from rotations and back, for the two layouts that reach all of SO(n)."""

import pytest
import torch

from qicircuits import (
    Layout,
    angles_from_orthogonal,
    brickwork,
    orthogonal_from_angles,
    pyramid,
    random_orthogonal,
)
from qicircuits.testing import layout_cases

LAYOUTS = ["brickwork", "pyramid"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13, 32, 63, 64])
def test_any_rotation_comes_back_from_its_angles(layout, n):
    matrix = random_orthogonal(n, batch_shape=(2, 3), generator=torch.Generator().manual_seed(n))
    angles = angles_from_orthogonal(matrix, layout)
    assert angles.shape == (2, 3, n * (n - 1) // 2)
    assert (angles.abs() <= torch.pi).all()
    torch.testing.assert_close(orthogonal_from_angles(angles, layout), matrix, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7])
def test_every_diagonal_of_signs_comes_back(layout, n):
    signs = torch.cartesian_prod(*[torch.tensor([1.0, -1.0], dtype=torch.float64)] * n)
    matrix = torch.diag_embed(signs[signs.prod(-1) > 0])
    angles = angles_from_orthogonal(matrix, layout)
    torch.testing.assert_close(orthogonal_from_angles(angles, layout), matrix, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_permutations_come_back(layout):
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        matrix = torch.eye(7, dtype=torch.float64)[torch.randperm(7, generator=generator)]
        matrix[0] *= torch.linalg.slogdet(matrix).sign
        angles = angles_from_orthogonal(matrix, layout)
        torch.testing.assert_close(orthogonal_from_angles(angles, layout), matrix, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_identity_has_all_angles_zero(layout):
    assert angles_from_orthogonal(torch.eye(6), layout).count_nonzero() == 0


def test_float32_stays_float32():
    matrix = random_orthogonal(20, dtype=torch.float32)
    angles = angles_from_orthogonal(matrix)
    assert angles.dtype == torch.float32
    torch.testing.assert_close(orthogonal_from_angles(angles), matrix, rtol=0, atol=3e-6)


def test_the_circuit_is_the_product_of_its_gates_first_gate_first():
    for layout in layout_cases(6):
        angles = torch.randn(layout.n_gates, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        product = torch.eye(layout.n, dtype=torch.float64)
        for theta, (i, j) in zip(angles, layout.pairs, strict=True):
            gate = torch.eye(layout.n, dtype=torch.float64)
            gate[i, i] = gate[j, j] = theta.cos()
            gate[j, i], gate[i, j] = theta.sin(), -theta.sin()
            product = gate @ product
        torch.testing.assert_close(orthogonal_from_angles(angles, layout), product, rtol=0, atol=1e-14)


def test_angles_of_any_layout_have_a_gradient():
    for layout in layout_cases(4, min_n=3):
        angles = torch.randn(2, layout.n_gates, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda t, layout=layout: orthogonal_from_angles(t, layout), angles)


def test_a_layout_may_be_given_in_place_of_its_name():
    matrix = random_orthogonal(4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for layout in (brickwork(4), pyramid(4)):
        assert torch.equal(angles_from_orthogonal(matrix, layout), angles_from_orthogonal(matrix, layout.name))
    with pytest.raises(ValueError, match=r"4 rows is Layout\(pyramid, n=4, .*, got Layout\(pyramid, n=5"):
        angles_from_orthogonal(matrix, pyramid(5))
    with pytest.raises(ValueError, match=r"of a matrix of 4 rows .*, got Layout\(brickwork, n=4, gates=1"):
        angles_from_orthogonal(matrix, Layout(4, (((0, 1),),), name="brickwork"))
    with pytest.raises(ValueError, match="got 'custom'"):
        angles_from_orthogonal(matrix, Layout(4, (((0, 1),),)))


def test_bad_input_is_refused():
    reflection = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    with pytest.raises(ValueError, match=r"got det A = -1: negate one row of A, and put a Z gate on that wire"):
        angles_from_orthogonal(reflection)
    with pytest.raises(ValueError, match=r"needs A\^T A = I, got max \|A\^T A - I\| = 3.0e\+00"):
        angles_from_orthogonal(2 * torch.eye(3))
    with pytest.raises(ValueError, match=r"must be square, .* got \(3, 2\)"):
        angles_from_orthogonal(torch.ones(3, 2))
    with pytest.raises(TypeError, match=r"float32 or float64, got torch\.int64"):
        angles_from_orthogonal(torch.eye(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"\['brickwork', 'pyramid'\], got 'butterfly'"):
        angles_from_orthogonal(torch.eye(4), "butterfly")
    with pytest.raises(ValueError, match=r"one of \['brickwork', 'pyramid'\], got 'spiral'"):
        orthogonal_from_angles(torch.zeros(3), "spiral")
    with pytest.raises(ValueError, match=r"one a gate, got \(4,\)"):
        orthogonal_from_angles(torch.zeros(4))
    with pytest.raises(ValueError, match=r"one a gate, got \(\)"):
        orthogonal_from_angles(torch.tensor(0.0))
