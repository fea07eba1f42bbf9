"""The proof that an adapter's circuits are the same map: every block run, and compared with what R does."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn

from .compile import CompiledBlock, adapted_rotations, compile_block, constant_parameters
from .rotation import Rotation
from .saved import saved_rotations

__all__ = ["BlockCheck", "VerificationReport", "check_blocks", "deviation_table", "verify_adapter", "verify_saved"]

_COLUMNS = 512
"""Of a larger sector, so many basis states are run, drawn at random."""


@dataclass(frozen=True)
class BlockCheck:
    """How far the circuit of one block is from what the adapter computes.

    Attributes:
        module, block, n: which block, counted through all factors, and its number of wires.
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


def verify_adapter(
    model: nn.Module, *, adapter_name: str | None = None, dtype: torch.dtype | None = None, seed: int = 0
) -> VerificationReport:
    """Run the circuit of every block and compare it with the rotation that the adapter applies.

    The circuit is run by PennyLane: on ``default.qubit`` for up to 10 wires, by its matrices of the gates on
    the sector beyond. The rotation is run as in a forward, on unit vectors of all features: so what must be
    zero is checked too. Of a sector with more than 512 states, 512 are run, drawn with the seed.

    Args:
        model: a model with QuIC adapters.
        adapter_name: name of the adapter; every active one if left out.
        dtype: float32 (tolerance 1e-6) or float64 (1e-12) for both sides; that of the parameters if left out.
        seed: of the sample.

    Returns:
        The deviation of every block; that of a block whose A is not finite is NaN, and does not pass.

    Raises:
        ValueError: the model has no such adapter.
    """
    checks = tuple(check_blocks(model, adapter_name=adapter_name, dtype=dtype, seed=seed))
    found = adapted_rotations(model, adapter_name)
    dtypes = {constant_parameters(parameters, dtype).dtype for _, _, parameters in found}
    return VerificationReport(checks, tolerance=1e-6 if torch.float32 in dtypes else 1e-12)


def check_blocks(
    model: nn.Module, *, adapter_name: str | None = None, dtype: torch.dtype | None = None, seed: int = 0
) -> Iterator[BlockCheck]:
    """The checks of :func:`verify_adapter` one by one, for progress bars; arguments and errors are the same."""
    for name, rotation, parameters in adapted_rotations(model, adapter_name):
        yield from _check_rotation(name, rotation, constant_parameters(parameters, dtype), seed)


def verify_saved(folder: Path, *, dtype: torch.dtype = torch.float64, seed: int = 0) -> VerificationReport:
    """As :func:`verify_adapter`, of a saved adapter from its folder alone; of blocks that share one A, one.

    Args:
        folder: what ``save_pretrained`` wrote.
        dtype: float32 (tolerance 1e-6) or float64 (1e-12), for both sides.
        seed: of the sample.

    Raises:
        ValueError: there is no QuIC adapter in the folder, or a damaged one, or the dtype is another one.
    """
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"circuits are compiled in float32 or float64, got dtype={dtype}")
    checks = [
        check
        for name, rotation, parameters in saved_rotations(folder)
        for check in _check_rotation(name, rotation, parameters.to(dtype), seed)
    ]
    return VerificationReport(tuple(checks), tolerance=1e-6 if dtype == torch.float32 else 1e-12)


def deviation_table(report: VerificationReport) -> Table:
    """The report as a table to read: one row a block, and whether all passed in the title."""
    outcome = "every circuit is its block" if report.passed else "NOT every circuit is its block"
    table = Table(
        title=f"{outcome}: largest deviation {report.largest_deviation:.1e}, allowed {report.tolerance:.0e}"
    )
    table.add_column("module", overflow="fold")
    for heading in ("block", "wires", "gates", "states run", "deviation"):
        table.add_column(heading, justify="right")
    for check in report.blocks:
        numbers = (check.block, check.n, check.n_gates, check.n_columns)
        table.add_row(check.module, *map(str, numbers), f"{check.deviation:.1e}")
    return table


def _check_rotation(name: str, rotation: Rotation, parameters: Tensor, seed: int) -> Iterator[BlockCheck]:
    plan, matrices = rotation.plan, rotation.matrices(parameters)
    factors = list(rotation.factors(parameters))
    for block in range(plan.n_rotated_blocks):
        if not matrices[plan.row_of(block)].isfinite().all():
            yield BlockCheck(name, block, plan.n, plan.n * (plan.n - 1) // 2, 0, float("nan"))
            continue
        compiled = compile_block(name, block, rotation, parameters)
        yield _check_block(compiled, *factors[block // plan.n_blocks], np.random.default_rng(seed))


def _check_block(
    compiled: CompiledBlock, rotation: Rotation, parameters: Tensor, rng: np.random.Generator
) -> BlockCheck:
    """A block of a factor, with the factor's rotation and parameters."""
    plan = rotation.plan
    deviations, n_columns = [], 0
    for order, start, stop in plan.sectors:
        dim = stop - start
        columns = sorted(rng.choice(dim, min(dim, _COLUMNS), replace=False).tolist())
        first = compiled.block % plan.n_blocks * plan.block_size + start
        unit = torch.zeros(len(columns), plan.features, dtype=parameters.dtype)
        unit[torch.arange(len(columns)), torch.tensor(columns) + first] = 1
        applied = rotation.apply(parameters, unit).double()
        applied[:, first : first + dim] -= torch.from_numpy(compiled.columns(order, columns).T.copy())
        deviations.append(applied.abs().max().item())
        n_columns += len(columns)
    return BlockCheck(
        compiled.module, compiled.block, plan.n, compiled.layout.n_gates, n_columns, float(np.max(deviations))
    )
