"""The noise of a machine: depolarising after gates on two wires, and errors of readout."""

from dataclasses import dataclass
from math import comb

import pennylane as qml
from pennylane.operation import Operator

from ..subsets import subspace_dim

__all__ = ["NATIVE", "Noise", "native_gates", "weight_kept"]

# Noise strikes after every gate on two wires, so all of them must be gates that a machine has.
NATIVE = {"CNOT", "RX", "RY", "RZ", "Hadamard", "PauliX", "T", "Adjoint(T)", "PhaseShift", "GlobalPhase"}


@dataclass(frozen=True)
class Noise:
    r"""Depolarising after every gate on two wires, and bits that are read wrong.

    After a gate on wires i and j each of the two goes through

    .. math:: \rho \to (1 - p)\,\rho + \tfrac{p}{3}\,(X\rho X + Y\rho Y + Z\rho Z),

    so the gate goes without error with probability (1 - p)^2. Gates on one wire are perfect. At the end each bit is
    read wrong with probability q, independently.

    Args:
        depolarizing: p, with 0 <= p <= 1.
        readout: q, with 0 <= q <= 1.

    Raises:
        ValueError: a probability is not in 0..1.

    >>> Noise(depolarizing=0.01).model()
    NoiseModel({
        BooleanFn(on_two_wires): depolarize
    })
    """

    depolarizing: float = 0.0
    readout: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("depolarizing", self.depolarizing), ("readout", self.readout)):
            _check_probability(name, value)

    def model(self) -> qml.NoiseModel:
        """The same as a model for ``qml.noise.add_noise``; it reaches probabilities, counts and samples."""

        @qml.BooleanFn
        def on_two_wires(gate: Operator) -> bool:
            return len(gate.wires) == 2

        def depolarize(gate: Operator, **_: object) -> None:
            for wire in gate.wires:
                qml.DepolarizingChannel(self.depolarizing, wire)

        def misread(measurement: qml.measurements.MeasurementProcess, **_: object) -> None:
            for wire in measurement.wires:
                qml.BitFlip(self.readout, wire)

        gates = {on_two_wires: depolarize} if self.depolarizing else {}
        read = [qml.noise.meas_eq(kind) for kind in (qml.probs, qml.counts, qml.sample)]
        return qml.NoiseModel(gates, dict.fromkeys(read, misread) if self.readout else None)


def native_gates(operation: Operator) -> list[Operator]:
    """An operation as the gates that the noise acts on: CNOT, and gates on one wire, by PennyLane's decomposition."""
    (script,), _ = qml.transforms.decompose(qml.tape.QuantumScript([operation]), gate_set=NATIVE)
    return list(script.operations)


def weight_kept(n: int, order: int, readout: float) -> float:
    r"""The chance that errors of readout alone leave the Hamming weight as it is.

    .. math:: \sum_j \binom{k}{j} \binom{n-k}{j}\, q^{2j} (1-q)^{n-2j},

    j ones being read as zeros, and as many zeros as ones. For j > 0 the wrong subset passes the post-selection.

    Args:
        n: number of wires.
        order: k, with 0 <= k <= n.
        readout: q, the chance of a wrong bit.

    Raises:
        ValueError: the order is not in 0..n, or the chance is not in 0..1.

    >>> round(weight_kept(4, 2, 0.1), 4)
    0.6886
    """
    subspace_dim(n, order)  # refuses what is no sector
    _check_probability("readout", readout)
    return sum(
        comb(order, j) * comb(n - order, j) * readout ** (2 * j) * (1 - readout) ** (n - 2 * j)
        for j in range(min(order, n - order) + 1)
    )


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a probability, in 0..1, got {value!r}")
