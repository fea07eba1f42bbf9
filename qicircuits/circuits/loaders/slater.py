"""Slater determinants: k orthonormal columns into amplitudes that are their minors, by k(n - k) RBS gates."""

import functools
from collections.abc import Sequence

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.typing import TensorLike
from pennylane.wires import WiresLike

from .data import real_data, sign_phase, wire_labels
from .elimination import rotate_back, split
from .operation import Loader, LoaderPlan, Slot, signed_basis_state

__all__ = ["slater_loader"]

# Forgotten normalisation and mixed-up axes are far beyond it; float32 is not.
_ORTHONORMAL = 1e-4


def slater_loader(orbitals: TensorLike | Sequence[Sequence[float]], wires: WiresLike) -> Loader:
    r"""Load a subspace state: the Slater determinant of k orthonormal columns V.

    .. math:: |0\dots0\rangle \to \sum_{|I| = k} \det(V[I, :])\,|I\rangle.

    For one column it is the unary state, and column J of C_k(A) for the columns J of a rotation A. After k X there
    are k(n - k) RBS gates on neighbours, none of them controlled, in n - 1 moments: rotations of the columns among
    each other, which leave all minors as they are, first empty a triangle of V, and Givens rotations of
    neighbouring rows, which are the gates, empty the parallelogram that is left.

    Args:
        orbitals: V, shape (n, k), orthonormal columns, 0 <= k <= n. Gradients pass; those of an angle whose two
            entries are both zero are zero.
        wires: n labels.

    Returns:
        The operation, on n wires with k(n - k) angles. For k = 0 or n it is a basis state, det V its phase.

    Raises:
        TypeError: the columns are not made of real numbers.
        ValueError: the shape is not (n, k) with k <= n, or the columns are not finite or not orthonormal.

    Reference:
        I. Kerenidis and A. Prakash, arXiv:2202.00054; Z. Jiang et al., Phys. Rev. Applied 9, 044036 (2018).

    >>> loader = slater_loader([[1.0, 0.0], [0.0, 0.6], [0.0, 0.8]], wires=range(3))
    >>> [gate.wires.tolist() for gate in loader.decomposition()], loader.data[0].round(3)
    ([[0], [1], [1, 2], [0, 1]], array([0.927, 0.   ]))
    """
    labels = wire_labels(wires)
    v = real_data(orbitals, "orbitals")
    shape = tuple(qml.math.shape(v))
    if len(shape) != 2 or shape[0] != len(labels) or shape[1] > shape[0]:
        n = len(labels)
        raise ValueError(f"orbitals on {n} wires have shape ({n}, k) with k <= {n}, got {shape}")
    _check_orthonormal(np.asarray(qml.math.toarray(qml.math.detach(v))))
    n, order = shape
    return Loader(_angles(v, n, order), labels, _plan(n, order))


def _check_orthonormal(v: NDArray[np.float64]) -> None:
    error = np.abs(v.T @ v - np.eye(v.shape[1])).max(initial=0.0)
    if error > _ORTHONORMAL:
        raise ValueError(f"orbitals must be orthonormal columns, V^T V = I, got max |V^T V - I| = {error:.1e}")


def _angles(v: TensorLike, n: int, order: int) -> TensorLike:
    if order == 0:
        return np.zeros(1)
    rows = _empty_triangle([v[:, column] for column in range(order)], n)
    if order == n:  # what is left of V is triangular and orthogonal, so diagonal
        return sign_phase(qml.math.prod(qml.math.stack([row[i] for i, row in enumerate(rows)])))
    columns = split(qml.math.stack(rows))
    angles = []
    for row, q in _rotations(n, order)[::-1]:
        theta, columns[q], columns[q + 1] = rotate_back(columns[q], columns[q + 1], row)
        angles.append(theta)
    return qml.math.stack(angles[::-1])


def _empty_triangle(rows: list[TensorLike], n: int) -> list[TensorLike]:
    """Rotate the rows of V^T among each other until row i ends at wire n - k + i."""
    free = n - len(rows)
    for wire in range(n - 1, free, -1):
        for row in range(wire - free):
            _, rows[row + 1], lower = rotate_back(rows[row + 1], rows[row], wire)
            rows[row] = lower
    return rows


def _rotations(n: int, order: int) -> list[tuple[int, int]]:
    """(orbital, q) for the gates on (q, q + 1), in order of application.

    Backwards, orbital i is carried from its end n - k + i to wire i, after orbital i - 1.
    """
    return [(i, q) for i in range(order - 1, -1, -1) for q in range(i, n - order + i)]


@functools.lru_cache(maxsize=64)
def _plan(n: int, order: int) -> LoaderPlan:
    if order in (0, n):
        return signed_basis_state("slater", n, range(order))
    flips = (Slot("X", (wire,)) for wire in range(order))
    gates = (Slot("RBS", (q, q + 1), angle=index) for index, (_, q) in enumerate(_rotations(n, order)))
    return LoaderPlan("slater", n, (*flips, *gates))
