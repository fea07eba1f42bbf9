"""Rotations of wires and small matrices on groups of amplitudes, in place, on the CPU: see `engine.local_gates`."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .cpu_state_plan import state_plan
from .cpu_state_sweeps import rotate_all, unrotate_all
from .cpu_tiles import Flat, kernel

__all__ = ["mix_states", "rotate_in_place", "unmix_states", "unrotate_in_place"]

Numbers = NDArray[Any]

Run: TypeAlias = tuple[bytes, int, int, bool]
"""The arguments of `state_plan`: the wires of a run of gates, n, the order, and whether the gates are FBS."""


def rotate_in_place(x: Tensor, turns: tuple[Tensor, Tensor], run: Run) -> None:
    """Apply a run of RBS or FBS gates to vectors of one sector.

    Args:
        x: shape (batch, C(n, k)), float64 or complex128; changed.
        turns: cosines and sines of the angles, shape (1 or batch, n_gates).
        run: the gates.
    """
    rows = x.contiguous()
    rotate_all(rows, turns, state_plan(*run))
    _put_back(rows, x)


def unrotate_in_place(x: Tensor, adjoint: Tensor, turns: tuple[Tensor, Tensor], run: Run) -> Tensor:
    """Undo `rotate_in_place` on vectors and on their gradients; the gradients of the angles, float64."""
    rows, slopes = x.contiguous(), adjoint.contiguous()
    overlaps = unrotate_all(rows, slopes, turns, state_plan(*run))
    _put_back(rows, x)
    _put_back(slopes, adjoint)
    return overlaps[..., 0]


def _put_back(rows: Tensor, x: Tensor) -> None:
    if rows.data_ptr() != x.data_ptr():
        x.copy_(rows)


@kernel()
def mix_states(
    x: Numbers, entries: Numbers, rows: Flat, starts: Flat, sizes: Flat, counts: Flat, firsts: Flat
) -> None:
    """Apply mixes in place.

    Args:
        x: vectors, shape (batch, dim).
        entries: matrices row by row, shape (1 or batch, n_entries).
        rows: for each mix its amplitudes, shape (s, count), one after another.
        starts: where those of each mix start.
        sizes: s of each mix.
        counts: how many groups each mix has.
        firsts: where the entries of each mix start.
    """
    held = np.empty(sizes.max() if sizes.size else 0, x.dtype)
    for vector in range(x.shape[0]):
        own = entries[vector if entries.shape[0] > 1 else 0]
        state = x[vector]
        for mix in range(starts.size):
            start, size, count, first = starts[mix], sizes[mix], counts[mix], firsts[mix]
            if size == 1:
                for place in range(start, start + count):
                    state[rows[place]] *= own[first]
            elif size == 2:
                for place in range(start, start + count):
                    a, b = rows[place], rows[place + count]
                    x_a, x_b = state[a], state[b]
                    state[a] = own[first] * x_a + own[first + 1] * x_b
                    state[b] = own[first + 2] * x_a + own[first + 3] * x_b
            else:
                for place in range(start, start + count):
                    for i in range(size):
                        held[i] = state[rows[place + i * count]]
                    for i in range(size):
                        total = own[first + i * size] * held[0]
                        for j in range(1, size):
                            total += own[first + i * size + j] * held[j]
                        state[rows[place + i * count]] = total


@kernel()
def unmix_states(
    x: Numbers,
    adjoint: Numbers,
    entries: Numbers,
    grad_entries: Numbers,
    rows: Flat,
    starts: Flat,
    sizes: Flat,
    counts: Flat,
    firsts: Flat,
) -> None:
    """Undo `mix_states` on vectors and their gradients by the inverses M^H, and add each M's gradient g x^H."""
    most = sizes.max() if sizes.size else 0
    held, before, slopes = np.empty(most, x.dtype), np.empty(most, x.dtype), np.empty(most, x.dtype)
    for vector in range(x.shape[0]):
        shared = 0 if entries.shape[0] == 1 else vector
        own, grads = entries[shared], grad_entries[shared]
        state, slope = x[vector], adjoint[vector]
        for mix in range(starts.size - 1, -1, -1):
            start, size, count, first = starts[mix], sizes[mix], counts[mix], firsts[mix]
            for place in range(start, start + count):
                for i in range(size):
                    row = rows[place + i * count]
                    held[i], slopes[i] = state[row], slope[row]
                for j in range(size):
                    inverse = np.conj(own[first + j])
                    total, total_slope = inverse * held[0], inverse * slopes[0]
                    for i in range(1, size):
                        inverse = np.conj(own[first + i * size + j])
                        total += inverse * held[i]
                        total_slope += inverse * slopes[i]
                    before[j] = total
                    row = rows[place + j * count]
                    state[row], slope[row] = total, total_slope
                for i in range(size):
                    for j in range(size):
                        grads[first + i * size + j] += slopes[i] * np.conj(before[j])
