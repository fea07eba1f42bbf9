"""Angles from data: a loader run backwards, each rotation emptying one amplitude into another."""

from collections.abc import Sequence

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.typing import TensorLike

__all__ = ["Merge", "eliminate", "rotate_back", "split"]

Merge = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The pairs of amplitudes (kept, moved) that one gate rotates; of the first pair the moved one becomes zero."""


def eliminate(vector: TensorLike, merges: Sequence[Merge]) -> TensorLike:
    """Undo the gates of a loader from the last to the first, until one amplitude, a positive one, is left.

    A gate takes the pair (r, 0) to (s, t) = (r cos theta, r sin theta). Undone with theta = atan2(t, s) it takes
    (s, t) to (r, 0), and rotates all other pairs of amplitudes that it does not leave alone by the same angle.

    Args:
        vector: the amplitudes, shape (dim,) or (batch, dim).
        merges: what each gate rotates, in order of application; at least one.

    Returns:
        theta in radians for each gate, in order of application, shape (gates,) or (batch, gates).
    """
    dim = qml.math.shape(vector)[-1]
    angles = []
    for kept, moved in reversed(merges):
        theta, upper, lower = rotate_back(vector[..., kept], vector[..., moved], 0)
        angles.append(theta)
        # Nothing is written into an array that a gradient needs: the new entries follow the old, and are picked.
        pick = np.arange(dim)
        pick[kept] = np.arange(dim, dim + len(kept))
        pick[moved] = np.arange(dim + len(kept), dim + 2 * len(kept))
        vector = qml.math.concatenate((vector, upper, lower), axis=-1)[..., pick]
    return qml.math.stack(angles[::-1], axis=-1)


def rotate_back(upper: TensorLike, lower: TensorLike, index: int) -> tuple[TensorLike, TensorLike, TensorLike]:
    """theta = atan2(t, s), for s and t the entries at an index of two rows, and the rows rotated by -theta.

    Args:
        upper, lower: the rows, shape (..., length).
        index: where `lower` becomes 0, and `upper` not negative.

    Returns:
        theta, shape (...), and the new rows. Where s = t = 0, theta and its gradient, which does not exist there,
        are 0.
    """
    s, t = upper[..., index], lower[..., index]
    dead = (s == 0) & (t == 0)
    s = qml.math.where(dead, qml.math.ones_like(s), s)
    t = qml.math.where(dead, qml.math.zeros_like(t), t)
    theta = qml.math.arctan2(t, s)
    cos, sin = qml.math.cos(theta)[..., None], qml.math.sin(theta)[..., None]
    return theta, cos * upper + sin * lower, cos * lower - sin * upper


def split(data: TensorLike) -> list[TensorLike]:
    """The entries of the last dimension one by one, each of shape () or (batch,)."""
    return [data[..., index] for index in range(qml.math.shape(data)[-1])]
