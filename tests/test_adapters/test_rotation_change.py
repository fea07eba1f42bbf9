"""The distance of two rotations, against matrices that are built."""

import dataclasses
from typing import get_args

import pytest
import torch

from adapters.choices import ParameterMap
from adapters.plan import plan_blocks
from adapters.rotation import Rotation
from adapters.rotation_change import rotation_change

PLANS = [
    plan_blocks(9, (1,)),
    plan_blocks(17, (1, 2)),
    plan_blocks(16, (2,)),
    plan_blocks(31, (3,)),
    plan_blocks(40, (1, 2), n_blocks=3),
    plan_blocks(40, (2, 1), n_blocks=3, block_share=True),
    plan_blocks(2, (1,)),
]


def built(rotation, parameters):
    return rotation.apply(parameters, torch.eye(rotation.plan.features, dtype=torch.float64)).mT


def draw(plan, scale, seed):
    return scale * torch.randn(
        plan.parameter_shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("parameter_map", get_args(ParameterMap))
@pytest.mark.parametrize("scale", [1e-9, 0.1, 3.0])
def test_the_norms_are_those_of_the_difference(plan, parameter_map, scale):
    rotation = Rotation(plan, parameter_map)
    before, by = draw(plan, 0.3, 0), draw(plan, scale, 1)
    change = rotation_change(rotation, before, before + by)
    difference = built(rotation, before + by) - built(rotation, before)
    assert change.frobenius == pytest.approx(float(difference.norm()), rel=1e-6, abs=1e-14)
    assert change.operator == pytest.approx(float(torch.linalg.matrix_norm(difference, 2)), rel=1e-6, abs=1e-14)


def test_equal_rotations_have_no_distance():
    rotation = Rotation(PLANS[1], "cayley")
    parameters = draw(PLANS[1], 0.3, 0)
    assert rotation_change(rotation, parameters, parameters).frobenius < 1e-13
    assert rotation_change(rotation, parameters * 0, parameters * 0).frobenius == 0


@pytest.mark.parametrize("scale", [1e-6, 0.1])
def test_for_products_of_factors_it_is_an_upper_bound(scale):
    plan = dataclasses.replace(plan_blocks(40, (1, 2), n_blocks=3), n_factors=2)
    rotation = Rotation(plan, "cayley")
    before, by = draw(plan, 0.3, 0), draw(plan, scale, 1)
    change = rotation_change(rotation, before, before + by)
    difference = built(rotation, before + by) - built(rotation, before)
    for bound, norm in (
        (change.frobenius, difference.norm()),
        (change.operator, torch.linalg.matrix_norm(difference, 2)),
    ):
        assert norm <= bound <= 3 * norm
