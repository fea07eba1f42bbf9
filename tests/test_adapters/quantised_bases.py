"""Layers and models whose weights are quantised, as their users do it, on a CPU."""

import copy

import bitsandbytes as bnb
import torch
from torch import nn
from torchao.quantization import Int8WeightOnlyConfig, quantize_
from transformers import AutoModel, BitsAndBytesConfig, TorchAoConfig

KINDS = ("8bit", "nf4", "int8")


class Small(nn.Module):
    """Two layers with a bias and a kink between them: 64 to 128 to 64 features."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        return self.second(nn.functional.gelu(self.first(x)))


def small(kind):
    """The same numbers each time, quantised."""
    torch.manual_seed(0)
    shapes = [(128, 64), (64, 128)]
    return Small(*(quantised(kind, torch.randn(shape) / 8, torch.randn(shape[0])) for shape in shapes))


def quantised(kind, weight, bias):
    """A linear layer of a kind that stands for a weight of shape (out, in); an ordinary one without a kind."""
    sizes = (weight.shape[1], weight.shape[0])
    if kind == "8bit":
        layer = bnb.nn.Linear8bitLt(*sizes, has_fp16_weights=False, threshold=6.0)
    elif kind == "nf4":
        layer = bnb.nn.Linear4bit(*sizes, quant_type="nf4", compute_dtype=torch.float32)
    else:
        layer = nn.Linear(*sizes)
    layer.weight.data = weight.detach().clone()
    layer.bias.data = bias.detach().clone()
    if kind == "int8":
        quantize_(layer, Int8WeightOnlyConfig())
    return layer.to("cpu")  # bitsandbytes quantises here


def dequantised(model):
    """A copy of a model with ordinary layers in the places of quantised ones."""
    twin = copy.deepcopy(model)
    for name, layer in list(twin.named_modules()):
        if isinstance(layer, nn.Linear):
            plain = nn.Linear(layer.in_features, layer.out_features)
            plain.weight = nn.Parameter(_weight(layer), requires_grad=False)
            plain.bias = layer.bias
            twin.set_submodule(name, plain)
    return twin


def _weight(layer):
    """The weight by each format's own definition, apart from the library."""
    if isinstance(layer, bnb.nn.Linear8bitLt):
        scales = layer.state.SCB if layer.weight.SCB is None else layer.weight.SCB
        return layer.weight.data.float() * scales[:, None] / 127
    if isinstance(layer, bnb.nn.Linear4bit):
        return bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return layer.weight.dequantize().detach()


def quantization(kind, compute=torch.float32, **values):
    """The configuration of transformers for a kind."""
    if kind == "int8":
        return TorchAoConfig(Int8WeightOnlyConfig(), **values)
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, **values)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        **values,
    )


def load(folder, kind=None, cls=AutoModel, compute=torch.float32, **values):
    """A saved model, freshly quantised; not quantised without a kind."""
    config = {} if kind is None else {"quantization_config": quantization(kind, compute)}
    return cls.from_pretrained(folder, **config, **values).eval()
