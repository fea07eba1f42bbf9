"""`quic bench`: the laboratory's sweeps and their report."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from .evaluation.contenders import Contender
    from .evaluation.profiles import Profile
    from .evaluation.results import Results

__all__ = ["bench"]

bench = typer.Typer(
    help="Compare adapters: fair sweeps that can be stopped at any moment, and their report.",
    rich_markup_mode="markdown",
)

_Profile = Annotated[str, typer.Option(help="How much is run: fast (an hour on two cores) or full.")]
_Questions = Annotated[
    str | None, typer.Option(metavar="LETTERS", show_default="all", help="Only for these questions, such as ab.")
]
_Folder = Annotated[Path, typer.Option(help="Where each cell has its file.")]
_FOLDER = Path("runs/laboratory")


@bench.command("list", epilog="Example: quic bench list --profile full")
def list_cells(
    profile: _Profile = "fast",
    questions: _Questions = None,
    folder: _Folder = _FOLDER,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at a time, for the estimate of the time.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Show what a profile runs, what of it is done, and how long the rest takes."""
    from .evaluation.outlook import expected_seconds, remaining_cells
    from .evaluation.results import Results

    chosen, contenders = _chosen(profile, questions)
    results = _stored(folder)
    left = remaining_cells(contenders, results)
    seconds = expected_seconds(left, results, chosen.suites()) / jobs
    tasks = Counter(contender.cell.task for contender in contenders)
    cells = len(remaining_cells(contenders, Results()))
    report: dict[str, Any] = {
        "profile": profile,
        "contenders": len(contenders),
        "cells": cells,
        "left": len(left),
        "failed": len(results.failures),
        "seconds_left": round(seconds),
        "by_task": dict(tasks),
        "setups": [contender.cell.label() for contender in contenders],
    }
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    for setup in report["setups"]:
        typer.echo(setup)
    typer.echo(f"{len(contenders)} contenders on {', '.join(f'{name} ({n})' for name, n in tasks.items())}")
    typer.echo(f"{cells} cells, {len(left)} left, {len(results.failures)} failed")
    typer.echo(f"About {_duration(seconds)} left with {jobs} at a time")


@bench.command(epilog="Example: quic bench run --profile fast --jobs 2 --folder runs/laboratory")
def run(
    profile: _Profile = "fast",
    questions: _Questions = None,
    folder: _Folder = _FOLDER,
    jobs: Annotated[int, typer.Option(min=1, help="Processes of one thread each.")] = 1,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Scheduler of a Dask cluster, or 'local' for one of --jobs processes."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option(help="Run again what failed before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON on standard output.")] = False,
) -> None:
    """Run every cell that the folder does not hold yet.

    It can be killed at any moment and goes on where it was. Several runs may share a folder, on one machine or
    several: no cell is run twice. Exit code 1 if a cell failed; the others are run all the same.
    """
    from .evaluation.assets import AssetError
    from .evaluation.store import CellStore
    from .evaluation.sweep import run_sweep
    from .evaluation.sweep_progress import SweepProgress
    from .evaluation.workers import DaskWorkers, LocalWorkers, dask_workers, local_workers

    chosen, contenders = _chosen(profile, questions)
    try:
        store = CellStore(folder)
        for note in store.read()[1]:
            typer.echo(f"Damaged, to be run again: {note}", err=True)
        workers: AbstractContextManager[DaskWorkers | LocalWorkers]
        workers = local_workers(jobs) if dask is None else dask_workers(dask, jobs)
        with workers as pool, SweepProgress(Console(stderr=True), chosen.suites(), pool) as progress:
            results = run_sweep(contenders, store, pool, retry_failed=retry_failed, outlook=progress)
    except (AssetError, ImportError, OSError, ValueError) as error:
        raise _failure(error) from error
    failed = _failures_of(contenders, results)
    if as_json:
        typer.echo(json.dumps({"results": len(results), "failures": failed, "folder": str(folder)}, indent=2))
    else:
        for label, message in failed.items():
            typer.echo(f"Failed: {label}: {message}")
        typer.echo(f"{len(results)} cells are in {folder}, {len(failed)} failed")
    if failed:
        raise typer.Exit(code=1)


@bench.command(epilog="Example: quic bench report runs/laboratory --profile fast --output docs/results/laboratory")
def report(
    source: Annotated[Path, typer.Argument(help="Folder of a run, or the results.json of a report.")] = _FOLDER,
    profile: Annotated[str | None, typer.Option(show_default="fast", help="Of a folder.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the pages.")] = Path("runs/laboratory-report"),
) -> None:
    """Make pages, figures and one file of all numbers from what has been run; nothing is run."""
    from .evaluation.compact import read_compact
    from .evaluation.laboratory import write_report
    from .evaluation.store import CellStore

    try:
        if source.is_file():
            name, results = read_compact(source)
        elif source.is_dir():
            results, damaged = CellStore(source).read()
            name = profile or "fast"
            for note in damaged:
                typer.echo(f"Damaged, left out: {note}", err=True)
        else:
            raise ValueError(f"the folder of a run or a results.json is needed, got {source}")
        write_report(_profile(name), results, output)
    except (OSError, ValueError) as error:
        raise _failure(error) from error
    typer.echo(f"The report of {len(results)} cells is in {output}")


def _chosen(name: str, questions: str | None) -> tuple[Profile, list[Contender]]:
    from .evaluation.laboratory import contenders_of_profile

    try:
        profile = _profile(name)
        return profile, contenders_of_profile(profile, questions)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _profile(name: str) -> Profile:
    from .evaluation.profiles import PROFILES

    if name not in PROFILES:
        raise ValueError(f"profiles are {', '.join(PROFILES)}, got {name!r}")
    return PROFILES[name]


def _stored(folder: Path) -> Results:
    from .evaluation.results import Results
    from .evaluation.store import CellStore

    return CellStore(folder).read()[0] if folder.is_dir() else Results()


def _failures_of(contenders: list[Contender], results: Results) -> dict[str, str]:
    """What failed of these contenders, in words."""
    wanted: set[Any] = set()
    for contender in contenders:
        tuning = results.tuning_cells(contender)
        rates = {*contender.rates, *(cell.rate for cell in tuning if cell.rate is not None)}
        wanted |= {*tuning, *(cell for rate in rates for cell in contender.test_cells(rate))}
    return {
        f"{cell.label()}, rate {cell.rate:g}, seed {cell.seed}, {cell.split}": error
        for cell, error in results.failures.items()
        if cell in wanted
    }


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def _failure(error: Exception) -> typer.Exit:
    typer.echo(f"Error: {error}", err=True)
    return typer.Exit(code=1)
