"""Draw a circuit with its angles: as a picture, with words on few gates and colours on many, or as text."""

import math
from collections.abc import Sequence
from typing import Literal, overload

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.style import context
from numpy.typing import NDArray

from .diagram import PITCH, Columns, diagram_page, gate_fill, paint_diagram, place_columns, write_title
from .reading import Angles, Drawable, read_circuit
from .scheme import Scheme
from .style import DIVERGING, colour_bar, ink_on, write
from .text import write_diagram

__all__ = ["draw_circuit"]

WORDS = 48  # most gates whose angles are written out
LEGIBLE = 4.5  # points; smaller words are not written
WIDE = 0.9  # units that a coloured bar takes
WORD, WORD_SIZE = 0.17, 0.28  # units: width of a letter, height of a word
MINUS = 0.11  # units, half of a minus
SIGNED = 0.02  # of the largest angle: what has a sign
BAR = 3.3  # units right of the wires, for the colour bar


@overload
def draw_circuit(
    circuit: Drawable,
    angles: Angles = None,
    *,
    gate: str | None = None,
    output: Literal["mpl"] = "mpl",
    ax: Axes | None = None,
) -> Axes: ...
@overload
def draw_circuit(
    circuit: Drawable,
    angles: Angles = None,
    *,
    gate: str | None = None,
    output: Literal["text"],
    width: int = 100,
) -> str: ...
@context("default")
def draw_circuit(
    circuit: Drawable,
    angles: Angles = None,
    *,
    gate: str | None = None,
    output: str = "mpl",
    ax: Axes | None = None,
    width: int | None = None,
) -> Axes | str:
    """Draw a circuit of RBS, FBS and other gates; time runs to the right, the first wire is on top.

    An RBS gate is a bar with a round dot on each of its two wires. An FBS gate is a bar with diamonds, and a
    smaller diamond on every wire between, whose parity signs it. Controls are small dots, filled for 1 and open for
    0; other gates are boxes. A pair (i, j) with i > j has an arrow.

    Gates stand as early as their wires are free, those of a layout in its moments. Gates of one moment that cross
    each other stand in sub-columns of the moment; moments are shaded in turn and numbered. Loaders are opened; they
    and the layers between them are sections, each with a title, a shade and moments of its own.

    Args:
        circuit: a layout; a compiled block of an adapter; or PennyLane operations, such as a loader, a tape, or a
            list of operations, in which every list inside (as of :func:`~qicircuits.circuits.orthogonal_layer`) is
            a section.
        angles: of a layout, θ in radians, shape (layout.n_gates,), in the order of `layout.pairs`; without them the
            gates of a small layout are called θ₀, θ₁, ... Other circuits have their own. False leaves them out.
            A picture has words for up to 48 angles, and colours beyond or where words would be too small.
        gate: of a layout, "rbs" or "fbs"; "rbs" by default.
        output: "mpl" for a picture; "text" for a string, to be printed in a font of one width.
        ax: where to draw a picture; by default a figure of its own, outside pyplot.
        width: characters in a line of text, 100 by default; longer circuits are folded between moments.

    Returns:
        The axes; `ax.figure.savefig("circuit.svg")` writes it as PNG, SVG or PDF. Or the text.

    Raises:
        TypeError: the circuit is none of these, or the angles are not real numbers.
        ValueError: the gate or the output is unknown, or an option is for something else; or the angles are not
            finite, not one for each gate, or of a batch of circuits.

    >>> from qicircuits import brickwork
    >>> ax = draw_circuit(brickwork(4), [0.1, -0.2, 0.3, 0.4, -0.5, 0.6])
    >>> [text.get_text() for text in ax.texts if str(text.get_gid()).startswith("angle")]
    ['0.10', '−0.20', '0.30', '0.40', '−0.50', '0.60']
    >>> print(draw_circuit(brickwork(3), [0.1, -0.2, 0.3], output="text"))
    brickwork: 3 RBS gates on 3 wires
    <BLANKLINE>
    moment   0      1       2
         0 ──●──────────────●──────
             ┃ 0.10         ┃ 0.30
         1 ──●──────●───────●──────
                    ┃ −0.20
         2 ─────────●──────────────
    """
    if output not in ("mpl", "text"):
        raise ValueError(f'output must be "mpl" or "text", got {output!r}')
    if output == "text" and ax is not None:
        raise ValueError("axes hold a picture, got ax with output='text'")
    if output == "mpl" and width is not None:
        raise ValueError(f'a width in characters is for output="text", got {width=} with output="mpl"')
    scheme = read_circuit(circuit, angles, gate)
    return _draw(scheme, ax) if output == "mpl" else write_diagram(scheme, 100 if width is None else width)


def _draw(scheme: Scheme, ax: Axes | None) -> Axes:
    words: Sequence[str] = scheme.words
    marks = scheme.marks
    if sum(map(bool, words)) > WORDS:
        words = [""] * len(marks)
    label = WORD * max((len(w) for w, mark in zip(words, marks, strict=True) if mark.symbol != "box"), default=0)
    coloured = not any(words) and _has_angles(scheme)
    columns = place_columns(scheme, words, WIDE if coloured else PITCH, label)
    ax, points = diagram_page(ax, scheme, columns, BAR if coloured else 0.0)
    if any(words) and WORD_SIZE * points < LEGIBLE:  # the page is too small for words
        words, coloured = [""] * len(marks), _has_angles(scheme)
        columns = place_columns(scheme, words, WIDE)
        ax, points = diagram_page(ax, scheme, columns, BAR if coloured else 0.0)
    fills: list[object] = [gate_fill(mark, section.role) for section in scheme.sections for mark in section.marks]
    if coloured:
        fills = _colours(ax, scheme, fills, columns, points)
    paint_diagram(ax, scheme, columns, words, fills, 3 if coloured else 1, points)
    for k, (word, x, mark) in enumerate(zip(words, columns.gates, marks, strict=True)):
        if word and mark.symbol != "box":
            place = (x + 0.12, columns.top + min(mark.pair) + 0.5)
            write(ax, *place, word, min(10.0, WORD_SIZE * points), ha="left", gid=f"angle-{k}")
    write_title(ax, scheme.title, points)
    return ax


def _has_angles(scheme: Scheme) -> bool:
    """Whether a bar could show its angle as a colour."""
    return any(mark.angle is not None and mark.symbol != "box" for mark in scheme.marks)


def _colours(ax: Axes, scheme: Scheme, fills: list[object], columns: Columns, points: float) -> list[object]:
    """The bars in the colours of their angles, with a scale drawn beside them; boxes as they are."""
    bars = {k: mark.angle for k, mark in enumerate(scheme.marks) if mark.symbol != "box" and mark.angle is not None}
    values = np.array(list(bars.values()))
    limit = _limit(values)
    colours = dict(zip(bars, colormaps[DIVERGING](Normalize(-limit, limit)(values)), strict=True))
    _draw_scale(ax, columns, len(scheme.wires), limit, points)
    _sign(ax, scheme, columns, {k: colours[k] for k, angle in bars.items() if angle < -SIGNED * limit}, points)
    return [colours.get(k, fill) for k, fill in enumerate(fills)]


def _sign(ax: Axes, scheme: Scheme, columns: Columns, negative: dict[int, object], points: float) -> None:
    """A minus in the dots of bars with negative angles: in grey, both ends of the scale are dark."""
    strokes, inks = [], []
    for k, colour in negative.items():
        x = columns.gates[k]
        strokes += [[(x - MINUS, columns.top + row), (x + MINUS, columns.top + row)] for row in scheme.marks[k].pair]
        inks += [ink_on(colour)] * 2
    ax.add_collection(LineCollection(strokes, colors=inks, lw=min(1.2, 0.05 * points), zorder=4, gid="minus"))


def _limit(values: NDArray[np.float64]) -> float:
    """The end of the colour scale: a round part of π where one is near, else the largest angle."""
    largest = float(np.abs(values).max(initial=0))
    rounded = (math.pi / part for part in (8, 4, 2, 1) if largest <= math.pi / part)
    return next(rounded) if math.pi / 16 < largest <= math.pi else largest or 1.0


def _draw_scale(ax: Axes, columns: Columns, n: int, limit: float, points: float) -> None:
    height = max(n - 1, 2)
    cax = ax.inset_axes((columns.right + columns.outside + 0.5, columns.top, 0.5, height), transform=ax.transData)
    part = math.pi / limit
    if math.isclose(part, round(part)):
        name = "π" if round(part) == 1 else f"π/{round(part)}"
        ticks = {-limit: f"−{name}", 0.0: "0", limit: name}
    else:
        ticks = {-limit: f"−{limit:.2g}", 0.0: "0", limit: f"{limit:.2g}"}
    colour_bar(cax, limit, ticks, "angle θ (radians)", min(9.0, max(5.5, 0.36 * points)))
