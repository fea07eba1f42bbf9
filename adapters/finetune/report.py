"""What a run leaves for the eye: curves of loss and metric, and the model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from matplotlib.figure import Figure

from .config import FinetuneConfig
from .config_file import dump

__all__ = ["write_report"]

_Log = Sequence[dict[str, float]]


def write_report(config: FinetuneConfig, metrics: dict[str, Any], log: _Log, folder: Path) -> None:
    """Draw the curves and write the model card, beside the run and into the folder of its adapter.

    Args:
        config: of the run.
        metrics: what it reached.
        log: the lines that Trainer logged.
        folder: of the run.
    """
    metric = next(iter(name for name in metrics["validation"] if name != "loss"), "loss")
    _curves(log, {"training": "loss", "validation": "eval_loss"}, "loss", folder / "loss.png")
    pictures = "![Loss](loss.png)\n"
    if metric != "loss":
        _curves(log, {"validation": f"eval_{metric}"}, metric, folder / "metric.png")
        pictures += f"\n![{metric}](metric.png)\n"
    card = _card(config, metrics)
    (folder / "README.md").write_text(f"{card}\n## Course of the training\n\n{pictures}", "utf-8")
    (folder / "adapter" / "README.md").write_text(card, "utf-8")


def _curves(log: _Log, series: dict[str, str], label: str, file: Path) -> None:
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, key in series.items():
        points = [(line["step"], line[key]) for line in log if key in line]
        axes.plot([step for step, _ in points], [value for _, value in points], marker=".", label=name)
    axes.set(xlabel="step", ylabel=label)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=120)


def _card(config: FinetuneConfig, metrics: dict[str, Any]) -> str:
    reached = "".join(f"| {name} | {value:.4f} |\n" for name, value in metrics["validation"].items())
    versions = f"transformers {transformers.__version__}, PEFT {peft.__version__}, torch {torch.__version__}"
    return f"""---
base_model: {config.model}
library_name: peft
tags:
- quic
- {config.task}
---

# A QuIC adapter for {config.model}

Task: {config.task}, on `{config.data.train}`. The adapter has {metrics["adapter_numbers"]:,} trained numbers, and
{metrics["other_trained_numbers"]:,} more are trained in full (a new head). It turns the features of the adapted
layers by an orthogonal map and leaves their weights as they are.

## Results

On {metrics["validation_examples"]:,} validation examples, by the checkpoint of step {metrics["best_step"]} of
{metrics["steps"]}, which was chosen on these examples:

| metric | value |
|---|---|
{reached}
## How to use it

```python
import adapters  # registers the method; pip install qicircuits
from peft import PeftModel

model = PeftModel.from_pretrained(base_model, "adapter")
```

## Training

{metrics["train_examples"]:,} examples, with {versions}. The configuration of `quic finetune`:

```yaml
{dump(config)}```
"""
