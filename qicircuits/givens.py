"""Rotations as circuits: angles of a brickwork or pyramid of RBS gates from a matrix in SO(n), and back."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .checks import check_angles, check_real, check_square
from .engine.dispatch import weight_one_matrix
from .layouts import Layout, brickwork, pyramid
from .orthogonal import is_orthogonal

__all__ = ["angles_from_orthogonal", "orthogonal_from_angles"]

_UNIVERSAL = {"brickwork": brickwork, "pyramid": pyramid}
_Batch = NDArray[np.float64]


def orthogonal_from_angles(angles: Tensor, layout: str | Layout = "brickwork") -> Tensor:
    r"""The weight-1 matrix of a circuit: A = G_m(theta_m) ... G_1(theta_1).

    G(theta) on wires (i, j) is the Givens rotation e_i -> cos e_i + sin e_j, e_j -> cos e_j - sin e_i,
    the weight-1 sector of RBS(theta) and of FBS(theta).

    Args:
        angles: theta in radians, shape (..., n_gates), in the order of the layout's `pairs`; float32 or float64.
        layout: "brickwork" or "pyramid", with n read off the number of angles, or any Layout.

    Returns:
        A in SO(n), shape (..., n, n), differentiable in the angles.

    Raises:
        ValueError: the number of angles is not that of the layout's gates, or the name is not known.
        TypeError: the dtype is not float32 or float64.

    >>> orthogonal_from_angles(torch.tensor([torch.pi / 2], dtype=torch.float64)).round().int()
    tensor([[ 0, -1],
            [ 1,  0]], dtype=torch.int32)
    """
    check_real(angles, "angles")
    if isinstance(layout, str):
        count = angles.shape[-1] if angles.dim() else 0
        layout = _universal_layout(layout, (1 + math.isqrt(1 + 8 * count)) // 2)
    check_angles(angles, layout)
    return weight_one_matrix(angles, layout)


def angles_from_orthogonal(matrix: Tensor, layout: str | Layout = "brickwork") -> Tensor:
    """The angles of the circuit whose weight-1 matrix is A: the inverse of `orthogonal_from_angles`.

    Computed in float64 by n(n-1)/2 Givens rotations, each of which zeroes one entry. Not differentiable.

    Args:
        matrix: A in SO(n), shape (..., n, n), float32 or float64.
        layout: "brickwork" (depth n) or "pyramid" (depth 2n-3), or the Layout itself, such as brickwork(n).

    Returns:
        theta in [-pi, pi] up to rounding, shape (..., n(n-1)/2), dtype and device of `matrix`.

    Raises:
        ValueError: A is not square, not orthogonal or has determinant -1, or the layout is another one.
        TypeError: the dtype is not float32 or float64.

    Reference:
        Pyramid: M. Reck et al., Phys. Rev. Lett. 73, 58 (1994). Brickwork: W. R. Clements et al.,
        Optica 3, 1460 (2016), here with the signs that are left over absorbed by the first gates they reach.

    >>> angles_from_orthogonal(torch.eye(3))
    tensor([0., 0., 0.])
    """
    check_square(matrix)
    check_real(matrix, "matrix")
    name = layout.name if isinstance(layout, Layout) else layout
    target = _universal_layout(name, matrix.shape[-1])
    if isinstance(layout, Layout) and layout != target:
        raise ValueError(f"the layout of a matrix of {target.n} rows is {target!r}, got {layout!r}")
    if not is_orthogonal(matrix, tolerance=1e-8 if matrix.dtype == torch.float64 else 1e-4):
        residual = (matrix.mT @ matrix - torch.eye(target.n).to(matrix)).abs().max()
        raise ValueError(f"a circuit of RBS gates needs A^T A = I, got max |A^T A - I| = {residual:.1e}")
    if (torch.linalg.slogdet(matrix.detach()).sign < 0).any():
        raise ValueError(
            "a circuit of RBS gates has determinant +1, got det A = -1: negate one row of A, "
            "and put a Z gate on that wire after the circuit"
        )
    batch = matrix.detach().to(torch.float64).cpu().numpy().reshape(-1, target.n, target.n).copy()
    gates = _brickwork_gates(batch) if name == "brickwork" else _pyramid_gates(batch)
    angles = torch.from_numpy(_in_layout_order(gates, target, len(batch)))
    return angles.reshape(*matrix.shape[:-2], target.n_gates).to(matrix)


def _universal_layout(name: str, n: int) -> Layout:
    if name not in _UNIVERSAL:
        raise ValueError(f"a layout that reaches all of SO(n) is one of {sorted(_UNIVERSAL)}, got {name!r}")
    return _UNIVERSAL[name](n)


# Below, a gate is (q, theta) on wires (q, q+1), in order of application; theta has one entry a matrix of the batch.
_Gates = list[tuple[int, _Batch]]


def _pyramid_gates(a: _Batch) -> _Gates:
    """Empty the rows from the last to the second, each from the left, by rotations of columns: first gates first."""
    return [(q, _null_column(a, row, q)) for row in range(a.shape[-1] - 1, 0, -1) for q in range(row)]


def _brickwork_gates(a: _Batch) -> _Gates:
    """Empty the antidiagonals from the lower left corner, in turn by columns (first gates) and rows (last gates)."""
    n = a.shape[-1]
    first: _Gates = []
    last: _Gates = []
    for diagonal in range(1, n):
        for step in range(diagonal):
            if diagonal % 2:
                q = diagonal - 1 - step
                first.append((q, _null_column(a, n - 1 - step, q)))
            else:
                q = n - 1 - diagonal + step
                last.append((q, _null_row(a, q, step)))
    # What is left is A = (last gates) D (first gates), D = diag(+-1): carry D past the first gates, to the input.
    signs = np.sign(np.diagonal(a, axis1=-2, axis2=-1)).copy()
    first = [(q, theta * signs[:, q] * signs[:, q + 1]) for q, theta in first]
    return _absorb_signs(first + last[::-1], signs)


def _absorb_signs(gates: _Gates, signs: _Batch) -> _Gates:
    """Take up input signs diag(+-1) of determinant 1 in the angles.

    A gate turns both signs at once by pi. A single one it hands to its second wire, so that signs travel
    towards the last wire, where within the n moments of the brickwork each meets the next.
    """
    absorbed = []
    for q, theta in gates:
        upper, lower = signs[:, q], signs[:, q + 1]
        theta = np.where((upper < 0) & (lower < 0), theta + np.pi, theta)
        theta = np.where((upper < 0) & (lower > 0), np.pi - theta, theta)
        theta = np.where((upper > 0) & (lower < 0), -theta, theta)
        signs[:, q], signs[:, q + 1] = np.ones_like(upper), upper * lower
        absorbed.append((q, theta))
    return absorbed


def _null_column(a: _Batch, row: int, q: int) -> _Batch:
    """A <- A G(theta)^T with A[row, q] = 0 and A[row, q+1] >= 0."""
    theta: _Batch = np.arctan2(a[:, row, q], a[:, row, q + 1])
    cos, sin = np.cos(theta)[:, None], np.sin(theta)[:, None]
    left, right = a[:, :, q].copy(), a[:, :, q + 1].copy()
    a[:, :, q], a[:, :, q + 1] = cos * left - sin * right, sin * left + cos * right
    return theta


def _null_row(a: _Batch, q: int, column: int) -> _Batch:
    """A <- G(theta)^T A with A[q+1, column] = 0 and A[q, column] >= 0."""
    theta: _Batch = np.arctan2(a[:, q + 1, column], a[:, q, column])
    cos, sin = np.cos(theta)[:, None], np.sin(theta)[:, None]
    upper, lower = a[:, q].copy(), a[:, q + 1].copy()
    a[:, q], a[:, q + 1] = cos * upper + sin * lower, cos * lower - sin * upper
    return theta


def _in_layout_order(gates: _Gates, layout: Layout, batch: int) -> _Batch:
    """The same gates in the layout's order: those on the same wires keep theirs, and that decides all of it."""
    angles = np.empty((batch, layout.n_gates))
    waiting: dict[int, list[_Batch]] = {}
    for q, theta in reversed(gates):
        waiting.setdefault(q, []).append(theta)
    for gate, (q, _) in enumerate(layout.pairs):
        angles[:, gate] = waiting[q].pop()
    return np.arctan2(np.sin(angles), np.cos(angles))
