"""The two ends of every comparison: the head alone, and every parameter of the model."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from .parts import freeze_all_but_head

__all__ = ["attach_full", "attach_head"]


def attach_head(model: nn.Module, values: Mapping[str, Any], targets: Sequence[str], seed: int) -> nn.Module:
    """Train the head alone, a linear probe."""
    _refuse_values("head", values)
    freeze_all_but_head(model)
    return model


def attach_full(model: nn.Module, values: Mapping[str, Any], targets: Sequence[str], seed: int) -> nn.Module:
    """Train every parameter, wherever it is."""
    _refuse_values("full", values)
    return model.requires_grad_(True)


def _refuse_values(method: str, values: Mapping[str, Any]) -> None:
    if values:
        raise ValueError(f"the method {method!r} has no size and no options, got {dict(values)}")
