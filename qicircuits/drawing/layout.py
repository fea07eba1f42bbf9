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

ACROSS = 3  # most diagrams in a row
UNIT, WIDEST = 0.34, 13.0  # inches: of a unit, and of a figure of several


@overload
def draw_layout(layout: Layout, /, *, gate: str = "rbs", ax: Axes | None = None) -> Axes: ...
@overload
def draw_layout(layout: Layout, second: Layout, /, *more: Layout, gate: str = "rbs") -> Figure: ...
@context("default")
def draw_layout(*layouts: Layout, gate: str = "rbs", ax: Axes | None = None) -> Axes | Figure:
    """Draw where the gates of one layout stand, or of several layouts, three in a row and on one scale.

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
    """Every diagram at the top left of its cell; each row is as high, each column as wide, as its largest."""
    sizes = [page_size(scheme, place_columns(scheme, scheme.words, PITCH)) for scheme in schemes]
    across = min(ACROSS, len(schemes))
    widths = [max(width for width, _ in sizes[column::across]) for column in range(across)]
    rows = range(0, len(schemes), across)
    heights = [max(height for _, height in sizes[row : row + across]) for row in rows]
    unit = min(UNIT, WIDEST / sum(widths))
    figure = sheet(sum(widths) * unit, sum(heights) * unit)
    for index, (scheme, (width, height)) in enumerate(zip(schemes, sizes, strict=True)):
        row, column = divmod(index, across)
        left, top = sum(widths[:column]) / sum(widths), 1 - sum(heights[:row]) / sum(heights)
        box = (left, top - height / sum(heights), width / sum(widths), height / sum(heights))
        _draw_one(scheme, figure.add_axes(box))
    return figure
