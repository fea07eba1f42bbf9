"""Read operations, as those of PennyLane, into the scheme of a diagram; what they are is told by their names."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from .inputs import real_numbers
from .scheme import GateMark, Scheme, Section, align, angle_words, describe

__all__ = ["Operation", "Operations", "Tape", "operations_scheme"]

_SELF_INVERSE = {"PauliX", "PauliY", "PauliZ", "Hadamard", "Identity", "SWAP"}
_SHORT = {"GlobalPhase": "phase"}


@runtime_checkable
class Operation(Protocol):
    """What an operation must tell to be drawn; those of PennyLane do."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def wires(self) -> Iterable[Hashable]: ...  # noqa: D102
    @property
    def parameters(self) -> Sequence[Any]: ...  # noqa: D102


@runtime_checkable
class Tape(Protocol):
    """What a tape must tell to be drawn; those of PennyLane do."""

    @property
    def operations(self) -> Sequence[Operation]: ...  # noqa: D102


# The layers in a list are lists themselves: what `orthogonal_layer` returns.
Operations: TypeAlias = Operation | Tape | Sequence[Operation | Sequence[Operation]]
_Part = tuple[Literal["loader", "layer", "gates"], str, list[Operation]]


def operations_scheme(circuit: Operations, *, with_angles: bool = True) -> Scheme:
    """Every loader as a section, and what stands between loaders, and each list inside the list.

    Args:
        circuit: operations in order of application.
        with_angles: whether the diagram shows the angles.

    Raises:
        TypeError: something in the list is not an operation.
        ValueError: an operation is a batch of several, whose angles are wanted.
    """
    parts = [part for part in _parts(circuit) if part[2]]
    labels: list[Any] = list(dict.fromkeys(wire for _, _, gates in parts for gate in gates for wire in gate.wires))
    if all(isinstance(label, int | np.integer) for label in labels):
        labels.sort()
    rows = {label: row for row, label in enumerate(labels)}
    marked = [(role, title, [_mark(gate, rows, with_angles) for gate in gates]) for role, title, gates in parts]
    sections = [Section(role, title, align(marks)) for role, title, marks in marked]
    name = "circuit"
    if len(sections) == 1:  # what it is called stands above all
        role, title, _ = marked[0]
        name = title if role == "loader" else name
        sections = [Section(role, "", sections[0].moments)]
    drawn = [mark for section in sections for mark in section.marks]
    title = describe(name, [mark for _, _, marks in marked for mark in marks], len(labels))
    return Scheme(title, tuple(map(str, labels)), tuple(sections), angle_words(drawn))


def _parts(circuit: Any) -> Iterator[_Part]:
    """The sections, with loaders opened."""
    items: Any = circuit.operations if isinstance(circuit, Tape) else circuit
    run: list[Operation] = []
    for item in items if isinstance(items, list | tuple) else [items]:
        base, inverse = (item.base, True) if getattr(item, "name", "") == "Adjoint(Loader)" else (item, False)
        if hasattr(base, "plan") and hasattr(item, "decomposition"):
            yield _untitled(run)
            yield "loader", f"{base.plan.name} loader" + ", inverse" * inverse, item.decomposition()
            run = []
        elif isinstance(item, list | tuple | Tape):
            yield _untitled(run)
            yield from _parts(item)
            run = []
        elif isinstance(item, Operation):
            run.append(item)
        else:
            raise TypeError(f"a circuit is made of operations, such as RBS(0.1, wires=[0, 1]), got {item!r}")
    yield _untitled(run)


def _untitled(run: list[Operation]) -> _Part:
    is_layer = all(gate.name.removeprefix("Adjoint(").removesuffix(")") in ("RBS", "FBS") for gate in run)
    return ("layer", "layer", run) if is_layer else ("gates", "gates", run)


def _mark(operation: Any, rows: Mapping[Hashable, int], with_angles: bool) -> GateMark:
    gate, is_inverse = operation, False
    controls: list[tuple[Hashable, int]] = []
    while True:  # out of inverses and controls, in whatever order they are nested
        base, control_wires = getattr(gate, "base", None), list(getattr(gate, "control_wires", ()))
        if gate.name.startswith("Adjoint(") and base is not None:
            gate, is_inverse = base, not is_inverse
        elif control_wires and base is not None:
            controls += zip(control_wires, gate.control_values, strict=True)
            gate = base
        else:
            break
    wires = list(gate.wires)
    if gate.name == "ControlledRBS":
        controls += zip(control_wires, gate.hyperparameters["control_values"], strict=True)
        wires = wires[-2:]
    places = tuple(rows[wire] for wire in wires) or tuple(rows.values())  # a phase may be on no wire at all
    held = tuple((rows[wire], int(value)) for wire, value in controls)
    angle = _angle(operation, gate.parameters) if with_angles else None
    if gate.name in ("RBS", "ControlledRBS", "FBS"):
        turned = angle if angle is None or not is_inverse else -angle
        return GateMark("fbs" if gate.name == "FBS" else "rbs", places, held, angle=turned)
    label = gate.label() if hasattr(gate, "label") else gate.name
    name = _SHORT.get(gate.name, label) + "†" * (is_inverse and gate.name not in _SELF_INVERSE)
    return GateMark("box", places, held, name, angle)


def _angle(operation: Operation, parameters: Sequence[Any]) -> float | None:
    """The angle of a gate that has one parameter, a number."""
    if len(parameters) != 1:
        return None
    value = real_numbers(parameters[0], f"the angle of {operation.name}")
    if value.ndim == 0:
        return value.item()
    if operation.name in ("RBS", "FBS", "ControlledRBS"):
        rule = "a diagram shows the angles of one circuit; angles=False draws a batch without them"
        raise ValueError(f"{rule}, got {operation.name} with angles of shape {tuple(value.shape)}")
    return None
