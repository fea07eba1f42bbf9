"""The device's own derivatives: circuits run backwards, for parameters of any interface."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pennylane.tape import QuantumScript
from pennylane.typing import TensorLike
from torch import Tensor

from .simulate import Run, as_array, exact_tensors

__all__ = ["jacobian", "vector_product"]


class _Products(tuple[TensorLike, ...]):
    """Products of different shapes, of numbers and batches of them: PennyLane asks numpy to squeeze them together."""

    def squeeze(self) -> NDArray[np.float64]:
        """Something of the right length."""
        return np.empty(len(self))


# PennyLane calls from within torch's own functions, too, where gradients are off.
@torch.enable_grad()
def vector_product(circuit: QuantumScript, done: Run, cotangent: TensorLike) -> tuple[TensorLike, ...]:
    """sum_i cotangent_i d result_i / d parameter, for each trainable parameter.

    Args:
        circuit: its trainable parameters are those wanted.
        done: its run, with these parameters as leaves.
        cotangent: in the shape of the results, a tuple if there are several; or a batch of them, with its dimension
            before that shape, for a product each.
    """
    results = exact_tensors(done)
    cotangents = [np.array(c) for c in ([cotangent] if len(results) == 1 else cotangent)]
    batches = [len(c) for c, result in zip(cotangents, results, strict=True) if c.ndim > result.dim()]
    if not batches:
        return _product(circuit, done, results, cotangents)
    each = (
        [c[index] if c.ndim > result.dim() else c for c, result in zip(cotangents, results, strict=True)]
        for index in range(batches[0])
    )
    products = [_product(circuit, done, results, one) for one in each]
    return _Products(np.stack(slopes) for slopes in zip(*products, strict=True))


def _product(
    circuit: QuantumScript, done: Run, results: list[Tensor], cotangents: list[NDArray[Any]]
) -> tuple[TensorLike, ...]:
    # torch differentiates by the conjugate.
    weights = [
        torch.as_tensor(c).to(r.dtype).expand(r.shape).conj() for c, r in zip(cotangents, results, strict=True)
    ]
    return _by_parameter(circuit, done, _gradients(done, results, weights))


@torch.enable_grad()
def jacobian(circuit: QuantumScript, done: Run) -> Any:
    """d result / d parameter, as PennyLane nests it: a tuple of measurements, each a tuple of parameters."""
    results = exact_tensors(done)
    rows = [_rows(circuit, done, result) for result in results]
    return rows[0] if len(rows) == 1 else tuple(rows)


def _rows(circuit: QuantumScript, done: Run, result: Tensor) -> Any:
    """The derivatives of one result, one pass backwards for each of its numbers."""
    flat = result.reshape(-1)
    columns: list[list[Any]] = [[] for _ in circuit.trainable_params]
    for index in range(len(flat)):
        parts = (flat.real, flat.imag) if flat.is_complex() else (flat,)
        slopes = [
            _by_parameter(circuit, done, _gradients(done, [p[index]], [torch.ones_like(p[index])])) for p in parts
        ]
        for column, *numbers in zip(columns, *slopes, strict=True):
            column.append(numbers[0] if len(numbers) == 1 else numbers[0] + 1j * numbers[1])
    shaped = tuple(np.reshape(column, (*result.shape, *np.shape(column[0]))) for column in columns)
    return shaped[0] if len(shaped) == 1 else shaped


def _gradients(done: Run, results: list[Tensor], weights: list[Tensor]) -> dict[int, Tensor]:
    """The gradient of each leaf by the number of its parameter."""
    traced = [(r, w) for r, w in zip(results, weights, strict=True) if r.requires_grad]
    leaves = [done.theta, *done.leaves.values()]
    if not traced:
        found: tuple[Tensor | None, ...] = (None,) * len(leaves)
    else:
        outputs, cotangents = zip(*traced, strict=True)
        found = torch.autograd.grad(outputs, leaves, cotangents, allow_unused=True, retain_graph=True)
    slopes = [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, found, strict=True)]
    by_number = dict(zip(done.leaves, slopes[1:], strict=True))
    return by_number | {number: slopes[0][:, column] for column, number in enumerate(done.theta_of)}


def _by_parameter(circuit: QuantumScript, done: Run, gradients: dict[int, Tensor]) -> tuple[TensorLike, ...]:
    """In the order and the shapes of the trainable parameters."""
    parameters = circuit.get_parameters(trainable_only=False)
    shapes = {number: np.shape(parameters[number]) for number in circuit.trainable_params}
    slopes = []
    for number, shape in shapes.items():
        grad = gradients.get(number, torch.zeros(shape, dtype=torch.float64))
        # One number for all of a batch gets the sum over it.
        slopes.append(as_array(grad.sum().reshape(shape) if shape == () else grad.reshape(shape)))
    return _Products(slopes)
