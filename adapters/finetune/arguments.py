"""The arguments of transformers' Trainer that a configuration comes to, on the devices that there are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from .config import FinetuneConfig, TrainingConfig
from .tasks import check_metric

__all__ = ["training_arguments"]


def training_arguments(config: FinetuneConfig, checkpoints: Path) -> TrainingArguments:
    """The arguments of transformers' Trainer.

    Args:
        config: of the run.
        checkpoints: the folder for them.

    Raises:
        ValueError: the batch cannot be divided among the devices, or Trainer refuses an argument.
    """
    training = config.training
    metric = check_metric(config)
    batch = _part_of_batch(training)
    try:
        return TrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=training.num_train_epochs,
            max_steps=training.max_steps or -1,
            learning_rate=training.learning_rate,
            gradient_accumulation_steps=training.gradient_accumulation_steps,
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=training.eval_batch_size,
            seed=config.seed,
            load_best_model_at_end=True,
            metric_for_best_model=metric,
            greater_is_better=metric not in ("loss", "mse"),
            dataloader_drop_last=True,  # no step has fewer examples, whatever the number of processes
            restore_callback_states_from_checkpoint=True,  # how often the metric did not get better
            remove_unused_columns=False,
            label_names=["labels"],
            disable_tqdm=True,  # the bar is ours
            logging_nan_inf_filter=False,  # it would hide what we stop at
            **_schedule(training),
            **_passed_on(training),
        )
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"training must be what transformers' Trainer takes, got: {error}") from error


def _part_of_batch(training: TrainingConfig) -> int:
    """The examples that a device computes at once."""
    # Processes as every launcher says them, or the devices that one process divides a batch among.
    devices = int(os.environ.get("WORLD_SIZE", 1))
    if devices == 1 and not training.trainer_arguments.get("use_cpu"):
        devices = max(1, torch.cuda.device_count())
    parts = devices * training.gradient_accumulation_steps
    if training.batch_size % parts:
        raise ValueError(
            "training.batch_size must be a multiple of devices times gradient_accumulation_steps, got "
            f"{training.batch_size} for {devices} times {training.gradient_accumulation_steps}"
        )
    return training.batch_size // parts


def _schedule(training: TrainingConfig) -> dict[str, Any]:
    """An evaluation with each checkpoint, for the best one to be known."""
    every = training.checkpoint_every
    if every == "epoch":
        return {"eval_strategy": "epoch", "save_strategy": "epoch"}
    return {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": every, "save_steps": every}


def _passed_on(training: TrainingConfig) -> dict[str, Any]:
    """What the user says of Trainer's other arguments, over what they are here by default."""
    has_accelerator = torch.accelerator.is_available()
    passed = {
        "report_to": "none",
        "logging_steps": 10,
        "warmup_steps": 0.06,
        "use_cpu": not has_accelerator,  # else processes on CPUs do not find each other
        "dataloader_pin_memory": has_accelerator,
        **training.trainer_arguments,
    }
    if not passed.get("fsdp"):
        return passed
    sharding = {"state_dict_type": "SHARDED_STATE_DICT", **(passed.get("fsdp_config") or {})}
    if sharding["state_dict_type"] != "SHARDED_STATE_DICT":
        raise ValueError(
            "fsdp_config.state_dict_type must be SHARDED_STATE_DICT, for checkpoints are sharded, got "
            f"{sharding['state_dict_type']}"
        )
    return {**passed, "fsdp_config": sharding}
