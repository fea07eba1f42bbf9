"""The checkpoint that is adapted, its tokenizer or image processor, and the adapter put into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from peft import PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ..config import QuICConfig
from .config import FinetuneConfig, Task
from .quantised import prepare_quantised, quantised_settings

__all__ = ["adapt", "load_image_processor", "load_model", "load_tokenizer", "model_class"]

_CLASSES: Mapping[Task, Any] = {
    "text-classification": AutoModelForSequenceClassification,
    "regression": AutoModelForSequenceClassification,
    "causal-lm": AutoModelForCausalLM,
    "image-classification": AutoModelForImageClassification,
}
_PEFT_TASKS: Mapping[Task, TaskType] = {
    "text-classification": TaskType.SEQ_CLS,
    "regression": TaskType.SEQ_CLS,
    "causal-lm": TaskType.CAUSAL_LM,
}
_HEADS = ("classifier", "score")


def model_class(task: Task) -> str:
    """The name of the class of transformers that loads a model for a task."""
    name: str = _CLASSES[task].__name__
    return name


def load_tokenizer(checkpoint: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint; one without a token for padding pads with the one that ends a text."""
    tokenizer = _from_pretrained(AutoTokenizer, checkpoint, "tokenizer")
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ValueError(f"a tokenizer must have a token for padding or for the end, got neither in {checkpoint}")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_image_processor(checkpoint: str) -> Any:
    """The image processor of a checkpoint, on Pillow: torchvision is not needed."""
    return _from_pretrained(AutoImageProcessor, checkpoint, "image processor", backend="pil")


def load_model(
    config: FinetuneConfig, checkpoint: str, classes: list[str] | None, pad_token_id: int | None
) -> tuple[PreTrainedModel, list[str]]:
    """The model with a head for the task, and the names of those of its layers that are not in the checkpoint.

    Args:
        config: the run; its seed draws the new layers.
        checkpoint: where the weights are.
        classes: names of the classes, for a classification.
        pad_token_id: the token that pads texts.
    """
    settings: dict[str, Any] = {}
    if classes is not None:
        settings["id2label"] = dict(enumerate(classes))
        settings["label2id"] = {name: number for number, name in enumerate(classes)}
    elif config.task == "regression":
        settings |= {"num_labels": 1, "problem_type": "regression"}
    base_config = _from_pretrained(AutoConfig, checkpoint, "configuration", **settings)
    if pad_token_id is not None and getattr(base_config, "pad_token_id", None) is None:
        base_config.pad_token_id = pad_token_id
    if config.task == "causal-lm":
        _check_is_causal(base_config, checkpoint)
    in_full = [] if config.task == "causal-lm" else list(_HEADS)
    model, new = _load(config, checkpoint, base_config, in_full)
    if config.quantisation != "none" and not all(name.endswith((*in_full,)) for name in new):
        model, new = _load(config, checkpoint, base_config, [*in_full, *new])
    prepare_quantised(model, config)
    return model, new


def _check_is_causal(config: PreTrainedConfig, checkpoint: str) -> None:
    """An encoder has a class for language too, in which every token sees the one that it is to predict."""
    decodes = config.is_encoder_decoder or getattr(config, "is_decoder", False)
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING and not decodes:
        rule = "causal-lm needs a model in which no token sees those behind it"
        raise ValueError(f"{rule}, got an encoder of type {config.model_type} in {checkpoint}")


def _load(
    config: FinetuneConfig, checkpoint: str, base_config: Any, in_full: list[str]
) -> tuple[PreTrainedModel, list[str]]:
    """As :func:`load_model`; of a base that is quantised, the layers `in_full` are not."""
    torch.manual_seed(config.seed)
    model, report = _from_pretrained(
        _CLASSES[config.task],
        checkpoint,
        f"model for {config.task}",
        config=base_config,
        dtype=getattr(torch, config.dtype),
        ignore_mismatched_sizes=True,  # a head for other classes is drawn anew
        output_loading_info=True,
        **quantised_settings(config, in_full),
    )
    mismatched = (entry[0] for entry in report["mismatched_keys"])
    return model, _new_layers(model, {*report["missing_keys"], *mismatched})


def adapt(model: PreTrainedModel, config: FinetuneConfig, new_layers: list[str]) -> PeftModel:
    """Put the adapter into a model; layers that are new, and the head, are trained in full.

    Raises:
        TypeError, ValueError: the adapter's values are not allowed, or a layer cannot be adapted.
    """
    values = dict(config.adapter)
    heads = [name for name in _HEADS if hasattr(model, name) and config.task != "causal-lm"]
    in_full = sorted({*new_layers, *heads, *(values.pop("modules_to_save", None) or ())})
    excluded = values.pop("exclude_modules", None)
    adapter = QuICConfig(
        **values,
        task_type=_PEFT_TASKS.get(config.task),
        modules_to_save=in_full or None,
        exclude_modules=_without(excluded, in_full),
    )
    return get_peft_model(model, adapter)


def _without(excluded: Any, in_full: list[str]) -> Any:
    """The modules to leave alone: those that were named, and those that are trained in full."""
    if not in_full:
        return excluded
    if isinstance(excluded, str):
        return f"(?:{excluded})|(?:.*\\.)?(?:{'|'.join(map(re.escape, in_full))})(?:\\..*)?"
    return [*(excluded or ()), *in_full]


def _new_layers(model: nn.Module, keys: Iterable[str]) -> list[str]:
    """The layers, without layers inside, that hold the parameters of these names."""
    names = {key.rpartition(".")[0] for key in keys}
    return sorted(name for name in names if name and not list(model.get_submodule(name).children()))


def _from_pretrained(cls: Any, checkpoint: str, what: str, **arguments: Any) -> Any:
    try:
        return cls.from_pretrained(checkpoint, **arguments)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{checkpoint} must have a {what} that transformers loads, got: {reason}") from error
