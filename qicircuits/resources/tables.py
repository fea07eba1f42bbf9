"""A report as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from .crossover import MOST_WIRES, TASKS

if TYPE_CHECKING:
    from .report import Report

__all__ = ["tables"]


def tables(report: Report) -> Group:
    """The circuits; the classical paths and the crossovers where there are sectors; the assumptions."""
    parts: list[Table | Text] = [_circuits(report)]
    if any(circuit.sectors for circuit in report.circuits):
        parts += [_paths(report), _crossovers(report)]
    parts.append(Text("\n".join(["Assumptions", *(f"- {each}" for each in report.assumptions.sentences())])))
    return Group(*parts)


def _circuits(report: Report) -> Table:
    table = _table("Circuits (each)", "what", "copies", "wires", "gates", "depth", "2-qubit\ngates")
    for column in ("2-qubit\ndepth", "T count", "shots a\nvector", "time of\na run", "time of\na vector"):
        table.add_column(column, justify="right")
    table.columns[3].no_wrap = True
    table.columns[0].min_width = 9
    for circuit in report.circuits:
        counts = circuit.counts
        gates = "\n".join(f"{count:,} {kind}" for kind, count in counts.gates.items())
        table.add_row(
            circuit.label,
            f"{circuit.copies:,}",
            f"{counts.wires:,}",
            gates,
            f"{counts.depth:,}",
            f"{counts.two_qubit_gates:,}",
            f"{counts.two_qubit_depth:,}",
            f"{circuit.t_count:,}",
            "" if circuit.shots is None else f"{circuit.shots:.2g}",
            _time(circuit.run_seconds),
            _time(circuit.quantum_seconds),
        )
    if report.n_circuits > 1:
        shots = "" if report.shots is None else f"{report.shots:.2g}"
        two, t = f"{report.two_qubit_gates:,}", f"{report.t_count:,}"
        table.add_section()
        table.add_row(
            "all", f"{report.n_circuits:,}", "", "", "", two, "", t, shots, "", _time(report.quantum_seconds)
        )
    return table


def _paths(report: Report) -> Table:
    vectors = report.assumptions.vectors
    table = _table("The same map on the classical engine (each, one vector)", "what", "order", "features")
    for heading in ("path", "flops", "to build", "bytes", "time"):
        table.add_column(heading, justify="left" if heading == "path" else "right")
    for circuit in report.circuits:
        for sector in circuit.sectors:
            for path in sector.paths:
                seconds = report.assumptions.computer.seconds(path.total_flops(vectors), path.bytes)
                build = f"{path.build_flops:.3g}" if path.build_flops else ""
                numbers = (path.path, f"{path.flops:.3g}", build, f"{path.bytes:.3g}", _time(seconds))
                table.add_row(circuit.label, str(sector.order), f"{sector.dimension:,}", *numbers)
            table.add_section()
    return table


def _crossovers(report: Report) -> Table:
    table = _table("Where a brickwork of RBS gates would take less time", "task", "n", "k", "circuit", "classical")
    table.add_column("from which order, at this n")
    table.add_column("from which n, at this order")
    seen = set()
    for circuit in report.circuits:
        for sector in circuit.sectors:
            for c in sector.crossovers:
                if (c.task, c.n, c.order) in seen:
                    continue
                seen.add((c.task, c.n, c.order))
                here = f"none up to n/2 = {c.n // 2}" if c.order_here is None else f"k = {c.order_here}"
                wires = f"none up to {MOST_WIRES:,}" if c.wires_here is None else f"n = {c.wires_here:,}"
                times = (_time(c.quantum_seconds), _time(c.classical_seconds))
                table.add_row(c.task, str(c.n), str(c.order), *times, here, wires)
            table.add_section()
    notes = [f"{task}: {meaning}" for task, meaning in TASKS.items()]
    notes.append("state: a sweep is not the best there; the observable can be turned back instead, in n^2 operations")
    table.caption = "\n".join(notes)
    table.caption_justify = "left"
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    units = ((86400.0, "d"), (3600.0, "h"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (0.0, "ns"))
    scale, unit = next((size, unit) for size, unit in units if seconds >= size)
    return f"{seconds / (scale or 1e-9):.3g} {unit}"
