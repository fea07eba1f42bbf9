"""Which trained parameters weight decay is for: not the adapter's own.

Weight decay keeps weights from growing. A rotation cannot grow: decaying its numbers pulls R towards I, that is the
model back to the one it started from, whatever the loss says, and more the longer it trains; decaying scales pulls
s = exp(sigma) towards 1. Biases and norms are left out as usual. What remains are modules trained in full.
"""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["UndecayedAngles", "parameter_groups"]

_OWN = ("quic_parameters", "quic_in_parameters", "quic_scales")


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The trained parameters for a torch optimiser, those of QuIC adapters without weight decay.

    Args:
        model: a model with adapters.
        weight_decay: for the trained matrices of other modules, at least 0.

    Returns:
        groups with "params" and "weight_decay"; none is empty. Parameters with less than two dimensions are biases
        and norms, and not decayed.

    Raises:
        ValueError: `weight_decay` is negative, or nothing is trained.

    >>> import torch
    >>> model = nn.Linear(2, 2)
    >>> [(len(group["params"]), group["weight_decay"]) for group in parameter_groups(model, 0.1)]
    [(1, 0.1), (1, 0.0)]
    >>> optimizer = torch.optim.AdamW(parameter_groups(model, 0.1), lr=1e-3)
    """
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must be at least 0, got {weight_decay}")
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[parameter.dim() > 1 and not _is_own(name)].append(parameter)
    found = [
        {"params": parameters, "weight_decay": weight_decay if is_decayed else 0.0}
        for is_decayed, parameters in groups.items()
        if parameters
    ]
    if not found:
        raise ValueError(f"a model with trained parameters is needed, got {type(model).__name__} without any")
    return found


class UndecayedAngles:
    """The same for transformers' Trainer: put it before Trainer in the bases of a class.

    It answers the one question that Trainer asks before it makes an optimiser, so every optimiser and scheduler of
    TrainingArguments works as before.

    >>> from transformers import Trainer
    >>> class AdapterTrainer(UndecayedAngles, Trainer):
    ...     pass
    """

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """The names of the parameters that are decayed: Trainer's own choice, without those of adapters."""
        names: list[str] = super().get_decay_parameter_names(model)  # type: ignore[misc]
        return [name for name in names if not _is_own(name)]


def _is_own(name: str) -> bool:
    """Whether a parameter is an adapter's; its last part is the adapter's name."""
    return any(part in _OWN for part in name.split("."))
