"""Draw the shape of a layout, or of several side by side to compare them."""

from typing import overload

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.style import context

from ..layouts import Layout
from .diagram import PITCH, diagram_page, gate_fill, page_size, paint_diagram, place_columns, write_title
from .scheme import Scheme, check_circuit, layout_scheme
from .style import sheet

__all__ = ["draw_layout"]

UNIT, WIDEST = 0.34, 13.0  # inches: of a unit, and of a figure of several


@overload
def draw_layout(layout: Layout, /, *, gate: str = "rbs", ax: Axes | None = None) -> Axes: ...
@overload
def draw_layout(layout: Layout, second: Layout, /, *more: Layout, gate: str = "rbs") -> Figure: ...
@context("default")
def draw_layout(*layouts: Layout, gate: str = "rbs", ax: Axes | None = None) -> Axes | Figure:
    """Draw where the gates of one layout stand, or of several layouts, side by side and on one scale.

    Args:
        layouts: one layout or more.
        gate: "rbs" or "fbs", drawn as in :func:`draw_circuit`.
        ax: where to draw a single layout; by default a figure of its own, outside pyplot.

    Returns:
        The axes of a single layout; the figure of several.

    Raises:
        TypeError: there is no layout, or something is not one.
        ValueError: the gate is unknown, or `ax` is given for several layouts.

    >>> from qicircuits import brickwork, pyramid
    >>> [text.get_text() for text in draw_layout(brickwork(4)).texts][-1]
    'brickwork: 6 RBS gates on 4 wires'
    >>> len(draw_layout(brickwork(4), pyramid(4)).axes)
    2
    """
    check_circuit(gate, *layouts)
    if not layouts:
        raise TypeError("draw_layout takes one layout or more, got none")
    schemes = [layout_scheme(layout, gate, None, named=False) for layout in layouts]
    if len(layouts) == 1:
        return _draw_one(schemes[0], ax)
    if ax is not None:
        raise ValueError(f"ax holds a single layout, got {len(layouts)} layouts; draw them one by one")
    return _draw_several(schemes)


def _draw_one(scheme: Scheme, ax: Axes | None) -> Axes:
    words = [""] * len(scheme.marks)
    columns = place_columns(scheme, words, PITCH)
    ax, points = diagram_page(ax, scheme, columns)
    fills = [gate_fill(mark, "layer") for mark in scheme.marks]
    paint_diagram(ax, scheme, columns, words, fills, 1, points)
    write_title(ax, scheme.title, points)
    return ax


def _draw_several(schemes: list[Scheme]) -> Figure:
    """One diagram after the other, as many in a row as there is room for; each row is as high as its highest."""
    sizes = [page_size(scheme, place_columns(scheme, scheme.words, PITCH)) for scheme in schemes]
    rows = _rows([width for width, _ in sizes])
    heights = [max(sizes[index][1] for index in row) for row in rows]
    across, down = max(sum(sizes[index][0] for index in row) for row in rows), sum(heights)
    unit = min(UNIT, WIDEST / across)
    figure = sheet(across * unit, down * unit)
    for number, row in enumerate(rows):
        left, top = 0.0, down - sum(heights[:number])
        for index in row:
            width, height = sizes[index]
            _draw_one(
                schemes[index], figure.add_axes((left / across, (top - height) / down, width / across, height / down))
            )
            left += width
    return figure


def _rows(widths: list[float]) -> list[list[int]]:
    """The diagrams of each row: those that fit, and one that fits nowhere has a row of its own.

    >>> _rows([20.0, 15.0, 5.0, 50.0, 10.0])
    [[0, 1], [2], [3], [4]]
    """
    rows: list[list[int]] = []
    for index, width in enumerate(widths):
        if not rows or sum(widths[other] for other in rows[-1]) + width > WIDEST / UNIT:
            rows.append([])
        rows[-1].append(index)
    return rows
