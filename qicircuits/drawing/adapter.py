"""Draw how an adapter's rotation R is made: trained numbers, the matrix A of a block, its compounds, all of R."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle
from matplotlib.style import context

from .blocks import Blocks, BlockStructure, check_counts
from .style import BAND, COLOURS, FAINT, INK, PAPER, ink_on, page, subscript, write

__all__ = ["draw_adapter"]

SIDE = 7.0  # units, of the block and of R
SMALL = 4.0  # units, of A
TRAINED = "#6b4c9a"
GAP = 1.6  # units between the panels
LEFT, TOP = 0.8, 1.7
LINE = 0.62  # units, of a caption's line
UNIT = 0.42  # inches
NAMED = 1.2  # units: sectors and blocks of that side have room for their name


@context("default")
def draw_adapter(
    plan: BlockStructure | None = None,
    *,
    features: int | None = None,
    orders: Sequence[int] | None = None,
    n_blocks: int = 1,
    block_size: int | None = None,
    n: int | None = None,
    block_share: bool = False,
    n_factors: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """Draw the rotation R = ⊕_i [ ⊕_{k in orders} C_k(A_i) ⊕ I_pad ] ⊕ I_untouched of one adapted layer, to scale.

    From left to right: A of one block, with the trained numbers as its upper triangle; the block that its
    compounds make; and R, if it is more than that block. A diagonal line is an identity: nothing happens there.
    Where R is a product of factors, one of them is drawn, as D; features are shuffled between factors.

    Args:
        plan: a plan of `adapters`, or any object with the attributes of :class:`BlockStructure`. Without it:
        features: d, the number of features that R acts on.
        orders: the compound orders k, distinct, in 1..n-1.
        n_blocks: N.
        block_size: b, with N b <= d; by default d // N.
        n: number of wires, with Σ_k C(n, k) <= b.
        block_share: whether all blocks of a factor have the same A.
        n_factors: F, of which each has blocks of its own.
        ax: where to draw; by default a figure of its own, outside pyplot.

    Returns:
        The axes; `ax.figure.savefig("adapter.png")` writes it.

    Raises:
        TypeError: a size is not an integer.
        ValueError: the sizes do not fit into each other, or a plan and sizes are both given, or neither.

    >>> ax = draw_adapter(features=40, orders=(1, 2), n_blocks=2, n=5)
    >>> ax.texts[0].get_text()
    'R = ⊕ᵢ [ C₁(Aᵢ) ⊕ C₂(Aᵢ) ⊕ I₅ ]'
    """
    if plan is not None:
        if (features, orders, block_size, n) != (None,) * 4:
            raise ValueError("give a plan or its sizes, not both")
        features, orders, n_blocks, n = plan.features, plan.orders, plan.n_blocks, plan.n
        block_size, block_share, n_factors = plan.block_size, plan.block_share, getattr(plan, "n_factors", 1)
    if features is None or orders is None or n is None:
        raise ValueError(f"without a plan, give features, orders and n, got {features=}, {orders=}, {n=}")
    check_counts(features=features, n_blocks=n_blocks, n=n)
    if block_size is None:
        block_size = features // n_blocks
    blocks = Blocks(features, tuple(orders), n_blocks, block_size, n, block_share, n_factors)
    whole = blocks.features == blocks.block_size
    width = 2 * LEFT + SMALL + (GAP + SIDE) * (1 if whole else 2)
    ax, points = page(ax, width, TOP + SIDE + LINE * (len(blocks.orders) + 3.5), UNIT)
    size = min(11.5, 0.38 * points)
    title = blocks.formula if n_factors == 1 else f"R: a product of {n_factors} factors {blocks.formula}"
    write(ax, LEFT, 0.8, title, 1.15 * size, ha="left", fontweight="bold")
    _draw_matrix(ax, blocks, size)
    _draw_arrow(ax, LEFT + SMALL)
    _draw_block(ax, blocks, LEFT + SMALL + GAP, size, blocks.name if whole else "a block")
    if not whole:
        _draw_rotation(ax, blocks, LEFT + SMALL + 2 * GAP + SIDE, size)
    return ax


def _draw_matrix(ax: Axes, blocks: Blocks, size: float) -> None:
    """A of one block: the trained numbers are its strict upper triangle."""
    left, top, n = LEFT, TOP + (SIDE - SMALL) / 2, blocks.n
    cell = SMALL / n
    # The staircase above the diagonal, row by row.
    steps = [corner for row in range(n) for corner in ((row + 1, row), (row + 1, row + 1))]
    stairs = np.array([(1, 0), *steps[1:-1], (n, 0)]) * cell + (left, top)
    ax.add_patch(Rectangle((left, top), SMALL, SMALL, fc=BAND, ec=INK, lw=0.8, zorder=2, gid="matrix"))
    ax.add_patch(Polygon(stairs, fc=TRAINED, lw=0, zorder=3, gid="trained"))
    count = n * (n - 1) // 2
    lines = [f"A{blocks.index}: {n} × {n}, orthogonal", f"trained: {count:,} numbers"]
    if blocks.n_blocks > 1 and blocks.block_share:
        lines.append(f"shared by {blocks.n_blocks} blocks")
    elif blocks.n_blocks > 1:
        count *= blocks.n_blocks
        lines.append(f"{blocks.n_blocks} blocks: {count:,} numbers")
    if blocks.n_factors > 1:
        lines.append(f"{blocks.n_factors} factors: {blocks.n_factors * count:,} numbers")
    write(ax, left + 0.73 * SMALL, top + 0.25 * SMALL, "trained", size, PAPER, fontweight="bold")
    _caption(ax, left, top + SMALL, lines, size)


def _draw_block(ax: Axes, blocks: Blocks, left: float, size: float, name: str) -> None:
    """One block: its sectors along the diagonal, and a key of them below."""
    scale = SIDE / blocks.block_size
    _draw_frame(ax, left, "block")
    _draw_sectors(ax, blocks, left, scale, 1)
    rows = [(COLOURS[i % len(COLOURS)], f"C{subscript(k)}(A{blocks.index})") for i, k in enumerate(blocks.orders)]
    widths = [stop - start for start, stop in pairwise(blocks.stops)]
    if blocks.pad:
        _draw_identity(ax, left, blocks.stops[-1] * scale, SIDE, "pad")
        rows.append((BAND, f"I{subscript(blocks.pad)}"))
        widths.append(blocks.pad)
    for (colour, word), width, start in zip(rows, widths, blocks.stops, strict=False):
        if width * scale >= NAMED and colour != BAND:
            centre = (start + width / 2) * scale
            write(ax, left + centre, TOP + centre, word, size, ink_on(colour), fontweight="bold")
    _caption(ax, left, TOP + SIDE, [f"{name}: {blocks.block_size:,} × {blocks.block_size:,}"], size)
    for row, ((colour, word), width) in enumerate(zip(rows, widths, strict=True)):
        y = TOP + SIDE + LINE * (row + 2.1)
        ax.add_patch(Rectangle((left, y - 0.2), 0.4, 0.4, fc=colour, ec=INK, lw=0.5, gid="key"))
        write(ax, left + 0.7, y, word, size, ha="left")
        note = ", padding" if colour == BAND else ""
        write(ax, left + 2.5, y, f"{width:,} × {width:,}{note}", size, FAINT, ha="left")


def _draw_rotation(ax: Axes, blocks: Blocks, left: float, size: float) -> None:
    """All of R: its blocks along the diagonal, the first of them opened towards the left."""
    scale = SIDE / blocks.features
    side = blocks.block_size * scale
    _draw_frame(ax, left, "rotation")
    _draw_sectors(ax, blocks, left, scale, blocks.n_blocks)
    corners = [(left + i * side, TOP + i * side) for i in range(blocks.n_blocks)]
    squares = [[(x, y), (x + side, y), (x + side, y + side), (x, y + side)] for x, y in corners]
    ax.add_collection(
        PolyCollection(squares, fc="none", ec=INK, lw=0.8 if side > 0.3 else 0.2, zorder=4, gid="blocks"),
        autolim=False,
    )
    for y_block, y_square in ((TOP, TOP), (TOP + SIDE, TOP + side)):
        ax.plot([left - GAP, left], [y_block, y_square], color=FAINT, lw=0.8, ls=(0, (4, 3)), zorder=1)
    lines = [f"{blocks.name}: {blocks.features:,} × {blocks.features:,}", _count(blocks.n_blocks, "block")]
    if blocks.untouched:
        _draw_identity(ax, left, blocks.n_blocks * side, SIDE, "untouched")
        lines.append(_count(blocks.untouched, "feature") + " untouched")
    _caption(ax, left, TOP + SIDE, lines, size)


def _draw_frame(ax: Axes, left: float, gid: str) -> None:
    ax.add_patch(Rectangle((left, TOP), SIDE, SIDE, fc=PAPER, ec=INK, lw=0.8, zorder=2, gid=gid))


def _draw_sectors(ax: Axes, blocks: Blocks, left: float, scale: float, n_blocks: int) -> None:
    """The sectors of the first blocks, one collection of squares for each order (gid "order-<k>")."""
    for place, (order, start, stop) in enumerate(zip(blocks.orders, blocks.stops, blocks.stops[1:], strict=False)):
        squares = []
        for offset in range(0, n_blocks * blocks.block_size, blocks.block_size):
            low, high = (offset + start) * scale, (offset + stop) * scale
            squares.append([(left + x, TOP + y) for x, y in ((low, low), (high, low), (high, high), (low, high))])
        colour = COLOURS[place % len(COLOURS)]
        ax.add_collection(PolyCollection(squares, fc=colour, lw=0, zorder=3, gid=f"order-{order}"), autolim=False)


def _draw_identity(ax: Axes, left: float, low: float, high: float, gid: str) -> None:
    """A square of the diagonal where nothing happens: shaded, with the ones of the identity as a line."""
    ax.add_patch(Rectangle((left + low, TOP + low), high - low, high - low, fc=BAND, lw=0, zorder=3, gid=gid))
    ax.plot([left + low, left + high], [TOP + low, TOP + high], color=INK, lw=0.8, zorder=3)


def _draw_arrow(ax: Axes, left: float) -> None:
    ends = ((left + 0.3, TOP + SIDE / 2), (left + GAP - 0.3, TOP + SIDE / 2))
    ax.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=12, color=INK, lw=1.0, shrinkA=0, shrinkB=0))


def _caption(ax: Axes, left: float, bottom: float, lines: list[str], size: float) -> None:
    for row, line in enumerate(lines):
        write(ax, left, bottom + LINE * (row + 1), line, size, INK if row == 0 else FAINT, ha="left")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)
