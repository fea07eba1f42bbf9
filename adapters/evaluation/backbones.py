"""The pretrained model for a task: a packaged one, a local checkpoint, or a name on the hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from .assets import encoder_folder
from .batches import Batch, EncodedSplit, PixelSplit, tokenise
from .checkpoints import language_folder, vision_folder
from .classifier import ImageClassifier, LanguageModel, SentenceClassifier
from .tasks import Split, Task

__all__ = [
    "PACKAGED",
    "checkpoint_of",
    "collate",
    "encode",
    "load_model",
    "load_processor",
    "pretrained_language_model",
    "target_sets",
]

PACKAGED: Mapping[str, Callable[[Path | None], Path]] = {
    "all-MiniLM-L6-v2": encoder_folder,
    "DINOv2-small-architecture": vision_folder,
    "SmolLM2-135M": language_folder,
}
"""Backbones that are in packages: the folder each of them is unpacked to."""


@dataclass(frozen=True)
class TextProcessor:
    """Turns texts into tokens.

    Args:
        tokenizer: of the backbone.
        max_length: tokens that are kept of a text.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int

    def __call__(self, split: Split) -> EncodedSplit:
        """Tokenise every text of a split."""
        return tokenise(split, self.tokenizer, self.max_length)


@dataclass(frozen=True)
class ImageProcessor:
    """Resizes images to squares and normalises their colours.

    Args:
        pixels: width and height that the backbone gets.
    """

    pixels: int

    def __call__(self, split: Split) -> EncodedSplit:
        """The images of a split, resized batch by batch."""
        return PixelSplit(split.inputs, split.labels, self.pixels)


Processor = Callable[[Split], EncodedSplit]


def checkpoint_of(backbone: str, cache: Path | None = None) -> str:
    """Where transformers finds a backbone: the folder of a packaged one, a local folder, or a name on the hub."""
    if backbone in PACKAGED:
        return str(PACKAGED[backbone](cache))
    return backbone


def load_model(task: Task, seed: int, backbone: str | None = None) -> nn.Module:
    """The backbone under a head for the task; `model(**batch.inputs)` gives logits.

    Dropout is off, so that a step is the same computation in training and in evaluation. The head is `model.head`;
    a language model has none.

    Args:
        task: whose head is wanted.
        seed: of the head's first weights.
        backbone: `task.backbone` by default; a name in `PACKAGED`, a local folder, or a name on the hub.

    Raises:
        ValueError: the backbone is neither packaged, nor a folder with a checkpoint, nor a name that the hub gives.
        AssetError: its package could not be fetched.
    """
    checkpoint = checkpoint_of(backbone or task.backbone)
    if task.suite == "language":
        return LanguageModel(_without_dropout(_pretrained(AutoModelForCausalLM, checkpoint, dtype=torch.float32)))
    encoder = _without_dropout(_pretrained(AutoModel, checkpoint, dtype=torch.float32))
    face = SentenceClassifier if task.suite == "text" else ImageClassifier
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return face(encoder, task.n_outputs)


def load_processor(task: Task, backbone: str | None = None, max_length: int = 64) -> Processor:
    """What turns splits of a task into tensors for a backbone.

    Args:
        task: whose examples are to be encoded.
        backbone: as in `load_model`.
        max_length: tokens that are kept of a text; images have the size of `task.pixels`.
    """
    if task.suite == "image":
        return ImageProcessor(task.pixels)
    return TextProcessor(_tokenizer(checkpoint_of(backbone or task.backbone)), max_length)


def pretrained_language_model(backbone: str, **arguments: Any) -> tuple[Any, PreTrainedTokenizerBase]:
    """A causal language model as transformers gives it, able to generate, and its tokenizer.

    Args:
        backbone: as in `load_model`.
        arguments: further ones of `from_pretrained`.
    """
    checkpoint = checkpoint_of(backbone)
    return _pretrained(AutoModelForCausalLM, checkpoint, **arguments), _tokenizer(checkpoint)


def _tokenizer(checkpoint: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint; one without a token for padding pads with the one that ends a text."""
    tokenizer: PreTrainedTokenizerBase = _pretrained(AutoTokenizer, checkpoint)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def encode(split: Split, processor: Processor) -> EncodedSplit:
    """All examples of a split, ready for `sorted_batches` and `training_batches`."""
    return processor(split)


def collate(task: Task, split: Split, rows: Sequence[int], processor: Processor) -> Batch:
    """The batch of some rows of a split; `encode` once and keep it where rows are visited again."""
    return processor(split.select(rows)).collate(range(len(rows)))


_QUERY_VALUE = ("query", "value", "query_proj", "value_proj", "q_proj", "v_proj")
_KEY = ("key", "key_proj", "k_proj")


def target_sets(model: nn.Module) -> dict[str, list[str]]:
    """Names of the linear layers of a model that adapters are put into, by set.

    Returns:
        "attention_qv": queries and values; "attention": also keys and the attention's output; "all_linear": every
        linear layer but heads. Each name is that of one module, as in `model.named_modules()`.
    """
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] not in ("head", "lm_head")
    ]
    first = [name for name in linear if name.endswith(_QUERY_VALUE)]
    attention = [
        name
        for name in linear
        if name in first or name.endswith(_KEY) or ".attention.output." in name or name.endswith("o_proj")
    ]
    return {"attention_qv": first, "attention": attention, "all_linear": linear}


def _without_dropout(model: Any) -> Any:
    for module in model.modules():
        for name in ("p", "drop_prob", "dropout_prob", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


def _pretrained(cls: Any, checkpoint: str, **arguments: Any) -> Any:
    try:
        return cls.from_pretrained(checkpoint, **arguments)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"a backbone must be one of {', '.join(PACKAGED)}, a folder with a checkpoint, or a name on the hub that "
            f"can be reached, got {checkpoint}: {reason}"
        ) from error
