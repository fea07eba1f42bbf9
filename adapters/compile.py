"""A trained adapter as quantum circuits: the angles of every block."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qicircuits.circuits import layer_qnode, orthogonal_layer, run_layer, to_openqasm, weight_block
from qicircuits.givens import angles_from_orthogonal
from qicircuits.layouts import Layout, brickwork, pyramid
from qicircuits.subsets import check_integer, rank_subset, subsets, subspace_dim

from .layer import QuICLayer
from .rotation import Rotation
from .saved import ROTATION_HOLDERS, saved_rotations

__all__ = [
    "CompiledBlock",
    "adapted_layers",
    "adapted_rotations",
    "compile_adapter",
    "compile_block",
    "compile_saved",
    "constant_parameters",
]

_LAYOUTS = {"brickwork": brickwork, "pyramid": pyramid}
_ON_DEVICE = 10
"""Up to so many wires a block is run on default.qubit, with all 2^n amplitudes."""


@dataclass(frozen=True)
class CompiledBlock:
    """One block of an adapter as a circuit of RBS gates on n wires.

    On the sector of Hamming weight k the circuit is C_k(A), the map of the block's features of order k; a basis
    state is one feature, in the order of ``qicircuits.subsets``.

    The swap network of the map "rbs", A = P^T B(pi/2 + theta), is compiled to B alone, whose angles are the trained
    ones: P^T is no gates. After the circuit wire n-1-i stands for wire i, and the feature of the subset I of order k
    has the sign (-1)^(k(k-1)/2 + sum of I); :meth:`read_out` knows both.

    Attributes:
        module: name of the adapted module.
        block: index of the block in the layer.
        orders: the compound orders whose sectors the block uses.
        layout: where the gates stand.
        angles: theta in radians, shape (n_gates,), in the order of ``layout.pairs``.
        is_swap_network: whether the wires are reversed after the circuit.
    """

    module: str
    block: int
    orders: tuple[int, ...]
    layout: Layout
    angles: Tensor
    is_swap_network: bool = False

    @property
    def output_wires(self) -> tuple[int, ...]:
        """For each wire i of A, the wire of the circuit that stands for it after the last gate."""
        wires = range(self.layout.n)
        return tuple(reversed(wires) if self.is_swap_network else wires)

    def template(self) -> list[object]:
        """Queue the gates on wires 0..n-1, inside any QNode; also returns them."""
        return list(orthogonal_layer(self.angles.double().numpy(), self.layout))

    def qnode(self) -> Callable[[NDArray[np.float64]], NDArray[np.complex128]]:
        """The circuit as a PennyLane QNode on ``default.qubit``, from 2^n amplitudes to 2^n amplitudes."""
        qnode: Callable[[NDArray[np.float64]], NDArray[np.complex128]] = layer_qnode(
            self.angles.double().numpy(), self.layout
        )
        return qnode

    def to_openqasm(self, version: int = 3) -> str:
        """The circuit as an OpenQASM program, 2 or 3; where the wires are reversed after it, a comment says so."""
        program = to_openqasm(self.template, version, wires=range(self.layout.n))
        if not self.is_swap_network:
            return program
        readout = ", ".join(f"{'-' if i % 2 else '+'}q[{wire}]" for i, wire in enumerate(self.output_wires))
        return f"// After the circuit the wires 0, 1, ... of the rotation are {readout}.\n{program}"

    def columns(self, order: int, columns: list[int]) -> NDArray[np.float64]:
        """Columns of C_k(A): the circuit run from basis states and read out, shape (C(n, k), len(columns)).

        Up to 10 wires on ``default.qubit``; beyond, by PennyLane's matrix of each gate on the sector alone.
        """
        angles = self.angles.double().numpy()
        if self.layout.n <= _ON_DEVICE:
            states = np.eye(subspace_dim(self.layout.n, order))[columns]
            return self.read_out(run_layer(states, angles, self.layout, order).T, order)
        return self.read_out(weight_block(self.template, order, range(self.layout.n), columns), order)

    def read_out(self, amplitudes: NDArray[np.float64], order: int) -> NDArray[np.float64]:
        """The features of order k from the amplitudes that the circuit leaves in the weight-k sector.

        Args:
            amplitudes: shape (C(n, k), ...), in the order of the subsets of the circuit's wires.
            order: k.

        Returns:
            The same amplitudes in the order of the features, with their signs; shape (C(n, k), ...).
        """
        if not self.is_swap_network:
            return amplitudes
        rows, signs = _reversal(self.layout.n, order)
        return amplitudes[rows] * signs.reshape(-1, *[1] * (amplitudes.ndim - 1))


def compile_adapter(
    model: nn.Module,
    module: str,
    block: int = 0,
    *,
    adapter_name: str | None = None,
    layout: str = "brickwork",
    dtype: torch.dtype | None = None,
) -> CompiledBlock:
    """The quantum circuit of one block of an adapter.

    For the parameter map "rbs" in a brickwork the angles are pi/2 + theta, theta the trained numbers, with the
    reversal of the wires read off and not run; else they are a Givens decomposition of A.

    Args:
        model: a model with QuIC adapters.
        module: name of an adapted module, or the end of it if that is one module only; with ":in" after it for the
            rotation of its inputs, where those of both sides are rotated.
        block: index of the block; of F factors of N blocks it is in 0..F N - 1, the first factor's come first. What
            shuffles the features between factors is no circuit.
        adapter_name: name of the adapter; the active one if left out.
        layout: "brickwork" or "pyramid".
        dtype: float32 or float64, in which A is computed from the parameters; theirs if left out.

    Returns:
        The circuit.

    Raises:
        ValueError: there is no such module, adapter, block or layout.
    """
    if layout not in _LAYOUTS:
        raise ValueError(f"layout must be one of {sorted(_LAYOUTS)}, got {layout!r}")
    name, rotation, parameters = _find_rotation(model, module, adapter_name)
    block = check_integer(block, "block")
    if not 0 <= block < rotation.plan.n_rotated_blocks:
        raise ValueError(f"block must be in 0..{rotation.plan.n_rotated_blocks - 1} for {name}, got {block}")
    return compile_block(name, block, rotation, constant_parameters(parameters, dtype), layout)


def compile_saved(
    folder: Path, module: str | None = None, block: int = 0, *, layout: str = "brickwork"
) -> CompiledBlock:
    """The quantum circuit of one block of a saved adapter, in float64 and from its folder alone.

    Args:
        folder: what ``save_pretrained`` wrote.
        module: name of an adapted module, or the end of it if that is one module only; the first if left out.
        block: index of the block, 0 where all blocks share one rotation.
        layout: "brickwork" or "pyramid".

    Raises:
        ValueError: there is no QuIC adapter in the folder, or no such module, block or layout.
    """
    if layout not in _LAYOUTS:
        raise ValueError(f"layout must be one of {sorted(_LAYOUTS)}, got {layout!r}")
    saved = {name: (rotation, parameters) for name, rotation, parameters in saved_rotations(folder)}
    name = next(iter(saved)) if module is None else _find_name(list(saved), module)
    rotation, parameters = saved[name]
    if not 0 <= check_integer(block, "block") < rotation.plan.n_blocks:
        raise ValueError(f"block must be in 0..{rotation.plan.n_blocks - 1} for {name}, got {block}")
    return compile_block(name, block, rotation, parameters.double(), layout)


def compile_block(
    name: str, block: int, rotation: Rotation, parameters: Tensor, layout: str = "brickwork"
) -> CompiledBlock:
    """The circuit of one block of the rotation of a module, with all parameters of that rotation."""
    plan = rotation.plan
    own = parameters[plan.row_of(block)][None]
    is_swap_network = rotation.parameter_map == "rbs" and layout == "brickwork"
    if is_swap_network:
        angles = own[0].double() + math.pi / 2  # a float32 near pi/2 has lost digits that theta has
    else:
        angles = angles_from_orthogonal(rotation.matrices(own)[0], layout)
    return CompiledBlock(name, block, plan.orders, _LAYOUTS[layout](plan.n), angles, is_swap_network)


def constant_parameters(parameters: Tensor, dtype: torch.dtype | None) -> Tensor:
    """The parameters as constants on the CPU, where circuits are compiled and run.

    Raises:
        ValueError: the dtype is not float32, float64 or None, for theirs.
    """
    if dtype not in (None, torch.float32, torch.float64):
        raise ValueError(f"circuits are compiled in float32 or float64, got dtype={dtype}")
    parameters = parameters.detach().cpu()
    return parameters.to(torch.promote_types(parameters.dtype, torch.float32) if dtype is None else dtype)


def adapted_layers(model: nn.Module, adapter_name: str | None) -> list[tuple[str, QuICLayer, str]]:
    """Every (module name, layer, adapter name) with the adapter, or with any active adapter if none is named.

    Raises:
        ValueError: there is none.
    """
    layers = _layers(model)
    known = sorted({adapter for layer in layers.values() for adapter in layer.quic_parameters})
    found = []
    for name, layer in layers.items():
        wanted = layer.active_adapters if adapter_name is None else [adapter_name]
        found += [(name, layer, adapter) for adapter in wanted if adapter in layer.quic_parameters]
    if not found:
        raise ValueError(f"adapter_name must be one of {known}, got {adapter_name!r}")
    for name, layer, adapter in found:
        _check_is_compound(name, layer, adapter)
    return found


def adapted_rotations(model: nn.Module, adapter_name: str | None) -> list[tuple[str, Rotation, Tensor]]:
    """Every (name, rotation, parameters) of the same adapters; a second rotation of a layer, of its inputs, is called
    as the module with ":in" after it.

    Raises:
        ValueError: there is none.
    """
    layers = adapted_layers(model, adapter_name)
    return [found for name, layer, adapter in layers for found in _rotations_of(name, layer, adapter)]


def _check_is_compound(name: str, layer: QuICLayer, adapter: str) -> None:
    if not layer.quic_rotation[adapter].is_compound:
        raise ValueError(f"{name}: a circuit needs an adapter without ablations, got {adapter!r}, which has some")


def _rotations_of(name: str, layer: QuICLayer, adapter: str) -> list[tuple[str, Rotation, Tensor]]:
    return [
        (name + ROTATION_HOLDERS[turn.parameters_in], turn.rotation, getattr(layer, turn.parameters_in)[adapter])
        for turn in layer.quic_turns[adapter]
    ]


@functools.lru_cache(maxsize=64)
def _reversal(n: int, order: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """C_k(P^T), P e_i = (-1)^i e_(n-1-i): for each feature the amplitude that it is, and its sign.

    Reversing the k wires of a subset is k(k-1)/2 exchanges, each of them a sign of the minor.
    """
    members = subsets(n, order)
    rows = [rank_subset(tuple(n - 1 - i for i in reversed(subset)), n) for subset in members]
    signs = [(-1.0) ** (order * (order - 1) // 2 + sum(subset)) for subset in members]
    return np.array(rows, dtype=np.intp), np.array(signs)


def _layers(model: nn.Module) -> dict[str, QuICLayer]:
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, QuICLayer)}
    if not layers:
        raise ValueError(f"a model with QuIC adapters is needed, got {type(model).__name__} without any")
    return layers


def _find_rotation(model: nn.Module, module: str, adapter_name: str | None) -> tuple[str, Rotation, Tensor]:
    layers = _layers(model)
    second = ROTATION_HOLDERS["quic_in_parameters"]
    name = _find_name(list(layers), module.removesuffix(second))
    layer = layers[name]
    known = list(layer.quic_parameters)
    wanted = [a for a in layer.active_adapters if a in known] if adapter_name is None else [adapter_name]
    if len(wanted) != 1 or wanted[0] not in known:
        active = f", and {wanted} are active" if adapter_name is None else ""
        raise ValueError(f"adapter_name must be one of {known} for {name}, got {adapter_name!r}{active}")
    _check_is_compound(name, layer, wanted[0])
    rotations = {label: (rotation, own) for label, rotation, own in _rotations_of(name, layer, wanted[0])}
    label = name + second if module.endswith(second) else name
    if label not in rotations:
        raise ValueError(f"module must be one of {list(rotations)}, got {module!r}")
    return label, *rotations[label]


def _find_name(known: list[str], module: str) -> str:
    names = [name for name in known if name == module] or [name for name in known if name.endswith(f".{module}")]
    if len(names) != 1:
        which = f"one of {known[:3]} ..." if not names else f"one of {names}"
        raise ValueError(f"module must name one adapted module, such as {which}, got {module!r}")
    return names[0]
