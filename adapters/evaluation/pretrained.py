"""Untouched models, each loaded once a process."""

from __future__ import annotations

import copy
from functools import lru_cache

from torch import nn

from .backbones import load_model
from .tasks import load_task

__all__ = ["fresh_model", "kept_model"]

_KEPT = 4  # three seeds and that of tuning, of the task that a process works on


def fresh_model(task: str, seed: int, backbone: str | None) -> nn.Module:
    """A model of the caller's own for a task, with the first head of the seed.

    Args:
        task: a name in `TASKS`.
        seed: of the head.
        backbone: instead of the task's own.
    """
    return copy.deepcopy(kept_model(task, seed, backbone))


@lru_cache(maxsize=_KEPT)
def kept_model(task: str, seed: int, backbone: str | None) -> nn.Module:
    """The same, for those who change nothing in it: all callers share it."""
    return load_model(load_task(task), seed, backbone).eval().requires_grad_(False)
