"""Exact results of measurements, from the amplitudes of the sectors."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pennylane.exceptions import DeviceError
from pennylane.measurements import (
    CountsMP,
    ExpectationMP,
    MeasurementProcess,
    ProbabilityMP,
    SampleMP,
    StateMeasurement,
    StateMP,
    VarianceMP,
)
from pennylane.operation import Operator
from pennylane.wires import Wires
from torch import Tensor

from ..engine.direct_sum import DirectSum, direct_sum
from .observables import on_sectors, reached
from .sector_measurements import SectorProbs, SectorState

__all__ = ["SectorVector", "measure"]

# A result of 2^w numbers is returned for at most so many wires; others need the state of all of them.
_WIDEST_RESULT, _WIDEST_OTHER = 24, 14


@dataclass(frozen=True)
class SectorVector:
    """A state, or a batch of them, on a direct sum of sectors.

    Attributes:
        wires: the wires of the device, in the order of the sectors' wires.
        space: the sectors.
        amplitudes: shape (1 or batch, dim), float64 or complex128.
    """

    wires: Wires
    space: DirectSum
    amplitudes: Tensor

    @property
    def probabilities(self) -> Tensor:
        """The squares of the amplitudes."""
        return self.amplitudes.abs().square() if self.amplitudes.is_complex() else self.amplitudes.square()

    def spread(self, values: Tensor, wires: Wires) -> Tensor:
        """The sums of one value an amplitude over all wires but some, shape (1 or batch, 2^w)."""
        check_is_narrow(wires)
        local = torch.from_numpy(self.space.local_states(self.wires.indices(wires)))
        full = torch.zeros(len(values), 2 ** len(wires), dtype=values.dtype)
        return full.index_add(1, local, values)

    def of_weights(self, values: Tensor, weights: tuple[int, ...]) -> Tensor:
        """One value an amplitude for sectors in a given order, zero for those that the state does not have."""
        outside = [weight for weight in weights if weight > self.space.n]
        if outside:
            raise DeviceError(f"weights on {self.space.n} wires are in 0..{self.space.n}, got {outside}")
        blocks = []
        for weight in weights:
            if weight in self.space.orders:
                index = self.space.orders.index(weight)
                blocks.append(values[:, self.space.starts[index] :][:, : self.space.sizes[index]])
            else:
                blocks.append(values.new_zeros(len(values), direct_sum(self.space.n, (weight,)).dim))
        return torch.cat(blocks, dim=1)


def check_is_narrow(wires: Wires) -> None:
    """Refuse results of 2^w numbers for many wires.

    Raises:
        DeviceError: there are too many.
    """
    if len(wires) > _WIDEST_RESULT:
        rule = f"results of 2^w numbers are returned for at most w = {_WIDEST_RESULT} wires"
        advice = "ask for fewer wires, or for sector_probs(weights) or sector_state(weights)"
        raise DeviceError(f"{rule}, got {len(wires)}: {advice}")


def measure(process: MeasurementProcess, state: SectorVector) -> Tensor:
    """The exact result of a measurement, shape (1 or batch, ...).

    Raises:
        DeviceError: the device does not return it, or not for so many wires.
    """
    if isinstance(process, SectorState):
        return state.of_weights(state.amplitudes.to(torch.complex128), process.weights)
    if isinstance(process, SectorProbs):
        return state.of_weights(state.probabilities, process.weights)
    for kind, result in _RESULTS.items():
        if type(process) is kind:
            return result(process, state)
    if isinstance(process, StateMeasurement) and process.obs is None and len(state.wires) <= _WIDEST_OTHER:
        full = state.spread(state.amplitudes.to(torch.complex128), state.wires)
        return torch.stack([torch.as_tensor(process.process_state(row, state.wires)) for row in full])
    if isinstance(process, SampleMP | CountsMP):
        rule = "samples and counts need a number of shots: set it by qml.set_shots(qnode, shots)"
        raise DeviceError(f"{rule}, got {type(process).__name__} without")
    rule = f"{type(process).__name__} is not supported on {len(state.wires)} wires"
    raise DeviceError(f"{rule}: return probs, sample, counts, expval, var, state, sector_state or sector_probs")


def _expval(process: MeasurementProcess, state: SectorVector) -> Tensor:
    words = process.obs.pauli_rep
    if words is not None and any(_wants_gradient(coefficient) for coefficient in words.values()):
        terms = (c * _mean(word.operation(wire_order=state.wires), state) for word, c in words.items())
        return torch.stack(list(terms)).sum(0).real
    _check_is_constant(process)
    return _mean(process.obs, state)


def _mean(obs: Operator, state: SectorVector) -> Tensor:
    return on_sectors(obs, state.wires, state.space, state.space).expectation(state.amplitudes)


def _wants_gradient(value: object) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _check_is_constant(process: MeasurementProcess) -> None:
    if any(map(_wants_gradient, process.obs.data)):
        rule = "of an observable, only the coefficients of Pauli words have derivatives, in their expectation value"
        raise DeviceError(f"{rule}, got {type(process).__name__} of {process.obs.name} with trainable parameters")


def _var(process: MeasurementProcess, state: SectorVector) -> Tensor:
    _check_is_constant(process)
    mean = _mean(process.obs, state)
    target = reached(state.space, process.obs)
    block = on_sectors(process.obs, state.wires, state.space, target)
    return block.square_expectation(state.amplitudes, target.dim) - mean.square()


def _probs(process: MeasurementProcess, state: SectorVector) -> Tensor:
    check_is_diagonal(process)
    return state.spread(state.probabilities, process.wires or state.wires)


def _state(process: MeasurementProcess, state: SectorVector) -> Tensor:
    return state.spread(state.amplitudes.to(torch.complex128), state.wires)


def check_is_diagonal(process: MeasurementProcess) -> None:
    """Refuse probabilities and counts in the basis of an observable that is not diagonal.

    Raises:
        DeviceError: it is not.
    """
    obs: Operator | None = process.obs
    if obs is not None and obs.diagonalizing_gates():
        rule = "probabilities are those of the computational basis: measure other observables by expval or var"
        raise DeviceError(f"{rule}, got {obs.name} on wires {obs.wires.tolist()}, which is not diagonal")


_RESULTS: dict[type[MeasurementProcess], Callable[[MeasurementProcess, SectorVector], Tensor]] = {
    ExpectationMP: _expval,
    VarianceMP: _var,
    ProbabilityMP: _probs,
    StateMP: _state,
}
