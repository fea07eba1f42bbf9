"""The Clifford loader: a unit vector as the unitary x_0 X_0 + x_1 Z_0 X_1 + ..., a combination of Majoranas."""

import functools
from collections.abc import Sequence

import pennylane as qml
from pennylane.typing import TensorLike
from pennylane.wires import WiresLike

from .data import direction, wire_labels
from .elimination import split
from .operation import Loader, LoaderPlan, Slot, signed_basis_state
from .unary import unary_angles, unary_moves

__all__ = ["clifford_loader"]


def clifford_loader(vector: TensorLike | Sequence[float], wires: WiresLike) -> Loader:
    r"""The unitary of a real vector in the Clifford algebra of the wires.

    .. math:: \Gamma(x) = \frac{1}{\|x\|} \sum_{i=0}^{n-1} x_i\, Z_0 \cdots Z_{i-1} X_i.

    It is Hermitian, so its own inverse, and :math:`\Gamma(x)\Gamma(y) + \Gamma(y)\Gamma(x) = 2\langle x, y\rangle`
    for unit vectors. On :math:`|0\dots0\rangle` it is :func:`unary_loader`; the loaders of k orthonormal vectors, the
    last one first, make the state of :func:`slater_loader`. It is Γ(x) = U X_0 U^T, with U the diagonal RBS gates
    of the unary loader: 2(n - 1) RBS gates on neighbours and one X, depth 2n - 1.

    Args:
        vector: x, shape (n,), or (batch, n) for a batch of circuits; only its direction matters. Gradients pass as
            for :func:`unary_loader`.
        wires: n labels.

    Returns:
        The operation, on n wires with 2(n - 1) angles. On one wire it is X, a sign its phase.

    Raises:
        TypeError: the vector is not made of real numbers.
        ValueError: the vector is zero, not finite, or not as long as there are wires.

    Reference:
        I. Kerenidis and A. Prakash, arXiv:2202.00054.

    >>> loader = clifford_loader([0.6, 0.8], wires=range(2))
    >>> [gate.name for gate in loader.decomposition()], loader.data[0].round(3)
    (['RBS', 'PauliX', 'RBS'], array([-0.927,  0.927]))
    """
    labels = wire_labels(wires)
    n = len(labels)
    angles = unary_angles(direction(vector, n, f"{n} wires"), "diagonal")
    if n > 1:
        thetas = split(angles)
        angles = qml.math.stack([*(-theta for theta in thetas[::-1]), *thetas], axis=-1)
    return Loader(angles, labels, _plan(n))


@functools.lru_cache(maxsize=64)
def _plan(n: int) -> LoaderPlan:
    if n == 1:
        return signed_basis_state("clifford", 1, [0])
    moves = unary_moves(n, "diagonal")
    before = (Slot("RBS", move, angle=index) for index, move in enumerate(moves[::-1]))
    after = (Slot("RBS", move, angle=n - 1 + index) for index, move in enumerate(moves))
    return LoaderPlan("clifford", n, (*before, Slot("X", (0,)), *after))
