"""What a loader is given: real, finite numbers of the right shape, in float64."""

from collections.abc import Sequence

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.typing import TensorLike
from pennylane.wires import Wires, WiresLike

__all__ = ["direction", "real_data", "sign_phase", "wire_labels"]


def real_data(data: TensorLike | Sequence[float], name: str) -> TensorLike:
    """The data in float64, in the library they came in; lists become numpy arrays.

    Args:
        data: an array or tensor of any library, or a list of numbers or of tensors, whose traces are kept.
        name: what errors call them.

    Raises:
        TypeError: they are not real numbers.
        ValueError: they are not finite.
    """
    if isinstance(data, list | tuple) and any(map(_is_tensor, data)):
        data = qml.math.stack(data)
    elif not _is_tensor(data) and not isinstance(data, np.ndarray):
        try:
            data = np.array(data)
        except ValueError:
            raise ValueError(f"{name} must be an array, got lists of different lengths, {data!r}") from None
    kind = qml.math.get_dtype_name(data)
    if not kind.startswith(("float", "bfloat", "int", "uint")):
        raise TypeError(f"{name} must be real numbers, got {kind}")
    data = qml.math.cast(data, "float64")
    finite = np.isfinite(_values(data))
    if not finite.all():
        raise ValueError(f"{name} must be finite, got {_values(data)[~finite][0]}")
    return data


def wire_labels(wires: WiresLike) -> Wires:
    """The labels of the wires.

    Raises:
        ValueError: there is none.
        pennylane.exceptions.WireError: one repeats.
    """
    labels = Wires(wires)
    if not labels:
        raise ValueError("a loader needs at least 1 wire, got none")
    return labels


def direction(vector: TensorLike | Sequence[float], dim: int, sector: str) -> TensorLike:
    """A vector that a state can have as its amplitudes, scaled so that its largest entry has size 1.

    Args:
        vector: shape (dim,) or (batch, dim).
        dim: the number of amplitudes.
        sector: what they are the amplitudes of, for errors.

    Raises:
        TypeError: it is not made of real numbers.
        ValueError: the shape is another one, or a vector is zero or not finite.
    """
    vector = real_data(vector, "the entries of a vector")
    shape = tuple(qml.math.shape(vector))
    if len(shape) not in (1, 2) or shape[-1] != dim or 0 in shape:
        raise ValueError(f"a vector for {sector} has shape ({dim},) or (batch, {dim}), got {shape}")
    # Squares of very large or small entries would leave the range of floats.
    scale = np.abs(_values(vector)).max(axis=-1, keepdims=True)
    if not scale.all():
        raise ValueError(f"a state needs a vector with a direction, got {dim} zeros")
    return vector / qml.math.convert_like(scale, vector)


def sign_phase(value: TensorLike) -> TensorLike:
    """The theta, 0 or pi, for which exp(-i theta) is the sign of a number; shape (1,) or (batch, 1)."""
    return qml.math.convert_like(np.pi * (_values(value) < 0)[..., None], value)


def _is_tensor(data: object) -> bool:
    return qml.math.get_interface(data) in ("torch", "autograd", "jax", "tensorflow")


def _values(tensor: TensorLike) -> NDArray[np.float64]:
    return np.asarray(qml.math.toarray(qml.math.detach(tensor)))
