"""Whether each name and index that a configuration lists means something in a model."""

import dataclasses
from collections.abc import Collection
from typing import Any

from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.constants import INCLUDE_LINEAR_LAYERS_SHORTHAND
from peft.utils.other import get_pattern_key
from torch import nn
from transformers.pytorch_utils import Conv1D

from .config import QuICConfig

__all__ = ["check_targets"]

_HEADS = ("classifier", "score", "qa_outputs")
"""What PEFT adds to modules_to_save by the task type, whether the model has it or not."""


def check_targets(config: QuICConfig, model: nn.Module, defaults: Collection[str]) -> None:
    """Refuse listed entries that match nothing: a misspelt name would silently adapt less than was asked.

    Args:
        config: a configuration whose `target_modules` are known.
        model: the model to adapt.
        defaults: PEFT's default targets for the architecture; they need not all occur.

    Raises:
        ValueError: an entry of `target_modules` or `modules_to_save` matches no module, or an index in
            `layers_to_transform` or a key of a pattern no target; the message names them.
    """
    modules = [name for name, _ in model.named_modules()]
    targets = set() if isinstance(config.target_modules, str) else set(config.target_modules or ()) - set(defaults)
    saved = set(config.modules_to_save or ()) - set(_HEADS)
    layers = config.layers_to_transform
    unmatched: dict[str, list[Any]] = {
        "target_modules": [name for name in targets if not any(f".{key}".endswith(f".{name}") for key in modules)],
        "modules_to_save": [name for name in saved if not any(key.endswith(name) for key in modules)],
        "layers_to_transform": [
            layer
            for layer in ([layers] if isinstance(layers, int) else layers or ())
            if not _reaches(config, layer, modules)
        ],
    }
    if config.target_modules == INCLUDE_LINEAR_LAYERS_SHORTHAND:  # PEFT will expand it later
        adapted = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    else:
        adapted = [name for name in modules if check_target_module_exists(config, name)]
    for pattern in ("n_blocks_pattern", "orders_pattern"):
        unmatched[pattern] = [
            key for key in getattr(config, pattern) if all(get_pattern_key([key], name) != key for name in adapted)
        ]
    for field, entries in unmatched.items():
        if entries:
            raise ValueError(f"every entry of {field} must match a module of the model, got {sorted(entries)}")


def _reaches(config: QuICConfig, layer: int, modules: Collection[str]) -> bool:
    """Whether the layer of an index holds a target."""
    only = dataclasses.replace(config, layers_to_transform=[layer])
    return any(check_target_module_exists(only, name) for name in modules)
