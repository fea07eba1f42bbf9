"""Frames: J turned around, against a dense J by forward differences of the maps and by autograd."""

from typing import get_args

import pytest
import torch

from adapters.choices import ParameterMap
from adapters.frames import frame, jacobian
from adapters.logarithms import upper_triangle
from adapters.maps import rotations
from qicircuits import compound_matrix

MAPS = get_args(ParameterMap)


def numbers(n, std=0.3, rows=2):
    generator = torch.Generator().manual_seed(n)
    return std * torch.randn(rows, n * (n - 1) // 2, generator=generator, dtype=torch.float64)


def steps(own, omega):
    """The linear part of the steps of the numbers."""
    return own.to_numbers(1e-7 * omega) / 1e-7


def dense(parameter_map, theta, order=1):
    """J by autograd, entry by entry of A^T dA, for one theta; of C_k(A) its whole matrix."""

    def matrix(own):
        a = rotations(parameter_map, [own[None]])[0][0]
        return a if order == 1 else compound_matrix(a, order)

    at = matrix(theta).detach()
    columns = torch.autograd.functional.jacobian(lambda own: at.mT @ matrix(own), theta)  # (n, n, parameters)
    return upper_triangle(columns.movedim(-1, 0)).mT  # (entries, parameters)


@pytest.mark.parametrize("parameter_map", MAPS)
@pytest.mark.parametrize("n", [2, 3, 6])
def test_steps_and_gradients_are_those_of_the_dense_jacobian(parameter_map, n):
    theta = numbers(n)
    own = frame(parameter_map, theta, damping=1e-12)
    given = numbers(n, std=1.0)
    gradient, step = own.to_algebra(given), steps(own, given)
    for row in range(2):
        j = dense(parameter_map, theta[row])
        torch.testing.assert_close(j.mT @ gradient[row], given[row], rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(j @ step[row], given[row], rtol=1e-5, atol=1e-5)
        if parameter_map == "rbs":
            torch.testing.assert_close(jacobian(theta)[row], j, rtol=0, atol=1e-12)


@pytest.mark.parametrize("parameter_map", MAPS)
def test_the_natural_gradient_is_that_of_the_pulled_back_metric(parameter_map):
    theta, given = numbers(5, std=0.5), numbers(5, std=1.0)
    own = frame(parameter_map, theta, damping=1e-12)
    natural = steps(own, own.to_algebra(given))
    for row in range(2):
        j = dense(parameter_map, theta[row])
        torch.testing.assert_close(natural[row], torch.linalg.solve(j.mT @ j, given[row]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("parameter_map", MAPS)
@pytest.mark.parametrize("n", [2, 5, 8])
def test_at_the_identity_it_is_the_plain_gradient_up_to_the_speed_of_the_map(parameter_map, n):
    given = numbers(n)
    own = frame(parameter_map, torch.zeros_like(given), damping=1e-12)
    speed = 2 if parameter_map == "cayley" else 1
    torch.testing.assert_close(steps(own, own.to_algebra(given)), given / speed**2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("parameter_map", MAPS)
@pytest.mark.parametrize("std", [0.3, 3.0])
def test_a_step_of_the_numbers_is_the_step_of_the_rotation(parameter_map, std):
    theta, omega = numbers(4, std), numbers(4, std=1.0)
    own = frame(parameter_map, theta, damping=1e-12)
    before, after = rotations(parameter_map, [theta, theta + own.to_numbers(1e-6 * omega)])
    found = upper_triangle(before.mT @ (after - before)) / 1e-6
    torch.testing.assert_close(found, omega, rtol=0, atol=1e-4 * steps(own, omega).norm())


def test_long_steps_of_cayley_are_those_of_rotations_also_at_half_a_turn():
    theta, omega = numbers(4, 1e4), numbers(4, std=2.0)
    before, after = rotations("cayley", [theta, theta + frame("cayley", theta, 1e-12).to_numbers(omega)])
    torch.testing.assert_close(after, before @ rotations("cayley", [omega / -2])[0], rtol=0, atol=1e-7)


@pytest.mark.parametrize("parameter_map", MAPS)
@pytest.mark.parametrize("order", [2, 3])
def test_the_metric_of_a_compound_is_a_multiple(parameter_map, order):
    theta = numbers(5)[0]
    one, k = dense(parameter_map, theta), dense(parameter_map, theta, order)
    torch.testing.assert_close(k.mT @ k, 3 * one.mT @ one)  # C(n - 2, k - 1) = 3 for both


def test_damping_keeps_steps_finite_where_the_map_is_singular():
    full_turn = torch.tensor(
        [[torch.pi, 0, 0, 0, 0, torch.pi]], dtype=torch.float64
    )  # S with angles +-pi: 2 pi apart
    crossing = torch.full((1, 10), torch.pi / 2, dtype=torch.float64)
    for parameter_map, theta in (("exponential", full_turn), ("rbs", crossing)):
        j = dense(parameter_map, theta[0])
        assert torch.linalg.svdvals(j)[-1] < 1e-8
        omega = torch.ones_like(theta)
        step = frame(parameter_map, theta, damping=1e-2).to_numbers(omega)
        assert step.norm() <= omega.norm() / (2 * 1e-2**0.5) * (1 + 1e-9)
        damped = torch.linalg.solve(j.mT @ j + 1e-2 * torch.eye(len(j)), j.mT @ omega[0])
        torch.testing.assert_close(step[0], damped, rtol=1e-6, atol=1e-8)
