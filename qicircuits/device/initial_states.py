"""The state at the start: a basis state, or the amplitudes of a StatePrep, in the sectors that they need."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pennylane as qml
import torch
from numpy.typing import NDArray
from pennylane.exceptions import DeviceError
from pennylane.operation import Operator, StatePrepBase
from pennylane.wires import Wires
from scipy.sparse import issparse
from torch import Tensor

from ..circuits.loaders import Loader
from ..engine.direct_sum import DirectSum, direct_sum

__all__ = ["FLIPS", "initial_state", "loaded_orders", "loads_several_weights", "starts_circuit"]

# A dense StatePrep lists 2^w amplitudes.
_WIDEST_PREPARATION = 26

_MOST_AMPLITUDES = 2**27


FLIPS = frozenset({"PauliX", "BasisState"})
"""Operations that choose the basis state at the start, by flipping wires."""


def loads_several_weights(op: Operator) -> bool:
    """Whether an operation is a loader whose gates change the weight on their way."""
    return isinstance(op, Loader) and loaded_orders(op) > 0


def loaded_orders(op: Loader) -> int:
    """How many weights a loader adds at the most to the one that its first flips choose."""
    touched: set[int] = set()
    raised = 0
    for slot in op.plan.slots:
        flips = slot.gate == "X" and not slot.controls and touched.isdisjoint(slot.wires)
        raised += slot.gate in ("X", "RY") and not flips
        touched.update(() if flips else slot.wires)
    return raised


def starts_circuit(op: Operator) -> bool:
    """Whether an operation of a lowered circuit chooses or prepares the state at its start."""
    return op.name in FLIPS or isinstance(op, StatePrepBase)


def initial_state(
    operations: Sequence[Operator], wires: Wires, as_tensor: Callable[[Any], Tensor], more: int = 0
) -> tuple[DirectSum, Tensor]:
    """The sectors and the amplitudes at the start of a lowered circuit.

    Args:
        operations: StatePrep, if there is one, and all Pauli X and BasisState, on other wires.
        wires: the wires of the device.
        as_tensor: brings a parameter into torch, with its gradient if one is wanted.
        more: how many weights above that of a basis state are wanted, too.

    Returns:
        The direct sum of the sectors of all amplitudes that are not zero, and the amplitudes: float64 if they are
        real, else complex128, shape (1 or batch, dim).

    Raises:
        DeviceError: the sectors hold too many amplitudes, or a StatePrep lists too many.
    """
    ones = np.zeros(len(wires), dtype=bool)
    prepared = None
    for op in operations:
        if op.name not in FLIPS:
            prepared = op
            continue
        bits = np.asarray(qml.math.toarray(op.data[0]), dtype=bool) if op.name == "BasisState" else True
        ones[wires.indices(op.wires)] ^= bits
    if prepared is None:
        return _basis_state(len(wires), ones.tobytes(), more)
    states, amplitudes = _amplitudes(prepared, as_tensor)
    occupied = np.broadcast_to(ones, (len(states), len(wires))).copy()
    place = np.arange(len(prepared.wires))[::-1]
    occupied[:, wires.indices(prepared.wires)] ^= (states[:, None] >> place & 1).astype(bool)
    space = _space(len(wires), tuple(sorted({int(weight) for weight in occupied.sum(axis=1)})))
    found = torch.from_numpy(space.find(occupied))
    start = torch.zeros(len(amplitudes), space.dim, dtype=amplitudes.dtype)
    return space, start.index_copy(1, found, amplitudes)


@functools.lru_cache(maxsize=64)
def _basis_state(n: int, ones: bytes, more: int) -> tuple[DirectSum, Tensor]:
    occupied = np.frombuffer(ones, dtype=bool)
    weight = int(occupied.sum())
    space = _space(n, tuple(range(weight, min(n, weight + more) + 1)))
    start = torch.zeros(1, space.dim, dtype=torch.float64)
    start[0, int(space.find(occupied[None])[0])] = 1
    return space, start


def _space(n: int, orders: tuple[int, ...]) -> DirectSum:
    space = direct_sum(n, orders)
    if space.dim > _MOST_AMPLITUDES:
        raise DeviceError(
            f"a state of {n} wires and weights {list(orders)} has {space.dim} amplitudes, more than the "
            f"{_MOST_AMPLITUDES} that the device holds"
        )
    return space


def _amplitudes(op: Operator, as_tensor: Callable[[Any], Tensor]) -> tuple[NDArray[np.int64], Tensor]:
    """The local states that are not zero in all of a batch, and their amplitudes, shape (1 or batch, states)."""
    data = op.data[0] if isinstance(op, qml.StatePrep) else op.state_vector()
    if issparse(data):
        row = data.tocoo()
        return row.coords[-1].astype(np.int64), torch.from_numpy(row.data.astype(complex))[None]
    if len(op.wires) > _WIDEST_PREPARATION:
        rule = f"a dense {op.name} lists 2^w amplitudes of w wires, at most {_WIDEST_PREPARATION}"
        raise DeviceError(f"{rule}, got {len(op.wires)} wires: give it a scipy.sparse row")
    vectors = as_tensor(data)
    vectors = vectors.reshape(-1, 2 ** len(op.wires))
    vectors = vectors.to(torch.complex128 if vectors.is_complex() else torch.float64)
    if vectors.is_complex() and not vectors.requires_grad and not vectors.imag.any():
        vectors = vectors.real
    states = torch.nonzero((vectors != 0).any(0)).ravel()
    return states.numpy(), vectors[:, states]
