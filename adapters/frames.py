"""Frame: between the trained numbers of a map and the Lie algebra so(n), where lengths do not depend on the map."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from qicircuits.orthogonal import skew, swap_rotations

from .choices import ParameterMap
from .logarithms import upper_triangle

__all__ = ["Frame", "frame", "jacobian"]


@dataclass(frozen=True)
class Frame:
    r"""The derivative J of a map theta -> A at one theta, turned around.

    .. math:: \omega = J\, d\theta, \qquad \omega = A^T dA \in so(n), \qquad |\omega|^2 = \tfrac12 tr(\omega^T \omega)

    omega is given by its strict upper triangle, row by row, so |omega|^2 is the sum of its squares, and of the
    squares of the angles by which exp(omega) turns its planes. This metric is the one on SO(n), up to a factor, that
    does not change where rotations are composed with a fixed one; C_k makes of it a multiple of itself, so it is that
    of the adapter's R too. Pulled back to theta it is G = J^T J, and the natural gradient is G^-1 dL/dtheta =
    J^-1 gamma with gamma = J^-T dL/dtheta, the gradient on SO(n).

    Where J may be singular G + damping I stands for G.

    Args:
        to_algebra: gamma = J (G + damping)^-1 g for gradients g = dL/dtheta, shape (B, n(n-1)/2).
        to_numbers: dtheta = (G + damping)^-1 J^T omega + O(omega^2) for steps omega, of the same shape.

    Reference:
        S. Amari, Natural gradient works efficiently in learning, Neural Computation 10, 251 (1998).
    """

    to_algebra: Callable[[Tensor], Tensor]
    to_numbers: Callable[[Tensor], Tensor]


def frame(parameter_map: ParameterMap, parameters: Tensor, damping: float) -> Frame:
    """The frame of each of several rotations.

    "cayley": products and two linear systems of size n, never singular and not damped. "exponential": an eigenvalue
    problem of size n; singular where two angles differ by 2 pi. "rbs": a linear system of n(n-1)/2 numbers, more and
    more singular as angles grow (docs/results/learning_rates.md).

    Args:
        parameter_map: the map.
        parameters: theta, shape (B, n(n-1)/2), float64 and finite.
        damping: positive; J is of length 1 at theta = 0, of "cayley" 2.
    """
    return _FRAMES[parameter_map](parameters, damping)


def _cayley_frame(parameters: Tensor, damping: float) -> Frame:
    """A^T dA = -2 (I - S)^-1 dS (I + S)^-1, so inverse and transpose are products.

    Numbers grow as the square of S, and linear steps near half a turn beyond all bounds. So with X = -omega / 2 the
    step is to the S of the rotation A (I - X) (I + X)^-1, which is (I + S)^-1 (S + X) (I + S X)^-1 (I + S).
    """
    s = skew(parameters)
    identity = torch.eye(s.shape[-1], dtype=s.dtype, device=s.device)
    minus, plus = identity - s, identity + s

    def to_numbers(omega: Tensor) -> Tensor:
        x = skew(omega) / -2
        ahead, _ = torch.linalg.solve_ex(identity + s @ x, plus)
        return upper_triangle(torch.linalg.solve(plus, (s + x) @ ahead)) - parameters

    return Frame(
        to_algebra=lambda gradient: upper_triangle(plus @ skew(gradient) @ minus) / -2,
        to_numbers=to_numbers,
    )


def _exponential_frame(parameters: Tensor, damping: float) -> Frame:
    r"""A^T dA = \int_0^1 e^{-tS} dS e^{tS} dt: with S = U diag(i phi) U^H a factor for each entry of U^H dS U.

    It is (1 - e^{-i delta}) / (i delta) for the entry p, q, delta = phi_p - phi_q.
    """
    phi, basis = torch.linalg.eigh(-1j * skew(parameters))
    half = (phi.unsqueeze(-1) - phi.unsqueeze(-2)) / 2
    length = torch.sinc(half / math.pi)
    inverse = torch.polar(length / (length.square() + damping), torch.zeros_like(half)) * torch.exp(1j * half)

    def scaled(numbers: Tensor, factors: Tensor) -> Tensor:
        turned = factors * (basis.mH @ skew(numbers).to(basis.dtype) @ basis)
        return upper_triangle((basis @ turned @ basis.mH).real)

    return Frame(
        to_algebra=lambda gradient: scaled(gradient, inverse.conj()),
        to_numbers=lambda omega: scaled(omega, inverse),
    )


def _rbs_frame(parameters: Tensor, damping: float) -> Frame:
    j = jacobian(parameters)
    metric = j.mT @ j
    metric.diagonal(dim1=-2, dim2=-1).add_(damping)
    factor = torch.linalg.cholesky(metric)

    def solve(numbers: Tensor) -> Tensor:  # (B, n(n-1)/2, 1)
        return torch.cholesky_solve(numbers, factor)

    return Frame(
        to_algebra=lambda gradient: (j @ solve(gradient.unsqueeze(-1))).squeeze(-1),
        to_numbers=lambda omega: solve(j.mT @ omega.unsqueeze(-1)).squeeze(-1),
    )


_FRAMES = {"cayley": _cayley_frame, "exponential": _exponential_frame, "rbs": _rbs_frame}


def jacobian(angles: Tensor) -> Tensor:
    """J of the map "rbs": column g is B^T E_g B, B the gates before gate g, E_g its generator; all have length 1.

    The entry p, q of column g is a minor of B: rows the second and the first wire of the gate, columns p < q.

    Args:
        angles: theta, shape (B, n(n-1)/2).

    Returns:
        shape (B, n(n-1)/2, n(n-1)/2).
    """
    n = 1 + math.isqrt(2 * angles.shape[-1])
    wires, sizes, signs = swap_rotations(n)
    sign = torch.tensor(signs, dtype=angles.dtype, device=angles.device)
    first, second = torch.tensor(wires, device=angles.device).reshape(-1, 2).unbind(-1)
    p, q = torch.triu_indices(n, n, 1, device=angles.device)
    cos, sin = angles.cos().unsqueeze(-1), (sign * angles).sin().unsqueeze(-1)
    before = torch.eye(n, dtype=angles.dtype, device=angles.device).repeat(len(angles), 1, 1)  # (B, n, n)
    columns = []
    for start, stop in itertools.pairwise(itertools.accumulate(sizes, initial=0)):  # a moment: disjoint wires
        i, j = first[start:stop], second[start:stop]
        upper, lower = before[:, i], before[:, j]  # (B, gates, n)
        minors = lower[..., p] * upper[..., q] - upper[..., p] * lower[..., q]
        columns.append(sign[start:stop, None] * minors)
        c, s = cos[:, start:stop], sin[:, start:stop]
        before[:, i], before[:, j] = c * upper - s * lower, s * upper + c * lower
    return torch.cat(columns, dim=1).mT
