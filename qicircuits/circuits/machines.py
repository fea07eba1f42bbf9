"""Two machines that run a layer and are measured: a device of PennyLane, and trajectories on the sectors."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pennylane as qml
from numpy.typing import ArrayLike, NDArray

from ..layouts import Layout
from ..memory import require_memory
from ..subsets import subset_integers
from .interference import interfere
from .loaders import subspace_loader
from .noise import NATIVE, Noise
from .templates import orthogonal_layer
from .trajectories import Trajectories, noisy_outcomes

__all__ = ["DeviceMachine", "Machine", "TrajectoryMachine"]

Floats = NDArray[np.float64]
Queue = Callable[[Floats], None]

_TOGETHER = 64
"""Vectors that share their errors: enough that an operation of numpy is more than its call."""


@dataclass(eq=False)
class Machine(ABC):
    """The two circuits of a layer, and the fractions of the outcomes of the weight that they begin with.

    Args:
        x: unit vectors, shape (batch, C(n, k)).
        angles, layout, order, gate, noise, seed: as of :func:`measure_layer`.
    """

    x: Floats
    angles: ArrayLike
    layout: Layout
    order: int
    gate: Literal["rbs", "fbs"]
    noise: Noise | None
    seed: int | None

    def load_and_rotate(self, shots: int | None) -> Floats:
        """Fractions of the outcomes of loader and layer, shape (batch, D)."""

        def queue(x: Floats) -> None:
            subspace_loader(x, self.order, range(self.layout.n))
            orthogonal_layer(self.angles, self.layout, gate=self.gate)

        return self.outcomes(queue, 0, shots)[:, 0]

    def interfere(self, shots: int | None) -> Floats:
        """Fractions of the outcomes with the last wire 0 and 1 after y has met u, shape (batch, 2, D)."""

        def queue(x: Floats) -> None:
            interfere(x, self.angles, self.layout, (self.order,), self.gate)

        return self.outcomes(queue, 1, shots)

    @abstractmethod
    def outcomes(self, queue: Queue, n_more: int, shots: int | None) -> Floats:
        """Fractions of outcomes, shape (batch, 2^n_more, D); their chances without shots.

        Args:
            queue: puts the circuit of a batch of vectors into the queue of PennyLane.
            n_more: 1 if there is one more wire, which is measured too.
            shots: how many runs for each vector.
        """


@dataclass(eq=False)
class DeviceMachine(Machine):
    """``default.qubit``, or ``default.mixed`` under noise.

    Raises:
        MemoryError: the states, or the density matrix under noise, do not fit.
    """

    def __post_init__(self) -> None:
        n, vectors = self.layout.n, len(self.x)
        if self.noise is None:
            what = f"the state of {n} wires and one more for each of {vectors} vectors"
            require_memory(16 * vectors * 2 ** (n + 1), what)
        else:
            require_memory(16 * 4 ** (n + 1), f"the density matrix of {n} wires and one more, without trajectories,")
        name = "default.qubit" if self.noise is None else "default.mixed"
        self.device = qml.device(name, wires=n + 1, seed=self.seed)

    def outcomes(self, queue: Queue, n_more: int, shots: int | None) -> Floats:
        """Those of the device; arguments as of :class:`Machine`."""
        n = self.layout.n

        def circuit() -> qml.measurements.ProbabilityMP:
            queue(self.x)
            return qml.probs(wires=[*range(n, n + n_more), *range(n)])

        node = qml.QNode(circuit, self.device, shots=shots)
        if self.noise is not None:
            # One tape a vector: controlled gates with a batch of angles have no decomposition.
            node = qml.transforms.decompose(qml.transforms.broadcast_expand(node), gate_set=NATIVE)
            node = qml.noise.add_noise(node, self.noise.model())
        states = subset_integers(n, self.order)
        found: Floats = np.asarray(node()).reshape(len(self.x), 2**n_more, 2**n)[:, :, states]
        return found


@dataclass(eq=False)
class TrajectoryMachine(Machine):
    """Trajectories on the sectors: many wires, noise at random.

    Args:
        trajectories: how many, and how far from the weight.

    Raises:
        MemoryError: the sectors do not fit.
    """

    trajectories: Trajectories

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def outcomes(self, queue: Queue, n_more: int, shots: int | None) -> Floats:
        """Those of the trajectories, drawn anew for every few vectors; arguments as of :class:`Machine`."""
        noise = Noise() if self.noise is None else self.noise
        parts = []
        for first in range(0, len(self.x), _TOGETHER):
            x = self.x[first : first + _TOGETHER]
            circuit = functools.partial(queue, x)
            shape = self.layout.n, self.order, n_more, len(x)
            parts.append(noisy_outcomes(circuit, *shape, noise, self.trajectories, self.rng))
        chances = np.concatenate(parts)
        if shots is None:
            return chances
        flat = chances.reshape(len(chances), -1)
        rest = np.maximum(1 - flat.sum(1, keepdims=True), 0)
        every = np.concatenate((flat, rest), axis=1)
        counts = self.rng.multinomial(shots, every / every.sum(1, keepdims=True))[:, :-1]
        fractions: Floats = counts.reshape(chances.shape) / shots
        return fractions
