"""What method="auto" takes for a call: the method and the engine, in words."""

import math

from torch import Tensor

from .compound import check_compound, compound_method
from .engine.dispatch import rotates, rotates_by_gates, sweep_engine
from .engine.shapes import common_shape
from .layouts import Layout
from .subspace import check_layout, layout_method

__all__ = ["explain_compound", "explain_layout"]

_ENGINES = {
    "states": "one vector after the other, lanes along its amplitudes, in the CPU kernels",
    "tokens": "on tiles of vectors, one in each lane, in the CPU kernels",
    "torch": "on all vectors at once, in torch",
}
_METHODS = {
    "modes": "the matrix on every index of an antisymmetric tensor, in torch",
    "dense": "the compound matrix built, and multiplied, in torch",
    "rotation": "products with the matrix, or above order 2 with rotations of six wires, in the CPU kernels",
}
_BY_GATES = f"a brickwork of gates, {_ENGINES['states']}"


def explain_layout(
    vectors: Tensor, angles: Tensor, layout: Layout, order: int, gate: str = "rbs", *, phases: Tensor | None = None
) -> str:
    """How `apply_layout` with method="auto" runs these arguments, which are its own; nothing is computed.

    Args:
        vectors: as there, like all others.
        angles: as there.
        layout: as there.
        order: as there.
        gate: as there.
        phases: as there.

    Returns:
        one line: the method, what it does and in which engine, for how many vectors.

    Raises:
        ValueError, TypeError: as there.

    >>> import torch
    >>> from qicircuits import brickwork
    >>> print(explain_layout(torch.ones(70), torch.zeros(28), brickwork(8), 4))  # doctest: +SKIP
    gates: one vector after the other, lanes along its amplitudes, in the CPU kernels; 1 vector of 70 amplitudes
    """
    check_layout(vectors, angles, phases, layout, order)
    turns = (angles,) if phases is None else (angles, phases)
    count = _count(vectors, *(turn.shape[:-1] for turn in turns))
    method = layout_method(vectors, angles, phases, layout, order, gate)
    if method == "gates":
        how = _ENGINES[sweep_engine(vectors, angles, phases, layout, order)]
    else:
        registers = phases is None and order > 1 and rotates(vectors.device, layout.n, order)
        how = f"the weight-1 matrix, then {_METHODS['rotation'] if registers else 'its compound, in torch'}"
    return f"{method}: {how}; {count}"


def explain_compound(matrix: Tensor, vectors: Tensor, order: int) -> str:
    """How `compound_apply` with method="auto" runs these arguments, which are its own; nothing is computed.

    Args:
        matrix: as there, like all others.
        vectors: as there.
        order: as there.

    Returns:
        one line: the method, what it does and in which engine, for how many vectors.

    Raises:
        ValueError, TypeError: as there.

    >>> import torch
    >>> print(explain_compound(2 * torch.eye(8), torch.ones(1000, 70), 4))
    dense: the compound matrix built, and multiplied, in torch; 1000 vectors of 70 amplitudes
    """
    check_compound(matrix, vectors, order)
    method = compound_method("auto", matrix, vectors, order)
    each = math.prod(vectors.shape[: max(vectors.dim() + 1 - matrix.dim(), 0)]) * (1 + vectors.is_complex())
    how = _BY_GATES if method == "rotation" and rotates_by_gates(matrix, each) else _METHODS[method]
    return f"{method}: {how}; {_count(vectors, matrix.shape[:-2])}"


def _count(vectors: Tensor, *others: tuple[int, ...]) -> str:
    count = math.prod(common_shape(vectors.shape[:-1], *others))
    return f"{count} vector{'' if count == 1 else 's'} of {vectors.shape[-1]} amplitudes"
