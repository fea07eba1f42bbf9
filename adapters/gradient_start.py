"""A start along the first gradient, instead of at R = I."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from .layer import QuICLayer

__all__ = ["start_from_gradient"]

_B = TypeVar("_B")

# First-order length of the logarithm of A by that of its parameters: dA = -2 dS for Cayley (docs/explanations).
_SPEED = {"cayley": 2.0, "exponential": 1.0, "rbs": 1.0}


def start_from_gradient(
    model: nn.Module, batches: Iterable[_B], loss: Callable[[_B], Tensor], *, angle: float = 0.1
) -> float:
    """Turn every rotation of the active adapters downhill from R = I, before the first step of an optimiser.

    At R = I every map is an isometry of its parameters onto the Lie algebra so(n), up to one factor, so the gradient
    in the parameters is the gradient in R projected onto the Lie algebra of R's blocks. All rotations move by one
    common multiple of it, as in one step of steepest descent, such that the block turned most turns by `angle`.
    Scales stay.

    Args:
        model: a model whose adapters are new.
        batches: what to average the gradient over.
        loss: the mean loss of a batch, by a forward of the model.
        angle: the root of the sum of the squares of the angles, in radians, that the block turned most turns by.

    Returns:
        the mean loss at R = I.

    Raises:
        ValueError: the model has no trained rotations, or they are not at the start; the angle is not positive; there
            are no batches, or the gradient is zero or not finite.
    """
    if not 0 < angle < math.inf:
        raise ValueError(f"angle must be positive and finite, got {angle}")
    rotations = _trained_rotations(model)
    kept = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        model.zero_grad(set_to_none=True)
        losses = []
        for batch in batches:
            value = loss(batch)
            value.backward()
            losses.append(value.item())
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p, _ in rotations]
    finally:
        for parameter, gradient in kept:
            parameter.grad = gradient
    if not losses:
        raise ValueError("a gradient needs at least one batch, got none")
    # In the Lie algebra the gradient is shorter by the speed of the map.
    lengths = [
        float(own.double().norm(dim=-1).max()) / speed for own, (_, speed) in zip(gradients, rotations, strict=True)
    ]
    longest = max(lengths)
    if not 0 < longest < math.inf:
        raise ValueError(f"the gradient must be finite and not zero, got a largest length of {longest}")
    with torch.no_grad():
        for gradient, (parameters, speed) in zip(gradients, rotations, strict=True):
            parameters.sub_(gradient, alpha=angle / (longest * speed**2))
    return sum(losses) / len(losses)


def _trained_rotations(model: nn.Module) -> list[tuple[nn.Parameter, float]]:
    """The parameters of every trained rotation, with the speed of its map; all of them zero."""
    found = []
    for name, layer in model.named_modules():
        if not isinstance(layer, QuICLayer):
            continue
        for adapter in layer.active_adapters:
            for turn in layer.quic_turns.get(adapter, ()):
                parameters = getattr(layer, turn.parameters_in)[adapter]
                if not parameters.requires_grad:
                    continue
                if parameters.any():
                    raise ValueError(f"a start needs R = I, got parameters that are not zero in {name}")
                if not turn.rotation.is_compound:
                    raise ValueError(f"a start along the gradient needs compounds of rotations, got others in {name}")
                found.append((parameters, _SPEED[turn.rotation.parameter_map]))
    if not found:
        raise ValueError(f"a model with trained QuIC adapters is needed, got {type(model).__name__} without any")
    return found
