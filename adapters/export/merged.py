"""A merged checkpoint: the rotated weights in a folder that plain transformers, and what reads its folders, loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoProcessor, PreTrainedModel, PreTrainedTokenizerBase

from ..layer import QuICLayer
from .dequantised import dequantise, is_quantised
from .folder import new_folder
from .saved_model import probe_inputs

__all__ = ["MergeReport", "merge", "output_of", "save_merged"]


@dataclass(frozen=True)
class MergeReport:
    """What was written, and how far it is from the adapter.

    Args:
        folder: the checkpoint.
        dtype: of its weights.
        layers: how many layers were rotated.
        bytes: of its files.
        deviation: largest difference of an output from that with the adapter, over the largest output, of the
            checkpoint as plain transformers loads it; None where the model's inputs are not known.
    """

    folder: str
    dtype: str
    layers: int
    bytes: int
    deviation: float | None


@torch.no_grad()
def merge(model: PeftModel, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """The base model with the rotations in its weights; `model` is used up.

    Each weight is rotated in at least float32 and rounded once. A quantised base is dequantised before, which keeps
    what it computed with the adapter; to merge into weights that never were quantised, load the adapter on those.

    Args:
        model: with active QuIC adapters, not merged.
        dtype: of the result; by default that of the base model.

    Raises:
        TypeError: a weight is quantised in a way that is not served.
        ValueError: a weight is not finite after the rotation.
    """
    if is_quantised(model.get_base_model()):
        dequantise(model.get_base_model(), dtype)
    if dtype is not None and dtype.itemsize > model.dtype.itemsize:
        model = model.to(dtype)  # before, so that nothing is rounded to the shorter type
    merged: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    return merged.to(dtype) if dtype is not None else merged


def save_merged(
    model: PeftModel, output: Path, dtype: torch.dtype | None = None, tokenizer: str | None = None
) -> MergeReport:
    """Merge a model with a QuIC adapter and save it, for transformers and whatever reads its folders.

    The checkpoint is loaded again by plain transformers, to measure how far its outputs are from the adapter's.

    Args:
        model: with active QuIC adapters; it is used up.
        output: a folder that does not exist yet, or is empty. It appears when all is written.
        dtype: of the weights; by default that of the base model.
        tokenizer: folder or hub name whose tokenizer or image processor is put beside, where there is one.

    Raises:
        TypeError: a weight is quantised in a way that is not served.
        ValueError: `output` holds files, or a weight is not finite after the rotation.
    """
    with new_folder(output) as scratch:
        inputs = probe_inputs(model.get_base_model())
        expected = None if inputs is None else output_of(model, inputs)
        layers = sum(isinstance(module, QuICLayer) for module in model.modules())
        merged = merge(model, dtype)
        merged.save_pretrained(scratch)
        if tokenizer is not None:
            _copy_processor(tokenizer, scratch)
        deviation = None
        if inputs is not None and expected is not None:
            reloaded = type(merged).from_pretrained(scratch, dtype=merged.dtype).eval()
            found = output_of(reloaded, inputs)
            deviation = float((found - expected).abs().max() / expected.abs().max())
        size = sum(file.stat().st_size for file in scratch.rglob("*") if file.is_file())
    return MergeReport(str(output), str(merged.dtype).removeprefix("torch."), layers, size, deviation)


@torch.no_grad()
def output_of(model: PeftModel | PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """The first output of a model, float64; images are brought to its dtype."""
    cast = {name: value.to(model.dtype) if value.is_floating_point() else value for name, value in inputs.items()}
    first: Tensor = model(**cast, return_dict=False)[0]
    return first.double()


def _copy_processor(source: str, folder: Path) -> None:
    try:
        processor: PreTrainedTokenizerBase = AutoProcessor.from_pretrained(source)
    except (OSError, ValueError):
        return  # a checkpoint need not have one
    processor.save_pretrained(folder)
