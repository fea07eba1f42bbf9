"""`quic merge` and `quic to-lora`: ways out for a saved adapter."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console
from rich.table import Table

from .base_name import checkpoint_of
from .evaluation.assets import AssetError
from .quiet import quiet

__all__ = ["merge", "to_lora"]

_Folder = Annotated[Path, typer.Argument(help="Folder of a saved adapter.", show_default=False)]
_Output = Annotated[Path, typer.Argument(help="A new folder.", show_default=False)]
_Base = Annotated[str | None, typer.Option(help="Base checkpoint, instead of the one that the adapter names.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")]


def merge(
    path: _Folder,
    output: _Output,
    base: _Base = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(help="Of the weights; by default that of the base checkpoint."),
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx into the folder too.")] = False,
    as_json: _AsJson = False,
) -> None:
    """Merge a saved adapter into its base model: a checkpoint that plain transformers loads.

    Prints how far its outputs are from those with the adapter. Exit code 1 if it cannot be made.
    """
    # Not before: they take seconds, and the other commands do without.
    from .export import load_saved_model, save_merged, save_onnx

    try:
        with quiet():
            model = load_saved_model(path, base)
            source = checkpoint_of(base) if base else model.peft_config["default"].base_model_name_or_path
            report = save_merged(model, output, None if dtype is None else getattr(torch, dtype), source)
            found = asdict(report)
            if onnx:
                found["onnx_deviation"] = save_onnx(model.get_base_model(), output / "model.onnx")
    except (AssetError, ImportError, OSError, ValueError) as error:
        raise _failure(error) from error
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(f"{report.layers} rotated layers merged into {output}, {report.bytes:,} bytes in {report.dtype}")
    if report.deviation is not None:
        typer.echo(f"Outputs differ from the adapter's by {report.deviation:.1e} of the largest one")
    if onnx:
        typer.echo(f"model.onnx differs from the checkpoint by {found['onnx_deviation']:.1e}")


def to_lora(
    path: _Folder,
    output: _Output,
    rank: Annotated[int, typer.Option(min=1, help="Rank of every layer.")],
    max_error: Annotated[
        float, typer.Option(min=0, max=1, help="The part of a layer's change that may be lost (Frobenius norms).")
    ] = 0.05,
    base: _Base = None,
    as_json: _AsJson = False,
) -> None:
    """Save the LoRA adapter nearest to a QuIC adapter, unless it loses too much of it.

    A rotation changes a weight in nearly full rank, so low ranks lose most of it: prefer quic merge. Exit code 1 if
    a layer loses more than is allowed; nothing is written then.
    """
    from .export import load_saved_model, save_as_lora

    try:
        losses = save_as_lora(load_saved_model(path, base), output, rank, max_error)
    except (AssetError, OSError, ValueError) as error:
        raise _failure(error) from error
    if as_json:
        typer.echo(json.dumps({"folder": str(output), "layers": [asdict(loss) for loss in losses]}, indent=2))
        return
    table = Table("layer", f"lost at rank {rank}", f"rank for {max_error:.1%}", title=str(output))
    for loss in losses:
        table.add_row(loss.module, f"{loss.error:.2%}", str(loss.rank_needed))
    Console().print(table)


def _failure(error: Exception) -> typer.Exit:
    typer.echo(f"Error: {error}", err=True)
    return typer.Exit(code=1)
