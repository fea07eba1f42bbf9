"""Draw the compound matrix of a matrix as a heat map over pairs of subsets, or those of several orders."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.style import context
from numpy.typing import ArrayLike, NDArray

from ..compound import compound_matrix
from ..subsets import subset_array, subsets, subspace_dim
from .inputs import real_numbers
from .style import DIVERGING, FAINT, FONT, INK, colour_bar, ink_around, ink_on, sheet_axes, subscript

__all__ = ["draw_compound"]

NAMED = 21  # most subsets that are named one by one
SIGNED = 0.02  # of the largest minor: what has a sign
LARGEST = 2048  # rows: beyond, neither the screen nor the memory gains anything


@context("default")
def draw_compound(matrix: ArrayLike | torch.Tensor, order: int | Sequence[int], *, ax: Axes | None = None) -> Axes:
    """Draw C_k(A), whose entries are the minors det A[I, J], as a heat map with rows I and columns J.

    The k-subsets are in lexicographic order. Up to 21 of them are named, and negative minors carry a minus; beyond,
    the axes tell the first wire of the subsets, and lines part the groups of subsets with the same first wire. Of
    several orders, the direct sum of their compounds is drawn; lines part the sectors, and the axes tell their k.

    Args:
        matrix: A, shape (n, n), real; need not be orthogonal.
        order: k, with 0 <= k <= n, or several; with at most 2048 rows in all.
        ax: where to draw; by default a figure of its own, outside pyplot.

    Returns:
        The axes, with a colour bar beside them.

    Raises:
        TypeError: the matrix is not of real numbers, or an order not an integer.
        ValueError: it is not one square matrix of finite numbers; or there is no order, or one is not in 0..n, or
            their compounds are too large.

    >>> draw_compound(torch.eye(4), 2).get_title()
    'C₂(A), n = 4: 6 × 6'
    >>> draw_compound(torch.eye(4), (1, 2)).get_title()
    'C₁(A) ⊕ C₂(A), n = 4: 10 × 10'
    """
    values = real_numbers(matrix, "matrix")
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"matrix must be square, of shape (n, n), got {tuple(values.shape)}")
    n = len(values)
    orders = tuple(order) if isinstance(order, Sequence) else (order,)
    dims = [subspace_dim(n, k) for k in orders]
    if not 0 < sum(dims) <= LARGEST:
        total = " + ".join(f"C({n}, {k})" for k in orders)
        raise ValueError(f"a drawn compound has at most {LARGEST} rows, at least one, got {total} = {sum(dims)}")
    compound = torch.block_diag(*(compound_matrix(values, k) for k in orders)).numpy()
    if ax is None:
        ax = _own_axes(len(compound))
    ink = ink_around(ax)
    limit = float(abs(compound).max()) or 1.0
    ax.imshow(compound, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest", aspect="equal")
    if len(compound) <= NAMED:
        _sign(ax, compound, limit)
    ax.grid(visible=False)
    ax.spines[:].set(color=ink, linewidth=0.8)
    if len(orders) == 1:
        _name_subsets(ax, n, orders[0], ink)
    else:
        _name_sectors(ax, orders, dims, ink)
    name = " ⊕ ".join(f"C{subscript(k)}(A)" for k in orders)
    title = f"{name}, n = {n}: {len(compound)} × {len(compound)}"
    ax.set_title(title, fontsize=11, color=ink, fontfamily=FONT, fontweight="bold")
    cax = ax.inset_axes((1.04, 0, 0.045, 1))
    words = f"{limit:.2g}"
    colour_bar(cax, limit, {-limit: f"−{words}", 0.0: "0", limit: words}, "minor det A[I, J]", 8.5, ink)
    return ax


def _sign(ax: Axes, compound: NDArray[np.float64], limit: float) -> None:
    """A minus in the cells of negative minors: in grey, both ends of the scale are dark."""
    rows, columns = np.nonzero(compound < -SIGNED * limit)
    strokes = [[(column - 0.16, row), (column + 0.16, row)] for row, column in zip(rows, columns, strict=True)]
    shades = colormaps[DIVERGING](Normalize(-limit, limit)(compound[rows, columns]))
    inks = [ink_on(shade) for shade in shades]
    ax.add_collection(LineCollection(strokes, colors=inks, lw=0.8, gid="minus"), autolim=False)


def _own_axes(dim: int) -> Axes:
    """Axes of a figure of their own, with room for the names, the title and the colour bar."""
    side = min(max(0.26 * dim, 2.6), 5.6)
    left, right, bottom, top = 0.85, 1.15, 0.85, 0.45  # inches
    width, height = left + side + right, bottom + side + top
    return sheet_axes(width, height, (left / width, bottom / height, side / width, side / height))


def _name_subsets(ax: Axes, n: int, order: int, ink: str) -> None:
    """Tick labels for the subsets, or for the groups of those with the same first wire, parted by lines."""
    dim = subspace_dim(n, order)
    if dim <= NAMED:
        names = [",".join(map(str, subset)) or "∅" for subset in subsets(n, order)]
        places = [float(row) for row in range(dim)]
        what = "subset of wires"
    else:
        first, sizes = np.unique(subset_array(n, order)[:, 0], return_counts=True)
        edges = np.cumsum([0, *sizes]) - 0.5
        wide = sizes * NAMED > dim  # the last groups are too narrow for a name
        names = [str(wire) for wire in first[wide]]
        places = list((edges[:-1] + sizes / 2)[wide])
        what = "first wire of the subset"
        for edge in edges[1:-1][wide[:-1]]:
            ax.axhline(edge, color=FAINT, lw=0.4)
            ax.axvline(edge, color=FAINT, lw=0.4)
    _label(ax, places, names, what, ink, rotation=90 if dim <= NAMED and order > 1 else 0)


def _name_sectors(ax: Axes, orders: tuple[int, ...], dims: list[int], ink: str) -> None:
    """Tick labels for the sectors, parted by lines; one that is too narrow for its label has none."""
    edges = np.cumsum([0, *dims]) - 0.5
    for edge in edges[1:-1]:
        ax.axhline(edge, color=INK, lw=0.8)
        ax.axvline(edge, color=INK, lw=0.8)
    wide = [index for index, dim in enumerate(dims) if 1.2 * dim * NAMED > sum(dims)]
    places = [(edges[index] + edges[index + 1]) / 2 for index in wide]
    _label(ax, places, [f"k = {orders[index]}" for index in wide], "sector", ink)


def _label(ax: Axes, places: list[float], names: list[str], what: str, ink: str, rotation: int = 0) -> None:
    ax.set_xticks(places, names, rotation=rotation)
    ax.set_yticks(places, names)
    ax.tick_params(colors=ink, labelsize=8.5, labelfontfamily=FONT, width=0.6, length=2.5)
    ax.set_xlabel(f"J, {what}", fontsize=9.5, color=ink, fontfamily=FONT)
    ax.set_ylabel(f"I, {what}", fontsize=9.5, color=ink, fontfamily=FONT)
