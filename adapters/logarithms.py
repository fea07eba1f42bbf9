"""From rotations back: their logarithms in the Lie algebra so(n), and the numbers by which a map gives them."""

import math
from typing import get_args

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from qicircuits.givens import angles_from_orthogonal, orthogonal_from_angles
from qicircuits.orthogonal import skew

from .choices import MapName, ParameterMap
from .maps import rotations

__all__ = [
    "logarithm",
    "logarithms_of_parameters",
    "parameters_of_logarithms",
    "parameters_of_rotations",
    "upper_triangle",
]

_LARGEST = {torch.float32: 1e3, torch.float64: 1e6}
"""Of the numbers of Cayley's map, which are infinite for a half turn: beyond these their rounding shows in A."""


def logarithm(rotation: Tensor) -> Tensor:
    """The principal logarithm L = -L^T of A in SO(n): exp(L) = A, and the angles of L are at most pi.

    Where A has the eigenvalue -1, its logarithms of that kind are many, and one of them is returned.

    Args:
        rotation: A, shape (..., n, n).

    Returns:
        L, shape (..., n, n), float64, on the CPU. Not differentiable.
    """
    flat = rotation.detach().double().cpu().reshape(-1, *rotation.shape[-2:])
    logs = [torch.from_numpy(_logarithm(a)) for a in flat.numpy()]
    return torch.stack(logs).reshape(rotation.shape) if logs else flat.reshape(rotation.shape)


def _logarithm(a: np.ndarray) -> np.ndarray:
    """By the real Schur form, which for a normal matrix is made of rotations by an angle, of 1 and of -1."""
    t, z = scipy.linalg.schur(a, output="real")
    generator, half_turned = np.zeros_like(t), []
    i = 0
    while i < len(t):
        if i + 1 < len(t) and t[i + 1, i] != 0:
            generator[i + 1, i] = math.atan2(t[i + 1, i] - t[i, i + 1], t[i, i] + t[i + 1, i + 1])
            i += 2
            continue
        if t[i, i] < 0:
            half_turned.append(i)
        i += 1
    for first, second in zip(half_turned[::2], half_turned[1::2], strict=True):  # det A = 1: they are even in number
        generator[second, first] = math.pi
    return z @ (generator - generator.T) @ z.T


def logarithms_of_parameters(parameter_map: MapName, parameters: Tensor) -> Tensor:
    """The logarithm of the rotation that a map gives.

    "exponential": S itself, the skew matrix of the numbers, whatever its angles. "cayley" and "rbs": the principal
    one, for "cayley" L = -2 artanh S.

    Args:
        parameter_map: the map.
        parameters: shape (B, n(n-1)/2).

    Returns:
        L, shape (B, n, n), float64, on the CPU.
    """
    numbers = parameters.detach().double().cpu()
    if parameter_map == "exponential":
        return skew(numbers)
    return logarithm(rotations(parameter_map, [numbers])[0])


def parameters_of_logarithms(parameter_map: MapName, logarithms: Tensor, dtype: torch.dtype) -> Tensor:
    """The numbers by which a map gives exp(L).

    Args:
        parameter_map: the map.
        logarithms: L, shape (B, n, n), float64.
        dtype: of the numbers, float32 or float64.

    Returns:
        shape (B, n(n-1)/2).

    Raises:
        ValueError: as :func:`parameters_of_rotations`.
    """
    if parameter_map == "exponential":
        return upper_triangle(logarithms).to(dtype)
    return parameters_of_rotations(parameter_map, torch.linalg.matrix_exp(logarithms), dtype)


def parameters_of_rotations(parameter_map: MapName, matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """The numbers by which a map gives A: "cayley" S = (I - A)(I + A)^-1, "exponential" the principal logarithm.

    For "rbs", A = P^T B(pi/2 + theta): theta are the Givens angles of the brickwork that is P A, less pi/2.

    Args:
        parameter_map: the map.
        matrices: A in SO(n), shape (B, n, n), float64.
        dtype: of the numbers, float32 or float64.

    Returns:
        shape (B, n(n-1)/2).

    Raises:
        ValueError: the map is "cayley", and an A has an eigenvalue -1, or one so near to it that the numbers, rounded
            to `dtype`, would give another A; or the map is one that only comparisons use.
    """
    if parameter_map == "exponential":
        numbers = upper_triangle(logarithm(matrices))
    elif parameter_map == "rbs":
        n = matrices.shape[-1]
        reversal = orthogonal_from_angles(torch.full((n * (n - 1) // 2,), math.pi / 2, dtype=torch.float64))
        numbers = angles_from_orthogonal(reversal @ matrices) - math.pi / 2
        numbers = torch.where(numbers <= -math.pi, numbers + 2 * math.pi, numbers)
    elif parameter_map == "cayley":
        identity = torch.eye(matrices.shape[-1], dtype=torch.float64)
        solved, _ = torch.linalg.solve_ex(identity + matrices, identity - matrices)
        numbers = upper_triangle(solved)
        _check_size(numbers, matrices, dtype)
    else:
        raise ValueError(f"a map is turned around that is one of {get_args(ParameterMap)}, got {parameter_map!r}")
    return numbers.to(dtype)


def upper_triangle(matrices: Tensor) -> Tensor:
    """The strict upper triangle, row by row: the inverse of `skew`."""
    rows, columns = torch.triu_indices(matrices.shape[-2], matrices.shape[-1], 1)
    return matrices[..., rows, columns]


def _check_size(numbers: Tensor, matrices: Tensor, dtype: torch.dtype) -> None:
    if numbers.numel() and not numbers.abs().max() <= _LARGEST[dtype]:
        angle = math.degrees(torch.linalg.eigvals(matrices).angle().abs().max().item())
        raise ValueError(
            "the map 'cayley' gives no rotation by half a turn, which has the eigenvalue -1, and in "
            f"{dtype} none too near to it: got an angle of {angle:.4f} degrees (the maps 'exponential' and 'rbs' "
            "give all rotations)"
        )
