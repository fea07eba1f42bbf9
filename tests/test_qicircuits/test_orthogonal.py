"""Maps to SO(n): orthogonality, the identity at zero, gradients, the swap-network start."""

import pytest
import torch

from qicircuits import (
    brickwork,
    cayley,
    exponential,
    is_orthogonal,
    orthogonal_from_angles,
    pyramid,
    random_orthogonal,
    swap_network,
)
from qicircuits.orthogonal import skew

MAPS = [cayley, exponential, swap_network]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("to_rotation", MAPS)
@pytest.mark.parametrize("n", [1, 2, 3, 6, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_rotations_and_zero_is_the_identity_exactly(to_rotation, n, dtype):
    parameters = torch.randn(2, 3, n * (n - 1) // 2, dtype=dtype)
    rotation = to_rotation(parameters)
    assert rotation.shape == (2, 3, n, n)
    assert rotation.dtype == dtype
    assert is_orthogonal(rotation, 1e-13 if dtype == torch.float64 else 1e-6)
    assert (torch.linalg.slogdet(rotation).sign == 1).all()
    assert to_rotation(torch.zeros_like(parameters)).equal(torch.eye(n, dtype=dtype).expand(2, 3, n, n))


@pytest.mark.parametrize("to_rotation", [*MAPS, skew])
def test_batches_are_each_matrix_alone(to_rotation):
    parameters = torch.randn(4, 10, dtype=torch.float64)
    alone = torch.stack([to_rotation(p) for p in parameters])
    torch.testing.assert_close(to_rotation(parameters), alone, rtol=0, atol=1e-15)


@pytest.mark.parametrize("to_rotation", MAPS)
def test_gradients_match_finite_differences(to_rotation):
    parameters = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(to_rotation, parameters)


@pytest.mark.parametrize("to_rotation", MAPS)
@pytest.mark.parametrize("n", [2, 6, 9])
def test_the_tangent_at_the_start_has_full_rank_and_equal_singular_values(to_rotation, n):
    zero = torch.zeros(n * (n - 1) // 2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(to_rotation, zero).reshape(n * n, -1)
    values = torch.linalg.svdvals(jacobian)
    expected = 2 * 2**0.5 if to_rotation is cayley else 2**0.5
    torch.testing.assert_close(values, torch.full_like(values, expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", [brickwork(6), brickwork(9), pyramid(6), pyramid(9)], ids=repr)
def test_angles_of_zero_are_a_degenerate_start(layout):
    zero = torch.zeros(layout.n_gates, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda t: orthogonal_from_angles(t, layout), zero)
    assert torch.linalg.matrix_rank(jacobian.reshape(layout.n**2, -1)) == layout.n - 1


@pytest.mark.parametrize("n", [2, 3, 6, 9])
def test_the_swap_network_is_the_brickwork_read_from_right_angles(n):
    angles = torch.randn(n * (n - 1) // 2, dtype=torch.float64)
    right = torch.full_like(angles, torch.pi / 2)
    start = orthogonal_from_angles(right, brickwork(n))
    expected = start.mT @ orthogonal_from_angles(right + angles, brickwork(n))
    torch.testing.assert_close(swap_network(angles), expected, rtol=0, atol=1e-13)
    # P is a signed reversal of the wires.
    torch.testing.assert_close(start.abs(), torch.eye(n, dtype=torch.float64).flip(0), rtol=0, atol=1e-13)


def test_large_swap_networks_agree_with_the_definition_moment_by_moment():
    n = 140  # beyond the size that is multiplied as a tree
    angles = 0.1 * torch.randn(n * (n - 1) // 2, dtype=torch.float64)
    angles.requires_grad_()
    right = torch.full_like(angles, torch.pi / 2)
    start = orthogonal_from_angles(right, brickwork(n))
    weights = torch.randn(n, n, dtype=torch.float64)
    rotation = swap_network(angles)
    expected = start.mT @ orthogonal_from_angles(right + angles, brickwork(n))
    torch.testing.assert_close(rotation, expected, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad((weights * rotation).sum(), angles)
    direction = torch.randn_like(angles)
    step = 1e-6 * direction
    slope = (weights * (swap_network(angles + step) - swap_network(angles - step))).sum() / 2e-6
    torch.testing.assert_close(gradient @ direction, slope, rtol=1e-7, atol=0)


def test_cayley_is_the_fraction_it_says():
    s = skew(torch.randn(3, dtype=torch.float64))
    identity = torch.eye(3, dtype=torch.float64)
    parameters = torch.stack([s[0, 1], s[0, 2], s[1, 2]])
    torch.testing.assert_close(cayley(parameters), (identity - s) @ torch.linalg.inv(identity + s))
    assert s.equal(-s.mT)


def test_random_rotations_are_reproducible_and_have_the_moments_of_haar():
    draw = [random_orthogonal(3, batch_shape=(200,), generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    assert draw[0].equal(draw[1])
    assert is_orthogonal(draw[0])
    assert (torch.linalg.slogdet(draw[0]).sign == 1).all()
    # Haar: E[A] = 0 and E[A_ij^2] = 1/n.
    assert draw[0].mean(0).abs().max() < 0.15
    assert (draw[0].square().mean(0) - 1 / 3).abs().max() < 0.1
    assert random_orthogonal(4, dtype=torch.float32).dtype == torch.float32


def test_is_orthogonal_sees_what_is_not():
    rotation = random_orthogonal(4)
    assert is_orthogonal(rotation)
    assert is_orthogonal(rotation.bfloat16())
    assert not is_orthogonal(1.001 * rotation)
    assert not is_orthogonal(torch.stack([rotation, torch.zeros(4, 4)]))
    assert not is_orthogonal(torch.full((2, 2), torch.nan))
    with pytest.raises(ValueError, match=r"must be square, .* got \(2, 3\)"):
        is_orthogonal(torch.ones(2, 3))


@pytest.mark.parametrize("to_rotation", [*MAPS, skew])
def test_bad_parameters_are_refused(to_rotation):
    with pytest.raises(ValueError, match=r"n\(n-1\)/2.* got \(4,\)"):
        to_rotation(torch.zeros(4))
    with pytest.raises(ValueError, match=r"got \(\)"):
        to_rotation(torch.tensor(1.0))
    with pytest.raises(TypeError, match=r"float32 or float64, got torch\.bfloat16"):
        to_rotation(torch.zeros(3, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match=r"got torch\.complex64"):
        to_rotation(torch.zeros(3, dtype=torch.complex64))


def test_a_rotation_of_no_wires_is_refused():
    with pytest.raises(ValueError, match="at least 1 dimension, got n=0"):
        random_orthogonal(0)
    with pytest.raises(TypeError, match=r"float32 or float64, got torch\.int64"):
        random_orthogonal(3, dtype=torch.int64)
