"""Values against sizes, and named points of planes: figures drawn from numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import MaxNLocator

from qicircuits.drawing.style import INK

from .labels import Label, place_labels
from .picture import COLOUR, MARKER, PROBE, Bar, axes_column, axes_row, draw_level, dress, ink, mark_ticks

__all__ = ["PROBE", "Bar", "Curve", "Mark", "draw_curves", "draw_marks"]


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
class Mark:
    """A named point of a plane."""

    name: str
    role: str
    x: Bar
    y: Bar


@context("default")
def draw_curves(
    panels: Mapping[str, tuple[Sequence[Curve], Bar, Sequence[tuple[float, float]]]], horizontal: str, vertical: str
) -> Figure:
    """Value against size on a logarithmic scale, one panel under another, each with the probe and the frontier.

    Args:
        panels: by title: the curves, the probe, and the Pareto frontier as (size, value), sizes ascending.
        horizontal, vertical: words of the axes.
    """
    figure, axes = axes_column(len(panels), 5.2)
    for ax, (title, (curves, probe, frontier)) in zip(axes, panels.items(), strict=True):
        ax.set_xscale("log")
        _log_limits(ax, [size for curve in curves for size, _ in curve.points], 0.09)
        draw_level(ax, PROBE, probe, horizontal=True)
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
        color=to_rgba(COLOUR[curve.role], 1 if leading else 0.75),
        marker=MARKER[curve.role],
        ms=5 if leading else 6,
        lw=1.6 if leading else 0.9,
        elinewidth=0.8,
        ecolor=to_rgba(COLOUR[curve.role], 1 if leading else 0.3),  # of many others the bars would hide the curves
        capsize=2 if leading else 0,
        zorder=4 if leading else 3,
    )


def _name_curves(ax: Axes, curves: Sequence[Curve]) -> None:
    """Every curve is named at its last point; the important ones choose first."""
    order = sorted(curves, key=lambda curve: curve.role == "other")
    labels = [Label(c.name, c.points[-1][0], c.points[-1][1].mean, ink(c.role)) for c in order]
    place_labels(ax, labels, [(size, value.mean) for curve in curves for size, value in curve.points])


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
            draw_level(ax, *level, horizontal=True)
        dress(ax, words, vertical if ax is axes[0] else "", title)
        ax.margins(x=0.1, y=0.12)
    for ax, (marks, _) in zip(axes, panels.values(), strict=True):
        ax.tick_params(labelleft=ax is axes[0])
        if logarithmic:
            _few_powers(ax)
        order = sorted(marks, key=lambda mark: mark.role == "other")
        place_labels(ax, [Label(m.name, m.x.mean, m.y.mean, ink(m.role)) for m in order])
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
        mark_ticks(ax, inside)
        ax.set_xlim(low, high)
