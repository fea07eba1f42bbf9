"""Arithmetic of rotations by their numbers: powers, means, products, and how alike two of them are; in float64.

All of it happens in the A_i, of size n: R is a function of them that takes products to products, C_k(A B) =
C_k(A) C_k(B), so that R(exp L)^t = R(exp t L).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .logarithms import (
    logarithm,
    logarithms_of_parameters,
    parameters_of_logarithms,
    parameters_of_rotations,
)
from .rotation import Rotation

__all__ = ["compose", "distance", "inverse", "mean", "power", "similarity"]


def mean(rotation: Rotation, parameters: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    r"""The numbers of exp(Σ_j w_j L_j) for each A, L_j the logarithm of A_j: the weighted mean in the Lie algebra.

    Where the L_j commute this is exactly Π_j A_j^{w_j}. The logarithm is S itself for the map "exponential", whose
    mean is that of the numbers, and the principal one, of angles up to pi, for "cayley" and "rbs".

    Args:
        rotation: R; one factor.
        parameters: of every adapter, shape `rotation.plan.parameter_shape`.
        weights: w_j; they need not add up to 1.

    Returns:
        shape, dtype and device of the first parameters.

    Raises:
        ValueError: R has several factors, or the map is "cayley" and cannot give the mean.
    """
    _check_one_factor(rotation)
    kind, first = rotation.parameter_map, parameters[0]
    logs = [weight * logarithms_of_parameters(kind, own) for own, weight in zip(parameters, weights, strict=True)]
    return parameters_of_logarithms(kind, torch.stack(logs).sum(0), first.dtype).to(first.device)


def power(rotation: Rotation, parameters: Tensor, exponent: float) -> Tensor:
    """The numbers of R^t = R(exp t L): t = 0 is the identity, 1/2 half of the way, 1 the adapter, -1 its inverse.

    Args:
        rotation: R; one factor.
        parameters: shape `rotation.plan.parameter_shape`.
        exponent: t.

    Returns:
        shape, dtype and device of `parameters`.

    Raises:
        ValueError: as :func:`mean`.
    """
    return mean(rotation, [parameters], [exponent])


def inverse(rotation: Rotation, parameters: Tensor) -> Tensor:
    """The numbers of R^T: `power` with exponent -1."""
    return power(rotation, parameters, -1.0)


def compose(rotation: Rotation, first: Tensor, second: Tensor) -> Tensor:
    """The numbers of R_2 R_1, of the same form as both.

    Args:
        rotation: R; one factor.
        first: the numbers of R_1, which is applied first, shape `rotation.plan.parameter_shape`.
        second: those of R_2.

    Returns:
        shape, dtype and device of `first`.

    Raises:
        ValueError: as :func:`mean`.
    """
    _check_one_factor(rotation)
    product = _matrices(rotation, second) @ _matrices(rotation, first)
    return parameters_of_rotations(rotation.parameter_map, product, first.dtype).to(first.device)


def similarity(rotation: Rotation, first: Tensor, second: Tensor) -> float:
    r"""tr(R_1^T R_2) / d: 1 for equal rotations, else less, and at least -1.

    With B = A_1^T A_2, tr C_k(B) = e_k(λ), the elementary symmetric polynomial of the eigenvalues of B; neither R nor
    C_k(B) is built.

    Args:
        rotation: R; one factor.
        first: the numbers of R_1, shape `rotation.plan.parameter_shape`.
        second: those of R_2.

    Raises:
        ValueError: R has several factors.
    """
    _check_one_factor(rotation)
    plan = rotation.plan
    traces = _symmetric_polynomials(torch.linalg.eigvals(_between(rotation, first, second)), max(plan.orders))
    alike = sum(traces[:, order].sum().item() for order in plan.orders) * plan.n_blocks / len(traces)
    return float(alike + plan.n_blocks * plan.pad + plan.untouched) / plan.features


def distance(rotation: Rotation, first: Tensor, second: Tensor) -> float:
    r"""The length of the shortest path from R_1 to R_2 among the rotations of this form, in radians times sqrt 2.

    With L the principal logarithm of A_1^T A_2 it is the Frobenius norm of the generator of R(exp L),

        sqrt( Σ_blocks Σ_k C(n-2, k-1) ||L||_F^2 ),

    so that a turn of one plane of n = 2 wires by θ has length sqrt(2) θ. It bounds the distance in SO(d) from above.

    Args:
        rotation: R; one factor.
        first: the numbers of R_1, shape `rotation.plan.parameter_shape`.
        second: those of R_2.

    Raises:
        ValueError: R has several factors.
    """
    _check_one_factor(rotation)
    plan = rotation.plan
    logs = logarithm(_between(rotation, first, second))
    factor = sum(math.comb(plan.n - 2, order - 1) for order in plan.orders) * plan.n_blocks / len(logs)
    return math.sqrt(factor) * logs.norm().item()


def _matrices(rotation: Rotation, parameters: Tensor) -> Tensor:
    return rotation.matrices(parameters.detach().double().cpu())


def _between(rotation: Rotation, first: Tensor, second: Tensor) -> Tensor:
    return _matrices(rotation, first).mT @ _matrices(rotation, second)


def _symmetric_polynomials(numbers: Tensor, highest: int) -> Tensor:
    """e_0 to e_highest of rows of numbers, shape (B, highest + 1); of eigenvalues of real matrices, so real."""
    found = torch.zeros(len(numbers), highest + 1, dtype=numbers.dtype)
    found[:, 0] = 1
    for column in numbers.T:
        found[:, 1:] += column[:, None] * found[:, :-1].clone()
    return found.real


def _check_one_factor(rotation: Rotation) -> None:
    if rotation.plan.n_factors != 1:
        raise ValueError(
            "arithmetic needs n_factors=1, for a product of shuffled factors is not the inverse or the power of one, "
            f"got n_factors={rotation.plan.n_factors}"
        )
