"""What putting an adapter into a model refuses, and how an adapter that was refused is taken out again."""

from collections.abc import Callable
from typing import NoReturn

import torch
from torch import nn

from .layer import QuICLayer

__all__ = ["check_is_called", "check_name", "check_shapes", "refuse_loader", "remove_adapter"]


def check_is_called(parent: nn.Module) -> None:
    """Refuse parts of modules that read their weights and never call them: adapters would have no effect."""
    remedy = None
    if isinstance(parent, nn.MultiheadAttention):
        remedy = "exclude it"
    elif isinstance(parent, nn.TransformerEncoderLayer) and torch.backends.mha.get_fastpath_enabled():
        remedy = "call torch.backends.mha.set_fastpath_enabled(False) before"
    if remedy:
        raise ValueError(
            f"a target module must be called by its parent, got one whose weight {type(parent).__name__} reads "
            f"itself: {remedy}"
        )


def check_name(adapter_name: str) -> None:
    """Refuse names that torch cannot give to a parameter of a container: PEFT keeps adapters in containers."""
    taken = any(hasattr(container(), adapter_name) for container in (nn.ParameterDict, nn.ModuleDict))
    if not adapter_name or "." in adapter_name or taken:
        raise ValueError(
            "the name of an adapter must be a word without dots that is no attribute of torch's containers (as "
            f"'keys' is), got {adapter_name!r}"
        )


def check_shapes(layer: QuICLayer, adapter_name: str, shape_of: Callable[[str], tuple[int, ...] | None]) -> None:
    """Refuse saved parameters and scales of other shapes than the layer's."""
    for turn in layer.quic_turns[adapter_name]:
        plan, shape = turn.rotation.plan, shape_of(turn.parameters_in)
        if shape is not None and shape != plan.parameter_shape:
            raise ValueError(
                f"adapter {adapter_name!r} must have parameters of shape {plan.parameter_shape} for {plan}, "
                f"got {shape}"
            )
    if adapter_name in layer.quic_scales:
        own, shape = tuple(layer.quic_scales[adapter_name].shape), shape_of("quic_scales")
        if shape is not None and shape != own:
            raise ValueError(f"adapter {adapter_name!r} must have scales of shape {own}, got {shape}")


def refuse_loader(got: str) -> NoReturn:
    """Refuse a packed file where nobody will ask us what it means: R would stay the identity."""
    raise ValueError(
        "a packed adapter must be loaded by PeftModel (from_pretrained, load_adapter) of PEFT 0.21, "
        f"got {got}: make an ordinary one of it by quic unpack"
    )


def remove_adapter(model: nn.Module, adapter_name: str) -> None:
    """Take an adapter out of all layers, and layers without adapters out of the model."""
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, QuICLayer):
            continue
        layer.delete_adapter(adapter_name)
        if not layer.quic_parameters:
            model.set_submodule(name, layer.base_layer)
