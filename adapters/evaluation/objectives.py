"""What a task minimises in training and measures after it, by its metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..finetune.metrics import classification_metrics, regression_metrics
from .batches import Batch
from .tasks import Metric, Split

__all__ = ["Objective", "objective_of", "score_batches"]

_NOT_PREDICTED = -100


@dataclass(frozen=True)
class Objective:
    """Loss and metric of a task.

    Args:
        metric: what is measured.
        mean: of the training labels of a regression, which are learnt in units of their spread.
        spread: their standard deviation.
    """

    metric: Metric
    mean: float = 0.0
    spread: float = 1.0

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy of classes or of the next token, or the mean squared error of a standardised number.

        Args:
            logits: shape (batch, classes), (batch, 1), or (batch, length, vocabulary); any precision.
            labels: shape (batch,), or (batch, length) of tokens.
        """
        logits = logits.float()
        if self.metric == "pearson":
            return nn.functional.mse_loss(logits.squeeze(-1), (labels.float() - self.mean) / self.spread)
        if self.metric == "perplexity":
            return _next_token_losses(logits, labels).mean()
        return nn.functional.cross_entropy(logits, labels)


def objective_of(metric: Metric, train: Split) -> Objective:
    """The objective of a task.

    Args:
        metric: the task's.
        train: its training examples: of a regression, they set the unit.

    Raises:
        ValueError: the metric needs generated text.
    """
    if metric == "exact_match":
        raise ValueError("a cell measures logits, got the metric 'exact_match', which needs generated text")
    if metric != "pearson":
        return Objective(metric)
    labels = torch.tensor(train.labels, dtype=torch.float64)
    return Objective(metric, float(labels.mean()), float(labels.std().clamp_min(1e-6)))


def _next_token_losses(logits: Tensor, tokens: Tensor) -> Tensor:
    """Negative log likelihood of each token but the first of each text, padding left out, shape (predicted,)."""
    wanted = tokens[:, 1:]
    is_predicted = wanted != _NOT_PREDICTED
    return nn.functional.cross_entropy(logits[:, :-1][is_predicted].float(), wanted[is_predicted], reduction="none")


@torch.no_grad()
def score_batches(metric: Metric, forward: Callable[[Batch], Tensor], batches: Iterable[Batch]) -> float:
    """The metric over all examples of the batches.

    Args:
        metric: "accuracy", "matthews", "pearson" or "perplexity".
        forward: logits of a batch.
        batches: at least one.
    """
    if metric == "perplexity":
        losses = torch.cat([_next_token_losses(forward(batch), batch.labels) for batch in batches])
        return math.exp(losses.double().mean())
    found = [(forward(batch).float(), batch.labels) for batch in batches]
    logits, labels = torch.cat([part for part, _ in found]), torch.cat([part for _, part in found])
    if metric == "pearson":
        return regression_metrics(logits.squeeze(-1).double().numpy(), labels.double().numpy())["pearson"]
    return classification_metrics(logits.argmax(-1).numpy(), labels.numpy())[metric]
