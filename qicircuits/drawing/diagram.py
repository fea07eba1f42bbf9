"""The anatomy of a circuit diagram: columns for the moments, an outline for each gate, wires and numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray

from ..layouts import Layout, Pair
from .style import BAND, FAINT, INK, page, write

__all__ = [
    "LEFT",
    "TOP",
    "Columns",
    "check_circuit",
    "describe",
    "diagram_page",
    "gate_outline",
    "page_size",
    "paint_diagram",
    "place_columns",
    "stagger",
    "write_title",
]

LEFT = 1.8  # units left of the wires, for their numbers
TOP = 2.0  # units above wire 0, for the title and the moments' numbers
NARROWEST = 7.5  # units, of a whole diagram
LARGEST = 10.0  # inches, of a page of its own
LEAD = 0.3  # units of wire before the first and after the last moment


@dataclass(frozen=True)
class Columns:
    """Where a layout's gates stand, in drawing units: `gates` by gate, `moments` as (left, right) by moment."""

    gates: tuple[float, ...]
    moments: tuple[tuple[float, float], ...]
    right: float


def check_circuit(gate: str, *layouts: Layout) -> None:
    """Refuse a gate that is neither "rbs" nor "fbs", and a layout that is none."""
    if gate not in ("rbs", "fbs"):
        raise ValueError(f'gate must be "rbs" or "fbs", got {gate!r}')
    for layout in layouts:
        if not isinstance(layout, Layout):
            raise TypeError(f"a layout must be a Layout, such as brickwork(4), got {layout!r}")


def describe(layout: Layout, gate: str) -> str:
    """The title of a diagram.

    >>> from ..layouts import brickwork
    >>> describe(brickwork(2), "fbs")
    'brickwork: 1 FBS gate on 2 wires'
    """
    gates = "gate" if layout.n_gates == 1 else "gates"
    wires = "wire" if layout.n == 1 else "wires"
    return f"{layout.name}: {layout.n_gates} {gate.upper()} {gates} on {layout.n} {wires}"


def stagger(moment: Sequence[Pair]) -> list[int]:
    """The sub-column of each gate of a moment, so that gates of one sub-column do not cross each other's wires.

    >>> stagger([(0, 2), (1, 3), (4, 5)])
    [0, 1, 0]
    """
    lowest: list[int] = []  # by sub-column, the last wire already covered
    column = [0] * len(moment)
    for index in sorted(range(len(moment)), key=lambda g: min(moment[g])):
        first, last = sorted(moment[index])
        free = next((c for c, covered in enumerate(lowest) if covered < first), len(lowest))
        lowest[free : free + 1] = [last]
        column[index] = free
    return column


def place_columns(layout: Layout, pitch: float, label: float = 0.0) -> Columns:
    """Give every moment as many sub-columns as it needs, `pitch` apart; each gate has `label` units to its right."""
    gates: list[float] = []
    moments: list[tuple[float, float]] = []
    right = LEFT + LEAD
    for moment in layout.moments:
        columns = stagger(moment)
        left, right = right, right + pitch * (max(columns) + 1)
        gates += [left + pitch * (c + 0.5) - label / 2 for c in columns]
        moments.append((left, right))
    return Columns(tuple(gates), tuple(moments), right + LEAD)


def gate_outline(pair: Pair, gate: str, x: float, weight: float) -> NDArray[np.float64]:
    """The outline, (points, 2), of a vertical bar from wire to wire.

    RBS: a round dot on each of its two wires. FBS: diamonds there, and a small one on every wire between, whose
    parity gives the gate its sign. `weight` 1 is the line drawing, more leaves room for a colour.
    """
    first, last = sorted(pair)
    dot, bar = 0.17 * math.sqrt(weight), 0.045 * weight
    reach = {wire: 1.3 * dot if wire in pair else 0.9 * dot for wire in range(first, last + 1)}
    if gate == "rbs":
        turn = dot * np.cos(np.linspace(0, math.pi, 33))
        y = np.unique([first + turn, last + turn])
        half = [np.sqrt(np.maximum(dot**2 - (y - wire) ** 2, 0)) for wire in pair]
    else:
        y = np.unique([wire + d for wire, r in reach.items() for d in (-r, bar - r, 0, r - bar, r)])
        half = [r - np.abs(y - wire) for wire, r in reach.items()]
    half.append(np.where((y >= first) & (y <= last), bar, 0))
    right = np.max(half, axis=0)
    return np.concatenate([np.stack([x + right, y + TOP], 1), np.stack([x - right, y + TOP], 1)[::-1]])


def page_size(layout: Layout, columns: Columns, extra: float = 0.0) -> tuple[float, float]:
    """Width and height of a diagram's page in units, with `extra` units to its right."""
    return max(columns.right + 0.4 + extra, NARROWEST), TOP + layout.n


def diagram_page(ax: Axes | None, layout: Layout, columns: Columns, extra: float = 0.0) -> tuple[Axes, float]:
    """The page for a diagram, at most 10 inches long if its own, and its points per unit."""
    width, height = page_size(layout, columns, extra)
    return page(ax, width, height, min(0.5, LARGEST / max(width, height)))


def write_title(ax: Axes, words: str, points: float) -> None:
    """Write a line above the diagram, from the left, as large as its page allows."""
    width = abs(ax.get_xlim()[1] - ax.get_xlim()[0])
    size = min(11.0, max(0.31 * points, 7.5), 1.6 * (width - 0.4) * points / len(words))
    write(ax, 0.3, 0.5, words, size, ha="left", fontweight="bold")


def paint_diagram(
    ax: Axes, layout: Layout, columns: Columns, gate: str, fills: Sequence[object], weight: float, points: float
) -> None:
    """Draw bands and numbers of the moments, wires and their numbers, and one polygon a gate (gid "gate-<k>").

    A gate whose pair runs upwards (i > j), which turns by -θ on the sorted pair, carries an arrow.
    """
    bottom = TOP + layout.n - 1
    size = min(9.0, 0.34 * points)
    for index, (left, right) in enumerate(columns.moments):
        if index % 2 == 0:
            ax.add_patch(Rectangle((left, TOP - 0.5), right - left, layout.n, color=BAND, lw=0, zorder=0))
    for wire in range(layout.n):
        ax.plot([LEFT, columns.right], [TOP + wire] * 2, color=FAINT, lw=min(1.0, 0.04 * points), zorder=1)
    _write_numbers(ax, layout, columns, size, points)
    edge = min(0.8, 0.03 * points)
    for k, (pair, x, fill) in enumerate(zip(layout.pairs, columns.gates, fills, strict=True)):
        outline = gate_outline(pair, gate, x, weight)
        ax.add_patch(Polygon(outline, fc=fill, ec=INK, lw=edge, joinstyle="miter", zorder=3, gid=f"gate-{k}"))
        if pair[0] > pair[1]:
            write(ax, x - 0.12 - 0.05 * weight, TOP + pair[1] + 0.5, "↑", size, ha="right")
    write(ax, LEFT - 1.3, (TOP + bottom) / 2, "wire", size, FAINT, rotation=90)
    if layout.depth:
        write(ax, LEFT, TOP - 0.9, "moment", size, FAINT, ha="right")


def _write_numbers(ax: Axes, layout: Layout, columns: Columns, size: float, points: float) -> None:
    """Number the wires and the moments; where figures of a legible size would touch, every second, fifth, ..."""
    size = max(size, 4.5)
    for wire in range(0, layout.n, _step(1.5 * size / points)):
        write(ax, LEFT - 0.25, TOP + wire, str(wire), size, ha="right", gid=f"wire-{wire}")
    if layout.depth:
        narrowest = min(right - left for left, right in columns.moments)
        digits = len(str(layout.depth - 1))
        for index in range(0, layout.depth, _step((0.7 * digits + 0.6) * size / points / narrowest)):
            centre = sum(columns.moments[index]) / 2
            write(ax, centre, TOP - 0.9, str(index), size, gid=f"moment-{index}")


def _step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... that is at least `least`."""
    return next(step for power in range(9) for step in (10**power, 2 * 10**power, 5 * 10**power) if step >= least)
