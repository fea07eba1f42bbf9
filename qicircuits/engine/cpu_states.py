"""The circuit itself on the CPU for one or few state vectors, lanes along the amplitudes, as operators."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cpu_lanes import LANE_BYTES
from .cpu_state_lanes import rotate_run, turn_of_gate, unrotate_run
from .cpu_state_plan import Stage, StatePlan, state_plan
from .cpu_tiles import Flat, in_chunks, kernel
from .gradient import register_gradient
from .reference import phased_gradients

__all__ = ["sweep_phased_states", "sweep_states"]

_CHUNK = 2**15
"""A quarter of the amplitudes that are worth a thread of their own."""

_Turns = tuple[Flat, ...]


@torch.library.custom_op("qicircuits::sweep_states", mutates_args=(), device_types="cpu")
def sweep_states(x: Tensor, angles: Tensor, wires: Tensor, n: int, order: int, fermionic: bool) -> Tensor:
    """`engine.reference.sweep_rows` for vectors in rows, with angles for all or for each of them; its fast twin.

    Args:
        x: vectors, shape (tokens, C(n, k)), any strides; float32, float64, complex64 or complex128.
        angles: theta, shape (1 or tokens, n_gates), the real dtype of `x`.
        wires: the wires of all gates in order of application, int64, shape (2 n_gates,): a list would take longer on
            its way through torch than the gates.
        n: number of wires.
        order: Hamming weight k of the sector.
        fermionic: False for RBS, True for FBS.

    Returns:
        The vectors after the circuit, contiguous. Only they and the angles are kept for the backward.
    """
    return _sweep(x, (angles.cos(), angles.sin()), _plan(wires, n, order, fermionic))


@torch.library.custom_op("qicircuits::sweep_phased_states", mutates_args=(), device_types="cpu")
def sweep_phased_states(
    x: Tensor, angles: Tensor, phases: Tensor, wires: Tensor, n: int, order: int, fermionic: bool
) -> Tensor:
    """`sweep_states` for complex vectors, with phases phi of the shape of the angles.

    A gate takes x_a, x_b to cos(theta) x_a - exp(-i phi) sin(theta) x_b, exp(i phi) sin(theta) x_a + cos(theta) x_b.
    """
    return _sweep(x, _phased_turns(angles, phases), _plan(wires, n, order, fermionic))


@torch.library.custom_op("qicircuits::sweep_states_backward", mutates_args=(), device_types="cpu")
def _sweep_states_backward(
    grad: Tensor, out: Tensor, angles: Tensor, wires: Tensor, n: int, order: int, fermionic: bool
) -> tuple[Tensor, Tensor]:
    plan = _plan(wires, n, order, fermionic)
    grad_x, sums = _unsweep(grad, out, (angles.cos(), angles.sin()), plan)
    return grad_x, sums[..., 0].to(angles.dtype)


@torch.library.custom_op("qicircuits::sweep_phased_states_backward", mutates_args=(), device_types="cpu")
def _sweep_phased_states_backward(
    grad: Tensor,
    out: Tensor,
    angles: Tensor,
    phases: Tensor,
    wires: Tensor,
    n: int,
    order: int,
    fermionic: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    plan = _plan(wires, n, order, fermionic)
    grad_x, sums = _unsweep(grad, out, _phased_turns(angles, phases), plan)
    grad_angles, grad_phases = phased_gradients(angles.double(), phases.double(), *sums.unbind(-1))
    return grad_x, grad_angles.to(angles.dtype), grad_phases.to(phases.dtype)


@sweep_states.register_fake
def _(x: Tensor, angles: Tensor, wires: Tensor, n: int, order: int, fermionic: bool) -> Tensor:
    return x.new_empty(x.shape)


@sweep_phased_states.register_fake
def _(x: Tensor, angles: Tensor, phases: Tensor, wires: Tensor, n: int, order: int, fermionic: bool) -> Tensor:
    return x.new_empty(x.shape)


@_sweep_states_backward.register_fake
def _(
    grad: Tensor, out: Tensor, angles: Tensor, wires: Tensor, n: int, order: int, fermionic: bool
) -> tuple[Tensor, Tensor]:
    return out.new_empty(out.shape), angles.new_empty(angles.shape)


@_sweep_phased_states_backward.register_fake
def _(
    grad: Tensor,
    out: Tensor,
    angles: Tensor,
    phases: Tensor,
    wires: Tensor,
    n: int,
    order: int,
    fermionic: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return out.new_empty(out.shape), angles.new_empty(angles.shape), phases.new_empty(phases.shape)


register_gradient(sweep_states, _sweep_states_backward, keep=lambda output, x, *turns: (output, *turns))
register_gradient(sweep_phased_states, _sweep_phased_states_backward, keep=lambda output, x, *turns: (output, *turns))


def _plan(wires: Tensor, n: int, order: int, fermionic: bool) -> StatePlan:
    return state_plan(wires.numpy().tobytes(), n, order, fermionic)


def _phased_turns(angles: Tensor, phases: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    sin = angles.sin()
    return angles.cos(), sin * phases.cos(), sin * phases.sin()


def _sweep(x: Tensor, turns: tuple[Tensor, ...], plan: StatePlan) -> Tensor:
    out, step = _copy(x), _turn_step(turns)
    numbers, unit, dim = _numbers(out), 1 + x.is_complex(), x.shape[1]
    flat = _flat(turns)
    for stage in plan.stages():

        def work(first: int, last: int, stage: Stage = stage) -> None:
            rotate_states(numbers, unit, dim, first, last, flat, step, *stage)

        _at_all_places(work, stage, x)
    return out


def _unsweep(grad: Tensor, out: Tensor, turns: tuple[Tensor, ...], plan: StatePlan) -> tuple[Tensor, Tensor]:
    """The gradient of the vectors, and the overlaps, float64, shape (1 or tokens, n_gates, 1 or 3)."""
    grad_x, state, step = _copy(grad), _copy(out), _turn_step(turns)
    adjoints, states, unit, dim = _numbers(grad_x), _numbers(state), 1 + out.is_complex(), out.shape[1]
    flat = _flat(turns)
    shape = (*turns[0].shape, 2 * len(turns) - 3)
    overlaps = np.zeros(shape)
    for stage in plan.stages(backwards=True):

        def work(first: int, last: int, stage: Stage = stage) -> NDArray[np.float64]:
            own = np.zeros(shape)
            unrotate_states(states, adjoints, unit, dim, first, last, flat, step, own, *stage)
            return own

        for own in _at_all_places(work, stage, out):
            overlaps += own
    return grad_x, torch.from_numpy(overlaps)


def _at_all_places(work: Any, stage: Stage, x: Tensor) -> list[Any]:
    """`work` on every place of every vector, shared out over threads where there are enough amplitudes."""
    places = len(x) * len(stage.kind)
    return in_chunks(work, places, max(1, _CHUNK * places // max(1, x.numel())))


def _copy(x: Tensor) -> Tensor:
    """A contiguous copy, conjugated where torch has put that off."""
    return torch.empty(x.shape, dtype=x.dtype).copy_(x)


def _numbers(x: Tensor) -> Flat:
    return (torch.view_as_real(x) if x.is_complex() else x).view(-1).numpy()


def _flat(turns: tuple[Tensor, ...]) -> _Turns:
    return tuple(turn.detach().contiguous().view(-1).numpy() for turn in turns)


def _turn_step(turns: Iterable[Tensor]) -> int:
    """From the turns of one vector to those of the next."""
    return next(turn.shape[1] if turn.shape[0] > 1 else 0 for turn in turns)


@kernel()
def rotate_states(
    x: Flat,
    unit: int,
    dim: int,
    first: int,
    last: int,
    turns: _Turns,
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
def unrotate_states(
    x: Flat,
    adjoint: Flat,
    unit: int,
    dim: int,
    first: int,
    last: int,
    turns: _Turns,
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
    """Undo `rotate_states` on vectors and their gradients, and add the overlaps of each gate before it is undone."""
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
