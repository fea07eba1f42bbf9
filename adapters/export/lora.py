"""An approximate LoRA adapter in place of a rotation, and how much of the change of each weight it loses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ..layer import QuICLayer
from .folder import new_folder

__all__ = ["LayerLoss", "save_as_lora"]

_PREFIX = "base_model.model."


@dataclass(frozen=True)
class LayerLoss:
    """What the best approximation of rank r loses of the change of one weight, D = R W - W or W R - W.

    Args:
        module: name of the layer in the base model.
        error: ||B A - D|| / ||D||, Frobenius norms: 0 where all is kept, 1 where nothing is.
        rank_needed: the least rank whose error is within the limit.
    """

    module: str
    error: float
    rank_needed: int


@torch.no_grad()
def save_as_lora(
    model: PeftModel, output: Path, rank: int, max_error: float = 0.05, adapter_name: str = "default"
) -> list[LayerLoss]:
    """Save the LoRA adapter nearest to a QuIC adapter, if it is near enough.

    A rotation changes a weight in nearly full rank: expect a low rank to lose most of it, and merge instead where
    you can (:func:`~adapters.export.save_merged`).

    Args:
        model: with the adapter, not merged.
        output: a folder that does not exist yet, or is empty.
        rank: r, of every layer; lora_alpha is r too, so that the scale is 1.
        max_error: the largest error of a layer (:class:`LayerLoss`) that is written.
        adapter_name: which of the model's adapters.

    Returns:
        the losses, one for each adapted layer.

    Raises:
        ValueError: a layer loses more, is not linear, is merged or has a trained bias, the rank is not in 1..the
            least side of every weight, `max_error` is not in [0, 1], or `output` holds files.
    """
    if not 0 <= max_error <= 1:
        raise ValueError(f"max_error must be between 0 and 1, got {max_error}")
    config = model.peft_config[adapter_name]
    if config.bias != "none":
        raise ValueError(f"a LoRA adapter is made of weights alone, got an adapter with bias={config.bias!r}")
    tensors: dict[str, Tensor] = {}
    losses = []
    for name, layer in _layers(model, adapter_name):
        change = _change(layer, adapter_name)
        if not 1 <= rank <= min(change.shape):
            raise ValueError(f"the rank must be in 1..{min(change.shape)} for {name}, got {rank}")
        left, values, right = torch.linalg.svd(change, full_matrices=False)
        losses.append(LayerLoss(name.removeprefix(_PREFIX), *_loss(values, rank, max_error)))
        tensors[f"{name}.lora_A.weight"] = right[:rank].float().contiguous()
        tensors[f"{name}.lora_B.weight"] = (left[:, :rank] * values[:rank]).float().contiguous()
    worst = max(losses, key=lambda loss: loss.error)
    if worst.error > max_error:
        raise ValueError(
            f"a LoRA adapter may lose {max_error:.1%} of the change of a layer, got {worst.error:.1%} for "
            f"{worst.module} at rank {rank}: all layers are within it from rank "
            f"{max(loss.rank_needed for loss in losses)} on; merging loses nothing"
        )
    lora = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=[loss.module for loss in losses],
        modules_to_save=config.modules_to_save,
        base_model_name_or_path=config.base_model_name_or_path,
        task_type=config.task_type,
        inference_mode=True,
    )
    with new_folder(output) as scratch:
        lora.save_pretrained(str(scratch))
        save_file(tensors | _trained_in_full(model, adapter_name), scratch / SAFETENSORS_WEIGHTS_NAME)
    return losses


def _layers(model: PeftModel, adapter_name: str) -> Iterator[tuple[str, QuICLayer]]:
    for name, layer in model.named_modules():
        if not isinstance(layer, QuICLayer) or adapter_name not in layer.quic_parameters:
            continue
        if layer.merged:
            raise ValueError(f"conversion needs an unmerged adapter, got {name} merged: call unmerge_adapter()")
        if not isinstance(layer.get_base_layer(), nn.Linear | Conv1D):
            raise ValueError(f"LoRA takes the place of linear layers here, got {type(layer).__name__} {name}")
        yield name, layer


def _change(layer: QuICLayer, adapter_name: str) -> Tensor:
    """R W - W or W R - W, shape (out, in), float64."""
    weight = layer.floating_weight().double()
    change = layer.turn_weight(weight, adapter_name, inverse=False) - weight
    return change.mT if isinstance(layer.get_base_layer(), Conv1D) else change


def _loss(values: Tensor, rank: int, max_error: float) -> tuple[float, int]:
    total = float((values**2).sum())
    if total == 0:  # an adapter that was not trained
        return 0.0, 1
    tails = ((values**2).flip(0).cumsum(0).flip(0) / total).sqrt()  # what is lost below rank 0, 1, ...
    errors = [*tails.tolist()[1:], 0.0]
    return errors[rank - 1], 1 + next(index for index, error in enumerate(errors) if error <= max_error)


def _trained_in_full(model: PeftModel, adapter_name: str) -> dict[str, Tensor]:
    """The modules that are saved with the adapter, under PEFT's names."""
    state = model.state_dict()
    marker = f".modules_to_save.{adapter_name}."
    return {name.replace(marker, "."): tensor.contiguous() for name, tensor in state.items() if marker in name}
