"""`quic pack` and `quic unpack`: adapters in small files."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from .quantise import BITS
from .storage import PackReport, pack_adapter, unpack_adapter

__all__ = ["pack", "unpack"]

_Folder = Annotated[Path, typer.Argument(help="Folder of a saved adapter.", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")]


def pack(
    path: _Folder,
    bits: Annotated[int, typer.Option(help="Bits of a number: 32, 16, 8, 4 or 1.")] = 8,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the packed adapter; one that holds an adapter only is replaced. Left out, "
            "nothing is written."
        ),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Store the numbers of an adapter with few bits each, and say how far its rotations move.

    The rotations stay orthogonal whatever the width. The packed folder loads with PeftModel.from_pretrained, as the
    other did, where qicircuits is imported. Exit code 1 if the adapter cannot be read or the output not be written,
    2 if the width is another one.
    """
    if bits not in BITS:
        raise typer.BadParameter(f"--bits must be one of {', '.join(map(str, BITS))}, got {bits}")
    try:
        report = pack_adapter(path, output, bits)
    except (OSError, ValueError) as error:
        raise _failure(error) from error
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
        return
    console = Console()
    console.print(_table(report))
    console.print(_sizes(report))


def unpack(
    path: _Folder,
    output: Annotated[
        Path, typer.Option(help="Folder for the ordinary adapter; one that holds an adapter only is replaced.")
    ],
    as_json: _Json = False,
) -> None:
    """Write a packed adapter as an ordinary one in float32, for loaders that know only those.

    What rounding has changed stays changed. Exit code 1 if the adapter cannot be read or the output not be written.
    """
    try:
        size = unpack_adapter(path, output)
    except (OSError, ValueError) as error:
        raise _failure(error) from error
    if as_json:
        typer.echo(json.dumps(asdict(size) | {"total": size.total}, indent=2))
    else:
        typer.echo(f"{output}: {size.total:,} bytes")


def _table(report: PackReport) -> Table:
    table = Table(title=f"{report.bits} bit{'s' * (report.bits > 1)} a number: what becomes of each rotation R")
    table.add_column("module", overflow="fold")
    for heading in ("numbers", "|R - I|, Frobenius", "change, Frobenius", "change, operator norm"):
        table.add_column(heading, justify="right")
    for layer in report.layers:
        norms = (f"{value:.3g}" for value in (layer.turn, layer.frobenius, layer.operator))
        table.add_row(layer.module, f"{layer.n_numbers:,}", *norms)
    return table


def _sizes(report: PackReport) -> Table:
    table = Table(title="Bytes of the adapter file")
    for heading in ("", "numbers", "names and header", "biases, heads", "total"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, size in (("as it was", report.before), ("packed", report.after)):
        table.add_row(name, *(f"{value:,}" for value in (size.numbers, size.names, size.others, size.total)))
    return table


def _failure(error: Exception) -> typer.Exit:
    typer.echo(f"Error: {error}", err=True)
    return typer.Exit(code=1)
