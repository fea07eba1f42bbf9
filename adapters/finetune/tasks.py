"""From a configuration to what is trained: a model with its adapter, encoded examples, batches and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset, Image, Value
from peft import PeftModel
from torch import Tensor
from transformers import (
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedTokenizerBase,
    default_data_collator,
)

from ..base_name import checkpoint_of
from .base import adapt, load_image_processor, load_model, load_tokenizer
from .config import DataConfig, FinetuneConfig, Task
from .data import load_examples
from .labels import class_names, encode_classes, encode_numbers
from .metrics import classification_metrics, regression_metrics

__all__ = ["METRICS", "Prepared", "prepare"]

METRICS: Mapping[Task, tuple[str, ...]] = {
    "text-classification": ("accuracy", "f1", "matthews", "loss"),
    "image-classification": ("accuracy", "f1", "matthews", "loss"),
    "regression": ("pearson", "spearman", "mse", "loss"),
    "causal-lm": ("loss",),
}
"""What is measured on the validation examples; the first chooses the best checkpoint."""

_Rows = Mapping[str, Any]


@dataclass(frozen=True)
class Prepared:
    """All that training needs.

    Args:
        model: the model with its adapter.
        train, validation: encoded examples.
        collate: rows to a batch.
        classes: names of the classes, for a classification.
        measure: metrics of predictions; None where the loss says all.
        to_prediction: what to keep of the logits of a batch.
        processor: tokenizer or image processor, to be saved beside the adapter.
    """

    model: PeftModel
    train: Dataset
    validation: Dataset
    collate: Callable[[list[_Rows]], dict[str, Tensor]]
    classes: list[str] | None
    measure: Callable[[EvalPrediction], dict[str, float]] | None
    to_prediction: Callable[[Any, Tensor], Tensor] | None
    processor: Any


def prepare(config: FinetuneConfig) -> Prepared:
    """Read and check the examples, load the model, and put the adapter into it.

    Raises:
        ValueError, TypeError: something of the configuration does not fit the data or the model.
        AssetError: an offline package could not be fetched.
    """
    check_metric(config)
    checkpoint = checkpoint_of(config.model)
    examples = load_examples(config.data, _columns(config), config.seed)
    classes = class_names(examples, config.data.label) if config.task.endswith("classification") else None
    if config.task == "image-classification":
        processor: Any = load_image_processor(checkpoint)
        collate: Any = default_data_collator
    else:
        processor = load_tokenizer(checkpoint)
        is_language = config.task == "causal-lm"
        collate = DataCollatorForSeq2Seq(processor) if is_language else DataCollatorWithPadding(processor)
    train = _encode(examples.train, config, classes, processor)
    validation = _encode(examples.validation, config, classes, processor)
    if len(train) < config.training.batch_size:
        raise ValueError(
            f"training.batch_size must be at most the number of training examples, {len(train)}, got "
            f"{config.training.batch_size}"
        )
    model, new_layers = load_model(config, checkpoint, classes, getattr(processor, "pad_token_id", None))
    return Prepared(
        model=adapt(model, config, new_layers),
        train=train,
        validation=validation,
        # A partial, for Trainer writes the tokenizer of a collator that has one into every checkpoint.
        collate=partial(_collate, collate),
        classes=classes,
        measure={"causal-lm": None, "regression": _measure_numbers}.get(config.task, _measure_classes),
        to_prediction={"causal-lm": None, "regression": _first}.get(config.task, _largest),
        processor=processor,
    )


def check_metric(config: FinetuneConfig) -> str:
    """The metric that chooses the best checkpoint.

    Raises:
        ValueError: the task does not have it.
    """
    known = METRICS[config.task]
    metric = config.training.metric or known[0]
    if metric not in known:
        raise ValueError(f"training.metric must be one of {', '.join(known)} for {config.task}, got {metric!r}")
    return metric


def _columns(config: FinetuneConfig) -> list[str]:
    data = config.data
    if config.task == "image-classification":
        return [data.image, data.label]
    texts = [data.text] if data.text_pair is None else [data.text, data.text_pair]
    return texts if config.task == "causal-lm" else [*texts, data.label]


def _encode(rows: Dataset, config: FinetuneConfig, classes: list[str] | None, processor: Any) -> Dataset:
    data = config.data
    if config.task == "causal-lm":
        encode = partial(_tokenise_language, tokenizer=processor, data=data)
        return rows.map(encode, batched=True, remove_columns=rows.column_names)
    labels = encode_numbers(rows, data.label) if classes is None else encode_classes(rows, data.label, classes)
    if config.task == "image-classification":
        kind = rows.features[data.image]
        if not isinstance(kind, Image) and kind not in (Value("string"), Value("large_string")):
            raise ValueError(f"the column {data.image!r} must hold images or paths of them, got {kind}")
        bare = rows.remove_columns([name for name in rows.column_names if name != data.image])
        # Not decoded by datasets, for that does not say which file it cannot read.
        numbered = bare.cast_column(data.image, Image(decode=False)).add_column("labels", labels)
        return numbered.with_transform(partial(_to_pixels, processor=processor, image=data.image))
    encode = partial(_tokenise, tokenizer=processor, data=data)
    return rows.map(encode, batched=True, remove_columns=rows.column_names).add_column("labels", labels)


def _tokenise(rows: _Rows, tokenizer: PreTrainedTokenizerBase, data: DataConfig) -> dict[str, Any]:
    second = None if data.text_pair is None else _texts(rows, data.text_pair)
    return dict(tokenizer(_texts(rows, data.text), second, truncation=True, max_length=data.max_length))


def _tokenise_language(rows: _Rows, tokenizer: PreTrainedTokenizerBase, data: DataConfig) -> dict[str, Any]:
    """Each text and the token that ends it, cut to the longest length; its tokens are its labels."""
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    tokens = tokenizer(_texts(rows, data.text), truncation=True, max_length=data.max_length)["input_ids"]
    ended = [ids if ids[-1:] == end else (ids + end)[: data.max_length] for ids in tokens]
    return {"input_ids": ended, "attention_mask": [[1] * len(ids) for ids in ended], "labels": ended}


def _texts(rows: _Rows, column: str) -> list[str]:
    for text in rows[column]:
        if not isinstance(text, str):
            raise ValueError(f"every {column} must be a text, got {text!r}")
    return list(rows[column])


def _to_pixels(rows: _Rows, processor: Any, image: str) -> dict[str, Any]:
    pixels = processor([_picture(stored) for stored in rows[image]], return_tensors="pt")["pixel_values"]
    return {"pixel_values": list(pixels), "labels": rows["labels"]}


def _picture(stored: dict[str, Any]) -> Any:
    try:
        return Image().decode_example(stored).convert("RGB")
    except OSError as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"every image must be one that Pillow reads, got {stored['path']}: {reason}") from error


def _collate(collate: Callable[[list[_Rows]], Any], rows: list[_Rows]) -> dict[str, Tensor]:
    return dict(collate(rows))


def _largest(logits: Any, labels: Tensor) -> Tensor:
    return _logits(logits).argmax(-1)


def _first(logits: Any, labels: Tensor) -> Tensor:
    return _logits(logits)[..., 0]


def _logits(outputs: Any) -> Tensor:
    return outputs[0] if isinstance(outputs, tuple) else outputs


def _measure_classes(result: EvalPrediction) -> dict[str, float]:
    return classification_metrics(np.asarray(result.predictions), np.asarray(result.label_ids))


def _measure_numbers(result: EvalPrediction) -> dict[str, float]:
    predicted, labels = (np.asarray(part, dtype=np.float64) for part in (result.predictions, result.label_ids))
    return regression_metrics(predicted, labels)
