"""The gates of a plan on state vectors in place, and undone with the overlaps of each, shared out over threads."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cpu_lanes import LANE_BYTES
from .cpu_state_lanes import rotate_run, turn_of_gate, unrotate_run
from .cpu_state_plan import Stage, StatePlan
from .cpu_tiles import Flat, in_chunks, kernel

__all__ = ["rotate_all", "unrotate_all"]

_CHUNK = 2**15
"""A quarter of the amplitudes that are worth a thread of their own."""

_Turns = tuple[Tensor, ...]


def rotate_all(x: Tensor, turns: _Turns, plan: StatePlan) -> None:
    """Apply all gates of a plan, in place.

    Args:
        x: vectors, shape (tokens, C(n, k)), contiguous.
        turns: cosines and sines of the angles, or with phases cosines and both parts of the sines times exp(i phi),
            shape (1 or tokens, n_gates).
        plan: the circuit.
    """
    numbers, unit, dim = _numbers(x), 1 + x.is_complex(), x.shape[1]
    flat, step = _flat(turns)
    for stage in plan.stages():

        def work(first: int, last: int, stage: Stage = stage) -> None:
            _rotate_states(numbers, unit, dim, first, last, flat, step, *stage)

        _at_all_places(work, stage, x)


def unrotate_all(x: Tensor, adjoint: Tensor, turns: _Turns, plan: StatePlan) -> Tensor:
    """Undo `rotate_all` on vectors and on their gradients.

    Returns:
        the overlaps of every gate, float64, shape (1 or tokens, n_gates, 1, or 3 with phases).
    """
    numbers, adjoints, unit, dim = _numbers(x), _numbers(adjoint), 1 + x.is_complex(), x.shape[1]
    flat, step = _flat(turns)
    shape = (*turns[0].shape, 2 * len(turns) - 3)
    overlaps = np.zeros(shape)
    for stage in plan.stages(backwards=True):

        def work(first: int, last: int, stage: Stage = stage) -> NDArray[np.float64]:
            own = np.zeros(shape)
            _unrotate_states(numbers, adjoints, unit, dim, first, last, flat, step, own, *stage)
            return own

        for own in _at_all_places(work, stage, x):
            overlaps += own
    return torch.from_numpy(overlaps)


def _at_all_places(work: Any, stage: Stage, x: Tensor) -> list[Any]:
    """`work` on every place of every vector, shared out over threads where there are enough amplitudes."""
    places = len(x) * len(stage.kind)
    return in_chunks(work, places, max(1, _CHUNK * places // max(1, x.numel())))


def _numbers(x: Tensor) -> Flat:
    return (torch.view_as_real(x) if x.is_complex() else x).view(-1).numpy()


def _flat(turns: _Turns) -> tuple[tuple[Flat, ...], int]:
    """The turns as flat arrays, and the step from those of one vector to those of the next."""
    step = turns[0].shape[1] if turns[0].shape[0] > 1 else 0
    return tuple(turn.detach().contiguous().view(-1).numpy() for turn in turns), step


@kernel()
def _rotate_states(
    x: Flat,
    unit: int,
    dim: int,
    first: int,
    last: int,
    turns: tuple[Flat, ...],
    turn_step: int,
    offset_a: Flat,
    offset_b: Flat,
    kind: Flat,
    gates: Flat,
    tables: Flat,
    groups: Flat,
    lengths: Flat,
    signs: Flat,
    stops: Flat,
    a: Flat,
    b: Flat,
) -> None:
    """The gates of a stage, in place, at its places first..last-1, counted through all vectors of `dim` amplitudes.

    An amplitude is `unit` numbers. From `offset_a` on the arguments are a `Stage`.
    """
    for place in range(first, last):
        vector = place // kind.size
        here = place - vector * kind.size
        start_a = vector * dim + offset_a[here]
        start_b = vector * dim + offset_b[here]
        for g in range(gates.size):
            at = vector * turn_step + gates[g]
            if turns[0][at] == 1 and turns[1][at] == 0:  # not even the sign of a zero changes
                continue
            table = tables[g] + kind[here]
            for group in range(groups[table], groups[table + 1]):
                count, turn = lengths[group] * unit, turn_of_gate(turns, at, signs[group])
                if count == 1:
                    for run in range(stops[group], stops[group + 1]):
                        x_a, x_b = x[start_a + a[run]], x[start_b + b[run]]
                        x[start_a + a[run]] = turn[0] * x_a - turn[1] * x_b
                        x[start_b + b[run]] = turn[1] * x_a + turn[0] * x_b
                else:
                    for run in range(stops[group], stops[group + 1]):
                        rotate_run(x, (start_a + a[run]) * unit, (start_b + b[run]) * unit, count, turn)


@kernel()
def _unrotate_states(
    x: Flat,
    adjoint: Flat,
    unit: int,
    dim: int,
    first: int,
    last: int,
    turns: tuple[Flat, ...],
    turn_step: int,
    overlaps: NDArray[np.float64],
    offset_a: Flat,
    offset_b: Flat,
    kind: Flat,
    gates: Flat,
    tables: Flat,
    groups: Flat,
    lengths: Flat,
    signs: Flat,
    stops: Flat,
    a: Flat,
    b: Flat,
) -> None:
    """Undo `_rotate_states` on vectors and their gradients, and add the overlaps of each gate before it is undone."""
    lanes = LANE_BYTES // x.itemsize
    sums = np.zeros(overlaps.shape[2] * lanes)
    for place in range(first, last):
        vector = place // kind.size
        here = place - vector * kind.size
        start_a = vector * dim + offset_a[here]
        start_b = vector * dim + offset_b[here]
        row = vector if turn_step else 0
        for g in range(gates.size - 1, -1, -1):
            at = vector * turn_step + gates[g]
            table = tables[g] + kind[here]
            for group in range(groups[table], groups[table + 1]):
                count, turn = lengths[group] * unit, turn_of_gate(turns, at, signs[group])
                sums[:] = 0
                if count == 1:
                    for run in range(stops[group], stops[group + 1]):
                        i, j = start_a + a[run], start_b + b[run]
                        x_a, x_b, g_a, g_b = x[i], x[j], adjoint[i], adjoint[j]
                        sums[0] += np.float64(g_b * x_a - g_a * x_b)
                        x[i] = turn[0] * x_a + turn[1] * x_b
                        x[j] = turn[0] * x_b - turn[1] * x_a
                        adjoint[i] = turn[0] * g_a + turn[1] * g_b
                        adjoint[j] = turn[0] * g_b - turn[1] * g_a
                else:
                    for run in range(stops[group], stops[group + 1]):
                        i, j = (start_a + a[run]) * unit, (start_b + b[run]) * unit
                        unrotate_run(x, adjoint, i, j, count, turn, sums)
                _add_overlaps(overlaps[row, gates[g]], sums, lanes, signs[group])


@kernel()
def _add_overlaps(overlaps: Flat, sums: Flat, lanes: int, sign: int) -> None:
    """The rows of lanes that `unrotate_run` filled, each as one number with its sign."""
    total = 0.0
    for lane in range(lanes):
        total += sums[lane]
    overlaps[0] += sign * total
    for row in range(1, overlaps.size):
        total = 0.0
        for lane in range(0, lanes, 2):
            total += sums[row * lanes + lane] - sums[row * lanes + lane + 1]
        overlaps[row] += (sign if row == 1 else 1) * total
