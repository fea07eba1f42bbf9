"""Tokenised sentences in padded batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from .tasks import Split

__all__ = ["Batch", "TokenisedSplit", "sorted_batches", "tokenise", "training_batches"]

_POOL = 8  # batches that are sorted by length together: fewer padded tokens, still a random order


@dataclass(frozen=True)
class TokenisedSplit:
    """Token numbers of each sentence, special tokens included, and the class numbers."""

    token_ids: tuple[list[int], ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True)
class Batch:
    """Sentences padded to the longest among them.

    Args:
        input_ids: token numbers, zero where padded, shape (batch, length).
        attention_mask: one on tokens and zero on padding, shape (batch, length).
        labels: class numbers, shape (batch,).
        rows: where the sentences stand in their split, shape (batch,).
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    rows: Tensor


def tokenise(split: Split, tokenizer: PreTrainedTokenizerBase, max_length: int = 64) -> TokenisedSplit:
    """Tokenise every sentence, cut to `max_length` tokens."""
    encoded = tokenizer(list(split.texts), truncation=True, max_length=max_length)
    return TokenisedSplit(tuple(encoded["input_ids"]), split.labels)


def sorted_batches(split: TokenisedSplit, size: int) -> Iterator[Batch]:
    """Every sentence once, from short to long: the order that pads least, for evaluation."""
    by_length = sorted(range(len(split)), key=lambda row: len(split.token_ids[row]))
    for start in range(0, len(by_length), size):
        yield _pad(split, by_length[start : start + size])


def training_batches(split: TokenisedSplit, size: int, steps: int, seed: int) -> list[Batch]:
    """Shuffled batches for `steps` steps, passing through the split as often as that takes.

    Each pass shuffles the sentences, sorts pools of a few batches by length, and shuffles the
    batches. The result depends on nothing but the arguments, so rivals can share it.

    Raises:
        ValueError: the split has fewer than `size` sentences, or `steps` is not positive.
    """
    if not 0 < size <= len(split):
        raise ValueError(f"a batch must have between 1 and {len(split)} sentences, got {size}")
    if steps < 1:
        raise ValueError(f"steps must be positive, got {steps}")
    generator = torch.Generator().manual_seed(seed)
    chosen: list[list[int]] = []
    while len(chosen) < steps:
        chosen += _one_pass(split, size, generator)
    return [_pad(split, rows) for rows in chosen[:steps]]


def _one_pass(split: TokenisedSplit, size: int, generator: torch.Generator) -> list[list[int]]:
    shuffled = torch.randperm(len(split), generator=generator).tolist()
    batches = []
    for start in range(0, len(shuffled), _POOL * size):
        pool = sorted(shuffled[start : start + _POOL * size], key=lambda row: len(split.token_ids[row]))
        batches += [pool[i : i + size] for i in range(0, len(pool) - size + 1, size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def _pad(split: TokenisedSplit, rows: list[int]) -> Batch:
    width = max(len(split.token_ids[row]) for row in rows)
    input_ids = torch.zeros(len(rows), width, dtype=torch.long)
    attention_mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        tokens = split.token_ids[row]
        input_ids[i, : len(tokens)] = torch.tensor(tokens)
        attention_mask[i, : len(tokens)] = 1
    labels = torch.tensor([split.labels[row] for row in rows])
    return Batch(input_ids, attention_mask, labels, torch.tensor(rows))
