"""Measurements of sectors: amplitudes and probabilities of given Hamming weights, without the 2^n of the others."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.measurements import SampleMeasurement, StateMeasurement
from pennylane.typing import TensorLike
from pennylane.wires import Wires

from ..subsets import check_integer, subset_integers

__all__ = ["SectorProbs", "SectorState", "sector_probs", "sector_state"]


class _OfSectors(StateMeasurement):
    """One number for each subset of some weights: what both measurements share."""

    def __init__(
        self, wires: Wires | None = None, weights: tuple[int, ...] = (), id: str | None = None, **_: Any
    ) -> None:
        super().__init__(wires=wires, id=id)
        self.weights = weights

    def __repr__(self) -> str:
        return f"{self._shortname}({list(self.weights)})"

    def _flatten(self) -> tuple[Any, Any]:
        return (None, None), (("wires", self.raw_wires), ("weights", self.weights))

    def shape(self, shots: int | None = None, num_device_wires: int = 0) -> tuple[int, ...]:
        """One number for each subset."""
        return (sum(math.comb(num_device_wires, weight) for weight in self.weights),)

    def _positions(self, n: int) -> NDArray[np.int64]:
        """Where the subsets stand among all 2^n."""
        return np.concatenate([subset_integers(n, weight) for weight in self.weights])


class SectorState(_OfSectors):
    """Amplitudes of some Hamming weights; made by :func:`sector_state`."""

    _shortname = "sector_state"

    @property
    def numeric_type(self) -> type:
        """Amplitudes are complex."""
        return complex

    def process_state(self, state: Sequence[complex], wire_order: Wires) -> TensorLike:
        """Pick the amplitudes out of all 2^n."""
        return qml.math.cast(state, complex)[..., self._positions(len(wire_order))]


class SectorProbs(_OfSectors, SampleMeasurement):
    """Probabilities of some Hamming weights; made by :func:`sector_probs`."""

    _shortname = "sector_probs"

    @property
    def numeric_type(self) -> type:
        """Probabilities are real."""
        return float

    def process_state(self, state: Sequence[complex], wire_order: Wires) -> TensorLike:
        """Pick the probabilities out of all 2^n."""
        picked = state[..., self._positions(len(wire_order))]  # type: ignore[call-overload]
        return qml.math.real(picked) ** 2 + qml.math.imag(picked) ** 2

    def process_samples(
        self, samples: TensorLike, wire_order: Wires, shot_range: Any = None, bin_size: int | None = None
    ) -> TensorLike:
        """Frequencies of the subsets, all wires having been measured."""
        bits = np.asarray(samples)
        shots = slice(None) if shot_range is None else slice(*shot_range)
        integers = bits[..., shots, :].astype(np.int64) @ (1 << np.arange(bits.shape[-1])[::-1])
        return (integers[..., None] == self._positions(len(wire_order))).mean(axis=-2)

    def process_counts(self, counts: dict[str, int], wire_order: Wires) -> TensorLike:
        """Frequencies of the subsets, from counts of strings of bits."""
        total = sum(counts.values())
        strings = (f"{position:0{len(wire_order)}b}" for position in self._positions(len(wire_order)))
        return np.array([counts.get(string, 0) / total for string in strings])


def sector_state(weights: int | Iterable[int]) -> SectorState:
    r"""Return the amplitudes of some Hamming weights, a vector of :math:`\sum_k C(n, k)` numbers.

    Weight by weight in the order given, subsets in lexicographic order (:func:`qicircuits.subsets`). On
    ``qicircuits.subspace`` no other amplitude is ever made, so that 64 wires are no more than 2,016 of weight 2;
    on devices with all :math:`2^n` it picks them out.

    Args:
        weights: a Hamming weight or several, each at least 0.

    Raises:
        TypeError: a weight is not an integer.
        ValueError: there is none, or one is negative or listed twice.

    >>> device = qml.device("qicircuits.subspace", wires=3)
    >>> @qml.qnode(device)
    ... def circuit():
    ...     qml.BasisState([1, 0, 0], wires=range(3))
    ...     qml.SWAP([0, 2])
    ...     return sector_state(1)
    >>> circuit().real
    array([0., 0., 1.])
    """
    return SectorState(weights=_weights(weights))


def sector_probs(weights: int | Iterable[int]) -> SectorProbs:
    """Return the probabilities of the basis states of some Hamming weights, in the order of :func:`sector_state`.

    Args:
        weights: a Hamming weight or several, each at least 0.

    Raises:
        TypeError: a weight is not an integer.
        ValueError: there is none, or one is negative or listed twice.
    """
    return SectorProbs(weights=_weights(weights))


def _weights(weights: int | Iterable[int]) -> tuple[int, ...]:
    listed = tuple(weights) if isinstance(weights, Iterable) else (weights,)
    checked = tuple(check_integer(weight, "weights") for weight in listed)
    if not checked or min(checked) < 0 or len(set(checked)) < len(checked):
        raise ValueError(f"weights are different Hamming weights of at least 0, got {list(checked)}")
    return checked
