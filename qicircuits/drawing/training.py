"""Draw a training: the angles of rotations and their distance from the identity, step by step."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.style import context
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from .inputs import real_numbers
from .style import COLOURS, FAINT, FONT, INK, sheet

__all__ = ["draw_training"]

NAMED = len(COLOURS)  # most layers that have a colour and a name each
DASHES: tuple[object, ...] = ("solid", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))  # apart in grey, too
SCALE = "viridis"  # as many shades of grey as colours
WIDTH, HEIGHT = 4.4, 2.2  # inches, of a panel
LEFT, BOTTOM, BETWEEN, TOP = 0.75, 0.55, 0.25, 0.2  # inches around the panels
LONGEST = 40  # letters of a name
LETTER = 0.075  # inches, of a name
LIGHTEST = 0.85  # of the scale: its last shades are too light on white

Groups = Mapping[str, ArrayLike | torch.Tensor] | ArrayLike | torch.Tensor


@context("default")
def draw_training(angles: Groups, distances: Groups, steps: Sequence[int] | ArrayLike | None = None) -> Figure:
    """Draw angles and the distance from the identity, ‖R - I‖, over the steps of a training.

    Up to four layers have a colour, a dash and a name each, and a line for every angle. Of more layers there is
    one line each, for the largest size of its angles; colours then run from the first layer to the last.

    Args:
        angles: radians, shape (steps, any number); or by the name of a layer, as a history of `adapters` has them.
            They may be the angles of rotations or those of the gates of a circuit.
        distances: ‖R - I‖ in any norm, shape (steps,); or by name, for the same layers.
        steps: shape (steps,), ascending; by default 0, 1, 2, ...

    Returns:
        The figure; `figure.savefig("training.svg")` writes it.

    Raises:
        TypeError: something is not made of real numbers.
        ValueError: a number is not finite, there is no step or no layer, the shapes do not fit together, or steps do
            not ascend.

    >>> figure = draw_training({"query": [[0.0, 0.0], [0.3, -0.1]]}, {"query": [0.0, 0.6]}, steps=[0, 100])
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['angles (radians)', '‖R − I‖']
    """
    turned, away, when = _check(angles, distances, steps)
    names = _short(list(turned))
    many = len(turned) > NAMED
    words = max(map(len, (names[0], names[-1]) if many else names))
    margin = 0.25 + (0.5 + LETTER * words) * bool(words)
    size = LEFT + WIDTH + margin, BOTTOM + 2 * HEIGHT + BETWEEN + TOP
    figure = sheet(*size)
    upper, lower = (
        figure.add_axes((LEFT / size[0], bottom / size[1], WIDTH / size[0], HEIGHT / size[1]))
        for bottom in (BOTTOM + HEIGHT + BETWEEN, BOTTOM)
    )
    styles = _styles(len(turned))
    for name, style in zip(turned, styles, strict=True):
        lines = np.abs(turned[name]).max(axis=1, keepdims=True) if many else turned[name]
        _plot(upper, when, lines, style, f"angles-{name}", thin=many or lines.shape[1] > 1)
        _plot(lower, when, away[name][:, None], style, f"distance-{name}", thin=many)
    _label(upper, "largest angle (radians)" if many else "angles (radians)")
    _label(lower, "‖R − I‖", "step")
    upper.tick_params(labelbottom=False)
    lower.set_ylim(bottom=0)
    for ax in (upper, lower):
        ax.set_xlim(when[0], when[-1] if len(when) > 1 else when[0] + 1)
    if many:
        _name_ends(figure, size, names)
    elif any(names):
        handles = [Line2D([], [], color=colour, ls=dash, lw=1.6) for colour, dash in styles]
        place = ((LEFT + WIDTH + 0.1) / size[0], 1 - TOP / size[1])
        figure.legend(
            handles, names, loc="upper left", bbox_to_anchor=place, frameon=False, prop={"family": FONT, "size": 8.5}
        )
    return figure


def _check(
    angles: Groups, distances: Groups, steps: Sequence[int] | ArrayLike | None
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """All of them as arrays, by layer: angles (steps, any), distances (steps,); and the steps."""
    turned, away = _by_layer(angles, "angles"), _by_layer(distances, "distances")
    if not turned or list(turned) != list(away):
        raise ValueError(
            f"angles and distances are of the same layers, at least one, got {list(turned)}, {list(away)}"
        )
    count = len(next(iter(away.values()))) if next(iter(away.values())).ndim else 0
    when = np.arange(float(count)) if steps is None else real_numbers(steps, "steps").numpy()
    if count < 1 or when.shape != (count,) or (np.diff(when) <= 0).any():
        raise ValueError(f"steps are ascending, one for each distance, got steps={when}, {count} distances")
    for name in turned:
        shapes = turned[name].shape, away[name].shape
        if shapes[1] != (count,) or shapes[0][:1] != (count,) or len(shapes[0]) != 2 or not shapes[0][1]:
            rule = f"angles have the shape ({count}, any number) and distances ({count},)"
            raise ValueError(f"{rule}, got {shapes[0]} and {shapes[1]} for {name or 'them'!r}")
    return turned, away, when


def _by_layer(values: Groups, what: str) -> dict[str, NDArray[np.float64]]:
    given = values if isinstance(values, Mapping) else {"": values}
    return {name: real_numbers(numbers, what).numpy() for name, numbers in given.items()}


def _short(names: list[str]) -> list[str]:
    """The names without the dotted parts that all of them begin with, and the ends of very long ones.

    >>> _short(["model.layer.0.query", "model.layer.1.query"])
    ['0.query', '1.query']
    """
    parts = [name.split(".") for name in names]
    shared = 0
    while len(names) > 1 and len({tuple(part[: shared + 1]) for part in parts}) == 1:
        shared += 1
    shorter = [".".join(part[shared:]) for part in parts]
    return [name if len(name) <= LONGEST else "…" + name[1 - LONGEST :] for name in shorter]


def _styles(count: int) -> Sequence[tuple[object, object]]:
    """A colour and a dash for each layer."""
    if count <= NAMED:
        return list(zip(COLOURS, DASHES, strict=True))[:count]
    return [(colormaps[SCALE](LIGHTEST * index / (count - 1)), "solid") for index in range(count)]


def _plot(
    ax: Axes,
    when: NDArray[np.float64],
    lines: NDArray[np.float64],
    style: tuple[object, object],
    gid: str,
    *,
    thin: bool,
) -> None:
    colour, dash = style
    points = [np.stack([when, line], axis=1) for line in lines.T]
    ax.add_collection(LineCollection(points, colors=[colour], linestyles=[dash], lw=0.8 if thin else 1.6, gid=gid))
    if len(when) == 1:  # a line of one point is not seen
        ax.plot(np.repeat(when, lines.shape[1]), lines[0], ".", color=colour)
    ax.autoscale_view()


def _label(ax: Axes, vertical: str, horizontal: str = "") -> None:
    ax.grid(color=FAINT, alpha=0.3, lw=0.5)
    ax.axhline(0, color=INK, lw=0.6, zorder=1)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.set_ylabel(vertical, fontsize=9.5, color=INK, fontfamily=FONT)
    ax.set_xlabel(horizontal, fontsize=9.5, color=INK, fontfamily=FONT)
    ax.tick_params(colors=INK, labelsize=8.5, labelfontfamily=FONT)


def _name_ends(figure: Figure, size: tuple[float, float], names: list[str]) -> None:
    """The scale of colours, with the names of the first and the last layer."""
    left, height = (LEFT + WIDTH + 0.2) / size[0], 2 * HEIGHT + BETWEEN
    cax = figure.add_axes((left, BOTTOM / size[1], 0.15 / size[0], height / size[1]))
    figure.colorbar(ScalarMappable(Normalize(0, (len(names) - 1) / LIGHTEST), SCALE), cax=cax)
    cax.set_ylim(0, len(names) - 1)
    cax.set_yticks([0, len(names) - 1], [names[0], names[-1]])
    cax.tick_params(colors=INK, labelsize=8.5, labelfontfamily=FONT)
