"""The parts of a model that is fine-tuned: head, target layers, trained parameters."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

__all__ = [
    "adapter_parameters",
    "freeze_all_but_head",
    "has_head",
    "head_parameters",
    "saved_bytes",
    "saved_tensors",
    "seeded",
    "target_layers",
    "trainable_numbers",
]

_HEAD = "head"


def has_head(model: nn.Module) -> bool:
    """Whether a model has a head of its own, the module named "head"; a language model has none."""
    return isinstance(getattr(model, _HEAD, None), nn.Module)


def freeze_all_but_head(model: nn.Module) -> None:
    """Let nothing be trained but the head, if there is one."""
    model.requires_grad_(False)
    if has_head(model):
        model.get_submodule(_HEAD).requires_grad_(True)


def adapter_parameters(model: nn.Module) -> list[nn.Parameter]:
    """What a method trains besides the head, after `attach`; each parameter once."""
    return [parameter for name, parameter in model.named_parameters() if _is_trained(name, parameter, head=False)]


def head_parameters(model: nn.Module) -> list[nn.Parameter]:
    """What is trained of the head, after `attach`."""
    return [parameter for name, parameter in model.named_parameters() if _is_trained(name, parameter, head=True)]


def trainable_numbers(model: nn.Module) -> int:
    """How many numbers a method trains besides the head's."""
    return sum(parameter.numel() for parameter in adapter_parameters(model))


def saved_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What a file of the adapter must hold besides the head, by name.

    PEFT says what its methods save; of the others it is what they train.
    """
    if isinstance(model, PeftModel):
        state = get_peft_model_state_dict(model)
        return {name: tensor for name, tensor in state.items() if not _is_in_head(name)}
    return {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if _is_trained(name, parameter, head=False)
    }


def saved_bytes(model: nn.Module) -> int:
    """Bytes of the tensors that a file of the adapter must hold besides the head."""
    return sum(tensor.numel() * tensor.element_size() for tensor in saved_tensors(model).values())


def target_layers(model: nn.Module, targets: Sequence[str]) -> dict[str, nn.Linear]:
    """The linear layers that targets name, as PEFT matches them: by name, or by the end of it.

    Args:
        model: a model without adapters.
        targets: names of linear layers, or suffixes of their names.

    Raises:
        ValueError: there is no target, or one matches no linear layer.
    """
    if isinstance(targets, str) or not targets:
        raise ValueError(f"targets must be names of linear layers, at least one, got {targets!r}")
    found: dict[str, nn.Linear] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and any(f".{name}".endswith(f".{target}") for target in targets):
            found[name] = module
    unmatched = [t for t in targets if not any(f".{name}".endswith(f".{t}") for name in found)]
    if unmatched:
        raise ValueError(f"every target must match a linear layer of the model, got {unmatched}")
    return found


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draws inside depend on the seed alone; those outside are as if there had been none."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _is_trained(name: str, parameter: nn.Parameter, *, head: bool) -> bool:
    return parameter.requires_grad and _is_in_head(name) == head


def _is_in_head(name: str) -> bool:
    return _HEAD in name.split(".")
