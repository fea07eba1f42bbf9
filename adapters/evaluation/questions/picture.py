"""What the figures share: sizes, axes, colours by role, levels, ticks, files that differ only where figures do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from qicircuits.drawing.style import COLOURS, FAINT, FONT, INK, sheet

__all__ = [
    "COLOUR",
    "MARKER",
    "PROBE",
    "SIZE",
    "WIDTH",
    "Bar",
    "axes_column",
    "axes_row",
    "draw_level",
    "dress",
    "ink",
    "mark_ticks",
    "save_figure",
]

WIDTH = 8.0
"""Inches of a whole page: at that width no letter is smaller than 7.5 points."""

SIZE = 8.5
"""Points of ordinary words."""

# Dark to light, so apart in grey too; the four hues differ for every common colour blindness.
COLOUR = {
    "quic": COLOURS[0],
    "control": COLOURS[1],
    "rival": COLOURS[2],
    "second": COLOURS[3],
    "other": FAINT,
    "probe": FAINT,
}
"""The colour of a role: our adapters, controls, named rivals, a second thing of ours, everything else, the probe."""

MARKER = {"quic": "o", "control": "s", "rival": "D", "second": "^", "other": ".", "probe": "x"}

PROBE = "head only"
"""What figures call the probe."""

_TOP, _BOTTOM, _BETWEEN = 0.34, 0.5, 0.62  # inches


@dataclass(frozen=True)
class Bar:
    """A value and its error bar, mean ± half."""

    mean: float
    half: float = 0.0


def ink(role: str) -> str:
    """The colour of words about a role; the lightest colours are too light to read."""
    return {"rival": "#2a7f6c", "second": "#a3649a", "other": "#4d545d", "probe": "#4d545d"}.get(role, COLOUR[role])


def axes_row(
    widths: Sequence[float],
    height: float,
    *,
    left: float = 0.62,
    right: float = 0.15,
    between: float = _BETWEEN,
    share_y: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure as wide as the page, with panels side by side.

    Args:
        widths: of the panels, relative to each other.
        height: of the panels, in inches.
        left, right: margins in inches, for labels and ticks.
        between: inches between two panels.
        share_y: whether the panels have one vertical scale.
    """
    total = height + _TOP + _BOTTOM
    figure = sheet(WIDTH, total)
    unit = (WIDTH - left - right - between * (len(widths) - 1)) / sum(widths)
    axes: list[Axes] = []
    x = left
    for width in widths:
        box = (x / WIDTH, _BOTTOM / total, width * unit / WIDTH, height / total)
        axes.append(figure.add_axes(box, sharey=axes[0] if share_y and axes else None))
        x += width * unit + between
    return figure, axes


def axes_column(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure as wide as the page, with panels of `height` inches one under another."""
    each = height + _TOP + _BOTTOM
    figure = sheet(WIDTH, count * each)
    left, right = 0.62, 0.18
    boxes = [
        (left / WIDTH, (_BOTTOM + i * each) / (count * each), 1 - (left + right) / WIDTH, height / (count * each))
        for i in reversed(range(count))
    ]
    return figure, [figure.add_axes(box) for box in boxes]


def dress(ax: Axes, horizontal: str, vertical: str = "", title: str = "") -> None:
    """Give axes the page's font, grid and words."""
    ax.set_axisbelow(True)
    ax.grid(color=FAINT, alpha=0.25, lw=0.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[:].set(color=INK, linewidth=0.8)
    ax.tick_params(which="both", colors=INK, labelsize=SIZE - 0.5, labelfontfamily=FONT)
    ax.set_xlabel(horizontal, fontsize=SIZE, color=INK, fontfamily=FONT)
    ax.set_ylabel(vertical, fontsize=SIZE, color=INK, fontfamily=FONT)
    if title:
        ax.set_title(title, fontsize=SIZE + 0.5, color=INK, fontfamily=FONT, loc="left")


def draw_level(ax: Axes, name: str, value: Bar, *, horizontal: bool) -> None:
    """A broken line across the axes, with its interval as a band and its name at the end."""
    draw, band = (ax.axhline, ax.axhspan) if horizontal else (ax.axvline, ax.axvspan)
    draw(value.mean, color=FAINT, lw=1.2, ls=(0, (4, 3)), zorder=1)
    if value.half:
        band(value.mean - value.half, value.mean + value.half, color=FAINT, alpha=0.13, lw=0, zorder=0)
    place: dict[str, Any] = (
        {"xy": (1, value.mean), "xytext": (-3, 3), "xycoords": ("axes fraction", "data"), "ha": "right"}
        if horizontal
        else {"xy": (value.mean, 1), "xytext": (0, 2), "xycoords": ("data", "axes fraction"), "ha": "center"}
    )
    ax.annotate(
        name,
        textcoords="offset points",
        va="bottom",
        fontsize=SIZE - 1,
        color=ink("probe"),
        fontfamily=FONT,
        **place,
    )


def mark_ticks(ax: Axes, ticks: Sequence[float]) -> None:
    """Mark these values, and no others, on the horizontal axis."""
    ax.set_xticks(list(ticks), [f"{tick:,g}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as SVG: the same bytes for the same figure.

    Args:
        figure: what to write.
        path: of the file, with the suffix .svg.
    """
    with mpl.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})
