"""RBS under control of other wires, which loaders need where several particles move."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pennylane as qml
from pennylane.decomposition import add_decomps, controlled_resource_rep, register_resources
from pennylane.exceptions import MatrixUndefinedError
from pennylane.operation import Operation, Operator
from pennylane.typing import TensorLike
from pennylane.wires import Wires, WiresLike

from .gates import RBS

__all__ = ["ControlledRBS"]

# A wider gate has no matrix of its own, so that devices run its decomposition, not a 2^w x 2^w product.
_WIDEST_MATRIX = 6


class ControlledRBS(Operation):
    r"""RBS on the last two wires where the wires before hold the given values, the identity elsewhere.

    ``qml.ctrl(RBS(theta, [i, j]), controls, control_values)`` is the same map; its decomposition controls every gate
    of RBS. This one controls a single gate: c controls cost 2 CNOT and an RY(2 theta) with c + 1 controls, which for
    c = 1 are 4 CNOT and 4 RY. Above 6 wires it has no matrix of its own.

    Args:
        theta: the angle in radians, a number or a batch of shape (batch,).
        wires: the controls, at least one, then the ordered pair (i, j).
        control_values: 0 or 1 for each control; all 1 if left out.

    Raises:
        ValueError: there are fewer than three wires, or not one value, 0 or 1, for each control.
        pennylane.exceptions.WireError: a wire is repeated.

    >>> ControlledRBS(0.3, wires=["c", "d", 0, 1]).decomposition()
    [CNOT(wires=[1, 0]), Controlled(RY(0.6, wires=[1]), control_wires=['c', 'd', 0]), CNOT(wires=[1, 0])]
    """

    num_params = 1
    ndim_params = (0,)
    grad_method = "A"
    parameter_frequencies: ClassVar = [(1, 2)]  # those of RBS: projectors only add eigenvalues 0 to the generator
    resource_keys: ClassVar[set[str]] = {"control_values"}

    def __init__(
        self,
        theta: TensorLike,
        wires: WiresLike,
        control_values: Sequence[bool | int] | None = None,
        id: str | None = None,
    ) -> None:
        wires = Wires(wires)
        n_controls = len(wires) - 2
        if n_controls < 1:
            raise ValueError(f"a controlled RBS acts on at least 3 wires, got wires={wires.tolist()}")
        values = (1,) * n_controls if control_values is None else tuple(map(int, control_values))
        if len(values) != n_controls or not set(values) <= {0, 1}:
            rule = f"control_values are 0 or 1, one for each of {n_controls} controls"
            raise ValueError(f"{rule}, got {control_values!r}")
        self._hyperparameters = {"control_values": values}
        self.num_wires = len(wires)  # the parameter-shift rule asks for it
        super().__init__(theta, wires=wires, id=id)

    @property
    def control_wires(self) -> Wires:
        """All wires but the last two."""
        return self.wires[:-2]

    @property
    def resource_params(self) -> dict[str, Any]:
        """The values of the controls, and with them their number."""
        return dict(self.hyperparameters)

    @property
    def has_matrix(self) -> bool:
        """Whether the matrix is small enough to be written down, at most 6 wires."""
        return len(self.wires) <= _WIDEST_MATRIX

    @staticmethod
    def compute_matrix(theta: TensorLike, control_values: tuple[int, ...]) -> TensorLike:
        """The matrix in the order of the basis states, shape (2^w, 2^w) or (batch, 2^w, 2^w), w <= 6.

        Raises:
            MatrixUndefinedError: the gate is on more than 6 wires; ``qml.matrix`` multiplies its decomposition.
        """
        width = len(control_values) + 2
        if width > _WIDEST_MATRIX:
            rule = f"a controlled RBS has a matrix on at most {_WIDEST_MATRIX} wires"
            raise MatrixUndefinedError(f"{rule}, got {width} wires")
        start = 4 * int("".join(map(str, control_values)), base=2)
        block = np.eye(2**width)[:, start : start + 4]
        rotation = RBS.compute_matrix(theta)
        block, rest = (
            qml.math.cast_like(qml.math.convert_like(part, rotation), rotation)
            for part in (block, np.eye(2**width) - block @ block.T)
        )
        return rest + block @ rotation @ block.T

    @staticmethod
    def compute_decomposition(theta: TensorLike, wires: WiresLike, control_values: tuple[int, ...]) -> list[Operator]:
        """CNOT writes the parity of the pair on its first wire; where that is 1, RY rotates the second.

        RY under two controls: a CNOT turns the sign of all RY before it. The four angles add up to 2 theta where both
        controls hold their values, and cancel elsewhere.
        """
        *controls, i, j = wires
        gates = [qml.CNOT([j, i])]  # made in the order of application, in which PennyLane queues them
        if len(controls) == 1:
            first = -theta / 2 if control_values[0] else theta / 2
            for control, angle in ((controls[0], first), (i, -first), (controls[0], -theta / 2), (i, theta / 2)):
                gates += [qml.CNOT([control, j]), qml.RY(angle, j)]
        else:
            gates.append(qml.ctrl(qml.RY(2 * theta, j), [*controls, i], control_values=[*control_values, 1]))
        return [*gates, qml.CNOT([j, i])]

    def adjoint(self) -> Operator:
        """The angle -theta, which is the inverse."""
        return ControlledRBS(-self.data[0], wires=self.wires, **self.hyperparameters)

    def pow(self, z: float) -> list[Operator]:
        """The angle z theta, which is the z-th power."""
        return [ControlledRBS(z * self.data[0], wires=self.wires, **self.hyperparameters)]

    def generator(self) -> Operator:
        r"""The Hermitian G with ControlledRBS(theta) = exp(i theta G)."""
        values = self.hyperparameters["control_values"]
        projectors = (qml.Projector([value], wire) for value, wire in zip(values, self.control_wires, strict=True))
        return qml.prod(*projectors, RBS(self.data[0], self.wires[-2:]).generator())


def _resources(control_values: tuple[int, ...]) -> dict[Any, int]:
    if len(control_values) == 1:
        return {qml.CNOT: 6, qml.RY: 4}
    zeros = control_values.count(0)
    rotation = controlled_resource_rep(qml.RY, {}, len(control_values) + 1, num_zero_control_values=zeros)
    return {qml.CNOT: 2, rotation: 1}


@register_resources(_resources)
def _decompose(theta: TensorLike, wires: WiresLike, control_values: tuple[int, ...], **_: Any) -> None:
    ControlledRBS.compute_decomposition(theta, wires, control_values)


add_decomps(ControlledRBS, _decompose)
