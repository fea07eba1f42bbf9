"""The `quic` command."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console

from qicircuits.layouts import LAYOUTS
from qicircuits.resources import IONS, SUPERCONDUCTING, Assumptions, estimate

from .choices import ParameterMap
from .circuit_summary import summarise_block, summarise_layout
from .cli_bench import bench
from .cli_export import merge, to_lora
from .cli_finetune import finetune
from .cli_pack import pack, unpack
from .cli_plan import plan
from .compile import compile_saved
from .config import QuICConfig
from .evaluation.assets import AssetError, cache_folder, fetch
from .evaluation.checks import CheckError
from .evaluation.demo import STEPS, TEST_SENTENCES, DemoSettings, run_demo
from .evaluation.packages import SUITES
from .evaluation.progress import StepProgress
from .evaluation.report import print_report
from .resources import configured_blocks, saved_blocks
from .verify import deviation_table, verify_saved

__all__ = ["app"]

app = typer.Typer(
    help="Compound adapters whose quantum circuits are verified.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",  # lines of a docstring are one paragraph
    pretty_exceptions_enable=False,
)


@app.callback()
def _quic() -> None:
    """Keep `demo` a subcommand, as there will be others."""


@app.command(epilog="Example: QICIRCUITS_DATA=shared-cache quic assets --suite text")
def assets(
    suite: Annotated[
        Literal["demo", "text", "image", "language", "all"], typer.Option(help="What the assets are for.")
    ] = "demo",
) -> None:
    """Fetch pretrained models and data into the cache: those of the demo, or of a suite of the laboratory."""
    chosen = dict.fromkeys(asset for name in SUITES if suite in (name, "all") for asset in SUITES[name])
    try:
        for asset in chosen:
            fetch(asset)
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


@app.command(
    epilog="Examples:\n\nquic resources runs/demo/adapter\n\n"
    "quic resources --model-config package:all-MiniLM-L6-v2 --n-blocks 3"
)
def resources(
    path: Annotated[Path | None, typer.Argument(help="Folder of a saved adapter.", show_default=False)] = None,
    model_config: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a folder: config.json or package:NAME of a transformers model, to be adapted as below."
        ),
    ] = None,
    orders: Annotated[
        list[int] | None, typer.Option("--order", show_default="1 and 2", help="A compound order; may be repeated.")
    ] = None,
    n_blocks: Annotated[
        int | None, typer.Option(show_default="8 that share one rotation", help="Number of blocks of a layer.")
    ] = None,
    block_size: Annotated[int | None, typer.Option(help="Features of a block, instead of --n-blocks.")] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option("--target", show_default="all linear", help="A module to adapt; may be repeated."),
    ] = None,
    machine: Annotated[
        Literal["superconducting", "ions"], typer.Option(help="Gate times of the quantum machine.")
    ] = "superconducting",
    error: Annotated[float, typer.Option(help="Root mean square error of y, for |x| = 1.")] = 0.01,
    precision: Annotated[float, typer.Option(help="Operator-norm error of a rotation, for T counts.")] = 1e-9,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")] = False,
) -> None:
    """Estimate what the circuits of an adapter cost, and the same map on the classical engine.

    Of a saved adapter, or of one that is not trained yet in a model of which only the configuration is needed.
    Exit code 1 if the input cannot be read, 2 if the options do not fit together.
    """
    chosen = {"--order": orders, "--n-blocks": n_blocks, "--block-size": block_size, "--target": targets}
    given = [name for name, value in chosen.items() if value is not None]
    if (path is None) == (model_config is None):
        raise typer.BadParameter("give the folder of a saved adapter or --model-config, one of both")
    if path is not None and given:
        raise typer.BadParameter(f"a saved adapter has its own blocks, got {', '.join(given)}")
    try:
        assumptions = Assumptions(IONS if machine == "ions" else SUPERCONDUCTING, error=error, precision=precision)
        if path is not None:
            blocks = saved_blocks(path)
        else:
            assert model_config is not None
            config = QuICConfig(
                target_modules=targets or "all-linear",
                orders=tuple(orders or (1, 2)),
                n_blocks=n_blocks,
                block_size=block_size,
            )
            blocks = configured_blocks(model_config, config)
        report = estimate(blocks, assumptions=assumptions)
    except (AssetError, OSError, TypeError, ValueError) as problem:
        raise _failure(problem) from problem
    if as_json:
        typer.echo(report.to_json())
    else:
        Console().print(report)


@app.command(
    epilog="Examples:\n\nquic circuit butterfly --wires 8 --draw butterfly.svg\n\n"
    "quic circuit runs/demo/adapter --layout pyramid --export block.qasm"
)
def circuit(
    source: Annotated[str, typer.Argument(help=f"A layout ({', '.join(LAYOUTS)}) or the folder of a saved adapter.")],
    wires: Annotated[int | None, typer.Option(help="Number of wires of a layout.")] = None,
    module: Annotated[
        str | None, typer.Option(show_default="first", help="A module of the adapter, or its end.")
    ] = None,
    block: Annotated[int | None, typer.Option(min=0, show_default="0", help="A block of the module.")] = None,
    layout: Annotated[
        Literal["brickwork", "pyramid"] | None, typer.Option(show_default="brickwork", help="To compile a block to.")
    ] = None,
    draw: Annotated[Path | None, typer.Option(help="Draw it: a file .svg, .pdf or .png.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write a block as OpenQASM into this file.")] = None,
    qasm_version: Annotated[int, typer.Option(min=2, max=3, help="Version of OpenQASM.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")] = False,
) -> None:
    """Draw, export and cost one circuit: a layout, or one block of a saved adapter.

    Prints the diagram of up to 48 gates, what they cost, how many two-qubit gates of each kind they take, and what
    fits a line, a ring or all-to-all.
    Exit code 1 if the input cannot be read or a file not be written, 2 if the options do not fit together.
    """
    chosen = {"--module": module, "--block": block, "--layout": layout, "--export": export}
    given = [name for name, value in chosen.items() if value is not None]
    if source in LAYOUTS and (wires is None or given):
        got = ", ".join(given) or "no --wires"
        raise typer.BadParameter(f"a layout needs --wires and has no module, blocks or angles, got {got}")
    if source not in LAYOUTS and not Path(source).is_dir():
        raise _failure(
            ValueError(f"a layout ({', '.join(LAYOUTS)}) or the folder of a saved adapter is needed, got {source}")
        )
    if source not in LAYOUTS and wires is not None:
        raise typer.BadParameter("the blocks of a saved adapter have their own number of wires, got --wires")
    try:
        if wires is not None:
            summary = summarise_layout(LAYOUTS[source](wires))
        else:
            summary = summarise_block(compile_saved(Path(source), module, block or 0, layout=layout or "brickwork"))
        summary.write(draw, export, qasm_version)
    except (OSError, ValueError) as problem:
        raise _failure(problem) from problem
    if as_json:
        typer.echo(json.dumps(summary.to_json(), indent=2))
    else:
        Console().print(summary)


@app.command(epilog="Example: quic verify runs/demo/adapter --json")
def verify(
    path: Annotated[Path, typer.Argument(help="Folder of a saved adapter.", show_default=False)],
    precision: Annotated[
        Literal["float32", "float64"], typer.Option(help="To compute in: deviations up to 1e-6 or 1e-12 pass.")
    ] = "float64",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample of states in sectors of more than 512.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")] = False,
) -> None:
    """Run the circuit of every block of a saved adapter, and compare it with the rotation.

    The model is not needed. Exit code 0 if every circuit is its block, 1 if not or if the adapter cannot be read.
    """
    try:
        report = verify_saved(path, dtype=getattr(torch, precision), seed=seed)
    except (OSError, ValueError) as problem:
        raise _failure(problem) from problem
    if as_json:
        blocks = [asdict(check) for check in report.blocks]
        deviations = {"tolerance": report.tolerance, "largest_deviation": report.largest_deviation}
        typer.echo(json.dumps({"passed": report.passed, **deviations, "blocks": blocks}, indent=2))
    else:
        Console().print(deviation_table(report))
    if not report.passed:
        raise typer.Exit(code=1)


app.add_typer(bench, name="bench")
app.command(epilog="Example: quic plan package:all-MiniLM-L6-v2 --budget 10000 --orders 1,2")(plan)
app.command(
    epilog="Example, of a file with the columns text and label:\n\n"
    "quic finetune --model package:all-MiniLM-L6-v2 --train mine.csv --output mine"
)(finetune)
app.command(epilog="Example: quic merge runs/reviews/adapter runs/merged --dtype bfloat16")(merge)
app.command(epilog="Example:\n\nquic to-lora runs/reviews/adapter runs/lora --rank 256 --max-error 0.3")(to_lora)
app.command(epilog="Example: quic pack runs/demo/adapter --bits 4 --output runs/demo/small")(pack)
app.command(epilog="Example: quic unpack runs/demo/small --output runs/demo/plain")(unpack)


def _failure(error: Exception) -> typer.Exit:
    typer.echo(f"Error: {error}", err=True)
    return typer.Exit(code=1)


if __name__ == "__main__":
    app()
