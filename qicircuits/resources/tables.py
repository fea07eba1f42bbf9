"""A report as tables that fit into 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from .crossover import MOST_WIRES, TASKS

if TYPE_CHECKING:
    from .report import CircuitCost, Report

__all__ = ["tables"]

_TIMES = ((86400.0, "d"), (3600.0, "h"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def tables(report: Report) -> Group:
    """The circuits; of sectors the classical paths, and the crossovers where there are any; the assumptions."""
    parts: list[Table | Text] = [_circuits(report)]
    if any(circuit.sectors for circuit in report.circuits):
        parts.append(_paths(report))
    if any(sector.crossovers for circuit in report.circuits for sector in circuit.sectors):
        parts.append(_crossovers(report))
    parts.append(Text("\n".join(["Assumptions", *(f"- {each}" for each in report.assumptions.sentences())])))
    return Group(*parts)


def _circuits(report: Report) -> Table:
    """One column for circuits of one shape, and one for all of them together."""
    columns = [_column(circuit) for circuit in report.circuits]
    table = _table("Circuits", "one of each", *(Text(circuit.label) for circuit in report.circuits))
    totals: dict[str, str] = {}
    if report.n_circuits > 1:
        table.add_column("all, run once", justify="right")
        totals = {
            "copies": f"{report.n_circuits:,}",
            "two-qubit gates": f"{report.two_qubit_gates:,}",
            "T count": f"{report.t_count:,}",
            "shots a vector": _number(report.shots),
            "time of a vector": _time(report.quantum_seconds),
            "classically": _time(report.classical_seconds),
        }
    for row in dict.fromkeys(row for column in columns for row in column):
        cells = [column.get(row, "") for column in columns]
        table.add_row(row, *cells, *([totals.get(row, "")] if totals else []))
    return table


def _column(circuit: CircuitCost) -> dict[str, str]:
    counts = circuit.counts
    column = {
        "copies": f"{circuit.copies:,}",
        "wires": f"{counts.wires:,}",
        **{kind: f"{count:,}" for kind, count in counts.gates.items()},
        "depth": f"{counts.depth:,}",
        "two-qubit gates": f"{counts.two_qubit_gates:,}",
        "two-qubit depth": f"{counts.two_qubit_depth:,}",
        "T count": f"{circuit.t_count:,}",
        "counted by": circuit.counted,
        "time of a run": _time(circuit.run_seconds),
    }
    if circuit.shots is not None:
        column |= {"shots a vector": _number(circuit.shots), "time of a vector": _time(circuit.quantum_seconds)}
    if circuit.classical_seconds is not None:
        column["classically"] = _time(circuit.classical_seconds)
    return column


def _paths(report: Report) -> Table:
    table = _table("The same map on the classical engine, one vector", "n", "k", "features", "path", "flops")
    for heading in ("to build", "bytes", "time"):
        table.add_column(heading, justify="right")
    shown = []
    for circuit in report.circuits:
        for sector in circuit.sectors:
            if (circuit.counts.wires, sector.order, sector.paths) in shown:
                continue
            shown.append((circuit.counts.wires, sector.order, sector.paths))
            for path in sector.paths:
                seconds = path.seconds(report.assumptions.computer, report.assumptions.vectors)
                build = _number(path.build_flops) if path.build_flops else ""
                costs = (_number(path.flops), build, _number(path.bytes), _time(seconds))
                where = (str(circuit.counts.wires), str(sector.order), f"{sector.dimension:,}")
                table.add_row(*where, path.path, *costs)
            table.add_section()
    return table


def _crossovers(report: Report) -> Table:
    table = _table("Where a brickwork of RBS gates would take less time", "task", "n", "k", "circuit", "classical")
    table.add_column("at this n", justify="right")
    table.add_column("at this k", justify="right")
    found = [c for circuit in report.circuits for sector in circuit.sectors for c in sector.crossovers]
    for c in dict.fromkeys(found):
        here = f"never to k={c.n // 2}" if c.order_here is None else f"from k={c.order_here}"
        wires = f"never to n={MOST_WIRES:.0e}" if c.wires_here is None else f"from n={c.wires_here:,}"
        times = (_time(c.quantum_seconds), _time(c.classical_seconds))
        table.add_row(c.task, str(c.n), str(c.order), *times, here, wires, end_section=c.task == list(TASKS)[-1])
    notes = [f"{task}: {meaning}" for task, meaning in TASKS.items()]
    notes.append("The sweep is not the best for the last: turn the observable back instead, in n^2 operations.")
    table.caption, table.caption_justify = "\n".join(notes), "left"
    return table


def _table(title: str, first: str, *columns: str | Text) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value < 1e6 else f"{value:.2e}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    scale, unit = next((each for each in _TIMES if seconds >= each[0]), _TIMES[-1])
    return f"{seconds / scale:.3g} {unit}"
