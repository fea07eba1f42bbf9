"""The circuit itself on the CPU for one or few state vectors, lanes along the amplitudes, as operators."""

import torch
from torch import Tensor

from .cpu_state_plan import StatePlan, state_plan
from .cpu_state_sweeps import rotate_all, unrotate_all
from .gradient import register_gradient
from .reference import phased_gradients

__all__ = ["sweep_phased_states", "sweep_states"]

_Turns = tuple[Tensor, ...]


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


def _sweep(x: Tensor, turns: _Turns, plan: StatePlan) -> Tensor:
    out = _copy(x)
    rotate_all(out, turns, plan)
    return out


def _unsweep(grad: Tensor, out: Tensor, turns: _Turns, plan: StatePlan) -> tuple[Tensor, Tensor]:
    """The gradient of the vectors, and the overlaps."""
    grad_x, state = _copy(grad), _copy(out)
    return grad_x, unrotate_all(state, grad_x, turns, plan)


def _copy(x: Tensor) -> Tensor:
    """A contiguous copy, conjugated where torch has put that off."""
    return torch.empty(x.shape, dtype=x.dtype).copy_(x)
