"""The model of a saved adapter: its base checkpoint, of the class it was trained as, with the adapter put in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import PeftModel
from torch import Tensor

from ..adapter_file import read_tensors
from ..base_name import checkpoint_of
from ..class_names import CLASS_NAMES, read_class_names
from ..config import QuICConfig
from ..quiet import quiet
from ..saved import saved_config

__all__ = ["load_saved_model", "probe_inputs"]

_CLASSES = {
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "FEATURE_EXTRACTION": "AutoModel",
}
_HEADS = re.compile(r"(?:^|\.)(?:classifier|score)\.(?:.*\.)?weight$")


def load_saved_model(folder: Path, base: str | None = None) -> PeftModel:
    """A saved adapter on its base model, for inference.

    Args:
        folder: what ``save_pretrained`` wrote.
        base: folder, hub name or package of the base checkpoint; by default the one that the adapter names.

    Raises:
        ValueError: there is no QuIC adapter in the folder, it names no base or no class of model, or it belongs to
            another base.
        AssetError: the package of the base could not be fetched.
        OSError: there is no such base checkpoint.
    """
    config = saved_config(folder)
    checkpoint = _checkpoint(config, folder, base)
    with quiet():
        model = _class_of(config, folder).from_pretrained(checkpoint, **_head(folder))
        try:
            return PeftModel.from_pretrained(model, str(folder)).eval()
        except ValueError as error:
            rule = f"the base of {folder} must be the model that it was trained on"
            raise ValueError(f"{rule}, got {checkpoint}: {error}") from error


def _checkpoint(config: QuICConfig, folder: Path, base: str | None) -> str:
    if base is not None:
        return checkpoint_of(base)
    if not config.base_model_name_or_path:
        raise ValueError(f"a saved adapter must name its base model, got none in {folder}: give it (--base)")
    try:
        return checkpoint_of(config.base_model_name_or_path)
    except ValueError as error:  # it was trained elsewhere
        raise ValueError(f"{error}, which is the base that {folder} names: give another (--base)") from error


def _head(folder: Path) -> dict[str, Any]:
    """What a base is told of the head that was saved with the adapter."""
    count, names = _label_count(folder), read_class_names(folder)
    if count is None:
        return {}
    if names is None:
        return {"num_labels": count, "ignore_mismatched_sizes": True}
    if len(names) != count:
        raise ValueError(f"{folder / CLASS_NAMES} must name the {count} outputs of the head, got {len(names)} names")
    numbers = {name: number for number, name in enumerate(names)}
    return {"id2label": dict(enumerate(names)), "label2id": numbers, "ignore_mismatched_sizes": True}


def _class_of(config: QuICConfig, folder: Path) -> Any:
    if config.task_type is not None:
        return getattr(transformers, _CLASSES[str(getattr(config.task_type, "value", config.task_type))])
    mapping = config.auto_mapping or {}
    found = getattr(transformers, str(mapping.get("base_model_class")), None)
    if found is None or not issubclass(found, transformers.PreTrainedModel):
        raise ValueError(
            f"a saved adapter must name its task_type or a model class of transformers, got auto_mapping={mapping} "
            f"in {folder}"
        )
    return found


def _label_count(folder: Path) -> int | None:
    """The number of labels of a head that was saved with the adapter."""
    heads = [tensor for name, tensor in read_tensors(folder).items() if _HEADS.search(name)]
    return len(heads[-1]) if heads else None


def probe_inputs(model: transformers.PreTrainedModel, seed: int = 0) -> dict[str, Tensor] | None:
    """Two random inputs of a model, by the name of its first argument; None for what is neither text nor images."""
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    if model.main_input_name == "input_ids":
        ids = torch.randint(config.get_text_config().vocab_size, (2, 12), generator=generator)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return inputs | {"decoder_input_ids": ids} if config.is_encoder_decoder else inputs
    if model.main_input_name == "pixel_values":
        size = config.image_size
        height, width = (size, size) if isinstance(size, int) else size
        return {"pixel_values": torch.randn(2, config.num_channels, height, width, generator=generator)}
    return None
