"""Draw a circuit of RBS or FBS gates with its angles: as words on few gates, as colours on many."""

import math

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.style import context
from numpy.typing import ArrayLike, NDArray

from ..layouts import Layout
from .diagram import TOP, check_circuit, describe, diagram_page, paint_diagram, place_columns, write_title
from .inputs import real_numbers
from .style import ACCENT, DIVERGING, colour_bar, subscript, write

__all__ = ["draw_circuit"]

WORDS = 48  # most gates whose angles are written out
LEGIBLE = 4.5  # points; smaller words are not written
PITCH, WIDE = 0.75, 0.9  # units that a bar takes, plain and coloured
WORD, WORD_SIZE = 0.17, 0.28  # units: width of a letter, height of a word
BAR = 3.3  # units right of the wires, for the colour bar


@context("default")
def draw_circuit(
    layout: Layout, angles: ArrayLike | torch.Tensor | None = None, *, gate: str = "rbs", ax: Axes | None = None
) -> Axes:
    """Draw the circuit U = U_{G-1}(θ_{G-1}) ... U_0(θ_0) of a layout; time runs to the right, wire 0 is on top.

    An RBS gate is a bar with a round dot on each of its two wires. An FBS gate is a bar with diamonds, and a
    smaller diamond on every wire between, whose parity signs it. Gates of one moment that cross each other stand
    in sub-columns of the moment; moments are shaded in turn and numbered. A pair (i, j) with i > j has an arrow.

    Args:
        layout: the places of the gates.
        angles: θ in radians, shape (layout.n_gates,), in the order of `layout.pairs`. They are written beside up
            to 48 gates and shown as colours beyond, or where words would be too small. Without them the gates of
            a small circuit are labelled θ₀, θ₁, ...
        gate: "rbs" or "fbs".
        ax: where to draw; by default a figure of its own, outside pyplot.

    Returns:
        The axes; `ax.figure.savefig("circuit.svg")` writes it as PNG, SVG or PDF.

    Raises:
        TypeError: the layout is none, or the angles are not real numbers.
        ValueError: the gate is unknown, or the angles are not finite or not one for each gate.

    >>> from qicircuits import brickwork
    >>> ax = draw_circuit(brickwork(4), [0.1, -0.2, 0.3, 0.4, -0.5, 0.6])
    >>> [text.get_text() for text in ax.texts if str(text.get_gid()).startswith("angle")]
    ['0.10', '−0.20', '0.30', '0.40', '−0.50', '0.60']
    """
    check_circuit(gate, layout)
    values = None if angles is None else real_numbers(angles, "angles").numpy()
    if values is not None and values.shape != (layout.n_gates,):
        raise ValueError(f"{layout!r} needs angles of shape ({layout.n_gates},), got {values.shape}")
    words = _gate_words(layout, values)
    width = WORD * max(map(len, words), default=0)
    coloured = values is not None and layout.n_gates > WORDS
    columns = place_columns(layout, WIDE if coloured else PITCH + width, width)
    ax, points = diagram_page(ax, layout, columns, BAR if coloured else 0.0)
    if words and WORD_SIZE * points < LEGIBLE:  # the axes given are too small for words
        words, coloured, columns = [], values is not None, place_columns(layout, WIDE)
        ax, points = diagram_page(ax, layout, columns, BAR if coloured else 0.0)
    fills: list[object] = [ACCENT[gate]] * layout.n_gates
    if values is not None and coloured:
        limit = _limit(values)
        fills = list(colormaps[DIVERGING](Normalize(-limit, limit)(values)))
        _draw_scale(ax, layout, columns.right, limit, points)
    paint_diagram(ax, layout, columns, gate, fills, 3 if coloured else 1, points)
    for k, (word, x, pair) in enumerate(zip(words, columns.gates, layout.pairs, strict=False)):
        place = (x + 0.12, TOP + min(pair) + 0.5)
        write(ax, *place, word, min(10.0, WORD_SIZE * points), ha="left", gid=f"angle-{k}")
    write_title(ax, describe(layout, gate), points)
    return ax


def _gate_words(layout: Layout, values: NDArray[np.float64] | None) -> list[str]:
    """What stands beside each gate: its angle, else its name; nothing where there are too many gates."""
    if layout.n_gates > WORDS:
        return []
    if values is None:
        return ["θ" + subscript(k) for k in range(layout.n_gates)]
    digits = 2 if np.abs(values).max(initial=0) >= 0.1 else 4
    return [f"{value:z.{digits}f}".replace("-", "−") for value in values]


def _limit(values: NDArray[np.float64]) -> float:
    """The end of the colour scale: a round part of π where one is near, else the largest angle."""
    largest = float(np.abs(values).max(initial=0))
    rounded = (math.pi / part for part in (8, 4, 2, 1) if largest <= math.pi / part)
    return next(rounded) if math.pi / 16 < largest <= math.pi else largest or 1.0


def _draw_scale(ax: Axes, layout: Layout, right: float, limit: float, points: float) -> None:
    height = max(layout.n - 1, 2)
    cax = ax.inset_axes((right + 0.5, TOP, 0.5, height), transform=ax.transData)
    part = math.pi / limit
    if math.isclose(part, round(part)):
        name = "π" if round(part) == 1 else f"π/{round(part)}"
        ticks = {-limit: f"−{name}", 0.0: "0", limit: name}
    else:
        ticks = {-limit: f"−{limit:.2g}", 0.0: "0", limit: f"{limit:.2g}"}
    colour_bar(cax, limit, ticks, "angle θ (radians)", min(9.0, 0.36 * points))
