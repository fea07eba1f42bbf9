"""Training on the circuit: y = R x with its signs as a function of the angles that a machine can evaluate."""

from collections.abc import Callable, Sequence
from typing import Literal

import pennylane as qml
from pennylane.typing import TensorLike

from ..layouts import Layout
from ..subsets import check_integer
from .interference import interfere, sector_states

__all__ = ["trainable_layer"]


def trainable_layer(
    layout: Layout,
    orders: Sequence[int],
    *,
    gate: Literal["rbs", "fbs"] = "rbs",
    device: qml.devices.Device | None = None,
    diff_method: str = "best",
    shots: int | None = None,
) -> Callable[[TensorLike, TensorLike], TensorLike]:
    r"""The map (x, theta) -> y = R(theta) x by a circuit that is measured, to be trained through PennyLane.

    Every entry of y is an expectation value, of a wire that interferes y with a uniform state:

    .. math:: y_I = \|x\| \sqrt D\, \langle Z_n \otimes |I\rangle\langle I| \rangle .

    So any loss of y has the gradient that PennyLane's differentiation gives, by parameter shifts on a machine too.
    y is linear in the gates: its only frequency in an angle is 1, and two shifts give the derivative,

    .. math:: \partial y / \partial\theta_g = \tfrac12 \bigl(y(\theta_g + \pi/2) - y(\theta_g - \pi/2)\bigr).

    PennyLane's rule for RBS takes four, since expectation values in the state y alone have the frequencies 1 and 2,
    at any weight. RBS(theta) is ``SingleExcitation(-2 theta)``: a derivative by theta is -2 times that by its angle.

    Args:
        layout: where the gates stand.
        orders: the Hamming weights of the sectors, distinct, in 1..n; x is their direct sum.
        gate: "rbs" or "fbs".
        device: with wires 0..n; ``default.qubit`` if left out.
        diff_method: as of a QNode: "parameter-shift", "adjoint", "backprop", ...
        shots: runs of a circuit; exact expectation values if left out.

    Returns:
        A function of x, shape (batch, D), real, no row zero, and theta in radians, shape (n_gates,), to y, shape
        (batch, D). Its results and gradients are of the library, torch or autograd, that theta is of.

    Raises:
        TypeError: `layout` is not a Layout, or the orders are not a sequence of integers.
        ValueError: there is no order, one repeats or is not in 1..n, or they have but one state, which no layer
            changes.

    >>> import numpy as np
    >>> from qicircuits import staircase
    >>> layer = trainable_layer(staircase(2), orders=(1,))
    >>> layer(np.array([[3.0, 4.0]]), np.array([np.pi / 2])).round(3)
    array([[-4.,  3.]])
    """
    if not isinstance(layout, Layout):
        raise TypeError(f"layout must be a Layout, such as brickwork(4), got {layout!r}")
    if not isinstance(orders, Sequence):
        raise TypeError(f"orders must be a sequence of integers, such as (1, 2), got {orders!r}")
    n, orders = layout.n, tuple(check_integer(order, "an order") for order in orders)
    if len(set(orders)) != len(orders) or any(not 1 <= order <= n for order in orders) or orders in ((), (n,)):
        raise ValueError(f"orders must be distinct weights in 1..{n}, not {n} alone, got {orders}")
    states = sector_states(n, orders)
    root = len(states) ** 0.5
    wires = [n, *range(n)]

    @qml.qnode(qml.device("default.qubit", wires=n + 1) if device is None else device, diff_method=diff_method)
    def circuit(vectors: TensorLike, angles: TensorLike) -> object:
        interfere(vectors, angles, layout, orders, gate)
        if diff_method != "adjoint":
            return qml.probs(wires=wires)  # all entries from the same runs
        return [qml.expval(qml.Z(n) @ qml.Projector([*map(int, f"{state:0{n}b}")], range(n))) for state in states]

    node = circuit if shots is None else qml.set_shots(circuit, shots)

    def layer(vectors: TensorLike, angles: TensorLike) -> TensorLike:
        results = node(vectors, angles)
        if diff_method == "adjoint":
            unit = qml.math.stack(results, axis=-1)
        else:
            outcomes = qml.math.reshape(results, (-1, 2, 2**n))[:, :, states]
            unit = outcomes[:, 0] - outcomes[:, 1]
        lengths = qml.math.sqrt(qml.math.sum(vectors**2, axis=-1, keepdims=True))
        return root * unit * qml.math.cast_like(qml.math.convert_like(lengths, unit), unit)

    return layer
