"""The `quic` command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .config import ParameterMap
from .evaluation.assets import SENTENCES, AssetError, cache_folder, encoder_folder, fetch
from .evaluation.checks import CheckError
from .evaluation.demo import STEPS, TEST_SENTENCES, DemoSettings, run_demo
from .evaluation.progress import StepProgress
from .evaluation.report import print_report

__all__ = ["app"]

app = typer.Typer(
    help="Compound adapters whose quantum circuits are verified.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _quic() -> None:
    """Keep `demo` a subcommand, as there will be others."""


@app.command(epilog="Example: QICIRCUITS_DATA=shared-cache quic assets")
def assets() -> None:
    """Fetch the pretrained encoder and the rated sentences into the cache."""
    try:
        encoder_folder()
        fetch(SENTENCES)
    except AssetError as error:
        raise _failure(error) from error
    typer.echo(f"The offline assets are in {cache_folder()}")


@app.command(epilog="Example: quic demo --output runs/first --seed 1")
def demo(
    output: Annotated[
        Path, typer.Option(help="Folder for the adapter and pictures; that of an earlier run is replaced.")
    ] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the batches, the head and LoRA's factors.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each method, 32 sentences each.")] = STEPS,
    test_sentences: Annotated[
        int, typer.Option(min=1, max=TEST_SENTENCES, help="How many test sentences to measure accuracy on.")
    ] = TEST_SENTENCES,
    parameter_map: Annotated[
        ParameterMap, typer.Option("--map", help="Map from the trained numbers to rotations.")
    ] = "cayley",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")] = False,
) -> None:
    """Fine-tune all-MiniLM-L6-v2 on movie-review polarity and verify the adapter's circuits.

    Trains a linear probe, a QuIC adapter and LoRA for the same steps; saves, reloads and merges the
    adapter; compiles each of its blocks to a quantum circuit, verifies it and draws one.
    """
    try:
        settings = DemoSettings(output, seed, steps, test_sentences, parameter_map)
        with StepProgress(Console(stderr=True)) as progress:
            report = run_demo(settings, progress)
    except (AssetError, CheckError, ValueError) as error:
        raise _failure(error) from error
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        print_report(report, Console())


def _failure(error: Exception) -> typer.Exit:
    typer.echo(f"Error: {error}", err=True)
    return typer.Exit(code=1)
