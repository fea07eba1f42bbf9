"""Circuits as sequences of small matrices that each preserve the Hamming weight."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import pennylane as qml
from pennylane.exceptions import MatrixUndefinedError
from pennylane.operation import Operator, StatePrepBase
from pennylane.tape import QuantumScript, make_qscript
from pennylane.typing import TensorLike
from pennylane.wires import Wires

__all__ = ["Circuit", "circuit_operations", "weight_preserving_factors"]

Circuit: TypeAlias = Operator | QuantumScript | Callable[[], Any] | Iterable[Operator]

# An operation on more than _NARROW wires is taken apart; where its parts break the symmetry that the whole has,
# its whole matrix is used, up to _WIDEST wires.
_NARROW, _WIDEST = 6, 10


def circuit_operations(circuit: Circuit) -> list[Operator]:
    """The operations of whatever PennyLane calls a circuit, in order of application.

    Args:
        circuit: an operation, a list of operations, a tape, a QNode, or a quantum function without arguments.

    Raises:
        TypeError: the circuit is none of these things.
        ValueError: it is a QNode or a function that wants arguments.

    >>> circuit_operations(lambda: qml.CZ([0, 1]))
    [CZ(wires=[0, 1])]
    """
    if isinstance(circuit, Operator):
        return [circuit]
    if isinstance(circuit, qml.QNode):
        circuit = circuit.func
    if callable(circuit) and not isinstance(circuit, QuantumScript):
        _check_no_arguments(circuit)
        circuit = make_qscript(circuit)()
    if isinstance(circuit, QuantumScript):
        return list(circuit.operations)
    operations = list(circuit) if isinstance(circuit, Iterable) else [circuit]
    for operation in operations:
        if not isinstance(operation, Operator):
            rule = "a circuit is made of PennyLane operations, such as those of orthogonal_layer(angles, layout)"
            raise TypeError(f"{rule}, got {operation!r}")
    return operations


def _check_no_arguments(function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        name = getattr(function, "__name__", "circuit")
        rule = "a circuit is a function without arguments, or a tape, as qml.workflow.construct_tape(qnode)(*args)"
        raise ValueError(f"{rule}, got {name}{inspect.signature(function)}") from error


def weight_preserving_factors(operation: Operator) -> list[tuple[Wires, TensorLike]]:
    """Small matrices, and the wires they act on, whose product in order of application is the operation.

    A matrix preserves the Hamming weight if <x|M|y> = 0 unless x and y hold equally many ones.

    Args:
        operation: any operation with a matrix or a decomposition.

    Returns:
        One matrix of shape (2^m, 2^m) for a narrow operation on m wires, the factors of its decomposition for a
        wide one.

    Raises:
        ValueError: the operation prepares a state, has a batch of parameters or one that is not finite, or does not
            preserve the weight: neither all its parts do, nor, on at most 10 wires, its whole matrix.
    """
    with qml.QueuingManager.stop_recording():
        factors = _factors(operation)
    if factors is None:
        rule = "every operation of the circuit must preserve the Hamming weight, as a whole on at most"
        name = f"{operation.name} on wires {operation.wires.tolist()}"
        raise ValueError(f"{rule} {_WIDEST} wires or in each of its parts, got {name}")
    return factors


def _factors(operation: Operator) -> list[tuple[Wires, TensorLike]] | None:
    # BasisState decomposes into Pauli X, which is right on |0...0> only: it is not the same linear map.
    if isinstance(operation, StatePrepBase):
        return None
    if operation.has_decomposition and (len(operation.wires) > _NARROW or not operation.has_matrix):
        parts = [_factors(part) for part in operation.decomposition()]
        if None not in parts:
            return [factor for part in parts if part for factor in part]
    if len(operation.wires) > _WIDEST:
        return None
    try:
        matrix = operation.matrix() if operation.has_matrix else qml.matrix(operation, operation.wires)
    except MatrixUndefinedError:
        return None
    if qml.math.ndim(matrix) != 2:
        rule = "a block belongs to one circuit, without a batch of parameters"
        raise ValueError(f"{rule}, got a batch of {operation.batch_size} in {operation.name}")
    if not np.isfinite(np.abs(qml.math.toarray(matrix))).all():
        raise ValueError(f"parameters of a circuit must be finite, got {operation.name} with {operation.data}")
    return [(operation.wires, matrix)] if _preserves_weight(matrix) else None


def _preserves_weight(matrix: TensorLike) -> bool:
    size = np.abs(qml.math.toarray(matrix)).astype(np.float64)
    weight = np.bitwise_count(np.arange(len(size)))
    single = qml.math.get_dtype_name(matrix) in ("float32", "complex64")
    rounding = np.finfo(np.float32 if single else np.float64).eps
    return bool(size[weight[:, None] != weight].max(initial=0.0) <= 100 * rounding)
