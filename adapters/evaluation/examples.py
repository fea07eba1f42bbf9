"""The examples of a cell: what it trains on and what it is measured on, encoded once a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from .autocast import computing_in
from .backbones import encode, load_processor
from .batches import Batch, EncodedSplit, sorted_batches
from .cells import Cell, Precision, SplitName
from .objectives import Objective, objective_of
from .tasks import Split, Task, load_task

__all__ = ["EVALUATION_BATCH", "EmbeddedSplit", "Examples", "embed", "examples_of", "split_of"]

EVALUATION_BATCH = {"text": 128, "image": 64, "language": 8}
_HELD_OUT = 5  # one in so many training examples is set apart for tuning


@dataclass(frozen=True, eq=False)
class Examples:
    """What a cell trains on and is measured on.

    Args:
        task: whose they are.
        objective: loss and metric.
        train: to train on.
        test: to measure on; for tuning, training examples set apart.
    """

    task: Task
    objective: Objective
    train: EncodedSplit
    test: EncodedSplit

    def test_batches(self) -> list[Batch]:
        """The test examples in large batches of similar length."""
        return list(sorted_batches(self.test, EVALUATION_BATCH[self.task.suite]))


def split_of(task: Task, split: SplitName, train_limit: int | None, test_limit: int | None) -> tuple[Split, Split]:
    """The examples to train on and those to measure on.

    Args:
        task: whose.
        split: "test" for the task's own; "tuning" sets the last fifth of the training examples apart instead.
        train_limit: so many training examples at most, before any are set apart.
        test_limit: so many examples to measure on at most.
    """
    train = task.train if train_limit is None else task.train.first(train_limit)
    if split == "tuning":
        kept = len(train) - max(1, len(train) // _HELD_OUT)
        train, test = train.first(kept), train.rest(kept)
    else:
        test = task.test
    return train, test if test_limit is None else test.first(test_limit)


def examples_of(cell: Cell) -> Examples:
    """The examples of a cell; those of the cells before it are kept.

    Raises:
        ValueError: there is no such task, or its metric cannot be measured on logits.
        AssetError: its data could not be fetched.
    """
    return _examples(cell.task, cell.split, cell.train_limit, cell.test_limit, cell.max_length, cell.backbone)


@lru_cache(maxsize=16)
def _examples(
    name: str,
    split: SplitName,
    train_limit: int | None,
    test_limit: int | None,
    max_length: int,
    backbone: str | None,
) -> Examples:
    task = load_task(name)
    train, test = split_of(task, split, train_limit, test_limit)
    processor = load_processor(task, backbone, max_length)
    return Examples(task, objective_of(task.metric, train), encode(train, processor), encode(test, processor))


@dataclass(frozen=True, eq=False)
class EmbeddedSplit:
    """Examples as a frozen backbone sees them.

    Args:
        features: shape (examples, width).
        labels: shape (examples,).
        lengths: of the examples before: their batches are those of a model that is trained.
    """

    features: Tensor
    labels: Tensor
    lengths: Sequence[int]

    def collate(self, rows: Sequence[int]) -> Batch:
        """The features of these rows, as the input "features"."""
        chosen = torch.tensor(rows)
        return Batch({"features": self.features[chosen]}, self.labels[chosen], chosen)


@torch.no_grad()
def embed(model: nn.Module, split: EncodedSplit, precision: Precision) -> EmbeddedSplit:
    """What `model.features` gives for every example, float32, passing each through the backbone once."""
    features: list[Tensor] = []
    labels: list[Tensor] = []
    rows: list[Tensor] = []
    for batch in sorted_batches(split, EVALUATION_BATCH["image"]):
        with computing_in(precision):
            features.append(model.features(**batch.inputs).float())  # type: ignore[operator]
        labels.append(batch.labels)
        rows.append(batch.rows)
    back = torch.cat(rows).argsort()
    return EmbeddedSplit(torch.cat(features)[back], torch.cat(labels)[back], split.lengths)
