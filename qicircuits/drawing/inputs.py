"""Turn the numbers a user gives, lists or arrays or tensors, into checked float64 tensors."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

__all__ = ["real_numbers"]


def real_numbers(values: ArrayLike | Tensor, name: str) -> Tensor:
    """The values as a float64 tensor on the CPU, without gradient.

    Raises:
        TypeError: they are not real numbers.
        ValueError: one of them is not finite.
    """
    try:
        # A copy of its own: torch refuses negative strides and warns of read-only arrays.
        tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.array(values, order="C"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be real numbers, got {values!r}") from error
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise TypeError(f"{name} must be real numbers, got dtype {tensor.dtype}")
    tensor = tensor.detach().cpu().double()
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} must be finite, got {tensor[~torch.isfinite(tensor)][0].item()}")
    return tensor
