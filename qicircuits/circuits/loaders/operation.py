"""The Loader operation: a fixed list of gates, planned in integers, and the angles that carry the data."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pennylane as qml
from pennylane.decomposition import add_decomps, controlled_resource_rep, register_resources, resource_rep
from pennylane.operation import Operation, Operator
from pennylane.typing import TensorLike
from pennylane.wires import Wires, WiresLike

from ..controlled import ControlledRBS
from ..gates import RBS

__all__ = ["Gate", "Loader", "LoaderPlan", "Slot", "signed_basis_state"]

Gate = Literal["X", "RBS", "RY", "GlobalPhase"]


@dataclass(frozen=True)
class Slot:
    """The place of one gate: its kind, its wires, and which angle it takes.

    Args:
        gate: "X"; "RBS", by theta; "RY", by 2 theta; "GlobalPhase", exp(-i theta) on all wires.
        wires: the wires it acts on.
        controls: the wires that control it.
        values: 0 or 1 for each control.
        angle: index of theta among the angles; None for X.
    """

    gate: Gate
    wires: tuple[int, ...]
    controls: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    angle: int | None = None

    def place(self, angles: TensorLike, labels: Wires) -> Operator:
        """The gate, with its angle from ``angles``, shape (..., n_angles), on the wires' labels."""
        wires = [labels[wire] for wire in self.wires]
        controls = [labels[wire] for wire in self.controls]
        if self.gate == "X":
            return qml.ctrl(qml.X(*wires), controls, control_values=self.values) if controls else qml.X(*wires)
        theta = angles[..., self.angle]
        if self.gate == "GlobalPhase":
            return qml.GlobalPhase(theta, wires=wires)
        if self.gate == "RBS":
            return ControlledRBS(theta, [*controls, *wires], self.values) if controls else RBS(theta, wires)
        rotation = qml.RY(2 * theta, *wires)
        return qml.ctrl(rotation, controls, control_values=self.values) if controls else rotation


@dataclass(frozen=True)
class LoaderPlan:
    """The gates of a loader in order of application, for every vector that it loads.

    Args:
        name: what drawings call the loader.
        n: number of wires.
        slots: the places of the gates.
    """

    name: str
    n: int
    slots: tuple[Slot, ...]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # PennyLane looks operations up by their plan: its hash, over thousands of slots, is taken once.
        object.__setattr__(self, "_hash", hash((self.name, self.n, self.slots)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def n_angles(self) -> int:
        """How many angles the gates take."""
        return 1 + max((slot.angle for slot in self.slots if slot.angle is not None), default=-1)

    @property
    def gates(self) -> dict[tuple[str, int], int]:
        """How many gates there are of each kind and number of controls."""
        return dict(Counter((slot.gate, len(slot.controls)) for slot in self.slots))

    @property
    def depth(self) -> int:
        """The moments that the gates fill if each stands as early as its wires allow; a controlled gate is one."""
        busy = [0] * self.n
        for slot in self.slots:
            wires = slot.wires + slot.controls
            moment = 1 + max(busy[wire] for wire in wires)
            for wire in wires:
                busy[wire] = moment
        return max(busy)


class Loader(Operation):
    r"""A circuit that loads data into amplitudes, as one operation.

    Made by :func:`unary_loader` and its like, which plan its gates and compute its angles. Devices run its
    decomposition; ``qml.adjoint`` is the inverse, which takes the loaded state back to :math:`|0\dots0\rangle`.

    Args:
        angles: theta in radians, shape (n_angles,), or (batch, n_angles) for a batch of circuits.
        wires: as many labels as the plan has wires.
        plan: the gates.

    Raises:
        ValueError: the number of wires or of angles is not that of the plan.
    """

    num_params = 1
    ndim_params = (1,)
    grad_method = None
    resource_keys: ClassVar[set[str]] = {"plan"}

    def __init__(self, angles: TensorLike, wires: WiresLike, plan: LoaderPlan, id: str | None = None) -> None:
        wires = Wires(wires)
        if len(wires) != plan.n:
            raise ValueError(f"this loader is planned for {plan.n} wires, got {len(wires)}: {wires.tolist()}")
        shape = tuple(qml.math.shape(angles))
        if len(shape) not in (1, 2) or shape[-1] != plan.n_angles:
            rule = f"this loader takes angles of shape ({plan.n_angles},) or (batch, {plan.n_angles})"
            raise ValueError(f"{rule}, got {shape}")
        self._hyperparameters = {"plan": plan}
        super().__init__(angles, wires=wires, id=id)

    @property
    def plan(self) -> LoaderPlan:
        """The gates, their number and their depth."""
        plan: LoaderPlan = self.hyperparameters["plan"]
        return plan

    @property
    def resource_params(self) -> dict[str, Any]:
        """The plan: it fixes the gates, whatever the data."""
        return {"plan": self.plan}

    @staticmethod
    def compute_decomposition(angles: TensorLike, wires: WiresLike, plan: LoaderPlan) -> list[Operator]:
        """The gates of the plan with their angles."""
        labels = Wires(wires)
        return [slot.place(angles, labels) for slot in plan.slots]

    def label(
        self, decimals: int | None = None, base_label: str | None = None, cache: dict[str, Any] | None = None
    ) -> str:
        """The name of the plan."""
        return base_label or self.plan.name


def signed_basis_state(name: str, n: int, ones: Iterable[int]) -> LoaderPlan:
    """One basis state times exp(-i theta): where no rotation could carry a sign, a phase of 0 or pi does."""
    flips = tuple(Slot("X", (wire,)) for wire in ones)
    return LoaderPlan(name, n, (*flips, Slot("GlobalPhase", tuple(range(n)), angle=0)))


def _representation(slot: Slot) -> Any:
    controls, zeros = len(slot.controls), slot.values.count(0)
    if slot.gate == "RBS" and controls:
        return resource_rep(ControlledRBS, control_values=slot.values)
    kind = {"X": qml.X, "RBS": RBS, "RY": qml.RY, "GlobalPhase": qml.GlobalPhase}[slot.gate]
    if not controls:
        return resource_rep(kind)
    return controlled_resource_rep(kind, {}, controls, num_zero_control_values=zeros)


def _resources(plan: LoaderPlan) -> dict[Any, int]:
    return dict(Counter(map(_representation, plan.slots)))


@register_resources(_resources)
def _decompose(angles: TensorLike, wires: WiresLike, plan: LoaderPlan, **_: Any) -> None:
    Loader.compute_decomposition(angles, wires, plan)


add_decomps(Loader, _decompose)
