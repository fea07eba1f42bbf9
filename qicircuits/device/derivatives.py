"""The device's own derivatives: circuits run backwards, for parameters of any interface."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pennylane.typing import TensorLike
from torch import Tensor

from .simulate import Run, as_array, exact_tensors

__all__ = ["as_torch_means_it", "jacobian", "vector_product"]


class _Products(tuple[TensorLike, ...]):
    """Products of different shapes, of numbers and batches of them: PennyLane asks numpy to squeeze them together."""

    def squeeze(self) -> NDArray[np.float64]:
        """Something of the right length."""
        return np.empty(len(self))


# PennyLane calls from within torch's own functions, too, where gradients are off.
@torch.enable_grad()
def vector_product(done: Run, cotangent: TensorLike) -> tuple[TensorLike, ...]:
    """sum_i cotangent_i d result_i / d parameter, for each parameter that a derivative is wanted for.

    By a complex parameter x + iy it is d/dx - i d/dy, as autograd and jax mean it.

    Args:
        done: a run, with these parameters as leaves.
        cotangent: in the shape of the results, a tuple if there are several; or a batch of them, with its dimension
            before that shape, for a product each.
    """
    results = exact_tensors(done)
    cotangents = [np.array(c) for c in ([cotangent] if len(results) == 1 else cotangent)]
    batches = [len(c) for c, result in zip(cotangents, results, strict=True) if c.ndim > result.dim()]
    if not batches:
        return _product(done, results, cotangents)
    each = (
        [c[index] if c.ndim > result.dim() else c for c, result in zip(cotangents, results, strict=True)]
        for index in range(batches[0])
    )
    products = [_product(done, results, one) for one in each]
    return _Products(np.stack(slopes) for slopes in zip(*products, strict=True))


def as_torch_means_it(products: tuple[TensorLike, ...]) -> tuple[TensorLike, ...]:
    """Products by complex parameters as d/dx + i d/dy."""
    return _Products(map(np.conj, products)) if any(map(np.iscomplexobj, products)) else products


def _product(done: Run, results: list[Tensor], cotangents: list[NDArray[Any]]) -> tuple[TensorLike, ...]:
    # torch differentiates by the conjugate.
    weights = [
        torch.as_tensor(c).to(r.dtype).expand(r.shape).conj() for c, r in zip(cotangents, results, strict=True)
    ]
    return _gradients(done, results, weights)


@torch.enable_grad()
def jacobian(done: Run) -> Any:
    """d result / d parameter, as PennyLane nests it: a tuple of measurements, each a tuple of parameters."""
    results = exact_tensors(done)
    rows = [_rows(done, result) for result in results]
    return rows[0] if len(rows) == 1 else tuple(rows)


def _rows(done: Run, result: Tensor) -> Any:
    """The derivatives of one result, one pass backwards for each of its numbers."""
    flat = result.reshape(-1)
    columns: list[list[Any]] = [[] for _ in done.wanted]
    for index in range(len(flat)):
        parts = (flat.real, flat.imag) if flat.is_complex() else (flat,)
        slopes = [_gradients(done, [p[index]], [torch.ones_like(p[index])]) for p in parts]
        for column, *numbers in zip(columns, *slopes, strict=True):
            # d/dz of u + iv is half of (d/dx - i d/dy) of both, for complex parameters.
            half = 0.5 if np.iscomplexobj(numbers[0]) else 1.0
            column.append(numbers[0] if len(numbers) == 1 else half * (numbers[0] + 1j * numbers[1]))
    shaped = tuple(np.reshape(column, (*result.shape, *np.shape(column[0]))) for column in columns)
    return shaped[0] if len(shaped) == 1 else shaped


def _gradients(done: Run, results: list[Tensor], weights: list[Tensor]) -> tuple[TensorLike, ...]:
    """The gradients by all parameters that are wanted, in their order and shapes."""
    traced = [(r, w) for r, w in zip(results, weights, strict=True) if r.requires_grad]
    leaves = [done.theta, *done.leaves.values()]
    found: tuple[Tensor | None, ...] = (None,) * len(leaves)
    if traced:
        outputs, cotangents = zip(*traced, strict=True)
        found = torch.autograd.grad(outputs, leaves, cotangents, allow_unused=True, retain_graph=True)
    of_theta, *others = (
        as_array(torch.zeros_like(leaf) if grad is None else grad.conj())
        for leaf, grad in zip(leaves, found, strict=True)
    )
    totals = of_theta.sum(axis=0)  # one number for all of a batch gets the sum over it
    columns = {number: column for column, number in enumerate(done.theta_of)}
    by_number = dict(zip(done.leaves, others, strict=True))

    def slope(number: int, shape: tuple[int, ...]) -> Any:
        if number in columns:
            column = columns[number]
            return totals[column] if shape == () else of_theta[:, column].reshape(shape)
        return np.reshape(by_number.get(number, np.zeros(shape)), shape)[()]

    return _Products(slope(number, shape) for number, shape in done.wanted.items())
