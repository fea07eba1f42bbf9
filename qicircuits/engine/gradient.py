"""The gradient of an operator by another operator, which takes what was kept and the same plan of integers."""

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._C._functorch import TransformType
from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters
from torch.library import CustomOpDef  # type: ignore[attr-defined]

__all__ = ["kept_tensors", "refuse_second_derivatives", "refuse_transforms", "register_gradient"]


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
        gradients = backward(grad, *kept_tensors(ctx), *ctx.plan)
        gradients = (gradients,) if isinstance(gradients, Tensor) else gradients
        return *gradients, *[None] * len(ctx.plan)

    operator.register_autograd(differentiate, setup_context=setup)
    refuse_second_derivatives(backward)


def kept_tensors(ctx: Any) -> tuple[Any, ...]:
    """What the forward has kept for this backward.

    Raises:
        RuntimeError: one of them has been changed in place since: an output, from which the backward starts.
    """
    try:
        kept: tuple[Any, ...] = ctx.saved_tensors
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):  # such as a second backward through a freed graph
            raise
        raise RuntimeError(
            "the output of a rotation must not be changed in place, for the backward starts from it, got one that "
            "was: write y = relu(y) for relu_(y), y = y + x for y += x, and nn.ReLU(inplace=False); or have torch "
            "copy what is changed, with torch.autograd.graph.allow_mutation_on_saved_tensors() around the step"
        ) from error
    return kept


def refuse_second_derivatives(backward: CustomOpDef) -> None:
    """Let the derivative of a gradient end in an error that says so."""

    def refuse(ctx: Any, *gradients: Tensor) -> NoReturn:
        raise NotImplementedError("rotations and compounds are differentiated once, got a derivative of a gradient")

    backward.register_autograd(refuse)


def refuse_transforms() -> None:
    """Refuse what torch.func differentiates: operators of a library take part in its vmap alone.

    Raises:
        NotImplementedError: the call is within such a transform.
    """
    # The first is all that an ordinary call is asked for.
    if torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active():
        return
    active = {interpreter.key() for interpreter in retrieve_all_functorch_interpreters()}
    if active & {TransformType.Grad, TransformType.Jvp}:
        raise NotImplementedError(
            "rotations and compounds are differentiated by autograd, got a call within a transform of torch.func: "
            "use backward(), torch.autograd.grad, or torch.autograd.functional.jacobian(..., vectorize=True)"
        )
