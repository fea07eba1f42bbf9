"""A model with its adapter rounded for a while, to measure what a small file would cost."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from .compile import adapted_layers
from .quantise import BITS, Bits, quantise

__all__ = ["numbers_of", "rounded", "score_by_bits"]


def numbers_of(model: nn.Module, adapter_name: str | None) -> list[nn.Parameter]:
    """The parameters that a packed file holds with few bits, not the scales beside them.

    Args:
        model: a model with QuIC adapters.
        adapter_name: the adapter; every active one for None.

    Raises:
        ValueError: the model has no such adapter.
    """
    layers = adapted_layers(model, adapter_name)
    holders = [
        (holder, name) for _, layer, name in layers for holder in (layer.quic_parameters, layer.quic_in_parameters)
    ]
    return [holder[name] for holder, name in holders if name in holder]


@contextmanager
def rounded(model: nn.Module, bits: Bits, *, adapter_name: str | None = None) -> Iterator[None]:
    """For the length of a context, the model's adapter is the one that a file of so many bits gives back.

    Args:
        model: a model with QuIC adapters.
        bits: 32, 16, 8, 4 or 1.
        adapter_name: the adapter; every active one if left out.

    Raises:
        ValueError: the model has no such adapter, or a number is not finite or too large for the width.
    """
    parameters = numbers_of(model, adapter_name)
    kept = [parameter.detach().clone() for parameter in parameters]
    rounded_ones = [quantise(parameter, bits) for parameter in parameters]  # all before the first is changed
    try:
        with torch.no_grad():
            for parameter, numbers in zip(parameters, rounded_ones, strict=True):
                parameter.copy_(numbers)
        yield
    finally:
        with torch.no_grad():
            for parameter, numbers in zip(parameters, kept, strict=True):
                parameter.copy_(numbers)


def score_by_bits(
    model: nn.Module,
    evaluate: Callable[[nn.Module], float],
    bits: Sequence[Bits] = BITS,
    *,
    adapter_name: str | None = None,
) -> dict[Bits, float]:
    """What a task's score would be with the adapter packed, for each width; the model is as it was afterwards.

    Args:
        model: a model with QuIC adapters, in the mode that it is to be evaluated in.
        evaluate: from the model to its score, such as the accuracy on held-out examples.
        bits: the widths.
        adapter_name: the adapter; every active one if left out.

    Returns:
        the score by width.

    Raises:
        ValueError: as :func:`rounded`.
    """
    scores: dict[Bits, float] = {}
    for width in bits:
        with rounded(model, width, adapter_name=adapter_name):
            scores[width] = evaluate(model)
    return scores
