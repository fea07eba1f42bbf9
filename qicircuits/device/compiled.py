"""A circuit of operations as the engine's steps, with the recipe from its parameters to angles and entries."""

import functools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pennylane.operation import Operator
from pennylane.wires import Wires as PennyLaneWires
from torch import Tensor

from ..engine.direct_sum import DirectSum, Selection
from ..engine.local_gates import Circuit, Mix, Rotations, Step, plan_mixes
from .gate_parts import RUN_BY_NAME, Part, gate_parts, rotation, structure

__all__ = ["Compiled", "compile_circuit"]

Wires: TypeAlias = tuple[int, ...]

# A sweep is worth its calls from so many rotations of two amplitudes on, or from so many gates on.
_SWEPT_PAIRS, _SWEPT_GATES = 2**14, 8

# Circuits with tables of more rows than this are not kept.
_KEPT_ROWS = 2**24


@dataclass(frozen=True)
class Given:
    """Entries that are taken from a gate's own matrix or diagonal.

    Attributes:
        gate: which of the operations it is.
        places: which numbers of its flattened matrix, or of its diagonal, in the order of the entries.
        is_diagonal: whether its parameter is the diagonal.
    """

    gate: int
    places: NDArray[np.int64]
    is_diagonal: bool


@dataclass(frozen=True)
class Compiled:
    """Steps, and angles = factor theta, entries = K + C cos(a theta) + S sin(a theta), then the given ones.

    Attributes:
        circuit: the steps.
        parametrized: the gates whose angles are the parameters, in that order.
        angle_of, angle_factor: for each angle of a rotation, its parameter and factor.
        entry_of, entry_factor, constant, cosine, sine: the same for each entry of a mix.
        given: what follows after those entries.
        is_complex: whether any entry may be complex.
    """

    circuit: Circuit
    parametrized: tuple[int, ...]
    angle_of: Tensor
    angle_factor: Tensor
    entry_of: Tensor
    entry_factor: Tensor
    constant: Tensor
    cosine: Tensor
    sine: Tensor
    given: tuple[Given, ...]
    is_complex: bool

    def angles(self, theta: Tensor) -> Tensor:
        """Angles of all rotations, from the parameters of the gates in the table, shape (1 or batch, n)."""
        return theta[:, self.angle_of] * self.angle_factor

    def entries(self, theta: Tensor) -> Tensor:
        """Entries of all mixes that are not given."""
        if not len(self.entry_of):
            return self.constant.expand(1, -1)
        turn = theta[:, self.entry_of] * self.entry_factor
        return self.constant + self.cosine * turn.cos() + self.sine * turn.sin()


_Key: TypeAlias = tuple[object, ...]
_KEPT: OrderedDict[_Key, Compiled] = OrderedDict()
_MOST_KEPT = 64


def compile_circuit(gates: Sequence[Operator], wires: PennyLaneWires, space: DirectSum) -> Compiled:
    """Plan gates that preserve the weight; circuits of the same structure share their plan.

    Args:
        gates: the operations.
        wires: the wires of the device.
        space: the sectors.
    """
    names = tuple([gate.name for gate in gates])
    labels = tuple([gate.wires.labels for gate in gates])
    others = tuple([structure(gate) for gate, name in zip(gates, names, strict=True) if name not in RUN_BY_NAME])
    key = wires, space.orders, names, labels, others
    if (kept := _KEPT.get(key)) is not None:
        _KEPT.move_to_end(key)
        return kept
    places = {wire: place for place, wire in enumerate(wires)}
    compiled = _Compiler(space).compile(gates, [tuple([places[wire] for wire in own]) for own in labels])
    tables = (step.rows.size for step in compiled.circuit.steps if not isinstance(step, Rotations))
    if sum(tables) <= _KEPT_ROWS:
        _KEPT[key] = compiled
        if len(_KEPT) > _MOST_KEPT:
            _KEPT.popitem(last=False)
    return compiled


class _Gate(NamedTuple):
    """A gate with its place among all, its wires, what the table says it does, and its parameter."""

    place: int
    op: Operator
    wires: Wires
    parts: list[Part] | None
    parameter: int


class _Compiler:
    """Collects the steps of a circuit, gate by gate."""

    def __init__(self, space: DirectSum) -> None:
        self.space = space
        self.steps: list[Rotations | list[tuple[Mix, bool]]] = []  # mixes with whether their entries are given
        self.angles: list[tuple[int, float]] = []
        self.parts: list[tuple[int, Part]] = []
        self.given: list[Given] = []
        self.parametrized: list[int] = []
        self.n_entries = 0
        self.n_given = 0

    def compile(self, gates: Sequence[Operator], wires: Sequence[Wires]) -> Compiled:
        run: list[_Gate] = []
        for index, (op, where) in enumerate(zip(gates, wires, strict=True)):
            parts = None if op.name == "DiagonalQubitUnitary" else gate_parts(op, where)
            gate = _Gate(index, op, where, parts, self._parameter(index, op) if parts is not None else 0)
            if rotation(op, where) is not None:
                run.append(gate)
                continue
            self._end_run(run)
            run = []
            self._add(gate)
        self._end_run(run)
        return self._finish()

    def _parameter(self, index: int, op: Operator) -> int:
        """The number of a gate's angle among the parameters; any for gates without one."""
        if not op.num_params:
            return 0
        self.parametrized.append(index)
        return len(self.parametrized) - 1

    def _end_run(self, run: Sequence[_Gate]) -> None:
        """Sweep the rotations, those on neighbours with any others, unless they are too few."""
        if len(run) < _SWEPT_GATES and len(run) * self.space.dim // 4 < _SWEPT_PAIRS:
            for gate in run:
                self._add(gate)
            return
        wires: list[int] = []
        first, fermionic = len(self.angles), None
        for gate in run:
            (i, j), is_fermionic, factor = rotation(gate.op, gate.wires) or ((0, 0), False, 0.0)
            kind = None if abs(i - j) == 1 else is_fermionic  # on neighbours FBS = RBS
            if kind is not None and fermionic is not None and kind != fermionic:
                self.steps.append(Rotations(tuple(wires), fermionic, slice(first, len(self.angles))))
                wires, first, fermionic = [], len(self.angles), None
            fermionic = kind if fermionic is None else fermionic
            wires += i, j
            self.angles.append((gate.parameter, factor))
        self.steps.append(Rotations(tuple(wires), bool(fermionic), slice(first, len(self.angles))))

    def _add(self, gate: _Gate) -> None:
        if gate.parts is None:
            self._add_given(gate)
            return
        for part in gate.parts:
            self._mix(Mix(part.states, self.n_entries), False)
            self.parts.append((gate.parameter, part))
            self.n_entries += part.constant.size

    def _add_given(self, gate: _Gate) -> None:
        """All blocks of a matrix, one for each weight on its wires; or all numbers of a diagonal."""
        width, is_diagonal = len(gate.wires), gate.op.name == "DiagonalQubitUnitary"
        groups = np.arange(2**width)[:, None] if is_diagonal else _weight_groups(width)
        places = []
        for group in groups:
            states = tuple(Selection(gate.wires, tuple(int(state) >> np.arange(width)[::-1] & 1)) for state in group)
            self._mix(Mix(states, self.n_given), True)
            places.append(group if is_diagonal else (group[:, None] * 2**width + group).ravel())
            self.n_given += len(places[-1])
        self.given.append(Given(gate.place, np.concatenate(places), is_diagonal))

    def _mix(self, mix: Mix, is_given: bool) -> None:
        if not self.steps or isinstance(self.steps[-1], Rotations):
            self.steps.append([])
        mixes = self.steps[-1]
        assert isinstance(mixes, list)
        mixes.append((mix, is_given))

    def _place(self, step: Rotations | list[tuple[Mix, bool]]) -> Step:
        """Given entries follow all others."""
        if isinstance(step, Rotations):
            return step
        placed = (replace(mix, first=mix.first + self.n_entries * is_given) for mix, is_given in step)
        return plan_mixes(placed, self.space)

    def _finish(self) -> Compiled:
        matrices = [(part.constant, part.cosine, part.sine) for _, part in self.parts]
        flat = [np.concatenate([np.empty(0, complex), *(m[i].ravel() for m in matrices)]) for i in range(3)]
        is_complex = any(values.imag.any() for values in flat)
        repeats = [part.constant.size for _, part in self.parts]
        entry_of = np.repeat(np.array([parameter for parameter, _ in self.parts], np.int64), repeats)
        entry_factor = np.repeat(np.array([part.factor for _, part in self.parts], float), repeats)
        if not any(values.any() for values in flat[1:]):
            entry_of, entry_factor = entry_of[:0], entry_factor[:0]
        constant, cosine, sine = (torch.from_numpy(v if is_complex else v.real.copy()) for v in flat)
        return Compiled(
            Circuit(self.space, tuple(map(self._place, self.steps))),
            tuple(self.parametrized),
            torch.tensor([parameter for parameter, _ in self.angles], dtype=torch.int64),
            torch.tensor([factor for _, factor in self.angles], dtype=torch.float64),
            torch.from_numpy(entry_of),
            torch.from_numpy(entry_factor),
            constant,
            cosine,
            sine,
            tuple(self.given),
            is_complex or bool(self.given),
        )


@functools.lru_cache(maxsize=64)
def _weight_groups(n_wires: int) -> tuple[NDArray[np.int64], ...]:
    """Local states as integers, those of each weight together."""
    weights = np.bitwise_count(np.arange(2**n_wires))
    return tuple(np.flatnonzero(weights == weight) for weight in range(n_wires + 1))
