"""MappedLinear: a frozen linear layer whose features go through a trained linear map, for methods that PEFT lacks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from qicircuits.engine.precision import full_precision

from .method import Attach
from .parts import freeze_all_but_head, seeded, target_layers

__all__ = ["MakeMaps", "MappedLinear", "attach_maps", "merge_maps"]

MakeMaps = Callable[[nn.Linear, Mapping[str, Any]], tuple[nn.Module | None, nn.Module | None]]
"""From a layer and values to the maps of its outputs and of its inputs; None where there is none."""


class MappedLinear(nn.Module):
    """y = M (W N x) + bias: the weight W' = M W N, with trained M and N and W as it was.

    Args:
        base_layer: the layer with W.
        out_map: M, a module that maps (..., d) to (..., d) linearly, or None for the identity.
        in_map: N, likewise.
    """

    def __init__(self, base_layer: nn.Linear, out_map: nn.Module | None, in_map: nn.Module | None) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.out_map = out_map
        self.in_map = in_map

    def forward(self, x: Tensor) -> Tensor:
        """The mapped layer's outputs; those of the base layer to the last bit where both maps return their input."""
        if self.in_map is not None:
            x = (x + _change(self.in_map, x)).to(x.dtype)
        y: Tensor = self.base_layer(x)
        if self.out_map is not None:
            bias = self.base_layer.bias
            y = (y + _change(self.out_map, y if bias is None else y - bias)).to(y.dtype)
        return y

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The base layer with W' in the place of W."""
        weight = self.base_layer.weight
        mapped = weight
        if self.out_map is not None:
            mapped = self.out_map(mapped.mT).mT  # the columns of W are outputs
        if self.in_map is not None:
            unit = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)
            mapped = mapped @ self.in_map(unit).mT  # its rows are N e_i
        weight.copy_(mapped)
        return self.base_layer


def _change(own: nn.Module, x: Tensor) -> Tensor:
    """M x - x, in at least float32 whatever the autocast: shorter types lose what is special about these maps."""
    with full_precision(x.device):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        change: Tensor = own(wide) - wide
    return change


def attach_maps(make: MakeMaps) -> Attach:
    """What puts maps into a model: (model, values, targets, seed) -> model.

    Args:
        make: makes the maps of one layer; what it draws depends on the seed alone.
    """

    def attach(model: nn.Module, values: Mapping[str, Any], targets: Sequence[str], seed: int) -> nn.Module:
        layers = target_layers(model, targets)
        with seeded(seed):
            mapped = {name: MappedLinear(layer, *make(layer, values)) for name, layer in layers.items()}
        freeze_all_but_head(model)
        for name, layer in mapped.items():
            model.set_submodule(name, layer.to(layer.base_layer.weight.device))
        return model

    return attach


def merge_maps(model: nn.Module) -> nn.Module:
    """Put every map into its layer's weight, and the layer in the map's place."""
    for name, module in list(model.named_modules()):
        if isinstance(module, MappedLinear):
            model.set_submodule(name, module.merged())
    return model
