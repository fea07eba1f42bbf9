"""The methods that are compared on a task: a trained head alone, the QuIC adapter, and LoRA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import Tensor

from ..choices import ParameterMap
from .batches import Batch
from .classifier import SentenceClassifier
from .progress import StepProgress
from .rivals.peers import peer_config
from .training import accuracy, fit
from .trial import Trial

__all__ = [
    "HEAD_RATE",
    "LORA_RATE",
    "QUIC_RATES",
    "Outcome",
    "lora_config",
    "quic_config",
    "train_adapter",
    "train_head",
]

# Peak learning rates, chosen on 1,000 sentences held out from the training set: the best of 2e-3, 5e-3 and 1e-2
# in `python -m adapters.evaluation.tuning`. For the head, 3e-3 to 3e-2 differ by less than 0.2 points over three
# seeds. The test set had no part in it.
HEAD_RATE = 1e-2
LORA_RATE = 2e-3
QUIC_RATES: dict[ParameterMap, float] = {"cayley": 5e-3, "exponential": 5e-3, "rbs": 1e-2}

_TARGETS = ["query", "value"]


@dataclass(frozen=True)
class Outcome:
    """What a method reached.

    Args:
        method: its name.
        adapter_numbers: trained numbers of the adapter.
        head_numbers: trained numbers of the classification head.
        n_bytes: size of the saved weights on disk, head included.
        accuracy: share of the test sentences that are classified rightly.
    """

    method: str
    adapter_numbers: int
    head_numbers: int
    n_bytes: int
    accuracy: float


@dataclass(frozen=True)
class _Embedded:
    """A batch as the frozen encoder sees it: features of shape (batch, hidden size)."""

    features: Tensor
    labels: Tensor


def quic_config(parameter_map: ParameterMap = "cayley") -> PeftConfig:
    """Orders (1, 2) on query and value, one block."""
    values = {"orders": (1, 2), "n_blocks": 1, "parameter_map": parameter_map}
    return peer_config("quic", values, _TARGETS, modules_to_save=["head"])


def lora_config() -> PeftConfig:
    """Rank 8 on query and value, with PEFT's usual scaling of 2."""
    return peer_config("lora", {"r": 8}, _TARGETS, modules_to_save=["head"])


def train_head(trial: Trial, rate: float, folder: Path, progress: StepProgress) -> Outcome:
    """Linear probe: the encoder stays as it is, so each sentence passes through it once.

    Args:
        trial: what to train and test on.
        rate: peak learning rate.
        folder: an existing folder for the saved head.
        progress: where the steps are shown.
    """
    model = trial.classifier()
    with progress.step("Linear probe: embed", len(trial.train) + len(trial.test)) as advance:
        train = _embed(model, trial.train, advance)
        test = _embed(model, trial.test, advance)
    with progress.step("Linear probe: train the head", len(train)) as advance:
        fit(lambda batch: model.head(batch.features), [(model.head.parameters(), rate)], train, advance)
    with progress.step("Linear probe: evaluate", len(test)) as advance:
        reached = accuracy(lambda batch: model.head(batch.features), test, advance)
    saved = folder / "head.safetensors"
    save_file(model.head.state_dict(), saved)
    numbers = sum(p.numel() for p in model.head.parameters())
    return Outcome("linear probe", 0, numbers, saved.stat().st_size, reached)


@torch.no_grad()
def _embed(model: SentenceClassifier, batches: list[Batch], advance: Callable[[], None]) -> list[_Embedded]:
    embedded = []
    for batch in batches:
        embedded.append(_Embedded(model.features(**batch.inputs), batch.labels))
        advance()
    return embedded


def train_adapter(
    trial: Trial, name: str, config: PeftConfig, rate: float, folder: Path, progress: StepProgress
) -> tuple[Outcome, PeftModel]:
    """Fine-tune an adapter and the head together, measure, and save.

    Args:
        trial: what to train and test on.
        name: of the method, as reported.
        config: the adapter's configuration.
        rate: peak learning rate of the adapter; that of the head is `HEAD_RATE`.
        folder: where the adapter is saved.
        progress: where the steps are shown.

    Returns:
        The outcome and the fine-tuned model, in evaluation mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(trial.seed)
        model = get_peft_model(trial.classifier(), config)
    trainable = {key: p for key, p in model.named_parameters() if p.requires_grad}
    head = [p for key, p in trainable.items() if ".head." in key]
    adapter = [p for key, p in trainable.items() if ".head." not in key]

    def logits(batch: Batch) -> Tensor:
        return model(**batch.inputs)

    with progress.step(f"{name}: fine-tune", len(trial.train)) as advance:
        fit(logits, [(adapter, rate), (head, HEAD_RATE)], trial.train, advance)
    model.eval()
    with progress.step(f"{name}: evaluate", len(trial.test)) as advance:
        reached = accuracy(logits, trial.test, advance)
    model.save_pretrained(folder)
    outcome = Outcome(
        method=name,
        adapter_numbers=sum(p.numel() for p in adapter),
        head_numbers=sum(p.numel() for p in head),
        n_bytes=(folder / "adapter_model.safetensors").stat().st_size,
        accuracy=reached,
    )
    return outcome, model
