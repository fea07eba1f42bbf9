"""What a task is: examples to train on, examples to measure on, and the metric."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["METRICS", "Images", "Metric", "Split", "Suite", "Task", "TaskSpec", "divide", "unique"]

Suite = Literal["text", "image", "language"]
Metric = Literal["accuracy", "matthews", "pearson", "perplexity", "exact_match"]
METRICS: tuple[Metric, ...] = ("accuracy", "matthews", "pearson", "perplexity", "exact_match")

Images = NDArray[np.uint8]
Inputs = Any  # a sequence: texts, pairs, an array of images, or images that are decoded when asked for
Labels = tuple[Any, ...]  # numbers of classes, numbers or words: all of one kind


@dataclass(frozen=True, eq=False)
class Split:
    """Examples in a fixed order.

    Args:
        inputs: texts, pairs of texts, or images as uint8 of shape (N, height, width[, 3]).
        labels: class numbers, the numbers of a regression, or right answers in words; empty where the texts are to be
            predicted themselves.
    """

    inputs: Inputs
    labels: Labels

    def __post_init__(self) -> None:
        if len(self.labels) not in (0, len(self.inputs)):
            raise ValueError(
                f"a split must have a label for each input or none, got {len(self.labels)} labels "
                f"for {len(self.inputs)} inputs"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, count: int) -> Split:
        """The split cut down to its first `count` examples."""
        return Split(self.inputs[:count], self.labels[:count])

    def rest(self, count: int) -> Split:
        """The split without its first `count` examples."""
        return Split(self.inputs[count:], self.labels[count:])

    def select(self, rows: Sequence[int]) -> Split:
        """The examples of some rows, in their order."""
        inputs: Any = [self.inputs[row] for row in rows]
        if isinstance(self.inputs, np.ndarray):
            inputs = np.stack(inputs)
        return Split(inputs, tuple(self.labels[row] for row in rows) if self.labels else ())

    def digest(self) -> str:
        """SHA-256 of inputs and labels: two splits with the same digest hold the same examples in the same order."""
        hashed = hashlib.sha256(repr(self.labels).encode())
        for row in range(len(self)):
            example = self.inputs[row]
            hashed.update(example.tobytes() if isinstance(example, np.ndarray) else repr(example).encode())
        return hashed.hexdigest()


@dataclass(frozen=True, eq=False)
class Task:
    """Something to learn, and how it is measured.

    Args:
        name: its key among the tasks.
        title: what it is, in words.
        suite: "text", "image" or "language".
        metric: what is measured on the test split.
        classes: names of the classes in the order of their numbers; empty for a regression and for language.
        train, test: the examples; they have no example in common.
        backbone: the pretrained model it is learnt with unless another one is asked for.
        old: held-out text of the domain that the model knows already, to measure forgetting on.
        pixels: width and height that images are resized to.
    """

    name: str
    title: str
    suite: Suite
    metric: Metric
    classes: tuple[str, ...]
    train: Split
    test: Split
    backbone: str
    old: Split | None = None
    pixels: int = 56

    @property
    def n_outputs(self) -> int:
        """Numbers that the head gives for an example: one a class, one for a regression, none without a head."""
        return 0 if self.suite == "language" else max(1, len(self.classes))


@dataclass(frozen=True)
class TaskSpec:
    """What is known of a task before it is loaded.

    Args:
        name: its key among the tasks.
        suite: "text", "image" or "language".
        load: reads it from the cache folder, fetching what is missing.
        source: the package or the data set that holds it.
        licence: of the data, as its source says it.
        online: whether it needs the model hub.
    """

    name: str
    suite: Suite
    load: Callable[[Path | None], Task]
    source: str
    licence: str
    online: bool = False


def unique(examples: Sequence[tuple[str, Any]], without: frozenset[str] = frozenset()) -> list[tuple[str, Any]]:
    """The examples whose text is new: not empty, not repeated (the first is kept) and not in `without`."""
    kept: dict[str, Any] = {}
    for text, label in examples:
        if text and text not in without:
            kept.setdefault(text, label)
    return list(kept.items())


def divide(examples: Sequence[tuple[str, Any]], n_test: int) -> tuple[Split, Split]:
    """Training and test split by a fixed permutation, of which the first `n_test` are for the test."""
    order = np.random.RandomState(0).permutation(len(examples))
    return _select(examples, order[n_test:]), _select(examples, order[:n_test])


def _select(examples: Sequence[tuple[str, Any]], order: NDArray[np.int64]) -> Split:
    chosen = [examples[i] for i in order]
    return Split(tuple(text for text, _ in chosen), tuple(label for _, label in chosen))
