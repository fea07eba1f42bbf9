"""The rotations of a saved adapter, from its folder alone: no model is needed."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from .adapter_file import read_tensors
from .config import QuICConfig
from .plan import plan_blocks
from .rotation import Rotation

__all__ = ["ROTATION_HOLDERS", "rotations_of", "saved_config", "saved_rotations"]

ROTATION_HOLDERS = {"quic_parameters": "", "quic_in_parameters": ":in"}
"""What tensors of parameters are called, and what comes after the module's name in that of the rotation."""


def saved_config(folder: Path) -> QuICConfig:
    """The configuration of the adapter in a folder, with the shapes of what is saved.

    Args:
        folder: what ``save_pretrained`` wrote.

    Raises:
        ValueError: there is no QuIC adapter in the folder, or a damaged one.
    """
    if not (folder / "adapter_config.json").is_file():
        raise ValueError(f"a saved adapter is a folder with adapter_config.json, got {folder}")
    try:
        config = QuICConfig.from_pretrained(str(folder))
    except KeyError as error:
        raise ValueError(f"a QuIC adapter is needed, got peft_type={error} in {folder}") from error
    if not isinstance(config, QuICConfig):
        raise ValueError(f"a QuIC adapter is needed, got peft_type={config.peft_type} in {folder}")
    if config.saved is None or config.saved.shapes is None:
        raise ValueError(f"a saved adapter has a file of parameters, got none in {folder}")
    return config


def saved_rotations(folder: Path) -> Iterator[tuple[str, Rotation, Tensor]]:
    """Every (module name, rotation, parameters) of the adapter in a folder; see :data:`ROTATION_HOLDERS`.

    A folder does not tell how many features a layer has beyond its sectors, nor how many blocks share one A: the
    rotations have one block for each different A, and blocks without padding. Of factors they are one after the other
    and not the product, since where the features stand between them depends on the layer: n_factors is 1 in each.

    Args:
        folder: what ``save_pretrained`` wrote.

    Raises:
        ValueError: as :func:`saved_config`.
    """
    yield from rotations_of(saved_config(folder), read_tensors(folder))


def rotations_of(config: QuICConfig, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Rotation, Tensor]]:
    """As :func:`saved_rotations`, of what was read already.

    Args:
        config: what the folder's configuration says.
        tensors: of the adapter file, unpacked.
    """
    if config.is_ablation:
        raise ValueError(f"circuits and packed files need an adapter without ablations, got {config.ablation_text()}")
    for name, parameters in tensors.items():
        module, _, holder = name.removeprefix("base_model.model.").rpartition(".")
        if holder not in ROTATION_HOLDERS:  # scales, biases and modules that are trained in full
            continue
        orders = config.for_module(module).orders
        rows, numbers = parameters.shape  # of all factors: as many blocks of one
        n = (1 + math.isqrt(1 + 8 * numbers)) // 2
        block_size = sum(math.comb(n, order) for order in orders)
        plan = plan_blocks(rows * block_size, orders, block_size=block_size)
        yield module + ROTATION_HOLDERS[holder], Rotation(plan, config.parameter_map), parameters
