"""The figures of the laboratory's pages, drawn from numbers alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import MaxNLocator, NullLocator

from qicircuits.drawing.style import FAINT, FONT, INK, PAPER

from ..statistics import Interval
from .labels import Label, place_labels
from .picture import COLOUR, MARKER, SIZE, axes_column, axes_row, dress

__all__ = ["Bar", "Curve", "Line", "Mark", "Row", "draw_comparison", "draw_curves", "draw_lines", "draw_marks"]


PROBE = "head only"


@dataclass(frozen=True)
class Bar:
    """A value and its error bar, mean ± half."""

    mean: float
    half: float = 0.0


@dataclass(frozen=True)
class Curve:
    """A method at several sizes.

    Args:
        name: of the method.
        role: a key of `picture.COLOUR`.
        points: (size, value), sizes ascending.
    """

    name: str
    role: str
    points: tuple[tuple[float, Bar], ...]


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


@dataclass(frozen=True)
class Mark:
    """A named point of a plane."""

    name: str
    role: str
    x: Bar
    y: Bar


@dataclass(frozen=True)
class Line:
    """A named line through points (x, y), one for each x; `dash` as matplotlib's line styles."""

    name: str
    role: str
    points: tuple[tuple[float, Bar], ...]
    dash: str = "-"


@context("default")
def draw_curves(
    panels: Mapping[str, tuple[Sequence[Curve], Bar, Sequence[tuple[float, float]]]], horizontal: str, vertical: str
) -> Figure:
    """Value against size on a logarithmic scale, one panel under another, each with the probe and the frontier.

    Args:
        panels: by title: the curves, the probe, and the Pareto frontier as (size, value), sizes ascending.
        horizontal, vertical: words of the axes.
    """
    figure, axes = axes_column(len(panels), 3.9)
    for ax, (title, (curves, probe, frontier)) in zip(axes, panels.items(), strict=True):
        ax.set_xscale("log")
        _log_limits(ax, [size for curve in curves for size, _ in curve.points], 0.09)
        _level(ax, PROBE, probe, horizontal=True)
        if frontier:
            sizes, values = zip(*frontier, strict=True)
            ax.plot(
                sizes, values, color=INK, lw=6, alpha=0.12, solid_capstyle="round", drawstyle="steps-post", zorder=1
            )
        for curve in curves:
            _draw_curve(ax, curve)
        dress(ax, horizontal, vertical, title)
        ax.margins(y=0.12)
        _name_curves(ax, curves)
    return figure


def _draw_curve(ax: Axes, curve: Curve) -> None:
    sizes = [size for size, _ in curve.points]
    means = [value.mean for _, value in curve.points]
    halves = [value.half for _, value in curve.points]
    leading = curve.role in ("quic", "control", "rival", "second")
    ax.errorbar(
        sizes,
        means,
        halves,
        color=COLOUR[curve.role],
        marker=MARKER[curve.role],
        ms=5 if leading else 6,
        lw=1.6 if leading else 0.9,
        elinewidth=0.8,
        capsize=2,
        alpha=1 if leading else 0.75,
        zorder=4 if leading else 3,
    )


def _name_curves(ax: Axes, curves: Sequence[Curve]) -> None:
    """Every curve is named at its last point; the important ones choose first."""
    order = sorted(curves, key=lambda curve: curve.role == "other")
    labels = [Label(c.name, c.points[-1][0], c.points[-1][1].mean, _ink(c.role)) for c in order]
    place_labels(ax, labels, [(size, value.mean) for curve in curves for size, value in curve.points])


def _ink(role: str) -> str:
    """The colour of words about a role; the lightest colours are too light to read."""
    return {"rival": "#2a7f6c", "second": "#a3649a", "other": "#4d545d", "probe": "#4d545d"}.get(role, COLOUR[role])


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
        _level(left, PROBE, probe, horizontal=False)
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


def _level(ax: Axes, name: str, value: Bar, *, horizontal: bool) -> None:
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
        color=_ink("probe"),
        fontfamily=FONT,
        **place,
    )


@context("default")
def draw_marks(
    panels: Mapping[str, tuple[Sequence[Mark], str]],
    vertical: str,
    *,
    level: tuple[str, Bar] | None = None,
    logarithmic: bool = True,
    height: float = 3.6,
) -> Figure:
    """Named points of planes that share the vertical axis.

    Args:
        panels: by title: the points and the words of the horizontal axis.
        vertical: words of the vertical axis.
        level: a name and a value that is drawn across every panel.
        logarithmic: whether the horizontal axes are.
        height: of the panels, in inches.
    """
    figure, axes = axes_row([1.0] * len(panels), height, between=0.3, share_y=True)
    for ax, (title, (marks, words)) in zip(axes, panels.items(), strict=True):
        if logarithmic:
            ax.set_xscale("log")
            _log_limits(ax, [mark.x.mean for mark in marks], 0.2)
        for mark in marks:
            _draw_point(ax, mark)
        if level is not None:
            _level(ax, *level, horizontal=True)
        dress(ax, words, vertical if ax is axes[0] else "", title)
        ax.margins(x=0.1, y=0.12)
    for ax, (marks, _) in zip(axes, panels.values(), strict=True):
        ax.tick_params(labelleft=ax is axes[0])
        if logarithmic:
            _few_powers(ax)
        order = sorted(marks, key=lambda mark: mark.role == "other")
        place_labels(ax, [Label(m.name, m.x.mean, m.y.mean, _ink(m.role)) for m in order])
    return figure


def _draw_point(ax: Axes, mark: Mark) -> None:
    ax.errorbar(
        mark.x.mean,
        mark.y.mean,
        yerr=mark.y.half or None,
        xerr=mark.x.half or None,
        color=COLOUR[mark.role],
        marker=MARKER[mark.role],
        ms=6,
        lw=0.9,
        capsize=2,
    )


def _log_limits(ax: Axes, values: Sequence[float], margin: float) -> None:
    """Limits of a logarithmic axis with a margin, and with some width even around a single value."""
    room = (max(values) / min(values)) ** margin
    ax.set_xlim(min(values) / max(room, 1.2), max(values) * max(room, 1.2))


def _few_powers(ax: Axes) -> None:
    """1, 2, 5, 10, ... where the axis spans less than two powers of ten; matplotlib would name one tick or none."""
    low, high = ax.get_xlim()
    if high / low < 100:
        steps = [digit * 10.0**power for power in range(-6, 13) for digit in (1, 2, 5)]
        inside = [step for step in steps if low <= step <= high]
        if len(inside) < 3:
            inside = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
        _mark_ticks(ax, inside)
        ax.set_xlim(low, high)


def _mark_ticks(ax: Axes, ticks: Sequence[float]) -> None:
    ax.set_xticks(list(ticks), [f"{tick:,g}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())


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
            _mark_ticks(ax, ticks[title])
        ends = [Label(line.name, *_end(line), _ink(line.role)) for line in lines]
        place_labels(
            ax,
            ends,
            [(x, value.mean) for line in lines for x, value in line.points[:: max(1, len(line.points) // 20)]],
        )
    return figure


def _end(line: Line) -> tuple[float, float]:
    x, value = line.points[-1]
    return x, value.mean
