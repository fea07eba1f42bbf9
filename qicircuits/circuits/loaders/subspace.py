"""Loaders of Hamming-weight sectors: any real vector over k-subsets, or over several weights, by RBS gates."""

from collections.abc import Iterable, Sequence

from pennylane.typing import TensorLike
from pennylane.wires import Wires, WiresLike

from ...subsets import check_integer, subspace_dim
from .data import direction, sign_phase, wire_labels
from .elimination import eliminate
from .operation import Loader
from .sectors import plan_sectors

__all__ = ["direct_sum_loader", "subspace_loader"]


def subspace_loader(vector: TensorLike | Sequence[float], order: int, wires: WiresLike) -> Loader:
    r"""Load a real vector over the k-subsets of the wires into the weight-k sector.

    .. math:: |0\dots0\rangle \to \frac{1}{\|x\|} \sum_{|I| = k} x_I\,|I\rangle.

    After k X there are C(n, k) - 1 RBS gates on neighbours, one for each degree of freedom, which is the fewest
    possible. C(n, k) - C(n - 2, k - 1) of them have no control, so for k = 2 only n - 3 have one. In general
    C(n - 2c, k - c) - 1 have c controls or more, and none more than min(k, n - k) - 1.

    The gates are found backwards, by emptying amplitudes, subsets without wire 0 first, and so on within them for
    the other wires. A gate that acts on amplitudes that are all still there, or all empty, does no harm and needs
    no control; only the gate that empties the last amplitude without a wire into those with it does.

    Args:
        vector: x, shape (C(n, k),), or (batch, C(n, k)) for a batch of circuits, in the order of
            :func:`qicircuits.subsets`; only its direction matters. Gradients pass; those of an angle whose two
            amplitudes are both zero are zero.
        order: k, with 0 <= k <= n.
        wires: n labels.

    Returns:
        The operation, on n wires. In a sector of one state, k = 0 or n, a sign is a global phase.

    Raises:
        TypeError: the vector is not made of real numbers, or the order is not an integer.
        ValueError: the order is not in 0..n, or the vector is zero, not finite or does not have C(n, k) entries.

    Reference:
        R. Farias et al., arXiv:2405.20408, who load sectors by as many RBS gates, O(k C(n, k)) CNOT.

    >>> subspace_loader([1.0, -1.0, 2.0, 0.0, 0.0, 1.0], 2, wires=range(4)).plan.gates
    {('X', 0): 2, ('RBS', 0): 4, ('RBS', 1): 1}
    """
    labels = wire_labels(wires)
    n, order = len(labels), check_integer(order, "order")
    dim = subspace_dim(n, order)
    x = direction(vector, dim, f"the weight-{order} sector of {n} wires")
    return _loader("subspace", x, (order,), labels)


def direct_sum_loader(vector: TensorLike | Sequence[float], orders: Sequence[int], wires: WiresLike) -> Loader:
    r"""Load a real vector over several weights, such as the features of an adapter's block: 1 up to K, or any others.

    .. math::

        |0\dots0\rangle \to \frac{1}{\|x\|} \sum_{k} \sum_{|I| = k} x_{k,I}\,|I\rangle, \qquad
        x = \bigoplus_{k} x_k .

    From the smallest order k up, each sector is loaded as by :func:`subspace_loader`, while the state
    |1^k 0...0> keeps the share of the orders above. One RY with k controls then passes that share on to
    |1^(k+1) 0...0>, and, if the next order is larger, X with k + 1 controls set the missing ones. RBS gates for one
    sector also act on the others; nothing but RY and X needs controls for that.

    Args:
        vector: x, shape (Σ_k C(n, k),), or (batch, ...) for a batch of circuits; the sectors in the order of
            `orders`, subsets in the order of :func:`qicircuits.subsets`. Only its direction matters. Gradients
            pass as for :func:`subspace_loader`.
        orders: distinct weights, each in 0..n.
        wires: n labels.

    Returns:
        The operation, on n wires, with Σ_k C(n, k) - 1 angles; or one, of a global phase, if that is 0.

    Raises:
        TypeError: the vector is not made of real numbers, or an order is not an integer.
        ValueError: there is no order, one repeats or is not in 0..n, or the vector is zero, not finite or of
            another length.

    >>> direct_sum_loader([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], (1, 2), wires=range(3)).plan.gates
    {('X', 0): 1, ('RBS', 0): 4, ('RY', 1): 1}
    """
    labels = wire_labels(wires)
    if not isinstance(orders, Iterable):
        raise TypeError(f"orders must be a sequence of weights, such as (1, 2), got {orders!r}")
    n, orders = len(labels), tuple(check_integer(order, "an order") for order in orders)
    if not orders or len(set(orders)) != len(orders):
        raise ValueError(f"orders must be distinct weights, at least one, got {orders}")
    dim = sum(subspace_dim(n, order) for order in orders)
    x = direction(vector, dim, f"the sectors of weights {orders} of {n} wires")
    return _loader("direct sum", x, orders, labels)


def _loader(name: str, vector: TensorLike, orders: tuple[int, ...], labels: Wires) -> Loader:
    plan, merges = plan_sectors(name, len(labels), orders)
    angles = eliminate(vector, merges) if merges else sign_phase(vector[..., 0])
    return Loader(angles, labels, plan)
