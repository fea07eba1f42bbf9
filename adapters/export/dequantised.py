"""A model on a quantised base with all its weights in floating point, to be merged without loss."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel

from ..layer import QuICLayer
from ..quantised import quantised_weight

__all__ = ["dequantise", "is_quantised"]


def is_quantised(model: PreTrainedModel) -> bool:
    """Whether transformers has loaded a model with quantised weights."""
    return getattr(model, "hf_quantizer", None) is not None


@torch.no_grad()
def dequantise(model: PreTrainedModel, dtype: torch.dtype | None = None) -> None:
    """Replace every quantised layer of a model by an ordinary one that computes with the same weight.

    Adapters stay in their places, and rotate the outputs of the new layers. It cannot give back what quantisation
    took from the weights: load the base without it, where that can be had.

    Args:
        model: as transformers loaded it, with adapters or without; changed in place.
        dtype: of the weights; by default that of the model's others.

    Raises:
        TypeError: a layer is quantised in a way that is not served.
        ValueError: an adapter is merged.
    """
    dtype = dtype or model.dtype
    if merged := [name for name, module in model.named_modules() if isinstance(module, QuICLayer) and module.merged]:
        raise ValueError(f"dequantising needs unmerged adapters, got {merged[0]} merged: call unmerge_adapter()")
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and (quantised := quantised_weight(module)) is not None:
            linear = nn.Linear(module.in_features, module.out_features, bias=False, device="meta")
            linear.weight = nn.Parameter(quantised.loaded().to(dtype), requires_grad=False)
            linear.bias = module.bias
            model.set_submodule(name, linear.train(module.training))
    for module in model.modules():
        if isinstance(module, QuICLayer):
            module.quantised = module.quantization_backend = None
    if is_quantised(model):
        model.hf_quantizer.remove_quantization_config(model)
        model.is_loaded_in_8bit = model.is_loaded_in_4bit = False
        _forget_packing(model)


def _forget_packing(model: PreTrainedModel) -> None:
    """What unpacked the weights of a quantised checkpoint: transformers 5 would go back over it to save the model."""
    conversions = getattr(model, "_weight_conversions", None) or []
    model._weight_conversions = [
        conversion
        for conversion in conversions
        if not any(
            type(operation).__module__.startswith("transformers.integrations.")
            for operation in getattr(conversion, "operations", ())
        )
    ]
