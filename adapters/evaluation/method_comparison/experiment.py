"""An experiment's folder: experiments/METHOD/NAME with adapter_config.json and perhaps training_params.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from peft import PeftConfig

from ..tasks.word_problems import TEMPLATE

__all__ = ["Experiment", "TrainingParams", "read_experiment"]

_ADAPTER = "adapter_config.json"
_PARAMS = "training_params.json"
_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class TrainingParams:
    """How an experiment is trained; names, meanings and defaults are those of PEFT's method_comparison.

    Args:
        model_id: a name on the hub or a local folder.
        dtype: of the base model's weights.
        max_seq_length: tokens of question and answer.
        batch_size, batch_size_eval: examples of a training step, and of a call that generates.
        max_steps, eval_steps: training steps, and after how many of them the validation problems are solved.
        seed: of the adapter's first values and the order of the examples.
        grad_norm_clip: largest norm of the gradient; 0 for any.
        optimizer_type, optimizer_kwargs: a class of `torch.optim` and its arguments.
        lr_scheduler: "cosine", with a warm-up of a tenth of the steps, or None.
        generation_kwargs: arguments of `generate`.
        query_template: of a question, with `{query}` in the place of its text.
        autocast_adapter_dtype: whether PEFT keeps the adapter's numbers in float32.
        attn_implementation: of transformers; None for its choice.
    """

    model_id: str = "meta-llama/Llama-3.2-3B"
    dtype: str = "bfloat16"
    max_seq_length: int = 768
    batch_size: int = 4
    batch_size_eval: int = 50
    max_steps: int = 5000
    eval_steps: int = 250
    seed: int = 0
    grad_norm_clip: float = 1.0
    optimizer_type: str = "AdamW"
    optimizer_kwargs: dict[str, Any] = field(default_factory=lambda: {"lr": 1e-4, "weight_decay": 0.1})
    lr_scheduler: str | None = "cosine"
    generation_kwargs: dict[str, Any] = field(default_factory=lambda: {"max_length": 800, "max_new_tokens": 300})
    query_template: str = TEMPLATE
    autocast_adapter_dtype: bool = True
    attn_implementation: str | None = None

    def __post_init__(self) -> None:
        for name in ("max_seq_length", "batch_size", "batch_size_eval", "max_steps", "eval_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.eval_steps > self.max_steps:
            raise ValueError(f"eval_steps must be at most max_steps, {self.max_steps}, got {self.eval_steps}")
        if self.dtype not in _DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, got {self.dtype!r}")
        if self.lr_scheduler not in (None, "cosine"):
            raise ValueError(f"lr_scheduler must be cosine or null, got {self.lr_scheduler!r}")
        if "{query}" not in self.query_template:
            raise ValueError(f"query_template must have {{query}} in it, got {self.query_template!r}")


@dataclass(frozen=True)
class Experiment:
    """What is run, and where its result goes.

    Args:
        name: METHOD/NAME, the last two parts of its folder.
        adapter: configuration of the adapter.
        params: of the training.
        results: folder `results` beside `experiments`.
    """

    name: str
    adapter: PeftConfig
    params: TrainingParams
    results: Path


def read_experiment(folder: Path) -> Experiment:
    """Read an experiment's folder.

    Raises:
        ValueError: the folder is not experiments/METHOD/NAME, has no adapter_config.json, or a value is not allowed.
    """
    folder = folder.absolute()
    if len(folder.parts) < 4 or folder.parts[-3] != "experiments" or not (folder / _ADAPTER).is_file():
        raise ValueError(f"an experiment must be a folder experiments/METHOD/NAME with {_ADAPTER}, got {folder}")
    path = folder / _PARAMS
    given = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    known = [entry.name for entry in fields(TrainingParams)]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f": the nearest is {near[0]}" if near else ""
            raise ValueError(f"{path.name} may have {', '.join(known)}, got {name}{hint}")
    adapter = PeftConfig.from_pretrained(str(folder))
    return Experiment("/".join(folder.parts[-2:]), adapter, TrainingParams(**given), folder.parents[2] / "results")
