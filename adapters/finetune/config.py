"""FinetuneConfig: everything that a fine-tuning run is told, checked before any work."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from transformers import TrainingArguments

from ..config import QuICConfig

__all__ = ["TRAINER_KEYS", "AdapterKeys", "DataConfig", "FinetuneConfig", "Task", "TrainingConfig"]

Task = Literal["text-classification", "regression", "causal-lm", "image-classification"]

_OWN = frozenset(
    {
        # What keys of ours set, ...
        *("output_dir", "per_device_train_batch_size", "per_device_eval_batch_size", "seed", "data_seed"),
        *("save_strategy", "save_steps", "save_total_limit", "eval_strategy", "eval_steps", "eval_on_start"),
        *("load_best_model_at_end", "metric_for_best_model", "greater_is_better", "resume_from_checkpoint"),
        # ... and what a run that can be resumed, and has its own progress and folder, cannot leave open.
        *("save_only_model", "save_on_each_node", "ignore_data_skip", "auto_find_batch_size", "disable_tqdm"),
        *("restore_callback_states_from_checkpoint", "enable_jit_checkpoint", "logging_nan_inf_filter"),
        *(
            "remove_unused_columns",
            "label_names",
            "prediction_loss_only",
            "batch_eval_metrics",
            "include_for_metrics",
        ),
        *("do_train", "do_eval", "do_predict", "eval_delay", "local_rank", "dataloader_drop_last"),
        *("log_level", "log_level_replica", "log_on_each_node", "accelerator_config", "debug"),
    }
)
_OF_OTHERS = frozenset({"optim", "optim_args", "optim_target_modules"})
TRAINER_KEYS = frozenset(field.name for field in fields(TrainingArguments)) - _OWN
"""The arguments of transformers' Trainer that a run passes on as they are."""

AdapterKeys = {
    field.name: str(field.metadata["help"])
    for field in fields(QuICConfig)
    if field.name in QuICConfig.__annotations__
}
"""What may be said of the adapter, with the explanation of each."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class DataConfig(_Section):
    """Where the examples are, and in which columns."""

    train: str = Field(
        description="Examples to train on: a file .csv, .tsv, .json, .jsonl, .parquet or .txt, a folder of images "
        "with a subfolder for each class, `package:movie-polarity`, or the name of a data set on the hub."
    )
    validation: str | None = Field(
        None, description="Examples to evaluate on, as `train`; none splits a share of `train` off."
    )
    validation_share: float = Field(
        0.1, gt=0, lt=1, description="The share of `train` to evaluate on where there is no `validation`."
    )
    subset: str | None = Field(None, description="The configuration of a data set on the hub, as `sst2` of `glue`.")
    train_split: str = Field("train", description="The split to train on; `train[:500]` takes its first 500 rows.")
    validation_split: str | None = Field(
        None,
        description="The split to evaluate on, of `validation` or else of `train`; none takes that of a file.",
    )
    text: str = Field("text", description="Column of the texts; of one, `causal-lm` learns every token and the end.")
    text_pair: str | None = Field(None, description="Column of the second texts, for tasks on pairs.")
    image: str = Field("image", description="Column of the images.")
    label: str = Field("label", description="Column of the classes, or of the numbers of a regression.")
    max_length: int = Field(128, ge=2, description="Tokens that a text, or pair of texts, is cut to.")


class TrainingConfig(_Section):
    """How long, how fast and in which batches; any other key is an argument of transformers' Trainer."""

    model_config = ConfigDict(extra="allow", frozen=True)

    num_train_epochs: float = Field(3.0, gt=0, description="Passes over the training examples.")
    max_steps: int | None = Field(None, ge=1, description="Optimiser steps, instead of `num_train_epochs`.")
    learning_rate: float = Field(5e-3, gt=0, description="Peak learning rate.")
    optimizer: Literal["adamw", "riemannian"] = Field(
        "adamw",
        description="`adamw`, or what Trainer's `optim` says instead; or `riemannian`: Adam on the rotations, "
        "whatever `parameter_map` gives them, and AdamW for the rest.",
    )
    batch_size: int = Field(
        32, ge=1, description="Examples of one step: over all processes and accumulated gradients together."
    )
    eval_batch_size: int = Field(64, ge=1, description="Examples that a process evaluates at once.")
    gradient_accumulation_steps: int = Field(1, ge=1, description="Parts that a batch is computed in, one by one.")
    checkpoint_every: int | Literal["epoch"] = Field(
        "epoch", description="Steps between checkpoints, each with an evaluation; or `epoch`."
    )
    keep_checkpoints: int = Field(2, ge=1, description="Checkpoints to keep; the best one is kept besides.")
    metric: str | None = Field(
        None,
        description="What the best checkpoint is chosen by: `accuracy`, `f1`, `matthews`, `pearson`, `spearman`, "
        "`mse`, `loss`; none takes the first of the task.",
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="Evaluations without a better `metric` after which training stops; none never does."
    )
    round_to_bits: Literal[8, 4, 1] | None = Field(
        None,
        description="Width, `8`, `4` or `1`, of the packed file that the adapter is meant for: every forward has its "
        "numbers rounded to it, and the steps move unrounded ones; none trains them as they are.",
    )

    @model_validator(mode="after")
    def _check_steps(self) -> TrainingConfig:
        if isinstance(self.checkpoint_every, int) and self.checkpoint_every < 1:
            raise ValueError(f"training.checkpoint_every must be positive or epoch, got {self.checkpoint_every}")
        if self.batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                "training.batch_size must be a multiple of gradient_accumulation_steps, got "
                f"{self.batch_size} and {self.gradient_accumulation_steps}"
            )
        if self.round_to_bits is not None and self.trainer_arguments.get("fsdp"):
            raise ValueError(
                "training.round_to_bits needs numbers that are not sharded, got training.fsdp: "
                f"{self.trainer_arguments['fsdp']}"
            )
        if self.optimizer == "riemannian" and (given := sorted(_OF_OTHERS & self.trainer_arguments.keys())):
            raise ValueError(
                f"training.optimizer: riemannian leaves no other choice of an optimiser, got training.{given[0]}"
            )
        return self

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """The arguments that are passed on to transformers' Trainer as they are."""
        return dict(self.model_extra or {})


class FinetuneConfig(_Section):
    """One fine-tuning run."""

    model: str = Field(
        description="The checkpoint to adapt: a folder, a name on the hub, or, of those that come in packages, "
        "`package:all-MiniLM-L6-v2` or `package:SmolLM2-135M`."
    )
    task: Task = Field(
        "text-classification",
        description="What to learn: `text-classification`, `regression`, `causal-lm` or `image-classification`; for "
        "pairs of texts, set `data.text_pair`.",
    )
    output: str = Field(description="Folder of the run, new or empty.")
    seed: int = Field(0, ge=0, description="Seed of the order of the examples, of the new head, and of dropout.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Type of the frozen weights; the adapter's numbers are float32."
    )
    quantisation: Literal["none", "8bit", "nf4", "int8"] = Field(
        "none",
        description="Bits of the frozen weights: `8bit` and `nf4` (4 bits) of bitsandbytes, `int8` of torchao.",
    )
    data: DataConfig = Field(description="The examples; see below.")
    adapter: dict[str, Any] = Field(
        default_factory=dict,
        description="The adapter; see below. By default every linear layer, orders 1 and 2, eight shared blocks.",
    )
    training: TrainingConfig = Field(
        default_factory=lambda: TrainingConfig.model_validate({}), description="The training; see below."
    )
