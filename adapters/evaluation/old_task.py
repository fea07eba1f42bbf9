"""What a model can still do of what it could before it was fine-tuned."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from ..finetune.metrics import regression_metrics
from .autocast import forward_of
from .backbones import encode, load_processor
from .batches import EncodedSplit, sorted_batches
from .cells import Cell, Precision
from .examples import EVALUATION_BATCH, embed
from .objectives import score_batches
from .pretrained import kept_model
from .tasks import load_task

__all__ = ["old_language_score", "old_text_score"]

_OLD, _OLD_OF_IT = "valence", "amazon"  # and the old task where the new one is valence itself
_TRAIN, _TEST = 1000, 500
_RIDGE = 1e-2


def old_text_score(model: nn.Module, cell: Cell) -> float:
    """Pearson's correlation of the valence of newspaper sentences with a fixed linear map of the encoder's features.

    The map is a ridge regression on the features of the untouched encoder, on 1,000 other sentences.

    Args:
        model: a sentence encoder under a head, fine-tuned or not.
        cell: says how text is cut and computed with.
    """
    name = _OLD_OF_IT if cell.task == _OLD else _OLD
    weights, test, mean = _probe_of(name, cell.max_length, cell.backbone, cell.precision)
    embedded = embed(model, test, cell.precision)
    predicted = (embedded.features.double() - mean) @ weights
    return regression_metrics(predicted.numpy(), embedded.labels.double().numpy())["pearson"]


@lru_cache(maxsize=4)
def _probe_of(
    name: str, max_length: int, backbone: str | None, precision: Precision
) -> tuple[Tensor, EncodedSplit, Tensor]:
    """Weights of the ridge regression, the sentences to measure on, and the mean features."""
    task = load_task(name)
    processor = load_processor(task, backbone, max_length)
    train = embed(kept_model(name, 0, backbone), encode(task.train.first(_TRAIN), processor), precision)
    features, labels = train.features.double(), train.labels.double()
    mean = features.mean(0)
    x, y = features - mean, labels - labels.mean()
    ridge = _RIDGE * x.square().sum(0).mean() * torch.eye(x.shape[1], dtype=x.dtype)
    return torch.linalg.solve(x.T @ x + ridge, x.T @ y), encode(task.test.first(_TEST), processor), mean


def old_language_score(model: nn.Module, cell: Cell) -> float:
    """Perplexity of held-out text of the domain that the language model knows already.

    Args:
        model: a language model, fine-tuned or not.
        cell: says which task's old domain, how much of it, and how text is cut and computed with.

    Raises:
        ValueError: the task has no old domain.
    """
    task = load_task(cell.task)
    if task.old is None:
        raise ValueError(
            f"a task of the suite 'language' needs an old domain to measure forgetting, got {cell.task!r}"
        )
    old = task.old if cell.test_limit is None else task.old.first(cell.test_limit)
    encoded = encode(old, load_processor(task, cell.backbone, cell.max_length))
    return score_batches(
        "perplexity", forward_of(model, cell.precision), sorted_batches(encoded, EVALUATION_BATCH["language"])
    )
