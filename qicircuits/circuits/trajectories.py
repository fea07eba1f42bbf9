"""Noise on many wires: runs with errors drawn at random, each a vector on the sectors that it can come back from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeAlias

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.operation import Operator
from pennylane.tape import make_qscript

from ..memory import require_memory
from ..subsets import check_integer, subset_integers, subspace_dim
from .controlled import ControlledRBS
from .gates import FBS, RBS
from .loaders import Loader
from .noise import Noise, native_gates
from .window import State, Window, window

__all__ = ["Trajectories", "noisy_outcomes"]

Floats: TypeAlias = NDArray[np.float64]
Errors: TypeAlias = list[tuple[int, int, int, int]]
"""(gate of the circuit, two-qubit gate of its decomposition, which of its two wires, 0, 1, 2 for X, Y, Z)."""

_PAULI = (qml.X, qml.Y, qml.Z)


@dataclass(frozen=True)
class Trajectories:
    """How noise is drawn at random, where density matrices of 4^(n + 1) numbers do not fit.

    The depolarising channel is a random X, Y or Z. A run without any error has a known chance and is computed once; a
    number of runs with at least one error are drawn for each vector, and the outcomes are the mean of both. Errors
    change the weight: between the first and the last of a run only weights up to `reach` away from k, and from 0 for
    the branch of an interference, are kept; what goes farther is counted as lost, though another error might bring it
    back.

    Args:
        number: of runs with errors for each vector.
        reach: how many units of weight are kept; n keeps all.

    Raises:
        TypeError: one of them is not an integer.
        ValueError: the number is not positive, or the reach negative.
    """

    number: int = 16
    reach: int = 1

    def __post_init__(self) -> None:
        if check_integer(self.number, "number") < 1 or check_integer(self.reach, "reach") < 0:
            rule = "noise needs at least 1 trajectory, and a reach of at least 0"
            raise ValueError(f"{rule}, got number={self.number}, reach={self.reach}")


def noisy_outcomes(
    circuit: Callable[[], object],
    n: int,
    order: int,
    n_more: int,
    batch: int,
    noise: Noise,
    trajectories: Trajectories,
    rng: np.random.Generator,
) -> Floats:
    """The chances of the outcomes in the weight-k sector, of a circuit that keeps the weight but for its X and CNOT.

    Args:
        circuit: queues the operations, with a batch of angles, on wires 0..n-1 and perhaps n.
        n: number of wires that have the weight.
        order: k.
        n_more: 1 if there is one more wire, n, that is measured too.
        batch: number of vectors.
        noise: what goes wrong.
        trajectories: how it is drawn: the same errors for all vectors of the batch.
        rng: where the errors are drawn from.

    Returns:
        shape (batch, 2^n_more, C(n, k)).
    """
    run = _Circuit(list(_expanded(make_qscript(circuit)().operations)), n, order, n_more, batch)
    reach = trajectories.reach
    run.require_memory(reach)
    last = run.window(reach if noise.readout else 0)
    places = run.places() if noise.depolarizing else []
    no_error = (1 - noise.depolarizing) ** len(places)
    drawn = [_draw_errors(places, noise.depolarizing, rng) for _ in range(trajectories.number)] if places else []
    chances = np.zeros((len(last.states), batch))
    for errors, amplitudes in run.trajectories(drawn, run.window(0), run.window(reach), last):
        weight = (1 - no_error) / len(drawn) if errors else no_error
        chances += weight * np.abs(amplitudes[:-1]) ** 2
    return _read(chances, last, n, order, n_more, noise.readout)


class _Circuit:
    """The operations of a circuit, their decompositions, and how they act on windows of weights."""

    def __init__(self, operations: list[Operator], n: int, order: int, n_more: int, batch: int) -> None:
        self.operations, self.n, self.order, self.n_more, self.batch = operations, n, order, n_more, batch

    def window(self, reach: int) -> Window:
        """The weights near k; down to 0 for the other branch of an interference, which CNOT fill one by one."""
        return window(self.n, self._weights(reach), self.n_more)

    def require_memory(self, reach: int) -> None:
        """Refuse a window that does not fit, with its tables for pairs of neighbours and a few batches of states.

        Raises:
            MemoryError: it does not.
        """
        weights = self._weights(reach)
        size = 2**self.n_more * sum(subspace_dim(self.n, weight) for weight in weights)
        needed = 8 * size * (3 * self.batch + 2 * self.n)
        require_memory(needed, f"noise on {self.n} wires with the weights {weights[0]} to {weights[-1]}")

    def _weights(self, reach: int) -> tuple[int, ...]:
        lowest = 0 if self.n_more else max(0, self.order - reach)
        return tuple(range(lowest, min(self.n, self.order + reach) + 1))

    def places(self) -> list[tuple[int, int, int]]:
        """Where errors can happen, one entry for each wire of each two-qubit gate that a machine runs."""
        counts: dict[object, int] = {}
        found = []
        for index, operation in enumerate(self.operations):
            kind = operation.name, len(operation.wires)  # angles and values of controls do not change the CNOT
            if kind not in counts:
                counts[kind] = sum(len(gate.wires) == 2 for gate in native_gates(_one_of_batch(operation, 0)))
            found += [(index, pair, wire) for pair in range(counts[kind]) for wire in (0, 1)]
        return found

    def trajectories(
        self, drawn: list[Errors], before: Window, between: Window, after: Window
    ) -> Iterator[tuple[Errors, State]]:
        """Every run at its end, with its errors; first the one without any.

        All runs are the same up to their first error, so that part is computed once.
        """
        flips = list(takewhile(lambda operation: isinstance(operation, qml.X), self.operations))
        flipped = before.bits([int(flip.wires[0]) for flip in flips])
        amplitudes, mask = before.basis_state(int(flipped.sum()), self.batch), 0
        starts: list[tuple[Errors, State, int]] = []
        for index, operation in enumerate(self.operations[len(flips) :], len(flips)):
            beginning = [errors for errors in drawn if errors[0][0] == index]
            starts += [(errors, amplitudes.copy(), mask) for errors in beginning]  # gates act in place
            amplitudes, mask = self._step(before, amplitudes, mask, operation)
        yield [], after.take(before.flip(amplitudes, mask), before)
        last_switch = max(
            (i for i, operation in enumerate(self.operations) if isinstance(operation, qml.CNOT)), default=0
        )
        for errors, start, start_mask in starts:
            settled = max(errors[-1][0], last_switch)  # from here on nothing changes the weight
            here, amplitudes, mask = between, between.take(start, before), start_mask
            wrong = {index: [error[1:] for error in errors if error[0] == index] for index, *_ in errors}
            for index in range(errors[0][0], len(self.operations)):
                if index in wrong:
                    amplitudes, mask = self._wrong_step(here, amplitudes, mask, index, wrong[index])
                else:
                    amplitudes, mask = self._step(here, amplitudes, mask, self.operations[index])
                if index == settled:
                    here, amplitudes = after, after.take(amplitudes, between)
            yield errors, here.flip(amplitudes, mask)

    def _step(self, here: Window, amplitudes: State, mask: int, operation: Operator) -> tuple[State, int]:
        """One operation without errors. X are kept apart in a mask as long as they cancel or commute.

        Between two loaders all of a sector's first wires are flipped and flipped back: the weights there are others.
        """
        wires = tuple(operation.wires)
        if isinstance(_base(operation), qml.X):
            return amplitudes, mask ^ int(here.bits(wires)[0])
        if isinstance(operation, qml.CNOT) and not mask & int(here.bits(wires[:1])[0]):
            return here.apply(amplitudes, operation.matrix().real, wires), mask
        if mask & int(here.bits(wires).sum()):
            amplitudes, mask = here.flip(amplitudes, mask), 0
        if isinstance(_base(operation), RBS | ControlledRBS):
            _rotate(here, amplitudes, operation)
            return amplitudes, mask
        return here.apply(amplitudes, _matrix([operation], wires), wires), mask

    def _wrong_step(
        self, here: Window, amplitudes: State, mask: int, index: int, errors: list[tuple[int, int, int]]
    ) -> tuple[State, int]:
        """One operation with errors, as the matrix of its decomposition with Pauli gates in it."""
        operation = self.operations[index]
        wires = tuple(operation.wires)
        if mask & int(here.bits(wires).sum()) and not isinstance(operation, qml.CNOT):
            amplitudes, mask = here.flip(amplitudes, mask), 0
        if len(operation.wires) < 4 or operation.batch_size is None:
            matrix = _matrix(_with_errors(native_gates(operation), errors), wires)
        else:  # PennyLane decomposes gates with two or more controls for one angle only
            each = (_one_of_batch(operation, which) for which in range(self.batch))
            matrix = np.stack([_matrix(_with_errors(native_gates(one), errors), wires) for one in each])
        return here.apply(amplitudes, matrix, wires), mask


def _expanded(operations: list[Operator]) -> Iterator[Operator]:
    """Loaders and FBS taken apart, one level at a time as PennyLane does, into operations on few wires."""
    for operation in operations:
        base = _base(operation)
        if isinstance(base, Loader) or (isinstance(base, FBS) and len(base.wires) > 2):
            yield from _expanded(operation.decomposition())
        else:
            yield operation


def _base(operation: Operator) -> Operator:
    return operation.base if isinstance(operation, qml.ops.Adjoint) else operation


def _rotate(here: Window, amplitudes: State, operation: Operator) -> None:
    """RBS, perhaps controlled, in place."""
    base = _base(operation)
    theta = base.data[0] if operation is base else -base.data[0]
    *controls, i, j = base.wires
    here.rotate(amplitudes, theta, (i, j), tuple(controls), base.hyperparameters.get("control_values", ()))


def _one_of_batch(operation: Operator, which: int) -> Operator:
    base = _base(operation)
    if base.batch_size is None:
        return operation
    one = type(base)(base.data[0][which], wires=base.wires, **base.hyperparameters)
    return one if operation is base else qml.adjoint(one)


def _with_errors(gates: list[Operator], errors: list[tuple[int, int, int]]) -> list[Operator]:
    found, pair = [], 0
    for gate in gates:
        found.append(gate)
        if len(gate.wires) == 2:
            found += [_PAULI[pauli](gate.wires[wire]) for where, wire, pauli in errors if where == pair]
            pair += 1
    return found


def _matrix(gates: list[Operator], wires: tuple[int, ...]) -> Floats:
    """The matrix of gates in order, real where a global phase makes it so."""
    matrix = np.asarray(qml.matrix(qml.tape.QuantumScript(gates), wire_order=wires), dtype=complex)
    largest = matrix.reshape(*matrix.shape[:-2], -1)
    largest = np.take_along_axis(largest, np.abs(largest).argmax(-1)[..., None], axis=-1)[..., None]
    turned = matrix * np.abs(largest) / largest
    return turned.real if np.abs(turned.imag).max() < 1e-12 else matrix


def _draw_errors(places: list[tuple[int, int, int]], chance: float, rng: np.random.Generator) -> Errors:
    """Errors at random places, at least one, in the order in which they happen."""
    first_chances = chance * (1 - chance) ** np.arange(len(places))
    first = rng.choice(len(places), p=first_chances / first_chances.sum())
    later = first + 1 + np.flatnonzero(rng.random(len(places) - first - 1) < chance)
    return [(*places[place], int(rng.integers(3))) for place in (first, *later)]


def _read(chances: Floats, window: Window, n: int, order: int, n_more: int, readout: float) -> Floats:
    """The chances of what is read, each bit wrong with a chance of its own, in the sector."""
    batch = chances.shape[1]
    inner = np.unique(window.states >> n_more)
    ends = chances.reshape(len(inner), 2**n_more, batch)  # the one more wire is the least significant bit
    sector = subset_integers(n, order)
    distance = np.bitwise_count(sector[:, None] ^ inner).astype(np.float64)
    mixing = readout**distance * (1 - readout) ** (n - distance)
    flips = np.array([[1 - readout, readout], [readout, 1 - readout]]) if n_more else np.ones((1, 1))
    read: Floats = np.einsum("sj,ab,jbv->vas", mixing, flips, ends, optimize=True)
    return read
