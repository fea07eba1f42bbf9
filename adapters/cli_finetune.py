"""`quic finetune`: a run from a configuration file, a preset and flags."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

__all__ = ["finetune"]


def finetune(
    config: Annotated[Path | None, typer.Argument(help="A YAML file.", show_default=False)] = None,
    preset: Annotated[
        str | None, typer.Option(help="Settings of the paper, below the file: deberta-v3, dinov2 or llama.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Checkpoint to adapt, instead of the file's.")] = None,
    train: Annotated[str | None, typer.Option(help="Examples to train on, instead of the file's.")] = None,
    validation: Annotated[str | None, typer.Option(help="Examples to evaluate on, instead of the file's.")] = None,
    output: Annotated[str | None, typer.Option(help="Folder of the run, instead of the file's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the run, instead of the file's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other key; may be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in the output folder, if there is one.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the final metrics as JSON.")] = False,
) -> None:
    """Fine-tune a transformers checkpoint with a QuIC adapter: text, pairs, numbers, language or images.

    The folder of the run gets the configuration, metrics, curves, the adapter and a model card. It can be killed at
    any moment, and goes on from its last checkpoint with --resume. Under torchrun or accelerate launch it runs in
    several processes. Exit code 1 if the run cannot be made, 2 if the options are wrong, 130 if it was interrupted.
    """
    if missing := [name for name in ("datasets", "pydantic", "yaml") if find_spec(name) is None]:
        raise _failure(ImportError(f"quic finetune needs pip install 'qicircuits[finetune]', got no {missing[0]}"))
    # Not before: they take seconds, and the other commands do without.
    from .evaluation.assets import AssetError
    from .finetune.checkpoints import CheckpointError
    from .finetune.config_file import load_config, parse_setting
    from .finetune.run import finetune as run
    from .finetune.trainer import NonFiniteError

    named = {"model": model, "data.train": train, "data.validation": validation, "output": output, "seed": seed}
    chosen: list[tuple[str, Any]] = [(key, value) for key, value in named.items() if value is not None]
    try:
        chosen += [parse_setting(setting) for setting in settings or ()]
        result = run(load_config(config, preset, chosen), Console(stderr=True), resume=resume)
    except (AssetError, CheckpointError, NonFiniteError, ImportError, OSError, TypeError, ValueError) as error:
        raise _failure(error) from error
    except KeyboardInterrupt as stop:
        raise _failure(RuntimeError("stopped by hand; the same command with --resume goes on"), code=130) from stop
    if _is_first():
        typer.echo(json.dumps(result.metrics, indent=2) if as_json else _summary(result.folder, result.metrics))


def _summary(folder: Path, metrics: dict[str, Any]) -> str:
    reached = ", ".join(f"{name} {value:.4f}" for name, value in metrics["validation"].items())
    return f"{reached} at step {metrics['best_step']} of {metrics['steps']}\nThe run is in {folder}"


def _is_first() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _failure(error: Exception, code: int = 1) -> typer.Exit:
    if _is_first():
        typer.echo(f"Error: {error}", err=True)
    return typer.Exit(code=code)
