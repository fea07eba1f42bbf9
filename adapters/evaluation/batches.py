"""Examples as the backbones take them, in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from .tasks import Split

__all__ = ["Batch", "EncodedSplit", "PixelSplit", "TokenisedSplit", "sorted_batches", "tokenise", "training_batches"]

_POOL = 8  # batches that are sorted by length together: fewer padded tokens, still a random order
_NOT_PREDICTED = -100  # label of a token that no loss is taken at; PyTorch's cross entropy leaves it out

# Mean and standard deviation of the colours of ImageNet, by which DINOv2 was trained: red, green, blue.
_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
_DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


@dataclass(frozen=True)
class Batch:
    """Some examples of a split.

    Args:
        inputs: what the model is called with, by name; each of shape (batch, ...). Texts are padded to the longest
            among them: `input_ids` is the padding token there and `attention_mask` zero.
        labels: class numbers or the numbers of a regression, shape (batch,); of language, the tokens themselves,
            shape (batch, length), and -100 at padding.
        rows: where the examples stand in their split, shape (batch,).
    """

    inputs: Mapping[str, Tensor]
    labels: Tensor
    rows: Tensor


class EncodedSplit(Protocol):
    """Examples that are ready to be put into batches."""

    @property
    def lengths(self) -> Sequence[int]:
        """How long each example is; examples of a batch are padded to the longest."""

    def collate(self, rows: Sequence[int]) -> Batch:
        """The batch of these examples."""


@dataclass(frozen=True)
class TokenisedSplit:
    """Token numbers of each text, special tokens included.

    Args:
        token_ids: of each text.
        labels: class numbers, or the numbers of a regression; empty for language: the tokens are the labels.
        segments: 0 or 1 for each token of a pair of texts, where the backbone asks for it; empty otherwise.
        padding: the token that pads.
    """

    token_ids: tuple[list[int], ...]
    labels: tuple[int, ...] | tuple[float, ...]
    segments: tuple[list[int], ...] = ()
    padding: int = 0

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each text."""
        return [len(tokens) for tokens in self.token_ids]

    def collate(self, rows: Sequence[int]) -> Batch:
        """The texts of these rows, padded to the longest among them."""
        tokens = [self.token_ids[row] for row in rows]
        inputs = {"input_ids": _pad(tokens, self.padding), "attention_mask": _pad([[1] * len(t) for t in tokens], 0)}
        if self.segments:
            inputs["token_type_ids"] = _pad([self.segments[row] for row in rows], 0)
        labels = torch.tensor([self.labels[row] for row in rows]) if self.labels else _pad(tokens, _NOT_PREDICTED)
        return Batch(inputs, labels, torch.tensor(list(rows)))


@dataclass(frozen=True)
class PixelSplit:
    """Images, resized and normalised when a batch is made.

    Args:
        images: uint8 of shape (N, height, width[, 3]), grey without the last axis: an array, or what gives one for a
            list of rows.
        labels: class numbers.
        size: width and height that the images are resized to.
    """

    images: Any
    labels: tuple[int, ...]
    size: int

    @property
    def lengths(self) -> list[int]:
        """One for each image: all are of the same size."""
        return [1] * len(self.images)

    def collate(self, rows: Sequence[int]) -> Batch:
        """The images of these rows as pixels of shape (batch, 3, size, size)."""
        chosen = torch.from_numpy(np.ascontiguousarray(self.images[list(rows)])).float() / 255
        coloured = chosen.movedim(-1, 1) if chosen.ndim == 4 else chosen[:, None].expand(-1, 3, -1, -1)
        square = (self.size, self.size)
        pixels = nn.functional.interpolate(coloured, square, mode="bilinear", antialias=True, align_corners=False)
        labels = torch.tensor([self.labels[row] for row in rows])
        return Batch({"pixel_values": (pixels - _MEAN) / _DEVIATION}, labels, torch.tensor(list(rows)))


def tokenise(split: Split, tokenizer: PreTrainedTokenizerBase, max_length: int = 64) -> TokenisedSplit:
    """Tokenise every text, or pair of texts, cut to `max_length` tokens."""
    pairs = len(split) > 0 and not isinstance(split.inputs[0], str)
    texts = [list(part) for part in zip(*split.inputs, strict=True)] if pairs else [list(split.inputs)]
    encoded = tokenizer(*texts, truncation=True, max_length=max_length)
    segments = tuple(encoded["token_type_ids"]) if pairs and "token_type_ids" in encoded else ()
    labels = tuple(label for label in split.labels if not isinstance(label, str))
    return TokenisedSplit(tuple(encoded["input_ids"]), labels, segments, tokenizer.pad_token_id or 0)


def sorted_batches(split: EncodedSplit, size: int) -> Iterator[Batch]:
    """Every example once, from short to long: the order that pads least, for evaluation."""
    lengths = split.lengths
    by_length = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(by_length), size):
        yield split.collate(by_length[start : start + size])


def training_batches(split: EncodedSplit, size: int, steps: int, seed: int) -> list[Batch]:
    """Shuffled batches for `steps` steps, passing through the split as often as that takes.

    Each pass shuffles the examples, sorts pools of a few batches by length, and shuffles the
    batches. The result depends on nothing but the arguments, so rivals can share it.

    Raises:
        ValueError: the split has fewer than `size` examples, or `steps` is not positive.
    """
    lengths = split.lengths
    if not 0 < size <= len(lengths):
        raise ValueError(f"a batch must have between 1 and {len(lengths)} sentences, got {size}")
    if steps < 1:
        raise ValueError(f"steps must be positive, got {steps}")
    generator = torch.Generator().manual_seed(seed)
    chosen: list[list[int]] = []
    while len(chosen) < steps:
        chosen += _one_pass(lengths, size, generator)
    return [split.collate(rows) for rows in chosen[:steps]]


def _one_pass(lengths: Sequence[int], size: int, generator: torch.Generator) -> list[list[int]]:
    shuffled = torch.randperm(len(lengths), generator=generator).tolist()
    batches = []
    for start in range(0, len(shuffled), _POOL * size):
        pool = sorted(shuffled[start : start + _POOL * size], key=lengths.__getitem__)
        batches += [pool[i : i + size] for i in range(0, len(pool) - size + 1, size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def _pad(numbers: Sequence[Sequence[int]], filling: int) -> Tensor:
    padded = torch.full((len(numbers), max(map(len, numbers))), filling, dtype=torch.long)
    for i, row in enumerate(numbers):
        padded[i, : len(row)] = torch.tensor(row)
    return padded
