r"""Free fermions: circuits of neighbouring RBS gates, or of FBS gates, on a Slater determinant, at large n.

The state of k particles on n wires is given by its orbitals V, an (n, k) matrix of orthonormal columns:

    |V> = sum_I det(V[I, :]) |I>,    I over the k-subsets of wires in increasing order.

The columns e_i of occupied wires i are a basis state, and a circuit with the weight-1 matrix A takes V to A V.
Nothing here has 2^n or C(n, k) entries.
"""

import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .checks import check_angles, check_real
from .engine.determinantal import draw_subsets
from .engine.minors import determinant
from .engine.precision import full_precision
from .layouts import Layout
from .subsets import check_integer
from .subspace import apply_layout, is_compound

__all__ = ["amplitude", "correlations", "evolve", "log_amplitude", "marginals", "one_body_matrix", "sample"]

Wires = Sequence[int] | Sequence[Sequence[int]] | NDArray[Any] | Tensor

# Forgotten normalisation and mixed-up axes are far beyond it, rounding in float32 through thousands of gates is not.
_ORTHONORMAL = 1e-3


def evolve(start: Wires, angles: Tensor, layout: Layout, gate: str = "rbs") -> Tensor:
    """The orbitals A V after a circuit, A its weight-1 matrix: k columns through the gates, O(n_gates k).

    On a state of given orbitals, A V needs no gates: for a basis state and a matrix A it is ``A[:, wires]``.

    Args:
        start: the occupied wires of a basis state, k increasing integers; or the orbitals V of a Slater
            determinant, shape (..., n, k), float32 or float64.
        angles: theta in radians, shape (..., n_gates), in the order of ``layout.pairs``, float32 or float64.
            Leading dimensions broadcast with those of V.
        layout: where the gates stand; neighbouring wires if they are RBS gates and 1 < k < n.
        gate: "rbs" or "fbs".

    Returns:
        Orbitals, shape (..., n, k), dtype and device of V, or of `angles` for a basis state; differentiable in V and
        in the angles. Small circuits of other gates are served by `apply_layout`.

    Raises:
        ValueError: a shape does not fit, the wires do not increase in 0..n-1, the orbitals are not orthonormal, the
            gate is not known, or they are RBS gates on non-neighbouring wires with 1 < k < n.
        TypeError: a dtype is another one, or `layout` no Layout.

    >>> from qicircuits import staircase
    >>> evolve([0], torch.tensor([torch.pi / 2, torch.pi / 2]), staircase(3)).round().T
    tensor([[-0., -0., 1.]])
    """
    check_angles(angles, layout)
    n = layout.n
    if isinstance(start, Tensor) and start.is_floating_point():
        _check_orbitals(start)
        if start.shape[-2] != n:
            raise ValueError(f"orbitals on the {n} wires of {layout} have shape (..., {n}, k), got {_shape(start)}")
        rows = start.mT
    else:
        wires = _check_wires(start, n)
        if wires.dim() != 1:
            raise ValueError(f"a basis state is one subset of wires, shape (k,), got shape {_shape(wires)}")
        rows = torch.nn.functional.one_hot(wires, n).to(angles)
    order = rows.shape[-2]
    if not is_compound(layout, order, gate):
        raise ValueError(
            f"RBS gates on non-neighbouring wires do not act on free fermions for 1 < k < n, got {layout} with "
            f"k={order}: use apply_layout, or gate='fbs'"
        )
    # Batched angles get a dimension for the orbitals, which all see the same gates; one circuit keeps the fast path.
    turns = angles if angles.dim() == 1 else angles.unsqueeze(-2)
    return apply_layout(rows, turns, layout, 1, gate, method="gates").mT


def marginals(orbitals: Tensor) -> Tensor:
    """The densities <n_j> = sum_l V_jl^2, the probability of each wire to be occupied; O(n k).

    Of Pauli Z they are <n_j> = (1 - <Z_j>) / 2.

    Args:
        orbitals: V, shape (..., n, k), orthonormal columns; float32 or float64.

    Returns:
        shape (..., n), dtype and device of V; they sum to k. Differentiable.

    Raises:
        ValueError: the shape is another one, or the columns are not orthonormal.
        TypeError: the dtype is not float32 or float64.

    >>> marginals(torch.tensor([[0.6], [0.8], [0.0]]))
    tensor([0.3600, 0.6400, 0.0000])
    """
    _check_orbitals(orbitals)
    return orbitals.square().sum(-1)


def one_body_matrix(orbitals: Tensor) -> Tensor:
    r"""The one-body matrix <a_i^dagger a_j> = (V V^T)_ij, a projector of rank k; O(n^2 k).

    a_j annihilates in the Jordan-Wigner order of the wires: for i < j, a_i^dagger a_j + a_j^dagger a_i is
    (X_i X_j + Y_i Y_j)/2 times Z on all wires between.

    Args:
        orbitals: V, shape (..., n, k), orthonormal columns; float32 or float64.

    Returns:
        shape (..., n, n), symmetric, with the densities as its diagonal. Differentiable.

    Raises:
        ValueError, TypeError: as `marginals`.

    Reference:
        B. Terhal and D. DiVincenzo, Phys. Rev. A 65, 032325 (2002).

    >>> one_body_matrix(torch.tensor([[0.6], [0.8]]))
    tensor([[0.3600, 0.4800],
            [0.4800, 0.6400]])
    """
    _check_orbitals(orbitals)
    with full_precision(orbitals.device):
        return orbitals @ orbitals.mT


def correlations(orbitals: Tensor) -> Tensor:
    """The density correlations <n_i n_j>, the probability of both wires to be occupied; O(n^2 k).

    By Wick's theorem, with G the one-body matrix,

        <n_i n_j> = G_ii G_jj - G_ij^2 for i != j,    <n_i n_i> = G_ii.

    They are not connected: the covariance is what is left without the outer product of `marginals`.

    Args:
        orbitals: V, shape (..., n, k), orthonormal columns; float32 or float64.

    Returns:
        shape (..., n, n), symmetric; row i sums to k <n_i>. Differentiable.

    Raises:
        ValueError, TypeError: as `marginals`.

    >>> correlations(torch.eye(3)[:, :2])
    tensor([[1., 1., 0.],
            [1., 1., 0.],
            [0., 0., 0.]])
    """
    one_body = one_body_matrix(orbitals)
    density = one_body.diagonal(dim1=-2, dim2=-1)
    return density.unsqueeze(-1) * density.unsqueeze(-2) - one_body.square() + torch.diag_embed(density)


def amplitude(orbitals: Tensor, wires: Wires) -> Tensor:
    """The amplitudes <I|V> = det V[I, :] of subsets of wires; O(k^3) each, their squares are the probabilities.

    At large k they are below the smallest number of the dtype: see `log_amplitude`. The gradient is the matrix of
    cofactors, and right where the minor is singular too; first order, in reverse mode.

    Args:
        orbitals: V, shape (..., n, k), orthonormal columns; float32 or float64.
        wires: one subset of k increasing wires, or several, shape (..., k).

    Returns:
        The leading dimensions of V, then those of `wires`; none for one state and one subset. The k x k minors of
        all of them are held at once.

    Raises:
        ValueError: a shape does not fit, the columns are not orthonormal, or the wires do not increase in 0..n-1.
        TypeError: V is not float32 or float64, or the wires are not integers.

    >>> amplitude(torch.eye(4)[:, [1, 0]], [[0, 1], [2, 3]])
    tensor([-1.,  0.])
    """
    return determinant(_minors(orbitals, wires))


def log_amplitude(orbitals: Tensor, wires: Wires) -> tuple[Tensor, Tensor]:
    """Signs and logarithms of the absolute values of `amplitude`, which do not underflow.

    Args:
        orbitals: V, shape (..., n, k), orthonormal columns; float32 or float64.
        wires: one subset of k increasing wires, or several, shape (..., k).

    Returns:
        (sign, log): 1, -1 or 0, and log |<I|V>|, shapes of `amplitude`; 0 and -inf where it is exactly zero, where
        the logarithm has no gradient.

    Raises:
        ValueError, TypeError: as `amplitude`.

    >>> log_amplitude(torch.eye(2)[:, [1, 0]], [0, 1])
    (tensor(-1.), tensor(0.))
    """
    sign, log = torch.linalg.slogdet(_minors(orbitals, wires))
    return sign, log


@torch.no_grad()
def sample(orbitals: Tensor, shots: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Measure all wires: subsets I drawn with the probabilities det(V[I, :])^2; at most O(n k^2) a shot.

    The exact sampler of a projection determinantal point process. A wire is drawn with the probability that it
    holds a particle, |v_j|^2 / k for the rows v_j of V; all rows are then projected on the complement of its row,
    which leaves a state of k - 1 particles; and so on. On a CPU the rows are projected only when they are proposed,
    in O(k^3 log k) a shot. Computed in float64.

    Args:
        orbitals: V, shape (n, k), orthonormal columns; float32 or float64.
        shots: number of subsets, at least 0.
        generator: source of randomness on the CPU; torch's global one by default.

    Returns:
        The occupied wires of each shot, increasing, shape (shots, k), int64, on the device of V.

    Raises:
        ValueError: there is more than one state, its columns are not orthonormal, or `shots` is negative.
        TypeError: V is not float32 or float64, or `shots` not an integer.

    Reference:
        J. Hough, M. Krishnapur, Y. Peres and B. Virág, Probab. Surveys 3, 206 (2006), algorithm 18; by rejection:
        S. Barthelmé, N. Tremblay and P.-O. Amblard, arXiv:2210.17358.

    >>> sample(torch.eye(4)[:, 1:3], shots=2)
    tensor([[1, 2],
            [1, 2]])
    """
    _check_orbitals(orbitals)
    if orbitals.dim() != 2:
        raise ValueError(f"shots are drawn from one state, shape (n, k), got {_shape(orbitals)}")
    if check_integer(shots, "shots") < 0:
        raise ValueError(f"the number of shots must be at least 0, got {shots}")
    return draw_subsets(orbitals.double(), shots, generator).sort(-1).values


def _minors(orbitals: Tensor, wires: Wires) -> Tensor:
    """The rows of V of each subset: (..., k, k), the leading dimensions of V and then those of the subsets."""
    _check_orbitals(orbitals)
    n, k = orbitals.shape[-2:]
    chosen = _check_wires(wires, n).to(orbitals.device)
    if chosen.shape[-1] != k:
        raise ValueError(f"subsets of wires for k={k} orbitals have shape (..., {k}), got {_shape(chosen)}")
    rows = orbitals.index_select(-2, chosen.flatten())
    return rows.reshape(*orbitals.shape[:-2], *chosen.shape, k)


def _check_orbitals(orbitals: Tensor) -> None:
    check_real(orbitals, "orbitals")
    if orbitals.dim() < 2 or not orbitals.shape[-1] <= orbitals.shape[-2] or not orbitals.shape[-2]:
        raise ValueError(f"orbitals are k <= n columns, shape (..., n, k) with n >= 1, got shape {_shape(orbitals)}")
    if torch.compiler.is_compiling():
        return
    # V^T V x = x for one x without structure: O(n k), where V^T V would cost more than the marginals.
    v = orbitals.detach()
    probe = torch.arange(v.shape[-1], dtype=v.dtype, device=v.device).cos().unsqueeze(-1)
    with full_precision(v.device):
        deviation = (v.mT @ (v @ probe) - probe).abs()
    if not (deviation <= _ORTHONORMAL).all():  # a NaN is not
        raise ValueError(
            f"orbitals must have orthonormal columns, V^T V = I within {_ORTHONORMAL:.0e}, got a deviation of "
            f"{float(deviation.max()):.1e}"
        )


def _check_wires(wires: Wires, n: int) -> Tensor:
    """Subsets of wires as an int64 tensor (..., k)."""
    chosen = wires if isinstance(wires, Tensor) else torch.from_numpy(np.array(wires))
    if chosen.numel() == 0:  # an empty list has no type of its own
        chosen = chosen.long()
    if chosen.is_floating_point() or chosen.is_complex() or chosen.dtype == torch.bool:
        raise TypeError(f"wires must be integers, got {chosen.dtype}")
    if chosen.dim() == 0:
        raise ValueError(f"a subset of wires is a list of them, got {wires!r}")
    chosen = chosen.long()
    if torch.compiler.is_compiling():
        return chosen
    wrong = ((chosen < 0) | (chosen >= n)).any(-1) | (chosen.diff(dim=-1) <= 0).any(-1)
    if wrong.any():
        first = reprlib.repr(tuple(chosen[wrong][0].tolist()))
        raise ValueError(f"a subset is strictly increasing wires in 0..{n - 1}, got {first}")
    return chosen


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
