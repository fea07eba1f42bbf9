"""Adapters as blocks for a cost estimate: plans, compiled blocks, layers, models, and what is saved of them."""

from collections import defaultdict
from pathlib import Path

import torch
from peft import get_peft_model
from torch import nn

from qicircuits.layouts import brickwork
from qicircuits.resources import BlockGroup, describe_blocks

from .compile import CompiledBlock, adapted_layers
from .config import QuICConfig
from .meta_model import meta_model
from .plan import BlockPlan
from .quiet import quiet
from .rotation import Rotation
from .saved import ROTATION_HOLDERS, saved_config

__all__ = ["configured_blocks", "saved_blocks"]

_MOST_NAMES = 4


@describe_blocks.register
def _(plan: BlockPlan) -> list[BlockGroup]:
    return [BlockGroup(brickwork(plan.n), plan.orders, plan.n_rotated_blocks, "block")]


@describe_blocks.register
def _(rotation: Rotation) -> list[BlockGroup]:
    return describe_blocks(rotation.plan)


@describe_blocks.register
def _(block: CompiledBlock) -> list[BlockGroup]:
    return [BlockGroup(block.layout, block.orders, 1, f"{block.module}, block {block.block}")]


@describe_blocks.register
def _(model: nn.Module) -> list[BlockGroup]:
    """The blocks of all active adapters of a layer or a model; layers of one shape become one group."""
    layers: dict[BlockPlan, list[str]] = defaultdict(list)
    for name, layer, adapter in adapted_layers(model, None):
        for turn in layer.quic_turns[adapter]:
            layers[turn.rotation.plan].append(name)
    return [
        BlockGroup(brickwork(plan.n), plan.orders, len(names) * plan.n_rotated_blocks, _label(names, plan.features))
        for plan, names in layers.items()
    ]


def saved_blocks(folder: Path) -> list[BlockGroup]:
    """The blocks of a saved adapter, from its folder alone: no model is needed.

    Args:
        folder: what ``save_pretrained`` wrote.

    Raises:
        ValueError: there is no QuIC adapter in the folder, or a damaged one; or its blocks share one rotation and
            their number depends on the layers, which are not in the folder.
    """
    config = saved_config(folder)
    assert config.saved is not None
    assert config.saved.shapes is not None
    groups: dict[tuple[tuple[int, ...], int, int], list[str]] = defaultdict(list)
    for tensor, shape in config.saved.shapes.items():
        module, _, holder = tensor.removeprefix("base_model.model.").rpartition(".")
        if holder not in ROTATION_HOLDERS:  # scales, biases and modules that are trained in full
            continue
        own = config.for_module(module)
        if own.block_share and own.block_size is not None:
            raise ValueError(
                "the number of blocks that share one rotation of block_size features depends on the layers: estimate "
                f"the model's configuration instead, got block_size={own.block_size} in {folder}"
            )
        rows, numbers = shape
        blocks = rows * (own.n_blocks or 1) if own.block_share else rows
        groups[own.orders, _wires(numbers), blocks].append(module)
    return [
        BlockGroup(brickwork(n), orders, len(names) * blocks, _label(names))
        for (orders, n, blocks), names in groups.items()
    ]


def configured_blocks(file: Path, config: QuICConfig) -> list[BlockGroup]:
    """The blocks that a configuration of an adapter makes in a model of which only the configuration is at hand.

    The model is made on torch's meta device, without its weights.

    Args:
        file: the config.json of a transformers model, or a folder with one.
        config: the adapter's.

    Raises:
        ValueError: the file is not the configuration of a model, or the adapter does not fit it.
    """
    model = meta_model(file)
    with torch.device("meta"), quiet():
        return describe_blocks(get_peft_model(model, config))


def _wires(numbers: int) -> int:
    """The n with n(n-1)/2 = numbers; the configuration has checked that there is one."""
    return next(n for n in range(2, numbers + 2) if n * (n - 1) // 2 == numbers)


def _label(names: list[str], features: int | None = None) -> str:
    """How many layers, and the ends of their names."""
    ends = sorted({name.rpartition(".")[2] for name in names})
    listed = ", ".join(ends[:_MOST_NAMES]) + (", ..." if len(ends) > _MOST_NAMES else "")
    size = "" if features is None else f" of {features:,} features"
    return f"{len(names)} layer{'s' * (len(names) > 1)}{size}: {listed}"
