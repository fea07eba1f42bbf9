"""A layer of gates run on a PennyLane device, with amplitudes in and amplitudes out."""

from typing import Literal

import numpy as np
import pennylane as qml
from numpy.typing import ArrayLike, NDArray

from ..layouts import Layout
from ..subsets import subset_integers, subspace_dim
from .templates import orthogonal_layer

__all__ = ["layer_qnode", "run_layer", "unit_vectors"]


def layer_qnode(
    angles: ArrayLike, layout: Layout, gate: Literal["rbs", "fbs"] = "rbs", device: qml.devices.Device | None = None
) -> qml.QNode:
    """A QNode that takes a state of the layout's wires, applies the layer, and returns the state.

    Args:
        angles: theta in radians, shape (n_gates,).
        layout: where the gates stand; its wires are the device's wires 0..n-1.
        gate: "rbs" or "fbs".
        device: a device that returns states; ``default.qubit`` with n wires if left out.

    Returns:
        A QNode from amplitudes, shape (2^n,) or (batch, 2^n), to amplitudes of the same shape.

    >>> from qicircuits import staircase
    >>> layer_qnode([np.pi / 2], staircase(2))(np.array([0.0, 0.0, 1.0, 0.0])).real.round(3)
    array([0., 1., 0., 0.])
    """
    device = qml.device("default.qubit", wires=layout.n) if device is None else device

    @qml.qnode(device)
    def circuit(state: NDArray[np.float64]) -> qml.measurements.StateMP:
        qml.StatePrep(state, wires=range(layout.n))
        orthogonal_layer(angles, layout, gate=gate)
        return qml.state()

    return circuit


def run_layer(
    vectors: ArrayLike,
    angles: ArrayLike,
    layout: Layout,
    order: int,
    gate: Literal["rbs", "fbs"] = "rbs",
    device: qml.devices.Device | None = None,
) -> NDArray[np.float64]:
    """Run a layer on vectors of the weight-k sector, by way of all 2^n amplitudes of a device.

    Args:
        vectors: x, shape (batch, C(n, k)), real, none of them zero: a state has norm 1, and the norm of each
            vector is put back afterwards.
        angles, layout, gate, device: as :func:`layer_qnode`.
        order: Hamming weight k, with 0 <= k <= n.

    Returns:
        y, shape (batch, C(n, k)), float64.

    Raises:
        TypeError: a vector is complex.
        ValueError: there is no vector, or one is zero or not finite, or does not have C(n, k) entries.

    >>> from qicircuits import staircase
    >>> run_layer([[3.0, 4.0]], [np.pi / 2], staircase(2), order=1).round(3)
    array([[-4.,  3.]])
    """
    x, norms = unit_vectors(vectors, layout.n, order)
    states = subset_integers(layout.n, order)
    full = np.zeros((len(x), 2**layout.n))
    full[:, states] = x
    amplitudes = np.asarray(layer_qnode(angles, layout, gate, device)(full))
    y: NDArray[np.float64] = amplitudes.reshape(full.shape)[:, states].real * norms
    return y


def unit_vectors(vectors: ArrayLike, n: int, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The vectors of a sector as the amplitudes of states, and their norms.

    Args:
        vectors: shape (batch, C(n, k)).
        n: number of wires.
        order: k, with 0 <= k <= n.

    Returns:
        vectors of norm 1, shape (batch, C(n, k)), and the norms, shape (batch, 1).

    Raises:
        TypeError: a vector is complex.
        ValueError: there is no vector, or one is zero or not finite, or does not have C(n, k) entries.
    """
    if np.iscomplexobj(vectors):
        raise TypeError("the entries of a vector must be real numbers, got complex ones")
    x = np.asarray(vectors, dtype=np.float64)
    dim = subspace_dim(n, order)
    if x.ndim != 2 or x.shape[1] != dim or not len(x):
        raise ValueError(
            f"vectors of the weight-{order} sector of {n} wires have shape (batch, {dim}), got {x.shape}"
        )
    largest = np.abs(x).max(axis=1, keepdims=True)
    if not (np.isfinite(largest) & (largest > 0)).all():
        norms = np.linalg.norm(x, axis=1).tolist()
        raise ValueError(f"a state needs a finite vector that is not zero, got norms {norms}")
    scaled = x / largest  # squares of very small or large entries would leave the range of floats
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / lengths, largest * lengths
