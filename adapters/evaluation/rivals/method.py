"""Method: one way to fine-tune a model, as the laboratory knows it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

__all__ = ["Attach", "Count", "Method"]

Attach = Callable[[nn.Module, Mapping[str, Any], Sequence[str], int], nn.Module]
Count = Callable[[int, int, Mapping[str, Any]], int]


@dataclass(frozen=True)
class Method:
    """One way to fine-tune a model.

    Args:
        name: its key.
        sizes: values of its own knob, from few trained numbers to many, as `parse_size` reads them.
        default_rates: peak learning rates to choose from.
        note: what it trains, in a line.
        attach: puts it into a model: (model, values, targets, seed) -> model, everything else frozen but the head.
        count: the closed form of its trained numbers: (out features, in features, values) -> for one target layer;
            None where they are not counted by target layers.
        merges: whether it can be put into the weights.
    """

    name: str
    sizes: tuple[str, ...]
    default_rates: tuple[float, ...]
    note: str
    attach: Attach = field(repr=False, compare=False)
    count: Count | None = field(repr=False, compare=False)
    merges: bool = True
