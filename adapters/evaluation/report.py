"""What a demo run measured, as a table to read and as a document to parse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .checks import Checks
from .methods import Outcome

__all__ = ["DemoReport", "print_report"]


@dataclass(frozen=True)
class DemoReport:
    """Everything a demo run found out; equal for equal settings, but for `seconds` and `peak_memory`.

    Args:
        task: name of the task.
        parameter_map: map of the adapter.
        seed: of batches, head and LoRA factors.
        steps: training steps of each method.
        test_sentences: how many sentences accuracy is measured on.
        outcomes: linear probe, QuIC adapter, LoRA.
        checks: of the adapter.
        files: name -> path of what a user may want to open.
        seconds: wall time of the whole run.
        peak_memory: largest resident memory of the process, in bytes; None where it is unknown.
    """

    task: str
    parameter_map: str
    seed: int
    steps: int
    test_sentences: int
    outcomes: tuple[Outcome, ...]
    checks: Checks
    files: dict[str, Path]
    seconds: float
    peak_memory: int | None

    def to_json(self) -> dict[str, Any]:
        """The report in JSON's types."""
        document = asdict(self)
        document["outcomes"] = [asdict(outcome) for outcome in self.outcomes]
        document["files"] = {name: str(path) for name, path in self.files.items()}
        return document


def print_report(report: DemoReport, console: Console) -> None:
    """Print the table of methods, the checks and the paths."""
    table = Table(title=f"{report.task}: {report.steps} steps, {report.test_sentences:,} test sentences")
    table.add_column("method", no_wrap=True)
    for heading in ("adapter numbers", "head numbers", "bytes on disk", "accuracy"):
        table.add_column(heading, justify="right")
    for row in report.outcomes:
        counts = (row.adapter_numbers, row.head_numbers, row.n_bytes)
        table.add_row(row.method, *(f"{count:,}" for count in counts), f"{100 * row.accuracy:.1f} %")
    console.print(table)
    for name, fact in _facts(report):
        # Never cut, wrapped or read as markup: a path must be there to be copied.
        console.print(f"{name:<20}{fact}", soft_wrap=True, markup=False, highlight=False)


def _facts(report: DemoReport) -> Iterator[tuple[str, str]]:
    checks = report.checks
    yield "saved and reloaded", f"logits differ by at most {checks.reload_deviation:.1e}"
    yield "merged", f"logits differ by at most {checks.merge_deviation:.1e}"
    single, double = checks.circuit_deviation, checks.circuit_deviation_float64
    yield f"{checks.blocks} circuits", f"entries differ by at most {single:.1e} (float64: {double:.1e})"
    for name, path in report.files.items():
        yield name, str(path)
    memory = "" if report.peak_memory is None else f", at most {report.peak_memory / 1e9:.2f} GB of memory"
    yield "cost", f"{report.seconds:.0f} s{memory}"
