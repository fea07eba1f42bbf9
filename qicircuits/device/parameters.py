"""Parameters of a circuit on their way into torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
import torch
from autograd.tracer import Box
from torch import Tensor

__all__ = ["Parameters", "check_is_one_batch", "unboxed"]

_NUMBERS = frozenset({float, int, np.float64})


@dataclass
class Parameters:
    """The parameters of a circuit, those apart that a derivative is wanted for.

    Attributes:
        trainable: numbers of those that a derivative is wanted for by the device's own method; None for torch's.
        leaves: those among them that were asked for.
        has_batches: whether any angle was a batch of them.
    """

    trainable: frozenset[int] | None
    leaves: dict[int, Tensor]
    has_batches: bool = False

    def tensor(self, number: int, value: Any) -> Tensor:
        """One parameter in double precision."""
        value = unboxed(value)
        tensor = value.cpu() if isinstance(value, Tensor) else torch.from_numpy(np.array(qml.math.toarray(value)))
        tensor = tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)
        if self.trainable is not None and number in self.trainable:
            tensor = self.leaves.setdefault(number, tensor.detach().requires_grad_())
        return tensor

    def angles(self, values: Sequence[Any]) -> Tensor:
        """Numbers, or batches of them, as one tensor of shape (1 or batch, n)."""
        kinds = set(map(type, values))  # a look at each of thousands of numbers takes longer than their simulation
        if any(issubclass(kind, Box) for kind in kinds):
            values = list(map(unboxed, values))
            kinds = set(map(type, values))
        if kinds <= _NUMBERS:
            return self._leaf(torch.from_numpy(np.array(values, dtype=np.float64)[None]))
        _check_are_real(values)
        sizes = {len(value) for value in values if getattr(value, "ndim", 0)}
        self.has_batches = bool(sizes)
        check_is_one_batch(sizes)
        if any(issubclass(kind, Tensor) for kind in kinds):
            columns = [torch.as_tensor(value, dtype=torch.float64) for value in values]
            columns = torch.broadcast_tensors(*columns) if self.has_batches else columns
            theta = torch.stack(list(columns), dim=-1).cpu()
        else:
            arrays = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in values))
            theta = torch.from_numpy(np.stack(arrays, axis=-1))
        return self._leaf(theta if self.has_batches else theta[None])

    def _leaf(self, theta: Tensor) -> Tensor:
        """With gradients, if the device's own derivatives are wanted."""
        return theta if self.trainable is None or theta.requires_grad else theta.requires_grad_()


def _check_are_real(values: Sequence[Any]) -> None:
    for value in values:
        if value.is_complex() if isinstance(value, Tensor) else np.iscomplexobj(value):
            raise TypeError(f"angles of gates are real numbers, got {value!r}")


def check_is_one_batch(sizes: Iterable[int]) -> None:
    """Refuse batches of different sizes.

    Raises:
        ValueError: there are two, neither of them 1.
    """
    found = sorted({*sizes} - {1})
    if len(found) > 1:
        raise ValueError(f"all batches of parameters in a circuit have one size, got the sizes {found}")


def unboxed(value: Any) -> Any:
    """A value without autograd's boxes around it, one for each derivative that is being taken."""
    while isinstance(value, Box):
        value = value._value
    return value
