"""Names beside the marks they belong to, moved apart until none lies on another or on a mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from qicircuits.drawing.style import FONT, PAPER

from .picture import SIZE

__all__ = ["Label", "place_labels"]

_LETTER, _LINE = 0.58, 1.25  # width and height of a letter, in parts of its size
_DISTANCES = (5.0, 11.0, 18.0, 27.0, 38.0, 50.0)  # points between a mark and the nearest edge of its name
_ANGLES = np.arange(0.0, 360.0, 22.5)
_LEADER = 12.0  # a name farther away than this is joined to its mark by a line


@dataclass(frozen=True)
class Label:
    """A name and the mark it belongs to.

    Args:
        words: the name.
        x, y: the mark, in data units.
        colour: of the words.
        size: of the words in points.
    """

    words: str
    x: float
    y: float
    colour: str
    size: float = SIZE - 1


def place_labels(ax: Axes, labels: Sequence[Label], marks: Sequence[tuple[float, float]] = ()) -> None:
    """Write names near their marks, where they cover least; nothing may be drawn into the axes afterwards.

    Args:
        ax: where.
        labels: in order of importance: the first have the first choice.
        marks: other marks that a name should not cover, in data units.
    """
    points = 72 / ax.figure.dpi
    ax.autoscale_view()  # axes are scaled when they are asked, and transData does not ask
    inside = ax.get_window_extent()
    frame = np.array([inside.x0, inside.y0, inside.x1, inside.y1]) * points
    places = [(label.x, label.y) for label in labels] + list(marks)
    seen = ax.transData.transform(np.array(places, dtype=float).reshape(-1, 2)) * points
    taken: list[NDArray[np.float64]] = []
    for label, mark in zip(labels, seen[: len(labels)], strict=True):
        size = np.array([_LETTER * label.size * len(label.words), _LINE * label.size])
        centre = min(_candidates(mark, size), key=lambda c: _cost(c, size, mark, seen, taken, frame))
        taken.append(np.concatenate([centre - size / 2, centre + size / 2]))
        _write(ax, label, mark, centre, size)


def _candidates(mark: NDArray[np.float64], size: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Centres of a name around its mark: every direction, near ones first."""
    found = []
    for distance in _DISTANCES:
        for angle in np.deg2rad(_ANGLES):
            direction = np.array([np.cos(angle), np.sin(angle)])
            found.append(mark + direction * (distance + size / 2))
    return found


def _cost(
    centre: NDArray[np.float64],
    size: NDArray[np.float64],
    mark: NDArray[np.float64],
    seen: NDArray[np.float64],
    taken: Sequence[NDArray[np.float64]],
    frame: NDArray[np.float64],
) -> float:
    """Points of distance, plus a lot for each thing covered."""
    box = np.concatenate([centre - size / 2, centre + size / 2])
    outside = float(np.maximum(frame[:2] - box[:2], 0).sum() + np.maximum(box[2:] - frame[2:], 0).sum())
    covered = ((seen > box[:2] - 3) & (seen < box[2:] + 3)).all(1).sum()
    crossed = sum(bool((box[:2] < other[2:]).all() and (other[:2] < box[2:]).all()) for other in taken)
    edge = np.maximum(np.abs(centre - mark) - size / 2, 0)
    return float(np.linalg.norm(edge)) + 60.0 * float(covered) + 200.0 * crossed + 20.0 * outside


def _write(
    ax: Axes, label: Label, mark: NDArray[np.float64], centre: NDArray[np.float64], size: NDArray[np.float64]
) -> None:
    nearest = np.clip(mark, centre - size / 2, centre + size / 2)
    far = float(np.linalg.norm(nearest - mark)) > _LEADER
    ax.annotate(
        label.words,
        (label.x, label.y),
        xytext=tuple(centre - mark),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=label.size,
        color=label.colour,
        fontfamily=FONT,
        zorder=6,
        path_effects=[withStroke(linewidth=1.6, foreground=PAPER)],
        arrowprops={"arrowstyle": "-", "color": label.colour, "lw": 0.5, "alpha": 0.7, "shrinkB": 2} if far else None,
    )
