"""What public functions refuse before they compute: dtypes, shapes and devices that do not fit."""

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .engine.gradient import refuse_transforms
from .engine.shapes import common_shape
from .layouts import Layout
from .memory import require_memory
from .subsets import subspace_dim

__all__ = [
    "check_angles",
    "check_memory",
    "check_numbers",
    "check_real",
    "check_square",
    "check_together",
    "check_vectors",
]


def check_real(tensor: Tensor, name: str) -> None:
    """Refuse a dtype in which rotations are not computed: only float32 and float64 keep them orthogonal.

    Raises:
        TypeError: the dtype is another one.
        NotImplementedError: the tensor carries a forward-mode tangent, which the operators would drop, or torch.func
            differentiates.
    """
    _check_tensor(tensor, name)
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be float32 or float64, got {tensor.dtype}")
    _check_reverse_mode(tensor, name)


def check_numbers(tensor: Tensor, name: str) -> None:
    """Refuse a dtype in which compounds are not computed, real or complex.

    Raises:
        TypeError: the dtype is another one than float32, float64, complex64 or complex128.
        NotImplementedError: the tensor carries a forward-mode tangent, which the operators would drop, or torch.func
            differentiates.
    """
    _check_tensor(tensor, name)
    if tensor.dtype not in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        raise TypeError(f"{name} must be float32, float64, complex64 or complex128, got {tensor.dtype}")
    _check_reverse_mode(tensor, name)


def check_memory(needed: int, what: str, device: torch.device) -> None:
    """Refuse work on a CPU that needs more bytes than are available; other devices refuse it by themselves.

    Raises:
        MemoryError: less is available.
    """
    if device.type == "cpu" and not torch.compiler.is_compiling():
        require_memory(needed, what)


def check_square(matrix: Tensor) -> None:
    """Refuse what is not a (batch of) square matrices, shape (..., n, n).

    Raises:
        TypeError: it is not a tensor.
        ValueError: the last two dimensions differ, or there are none.
    """
    _check_tensor(matrix, "matrix")
    if matrix.dim() < 2 or matrix.shape[-1] != matrix.shape[-2] or not matrix.shape[-1]:
        raise ValueError(f"a matrix must be square, shape (..., n, n) with n >= 1, got {tuple(matrix.shape)}")


def check_vectors(vectors: Tensor, n: int, order: int) -> None:
    """Refuse vectors that are not numbers of a known precision, or not of the sector's dimension, (..., C(n, k)).

    Raises:
        TypeError: the dtype is neither a real floating-point type nor complex64 or complex128.
        ValueError: the last dimension is not C(n, k), or the order is not in 0..n.
    """
    _check_tensor(vectors, "vectors")
    if not vectors.is_floating_point() and vectors.dtype not in (torch.complex64, torch.complex128):
        raise TypeError(f"vectors must have a floating-point dtype, complex64 or complex128, got {vectors.dtype}")
    dim = subspace_dim(n, order)
    if not vectors.dim() or vectors.shape[-1] != dim:
        raise ValueError(
            f"vectors of the weight-{order} sector of {n} wires have shape (..., C({n}, {order}) = {dim}), "
            f"got {tuple(vectors.shape)}"
        )
    _check_reverse_mode(vectors, "vectors")


def check_angles(angles: Tensor, layout: Layout, name: str = "angles") -> None:
    """Refuse angles, or phases, that are not one a gate, shape (..., n_gates), and what is not a layout.

    Raises:
        TypeError: `layout` is not a Layout, or the angles not a float32 or float64 tensor.
        ValueError: the last dimension is not the number of gates.
    """
    if not isinstance(layout, Layout):
        raise TypeError(f"layout must be a Layout, such as brickwork(4), got {layout!r}")
    check_real(angles, name)
    if not angles.dim() or angles.shape[-1] != layout.n_gates:
        raise ValueError(
            f"{name} of {layout} have shape (..., {layout.n_gates}), one a gate, got {tuple(angles.shape)}"
        )


def check_together(vectors: Tensor, other: Tensor, name: str, n_last: int, first: str = "vectors") -> None:
    """Refuse tensors on two devices, or whose leading dimensions do not broadcast.

    Args:
        vectors: shape (..., C(n, k)).
        other: a tensor with `n_last` dimensions of its own after the leading ones.
        name: what to call it.
        n_last: see `other`.
        first: what to call `vectors`.

    Raises:
        ValueError: they do not go together.
    """
    if vectors.device != other.device:
        raise ValueError(f"{first} and {name} must be on one device, got {vectors.device} and {other.device}")
    try:
        common_shape(vectors.shape[:-1], other.shape[: other.dim() - n_last])
    except RuntimeError:
        raise ValueError(
            f"the leading dimensions of {first} and {name} must broadcast, got {tuple(vectors.shape)} and "
            f"{tuple(other.shape)}"
        ) from None


def _check_tensor(tensor: Tensor, name: str) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(tensor).__name__}")


def _check_reverse_mode(tensor: Tensor, name: str) -> None:
    # Outside forward-mode differentiation the level is -1, and nothing is looked up.
    if forward_ad._current_level >= 0 and forward_ad.unpack_dual(tensor).tangent is not None:
        raise NotImplementedError(f"derivatives are taken in reverse mode, got {name} with a forward-mode tangent")
    refuse_transforms()
