"""A trained adapter as quantum circuits: the angles of every block."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qicircuits.circuits import layer_qnode, orthogonal_layer, run_layer, weight_block
from qicircuits.givens import angles_from_orthogonal
from qicircuits.layouts import Layout, brickwork, pyramid
from qicircuits.subsets import check_integer, subspace_dim

from .layer import QuICLayer
from .rotation import Rotation

__all__ = ["CompiledBlock", "adapted_layers", "compile_adapter", "compile_block", "constant_parameters"]

_LAYOUTS = {"brickwork": brickwork, "pyramid": pyramid}
_ON_DEVICE = 10
"""Up to so many wires a block is run on default.qubit, with all 2^n amplitudes."""


@dataclass(frozen=True)
class CompiledBlock:
    """One block of an adapter as a circuit of RBS gates on n wires.

    On the sector of Hamming weight k the circuit is C_k(A), the map of the block's features of order k; a basis
    state is one feature, in the order of ``qicircuits.subsets``.

    Attributes:
        module: name of the adapted module.
        block: index of the block in the layer.
        orders: the compound orders whose sectors the block uses.
        layout: where the gates stand.
        angles: theta in radians, shape (n_gates,), in the order of ``layout.pairs``.
    """

    module: str
    block: int
    orders: tuple[int, ...]
    layout: Layout
    angles: Tensor

    def template(self) -> list[object]:
        """Queue the gates on wires 0..n-1, inside any QNode; also returns them."""
        return list(orthogonal_layer(self.angles.double().numpy(), self.layout))

    def qnode(self) -> Callable[[NDArray[np.float64]], NDArray[np.complex128]]:
        """The circuit as a PennyLane QNode on ``default.qubit``, from 2^n amplitudes to 2^n amplitudes."""
        qnode: Callable[[NDArray[np.float64]], NDArray[np.complex128]] = layer_qnode(
            self.angles.double().numpy(), self.layout
        )
        return qnode

    def columns(self, order: int, columns: list[int]) -> NDArray[np.float64]:
        """The circuit run from basis states of the weight-k sector, shape (C(n, k), len(columns)).

        Up to 10 wires on ``default.qubit``; beyond, by PennyLane's matrix of each gate on the sector alone.
        """
        angles = self.angles.double().numpy()
        if self.layout.n <= _ON_DEVICE:
            states = np.eye(subspace_dim(self.layout.n, order))[columns]
            return run_layer(states, angles, self.layout, order).T
        block: NDArray[np.float64] = weight_block(self.template, order, range(self.layout.n), columns)
        return block


def compile_adapter(
    model: nn.Module,
    module: str,
    block: int = 0,
    *,
    adapter_name: str | None = None,
    layout: str = "brickwork",
    dtype: torch.dtype | None = None,
) -> CompiledBlock:
    """The quantum circuit of one block of an adapter: a Givens decomposition of its A.

    Args:
        model: a model with QuIC adapters.
        module: name of an adapted module, or the end of it if that is one module only.
        block: index of the block.
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
    name, layer, adapter = _find_layer(model, module, adapter_name)
    plan = layer.quic_rotation[adapter].plan
    block = check_integer(block, "block")
    if not 0 <= block < plan.n_blocks:
        raise ValueError(f"block must be in 0..{plan.n_blocks - 1} for {name}, got {block}")
    matrices = layer.quic_rotation[adapter].matrices(constant_parameters(layer, adapter, dtype))
    return compile_block(
        name, block, layer.quic_rotation[adapter], matrices[0 if plan.block_share else block], layout
    )


def compile_block(
    name: str, block: int, rotation: Rotation, matrix: Tensor, layout: str = "brickwork"
) -> CompiledBlock:
    """The circuit of the block with the matrix A, shape (n, n), of the rotation of a module."""
    angles = angles_from_orthogonal(matrix, layout)
    return CompiledBlock(name, block, rotation.plan.orders, _LAYOUTS[layout](rotation.plan.n), angles)


def constant_parameters(layer: QuICLayer, adapter: str, dtype: torch.dtype | None) -> Tensor:
    """The parameters as constants on the CPU, where circuits are compiled and run.

    Raises:
        ValueError: the dtype is not float32, float64 or None, for theirs.
    """
    if dtype not in (None, torch.float32, torch.float64):
        raise ValueError(f"circuits are compiled in float32 or float64, got dtype={dtype}")
    parameters = layer.quic_parameters[adapter].detach().cpu()
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
    return found


def _layers(model: nn.Module) -> dict[str, QuICLayer]:
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, QuICLayer)}
    if not layers:
        raise ValueError(f"a model with QuIC adapters is needed, got {type(model).__name__} without any")
    return layers


def _find_layer(model: nn.Module, module: str, adapter_name: str | None) -> tuple[str, QuICLayer, str]:
    layers = _layers(model)
    names = [name for name in layers if name == module] or [name for name in layers if name.endswith(f".{module}")]
    if len(names) != 1:
        which = f"one of {list(layers)[:3]} ..." if not names else f"one of {names}"
        raise ValueError(f"module must name one adapted module, such as {which}, got {module!r}")
    layer = layers[names[0]]
    known = list(layer.quic_parameters)
    wanted = [a for a in layer.active_adapters if a in known] if adapter_name is None else [adapter_name]
    if len(wanted) != 1 or wanted[0] not in known:
        active = f", and {wanted} are active" if adapter_name is None else ""
        raise ValueError(f"adapter_name must be one of {known} for {names[0]}, got {adapter_name!r}{active}")
    return names[0], layer, wanted[0]
