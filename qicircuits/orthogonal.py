"""Maps from n(n-1)/2 numbers to rotations in SO(n), each the identity at zero, and what holds of their values.

The maps compute in float64 and round once: in float32 all three lose more than 1e-6 of orthogonality at n = 90,
for a matrix that is small beside the vectors it will be applied to. Their derivatives are first order, reverse mode.
"""

import functools
import math

import torch
from torch import Tensor

from .checks import check_real, check_square
from .engine.weight_one import circuit_matrix
from .layouts import brickwork

__all__ = ["cayley", "exponential", "is_orthogonal", "random_orthogonal", "skew", "swap_network", "swap_rotations"]


def skew(parameters: Tensor) -> Tensor:
    """The skew-symmetric matrix S with `parameters` as its strict upper triangle, row by row.

    Args:
        parameters: shape (..., n(n-1)/2), float32 or float64; no numbers at all means n = 1.

    Returns:
        S = -S^T, shape (..., n, n).

    Raises:
        ValueError: the last dimension is not n(n-1)/2 for any n.
        TypeError: the dtype is not float32 or float64.

    >>> skew(torch.tensor([1.0, 2.0, 3.0]))
    tensor([[ 0.,  1.,  2.],
            [-1.,  0.,  3.],
            [-2., -3.,  0.]])
    """
    n = _size_from_parameters(parameters)
    rows, columns = torch.triu_indices(n, n, 1, device=parameters.device)
    flat = parameters.new_zeros(*parameters.shape[:-1], n * n)
    # Each index is written once, so that the backward is a gather and not a sum over duplicates.
    upper = flat.index_copy(-1, rows * n + columns, parameters).unflatten(-1, (n, n))
    return upper - upper.mT


def cayley(parameters: Tensor) -> Tensor:
    """The Cayley map A = (I - S)(I + S)^(-1), S = skew(parameters).

    Zero maps to I exactly, with Jacobian dA = -2 dS. No rotation with an eigenvalue -1 is reached.

    Args:
        parameters: the strict upper triangle of S, shape (..., n(n-1)/2), float32 or float64.

    Returns:
        A in SO(n), shape (..., n, n).

    Raises:
        ValueError, TypeError: as `skew`.

    >>> cayley(torch.zeros(3)).equal(torch.eye(3))
    True
    """
    s = skew(parameters).double()
    identity = torch.eye(s.shape[-1], dtype=s.dtype, device=s.device)
    # (I - S) and (I + S)^(-1) commute, so one solve from the left serves.
    return torch.linalg.solve(identity + s, identity - s).to(parameters.dtype)


def exponential(parameters: Tensor) -> Tensor:
    """The exponential map A = exp(S), S = skew(parameters): onto SO(n), dA = dS at zero.

    Args:
        parameters: the strict upper triangle of S, shape (..., n(n-1)/2), float32 or float64.

    Returns:
        A in SO(n), shape (..., n, n); zero maps to I exactly.

    Raises:
        ValueError, TypeError: as `skew`.

    >>> exponential(torch.tensor([torch.pi / 2], dtype=torch.float64)).round().int()
    tensor([[ 0,  1],
            [-1,  0]], dtype=torch.int32)
    """
    return torch.linalg.matrix_exp(skew(parameters).double()).to(parameters.dtype)


def swap_network(angles: Tensor) -> Tensor:
    """The brickwork circuit read from its swap network: A = P^T B(pi/2 + theta), P = B(pi/2).

    B(theta) is the weight-1 matrix of the brickwork of RBS gates. At pi/2 every gate swaps its wires, every
    pair of wires meets once, and P is a signed reversal of the wires: a relabelling and Z gates. So zero maps
    to I, where the Jacobian has full rank n(n-1)/2 (all singular values sqrt 2); B itself has rank n-1 at zero.

    Carrying the swaps past the rotations leaves one rotation by +-theta for every pair of wires, each on the
    wires that the swaps had brought together: that product is what is computed, and it is exact at zero.

    Args:
        angles: theta in radians, shape (..., n(n-1)/2), in the order of ``brickwork(n).pairs``; float32 or 64.

    Returns:
        A in SO(n), shape (..., n, n); zero maps to I exactly.

    Raises:
        ValueError, TypeError: as `skew`.

    >>> swap_network(torch.zeros(6)).equal(torch.eye(4))
    True
    """
    n = _size_from_parameters(angles)
    wires, sizes, signs = _unswapped_brickwork(n)
    signed = angles * torch.tensor(signs, dtype=torch.float64, device=angles.device)
    return circuit_matrix(signed, wires, sizes, n).to(angles.dtype)


def random_orthogonal(
    n: int,
    *,
    batch_shape: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """A rotation drawn from the Haar measure of SO(n).

    Args:
        n: size, at least 1.
        batch_shape: leading dimensions, one independent draw each.
        generator: source of randomness; torch's global one by default.
        dtype: float32 or float64.

    Returns:
        A with A^T A = I and det A = +1, shape ``(*batch_shape, n, n)``, on the CPU.

    Raises:
        ValueError: n is not positive.
        TypeError: the dtype is another one.

    Reference: F. Mezzadri, arXiv:math-ph/0609050.

    >>> is_orthogonal(random_orthogonal(5, batch_shape=(2,)))
    True
    """
    if n < 1:
        raise ValueError(f"a rotation needs at least 1 dimension, got n={n}")
    check_real(torch.empty(0, dtype=dtype), "dtype")
    gaussian = torch.randn(*batch_shape, n, n, dtype=torch.float64, generator=generator, device="cpu")
    q, r = torch.linalg.qr(gaussian)
    # Q alone is not Haar: the signs of R's diagonal make the factorisation, hence the measure, unique.
    q = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    q[..., 0] *= torch.linalg.slogdet(q).sign.unsqueeze(-1)
    return q.to(dtype)


def is_orthogonal(matrix: Tensor, tolerance: float | None = None) -> bool:
    """Whether max |A^T A - I| <= tolerance, for every matrix of the batch.

    Args:
        matrix: A, shape (..., n, n), any float dtype (products are taken in at least float32).
        tolerance: 1e-10 for float64, 1e-5 for float32, 2e-2 for shorter types by default.

    Returns:
        True or False; a NaN makes it False.

    Raises:
        ValueError: the last two dimensions differ.

    >>> is_orthogonal(torch.ones(2, 2))
    False
    """
    check_square(matrix)
    if tolerance is None:
        tolerance = {torch.float64: 1e-10, torch.float32: 1e-5}.get(matrix.dtype, 2e-2)
    a = matrix.detach().to(torch.promote_types(matrix.dtype, torch.float32))
    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    # A NaN compares as False, and so is not orthogonal.
    return bool(((a.mT @ a - identity).abs() <= tolerance).all())


def _size_from_parameters(parameters: Tensor) -> int:
    check_real(parameters, "parameters")
    count = parameters.shape[-1] if parameters.dim() else -1
    n = (1 + math.isqrt(1 + 8 * max(count, 0))) // 2
    if count != n * (n - 1) // 2:
        raise ValueError(
            f"parameters of a rotation have shape (..., n(n-1)/2), with 0, 1, 3, 6, 10, ... numbers, "
            f"got {tuple(parameters.shape)}"
        )
    return n


@torch.compiler.assume_constant_result
def _unswapped_brickwork(n: int) -> tuple[list[int], list[int], list[float]]:
    """The pairs of original wires that meet in the gates of the swap network, and the signs of their angles.

    With swaps S and rotations G, S2 G2 S1 G1 = (S2 S1)(S1^T G2 S1) G1: a rotation carried past earlier swaps
    acts on the wires that were brought to it. S takes e_q to e_(q+1) and e_(q+1) to -e_q, hence the signs.

    Returns:
        Wires and sizes of moments as in `engine.weight_one.gate_lists`, and one sign a gate.
    """
    return swap_rotations(n)


@functools.lru_cache(maxsize=64)
def swap_rotations(n: int) -> tuple[list[int], list[int], list[float]]:
    """What :func:`swap_network` multiplies: wires, sizes of moments, and the sign of every angle.

    >>> swap_rotations(3)
    ([0, 1, 0, 2, 1, 2], [1, 1, 1], [1.0, 1.0, 1.0])
    """
    layout = brickwork(n)
    wire, sign = list(range(n)), [1.0] * n  # what stands at each position: +- e_wire
    wires, signs = [], []
    for p, q in layout.pairs:
        wires += [wire[p], wire[q]]
        signs.append(sign[p] * sign[q])
        wire[p], wire[q] = wire[q], wire[p]
        sign[p], sign[q] = -sign[q], sign[p]
    return wires, [len(moment) for moment in layout.moments], signs
