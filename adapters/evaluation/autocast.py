"""The precision that a cell computes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .batches import Batch
from .cells import Precision

__all__ = ["computing_in", "forward_of"]


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """For the length of a context: matrix products in bfloat16 under torch's autocast, or float32 as it is.

    Parameters, their gradients and the optimizer's state stay in float32 either way.
    """
    if precision == "float32":
        yield
    elif torch.is_grad_enabled():
        # The backward of the fused attention takes longer in bfloat16 on a CPU than all other layers together.
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            yield
    else:
        with torch.autocast("cpu", torch.bfloat16):
            yield


def forward_of(model: nn.Module, precision: Precision) -> Callable[[Batch], Tensor]:
    """From a batch to the model's logits."""

    def forward(batch: Batch) -> Tensor:
        with computing_in(precision):
            logits: Tensor = model(**batch.inputs)
        return logits

    return forward
