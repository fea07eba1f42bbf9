"""The circuit on one Hamming-weight sector: the gates of a layout applied to vectors of C(n, k) amplitudes."""

import math

import torch
from torch import Tensor

from .checks import check_angles, check_memory, check_together, check_vectors
from .compound import apply_rotation, compound_apply
from .engine.dispatch import prefers_compound, rotates, sweep, weight_one_matrix
from .engine.shapes import common_shape
from .layouts import Layout
from .subsets import subspace_dim

__all__ = ["apply_layout", "check_layout", "is_compound", "layout_method"]

_PARTS = {torch.complex64: torch.float32, torch.complex128: torch.float64}
"""The dtype of the real and imaginary parts."""


def is_compound(layout: Layout, order: int, gate: str = "rbs") -> bool:
    """Whether a circuit acts on the weight-k sector as the compound C_k of its weight-1 matrix, for all angles.

    It does for FBS gates on any wires, for RBS gates on neighbours, and whatever the gates for k in {0, 1, n}.
    RBS gates on other wires miss the sign of the particles in between: for 1 < k < n the answer is no (though
    a few gates, such as RBS on the wires (0, 3) of 4 at k = 3, always have an even number of them).

    Args:
        layout: where the gates stand.
        order: Hamming weight k, with 0 <= k <= n.
        gate: "rbs" or "fbs".

    Returns:
        True where ``apply_layout(..., method="compound")`` is allowed.

    Raises:
        ValueError: the gate is another one, or the order is not in 0..n.
    """
    subspace_dim(layout.n, order)
    if gate not in ("rbs", "fbs"):
        raise ValueError(f"gate is 'rbs' or 'fbs', got {gate!r}")
    return gate == "fbs" or layout.is_nearest_neighbour or order in (0, 1, layout.n)


def apply_layout(
    vectors: Tensor,
    angles: Tensor,
    layout: Layout,
    order: int,
    gate: str = "rbs",
    *,
    phases: Tensor | None = None,
    method: str = "auto",
) -> Tensor:
    r"""Apply a circuit of RBS or FBS gates to vectors of the weight-k sector.

    A gate on wires (i, j) takes, for every pair of basis states |..1..0..>, |..0..1..> that differ there,

        x_a, x_b -> cos(theta) x_a - p exp(-i phi) sin(theta) x_b,  p exp(i phi) sin(theta) x_a + cos(theta) x_b,

    with p = 1 for RBS and p = (-1)^(ones strictly between i and j) for FBS, and phi = 0 unless phases are given. The
    angle is the field's RBS angle, half of PennyLane's with the opposite sign: RBS(theta) =
    SingleExcitation(-2 theta). A phase is PhaseShift(-phi) before and PhaseShift(phi) after it on its second wire.

    Args:
        vectors: x, shape (..., C(n, k)), any real floating dtype, complex64 or complex128; amplitudes in
            lexicographic order of subsets. Types shorter than float32 are computed in float32.
        angles: theta in radians, shape (..., n_gates), in the order of ``layout.pairs``, float32 or float64.
            Leading dimensions broadcast with those of `vectors`.
        layout: where the gates stand.
        order: Hamming weight k, with 0 <= k <= n.
        gate: "rbs" or "fbs".
        phases: phi in radians, shape (..., n_gates), float32 or float64; broadcasts with angles and vectors.
        method: "gates" runs the gates one by one, and keeps only the output for the backward; "compound"
            applies C_k of the weight-1 matrix, where the circuit is one; "auto" picks the faster, which
            `explain_layout` names.

    Returns:
        y, shape (..., C(n, k)), dtype and device of `vectors`, complex where phases are given; differentiable in
        vectors, angles and phases, once and in reverse mode.

    Raises:
        ValueError: a shape does not fit, the order is not in 0..n, the gate or the method is not known, or
            method="compound" is asked of RBS gates on non-neighbouring wires with 1 < k < n.
        TypeError: `vectors`, `angles` or `phases` have another dtype, or `layout` is no Layout.
        MemoryError: the vectors do not fit into memory once more.

    >>> from qicircuits import staircase
    >>> apply_layout(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([torch.pi / 2, 0.0]), staircase(3), 1).round()
    tensor([-0., 1., 0.])
    """
    check_layout(vectors, angles, phases, layout, order)
    if method not in ("auto", "gates", "compound"):
        raise ValueError(f"method is one of 'auto', 'gates', 'compound', got {method!r}")
    if not is_compound(layout, order, gate) and method == "compound":
        raise ValueError(
            f"RBS gates on non-neighbouring wires are no compound matrix for 1 < order < n, got {layout} with "
            f"order={order}: use method='gates', or gate='fbs'"
        )
    dtype = torch.promote_types(vectors.dtype, torch.float32)
    precision = _PARTS.get(dtype, dtype)
    dtype = dtype if phases is None else torch.promote_types(dtype, torch.complex64)
    _check_copies(vectors, angles, phases, dtype)
    x, theta = vectors.to(dtype), angles.to(precision)
    phi = None if phases is None else phases.to(precision)
    if method == "auto":
        method = layout_method(x, theta, phi, layout, order, gate)
    if method == "compound":
        matrix = _matrix(theta, phi, layout).to(theta.dtype if phi is None else dtype)
        serves = order > 1 and phi is None and rotates(x.device, layout.n, order)
        # Not by compound_apply: no check of a rotation holds for the roundings of any number of gates, or for NaN.
        y = apply_rotation(matrix, x, order) if serves else compound_apply(matrix, x, order)
    else:
        y = sweep(x, theta, phi, layout, order, gate == "fbs")
    return y if phases is not None else y.to(vectors.dtype)


def check_layout(vectors: Tensor, angles: Tensor, phases: Tensor | None, layout: Layout, order: int) -> None:
    """Refuse what `apply_layout` cannot take together."""
    check_angles(angles, layout)
    check_vectors(vectors, layout.n, order)
    check_together(vectors, angles, "angles", n_last=1)
    if phases is not None:
        check_angles(phases, layout, "phases")
        check_together(vectors, phases, "phases", n_last=1)
        check_together(angles, phases, "phases", n_last=1, first="angles")


def layout_method(
    vectors: Tensor, angles: Tensor, phases: Tensor | None, layout: Layout, order: int, gate: str
) -> str:
    """What "auto" is in `apply_layout` for these arguments: "gates" or "compound"."""
    if not is_compound(layout, order, gate) or (phases is not None and vectors.device.type == "cpu"):
        return "gates"
    circuits = math.prod(angles.shape[:-1])
    vectors_each = math.prod(common_shape(vectors.shape[:-1], angles.shape[:-1])) // max(circuits, 1)
    training = torch.is_grad_enabled() and (vectors.requires_grad or angles.requires_grad)
    shape = layout.n, order, layout.n_gates, vectors_each
    prefers = prefers_compound(vectors.device, *shape, vectors.dtype, training)
    return "compound" if prefers else "gates"


def _matrix(angles: Tensor, phases: Tensor | None, layout: Layout) -> Tensor:
    """The weight-1 matrix, in float64, to be rounded once: what the roundings of many gates add up to is not in A."""
    if phases is None:
        return weight_one_matrix(angles.double(), layout)
    units = torch.eye(layout.n, dtype=torch.complex128, device=angles.device)
    theta, phi = angles.double().unsqueeze(-2), phases.double().unsqueeze(-2)
    return sweep(units, theta, phi, layout, 1, False).mT


def _check_copies(vectors: Tensor, angles: Tensor, phases: Tensor | None, dtype: torch.dtype) -> None:
    """Refuse what does not fit: the result, a copy in its dtype, and for the backward a state and a gradient."""
    turns = () if phases is None else (phases.shape[:-1],)
    batch = math.prod(common_shape(vectors.shape[:-1], angles.shape[:-1], *turns))
    wants_gradient = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (vectors, angles, phases)
    )
    copies = 1 + (vectors.dtype != dtype) + 2 * wants_gradient
    needed = copies * batch * vectors.shape[-1] * dtype.itemsize
    check_memory(needed, f"apply_layout on {batch} vectors of {vectors.shape[-1]} amplitudes", vectors.device)
