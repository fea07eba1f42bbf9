"""Compound matrices C_k(A), the minors of A: built by recursion, or applied to vectors without being built."""

import math

import numpy as np
import torch
from torch import Tensor

from .checks import check_memory, check_numbers, check_square, check_together, check_vectors
from .engine.dispatch import prefers_modes, prefers_rotation, rotate, rotates
from .engine.laplace import next_compound
from .engine.modes import apply_modes
from .engine.precision import full_precision
from .engine.shapes import common_shape
from .subsets import subset_array, subspace_dim

__all__ = ["apply_rotation", "check_compound", "compound_apply", "compound_matrix", "compound_method"]

# Up to this n every order is reached by recursion from below; the largest level is C(10, 5) = 252 wide.
_RECURSE_THROUGH_MIDDLE = 10

# From here on numpy shares a product out over threads of its own, which then wait in a loop and hold torch's up.
_WIRES_OF_THREADED_PRODUCTS = 64


def compound_matrix(matrix: Tensor, order: int) -> Tensor:
    r"""The compound matrix C_k(A) of all k x k minors, C_k(A)[I, J] = det A[I, J].

    I and J are the k-subsets of range(n) in lexicographic order. C_k(A B) = C_k(A) C_k(B) (Cauchy-Binet),
    C_0 = [1], C_n = [det A], and C_k of an orthogonal matrix is orthogonal. Built from C_(k-1) by Laplace
    expansion along the first column: the gradient is a polynomial, right also where minors vanish, as at I.

    Args:
        matrix: A, shape (..., n, n), float32, float64, complex64 or complex128. Need not be orthogonal, but for
            n > 10 and k > n/2, where Jacobi's complementary minors are used, must be well conditioned.
        order: k, with 0 <= k <= n.

    Returns:
        C_k(A), shape (..., C(n, k), C(n, k)), dtype and device of `matrix`.

    Raises:
        ValueError: A is not square, the order is not in 0..n, or A is too near to a singular matrix for its order.
        TypeError: the dtype is another one.
        MemoryError: C_k(A) does not fit into memory.

    >>> compound_matrix(torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]]), 2)
    tensor([[1., 0., 0.],
            [0., 3., 6.],
            [0., 0., 3.]])
    """
    n = _check_matrix(matrix, order)
    _check_dense(matrix, order)
    if _by_complement(n, order):
        signs = _complement_signs(n, order).to(matrix)
        inverse, determinant = _inverse_transpose(matrix, order)
        rest = compound_matrix(inverse, n - order).flip(-1, -2)
        return determinant[..., None, None] * signs[:, None] * rest * signs
    if order == 0:
        return torch.ones_like(matrix[..., :1, :1])
    compound = matrix.clone()
    for k in range(2, order + 1):
        compound = next_compound(matrix, compound, k)
    return compound


def compound_apply(matrix: Tensor, vectors: Tensor, order: int, *, method: str = "auto") -> Tensor:
    r"""Apply the compound matrix C_k(A) to vectors: y_I = sum_J det(A[I, J]) x_J.

    "modes" never builds C_k(A): for k = 2, x is the upper triangle of an antisymmetric matrix X, and y that of
    A X A^T, for 4 n^3 flops a vector instead of 2 C(n, 2)^2; for k = 3 it takes 6 n^4. It keeps only A and x
    for the backward. "rotation" is for A in SO(n) alone, of any order: on a CPU it factors A into rotations of six
    wires, or for few vectors into gates, and keeps A and y. Derivatives are first order, in reverse mode.

    Args:
        matrix: A, shape (..., n, n), float32, float64, complex64 or complex128. Need not be orthogonal, but for
            n > 10 and k > n/2, where Jacobi's complementary minors are used, must be well conditioned.
        vectors: x, shape (..., C(n, k)), any real floating dtype, complex64 or complex128; computed in the precision
            of `matrix`. Leading dimensions broadcast with those of `matrix`.
        order: k, with 0 <= k <= n.
        method: "modes" (for min(k, n-k) <= 3), "dense" (build C_k(A), multiply), "rotation" (for A in SO(n)), or
            "auto" for the fastest, which `explain_compound` names.

    Returns:
        y, shape (..., C(n, k)), dtype of `vectors`, or of `matrix` where that alone is complex.

    Raises:
        ValueError: A is not square, the order is not in 0..n, `vectors` does not have C(n, k) entries, the
            leading dimensions do not broadcast, the method does not serve this order or this A, or A is too near
            to a singular matrix for it.
        TypeError: `matrix` or `vectors` have another dtype.
        MemoryError: the vectors do not fit into memory once more, or C_k(A) is to be built and does not.

    Reference:
        I. Kerenidis and A. Prakash, arXiv:2202.00054.

    >>> compound_apply(2 * torch.eye(3), torch.tensor([1.0, 2.0, 3.0]), 2)
    tensor([ 4.,  8., 12.])
    """
    check_compound(matrix, vectors, order)
    n = matrix.shape[-1]
    chosen = compound_method(method, matrix, vectors, order)
    _check_copies(matrix, vectors)
    if vectors.is_complex() and not matrix.is_complex():
        return torch.complex(*compound_apply(matrix, _parts(vectors, matrix), order, method=chosen))
    if matrix.is_complex() and not vectors.is_complex():
        vectors = vectors.to(matrix.dtype)
    if chosen == "rotation":
        return apply_rotation(matrix, vectors, order)
    laid = _Columns(matrix, vectors)
    if _by_complement(n, order):
        signs = _complement_signs(n, order).to(matrix)
        inverse, determinant = _inverse_transpose(matrix, order)
        mirrored = (vectors.to(matrix.dtype) * signs).flip(-1)
        out = compound_apply(inverse, mirrored, n - order, method=chosen).flip(-1) * signs
        return (determinant.unsqueeze(-1) * out).to(vectors.dtype)
    if order == 0:
        out = laid.columns.clone()
    elif chosen == "dense" or order == 1:
        with full_precision(vectors.device):
            out = compound_matrix(matrix, order) @ laid.columns
    else:
        out = apply_modes(laid.matrix, laid.columns, order)
    return laid.restore(out).to(vectors.dtype)


def apply_rotation(matrix: Tensor, vectors: Tensor, order: int) -> Tensor:
    """`compound_apply` of a real A that is in SO(n), or not a number, by method "rotation"; nothing is checked."""
    if vectors.is_complex():
        return torch.complex(*apply_rotation(matrix, _parts(vectors, matrix), order))
    laid = _Columns(matrix, vectors)
    return laid.restore(rotate(laid.matrix, laid.columns, order)).to(vectors.dtype)


def check_compound(matrix: Tensor, vectors: Tensor, order: int) -> None:
    """Refuse what `compound_apply` cannot take together."""
    n = _check_matrix(matrix, order)
    check_vectors(vectors, n, order)
    check_together(vectors, matrix, "matrix", n_last=2)


def _check_copies(matrix: Tensor, vectors: Tensor) -> None:
    """Refuse what does not fit: the result and, in whatever layout or dtype a method needs them, the vectors."""
    batch = math.prod(common_shape(vectors.shape[:-1], matrix.shape[:-2]))
    dtype = torch.promote_types(vectors.dtype, matrix.dtype)
    needed = 2 * batch * vectors.shape[-1] * dtype.itemsize
    check_memory(needed, f"compound_apply on {batch} vectors of {vectors.shape[-1]} amplitudes", vectors.device)


def _check_matrix(matrix: Tensor, order: int) -> int:
    check_numbers(matrix, "matrix")
    check_square(matrix)
    n = matrix.shape[-1]
    subspace_dim(n, order)
    return n


def _check_dense(matrix: Tensor, order: int) -> None:
    n = matrix.shape[-1]
    k = n - order if _by_complement(n, order) else order
    dim, below = math.comb(n, k), math.comb(n, max(k - 1, 0))
    # The matrix, its rows of minors one order below, and the compound of that order.
    numbers = (dim * dim + dim * below + below * below) * math.prod(matrix.shape[:-2])
    what = f"the compound matrix of order {order} on {n} wires, {dim} x {dim},"
    check_memory(numbers * matrix.dtype.itemsize, what, matrix.device)


def compound_method(method: str, matrix: Tensor, vectors: Tensor, order: int) -> str:
    """The method of `compound_apply`, "auto" resolved; refuses one that does not serve the order or the matrix."""
    n = matrix.shape[-1]
    if method not in ("auto", "modes", "dense", "rotation"):
        raise ValueError(f"method is one of 'auto', 'modes', 'dense', 'rotation', got {method!r}")
    k = n - order if _by_complement(n, order) else order
    if method == "modes" and k > 3:
        raise ValueError(f"method 'modes' serves orders k with k <= 3, or n - k <= 3 for n > 10, got order={order}")
    if method == "rotation":
        _check_rotation(matrix, order)
    if method != "auto":
        return method
    n_vectors = math.prod(vectors.shape[: max(vectors.dim() + 1 - matrix.dim(), 0)])
    training = torch.is_grad_enabled() and (matrix.requires_grad or vectors.requires_grad)
    modes = prefers_modes(n, k, n_vectors, matrix.dtype, training)
    serves = k > 1 and rotates(matrix.device, n, order) and not matrix.is_complex()
    if (
        serves
        and not torch.compiler.is_compiling()
        and prefers_rotation(n, order, n_vectors, matrix.dtype, training)
        and _is_rotation(matrix)
    ):
        return "rotation"
    return "modes" if modes else "dense"


def _check_rotation(matrix: Tensor, order: int) -> None:
    n = matrix.shape[-1]
    if not rotates(matrix.device, n, order):
        where = "on a CPU with numba"
        raise ValueError(f"method 'rotation' serves 0 < k < n {where}, got order={order}, n={n}, {matrix.device}")
    if matrix.is_complex():
        raise ValueError(f"method 'rotation' needs a real A in SO(n), got {matrix.dtype}")
    if not torch.compiler.is_compiling() and not _is_rotation(matrix):
        raise ValueError("method 'rotation' needs A in SO(n), got one that is not orthogonal or has determinant -1")


def _is_rotation(matrix: Tensor) -> bool:
    """Whether A, on a CPU, is in SO(n) up to the rounding of its dtype."""
    n = matrix.shape[-1]
    limit = 4 * n * torch.finfo(matrix.dtype).eps
    if n >= _WIRES_OF_THREADED_PRODUCTS:
        a = matrix.detach().double()
        excess = (a.mT @ a - torch.eye(n, dtype=a.dtype)).abs().max() if a.numel() else 0.0
        return bool(excess <= limit) and bool((torch.linalg.slogdet(a).sign > 0).all())
    # In numpy: for small matrices torch takes three times as long.
    array = matrix.detach().resolve_neg().numpy().astype(np.float64)
    largest = np.abs(array.swapaxes(-1, -2) @ array - np.eye(n)).max(initial=0)
    return bool(largest <= limit) and bool((np.linalg.slogdet(array).sign > 0).all())


def _by_complement(n: int, order: int) -> bool:
    return 2 * order > n > _RECURSE_THROUGH_MIDDLE


@torch.compiler.assume_constant_result
def _complement_signs(n: int, order: int) -> Tensor:
    """(-1)^(sum of the wires of I) over the k-subsets I, shape (C(n, k),), as float64."""
    return torch.from_numpy(1.0 - 2.0 * (subset_array(n, order).sum(axis=1) % 2))


def _inverse_transpose(matrix: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """A^(-T) and det A, for Jacobi: det A[I, J] = det A (-1)^(sum I + sum J) det (A^(-T))[I^c, J^c].

    Minors of order n-k of the inverse lose as many digits as cond(A)^(n-k) has: more than half of them are refused.
    """
    if not torch.compiler.is_compiling():
        power = max(matrix.shape[-1] - order, 1)
        condition = float(torch.linalg.cond(matrix.detach()).max()) if matrix.numel() else 1.0
        if not condition**power <= torch.finfo(matrix.dtype).eps ** -0.5:
            raise ValueError(
                f"for n > {_RECURSE_THROUGH_MIDDLE} and k > n/2 a compound goes through the inverse, and "
                f"cond(A)^(n-k) must be at most {torch.finfo(matrix.dtype).eps ** -0.5:.0e} in {matrix.dtype}, "
                f"got cond(A) = {condition:.1e} for n={matrix.shape[-1]}, order={order}"
            )
    sign, log = torch.linalg.slogdet(matrix)
    return torch.linalg.inv(matrix).mT, sign * log.exp()


def _parts(vectors: Tensor, matrix: Tensor) -> Tensor:
    """Real and imaginary parts along a new first dimension, which no dimension of `matrix` meets."""
    parts = torch.stack((vectors.real, vectors.imag))
    return parts.unflatten(0, (2, *[1] * (matrix.dim() - vectors.dim() - 1)))


class _Columns:
    """Vectors as the columns (..., D, T) that one matrix product for each matrix serves, and the way back.

    The leading dimensions that only `vectors` has become T: A is never repeated for them.
    """

    def __init__(self, matrix: Tensor, vectors: Tensor) -> None:
        n_free = max(vectors.dim() + 1 - matrix.dim(), 0)
        self.free = vectors.shape[:n_free]
        shared = torch.broadcast_shapes(matrix.shape[:-2], vectors.shape[n_free:-1])
        self.matrix = matrix.expand(*shared, *matrix.shape[-2:])
        rows = vectors.to(matrix.dtype).expand(*self.free, *shared, -1)
        self.columns = rows.reshape(math.prod(self.free), *rows.shape[n_free:]).movedim(0, -1)

    def restore(self, columns: Tensor) -> Tensor:
        rows = columns.movedim(-1, 0)
        return rows.reshape(*self.free, *rows.shape[1:])
