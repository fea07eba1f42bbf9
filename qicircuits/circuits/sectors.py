"""The weight-k block of a circuit: what it does to k excitations, without its 2^n x 2^n matrix."""

from collections.abc import Iterable, Sequence

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.operation import Operator
from pennylane.typing import TensorLike
from pennylane.wires import Wires

from ..subsets import check_integer, subset_array, subset_integers, subspace_dim
from .factors import Circuit, circuit_operations, weight_preserving_factors

__all__ = ["weight_block"]

# For each weight that an operation sees on its own m wires: its C(m, w) local states as integers, and the rows
# of the sector that hold them, shape (C(m, w), rest); the rows of one column agree on all other wires.
Groups = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def weight_block(
    circuit: Circuit,
    weight: int,
    wires: Iterable[int | str] | None = None,
    columns: Sequence[int] | None = None,
) -> TensorLike:
    r"""The block of a circuit's unitary on the states of Hamming weight k.

    .. math:: B_{IJ} = \langle I|\,U\,|J\rangle, \qquad I, J \text{ the k-subsets of the wires,}

    in the order of :func:`qicircuits.subsets`: the wires of a subset hold a one, and the first of ``wires`` is
    wire 0. Every operation acts by PennyLane's own matrix of it, one sub-block for each weight on its wires, on
    the C(n, k) amplitudes of the sector; no array of size 2^n is made. The work is done in double precision and
    can be differentiated with torch and autograd.

    Args:
        circuit: an operation, a list of operations, a tape, a QNode, or a quantum function without arguments.
            Measurements are left out.
        weight: Hamming weight k, with 0 <= k <= n.
        wires: the n wires in order; the wires of the circuit, sorted, if left out.
        columns: the indices J of the columns wanted; all C(n, k) if left out.

    Returns:
        The block, shape (C(n, k), C(n, k)) or (C(n, k), len(columns)): float64 if every operation has a real
        matrix, else complex128; numpy, or a tensor of the library that holds the circuit's parameters.

    Raises:
        TypeError: the circuit is none of these things.
        ValueError: an operation does not preserve the Hamming weight, prepares a state or has a batch of
            parameters; a wire of the circuit is not in `wires`; the weight or a column is out of range.

    >>> from qicircuits.circuits import RBS
    >>> weight_block(RBS(np.pi / 3, wires=[0, 1]), weight=1, wires=range(3)).round(3)
    array([[ 0.5  , -0.866,  0.   ],
           [ 0.866,  0.5  ,  0.   ],
           [ 0.   ,  0.   ,  1.   ]])
    """
    operations = circuit_operations(circuit)
    order = _wire_order(operations, wires)
    if not 0 <= check_integer(weight, "weight") <= len(order):
        raise ValueError(f"a Hamming weight on {len(order)} wires is in 0..{len(order)}, got weight={weight}")
    ones = np.zeros((subspace_dim(len(order), weight), len(order)), dtype=np.int64)
    np.put_along_axis(ones, subset_array(len(order), weight), 1, axis=1)
    rows: list[TensorLike] = list(_basis_states(len(ones), columns))
    for operation in operations:
        for where, matrix in weight_preserving_factors(operation):
            rows = _apply(rows, matrix, _row_groups(ones[:, order.indices(where)]))
    return qml.math.stack(rows)


def _wire_order(operations: list[Operator], wires: Iterable[int | str] | None) -> Wires:
    used = Wires.all_wires([operation.wires for operation in operations])
    if wires is None:
        try:
            return Wires(sorted(used))
        except TypeError:
            rule = "wires whose labels cannot be sorted need an order, wires=[...]"
            raise ValueError(f"{rule}, got {used.tolist()}") from None
    order = Wires(wires)
    if outside := [label for label in used if label not in order]:
        raise ValueError(f"`wires` must hold every wire of the circuit, got {order.tolist()} without {outside}")
    return order


def _basis_states(dim: int, columns: Sequence[int] | None) -> NDArray[np.float64]:
    if columns is None:
        return np.eye(dim)
    if any(not 0 <= column < dim for column in columns):
        raise ValueError(f"columns of this block are in 0..{dim - 1}, got {list(columns)}")
    states = np.zeros((dim, len(columns)))
    states[list(columns), np.arange(len(columns))] = 1
    return states


def _row_groups(ones: NDArray[np.int64]) -> Groups:
    """Sort the rows of a sector by what they hold on an operation's wires, given as 0 and 1, shape (C(n, k), m)."""
    m = ones.shape[1]
    local = ones @ (1 << np.arange(m)[::-1])
    groups = []
    for weight in np.unique(ones.sum(axis=1)):
        states = subset_integers(m, int(weight))
        # Rows that agree on these wires stand in the order of the other wires, which is the same for each state.
        groups.append((states, np.stack([np.flatnonzero(local == state) for state in states])))
    return groups


def _apply(rows: list[TensorLike], matrix: TensorLike, groups: Groups) -> list[TensorLike]:
    """Multiply the rows of each group by the sub-block of their weight.

    The block is a list of its rows, so that a gate costs what it changes and nothing is written into an array
    that a gradient needs.
    """
    is_constant = isinstance(matrix, np.ndarray)
    rows, matrix = _alike(rows, matrix)
    for states, where in groups:
        sub_block = matrix[states[:, None], states]  # (C(m, w), C(m, w))
        # A traced identity cannot be left out: its derivative need not be zero.
        if is_constant and np.array_equal(sub_block, np.eye(len(states))):
            continue
        before = qml.math.stack([rows[row] for row in where.flat])
        after = sub_block @ before.reshape(len(states), -1)
        for row, values in zip(where.flat, after.reshape(before.shape), strict=True):
            rows[row] = values
    return rows


def _alike(rows: list[TensorLike], matrix: TensorLike) -> tuple[list[TensorLike], TensorLike]:
    """Bring rows and matrix to one library and to float64, or complex128 if either is complex."""
    is_constant, is_plain = isinstance(matrix, np.ndarray), isinstance(rows[0], np.ndarray)
    if is_constant and not matrix.imag.any():
        matrix = matrix.real
    if is_plain and not is_constant:
        rows = [qml.math.convert_like(row, matrix) for row in rows]
    if is_constant and not is_plain:
        matrix = qml.math.convert_like(matrix, rows[0])
    kinds = {qml.math.get_dtype_name(rows[0]), qml.math.get_dtype_name(matrix)}
    dtype = "complex128" if kinds & {"complex64", "complex128"} else "float64"
    if qml.math.get_dtype_name(rows[0]) != dtype:
        rows = [qml.math.cast(row, dtype) for row in rows]
    return rows, qml.math.cast(matrix, dtype)
