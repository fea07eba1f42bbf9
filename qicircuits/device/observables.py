"""Observables as sparse matrices on the amplitudes of the sectors."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
import torch
from numpy.typing import NDArray
from pennylane.exceptions import DeviceError
from pennylane.operation import Operator
from pennylane.wires import Wires
from scipy import sparse
from torch import Tensor

from ..engine.direct_sum import DirectSum, Selection, direct_sum

__all__ = ["SparseOperator", "local_matrix", "on_sectors", "reached", "sectors_around"]

# Observables without Pauli words are taken as their matrix, on at most so many wires.
_WIDEST_MATRIX = 10

_KEPT: OrderedDict[Hashable, "SparseOperator"] = OrderedDict()
_MOST_KEPT, _KEPT_ENTRIES = 256, 2**22


@dataclass(frozen=True)
class SparseOperator:
    """The entries of an observable between two direct sums of sectors.

    Attributes:
        rows: where each entry takes its amplitude to.
        columns: where from.
        values: the entries.
        diagonal: the entries for all amplitudes, float64, if rows and columns agree everywhere; else None.
    """

    rows: Tensor
    columns: Tensor
    values: Tensor
    diagonal: Tensor | None

    def expectation(self, x: Tensor) -> Tensor:
        """<x|O|x> for vectors (batch, dim), shape (batch,)."""
        if self.diagonal is not None:
            return (x.abs().square() if x.is_complex() else x.square()) @ self.diagonal
        values = self.values if x.is_complex() else self.values.real
        terms: Tensor = x[:, self.rows].conj() * (values * x[:, self.columns])
        return terms.sum(1).real

    def square_expectation(self, x: Tensor, dim: int) -> Tensor:
        """|O x|^2, from a direct sum of `dim` amplitudes that holds all of O x."""
        out = torch.zeros(len(x), dim, dtype=torch.complex128)
        return out.index_add(1, self.rows, self.values * x[:, self.columns]).abs().square().sum(1)


def on_sectors(obs: Operator, wires: Wires, space: DirectSum, target: DirectSum) -> SparseOperator:
    """The block of an observable from the sectors of a state to others.

    An expectation value needs the block from the state's sectors to themselves: what leaves them is orthogonal to
    the state. So every observable has one, also those that change the weight.

    Args:
        obs: made of Pauli words, or Projector, Hermitian, SparseHamiltonian, or with a matrix on few wires.
        wires: the wires of the device.
        space: the sectors of the state.
        target: the sectors that are wanted.

    Raises:
        DeviceError: there is no such form of the observable.
    """
    key = _key(obs, wires, space, target)
    if (kept := _KEPT.get(key)) is not None:
        _KEPT.move_to_end(key)
        return kept
    matrix = _matrix(obs, wires, space, target)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    rows, columns = (torch.from_numpy(index.astype(np.int64)) for index in matrix.coords)
    values = torch.from_numpy(matrix.data.astype(complex))
    diagonal = None
    if space is target and torch.equal(rows, columns):
        diagonal = torch.zeros(space.dim, dtype=torch.float64).index_copy(0, rows, values.real)
    operator = SparseOperator(rows, columns, values, diagonal)
    if key is not None and len(values) <= _KEPT_ENTRIES:
        _KEPT[key] = operator
        if len(_KEPT) > _MOST_KEPT:
            _KEPT.popitem(last=False)
    return operator


def _key(obs: Operator, wires: Wires, space: DirectSum, target: DirectSum) -> Hashable:
    """All that a block depends on, to the last bit; nothing for observables that are matrices."""
    if obs.pauli_rep is None:
        return None
    words = tuple((word, _number(coefficient)) for word, coefficient in obs.pauli_rep.items())
    return wires, space.n, space.orders, target.orders, words


def _number(coefficient: Any) -> complex:
    return complex(coefficient.detach() if isinstance(coefficient, Tensor) else coefficient)


def _matrix(obs: Operator, wires: Wires, space: DirectSum, target: DirectSum) -> sparse.coo_array:
    if obs.pauli_rep is not None:
        return _pauli_matrix(obs.pauli_rep, wires, space, target)
    if isinstance(obs, qml.SparseHamiltonian):
        return local_matrix(sparse.csc_array(obs.H), obs.wires, wires, space, target)
    if isinstance(obs, qml.Projector) and len(obs.data[0]) == len(obs.wires):
        bits = tuple(int(bit) for bit in obs.data[0])
        rows = space.rows(Selection(tuple(wires.indices(obs.wires)), bits))
        return _entries(target.find(space.occupied[rows]), rows, np.ones(len(rows)), space, target)
    if isinstance(obs, qml.ops.SProd):
        return (_matrix(obs.base, wires, space, target) * _number(obs.scalar)).tocoo()
    if isinstance(obs, qml.ops.Sum | qml.ops.LinearCombination):
        coefficients, terms = obs.terms()
        blocks = [_matrix(term, wires, space, target) for term in terms]
        total = sum(_number(c) * block.tocsr() for c, block in zip(coefficients, blocks, strict=True))
        return sparse.coo_array(total)
    if len(obs.wires) > _WIDEST_MATRIX or not obs.has_matrix:
        rule = "an observable is supported if it is made of Pauli words or has a matrix on at most"
        raise DeviceError(f"{rule} {_WIDEST_MATRIX} wires, got {obs.name} on {len(obs.wires)} wires")
    matrix = sparse.csc_array(np.asarray(qml.math.toarray(obs.matrix())))
    return local_matrix(matrix, obs.wires, wires, space, target)


def _pauli_matrix(sentence: Any, wires: Wires, space: DirectSum, target: DirectSum) -> sparse.coo_array:
    """Each word flips some wires; words that flip the same ones share their rows."""
    flips: dict[tuple[int, ...], NDArray[np.complex128]] = {}
    signs = 1.0 - 2.0 * space.occupied
    for word, coefficient in sentence.items():
        letters = [(wires.index(wire), letter) for wire, letter in word.items()]
        phase = np.full(space.dim, _number(coefficient))
        for wire, letter in letters:
            if letter != "X":
                phase *= signs[:, wire] if letter == "Z" else 1j * signs[:, wire]
        flipped = tuple(sorted(wire for wire, letter in letters if letter != "Z"))
        flips[flipped] = flips.get(flipped, 0) + phase
    blocks = [np.empty((3, 0), complex)]
    for flipped, values in flips.items():
        rows = columns = np.flatnonzero(values)
        if flipped or space is not target:
            occupied = space.occupied[columns]
            occupied[:, list(flipped)] ^= True
            rows = target.find(occupied)
        blocks.append(np.stack([rows, columns, values[columns]]))
    rows, columns, values = np.concatenate(blocks, axis=1)
    return _entries(rows.real.astype(np.int64), columns.real.astype(np.int64), values, space, target)


def local_matrix(
    matrix: sparse.csc_array, own: Wires, wires: Wires, space: DirectSum, target: DirectSum
) -> sparse.coo_array:
    """A matrix on some wires: each of its columns acts on the amplitudes that hold its local state."""
    places = wires.indices(own)
    local = space.local_states(places)
    states, which = np.unique(local, return_inverse=True)
    columns = matrix[:, states]
    counts = np.diff(columns.indptr)[which]  # entries for each amplitude
    source = np.repeat(np.arange(space.dim), counts)
    offsets = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
    entry = columns.indptr[which[source]] + offsets
    occupied = space.occupied[source]
    bits = columns.indices[entry].astype(np.int64)[:, None] >> np.arange(len(places))[::-1] & 1
    occupied[:, places] = bits.astype(bool)
    return _entries(target.find(occupied), source, columns.data[entry], space, target)


def _entries(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[Any], space: DirectSum, target: DirectSum
) -> sparse.coo_array:
    held = rows >= 0
    return sparse.coo_array((values[held], (rows[held], columns[held])), shape=(target.dim, space.dim))


def reached(space: DirectSum, obs: Operator) -> DirectSum:
    """Sectors that hold all that an observable takes a state of some sectors to."""
    if obs.pauli_rep is None:
        return space if isinstance(obs, qml.Projector) else sectors_around(space, len(obs.wires))
    return sectors_around(space, max(sum(letter != "Z" for letter in word.values()) for word in obs.pauli_rep))


def sectors_around(space: DirectSum, distance: int) -> DirectSum:
    """All sectors whose weights are not farther than that from those of others."""
    orders = {order + step for order in space.orders for step in range(-distance, distance + 1)}
    return direct_sum(space.n, tuple(sorted(order for order in orders if 0 <= order <= space.n)))
