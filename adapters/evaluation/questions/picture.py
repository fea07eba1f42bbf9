"""The page that the figures share: sizes, axes, colours by role, files that differ only where figures do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qicircuits.drawing.style import COLOURS, FAINT, FONT, INK, sheet

__all__ = ["COLOUR", "MARKER", "SIZE", "WIDTH", "axes_column", "axes_row", "dress", "save_figure"]

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

_TOP, _BOTTOM, _BETWEEN = 0.34, 0.5, 0.62  # inches


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


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as SVG: the same bytes for the same figure.

    Args:
        figure: what to write.
        path: of the file, with the suffix .svg.
    """
    with mpl.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})
