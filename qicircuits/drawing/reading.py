"""Read whatever `draw_circuit` takes into the scheme of a diagram: layouts, compiled blocks, operations."""

import dataclasses
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from numpy.typing import ArrayLike

from ..layouts import Layout
from .inputs import real_numbers
from .operations import Operation, Operations, Tape, operations_scheme
from .scheme import Scheme, check_circuit, layout_scheme

__all__ = ["Angles", "Compiled", "Drawable", "read_circuit"]


@runtime_checkable
class Compiled(Protocol):
    """What a compiled block must tell to be drawn; those of `adapters` do."""

    @property
    def module(self) -> str: ...  # noqa: D102
    @property
    def block(self) -> int: ...  # noqa: D102
    @property
    def layout(self) -> Layout: ...  # noqa: D102
    @property
    def angles(self) -> torch.Tensor: ...  # noqa: D102
    @property
    def is_swap_network(self) -> bool: ...  # noqa: D102


Angles: TypeAlias = ArrayLike | torch.Tensor | Literal[False] | None
Drawable: TypeAlias = Layout | Compiled | Operations


def read_circuit(circuit: Drawable, angles: Angles, gate: str | None) -> Scheme:
    """The scheme of a circuit.

    Args:
        circuit: a layout, a compiled block, an operation, a tape or a list of operations.
        angles: those of a layout, or None; False for a diagram without angles.
        gate: "rbs" or "fbs" for a layout, or None.

    Raises:
        TypeError: the circuit is none of these, or the angles are not real numbers.
        ValueError: angles or a gate are given for what has its own; the gate is unknown; the angles are not finite,
            not one for each gate, or of a batch.
    """
    if isinstance(circuit, Layout):
        return _read_layout(circuit, angles, gate or "rbs")
    if callable(circuit):
        raise TypeError(
            "a circuit is drawn from its tape, such as qml.workflow.construct_tape(qnode)(*arguments), "
            f"got the function {circuit!r}"
        )
    if gate is not None or not (angles is None or angles is False):
        raise ValueError(f"only a layout is given angles and a gate, got {angles=}, {gate=} for {circuit!r}")
    if isinstance(circuit, Compiled):
        return _read_compiled(circuit, with_angles=angles is None)
    if isinstance(circuit, Operation | Tape | list | tuple):
        return operations_scheme(circuit, with_angles=angles is None)
    raise TypeError(
        f"a circuit must be a Layout, such as brickwork(4), a compiled block or operations, got {circuit!r}"
    )


def _read_layout(layout: Layout, angles: Angles, gate: str, name: str = "") -> Scheme:
    check_circuit(gate, layout)
    if angles is None or angles is False:
        return layout_scheme(layout, gate, None, named=angles is None, name=name)
    values = real_numbers(angles, "angles").numpy()
    if values.shape != (layout.n_gates,):
        raise ValueError(f"{layout!r} needs angles of shape ({layout.n_gates},), got {values.shape}")
    return layout_scheme(layout, gate, values, name=name)


def _read_compiled(block: Compiled, *, with_angles: bool) -> Scheme:
    """A block as its layout; the wires that the swap network has reversed say which of A's they are, and its sign."""
    name = f"{block.module}, block {block.block}, as {block.layout.name}"
    scheme = _read_layout(block.layout, block.angles if with_angles else False, "rbs", name)
    if not block.is_swap_network:
        return scheme
    outputs = tuple(f"{'−' if wire % 2 else '+'}{wire}" for wire in reversed(range(block.layout.n)))
    return dataclasses.replace(scheme, outputs=outputs)
