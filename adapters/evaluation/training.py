"""The training loop and the measurement that every method on a task shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["LabelledBatch", "accuracy", "fit"]

_WARMUP = 0.06  # of the steps


class LabelledBatch(Protocol):
    """Anything that knows the class numbers of its examples, shape (batch,)."""

    @property
    def labels(self) -> Tensor: ...  # noqa: D102


_B = TypeVar("_B", bound=LabelledBatch)


def fit(
    forward: Callable[[_B], Tensor],
    groups: Sequence[tuple[Iterable[nn.Parameter], float]],
    batches: Sequence[_B],
    advance: Callable[[], None],
    begin: Callable[[torch.optim.Optimizer], object] | None = None,
) -> None:
    """Minimise the cross entropy of `forward(batch)`: one AdamW step a batch, no weight decay.

    The learning rates rise linearly over the first 6 % of the steps and then fall linearly to zero.

    Args:
        forward: logits of a batch, shape (batch, classes).
        groups: parameters with their peak learning rate.
        batches: what to train on, in order.
        advance: called after each step.
        begin: called with the optimizer before the first step.
    """
    optimizer = torch.optim.AdamW(
        [{"params": list(parameters), "lr": rate} for parameters, rate in groups], weight_decay=0.0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _ramp(step, len(batches)))
    if begin is not None:
        begin(optimizer)
    for batch in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(forward(batch), batch.labels).backward()
        optimizer.step()
        schedule.step()
        advance()


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
