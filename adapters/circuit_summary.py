"""What there is to say of one circuit: its cost, its native two-qubit gates, and what fits which machine."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from qicircuits.circuits import RBS, connectivity_report, to_native
from qicircuits.circuits.native import NativeGate
from qicircuits.drawing import draw_circuit
from qicircuits.layouts import Layout
from qicircuits.resources import estimate

from .compile import CompiledBlock

__all__ = ["CircuitSummary", "summarise_block", "summarise_layout"]

_DRAWN = 48  # most gates that are drawn as text: with the angles of more, a diagram fills the screen
_NARROWEST = 40


@dataclass(frozen=True)
class CircuitSummary:
    """One circuit of RBS gates, to be printed, written as JSON, drawn and exported.

    Attributes:
        label: what it is the circuit of.
        layout: where its gates stand.
        compiled: the block of an adapter that it is, or None for a layout without angles.
    """

    label: str
    layout: Layout
    compiled: CompiledBlock | None

    def two_qubit_gates(self) -> dict[str, int]:
        """The two-qubit gates it takes, by the kind that a machine has."""
        natives: tuple[NativeGate, ...] = get_args(NativeGate)
        gate = RBS(1.0, wires=[0, 1])
        each = {native: sum(len(part.wires) == 2 for part in to_native(gate, native)) for native in natives}
        return {native: count * self.layout.n_gates for native, count in each.items()}

    def to_json(self) -> dict[str, Any]:
        """Everything in numbers, with the angles of a block."""
        routings = [
            {"coupling": r.coupling, "fitting": r.n_fitting, "swaps": r.n_swaps, "moved_moments": r.moved_moments}
            for r in connectivity_report(self.layout)
        ]
        compiled = self.compiled
        return {
            "circuit": self.label,
            "layout": self.layout.name,
            "wires": self.layout.n,
            "gates": self.layout.n_gates,
            "depth": self.layout.depth,
            "two_qubit_gates": self.two_qubit_gates(),
            "connectivity": routings,
            "angles": None if compiled is None else compiled.angles.tolist(),
            "output_wires": list(range(self.layout.n) if compiled is None else compiled.output_wires),
            "cost": json.loads(self._cost().to_json()),
        }

    def write(self, picture: Path | None, program: Path | None, version: int) -> None:
        """Draw the circuit into a file .svg, .pdf or .png, and export it as OpenQASM; None writes nothing.

        Raises:
            ValueError: a layout is to be exported, which has no angles; or the picture has another suffix.
        """
        if program is not None and self.compiled is None:
            raise ValueError(f"a program needs angles, got {self.layout!r} without them")
        if picture is not None and picture.suffix not in (".svg", ".pdf", ".png"):
            raise ValueError(f"a picture is a file .svg, .pdf or .png, got {picture}")
        if picture is not None:
            axes = draw_circuit(self.compiled or self.layout)
            figure: Any = axes.figure  # whole, though typed as perhaps a part of one
            figure.savefig(picture)
        if program is not None and self.compiled is not None:
            program.write_text(self.compiled.to_openqasm(version), encoding="utf-8")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        native = Table(title="Two-qubit gates, by the kind that a machine has")
        counts = self.two_qubit_gates()
        for kind in counts:
            native.add_column(kind, justify="right")
        native.add_row(*(f"{count:,}" for count in counts.values()))
        fits = Table(title="Couplings: gates that fit, and swaps that suffice for all")
        for heading in ("coupling", "fitting", "swaps", "moments with swaps"):
            fits.add_column(heading, justify="left" if heading == "coupling" else "right")
        for r in connectivity_report(self.layout):
            fits.add_row(r.coupling, f"{r.n_fitting:,} of {r.n_gates:,}", f"{r.n_swaps:,}", str(r.moved_moments))
        heading = f"{self.label}: {self.layout!r}"
        if self.compiled is not None and self.compiled.is_swap_network:
            heading += (
                "\nThe wires are reversed after the last gate: read wire n-1-i as wire i, with the sign (-1)^i."
            )
        yield heading
        if self.layout.n_gates <= _DRAWN:
            width = max(options.max_width, _NARROWEST)
            diagram = draw_circuit(self.compiled or self.layout, output="text", width=width)
            yield Text(f"\n{diagram}\n", no_wrap=True)
        else:
            yield f"{self.layout.n_gates:,} gates are too many for a diagram here; --draw FILE draws them."
        yield from (native, fits, self._cost())

    def _cost(self) -> Any:
        return estimate(self.layout if self.compiled is None else self.compiled)


def summarise_layout(layout: Layout) -> CircuitSummary:
    """The summary of a layout, whatever its angles."""
    return CircuitSummary(layout.name, layout, None)


def summarise_block(compiled: CompiledBlock) -> CircuitSummary:
    """The summary of one block of an adapter."""
    return CircuitSummary(f"{compiled.module}, block {compiled.block}", compiled.layout, compiled)
