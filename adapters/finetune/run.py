"""One fine-tuning run, from its configuration to its folder: begun, or gone on with from its last checkpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from peft import PeftModel
from rich.console import Console
from safetensors import SafetensorError
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import EarlyStoppingCallback, PrinterCallback, TrainingArguments

from ..class_names import write_class_names
from ..evaluation.run_folder import run_folder
from ..quantisation_aware import QuantisationAwareCallback
from ..quiet import quiet
from .arguments import training_arguments
from .checkpoints import CheckpointError, last_complete
from .config import FinetuneConfig
from .config_file import dump, read_yaml
from .progress import RunLog, TrainingBar
from .report import write_report
from .tasks import Prepared, prepare
from .trainer import CheckpointKeeper, FinetuneTrainer

__all__ = ["RunResult", "finetune"]

_CONFIG, _LOG, _METRICS = "config.yaml", "metrics.jsonl", "metrics.json"


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Args:
        folder: of the run.
        metrics: what `metrics.json` holds.
    """

    folder: Path
    metrics: dict[str, Any]


def finetune(config: FinetuneConfig, console: Console, *, resume: bool = False) -> RunResult:
    """Fine-tune, and leave a folder with configuration, metrics, pictures, adapter and model card.

    In several processes, started by torchrun or accelerate, the first one writes.

    Args:
        config: of the run.
        console: where progress is shown.
        resume: go on with the run in the folder from its last complete checkpoint, to the result that it would have
            had; of a run that is complete its result is returned, and one that has not begun begins.

    Raises:
        ValueError, TypeError: the configuration does not fit the folder, the data or the model.
        CheckpointError, NonFiniteError: training could not go on, or the folder not be written; the last complete
            checkpoint is as it was.
    """
    folder = Path(config.output).expanduser().absolute()
    arguments = training_arguments(config, folder / "checkpoints")
    is_first = arguments.process_index == 0
    resume = resume and (folder / _CONFIG).is_file()  # killed before it wrote anything, it begins anew
    if resume:
        _check_same_run(config, folder)
        if (folder / _METRICS).is_file():
            return RunResult(folder, json.loads((folder / _METRICS).read_text("utf-8")))
    elif is_first:
        _check_new(folder)
    datasets.disable_progress_bars()
    with quiet(), arguments.main_process_first(desc="examples"):
        prepared = prepare(config)
    checkpoint = last_complete(folder / "checkpoints") if resume else None
    bar = TrainingBar(console) if is_first else None
    trainer = _trainer(config, prepared, arguments, bar, folder / _LOG)
    try:
        if is_first and not resume:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _CONFIG).write_text(dump(config), "utf-8")
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        course = list(trainer.state.log_history)
        measured = trainer.evaluate()  # of the best checkpoint: no part of the course
        return _finish(config, prepared, trainer, measured, course, folder)
    except (OSError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"a run must be able to write into its folder, got {reason}; {trainer.remedy()}"
        ) from error
    finally:
        if bar is not None:
            bar.close()


def _trainer(
    config: FinetuneConfig, prepared: Prepared, arguments: TrainingArguments, bar: TrainingBar | None, log: Path
) -> FinetuneTrainer:
    callbacks: list[Any] = [CheckpointKeeper(config.training.keep_checkpoints), RunLog(log)]
    if bar is not None:
        callbacks.append(bar)
    if config.training.early_stopping_patience is not None:
        callbacks.append(EarlyStoppingCallback(config.training.early_stopping_patience))
    if config.training.round_to_bits is not None:
        callbacks.append(QuantisationAwareCallback(config.training.round_to_bits))
    if arguments.fsdp and "transformer_cls_names_to_wrap" not in arguments.fsdp_plugin_args:
        arguments.fsdp_plugin_args["transformer_cls_names_to_wrap"] = _shardable(prepared.model)
    try:
        trainer = FinetuneTrainer(
            is_riemannian=config.training.optimizer == "riemannian",
            model=prepared.model,
            args=arguments,
            train_dataset=prepared.train,
            eval_dataset=prepared.validation,
            data_collator=prepared.collate,
            compute_metrics=prepared.measure,
            preprocess_logits_for_metrics=prepared.to_prediction,
            callbacks=callbacks,
        )
    except (RuntimeError, ValueError) as error:  # a logger that is not there, for instance
        raise ValueError(f"training must be what transformers' Trainer takes, got: {error}") from error
    trainer.remove_callback(PrinterCallback)
    if config.task != "causal-lm":
        # These models take the number of items of all parts of a batch and leave it out of the loss, which Trainer
        # then takes for a mean over the batch: gradients would be as many times too large as there are parts.
        trainer.model_accepts_loss_kwargs = False
    return trainer


def _shardable(model: PeftModel) -> list[str]:
    """The kinds of layers to shard one by one: not those around the embedding, which accelerate shards by itself."""
    base = model.get_base_model()
    around = [name for name, module in base.named_modules() if base.get_input_embeddings() in module.modules()]
    kinds = {type(base.get_submodule(name)).__name__ for name in around}
    return sorted(set(base._no_split_modules or ()) - kinds)


def _finish(
    config: FinetuneConfig,
    prepared: Prepared,
    trainer: FinetuneTrainer,
    measured: dict[str, float],
    course: list[dict[str, float]],
    folder: Path,
) -> RunResult:
    """Save the adapter and say what it reached; the metrics come last, for they mark a run as complete."""
    # Whole on the first process, also where the parameters are sharded.
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    # (which does not know the scales of 8-bit weights; a quantised base is never sharded)
    trained = get_model_state_dict(trainer.model, options=options) if config.quantisation == "none" else None
    model = trainer.accelerator.unwrap_model(trainer.model)
    numbers = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    adapter = sum(count for name, count in numbers.items() if "quic_" in name)
    metrics: dict[str, Any] = {
        "task": config.task,
        "model": config.model,
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step,
        "validation": {
            name.removeprefix("eval_"): value
            for name, value in measured.items()
            if name.startswith("eval_") and not name.endswith(("_runtime", "_per_second"))
        },
        "adapter_numbers": adapter,
        "other_trained_numbers": sum(numbers.values()) - adapter,
        "train_examples": len(prepared.train),
        "validation_examples": len(prepared.validation),
    }
    if trainer.is_world_process_zero():
        with run_folder(folder / "adapter") as scratch:
            model.save_pretrained(str(scratch), state_dict=trained)
            prepared.processor.save_pretrained(str(scratch))
            if prepared.classes is not None:
                write_class_names(scratch, prepared.classes)
        write_report(config, metrics, course, folder)
        (folder / _METRICS).write_text(json.dumps(metrics, indent=2) + "\n", "utf-8")
    trainer.accelerator.wait_for_everyone()
    return RunResult(folder, metrics)


def _check_new(folder: Path) -> None:
    if not folder.exists():
        return
    rule = "output must be a new folder or an empty one"
    if not folder.is_dir():
        raise ValueError(f"{rule}, got the file {folder}")
    checkpoints = folder / "checkpoints"  # empty where a run was killed before it wrote anything
    found = sorted(p.name for p in folder.iterdir() if p != checkpoints or not p.is_dir() or any(p.iterdir()))
    if found:
        hint = " (to go on with it, add --resume)" if (folder / _CONFIG).is_file() else ""
        raise ValueError(f"{rule}, got {folder}, which holds {found[0]}{hint}")


def _check_same_run(config: FinetuneConfig, folder: Path) -> None:
    """Another configuration would not lead to the result that the run would have had."""
    before, now = _flat(read_yaml(folder / _CONFIG)), _flat(config.model_dump(mode="json"))
    for key in sorted({*before, *now} - {"output"}):
        if before.get(key) != now.get(key):
            raise ValueError(
                f"--resume needs the configuration of the run, {key}: {before.get(key)!r}, got {now.get(key)!r}"
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
