"""A rotation as the cosines and sines of a brickwork of gates: `givens.angles_from_orthogonal` at kernel speed."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from ..layouts import brickwork
from .cpu_tiles import Flat, kernel

__all__ = ["brickwork_turns"]


def brickwork_turns(a: NDArray[np.float64]) -> tuple[Flat, Flat]:
    """Cosines and sines of the brickwork of gates that A (n, n) in SO(n) is: `angles_from_orthogonal`, and fast.

    A = I gives 1 and 0 exactly.
    """
    return _brickwork_turns(a, *_brickwork_order(len(a)))


@functools.lru_cache(maxsize=32)
def _brickwork_order(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first wires of the gates as `_brickwork_turns` finds them, and their places among the brickwork's."""
    first, last = [], []
    for diagonal in range(1, n):
        for step in range(diagonal):
            if diagonal % 2:
                first.append(diagonal - 1 - step)
            else:
                last.append(n - 1 - diagonal + step)
    found = first + last[::-1]
    # Gates on the same wires keep their order, and that decides all of it.
    waiting: dict[int, list[int]] = {}
    for place, (q, _) in reversed(list(enumerate(brickwork(n).pairs))):
        waiting.setdefault(q, []).append(place)
    return np.array(found, np.int64), np.array([waiting[q].pop() for q in found], np.int64)


@kernel()
def _brickwork_turns(a: NDArray[np.float64], wires: Flat, places: Flat) -> tuple[Flat, Flat]:
    a = a.copy()
    n, gates = len(a), len(wires)
    cos, sin = np.ones(gates), np.zeros(gates)
    first, last = 0, gates - 1  # the next gate from either end of the circuit
    for diagonal in range(1, n):
        for step in range(diagonal):
            if diagonal % 2:
                q, row = diagonal - 1 - step, n - 1 - step
                c, s = _turn(a[row, q + 1], a[row, q])
                for r in range(n):
                    left, right = a[r, q], a[r, q + 1]
                    a[r, q], a[r, q + 1] = c * left - s * right, s * left + c * right
                cos[first], sin[first] = c, s
                first += 1
            else:
                q, column = n - 1 - diagonal + step, step
                c, s = _turn(a[q, column], a[q + 1, column])
                for r in range(n):
                    upper, lower = a[q, r], a[q + 1, r]
                    a[q, r], a[q + 1, r] = c * upper + s * lower, c * lower - s * upper
                cos[last], sin[last] = c, s
                last -= 1
    # What is left is A = (last gates) D (first gates), D = diag(+-1): D goes past the first gates to the input,
    # and from there its signs are taken up by the gates, two at once or handed on to the second wire.
    signs = np.sign(np.diag(a))
    for gate in range(first):
        sin[gate] *= signs[wires[gate]] * signs[wires[gate] + 1]
    in_order_cos, in_order_sin = np.empty(gates), np.empty(gates)
    for gate in range(gates):
        upper, lower = signs[wires[gate]], signs[wires[gate] + 1]
        in_order_cos[places[gate]], in_order_sin[places[gate]] = cos[gate] * upper, sin[gate] * lower
        signs[wires[gate]], signs[wires[gate] + 1] = 1, upper * lower
    return in_order_cos, in_order_sin


@kernel()
def _turn(along: float, across: float) -> tuple[float, float]:
    """Cosine and sine of atan2(across, along)."""
    length = math.hypot(along, across)
    return (along / length, across / length) if length > 0 else (1.0, 0.0)
