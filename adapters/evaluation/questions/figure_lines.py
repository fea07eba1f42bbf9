"""Named lines over orders, bits or steps as a figure, drawn from numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.style import context

from .labels import Label, place_labels
from .picture import COLOUR, MARKER, Bar, axes_row, dress, ink, mark_ticks

__all__ = ["Line", "draw_lines"]


@dataclass(frozen=True)
class Line:
    """A named line through points (x, y), one for each x; `dash` as matplotlib's line styles."""

    name: str
    role: str
    points: tuple[tuple[float, Bar], ...]
    dash: str = "-"


@context("default")
def draw_lines(
    panels: Mapping[str, tuple[Sequence[Line], str, str]],
    *,
    logarithmic: tuple[bool, bool] = (False, False),
    height: float = 2.9,
    ticks: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Lines over a shared kind of numbers: orders, bits or steps; each named at its end.

    Args:
        panels: by title: the lines and the words of the horizontal and the vertical axis.
        logarithmic: whether the (horizontal, vertical) axes are.
        height: of the panels, in inches.
        ticks: by title, the only values to mark on the horizontal axis.
    """
    figure, axes = axes_row([1.0] * len(panels), height, between=0.75)
    for ax, (title, (lines, horizontal, vertical)) in zip(axes, panels.items(), strict=True):
        ax.set(xscale="log" if logarithmic[0] else "linear", yscale="log" if logarithmic[1] else "linear")
        for line in lines:
            xs = [x for x, _ in line.points]
            means = [value.mean for _, value in line.points]
            halves = [value.half for _, value in line.points]
            shown = MARKER[line.role] if len(xs) < 12 else ""
            ax.errorbar(
                xs,
                means,
                halves if any(halves) else None,
                color=COLOUR[line.role],
                marker=shown,
                ms=5,
                lw=1.5,
                ls=line.dash,
                capsize=2,
                elinewidth=0.9,
            )
        dress(ax, horizontal, vertical, title)
        ax.margins(x=0.14, y=0.1)
        if ticks is not None and title in ticks:
            mark_ticks(ax, ticks[title])
        ends = [Label(line.name, *_end(line), ink(line.role)) for line in lines]
        place_labels(
            ax,
            ends,
            [(x, value.mean) for line in lines for x, value in line.points[:: max(1, len(line.points) // 20)]],
        )
    return figure


def _end(line: Line) -> tuple[float, float]:
    x, value = line.points[-1]
    return x, value.mean
