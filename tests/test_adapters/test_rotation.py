"""Rotation: R applied is the block-diagonal R built, is orthogonal, exact at zero, and moves from there."""

from typing import get_args

import pytest
import torch

from adapters.choices import ParameterMap
from adapters.plan import plan_blocks
from adapters.rotation import Rotation
from qicircuits import compound_matrix, is_orthogonal

MAPS = get_args(ParameterMap)
ORDERS = ((1,), (2,), (3,), (2, 3), (1, 2), (2, 1))
FORMS = (
    {},
    {"n_blocks": 2},
    {"block_size": 11},
    {"n_blocks": 2, "block_share": True},
    {"block_size": 20},
)


def rotation_and_parameters(orders, parameter_map, form, *, dtype=torch.float64):
    plan = plan_blocks(25, orders, **form)
    torch.manual_seed(0)
    return Rotation(plan, parameter_map), torch.randn(plan.parameter_shape, dtype=dtype) / 2


def built(rotation, parameters):
    """R, by its definition."""
    plan = rotation.plan
    parts = []
    for index in range(plan.n_blocks):
        matrix = rotation.matrices(parameters)[0 if plan.block_share else index]
        parts += [compound_matrix(matrix, order) for order in plan.orders]
        parts.append(torch.eye(plan.pad, dtype=matrix.dtype))
    return torch.block_diag(*parts, torch.eye(plan.untouched, dtype=parameters.dtype))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("parameter_map", MAPS)
def test_applied_is_built(orders, parameter_map, form):
    rotation, parameters = rotation_and_parameters(orders, parameter_map, form)
    r = built(rotation, parameters)
    x = torch.randn(2, 3, 25, dtype=torch.float64)
    assert is_orthogonal(r)
    assert (r - torch.eye(25)).abs().max() > 0.1
    torch.testing.assert_close(rotation.apply(parameters, x), x @ r.T, rtol=0, atol=1e-13)
    torch.testing.assert_close(rotation.apply(parameters, x, transpose=True), x @ r, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("parameter_map", MAPS)
def test_zero_is_the_identity_to_the_last_bit(parameter_map, dtype):
    for orders in ORDERS:
        for form in FORMS:
            rotation, parameters = rotation_and_parameters(orders, parameter_map, form, dtype=torch.float32)
            x = torch.randn(4, 25).to(dtype)
            assert rotation.apply(torch.zeros_like(parameters), x).to(dtype).equal(x)


@pytest.mark.parametrize("form", [{}, {"n_blocks": 2}, {"n_blocks": 2, "block_share": True}])
@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("parameter_map", MAPS)
def test_every_parameter_moves_r_from_the_start(orders, parameter_map, form):
    """With determinants by torch.linalg.det the orders (2,), (3,) and (2, 3) would have a zero Jacobian."""
    rotation, parameters = rotation_and_parameters(orders, parameter_map, form)
    x = torch.eye(25, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda p: rotation.apply(p, x), torch.zeros_like(parameters))
    singular = torch.linalg.svdvals(jacobian.flatten(0, 1).flatten(1))
    assert singular.min() > 1


@pytest.mark.parametrize(
    ("parameters", "x", "computed"),
    [
        (torch.float32, torch.bfloat16, torch.float32),
        (torch.bfloat16, torch.bfloat16, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.float64, torch.float32, torch.float64),
    ],
)
def test_it_is_computed_in_the_wider_type(parameters, x, computed):
    rotation, values = rotation_and_parameters((1, 2), "cayley", {}, dtype=parameters)
    x = torch.randn(25).to(x)
    y = rotation.apply(values, x)
    assert y.dtype == computed
    torch.testing.assert_close(y, rotation.apply(values.to(computed), x.to(computed)))


def test_autocast_does_not_reach_the_rotation():
    rotation, parameters = rotation_and_parameters((1, 2), "cayley", {}, dtype=torch.float32)
    x = torch.randn(6, 25)
    expected = rotation.apply(parameters, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert rotation.apply(parameters, x).equal(expected)


def test_no_tokens():
    rotation, parameters = rotation_and_parameters((1, 2), "cayley", {"n_blocks": 2})
    assert rotation.apply(parameters, torch.zeros(0, 25)).shape == (0, 25)
