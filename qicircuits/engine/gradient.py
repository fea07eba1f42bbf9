"""The gradient of an operator by another operator, which takes what was kept and the same plan of integers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.library import CustomOpDef  # type: ignore[attr-defined]

__all__ = ["register_gradient"]


def register_gradient(operator: CustomOpDef, backward: CustomOpDef, keep: Callable[..., tuple[Tensor, ...]]) -> None:
    """Let `backward(grad, *kept, *plan)` give the gradients of `operator(*tensors, *plan)`, one for each tensor.

    Args:
        operator: its arguments are tensors, then integers, flags, and lists or tensors of integers: the plan.
        backward: returns the gradient of the only tensor, or a tuple of one for each.
        keep: from (output, *tensors) to the tensors kept for the backward.
    """

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        tensors = [value for value in inputs if isinstance(value, Tensor) and value.dtype != torch.int64]
        ctx.plan = inputs[len(tensors) :]
        ctx.save_for_backward(*keep(output, *tensors))

    def differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradients = backward(grad, *ctx.saved_tensors, *ctx.plan)
        gradients = (gradients,) if isinstance(gradients, Tensor) else gradients
        return *gradients, *[None] * len(ctx.plan)

    operator.register_autograd(differentiate, setup_context=setup)
