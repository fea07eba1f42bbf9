"""Results of finite shots, drawn from the amplitudes of the sectors."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
import torch
from numpy.typing import NDArray
from pennylane.exceptions import DeviceError
from pennylane.measurements import (
    CountsMP,
    ExpectationMP,
    MeasurementProcess,
    ProbabilityMP,
    SampleMeasurement,
    SampleMP,
    Shots,
    VarianceMP,
)
from pennylane.operation import Operator
from pennylane.pauli import PauliSentence, PauliWord
from pennylane.wires import Wires
from scipy.sparse import csc_array

from .measurements import SectorVector, check_is_diagonal, check_is_narrow
from .observables import local_matrix, on_sectors, sectors_around
from .sector_measurements import SectorProbs

__all__ = ["sample_results"]

# An observable that is not diagonal is measured after a rotation of at most so many wires.
_WIDEST_ROTATION = 6

_WIDEST_LISTED = 10

_NO_WIRES = Wires(())

Samples = NDArray[Any]


def sample_results(
    processes: list[MeasurementProcess],
    state: SectorVector,
    shots: Shots,
    rng: np.random.Generator,
    is_batched: bool,
) -> list[tuple[Any, ...]]:
    """For each part of a shot vector the results of all measurements.

    All wires are measured once for all measurements whose observables are diagonal; an observable that is not, on few
    wires, is measured in its own eigenbasis, with shots of its own.

    Raises:
        DeviceError: an observable is not diagonal on too many wires, or a measurement has no samples.
    """
    measured = _draw(state, shots.total_shots, rng)
    drawn = [_values(process, state, measured, rng) for process in processes]
    results = []
    for low, high in shots.bins():
        part = []
        for process, values in zip(processes, drawn, strict=True):
            result = _results(process, state, measured[:, low:high], None if values is None else values[:, low:high])
            part.append(result if is_batched else result[0])
        results.append(tuple(part))
    return results


def _draw(state: SectorVector, total: int, rng: np.random.Generator) -> Samples:
    """The amplitudes that are found, shape (batch, shots)."""
    probabilities = state.probabilities.detach().numpy()
    bounds = probabilities.cumsum(axis=1)
    found = [np.searchsorted(row, row[-1] * rng.random(total), side="right") for row in bounds]
    return np.minimum(np.stack(found), state.space.dim - 1)


@dataclass(frozen=True)
class _Moving:
    """A part of an observable that is not diagonal: a matrix on few wires, times Z on others."""

    matrix: Samples
    wires: Wires
    signs: Wires = _NO_WIRES


def _values(
    process: MeasurementProcess, state: SectorVector, measured: Samples, rng: np.random.Generator
) -> Samples | None:
    """The values of an observable in all shots, shape (batch, shots); None without an observable."""
    if not isinstance(process, SampleMeasurement):
        rule = f"{type(process).__name__} is not accepted with finite shots"
        raise DeviceError(f"{rule}: return probs, sample, counts, expval, var or sector_probs")
    if process.obs is None or not isinstance(process, ExpectationMP | VarianceMP | SampleMP | CountsMP):
        check_is_diagonal(process)
        if isinstance(process, ProbabilityMP) or (isinstance(process, CountsMP) and process.all_outcomes):
            check_is_narrow(process.wires or state.wires)
        return None
    diagonal, moving = _split(process.obs, state)
    if len(moving) + (diagonal is not None) > 1 and not isinstance(process, ExpectationMP):
        # The parts are measured with shots of their own: their means add up, their single values do not.
        diagonal, moving = None, [_whole(process.obs)]
    total = np.zeros(measured.shape)
    if diagonal is not None:
        total += diagonal[measured]
    for part in moving:
        total += _moving_values(part, state, measured.shape[1], rng)
    return total


def _split(obs: Operator, state: SectorVector) -> tuple[Samples | None, list[_Moving]]:
    """An observable as values of the basis states, and parts that are not diagonal."""
    block = on_sectors(obs, state.wires, state.space, state.space)
    moving = _moving_parts(obs)
    if block.diagonal is not None and not any(_changes_weight(part.matrix) for part in moving):
        return block.diagonal.numpy(), []
    still = [term for term in obs.pauli_rep or {} if set(term.values()) <= {"Z"}]
    if not still:
        return None, moving
    diagonal = PauliSentence({term: obs.pauli_rep[term] for term in still})
    return _split(diagonal.operation(wire_order=state.wires), state)[0], moving


def _moving_parts(obs: Operator) -> list[_Moving]:
    """The parts of an observable that are not diagonal, those together that flip the same wires."""
    if obs.pauli_rep is None:
        if not obs.diagonalizing_gates() if obs.has_diagonalizing_gates else False:
            return []
        return [_whole(obs)]
    flips: dict[frozenset[Any], dict[Any, complex]] = defaultdict(dict)
    for word, coefficient in obs.pauli_rep.items():
        if flipped := frozenset(wire for wire, letter in word.items() if letter != "Z"):
            flips[flipped][word] = coefficient
    return [part for flipped, words in flips.items() for part in _of_one_flip(flipped, PauliSentence(words))]


def _of_one_flip(flipped: frozenset[Any], sentence: PauliSentence) -> list[_Moving]:
    """Words that flip the same wires: in one matrix if that is small, else apart by their Z on other wires."""
    if len(sentence.wires) <= _WIDEST_ROTATION:
        return [_Moving(sentence.to_mat(wire_order=sentence.wires), sentence.wires)]
    _check_is_few(Wires(flipped), sentence)
    apart: dict[frozenset[Any], dict[Any, complex]] = defaultdict(dict)
    for word, coefficient in sentence.items():
        own = PauliWord({wire: letter for wire, letter in word.items() if wire in flipped})
        apart[frozenset(word) - flipped][own] = coefficient
    own_wires = Wires(flipped)
    return [
        _Moving(PauliSentence(words).to_mat(wire_order=own_wires), own_wires, Wires(signs))
        for signs, words in apart.items()
    ]


def _whole(obs: Operator) -> _Moving:
    _check_is_few(obs.wires, obs)
    return _Moving(qml.matrix(obs, wire_order=obs.wires), obs.wires)


def _check_is_few(wires: Wires, obs: object) -> None:
    if len(wires) > _WIDEST_ROTATION:
        rule = f"with finite shots an observable flips at most {_WIDEST_ROTATION} wires, or is diagonal, in expval"
        raise DeviceError(f"{rule}, and acts on as many in var, sample and counts, got {len(wires)} in {obs}")


def _changes_weight(matrix: Samples) -> bool:
    weights = np.bitwise_count(np.arange(len(matrix)))
    return bool(np.abs(matrix[weights[:, None] != weights]).max(initial=0.0) > 1e-12)


def _moving_values(part: _Moving, state: SectorVector, shots: int, rng: np.random.Generator) -> Samples:
    """Eigenvalues, each found with the probability of its eigenvectors."""
    matrix, own = part.matrix, state.wires.indices(part.wires)
    weights = np.bitwise_count(np.arange(len(matrix)))
    eigenvalues, turn = np.zeros(len(matrix)), np.zeros((len(matrix), len(matrix)), dtype=complex)
    # Eigenvectors of one weight keep the state in its sectors; of others there are more amplitudes than these.
    together = [np.arange(len(matrix))] if _changes_weight(matrix) else [weights == k for k in range(len(own) + 1)]
    for states in together:
        eigenvalues[states], vectors = np.linalg.eigh(matrix[states][:, states])
        turn[np.ix_(states, states)] = vectors.conj().T
    target = state.space if len(together) > 1 else sectors_around(state.space, len(own))
    rotation = local_matrix(csc_array(turn), part.wires, state.wires, state.space, target)
    amplitudes = rotation @ state.amplitudes.detach().to(torch.complex128).numpy().T
    turned = SectorVector(state.wires, target, torch.from_numpy(np.ascontiguousarray(amplitudes.T)))
    odd = target.occupied[:, state.wires.indices(part.signs)].sum(axis=1) % 2
    values = _rounded(eigenvalues)[target.local_states(own)] * (1 - 2 * odd)
    return values[_draw(turned, shots, rng)]


def _rounded(eigenvalues: Samples) -> Samples:
    """Without the rounding errors that make two of one eigenvalue of different blocks."""
    scale = np.abs(eigenvalues).max(initial=0.0)
    return eigenvalues if scale == 0 else np.round(eigenvalues / scale, 13) * scale


def _results(process: MeasurementProcess, state: SectorVector, rows: Samples, values: Samples | None) -> list[Any]:
    """The result of each state of a batch."""
    if isinstance(process, SectorProbs):
        counted = np.stack([np.bincount(own, minlength=state.space.dim) for own in rows])
        return list(state.of_weights(torch.from_numpy(counted / rows.shape[1]), process.weights).numpy())
    if values is None:
        bits = state.space.occupied[rows].astype(np.int64)
        return [process.process_samples(own, state.wires) for own in bits]
    if isinstance(process, ExpectationMP):
        return list(values.mean(axis=1))
    if isinstance(process, VarianceMP):
        return list(values.var(axis=1))
    return list(values) if isinstance(process, SampleMP) else list(_counted(process, values))


def _counted(process: CountsMP, values: Samples) -> Iterator[dict[float, int]]:
    every = {}
    if process.all_outcomes:
        if len(process.obs.wires) > _WIDEST_LISTED:
            rule = f"all_outcomes lists the eigenvalues of observables on at most {_WIDEST_LISTED} wires"
            raise DeviceError(f"{rule}, got {len(process.obs.wires)} in {process.obs}")
        every = {float(value): 0 for value in _rounded(np.real(process.eigvals()))}
    for own in values:
        yield every | dict(sorted(Counter(own.tolist()).items()))
