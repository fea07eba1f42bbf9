"""A trained adapter as quantum circuits: angles of every block, and the proof that they are the same map."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qicircuits.circuits import layer_qnode, orthogonal_layer, run_layer, weight_block
from qicircuits.givens import angles_from_orthogonal
from qicircuits.layouts import Layout, brickwork, pyramid
from qicircuits.subsets import subspace_dim

from .layer import QuICLayer
from .rotation import Rotation

__all__ = ["BlockCheck", "CompiledBlock", "VerificationReport", "check_blocks", "compile_adapter", "verify_adapter"]

_LAYOUTS = {"brickwork": brickwork, "pyramid": pyramid}
_ON_DEVICE = 10
"""Up to so many wires a block is run on default.qubit, with all 2^n amplitudes."""
_COLUMNS = 512
"""Of a larger sector, so many basis states are run, drawn at random."""


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


@dataclass(frozen=True)
class BlockCheck:
    """How far the circuit of one block is from what the adapter computes.

    Attributes:
        module, block, n: which block, and its number of wires.
        n_gates: number of RBS gates of its circuit.
        n_columns: number of basis states that were run, of all orders together.
        deviation: the largest difference between an amplitude and the same entry of R.
    """

    module: str
    block: int
    n: int
    n_gates: int
    n_columns: int
    deviation: float


@dataclass(frozen=True)
class VerificationReport:
    """The checks of all blocks of an adapter.

    Attributes:
        blocks: one check a block.
        tolerance: the largest deviation that passes: 1e-6 computed in float32, 1e-12 in float64.
    """

    blocks: tuple[BlockCheck, ...]
    tolerance: float

    @property
    def largest_deviation(self) -> float:
        """The largest deviation of any block."""
        return float(np.max([check.deviation for check in self.blocks]))  # a NaN stays one

    @property
    def passed(self) -> bool:
        """Whether every circuit is its block to within the tolerance; a NaN is not."""
        return all(check.deviation <= self.tolerance for check in self.blocks)


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
    name, layer = _find_layer(model, module)
    adapter = _adapter_of(name, layer, adapter_name)
    plan = layer.quic_rotation[adapter].plan
    if not 0 <= block < plan.n_blocks:
        raise ValueError(f"block must be in 0..{plan.n_blocks - 1} for {name}, got {block}")
    matrices = layer.quic_rotation[adapter].matrices(_parameters(layer, adapter, dtype))
    return _compile(name, block, layer.quic_rotation[adapter], matrices[0 if plan.block_share else block], layout)


def verify_adapter(
    model: nn.Module, *, adapter_name: str | None = None, dtype: torch.dtype | None = None, seed: int = 0
) -> VerificationReport:
    """Run the circuit of every block and compare it with the rotation that the adapter applies.

    The circuit is run by PennyLane: on ``default.qubit`` for up to 10 wires, by its matrices of the gates on
    the sector beyond. The rotation is run as in a forward, on unit vectors of all features: so what must be
    zero is checked too. Of a sector with more than 512 states, 512 are run, drawn with the seed.

    Args:
        model: a model with QuIC adapters.
        adapter_name: name of the adapter; the active one if left out.
        dtype: float32 (tolerance 1e-6) or float64 (1e-12) for both sides; that of the parameters if left out.
        seed: of the sample.

    Raises:
        ValueError: the model has no such adapter.
    """
    checks = tuple(check_blocks(model, adapter_name=adapter_name, dtype=dtype, seed=seed))
    dtypes = {_parameters(layer, name, dtype).dtype for layer, name in _adapted(model, adapter_name).values()}
    return VerificationReport(checks, tolerance=1e-6 if torch.float32 in dtypes else 1e-12)


def check_blocks(
    model: nn.Module, *, adapter_name: str | None = None, dtype: torch.dtype | None = None, seed: int = 0
) -> Iterator[BlockCheck]:
    """The checks of :func:`verify_adapter` one by one, for progress bars; arguments and errors are the same."""
    for name, (layer, adapter) in _adapted(model, adapter_name).items():
        rotation = layer.quic_rotation[adapter]
        parameters = _parameters(layer, adapter, dtype)
        matrices = rotation.matrices(parameters)
        for block in range(rotation.plan.n_blocks):
            matrix = matrices[0 if rotation.plan.block_share else block]
            compiled = _compile(name, block, rotation, matrix, "brickwork")
            yield _check_block(compiled, rotation, parameters, np.random.default_rng(seed))


def _check_block(
    compiled: CompiledBlock, rotation: Rotation, parameters: Tensor, rng: np.random.Generator
) -> BlockCheck:
    plan = rotation.plan
    deviations, n_columns = [], 0
    for order, start, stop in plan.sectors:
        dim = stop - start
        columns = sorted(rng.choice(dim, min(dim, _COLUMNS), replace=False).tolist())
        first = compiled.block * plan.block_size + start
        unit = torch.zeros(len(columns), plan.features, dtype=parameters.dtype)
        unit[torch.arange(len(columns)), torch.tensor(columns) + first] = 1
        applied = rotation.apply(parameters, unit).double()
        applied[:, first : first + dim] -= torch.from_numpy(compiled.columns(order, columns).T.copy())
        deviations.append(applied.abs().max().item())
        n_columns += len(columns)
    return BlockCheck(
        compiled.module, compiled.block, plan.n, compiled.layout.n_gates, n_columns, float(np.max(deviations))
    )


def _compile(name: str, block: int, rotation: Rotation, matrix: Tensor, layout: str) -> CompiledBlock:
    angles = angles_from_orthogonal(matrix, layout)
    return CompiledBlock(name, block, rotation.plan.orders, _LAYOUTS[layout](rotation.plan.n), angles)


def _parameters(layer: QuICLayer, adapter: str, dtype: torch.dtype | None) -> Tensor:
    """The parameters as constants on the CPU, where circuits are compiled and run."""
    if dtype not in (None, torch.float32, torch.float64):
        raise ValueError(f"circuits are compiled in float32 or float64, got dtype={dtype}")
    parameters = layer.quic_parameters[adapter].detach().cpu()
    return parameters.to(torch.promote_types(parameters.dtype, torch.float32) if dtype is None else dtype)


def _layers(model: nn.Module) -> dict[str, QuICLayer]:
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, QuICLayer)}
    if not layers:
        raise ValueError(f"a model with QuIC adapters is needed, got {type(model).__name__} without any")
    return layers


def _find_layer(model: nn.Module, module: str) -> tuple[str, QuICLayer]:
    layers = _layers(model)
    found = [name for name in layers if name == module] or [name for name in layers if name.endswith(f".{module}")]
    if len(found) != 1:
        which = f"one of {list(layers)[:3]} ..." if not found else f"one of {found}"
        raise ValueError(f"module must name one adapted module, such as {which}, got {module!r}")
    return found[0], layers[found[0]]


def _adapted(model: nn.Module, adapter_name: str | None) -> dict[str, tuple[QuICLayer, str]]:
    """Every layer that has the adapter, with its name."""
    layers = _layers(model)
    if adapter_name is None:
        return {name: (layer, _adapter_of(name, layer, None)) for name, layer in layers.items()}
    having = {name: (layer, adapter_name) for name, layer in layers.items() if adapter_name in layer.quic_parameters}
    if not having:
        known = sorted({adapter for layer in layers.values() for adapter in layer.quic_parameters})
        raise ValueError(f"adapter_name must be one of {known}, got {adapter_name!r}")
    return having


def _adapter_of(name: str, layer: QuICLayer, adapter_name: str | None) -> str:
    known = list(layer.quic_parameters)
    wanted = [a for a in layer.active_adapters if a in known] if adapter_name is None else [adapter_name]
    if len(wanted) != 1 or wanted[0] not in known:
        raise ValueError(f"adapter_name must be one of {known} for {name}, got {adapter_name!r} with active {wanted}")
    return wanted[0]
