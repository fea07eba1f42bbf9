"""What a run leaves for the eye: curves of loss and metric, and the model card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from matplotlib.figure import Figure

from ..base_name import PACKAGE
from .base import model_class
from .config import FinetuneConfig
from .config_file import dump
from .tasks import METRICS, check_metric

__all__ = ["write_report"]

_Log = Sequence[dict[str, float]]
_COLOURS = {"training": "#1f77b4", "validation": "#ff7f0e"}
_PIPELINES = {"causal-lm": "text-generation", "regression": "text-classification"}
"""What the hub calls a task, where that is not our name of it."""


def write_report(config: FinetuneConfig, metrics: dict[str, Any], log: _Log, folder: Path) -> None:
    """Draw the curves and write the model card, beside the run and into the folder of its adapter.

    Args:
        config: of the run.
        metrics: what it reached.
        log: the lines that Trainer logged.
        folder: of the run.
    """
    metric, best = check_metric(config), metrics["best_step"]
    _curves(log, {"training": "loss", "validation": "eval_loss"}, "loss", best, folder / "loss.png")
    pictures = "![Loss](loss.png)\n"
    if metric != "loss":
        _curves(log, {"validation": f"eval_{metric}"}, metric, best, folder / "metric.png")
        pictures += f"\n![{metric}](metric.png)\n"
    card = _card(config, metrics)
    (folder / "README.md").write_text(f"{card}\n## Course of the training\n\n{pictures}", "utf-8")
    (folder / "adapter" / "README.md").write_text(card, "utf-8")


def _curves(log: _Log, series: dict[str, str], label: str, best: int, file: Path) -> None:
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, key in series.items():
        points = [(line["step"], line[key]) for line in log if key in line]
        steps, values = zip(*points, strict=True) if points else ((), ())
        axes.plot(steps, values, marker=".", color=_COLOURS[name], label=name)
    axes.axvline(best, color="#999999", linestyle=":", label="the checkpoint chosen")
    axes.set(xlabel="step", ylabel=label)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=120)


def _card(config: FinetuneConfig, metrics: dict[str, Any]) -> str:
    ordered = sorted(metrics["validation"].items(), key=lambda item: METRICS[config.task].index(item[0]))
    reached = "".join(f"| {name} | {value:.4f} |\n" for name, value in ordered)
    in_full = f", and {metrics['other_trained_numbers']:,} more are trained in full (a new head)"
    versions = f"transformers {transformers.__version__}, PEFT {peft.__version__}, torch {torch.__version__}"
    return f"""---
base_model: {config.model}
library_name: peft
tags:
- quic
- {config.task}
pipeline_tag: {_PIPELINES.get(config.task, config.task)}
---

# A QuIC adapter for {config.model}

Task: {config.task}, on `{config.data.train}`.

The adapter has {metrics["adapter_numbers"]:,} trained numbers{in_full if metrics["other_trained_numbers"] else ""}.
It turns the features of the adapted layers by an orthogonal map and leaves their weights as they are.

## Results

On {metrics["validation_examples"]:,} validation examples, by the checkpoint of step {metrics["best_step"]} of \
{metrics["steps"]}, which was chosen on these examples:

| metric | value |
|---|---|
{reached}
## How to use it

```python
{_usage(config)}
```

## Training

{metrics["train_examples"]:,} examples, with {versions}. The configuration of `quic finetune`:

```yaml
{dump(config)}```
"""


def _usage(config: FinetuneConfig) -> str:
    """The lines that load the adapter, by plain PEFT and transformers wherever they can."""
    kind, name = model_class(config.task), json.dumps(config.model, ensure_ascii=False)
    is_package, has_classes = config.model.startswith(PACKAGE), config.task.endswith("classification")
    values = {"regression": ", num_labels=1"}.get(config.task, ", id2label=dict(enumerate(classes))" * has_classes)
    lines = [
        *["import json"] * has_classes,
        "from pathlib import Path\n",
        "import adapters  # registers the method; pip install qicircuits",
        *["from adapters.base_name import checkpoint_of"] * is_package,
        "from peft import PeftModel",
        f"from transformers import {kind}\n",
        'folder = Path("adapter")  # this one',
        *['classes = json.loads((folder / "classes.json").read_text("utf-8"))'] * has_classes,
        f"base = {kind}.from_pretrained({f'checkpoint_of({name})' if is_package else name}{values})",
        "model = PeftModel.from_pretrained(base, folder).eval()",
    ]
    return "\n".join(lines)
