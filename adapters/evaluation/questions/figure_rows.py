"""A comparison as a figure, drawn from numbers alone: scores, and paired differences to a reference, row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import MaxNLocator

from qicircuits.drawing.style import INK, PAPER

from ..statistics import Interval
from .picture import COLOUR, MARKER, PROBE, Bar, axes_row, draw_level, dress

__all__ = ["Row", "draw_comparison"]


@dataclass(frozen=True)
class Row:
    """One line of a comparison.

    Args:
        name: what was run.
        role: a key of `picture.COLOUR`.
        score: its value.
        difference: to the reference, paired; None for the reference itself. Its mark is hollow unless the interval
            excludes zero.
    """

    name: str
    role: str
    score: Bar
    difference: Interval | None = None


@context("default")
def draw_comparison(
    rows: Sequence[Row], probe: Bar | None, reference: str, unit: str, *, better: str = "better →"
) -> Figure:
    """Scores with error bars on the left, paired differences to a reference on the right, row by row.

    Args:
        rows: from top to bottom.
        probe: what the frozen model reaches, or None.
        reference: name of what is compared with.
        unit: words of the scores' axis.
        better: which way is better, written under the differences.
    """
    figure, (left, right) = axes_row(
        (1.0, 1.0), 0.29 * len(rows) + 0.25, left=_names_width(rows), between=0.3, share_y=True
    )
    heights = list(range(len(rows)))[::-1]
    for height, row in zip(heights, rows, strict=True):
        _draw_bar(left, row.score.mean, height, row.score.half, row.role)
        if row.difference is None:
            right.plot(0, height, marker="|", ms=9, color=INK)
        else:
            half = row.difference.high - row.difference.mean
            shown = half if math.isfinite(half) else 0.0
            _draw_bar(right, row.difference.mean, height, shown, row.role, filled=row.difference.excludes_zero())
    if probe is not None:
        draw_level(left, PROBE, probe, horizontal=False)
    right.axvline(0, color=INK, lw=0.9, zorder=1)
    dress(left, unit)
    dress(right, f"difference, ± 95 % interval   ({better})", title=f"against {reference}")
    left.set_yticks(heights, [row.name for row in rows])
    left.set_ylim(-0.6, len(rows) - 0.4)
    left.margins(x=0.08)
    right.tick_params(labelleft=False, left=False)
    _room_around_zero(right)
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(6))
    return figure


def _draw_bar(ax: Axes, x: float, y: float, half: float, role: str, *, filled: bool = True) -> None:
    colour = COLOUR[role]
    ax.errorbar(
        x,
        y,
        xerr=half or None,
        color=colour,
        marker=MARKER[role],
        ms=8 if role == "other" else 6,
        capsize=2.5,
        lw=1.4,
        mfc=colour if filled else PAPER,
    )


def _names_width(rows: Sequence[Row]) -> float:
    """Inches that the names on the left take."""
    return min(3.2, 0.25 + 0.072 * max(len(row.name) for row in rows))


def _room_around_zero(ax: Axes) -> None:
    low, high = ax.get_xlim()
    room = 0.1 * max(high - low, 1e-9)
    ax.set_xlim(min(low, -room), max(high, room))
