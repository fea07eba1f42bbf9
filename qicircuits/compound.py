"""Compound matrices C_k(A), the minors of A: built by recursion, or applied to vectors without being built."""

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from .engine.minors import complement_signs, laplace_rows, mode_entries
from .orthogonal import check_real, check_square
from .subsets import subspace_dim

__all__ = ["compound_apply", "compound_matrix"]

# Up to this n every order is reached by recursion from below; the largest level is C(10, 5) = 252 wide.
_RECURSE_THROUGH_MIDDLE = 10


def compound_matrix(matrix: Tensor, order: int) -> Tensor:
    r"""The compound matrix C_k(A) of all k x k minors, C_k(A)[I, J] = det A[I, J].

    I and J are the k-subsets of range(n) in lexicographic order. C_k(A B) = C_k(A) C_k(B) (Cauchy-Binet),
    C_0 = [1], C_n = [det A], and C_k of an orthogonal matrix is orthogonal. Built from C_(k-1) by Laplace
    expansion along the first column: the gradient is a polynomial, right also where minors vanish, as at I.

    Args:
        matrix: A, shape (..., n, n), float32 or float64. Need not be orthogonal. For n > 10 and k > n/2
            Jacobi's complementary minors are used, and A must be invertible.
        order: k, with 0 <= k <= n.

    Returns:
        C_k(A), shape (..., C(n, k), C(n, k)), dtype and device of `matrix`.

    Raises:
        ValueError: A is not square, or the order is not in 0..n.
        TypeError: the dtype is not float32 or float64.

    >>> compound_matrix(torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]]), 2)
    tensor([[1., 0., 0.],
            [0., 3., 6.],
            [0., 0., 3.]])
    """
    n = _check_matrix(matrix, order)
    if _by_complement(n, order):
        signs = complement_signs(n, order).to(matrix)
        inverse, determinant = _inverse_transpose(matrix)
        rest = compound_matrix(inverse, n - order).flip(-1, -2)
        return determinant[..., None, None] * signs[:, None] * rest * signs
    if order == 0:
        return torch.ones_like(matrix[..., :1, :1])
    compound = matrix
    for k in range(2, order + 1):
        compound = _NextCompound.apply(matrix, compound, k)  # type: ignore[no-untyped-call]
    return compound


def compound_apply(matrix: Tensor, vectors: Tensor, order: int, *, method: str = "auto") -> Tensor:
    r"""Apply the compound matrix C_k(A) to vectors: y_I = sum_J det(A[I, J]) x_J.

    "modes" never builds C_k(A): for k = 2, x is the upper triangle of an antisymmetric matrix X, and y that of
    A X A^T, for 4 n^3 flops a vector instead of 2 C(n, 2)^2; for k = 3 it takes 6 n^4. It keeps only A and x
    for the backward.

    Args:
        matrix: A, shape (..., n, n), float32 or float64. Need not be orthogonal. For n > 10 and k > n/2
            Jacobi's complementary minors are used, and A must be invertible.
        vectors: x, shape (..., C(n, k)), any real floating dtype; computed in the dtype of `matrix`. Leading
            dimensions broadcast with those of `matrix`.
        order: k, with 0 <= k <= n.
        method: "modes" (for min(k, n-k) <= 3), "dense" (build C_k(A), multiply), or "auto" for the faster.

    Returns:
        y, shape (..., C(n, k)), dtype of `vectors`.

    Raises:
        ValueError: A is not square, the order is not in 0..n, `vectors` does not have C(n, k) entries, or the
            method does not serve this order.
        TypeError: `matrix` is not float32 or float64, or `vectors` is not real floating point.

    Reference:
        I. Kerenidis and A. Prakash, arXiv:2202.00054.

    >>> compound_apply(2 * torch.eye(3), torch.tensor([1.0, 2.0, 3.0]), 2)
    tensor([ 4.,  8., 12.])
    """
    n = _check_matrix(matrix, order)
    check_vectors(vectors, n, order)
    chosen = _method(method, n, order)
    if _by_complement(n, order):
        signs = complement_signs(n, order).to(matrix)
        inverse, determinant = _inverse_transpose(matrix)
        mirrored = (vectors.to(matrix.dtype) * signs).flip(-1)
        out = compound_apply(inverse, mirrored, n - order, method=chosen).flip(-1) * signs
        return (determinant.unsqueeze(-1) * out).to(vectors.dtype)
    rows = _Rows(matrix, vectors)
    if order == 0:
        out = rows.columns.clone()
    elif chosen == "dense" or order == 1:
        out = compound_matrix(matrix, order) @ rows.columns
    else:
        out = _Modes.apply(matrix, rows.columns, order)  # type: ignore[no-untyped-call]
    return rows.restore(out).to(vectors.dtype)


def check_vectors(vectors: Tensor, n: int, order: int) -> None:
    """Refuse vectors that are not real or do not have the sector's dimension."""
    if not vectors.is_floating_point():
        raise TypeError(f"vectors must have a real floating-point dtype, got {vectors.dtype}")
    dim = subspace_dim(n, order)
    if not vectors.dim() or vectors.shape[-1] != dim:
        raise ValueError(
            f"vectors of the weight-{order} sector of {n} wires have shape (..., C({n}, {order}) = {dim}), "
            f"got {tuple(vectors.shape)}"
        )


def _check_matrix(matrix: Tensor, order: int) -> int:
    check_real(matrix, "matrix")
    check_square(matrix)
    n = matrix.shape[-1]
    subspace_dim(n, order)
    return n


def _method(method: str, n: int, order: int) -> str:
    if method not in ("auto", "modes", "dense"):
        raise ValueError(f"method is one of 'auto', 'modes', 'dense', got {method!r}")
    k = n - order if _by_complement(n, order) else order
    if method == "modes" and k > 3:
        raise ValueError(
            f"method 'modes' serves orders k with k <= 3, or n - k <= 3 for n > 10, got order={order}"
        )
    if method != "auto":
        return method
    # Where the modes overtake one product with a ready matrix; see docs/benchmarks/compound.md.
    return "modes" if (k == 2 and n > _MODES_FROM[2]) or (k == 3 and n > _MODES_FROM[3]) else "dense"


_MODES_FROM = {2: 16, 3: 16}


def _by_complement(n: int, order: int) -> bool:
    return 2 * order > n > _RECURSE_THROUGH_MIDDLE


def _inverse_transpose(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A^(-T) and det A, for Jacobi: det A[I, J] = det A (-1)^(sum I + sum J) det (A^(-T))[I^c, J^c]."""
    sign, log = torch.linalg.slogdet(matrix)
    return torch.linalg.inv(matrix).mT, sign * log.exp()


class _Rows:
    """Vectors as the columns (..., D, T) that one matrix product a batch of A serves, and the way back.

    The leading dimensions that only `vectors` has become T: A is never repeated for them.
    """

    def __init__(self, matrix: Tensor, vectors: Tensor) -> None:
        batch = matrix.shape[:-2]
        self.free = vectors.shape[:-1][: max(vectors.dim() - 1 - len(batch), 0)]
        shared = torch.broadcast_shapes(batch, vectors.shape[len(self.free) : -1])
        flat = (
            vectors.to(matrix.dtype)
            .expand(*self.free, *shared, -1)
            .reshape(math.prod(self.free), *shared, -1)
        )
        self.columns = flat.movedim(0, -1)

    def restore(self, columns: Tensor) -> Tensor:
        flat = columns.movedim(-1, 0)
        return flat.reshape(*self.free, *flat.shape[1:])


class _NextCompound(torch.autograd.Function):
    """C_k from A and C_(k-1).

    The columns J = (j, J') with a fixed first element j are a contiguous slice of C_k, and their tails J' > j
    are the last columns of C_(k-1): only rows are gathered, every access to columns is a slice.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, previous: Tensor, order: int) -> Tensor:
        n, dim = matrix.shape[-1], math.comb(matrix.shape[-1], order)
        out = matrix.new_empty(*matrix.shape[:-2], dim, dim)
        for r, (wire, rest) in enumerate(laplace_rows(n, order)):
            a = matrix.index_select(-2, wire.to(matrix.device))
            minors = previous.index_select(-2, rest.to(matrix.device))
            for j, here, tail in _first_columns(n, order):
                if r == 0:
                    torch.mul(a[..., j : j + 1], minors[..., tail:], out=out[..., here])
                else:
                    out[..., here].addcmul_(a[..., j : j + 1], minors[..., tail:], value=(-1.0) ** r)
        ctx.save_for_backward(matrix, previous)
        ctx.order = order
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        matrix, previous = ctx.saved_tensors
        n = matrix.shape[-1]
        grad_matrix, grad_previous = torch.zeros_like(matrix), torch.zeros_like(previous)
        for r, (wire, rest) in enumerate(laplace_rows(n, ctx.order)):
            wire, rest = wire.to(matrix.device), rest.to(matrix.device)
            a, minors = matrix.index_select(-2, wire), previous.index_select(-2, rest)
            grad_a, grad_minors = torch.zeros_like(a), torch.zeros_like(minors)
            for j, here, tail in _first_columns(n, ctx.order):
                grad_a[..., j] = (grad[..., here] * minors[..., tail:]).sum(-1)
                grad_minors[..., tail:].addcmul_(a[..., j : j + 1], grad[..., here])
            grad_matrix.index_add_(-2, wire, grad_a, alpha=(-1) ** r)
            grad_previous.index_add_(-2, rest, grad_minors, alpha=(-1) ** r)
        return grad_matrix, grad_previous, None


def _first_columns(n: int, order: int) -> list[tuple[int, slice, int]]:
    """For each first element j: the slice of columns (j, J') in C_k, and where their tails J' start in C_(k-1)."""
    sizes = [math.comb(n - 1 - j, order - 1) for j in range(n - order + 1)]
    starts = itertools.accumulate(sizes, initial=0)
    width = math.comb(n, order - 1)
    return [(j, slice(s, s + m), width - m) for j, (s, m) in enumerate(zip(starts, sizes, strict=False))]


class _Modes(torch.autograd.Function):
    """y = C_k(A) x, A applied to each mode of x as an antisymmetric tensor; columns (..., C(n, k), T)."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, columns: Tensor, order: int) -> Tensor:
        ctx.save_for_backward(matrix, columns)
        ctx.order = order
        # The increasing entries alone are enough going in; antisymmetry is restored coming out.
        tensor = _on_modes(matrix, _upper(columns, matrix.shape[-1], order), order)
        return _antisymmetrise(tensor, matrix.shape[-1], order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        matrix, columns = ctx.saved_tensors
        n, order = matrix.shape[-1], ctx.order
        # dL = <G, dY> / k! over full antisymmetric tensors, and by symmetry each of the k modes adds the same:
        # with P = A^T on every mode of G but the first, dL/dA is <P, X> and dL/dX is A^T on P's first mode.
        partial = _on_modes(matrix.mT, _full(grad, n, order), order, skip_first=True)
        first = (*columns.shape[:-2], n, -1)
        product = partial.reshape(first) @ _full(columns, n, order).reshape(first).mT
        grad_matrix = (product / math.factorial(order - 1)).sum_to_size(matrix.shape)
        tensor = (matrix.mT @ partial.reshape(first)).reshape(partial.shape)
        grad_columns = tensor.index_select(-2, mode_entries(n, order)[0][1].to(tensor.device))
        return grad_matrix, grad_columns, None


def _upper(columns: Tensor, n: int, order: int) -> Tensor:
    """The tensor (..., n^k, T) with x at the increasing index tuples, zero elsewhere."""
    tensor = columns.new_zeros(*columns.shape[:-2], n**order, columns.shape[-1])
    return tensor.index_copy_(-2, mode_entries(n, order)[0][1].to(columns.device), columns)


def _full(columns: Tensor, n: int, order: int) -> Tensor:
    """The antisymmetric tensor (..., n^k, T) whose increasing entries are x."""
    tensor = columns.new_zeros(*columns.shape[:-2], n**order, columns.shape[-1])
    for sign, index in mode_entries(n, order):
        tensor.index_copy_(-2, index.to(columns.device), columns if sign > 0 else -columns)
    return tensor


def _antisymmetrise(tensor: Tensor, n: int, order: int) -> Tensor:
    """The increasing entries (..., C(n, k), T) of the signed sum over permutations of the modes."""
    (_, index), *others = mode_entries(n, order)
    out = tensor.index_select(-2, index.to(tensor.device))
    for sign, index in others:
        out.add_(tensor.index_select(-2, index.to(tensor.device)), alpha=sign)
    return out


def _on_modes(matrix: Tensor, tensor: Tensor, order: int, *, skip_first: bool = False) -> Tensor:
    """A on each of the k modes of (..., n^k, T); all but the first mode with `skip_first`."""
    n, batch = matrix.shape[-1], tensor.shape[:-2]
    for mode in range(int(skip_first), order):
        # Earlier modes become a batch of the product, later modes and T its columns.
        split = tensor.reshape(*batch, n**mode, n, -1)
        tensor = (matrix.unsqueeze(-3) @ split).reshape(tensor.shape)
    return tensor
