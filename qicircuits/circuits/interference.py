"""The circuit that shows the signs of y = R x: one more wire brings y together with a state whose signs are known."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.typing import TensorLike

from ..layouts import Layout
from ..subsets import subset_integers
from .loaders import direct_sum_loader
from .templates import orthogonal_layer

__all__ = ["interfere", "sector_states"]


def interfere(
    vectors: TensorLike,
    angles: TensorLike,
    layout: Layout,
    orders: Sequence[int],
    gate: Literal["rbs", "fbs"] = "rbs",
) -> None:
    r"""Queue the interference of y = R x with a uniform state, on wires 0..n.

    .. math:: \tfrac12 |0\rangle (y + u) + \tfrac12 |1\rangle (y - u), \qquad u_I = 1/\sqrt D,

    with the last wire, n, written first, y of norm 1, and D the number of amplitudes of all sectors. So

    .. math:: y_I = \sqrt D\,\bigl(P(0, I) - P(1, I)\bigr).

    No gate but X changes |0...0>, as long as no order is 0: neither the layer nor a loader has to be controlled, and
    as many CNOT as the smallest order, from the last wire, switch them.

    Args:
        vectors: x, shape (D,) or (batch, D), the sectors in the order of `orders`; only their direction matters.
        angles: theta in radians, shape (n_gates,).
        layout: where the gates stand.
        orders: the Hamming weights of the sectors, none of them 0.
        gate: "rbs" or "fbs".
    """
    last, wires = layout.n, range(layout.n)
    uniform = np.ones(len(sector_states(layout.n, orders)))

    def switch() -> None:
        for wire in range(min(orders)):
            qml.CNOT([last, wire])

    qml.Hadamard(last)
    switch()  # with the X of the loader, |1> keeps |0...0>, and |0> has |1^k 0...0> to load from
    direct_sum_loader(vectors, orders, wires)
    orthogonal_layer(angles, layout, gate=gate)
    # |0>: the inverse of the loader and the loader undo each other; |1>: |1^k 0...0>, |0...0>, u.
    qml.adjoint(direct_sum_loader(uniform, orders, wires))
    switch()
    direct_sum_loader(uniform, orders, wires)
    qml.Hadamard(last)


def sector_states(n: int, orders: Sequence[int]) -> NDArray[np.int64]:
    """The basis states of some sectors as integers, one sector after another."""
    return np.concatenate([subset_integers(n, order) for order in orders])
