"""The circuit itself as a classical algorithm, in torch: gate after gate, undone again for the gradient."""

from collections.abc import Iterator

import torch
from torch import Tensor

from .gradient import register_gradient
from .plan import gate_table

__all__ = ["phased_gradients", "sweep_phased_rows", "sweep_rows", "sweep_rows_backward"]

_Table = tuple[Tensor, Tensor, Tensor | None]


@torch.library.custom_op("qicircuits::sweep_rows", mutates_args=())
def sweep_rows(rows: Tensor, angles: Tensor, wires: list[int], n: int, order: int, fermionic: bool) -> Tensor:
    """Apply the gates of a circuit to vectors of one sector, with O(1) memory in the depth.

    Each gate is a rotation by theta of its row pairs (`engine.plan.GateTable`). Only the output and the
    angles are kept for the backward: running the gates in reverse gives every intermediate vector back.

    Args:
        rows: vectors as columns, shape (C(n, k), ...), float32, float64, complex64 or complex128.
        angles: theta, shape (n_gates, ...), real; as many dimensions as `rows`, broadcasting to it.
        wires: the wires of all gates in order of application, 2 n_gates numbers.
        n: number of wires.
        order: Hamming weight k of the sector.
        fermionic: False for RBS, True for FBS.

    Returns:
        The vectors after the circuit, shape, dtype and device of `rows`.
    """
    return _sweep(rows, angles.cos(), angles.sin(), wires, n, order, fermionic)


@torch.library.custom_op("qicircuits::sweep_phased_rows", mutates_args=())
def sweep_phased_rows(
    rows: Tensor, angles: Tensor, phases: Tensor, wires: list[int], n: int, order: int, fermionic: bool
) -> Tensor:
    """`sweep_rows` on complex rows, with phases phi of the shape of the angles.

    A gate takes x_a, x_b to cos(theta) x_a - exp(-i phi) sin(theta) x_b, exp(i phi) sin(theta) x_a + cos(theta) x_b.
    """
    return _sweep(rows, angles.cos(), torch.polar(angles.sin(), phases), wires, n, order, fermionic)


@torch.library.custom_op("qicircuits::sweep_rows_backward", mutates_args=())
def sweep_rows_backward(
    grad: Tensor, out: Tensor, angles: Tensor, wires: list[int], n: int, order: int, fermionic: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of `sweep_rows` with respect to its rows and its angles, from its output: both run backwards."""
    grad_rows, overlaps, _ = _unsweep(grad, out, angles.cos(), angles.sin(), wires, n, order, fermionic)
    return grad_rows, _real(overlaps)


@torch.library.custom_op("qicircuits::sweep_phased_rows_backward", mutates_args=())
def _sweep_phased_rows_backward(
    grad: Tensor,
    out: Tensor,
    angles: Tensor,
    phases: Tensor,
    wires: list[int],
    n: int,
    order: int,
    fermionic: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    sin = torch.polar(angles.sin(), phases)
    grad_rows, overlaps, inner = _unsweep(grad, out, angles.cos(), sin, wires, n, order, fermionic)
    return grad_rows, *phased_gradients(angles, phases, overlaps.real, overlaps.imag, inner.imag)


@sweep_rows.register_fake
def _(rows: Tensor, angles: Tensor, wires: list[int], n: int, order: int, fermionic: bool) -> Tensor:
    return torch.empty_like(rows, memory_format=torch.contiguous_format)


@sweep_phased_rows.register_fake
def _(rows: Tensor, angles: Tensor, phases: Tensor, wires: list[int], n: int, order: int, fermionic: bool) -> Tensor:
    return torch.empty_like(rows, memory_format=torch.contiguous_format)


@sweep_rows_backward.register_fake
def _(
    grad: Tensor, out: Tensor, angles: Tensor, wires: list[int], n: int, order: int, fermionic: bool
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(out, memory_format=torch.contiguous_format), torch.empty_like(angles)


@_sweep_phased_rows_backward.register_fake
def _(
    grad: Tensor,
    out: Tensor,
    angles: Tensor,
    phases: Tensor,
    wires: list[int],
    n: int,
    order: int,
    fermionic: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    grad_rows = torch.empty_like(out, memory_format=torch.contiguous_format)
    return grad_rows, torch.empty_like(angles), torch.empty_like(phases)


register_gradient(sweep_rows, sweep_rows_backward, keep=lambda output, rows, *turns: (output, *turns))
register_gradient(sweep_phased_rows, _sweep_phased_rows_backward, keep=lambda output, rows, *turns: (output, *turns))


def phased_gradients(
    angles: Tensor, phases: Tensor, real: Tensor, imaginary: Tensor, inner: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of angles and phases from sums over each gate's rows, states x and gradients g after the gate.

    Args:
        angles: theta.
        phases: phi, of the same shape.
        real: the real part of W = sum conj(g_b) x_a - g_a conj(x_b).
        imaginary: its imaginary part.
        inner: the imaginary part of sum conj(g_b) x_b - conj(g_a) x_a.

    Returns:
        Re(exp(i phi) W) and -sin(theta) (cos(theta) Im(exp(i phi) W) + sin(theta) inner).
    """
    cos, sin = phases.cos(), phases.sin()
    turned = cos * imaginary + sin * real
    return cos * real - sin * imaginary, -angles.sin() * (angles.cos() * turned + angles.sin() * inner)


def _sweep(rows: Tensor, cos: Tensor, sin: Tensor, wires: list[int], n: int, order: int, fermionic: bool) -> Tensor:
    out = torch.empty(rows.shape, dtype=rows.dtype, device=rows.device).copy_(rows)
    for gate, (a, b, parity) in enumerate(_tables(wires, n, order, fermionic, cos)):
        _rotate(out, a, b, cos[gate], sin[gate] if parity is None else sin[gate] * parity)
    return out


def _unsweep(
    grad: Tensor, out: Tensor, cos: Tensor, sin: Tensor, wires: list[int], n: int, order: int, fermionic: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of the rows, and for each gate both sums of `phased_gradients`, shape of `cos`."""
    state, adjoint = (torch.empty(t.shape, dtype=t.dtype, device=t.device).copy_(t) for t in (out, grad))
    overlaps, inner = torch.empty_like(cos, dtype=out.dtype), torch.empty_like(cos, dtype=out.dtype)
    tables = list(_tables(wires, n, order, fermionic, cos))
    for gate in reversed(range(len(tables))):
        a, b, parity = tables[gate]
        # d(out)/d(theta) is the *output* rows turned by a right angle: no need to undo the gate first.
        overlap = adjoint[b].conj_physical() * state[a] - adjoint[a] * state[b].conj_physical()
        if parity is not None:
            overlap = overlap * parity
        overlaps[gate] = overlap.sum(0).sum_to_size(cos.shape[1:])
        inside = adjoint[b].conj_physical() * state[b] - adjoint[a].conj_physical() * state[a]
        inner[gate] = inside.sum(0).sum_to_size(cos.shape[1:])
        back = -sin[gate] if parity is None else -sin[gate] * parity
        _rotate(state, a, b, cos[gate], back)
        _rotate(adjoint, a, b, cos[gate], back)
    return adjoint, overlaps, inner


def _rotate(rows: Tensor, a: Tensor, b: Tensor, cos: Tensor, sin: Tensor) -> None:
    """In place: rows a, b become cos a - conj(sin) b, sin a + cos b."""
    upper, lower = rows[a], rows[b]
    # Not conj(): under torch.compile an operator's own lazy conjugates are not looked at.
    rows[a] = cos * upper - sin.conj_physical() * lower
    rows[b] = sin * upper + cos * lower


def _real(tensor: Tensor) -> Tensor:
    return tensor.real.clone() if tensor.is_complex() else tensor  # an operator must not return a view


def _tables(wires: list[int], n: int, order: int, fermionic: bool, like: Tensor) -> Iterator[_Table]:
    """Row pairs of each gate; the parity, as a column that broadcasts over vectors, only where FBS needs it."""
    on_device: dict[tuple[int, int], _Table] = {}
    for i, j in zip(wires[::2], wires[1::2], strict=True):
        if (i, j) not in on_device:
            table = gate_table(n, order, i, j)
            a, b, parity = (torch.from_numpy(t).to(like.device) for t in (table.a, table.b, table.parity))
            signed = fermionic and abs(i - j) > 1
            column = parity.to(like.dtype).reshape(-1, *[1] * (like.dim() - 1)) if signed else None
            on_device[i, j] = a, b, column
        yield on_device[i, j]
