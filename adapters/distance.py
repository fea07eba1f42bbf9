"""How far a rotation is from the identity, from the eigenvalues of its blocks: R is never built."""

import math

import torch
from torch import Tensor

from .plan import BlockPlan
from .rotation import Rotation

__all__ = ["distance_from_identity", "eigenvalue_angles", "turning_angles"]


def eigenvalue_angles(rotation: Rotation, parameters: Tensor) -> Tensor:
    """The angles phi of the eigenvalues e^(i phi) of the rotations A, which come in pairs +-phi, and 0 if n is odd.

    Args:
        rotation: the adapter's.
        parameters: shape `rotation.plan.parameter_shape`.

    Returns:
        shape (rows, n), float64.
    """
    return torch.linalg.eigvals(rotation.matrices(parameters.double())).angle()


def distance_from_identity(angles: Tensor, plan: BlockPlan) -> float:
    r"""The Frobenius norm of R - I, from the angles alone.

    .. math:: \|C_k(A) - I\|^2 = 2\,\Bigl(\tbinom{n}{k} - e_k(\lambda)\Bigr), \qquad \lambda = e^{i\varphi},

    with e_k the elementary symmetric polynomial, summed over orders and blocks; of a product of factors, over
    factors too, as if no entry of R were reached by two of them. Computed from :math:`\mu = \lambda - 1`, in which
    small angles keep their digits: :math:`e_k(1 + \mu) = \sum_j \binom{n-j}{k-j} e_j(\mu)`.

    Args:
        angles: as :func:`eigenvalue_angles` returns them.
        plan: the adapter's.
    """
    half = angles / 2
    mu = torch.complex(-2 * half.sin() ** 2, 2 * half.sin() * half.cos())  # (rows, n)
    largest, n = max(plan.orders), plan.n
    symmetric = torch.zeros(len(mu), largest + 1, dtype=mu.dtype)
    symmetric[:, 0] = 1
    for wire in range(n):
        symmetric[:, 1:] = symmetric[:, 1:] + symmetric[:, :-1] * mu[:, wire, None]
    squares = torch.zeros(len(mu), dtype=torch.float64)
    for k in plan.orders:
        for j in range(1, k + 1):
            squares -= 2 * math.comb(n - j, k - j) * symmetric[:, j].real
    copies = plan.n_blocks if plan.block_share else 1
    return math.sqrt(max(copies * squares.sum().item(), 0.0))


def turning_angles(angles: Tensor) -> Tensor:
    """The angles by which A turns its planes.

    Args:
        angles: as :func:`eigenvalue_angles` returns them.

    Returns:
        in [0, pi], largest first, shape (rows, floor(n/2)), float64.
    """
    return angles.abs().sort(descending=True).values[:, : angles.shape[-1] // 2 * 2 : 2]
