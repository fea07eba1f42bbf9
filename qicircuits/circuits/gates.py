"""The two gates of every circuit here, RBS and FBS, as PennyLane operations."""

import functools
from collections.abc import Hashable
from typing import Any, ClassVar

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.decomposition import add_decomps, register_resources, resource_rep
from pennylane.exceptions import MatrixUndefinedError
from pennylane.operation import Operation, Operator
from pennylane.typing import TensorLike
from pennylane.wires import Wires, WiresLike

__all__ = ["FBS", "RBS"]

# A wider FBS has no matrix of its own, so that devices run its 2w - 3 two-wire gates, not a 2^w x 2^w product.
_WIDEST_MATRIX = 6


class _PairRotation(Operation):
    """What RBS and FBS share: one angle, the generator's eigenvalues -1, 0, 1, and U(a) U(b) = U(a + b)."""

    num_params = 1
    ndim_params = (0,)
    grad_method = "A"
    parameter_frequencies: ClassVar = [(1, 2)]

    def adjoint(self) -> Operator:
        """U(-theta), which is the inverse."""
        return type(self)(-self.data[0], wires=self.wires)

    def pow(self, z: float) -> list[Operator]:
        """U(z theta), which is the z-th power."""
        return [type(self)(z * self.data[0], wires=self.wires)]


class RBS(_PairRotation):
    r"""Reconfigurable beam splitter: the rotation of :math:`|10\rangle` into :math:`|01\rangle`.

    .. math::

        |10\rangle \to \cos\theta\,|10\rangle + \sin\theta\,|01\rangle, \qquad
        |01\rangle \to \cos\theta\,|01\rangle - \sin\theta\,|10\rangle,

    and the identity on :math:`|00\rangle` and :math:`|11\rangle`: ``SingleExcitation(-2 * theta, wires)`` in
    PennyLane's convention. On one excitation it is the Givens rotation A e_i = c e_i + s e_j,
    A e_j = -s e_i + c e_j.

    The generator :math:`(Y_i X_j - X_i Y_j)/2` has the frequencies 1 and 2, so an expectation value has a
    four-term parameter-shift rule. It decomposes exactly, without a phase, into 2 Hadamard, 2 CNOT and 2 RY.

    Args:
        theta: the angle in radians, a number or a batch of shape (batch,).
        wires: the ordered pair (i, j) of wires; ``RBS(theta, [j, i])`` is ``RBS(-theta, [i, j])``.

    Raises:
        ValueError: the number of wires is not two.
        pennylane.exceptions.WireError: the two wires are the same.

    Reference:
        S. Johri et al., npj Quantum Information 7, 122 (2021).

    >>> import numpy as np
    >>> RBS(np.pi / 6, wires=[0, 1]).matrix().round(3)
    array([[ 1.   ,  0.   ,  0.   ,  0.   ],
           [ 0.   ,  0.866,  0.5  ,  0.   ],
           [ 0.   , -0.5  ,  0.866,  0.   ],
           [ 0.   ,  0.   ,  0.   ,  1.   ]])
    """

    num_wires = 2
    resource_keys: ClassVar[set[str]] = set()

    def __init__(self, theta: TensorLike, wires: WiresLike, id: str | None = None) -> None:
        super().__init__(theta, wires=wires, id=id)

    @property
    def resource_params(self) -> dict[str, Any]:
        """Nothing: every RBS costs the same."""
        return {}

    @staticmethod
    def compute_matrix(theta: TensorLike) -> TensorLike:
        """The matrix in the order 00, 01, 10, 11, shape (4, 4) or (batch, 4, 4)."""
        return _rotation_matrix(theta, 2)

    @staticmethod
    def compute_decomposition(theta: TensorLike, wires: WiresLike) -> list[Operator]:
        """H and CNOT turn |10>, |01> into eigenstates of the parity, which two RY then rotate together."""
        i, j = wires
        return [
            qml.Hadamard(i),
            qml.CNOT([i, j]),
            qml.RY(theta, i),
            qml.RY(theta, j),
            qml.CNOT([i, j]),
            qml.Hadamard(i),
        ]

    def generator(self) -> Operator:
        r"""The Hermitian G with RBS(theta) = exp(i theta G)."""
        return _generator(self.wires)


class FBS(_PairRotation):
    r"""Fermionic beam splitter: RBS on the first and last wire, its angle signed by the wires between.

    .. math:: \theta \to (-1)^{p}\,\theta, \qquad p = \text{the number of ones strictly between.}

    It is ``FermionicSingleExcitation(+2 * theta, wires)`` in PennyLane's convention, and RBS on two wires.
    On the weight-k sector a circuit of FBS gates is the k-th compound of its one-excitation matrix, whatever
    wires they act on; a circuit of RBS gates is so only on neighbours.

    It decomposes exactly into RBS on the outer wires between two ladders of CZ, from each wire between to the
    first: w wires cost 2(w - 2) CZ and one RBS. Above 6 wires it has no matrix of its own.

    Args:
        theta: the angle in radians, a number or a batch of shape (batch,).
        wires: the first wire, the wires between, the last wire; read backwards they mean the angle -theta.

    Raises:
        ValueError: there are fewer than two wires.
        pennylane.exceptions.WireError: a wire is repeated.

    Reference:
        I. Kerenidis and A. Prakash, arXiv:2202.00054.

    >>> FBS(0.3, wires=[0, 1, 2]).decomposition()
    [CZ(wires=[1, 0]), RBS(0.3, wires=[0, 2]), CZ(wires=[1, 0])]
    """

    resource_keys: ClassVar[set[str]] = {"num_wires"}

    def __init__(self, theta: TensorLike, wires: WiresLike, id: str | None = None) -> None:
        wires = Wires(wires)
        if len(wires) < 2:
            raise ValueError(f"FBS acts on at least 2 wires, got wires={wires.tolist()}")
        self._hyperparameters = {"num_wires": len(wires)}
        self.num_wires = len(wires)  # the parameter-shift rule of a controlled FBS asks for it
        super().__init__(theta, wires=wires, id=id)

    def _flatten(self) -> tuple[tuple[TensorLike, ...], tuple[Wires, Hashable]]:
        return self.data, (self.wires, ())  # num_wires is not an argument of the constructor

    @property
    def resource_params(self) -> dict[str, Any]:
        """The number of wires, which sets the number of CZ."""
        return {"num_wires": len(self.wires)}

    @property
    def has_matrix(self) -> bool:
        """Whether the matrix is small enough to be written down, at most 6 wires."""
        return len(self.wires) <= _WIDEST_MATRIX

    @staticmethod
    def compute_matrix(theta: TensorLike, num_wires: int) -> TensorLike:
        """The matrix in the order of the basis states, shape (2^w, 2^w) or (batch, 2^w, 2^w), w <= 6.

        Raises:
            MatrixUndefinedError: the gate is on more than 6 wires; ``qml.matrix`` multiplies its decomposition.
        """
        if num_wires > _WIDEST_MATRIX:
            raise MatrixUndefinedError(f"FBS has a matrix on at most {_WIDEST_MATRIX} wires, got {num_wires} wires")
        return _rotation_matrix(theta, num_wires)

    @staticmethod
    def compute_decomposition(theta: TensorLike, wires: WiresLike, **_: int) -> list[Operator]:
        """Z on the first wire flips the angle of RBS, so a CZ from each wire between signs it by their parity."""
        first, *between, last = wires
        ladder = [qml.CZ([wire, first]) for wire in between]
        rotation = RBS(theta, [first, last])
        return [*ladder, rotation, *(qml.CZ([wire, first]) for wire in reversed(between))]

    def generator(self) -> Operator:
        r"""The Hermitian G with FBS(theta) = exp(i theta G)."""
        return _generator(self.wires)


def _rotation_matrix(theta: TensorLike, num_wires: int) -> TensorLike:
    cos, sin = qml.math.cos(theta), qml.math.sin(theta)
    if qml.math.ndim(theta):
        cos, sin = qml.math.reshape(cos, (-1, 1, 1)), qml.math.reshape(sin, (-1, 1, 1))
    still, diagonal, turn = (qml.math.cast_like(qml.math.convert_like(mask, cos), cos) for mask in _masks(num_wires))
    return still + cos * diagonal + sin * turn


@functools.lru_cache(maxsize=_WIDEST_MATRIX)
def _masks(num_wires: int) -> NDArray[np.float64]:
    """Where the matrix of FBS holds 1, cos(theta) and +-sin(theta): shape (3, 2^w, 2^w)."""
    between = np.arange(2 ** (num_wires - 2))
    sign = (-1.0) ** np.bitwise_count(between)
    one_zero, zero_one = 2 ** (num_wires - 1) + 2 * between, 2 * between + 1
    masks = np.zeros((3, 2**num_wires, 2**num_wires))
    still, diagonal, turn = masks  # views
    diagonal[one_zero, one_zero] = diagonal[zero_one, zero_one] = 1
    turn[zero_one, one_zero], turn[one_zero, zero_one] = sign, -sign
    still[...] = np.eye(2**num_wires) - diagonal
    return masks


def _generator(wires: Wires) -> Operator:
    first, *between, last = wires
    parity = [qml.Z(wire) for wire in between]
    terms = [qml.prod(a(first), *parity, b(last)) for a, b in ((qml.Y, qml.X), (qml.X, qml.Y))]
    return qml.Hamiltonian([0.5, -0.5], terms)


@register_resources({qml.Hadamard: 2, qml.CNOT: 2, qml.RY: 2})
def _decompose_rbs(theta: TensorLike, wires: WiresLike, **_: Any) -> None:
    RBS.compute_decomposition(theta, wires)


def _fbs_resources(num_wires: int) -> dict[Any, int]:
    return {qml.CZ: 2 * (num_wires - 2), RBS: 1}


@register_resources(_fbs_resources)
def _decompose_fbs(theta: TensorLike, wires: WiresLike, **_: Any) -> None:
    FBS.compute_decomposition(theta, wires)


def _one_gate(base_class: type[Operator], base_params: dict[str, Any], **_: Any) -> dict[Any, int]:
    return {resource_rep(base_class, **base_params): 1}


def _add_rules(gate: type[_PairRotation], decomposition: Any) -> None:
    """Tell PennyLane's graph of decompositions the gate's own, its inverse and its powers."""

    @register_resources(_one_gate)
    def inverse(theta: TensorLike, wires: WiresLike, **_: Any) -> None:
        gate(-theta, wires=wires)

    @register_resources(_one_gate)
    def power(theta: TensorLike, wires: WiresLike, z: float, **_: Any) -> None:
        gate(z * theta, wires=wires)

    add_decomps(gate, decomposition)
    add_decomps(f"Adjoint({gate.__name__})", inverse)
    add_decomps(f"Pow({gate.__name__})", power)


_add_rules(RBS, _decompose_rbs)
_add_rules(FBS, _decompose_fbs)
