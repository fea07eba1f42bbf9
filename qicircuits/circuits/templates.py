"""Templates: a whole layout of gates, queued with its angles."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pennylane as qml
from pennylane.operation import Operator
from pennylane.typing import TensorLike
from pennylane.wires import Wires

from ..layouts import Layout
from .gates import FBS, RBS

__all__ = ["orthogonal_layer"]


def orthogonal_layer(
    angles: TensorLike | Sequence[float],
    layout: Layout,
    wires: Iterable[int | str] | None = None,
    gate: Literal["rbs", "fbs"] = "rbs",
) -> list[Operator]:
    r"""Queue one gate on every pair of a layout.

    .. math:: U = G_{m}(\theta_m) \cdots G_{2}(\theta_2)\, G_{1}(\theta_1), \qquad m = \text{n\_gates},

    where G_g acts on the g-th of ``layout.pairs``, through the labels ``wires``. On the one-excitation sector U
    is ``orthogonal_from_angles(angles, layout)``; on the weight-k sector it is its k-th compound if the gates
    are FBS, or RBS on neighbours.

    The gates go into the circuit one by one: drawings, specs and parameter-shift gradients see them.
    ``qml.adjoint(orthogonal_layer)(angles, layout)`` is the inverse.

    Args:
        angles: radians, shape (n_gates,), or (batch, n_gates) for a batch of circuits.
        layout: where the gates stand.
        wires: n labels, the i-th stands for wire i of the layout; range(n) if left out.
        gate: "rbs"; or "fbs", which on distant wires also acts on the wires between.

    Returns:
        The gates, in order of application.

    Raises:
        TypeError: the layout is not a Layout, or the angles are not real numbers.
        ValueError: the numbers of angles or of wires are not those of the layout, or there is no such gate.

    >>> from qicircuits import brickwork
    >>> [gate.wires.tolist() for gate in orthogonal_layer([0.1, 0.2, 0.3], brickwork(3))]
    [[0, 1], [1, 2], [0, 1]]
    """
    if not isinstance(layout, Layout):
        raise TypeError(f"layout must be a Layout, such as brickwork(4), got {layout!r}")
    if gate not in ("rbs", "fbs"):
        raise ValueError(f'gate must be "rbs" or "fbs", got {gate!r}')
    labels = Wires(range(layout.n) if wires is None else wires)
    if len(labels) != layout.n:
        raise ValueError(f"{layout!r} needs {layout.n} wires, got {len(labels)}: {labels.tolist()}")
    theta = _angle_tensor(angles, layout)

    def place(index: int, i: int, j: int) -> Operator:
        if gate == "rbs":
            return RBS(theta[..., index], [labels[i], labels[j]])
        step = 1 if i < j else -1  # read backwards, the wires of FBS mean RBS from i to j all the same
        return FBS(theta[..., index], [labels[wire] for wire in range(i, j + step, step)])

    return [place(index, i, j) for index, (i, j) in enumerate(layout.pairs)]


def _angle_tensor(angles: TensorLike | Sequence[float], layout: Layout) -> TensorLike:
    # A list may hold the tensors that a gradient is wanted for: stack keeps their trace.
    tensor: TensorLike = qml.math.stack(angles) if isinstance(angles, list | tuple) and angles else angles
    shape = tuple(qml.math.shape(tensor))
    kind = str(np.asarray(tensor).dtype) if isinstance(tensor, list | tuple) else qml.math.get_dtype_name(tensor)
    if not kind.startswith(("float", "int")):
        raise TypeError(f"angles must be real numbers, got {kind}")
    if len(shape) not in (1, 2) or shape[-1] != layout.n_gates:
        rule = f"{layout!r} needs angles of shape ({layout.n_gates},) or (batch, {layout.n_gates})"
        raise ValueError(f"{rule}, got shape {shape}")
    return tensor
