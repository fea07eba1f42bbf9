"""The JSON that PEFT's method_comparison writes and its tables read."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .experiment import Experiment

if TYPE_CHECKING:
    from .run import TrainingLog

__all__ = ["write_result"]

_PACKAGES = ("transformers", "peft", "datasets", "torch")


def write_result(experiment: Experiment, model: nn.Module, log: TrainingLog, file_size: int, started: float) -> Path:
    """Write `results/METHOD--NAME.json`; an earlier result is replaced as a whole.

    The entries are `run_info`, `train_info` and `meta_info`, as of peft's repository in 2026. Commit hashes and what
    the hub knows about model and data are null, and forgetting on Wikipedia is not measured.

    Args:
        experiment: what was run.
        model: the trained model.
        log: of its training.
        file_size: of the saved adapter, in bytes.
        started: seconds since the epoch.

    Returns:
        The path of the result.
    """
    unknown = {"sha": None, "created_at": None}
    content = {
        "run_info": {
            "created_at": datetime.fromtimestamp(started, UTC).replace(microsecond=0).isoformat(),
            "total_time": time.time() - started,
            "experiment_name": experiment.name,
            "peft_branch": "main",
            "train_config": asdict(experiment.params),
            "peft_config": {name: _plain(value) for name, value in experiment.adapter.to_dict().items()},
            "error_msg": "",
        },
        "train_info": _train_info(model, log, file_size),
        "meta_info": {
            "model_info": unknown,
            "dataset_info": {"metamath": unknown, "gsm8k": unknown},
            "package_info": _package_info(),
            "system_info": _system_info(),
            "pytorch_info": torch.__config__.show(),
        },
    }
    experiment.results.mkdir(parents=True, exist_ok=True)
    path = experiment.results / f"{experiment.name.replace('/', '--')}.json"
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    os.replace(draft, path)
    return path


def _train_info(model: nn.Module, log: TrainingLog, file_size: int) -> dict[str, Any]:
    memory = log.memory or [0]
    return {
        "accelerator_memory_reserved_avg": int(np.mean(memory)),
        "accelerator_memory_max": max(memory),
        "accelerator_memory_reserved_99th": int(np.percentile(memory, 99)),
        "train_time": sum(log.seconds),
        "file_size": file_size,
        "num_trainable_params": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "num_total_params": sum(p.numel() for p in model.parameters()),
        "status": "success",
        "metrics": log.metrics,
    }


def _package_info() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        versions |= {f"{package}-version": version(package), f"{package}-commit-hash": None}
    return versions


def _system_info() -> dict[str, str]:
    names = ("system", "release", "version", "machine", "processor")
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {name: getattr(platform, name)() for name in names} | {"accelerator": accelerator}


def _plain(value: Any) -> Any:
    if isinstance(value, set):
        return sorted(value)
    return value if isinstance(value, str | int | float | bool | list | tuple | dict | None) else str(value)
