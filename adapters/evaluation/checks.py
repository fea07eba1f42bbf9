"""What must be true of a trained adapter: its file, its merged weights and its circuits are the same map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor, nn

from ..verify import verify_adapter
from .batches import Batch
from .progress import StepProgress
from .trial import Trial

__all__ = ["CheckError", "Checks", "check_adapter"]

_SAMPLE = 4  # test batches on which logits are compared, from short sentences to long ones
_MERGE_LIMIT = 1e-4  # of a logit in float32; a logit is of the order of 1


class CheckError(RuntimeError):
    """A trained adapter is not the map that its file, its merged weights or its circuits give."""


@dataclass(frozen=True)
class Checks:
    """How exactly the adapter survives what is done with it.

    Args:
        reload_deviation: largest difference of a logit after saving and loading.
        merge_deviation: largest difference of a logit after merging into the weights.
        blocks: how many blocks were compiled to a circuit.
        circuit_deviation: largest difference of an entry between circuit and adapter, as trained (float32).
        circuit_deviation_float64: the same, with both recomputed in float64.
    """

    reload_deviation: float
    merge_deviation: float
    blocks: int
    circuit_deviation: float
    circuit_deviation_float64: float


def check_adapter(trial: Trial, model: PeftModel, saved: Path, progress: StepProgress) -> Checks:
    """Reload, merge, compile and verify a fine-tuned adapter.

    Args:
        trial: what it was trained and tested on.
        model: the fine-tuned model, in evaluation mode; left as it is.
        saved: the folder it was saved to.
        progress: where the steps are shown.

    Raises:
        CheckError: reloading changes a logit at all, merging by more than 1e-4, or a circuit is not its block.
    """
    sample = trial.test[:: max(1, len(trial.test) // _SAMPLE)]
    with progress.step("Save and reload", 2 * len(sample)) as advance:
        trained = _logits(model, sample, advance)
        reloaded = PeftModel.from_pretrained(trial.classifier(), str(saved)).eval()
        reload_deviation = _largest(trained, _logits(reloaded, sample, advance))
        _require("the reloaded adapter's logits", reload_deviation, 0.0)
    with progress.step("Merge", len(sample)) as advance:
        merged = reloaded.merge_and_unload()
        merge_deviation = _largest(trained, _logits(merged, sample, advance))
        _require("the merged model's logits", merge_deviation, _MERGE_LIMIT)
    with progress.step("Compile and verify every block", 2) as advance:
        single = verify_adapter(model)
        advance()
        double = verify_adapter(model, dtype=torch.float64)
        advance()
    for verification in (single, double):
        if not verification.passed:
            raise CheckError(f"the circuits must be the adapter, got {verification}")
    return Checks(
        reload_deviation=reload_deviation,
        merge_deviation=merge_deviation,
        blocks=len(single.blocks),
        circuit_deviation=single.largest_deviation,
        circuit_deviation_float64=double.largest_deviation,
    )


@torch.no_grad()
def _logits(model: nn.Module, batches: Sequence[Batch], advance: Callable[[], None]) -> Tensor:
    logits = []
    for batch in batches:
        logits.append(model(**batch.inputs))
        advance()
    return torch.cat(logits)


def _largest(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def _require(what: str, deviation: float, limit: float) -> None:
    if not deviation <= limit:
        raise CheckError(f"{what} must be within {limit:g} of the trained adapter's, got {deviation:.2e}")
