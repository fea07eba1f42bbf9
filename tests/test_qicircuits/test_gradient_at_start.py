"""At the identity start every order of every map has a gradient; determinants by LU would give exactly zero."""

import math

import pytest
import torch

from qicircuits import (
    brickwork,
    cayley,
    compound_apply,
    compound_matrix,
    exponential,
    orthogonal_from_angles,
    swap_network,
)

MAPS = [cayley, exponential, swap_network]


def jacobian_at_zero(function, n):
    zero = torch.zeros(n * (n - 1) // 2, dtype=torch.float64)
    return torch.autograd.functional.jacobian(function, zero).reshape(-1, len(zero))


@pytest.mark.parametrize("to_rotation", MAPS)
@pytest.mark.parametrize(
    ("orders", "method"),
    [(o, "dense") for o in [(1,), (2,), (3,), (4,), (5,), (2, 3), (1, 2)]] + [((2,), "modes"), ((3,), "modes")],
)
def test_every_parameter_of_every_order_moves_at_the_start(to_rotation, method, orders):
    n = 6
    generator = torch.Generator().manual_seed(0)
    vectors = {k: torch.randn(16, math.comb(n, k), dtype=torch.float64, generator=generator) for k in orders}

    def rotated(parameters):
        rotation = to_rotation(parameters)
        return torch.cat([compound_apply(rotation, x, k, method=method) for k, x in vectors.items()], dim=-1)

    jacobian = jacobian_at_zero(rotated, n)
    assert torch.linalg.matrix_rank(jacobian) == n * (n - 1) // 2
    assert (jacobian.norm(dim=0) > 1e-3).all()


@pytest.mark.parametrize("n", [2, 4, 6, 9])
def test_rank_at_the_swap_network_start_is_full_and_from_zero_angles_it_is_not(n):
    count = n * (n - 1) // 2
    assert torch.linalg.matrix_rank(jacobian_at_zero(swap_network, n)) == count
    from_zero = jacobian_at_zero(lambda angles: orthogonal_from_angles(angles, brickwork(n)), n)
    assert torch.linalg.matrix_rank(from_zero) == n - 1


@pytest.mark.parametrize("order", [2, 3])
def test_the_artefact_is_real_minors_by_lu_have_no_gradient_at_the_start(order):
    members = torch.combinations(torch.arange(6), order)
    identity = torch.eye(6, dtype=torch.float64, requires_grad=True)
    minors = torch.linalg.det(identity[members][:, :, members].permute(0, 2, 1, 3))
    off_diagonal = ~torch.eye(len(members), dtype=torch.bool)
    (by_lu,) = torch.autograd.grad(minors[off_diagonal].sum(), identity)
    (right,) = torch.autograd.grad(compound_matrix(identity, order)[off_diagonal].sum(), identity)
    assert by_lu.count_nonzero() == 0
    assert right.abs().max() > 0.5
