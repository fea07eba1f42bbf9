"""Weight-preserving gates on a direct sum of sectors: rotations of wires, and small matrices on groups of amplitudes.

A gate on w wires that preserves the Hamming weight acts, for some of the 2^w local states, by a small matrix on the
groups of amplitudes that hold these local states and agree on all other wires. That is a *mix*; a phase is a mix of
one local state, SWAP one of two, a double excitation one of two. Runs of RBS and FBS gates are swept instead.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cpu_local import mix_states, rotate_in_place, unmix_states, unrotate_in_place
from .direct_sum import DirectSum, Selection

__all__ = ["Circuit", "Mix", "Mixes", "Rotations", "apply_circuit", "apply_circuit_slowly", "plan_mixes"]


@dataclass(frozen=True)
class Mix:
    """A small matrix on groups of amplitudes.

    Attributes:
        states: its s local states, on the same wires; of different weights only if no amplitude leaves the sectors.
        first: where its s x s entries start, row by row, among those of the circuit.
    """

    states: tuple[Selection, ...]
    first: int


@dataclass(frozen=True)
class Rotations:
    """A run of RBS or FBS gates.

    Attributes:
        wires: the wires of all gates in order of application, 2 n_gates numbers.
        fermionic: False for RBS, True for FBS.
        angles: which of the angles of the circuit are theirs.
    """

    wires: tuple[int, ...]
    fermionic: bool
    angles: slice

    @functools.cached_property
    def packed(self) -> bytes:
        """The wires as `state_plan` takes them."""
        return np.array(self.wires, dtype=np.int64).tobytes()


@dataclass(frozen=True)
class Mixes:
    """A run of mixes, as one table; the fields are those of `engine.cpu_local.mix_states`."""

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]
    firsts: NDArray[np.int64]


Step: TypeAlias = Rotations | Mixes


@dataclass(frozen=True)
class Circuit:
    """Steps in order of application, on a direct sum of sectors."""

    space: DirectSum
    steps: tuple[Step, ...]


def plan_mixes(mixes: Iterable[Mix], space: DirectSum) -> Mixes:
    """The table of a run of mixes; those that meet no amplitude are left out."""
    tables: list[NDArray[np.int64]] = []
    shapes: list[tuple[int, int, int, int]] = []
    placed: dict[tuple[Selection, ...], tuple[int, int]] = {}
    length = 0
    for mix in mixes:
        if mix.states not in placed:
            groups = space.groups(mix.states)
            placed[mix.states] = length, groups.shape[1]
            tables.append(groups.ravel())
            length += groups.size
        start, count = placed[mix.states]
        if count:
            shapes.append((start, len(mix.states), count, mix.first))
    columns = np.array(shapes, dtype=np.int64).reshape(-1, 4).T
    return Mixes(np.concatenate([*tables, np.empty(0, np.int64)]), *map(np.ascontiguousarray, columns))


def apply_circuit(vectors: Tensor, angles: Tensor, entries: Tensor, circuit: Circuit) -> Tensor:
    """Apply a circuit to vectors of a direct sum, with O(1) memory in its depth.

    All matrices must be unitary: the backward runs the circuit in reverse, from its output. Derivatives of
    derivatives go through `apply_circuit_slowly`, which keeps a vector for each gate.

    Args:
        vectors: shape (batch, dim), float64 or complex128, on the CPU.
        angles: theta of all rotations, shape (1 or batch, n_angles), float64.
        entries: the entries of all mixes, shape (1 or batch, n_entries), the dtype of `vectors`.
        circuit: the plan.

    Returns:
        The vectors after the circuit, shape (batch, dim).
    """
    out: Tensor = _Apply.apply(vectors, angles, entries, circuit)
    return out


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, angles: Tensor, entries: Tensor, circuit: Circuit) -> Tensor:
        out = vectors.clone(memory_format=torch.contiguous_format)
        entries = entries.contiguous()
        for step in circuit.steps:
            _do(out, angles, entries, step, circuit.space)
        ctx.circuit = circuit
        ctx.save_for_backward(out, vectors, angles, entries)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        out, *inputs = ctx.saved_tensors
        if torch.is_grad_enabled():  # these derivatives will be differentiated themselves
            by_vectors, by_angles, by_entries = _differentiable_gradients(inputs, grad, ctx.circuit)
            return by_vectors, by_angles, by_entries, None
        _, angles, entries = inputs
        adjoint = grad.to(out.dtype).clone(memory_format=torch.contiguous_format)
        state = out.clone()
        grad_angles, grad_entries = torch.zeros_like(angles), torch.zeros_like(entries)
        for step in reversed(ctx.circuit.steps):
            _undo(state, adjoint, angles, entries, (grad_angles, grad_entries), step, ctx.circuit.space)
        return adjoint, grad_angles, grad_entries, None


def _differentiable_gradients(inputs: list[Tensor], grad: Tensor, circuit: Circuit) -> list[Tensor | None]:
    """The gradients of vectors, angles and entries, as functions of them and of `grad`."""
    wanted = [x for x in inputs if x.requires_grad]
    again = apply_circuit_slowly(inputs[0], inputs[1], inputs[2], circuit)
    found = iter(torch.autograd.grad(again, wanted, grad, create_graph=True, allow_unused=True))
    return [next(found) if x.requires_grad else None for x in inputs]


def _do(x: Tensor, angles: Tensor, entries: Tensor, step: Step, space: DirectSum) -> None:
    if isinstance(step, Mixes):
        mix_states(x.numpy(), entries.detach().numpy(), *_table(step))
        return
    own = angles[:, step.angles]
    turns = own.cos(), own.sin()
    for order, sector in _rotated_sectors(space):
        rotate_in_place(x[:, sector], turns, (step.packed, space.n, order, step.fermionic))


def _undo(
    x: Tensor,
    adjoint: Tensor,
    angles: Tensor,
    entries: Tensor,
    gradients: tuple[Tensor, Tensor],
    step: Step,
    space: DirectSum,
) -> None:
    """Undo a step on the vectors and on their gradients, and add to the gradients of angles and entries."""
    if isinstance(step, Mixes):
        unmix_states(x.numpy(), adjoint.numpy(), entries.detach().numpy(), gradients[1].numpy(), *_table(step))
        return
    own = angles[:, step.angles]
    turns = own.cos(), own.sin()
    for order, sector in _rotated_sectors(space):
        plan = step.packed, space.n, order, step.fermionic
        gradients[0][:, step.angles] += unrotate_in_place(x[:, sector], adjoint[:, sector], turns, plan)


def _table(step: Mixes) -> tuple[NDArray[np.int64], ...]:
    return step.rows, step.starts, step.sizes, step.counts, step.firsts


def _rotated_sectors(space: DirectSum) -> Iterable[tuple[int, slice]]:
    for order, start, size in zip(space.orders, space.starts, space.sizes, strict=True):
        if 0 < order < space.n:
            yield order, slice(start, start + size)


def _pairs(wires: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(wires[::2], wires[1::2], strict=True))


def apply_circuit_slowly(vectors: Tensor, angles: Tensor, entries: Tensor, circuit: Circuit) -> Tensor:
    """The slow twin of `apply_circuit`: one tensor a gate, differentiated by torch, as often as wanted."""
    batch = max(len(vectors), len(angles), len(entries))
    x = vectors.expand(batch, -1)
    for step in circuit.steps:
        if isinstance(step, Mixes):
            for start, size, count, first in zip(step.starts, step.sizes, step.counts, step.firsts, strict=True):
                rows = torch.from_numpy(step.rows[start : start + size * count])
                matrix = entries[:, first : first + size**2].reshape(-1, size, size)
                mixed = matrix @ x[:, rows].reshape(batch, size, count)
                x = x.index_copy(1, rows, mixed.reshape(batch, -1))
            continue
        for gate, (i, j) in enumerate(_pairs(step.wires)):
            x = _rotate_slowly(x, angles[:, step.angles][:, gate, None], (i, j), step.fermionic, circuit.space)
    return x


def _rotate_slowly(x: Tensor, angle: Tensor, pair: tuple[int, int], fermionic: bool, space: DirectSum) -> Tensor:
    between = tuple(range(min(pair) + 1, max(pair))) if fermionic else ()
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    for odd in (0, 1) if between else (0,):
        selections = (Selection(pair, bits, between, odd) for bits in ((1, 0), (0, 1)))
        a, b = (torch.from_numpy(space.rows(selection)) for selection in selections)
        sign = -1 if odd else 1
        x_a, x_b = x[:, a], x[:, b]
        x = x.index_copy(1, a, cos * x_a - sign * sin * x_b).index_copy(1, b, sign * sin * x_a + cos * x_b)
    return x
