"""Quantised base layers: which kinds are served, and how their weights are read, merged into and put back."""

import copy
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import torch
from peft.utils.integrations import dequantize_bnb_weight
from peft.utils.quantization_utils import Bnb4bitBackend, Bnb8bitBackend, QuantizationBackend, TorchaoBackend
from torch import Tensor, nn

__all__ = ["SERVED", "Kind", "QuantisedWeight", "RoundingLoss", "keep_differentiable", "quantised_weight"]

Kind = Literal["bitsandbytes 8-bit", "bitsandbytes 4-bit", "torchao int8"]

SERVED = "bitsandbytes' Linear8bitLt or Linear4bit, or a Linear whose weight alone is in torchao's int8"
"""The kinds of quantised layers that can be adapted."""
_PLAIN = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class RoundingLoss:
    """What quantising a merged weight again lost, in Frobenius norms.

    Args:
        kind: of the quantisation Q.
        error: |Q(W') - W'| / |W'|, of the merged weight W'.
        change: |W' - W| / |W|, of W' and the weight W before: what the adapters do to it.
    """

    kind: Kind
    error: float
    change: float


class QuantisedWeight:
    """The weight of a quantised linear layer, read and written as PEFT's backends do.

    While an adapter is merged, the weight as it was loaded is kept beside it, and whatever is merged next starts
    from that: no error adds up, and taking adapters out again loses nothing. It takes the layer's memory twice.

    Args:
        layer: of a kind that is served.
        kind: which one.
        backend: PEFT's for it.
    """

    def __init__(self, layer: Any, kind: Kind, backend: QuantizationBackend) -> None:
        self.kind: Kind = kind
        self.backend = backend
        self.loss: RoundingLoss | None = None
        self._layer = layer
        self._kept: tuple[Any, Tensor | None] | None = None

    @torch.no_grad()
    def loaded(self) -> Tensor:
        """The weight as it was loaded, dequantised, shape (out, in)."""
        return self._dequantised(self._kept or self._parts())

    @torch.no_grad()
    def merge(self, weight: Tensor) -> None:
        """Put another weight in the place of the one that was loaded, and say in `loss` what rounding it lost.

        Args:
            weight: shape (out, in); rounded once, unless it is the one that was loaded.
        """
        self.restore()
        parts = self._parts()
        loaded = self._dequantised(parts)
        change = _relative(weight, loaded)
        if change == 0:
            return
        self._kept = parts
        if self.kind == "bitsandbytes 4-bit":
            self._layer.weight = copy.copy(parts[0])  # PEFT marks the one that it replaces as not quantised
        try:
            owner = SimpleNamespace(get_base_layer=lambda: self._layer)
            self.backend.set_base_weight(owner, weight.to(loaded.dtype).contiguous())
        except Exception:
            self.restore()
            raise
        self.loss = RoundingLoss(self.kind, _relative(self._dequantised(self._parts()), weight), change)

    def restore(self) -> None:
        """Put the weight back as it was loaded, bit for bit."""
        if self._kept is not None:
            weight, scales = self._kept
            self._layer.weight = weight
            if self.kind == "bitsandbytes 4-bit":
                self._layer.quant_state = weight.quant_state
            elif self.kind == "bitsandbytes 8-bit":
                weight.CB, weight.SCB = weight.data, scales
                self._layer.state.reset_grads()  # the next call takes both from the weight
        self._kept = self.loss = None

    def _parts(self) -> tuple[Any, Tensor | None]:
        """The parameter, and the scales of 8-bit rows, which the first call of the layer takes out of it."""
        weight = self._layer.weight
        if self.kind != "bitsandbytes 8-bit":
            return weight, None
        return weight, self._layer.state.SCB if weight.SCB is None else weight.SCB

    def _dequantised(self, parts: tuple[Any, Tensor | None]) -> Tensor:
        weight, scales = parts
        if self.kind == "torchao int8":
            return weight.dequantize().detach()
        return dequantize_bnb_weight(weight, SimpleNamespace(SCB=scales)).detach()


def quantised_weight(layer: nn.Module) -> QuantisedWeight | None:
    """How the weight of a layer is quantised; None if it is not.

    Args:
        layer: a layer of a model, not adapted.

    Raises:
        TypeError: it is quantised in a way that is not served.
    """
    weight: Any = getattr(layer, "weight", None)
    # Such layers do not exist unless their package was imported; importing it here would take seconds.
    bitsandbytes: Any = sys.modules.get("bitsandbytes")
    if bitsandbytes is not None and isinstance(layer, bitsandbytes.nn.Linear4bit):
        if getattr(weight, "quant_state", None) is None:
            raise TypeError("a quantised layer must have been moved to its device, got a Linear4bit that was not")
        return QuantisedWeight(layer, "bitsandbytes 4-bit", Bnb4bitBackend())
    if bitsandbytes is not None and isinstance(layer, bitsandbytes.nn.Linear8bitLt) and weight.dtype == torch.int8:
        return QuantisedWeight(layer, "bitsandbytes 8-bit", Bnb8bitBackend())
    if isinstance(layer, nn.Linear) and (config := _torchao_config(weight)) is not None:
        return QuantisedWeight(layer, "torchao int8", TorchaoBackend(lambda: config))
    if weight is not None and (weight.dtype not in _PLAIN or type(weight).__module__.startswith("torchao.")):
        raise TypeError(
            f"a quantised target module must be {SERVED}, got {type(layer).__name__} with a weight of "
            f"{weight.dtype} in {type(weight).__name__}"
        )
    return None


def _torchao_config(weight: Any) -> Any:
    """The configuration that quantises as a weight in torchao's int8 was; None for other weights.

    Raises:
        TypeError: activations are rounded too, through which torchao passes no gradient.
    """
    torchao: Any = sys.modules.get("torchao.quantization")
    if torchao is None or type(weight) is not torchao.Int8Tensor:
        return None
    if weight.act_quant_kwargs is not None or weight.act_pre_scale is not None:
        raise TypeError(
            "a weight in torchao's int8 must be quantised alone, as by Int8WeightOnlyConfig, got one with quantised "
            "activations: they pass no gradient"
        )
    *_, rows, columns = weight.block_size
    if rows > 1:
        return torchao.Int8WeightOnlyConfig(granularity=torchao.PerTensor())
    is_row = columns == weight.shape[-1]
    return torchao.Int8WeightOnlyConfig(granularity=torchao.PerRow() if is_row else torchao.PerGroup(columns))


def keep_differentiable(model: nn.Module) -> None:
    """Keep bitsandbytes from packing 4-bit weights for inference on CPUs with AVX512-BF16, and unpack packed ones.

    It does so in the first call in evaluation mode: from then on no gradient passes through the layer, and its weight
    has other numbers (seen in bitsandbytes 0.50).

    Args:
        model: a model; those of its layers that are not adapted pass gradients on, too.
    """
    bitsandbytes: Any = sys.modules.get("bitsandbytes")
    if bitsandbytes is None:
        return
    for layer in model.modules():
        if isinstance(layer, bitsandbytes.nn.Linear4bit):
            layer.support_avx512bf16_for_cpu = False
            if getattr(layer.weight.quant_state, "packing_format_for_cpu", False):
                layer.state_dict()  # which unpacks it


def _relative(weight: Tensor, reference: Tensor) -> float:
    """|W - V| / |V|."""
    wide = reference.float()
    return float((weight.float() - wide).norm() / wide.norm().clamp(min=torch.finfo(torch.float32).tiny))
