"""The Trainer of a run: it stops at a loss that is no number, and leaves only whole checkpoints behind."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..optimizer import UndecayedAngles
from ..riemannian import RiemannianAdam, riemannian_groups
from .checkpoints import CheckpointError, last_complete, remove_old, seal

__all__ = ["CheckpointKeeper", "FinetuneTrainer", "NonFiniteError"]


class NonFiniteError(RuntimeError):
    """Training left the range of finite numbers."""


class FinetuneTrainer(UndecayedAngles, Trainer):
    """transformers' Trainer, with two more refusals: of a loss that is not finite, and of half a checkpoint.

    Weight decay is for modules trained in full, not for the adapter.

    Args:
        is_riemannian: whether rotations are stepped by :class:`~adapters.riemannian.RiemannianAdam`.
        options: as for Trainer.
    """

    optimizer: torch.optim.Optimizer | None

    def __init__(self, *, is_riemannian: bool, **options: Any) -> None:
        self._is_riemannian = is_riemannian
        super().__init__(**options)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The optimiser of the configuration."""
        if self._is_riemannian and self.optimizer is None:
            args = self.args
            groups = riemannian_groups(self.model if model is None else model, args.weight_decay)
            betas = (args.adam_beta1, args.adam_beta2)
            self.optimizer = RiemannianAdam(groups, args.learning_rate, betas=betas, eps=args.adam_epsilon)
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        return optimizer

    def create_accelerator_and_postprocess(self) -> None:
        """Shard on CPUs too, where `training.fsdp` is set: accelerate 1.15 does so on accelerators only."""
        super().create_accelerator_and_postprocess()
        state = self.accelerator.state
        if self.args.fsdp and state.distributed_type == DistributedType.MULTI_CPU:
            state.distributed_type = DistributedType.FSDP
            state.fsdp_plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """All validation examples: only of the training examples those that do not fill a batch are left out."""
        self.args.dataloader_drop_last = False
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.args.dataloader_drop_last = True

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Nothing beyond the end: from a checkpoint that training ended with, Trainer would take one step more."""
        saved = self.state.stateful_callbacks.get("TrainerControl")
        if isinstance(saved, dict) and saved["args"]["should_training_stop"]:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One forward and backward pass; every process stops at the loss of any that is not finite."""
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(self.accelerator.gather(loss)).all():
            raise NonFiniteError(self._sentence("a loss", "NaN or infinity"))
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The metrics of the validation examples; a loss of theirs that is not finite is the end, too."""
        measured: dict[str, float] = super().evaluate(*args, **kwargs)
        if not math.isfinite(measured["eval_loss"]):
            raise NonFiniteError(self._sentence("a validation loss", "NaN or infinity"))
        return measured

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        # The step after a finite loss may still have led to parameters that are not.
        if not all(parameter.isfinite().all() for parameter in model.parameters() if parameter.requires_grad):
            raise NonFiniteError(self._sentence("a trained parameter", "NaN or infinity"))
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            _find_best(self.args, self.state)
            if self.is_world_process_zero():
                seal(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")
        except (OSError, RuntimeError, SafetensorError) as error:
            # torch says of a full disk only that a position is unexpected.
            reason, free = str(error).partition("\n")[0], shutil.disk_usage(self.args.output_dir).free
            raise CheckpointError(
                f"a checkpoint must be written whole, got {type(error).__name__}: {reason}, at step "
                f"{self.state.global_step}, with {free:,} bytes free; {self.remedy()}"
            ) from error

    def _sentence(self, what: str, got: str) -> str:
        return (
            f"{what} must be finite, got {got} after {self.state.global_step} steps (a smaller "
            f"training.learning_rate or training.max_grad_norm may help); {self.remedy()}"
        )

    def remedy(self) -> str:
        """Where a run that had to stop stands, as the end of a sentence."""
        last = last_complete(Path(self.args.output_dir))
        return "no checkpoint was complete" if last is None else f"the last complete checkpoint is {last}"


class CheckpointKeeper(TrainerCallback):
    """Logs before each checkpoint, so that a resumed run logs the same, and removes old checkpoints after it.

    Args:
        keep: how many checkpoints to keep, besides the best.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The best checkpoint is where it is now, not where the run was when it was written."""
        _find_best(args, state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """The mean loss of a line starts anew where a run is resumed: let no line reach over a checkpoint."""
        control.should_log = control.should_log or control.should_save
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A new checkpoint is complete: older ones may go."""
        if state.is_world_process_zero:
            remove_old(Path(str(args.output_dir)), self._keep, state.best_global_step)


def _find_best(args: TrainingArguments, state: TrainerState) -> None:
    """Name the folder of the best checkpoint, for Trainer looks for it before shards are written into it."""
    best = Path(str(args.output_dir)) / f"checkpoint-{state.best_global_step}"
    if best.is_dir():
        state.best_model_checkpoint = str(best)
