"""Autocast kept out: a rotation in bfloat16 loses 1e-2 of its orthogonality."""

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["full_precision"]


def full_precision(device: torch.device) -> AbstractContextManager[None]:
    """A context in which products are taken in the dtype of their factors, also inside the user's autocast."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
