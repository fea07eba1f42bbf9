"""Draw how many times as long as the classical engine a circuit takes, as the order grows."""

from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.style import context
from matplotlib.ticker import MaxNLocator

from .style import COLOURS, FAINT, FONT, INK, PAPER, ink_around, sheet_axes

__all__ = ["draw_resources"]

MARKERS = ("o", "s", "^", "D")


class HasCurves(Protocol):
    """What `qicircuits.resources.Report` tells to be drawn."""

    def curves(self) -> tuple[int, dict[str, list[tuple[int, float, float]]]]:
        """n, and for every task (k, seconds of the circuit, classical seconds)."""


@context("default")
def draw_resources(report: HasCurves, *, ax: Axes | None = None) -> Axes:
    """Draw the seconds of a circuit over those of the classical engine against the order k, for each task.

    A circuit takes less time where its line is below 1.

    Args:
        report: an estimate of `qicircuits.resources`; the number of wires is that of its widest circuit.
        ax: where to draw; by default a figure of its own, outside pyplot.

    Returns:
        The axes; `ax.figure.savefig("resources.svg")` writes it.

    Raises:
        ValueError: there are less than 2 wires.

    >>> from qicircuits import brickwork
    >>> from qicircuits.resources import estimate
    >>> draw_resources(estimate(brickwork(8))).get_xlabel()
    'order k, on 8 wires'
    """
    n, curves = report.curves()
    if ax is None:
        ax = sheet_axes(5.6, 3.8, (0.15, 0.14, 0.81, 0.82))
    ink = ink_around(ax)
    ax.set(yscale="log", facecolor=PAPER)
    ax.set_xlabel(f"order k, on {n} wires", fontsize=9.5, color=ink, fontfamily=FONT)
    ax.set_ylabel("time of the circuit / classical time", fontsize=9.5, color=ink, fontfamily=FONT)
    ax.tick_params(which="both", colors=ink, labelsize=8.5, labelfontfamily=FONT)
    ax.spines[:].set(color=ink, linewidth=0.8)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(color=FAINT, alpha=0.3, lw=0.5)
    ax.axhline(1, color=INK, lw=1, ls=(0, (4, 3)), gid="equal")
    for colour, marker, (task, points) in zip(COLOURS, MARKERS, curves.items(), strict=True):
        orders = [k for k, _, _ in points]
        ratios = [quantum / classical for _, quantum, classical in points]
        ax.plot(orders, ratios, color=colour, marker=marker, ms=5, mec=INK, mew=0.4, label=task, gid=task)
    ax.legend(frameon=False, labelcolor=INK, prop={"family": FONT, "size": 9})
    return ax
