"""The training loop and the measurement that every method on a task shares."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["DivergedError", "LabelledBatch", "StepLog", "accuracy", "fit"]

_WARMUP = 0.06  # of the steps


class DivergedError(RuntimeError):
    """A training loss is infinite or not a number."""


class LabelledBatch(Protocol):
    """Anything that knows the class numbers of its examples, shape (batch,)."""

    @property
    def labels(self) -> Tensor: ...  # noqa: D102


@dataclass(frozen=True)
class StepLog:
    """What happened in each training step.

    Args:
        losses: before the step, of its batch.
        seconds: of the processor that it took; those of the clock would count what other processes take, too.
    """

    losses: tuple[float, ...]
    seconds: tuple[float, ...]


_B = TypeVar("_B", bound=LabelledBatch)


def fit(
    forward: Callable[[_B], Tensor],
    groups: Sequence[tuple[Iterable[nn.Parameter], float]],
    batches: Sequence[_B],
    advance: Callable[[], None],
    begin: Callable[[torch.optim.Optimizer], object] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
) -> StepLog:
    """Minimise `loss(forward(batch), batch.labels)`: one AdamW step a batch, no weight decay.

    The learning rates rise linearly over the first 6 % of the steps and then fall linearly to zero.

    Args:
        forward: logits of a batch, shape (batch, classes).
        groups: parameters with their peak learning rate.
        batches: what to train on, in order.
        advance: called after each step.
        begin: called with the optimizer before the first step.
        loss: the mean over the batch, from logits and labels; the cross entropy of classes by default.

    Raises:
        DivergedError: a loss is not finite.
    """
    optimizer = torch.optim.AdamW(
        [{"params": list(parameters), "lr": rate} for parameters, rate in groups], weight_decay=0.0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _ramp(step, len(batches)))
    if begin is not None:
        begin(optimizer)
    losses, seconds = [], []
    for batch in batches:
        started = time.process_time()
        optimizer.zero_grad()
        mean = loss(forward(batch), batch.labels)
        losses.append(mean.item())
        if not math.isfinite(losses[-1]):
            raise DivergedError(f"the training loss must stay finite, got {losses[-1]} at step {len(losses)}")
        mean.backward()
        optimizer.step()
        schedule.step()
        seconds.append(time.process_time() - started)
        advance()
    return StepLog(tuple(losses), tuple(seconds))


def _ramp(step: int, steps: int) -> float:
    warmup = max(1.0, _WARMUP * steps)
    return min((step + 1) / warmup, max(0.0, (steps - step) / (steps - warmup + 1)))


@torch.no_grad()
def accuracy(forward: Callable[[_B], Tensor], batches: Iterable[_B], advance: Callable[[], None]) -> float:
    """Share of the examples whose largest logit is at their class, between 0 and 1."""
    right = total = 0
    for batch in batches:
        right += int((forward(batch).argmax(-1) == batch.labels).sum())
        total += len(batch.labels)
        advance()
    return right / total
