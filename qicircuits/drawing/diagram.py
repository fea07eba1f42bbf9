"""The anatomy of a circuit diagram: columns for the moments, an outline for each gate, wires and numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Polygon, Rectangle
from numpy.typing import NDArray

from .scheme import READ_AS, GateMark, Scheme, box_words, stagger
from .style import ACCENT, BAND, FAINT, INK, LOADER, LOADER_BANDS, PAPER, page, write

__all__ = [
    "PITCH",
    "TOP",
    "Columns",
    "diagram_page",
    "gate_fill",
    "gate_outline",
    "page_size",
    "paint_diagram",
    "place_columns",
    "write_title",
]

LEFT = 1.8  # units left of the wires, for numbers of up to three figures
TOP = 2.0  # units above wire 0, for the title and the moments' numbers
HEADING = 0.85  # units more, for the titles of sections
NARROWEST = 7.5  # units, of a whole diagram
LARGEST = 10.0  # inches, of a page of its own
LEAD = 0.3  # units of wire before the first and after the last moment
BETWEEN = 0.4  # units of wire between two sections
PITCH = 0.75  # units that a bar takes
LETTER = 0.2  # units that a letter of a box, a title or a label takes


@dataclass(frozen=True)
class Columns:
    """Where everything stands, in drawing units.

    Args:
        gates: the middle of each gate.
        moments: (left, right) of each moment.
        sections: (left, right) of each section.
        left: where the wires begin.
        right: where the wires end.
        top: the height of wire 0.
        outside: room right of the wires, for what they are read as.
    """

    gates: tuple[float, ...]
    moments: tuple[tuple[float, float], ...]
    sections: tuple[tuple[float, float], ...]
    left: float
    right: float
    top: float
    outside: float


def place_columns(scheme: Scheme, words: Sequence[str], pitch: float, label: float = 0.0) -> Columns:
    """Give every moment as many sub-columns as it needs.

    Args:
        scheme: the circuit.
        words: what stands beside each gate, or in its box.
        pitch: units that a bar takes.
        label: units right of each bar that has a word.
    """
    gates: list[float] = []
    moments: list[tuple[float, float]] = []
    sections: list[tuple[float, float]] = []
    start = max(LEFT, 1.2 + LETTER * max(map(len, scheme.wires), default=0))
    right = start + LEAD
    texts = iter(words)
    for section in scheme.sections:
        begin = right + BETWEEN * bool(sections)
        right = begin
        for moment in section.moments:
            own = [next(texts) for _ in moment]
            left, column_of = right, stagger([mark.span for mark in moment])
            middles = []
            for column in range(max(column_of) + 1):
                there = [
                    pair for pair, c in zip(zip(moment, own, strict=True), column_of, strict=True) if c == column
                ]
                width = max(_box_width(m, word) + 0.3 if m.symbol == "box" else pitch for m, word in there)
                middles.append(right + width / 2)
                right += width + label * any(word for m, word in there if m.symbol != "box")
            gates += [middles[column] for column in column_of]
            moments.append((left, right))
        if section.title:
            right = max(right, begin + LETTER * len(section.title) + 0.2)
        sections.append((begin, right))
    outside = 0.4 + LETTER * max(map(len, (READ_AS, *scheme.outputs))) if scheme.outputs else 0.0
    top = TOP + HEADING * scheme.is_titled
    return Columns(tuple(gates), tuple(moments), tuple(sections), start, right + LEAD, top, outside)


def _box_width(mark: GateMark, word: str) -> float:
    return max(0.62, LETTER * len(box_words(mark, word)) + 0.2)


def gate_outline(mark: GateMark, x: float, top: float, weight: float) -> NDArray[np.float64]:
    """The outline, (points, 2), of a vertical bar from wire to wire.

    RBS: a round dot on each of its two wires. FBS: diamonds there, and a small one on every wire between, whose
    parity gives the gate its sign. `weight` 1 is the line drawing, more leaves room for a colour.
    """
    first, last = min(mark.rows), max(mark.rows)
    dot, bar = 0.17 * math.sqrt(weight), 0.045 * weight
    if mark.symbol == "rbs":
        turn = dot * np.cos(np.linspace(0, math.pi, 33))
        y = np.unique([first + turn, last + turn])
        half = [np.sqrt(np.maximum(dot**2 - (y - row) ** 2, 0)) for row in mark.rows]
    else:
        reach = {row: 1.3 * dot if row in mark.pair else 0.9 * dot for row in mark.rows}
        y = np.unique([row + d for row, r in reach.items() for d in (-r, bar - r, 0, r - bar, r)])
        half = [r - np.abs(y - row) for row, r in reach.items()]
    half.append(np.where((y >= first) & (y <= last), bar, 0))
    right = np.max(half, axis=0)
    return np.concatenate([np.stack([x + right, y + top], 1), np.stack([x - right, y + top], 1)[::-1]])


def gate_fill(mark: GateMark, role: str) -> str:
    """The colour of a gate that shows no angle by it."""
    if role == "loader":
        return LOADER
    return PAPER if mark.symbol == "box" else ACCENT[mark.symbol]


def page_size(scheme: Scheme, columns: Columns, extra: float = 0.0) -> tuple[float, float]:
    """Width and height of a diagram's page in units, with `extra` units to its right."""
    return max(columns.right + columns.outside + 0.4 + extra, NARROWEST), columns.top + len(scheme.wires)


def diagram_page(ax: Axes | None, scheme: Scheme, columns: Columns, extra: float = 0.0) -> tuple[Axes, float]:
    """The page for a diagram, at most 10 inches long if its own, and its points per unit."""
    width, height = page_size(scheme, columns, extra)
    return page(ax, width, height, min(0.5, LARGEST / max(width, height)))


def write_title(ax: Axes, words: str, points: float) -> None:
    """Write a line above the diagram, from the left, as large as its page allows."""
    width = abs(ax.get_xlim()[1] - ax.get_xlim()[0])
    size = min(11.0, max(0.31 * points, 7.5), 1.6 * (width - 0.4) * points / len(words))
    write(ax, 0.3, 0.5, words, size, ha="left", fontweight="bold")


def paint_diagram(
    ax: Axes,
    scheme: Scheme,
    columns: Columns,
    words: Sequence[str],
    fills: Sequence[object],
    weight: float,
    points: float,
) -> None:
    """Draw bands and numbers of the moments, wires and their labels, and one polygon a gate (gid "gate-<k>").

    A gate whose pair runs upwards (i > j), which turns by -θ on the sorted pair, carries an arrow.
    """
    size = min(9.0, 0.34 * points)
    thin = min(1.0, 0.04 * points)
    _paint_bands(ax, scheme, columns, size, points)
    for row in range(len(scheme.wires)):
        ax.plot([columns.left, columns.right], [columns.top + row] * 2, color=FAINT, lw=thin, zorder=1)
    _write_labels(ax, scheme, columns, size, points)
    for k, (mark, x, word, fill) in enumerate(zip(scheme.marks, columns.gates, words, fills, strict=True)):
        _paint_controls(ax, mark, x, columns.top, thin, k)
        if mark.symbol == "box":
            outline = _paint_box_words(ax, mark, x, columns.top, word, points, k)
        else:
            outline = gate_outline(mark, x, columns.top, weight)
        edge = min(0.8, 0.03 * points)
        ax.add_patch(Polygon(outline, fc=fill, ec=INK, lw=edge, joinstyle="miter", zorder=3, gid=f"gate-{k}"))
        if mark.symbol != "box" and mark.pair[0] > mark.pair[1]:
            write(ax, x - 0.12 - 0.05 * weight, columns.top + mark.pair[1] + 0.5, "↑", size, ha="right")


def _paint_bands(ax: Axes, scheme: Scheme, columns: Columns, size: float, points: float) -> None:
    """Shade the moments of each section in turn, number them from 0, and write its title above."""
    height = len(scheme.wires)
    edges = iter(columns.moments)
    numbered = 0
    digits = max((len(str(len(section.moments) - 1)) for section in scheme.sections), default=1)
    narrowest = min((right - left for left, right in columns.moments), default=1.0)
    size_of_number = max(size, 4.5)
    step = _step((0.7 * digits + 0.6) * size_of_number / points / narrowest)
    for section, (begin, end) in zip(scheme.sections, columns.sections, strict=True):
        bands = LOADER_BANDS if section.role == "loader" else (BAND, PAPER)
        for index in range(len(section.moments)):
            left, right = next(edges)
            right = end if index == len(section.moments) - 1 else right
            band = Rectangle((left, columns.top - 0.5), right - left, height, color=bands[index % 2], lw=0, zorder=0)
            ax.add_patch(band)
            if index % step == 0:
                place = ((left + right) / 2, columns.top - 0.9)
                write(ax, *place, str(index), size_of_number, gid=f"moment-{numbered}")
            numbered += 1
        if section.title:
            y = columns.top - 1.75
            ax.plot([begin, end], [y + 0.4] * 2, color=INK, lw=min(1.0, 0.04 * points), gid="section")
            fitting = 1.6 * (end - begin) * points / len(section.title)
            write(ax, begin, y, section.title, min(size, fitting), ha="left", fontweight="bold", gid="section")
    if columns.moments:
        write(ax, columns.left, columns.top - 0.9, "moment", size, FAINT, ha="right")


def _write_labels(ax: Axes, scheme: Scheme, columns: Columns, size: float, points: float) -> None:
    """Name the wires; where words of a legible size would touch, every second, fifth, ..."""
    size = max(size, 4.5)
    n = len(scheme.wires)
    for row in range(0, n, _step(1.5 * size / points)):
        write(ax, columns.left - 0.25, columns.top + row, scheme.wires[row], size, ha="right", gid=f"wire-{row}")
        if scheme.outputs:
            place = (columns.right + 0.25, columns.top + row)
            write(ax, *place, scheme.outputs[row], size, ha="left", gid=f"output-{row}")
    if scheme.outputs:
        write(ax, columns.right + 0.25, columns.top - 0.9, READ_AS, size, FAINT, ha="left")
    write(ax, 0.5, columns.top + (n - 1) / 2, "wire", size, FAINT, rotation=90)


def _paint_controls(ax: Axes, mark: GateMark, x: float, top: float, thin: float, k: int) -> None:
    """A line through all that the gate stands on, and on each control a dot: filled for 1, open for 0."""
    if not mark.controls:
        return
    first, last = mark.span
    ax.plot([x, x], [top + first, top + last], color=INK, lw=1.5 * thin, zorder=2)
    for row, value in mark.controls:
        fill = INK if value else PAPER
        ax.add_patch(Circle((x, top + row), 0.11, fc=fill, ec=INK, lw=1.2 * thin, zorder=4, gid=f"control-{k}"))


def _paint_box_words(
    ax: Axes, mark: GateMark, x: float, top: float, word: str, points: float, k: int
) -> NDArray[np.float64]:
    """The words of a box, and its outline; wires that pass under it unchanged are drawn over it."""
    half = _box_width(mark, word) / 2
    first, last = min(mark.rows), max(mark.rows)
    for row in set(range(first, last)) - set(mark.rows):
        ax.plot([x - half, x + half], [top + row] * 2, color=FAINT, lw=min(1.0, 0.04 * points), zorder=4)
    middle = first if first == last else first + 0.5  # between wires
    write(ax, x, top + middle, box_words(mark, word), min(10.0, 0.28 * points), gid=f"name-{k}")
    low, high = top + first - 0.31, top + last + 0.31
    return np.array([(x - half, low), (x + half, low), (x + half, high), (x - half, high)])


def _step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... that is at least `least`."""
    return next(step for power in range(9) for step in (10**power, 2 * 10**power, 5 * 10**power) if step >= least)
