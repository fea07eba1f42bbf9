"""What each supported gate does to which local states: small matrices, as functions of its angle."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.operation import Operator

from ..engine.direct_sum import Selection

__all__ = ["RUN_BY_NAME", "Part", "gate_parts", "is_in_table", "rotation", "structure", "with_parameters"]

Bits: TypeAlias = tuple[int, ...]
Wires: TypeAlias = tuple[int, ...]
Matrix: TypeAlias = NDArray[np.complex128]

_DOES_NOTHING = frozenset({"Barrier", "Identity", "WireCut"})


@dataclass(frozen=True)
class Part:
    """The matrix K + C cos(a theta) + S sin(a theta) on s local states; theta is the gate's parameter.

    Attributes:
        states: the s local states.
        constant: K, shape (s, s).
        cosine: C.
        sine: S.
        factor: a.
    """

    states: tuple[Selection, ...]
    constant: Matrix
    cosine: Matrix
    sine: Matrix
    factor: float = 1.0

    def adjoint(self) -> "Part":
        """The same for the inverse of the gate."""
        constant, cosine, sine = (matrix.conj().T for matrix in (self.constant, self.cosine, self.sine))
        return Part(self.states, constant, cosine, sine, self.factor)

    def controlled(self, wires: Wires, bits: Bits) -> "Part":
        """The same where `wires` hold `bits`, for a gate that does nothing elsewhere."""
        states = (replace(s, wires=wires + s.wires, bits=bits + s.bits) for s in self.states)
        return replace(self, states=tuple(states))


_Builder: TypeAlias = Callable[[Wires], list[Part]]

_I, _X = np.eye(2, dtype=complex), np.array([[0, 1], [1, 0]], dtype=complex)
_TURN = np.array([[0, -1], [1, 0]], dtype=complex)  # a, b -> cos a - sin b, sin a + cos b


def _fixed(bits: Iterable[Bits], matrix: Matrix) -> _Builder:
    states = tuple(bits)
    zero = np.zeros_like(matrix)
    return lambda wires: [Part(tuple(Selection(wires, b) for b in states), matrix, zero, zero)]


def _turned(bits: Iterable[Bits], cosine: Matrix, sine: Matrix, factor: float) -> _Builder:
    states = tuple(bits)
    zero = np.zeros_like(cosine)
    return lambda wires: [Part(tuple(Selection(wires, b) for b in states), zero, cosine, sine, factor)]


def _number(value: complex) -> Matrix:
    return np.array([[value]], dtype=complex)


def _phase(bits: Bits, factor: float) -> _Builder:
    """exp(i factor theta) on one local state."""
    return _turned([bits], _number(1), _number(1j), factor)


def _all(*builders: _Builder) -> _Builder:
    return lambda wires: [part for builder in builders for part in builder(wires)]


def _parities(wires: Wires) -> list[Part]:
    """exp(-i theta / 2) on an even number of ones, exp(i theta / 2) on an odd one."""
    zero, one = _number(0), _number(1)
    return [
        Part((Selection(parity_wires=wires, odd=odd),), zero, one, _number(1j if odd else -1j), 0.5) for odd in (0, 1)
    ]


def _fermionic(first: Iterable[Bits], factor: float, split: Callable[[Wires], tuple[Wires, Wires]]) -> _Builder:
    """A rotation of two local states, its angle signed by the ones on other wires."""
    bits = tuple(first)

    def build(wires: Wires) -> list[Part]:
        outer, between = split(wires)
        parts = []
        for odd in (0, 1) if between else (0,):
            states = tuple(Selection(outer, b, between, odd) for b in bits)
            parts.append(Part(states, 0 * _I, _I, -_TURN if odd else _TURN, factor))
        return parts

    return build


def _ends(wires: Wires) -> tuple[Wires, Wires]:
    return (wires[0], wires[-1]), wires[1:-1]


_PAIR, _QUARTET = ((1, 0), (0, 1)), ((0, 0, 1, 1), (1, 1, 0, 0))
_EXCITATION = _turned(_PAIR, _I, _TURN, -0.5)

_GATES: dict[str, _Builder] = {
    "RBS": _turned(_PAIR, _I, _TURN, 1.0),
    "FBS": _fermionic(_PAIR, 1.0, _ends),
    "SingleExcitation": _EXCITATION,
    "SingleExcitationPlus": _all(_EXCITATION, _phase((0, 0), 0.5), _phase((1, 1), 0.5)),
    "SingleExcitationMinus": _all(_EXCITATION, _phase((0, 0), -0.5), _phase((1, 1), -0.5)),
    "FermionicSingleExcitation": _fermionic(_PAIR, 0.5, _ends),
    "DoubleExcitation": _turned(_QUARTET, _I, _TURN, 0.5),
    "IsingXY": _turned(_PAIR, _I, 1j * _X, 0.5),
    "SWAP": _fixed(_PAIR, _X),
    "ISWAP": _fixed(_PAIR, 1j * _X),
    "SISWAP": _fixed(_PAIR, (_I + 1j * _X) / np.sqrt(2)),
    "PSWAP": _turned(_PAIR, _X, 1j * _X, 1.0),
    "CSWAP": _fixed([(1, 1, 0), (1, 0, 1)], _X),
    "PauliZ": _fixed([(1,)], _number(-1)),
    "S": _fixed([(1,)], _number(1j)),
    "T": _fixed([(1,)], _number(np.exp(0.25j * np.pi))),
    "CZ": _fixed([(1, 1)], _number(-1)),
    "CCZ": _fixed([(1, 1, 1)], _number(-1)),
    "PhaseShift": _phase((1,), 1.0),
    "U1": _phase((1,), 1.0),
    "RZ": _all(_phase((0,), -0.5), _phase((1,), 0.5)),
    "CRZ": _all(_phase((1, 0), -0.5), _phase((1, 1), 0.5)),
    "ControlledPhaseShift": _phase((1, 1), 1.0),
    "CPhaseShift00": _phase((0, 0), 1.0),
    "CPhaseShift01": _phase((0, 1), 1.0),
    "CPhaseShift10": _phase((1, 0), 1.0),
    "IsingZZ": _parities,
    "MultiRZ": _parities,
}


# What loaders of several weights do besides, on states that no gate takes out of their sectors.
_LOADING = {"PauliX": _fixed(((0,), (1,)), _X), "RY": _turned(((0,), (1,)), _I, _TURN, 0.5)}

RUN_BY_NAME = frozenset({*_GATES, *_DOES_NOTHING, "GlobalPhase", "DiagonalQubitUnitary"})
"""Gates that are run as they are, and that their names and wires tell all about."""


def is_in_table(op: Operator) -> bool:
    """Whether a gate, or the gate that it controls or inverts, is in the table, or needs nothing done."""
    if op.name in RUN_BY_NAME or op.name in ("ControlledRBS", "FermionicDoubleExcitation"):
        return True
    is_symbolic = isinstance(op, qml.ops.Controlled | qml.ops.op_math.Adjoint)
    return is_symbolic and op.base.name != "DiagonalQubitUnitary" and is_in_table(op.base)


def _double_excitation(op: Operator, wires: Wires) -> list[Part]:
    """Both pairs of outer wires exchange two particles, signed by the ones between the wires of each pair."""
    n_first = len(op.hyperparameters["wires1"])
    first, second = wires[:n_first], wires[n_first:]
    outer, between = (first[0], first[-1], second[0], second[-1]), first[1:-1] + second[1:-1]
    return _fermionic(_QUARTET, 0.5, lambda _: (outer, between))(wires)


def gate_parts(op: Operator, wires: Wires) -> list[Part] | None:
    """What a gate does, for all values of its angle; None for gates that are not in the table.

    Args:
        op: the gate; also a controlled gate or an inverse of one in the table.
        wires: the positions of its wires.

    >>> [part.states[0].bits for part in gate_parts(qml.RZ(0.1, wires="a"), (2,))]
    [(0,), (1,)]
    """
    if op.name == "GlobalPhase":
        return [Part((Selection(),), _number(0), _number(1), _number(-1j), 1.0)]
    if op.name == "FermionicDoubleExcitation":
        return _double_excitation(op, wires)
    if op.name == "ControlledRBS":
        values = op.hyperparameters["control_values"]
        return [part.controlled(wires[:-2], values) for part in _GATES["RBS"](wires[-2:])]
    if builder := _GATES.get(op.name, _LOADING.get(op.name)):
        return builder(wires)
    if isinstance(op, qml.ops.Controlled):
        n_control = len(op.control_wires)
        parts = gate_parts(op.base, wires[n_control : n_control + len(op.base.wires)])
        bits = tuple(int(value) for value in op.control_values)
        return None if parts is None else [part.controlled(wires[:n_control], bits) for part in parts]
    if isinstance(op, qml.ops.op_math.Adjoint):
        parts = gate_parts(op.base, wires)
        return None if parts is None else [part.adjoint() for part in parts]
    return [] if op.name in _DOES_NOTHING else None


def rotation(op: Operator, wires: Wires) -> tuple[Wires, bool, float] | None:
    """A gate as a run of RBS or FBS takes it: the ordered pair, whether it is fermionic, and theta per its angle.

    A fermionic gate counts the ones on all wires between, so those must be its other wires.
    """
    first, last = (wires[0], wires[-1]) if wires else (0, 0)
    if op.name in ("RBS", "SingleExcitation"):
        return (first, last), False, 1.0 if op.name == "RBS" else -0.5
    if op.name in ("FBS", "FermionicSingleExcitation"):
        low, high = min(first, last), max(first, last)
        if set(wires[1:-1]) == set(range(low + 1, high)):
            return (first, last), True, 1.0 if op.name == "FBS" else 0.5
    return None


def structure(op: Any) -> tuple[object, ...]:
    """What decides besides its name and its wires what a gate does: control values, and where its wires are split."""
    values: tuple[object, ...] = tuple(map(int, op.hyperparameters.get("control_values", ())))
    values += (len(op.hyperparameters.get("wires1", ())),)
    base = getattr(op, "base", None)
    return values if base is None else values + structure(base)


def with_parameters(op: Operator, values: Sequence[Any]) -> Operator:
    """The same operation with other parameters."""
    if isinstance(op, qml.ops.Evolution):  # its one parameter is not that of its base, as PennyLane takes it
        return qml.ops.Evolution(op.base, *values)
    return qml.ops.functions.bind_new_parameters(op, values)
