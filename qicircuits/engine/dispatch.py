"""Which engine serves a call: the CPU kernels where they are the faster, torch for everything else."""

import functools
import math
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from ..layouts import Layout, brickwork
from .limits import fewest_vectors, fewest_vectors_by_compound
from .plan import pair_count
from .reference import sweep_phased_rows, sweep_rows
from .shapes import common_shape
from .weight_one import circuit_matrix, gate_lists, gate_wires

try:
    from .cpu_gates import sweep_tokens
    from .cpu_givens import brickwork_turns
    from .cpu_in_place import rotate_in_place
    from .cpu_rotation import rotate_sectors
    from .cpu_rows import rotate_runs
    from .cpu_states import sweep_phased_states, sweep_states
except ModuleNotFoundError as error:  # the torch engine needs no numba
    if error.name not in ("numba", "llvmlite"):
        raise
    _HAS_KERNELS = False
else:
    _HAS_KERNELS = True

# Only where torch can have such a device: Triton takes a quarter of a second to import.
_HAS_TRITON = _HAS_KERNELS and torch.version.cuda is not None and find_spec("triton") is not None
if _HAS_TRITON:
    from . import cuda, cuda_orthogonal

__all__ = [
    "build_rotations",
    "builds_rotations",
    "prefers_compound",
    "prefers_modes",
    "prefers_rotation",
    "rotate",
    "rotate_blocks",
    "rotate_blocks_in_place",
    "rotate_rows",
    "rotates",
    "rotates_blocks",
    "rotates_by_gates",
    "rotates_in_place",
    "rotates_rows",
    "sweep",
    "sweep_engine",
    "weight_one_matrix",
]

# Fewer vectors than this are faster one after the other, with their amplitudes in the lanes.
_FEW = 6
_FEW_LONG_RANGE = 4

# The products of modes are shared out over threads at any size, a rotation of fewer vectors than these is not; and
# with threads, at order 2, modes are the faster way forward for so many times as many vectors as on one.
_SHARED_OUT = 33
_MODES_BY_THREADS = 3

# Above order 2, a single vector of so many wires is faster by the gates of A than by its modes, without gradients.
_WIRES_OF_ONE_BY_GATES = 24

# The tables of more pairs of rows than this take longer to make than the gates, and fill the memory.
_MOST_ROWS = 2**24

# Order 1 alone is one product a block, and beyond this n the library's product is the faster.
_LARGEST_SINGLE = 64


def sweep(x: Tensor, angles: Tensor, phases: Tensor | None, layout: Layout, order: int, fermionic: bool) -> Tensor:
    """The gates of a circuit on x (..., C(n, k)); angles and phases (..., n_gates) broadcast, in its precision."""
    turns = (angles,) if phases is None else tuple(torch.broadcast_tensors(angles, phases))
    batch = common_shape(x.shape[:-1], turns[0].shape[:-1])
    engine = sweep_engine(x, angles, phases, layout, order)
    if engine == "torch":
        turns = tuple(t.reshape(*[1] * (len(batch) + 1 - t.dim()), *t.shape).movedim(-1, 0) for t in turns)
        twin = sweep_rows if phases is None else sweep_phased_rows
        rows = x.expand(*batch, -1).movedim(-1, 0)
        return twin(rows, *turns, gate_lists(layout)[0], layout.n, order, fermionic).movedim(0, -1)
    rows = x.expand(*batch, -1).reshape(-1, x.shape[-1])
    if engine == "tokens":
        y = sweep_tokens(rows, angles, gate_wires(layout), layout.n, order, fermionic)
    else:
        turns = tuple(t[None] if t.dim() == 1 else t.expand(*batch, -1).flatten(0, -2) for t in turns)
        kernel = sweep_states if phases is None else sweep_phased_states
        y = kernel(rows, *turns, gate_wires(layout), layout.n, order, fermionic)
    return y.reshape(*batch, x.shape[-1])


def sweep_engine(x: Tensor, angles: Tensor, phases: Tensor | None, layout: Layout, order: int) -> str:
    """What runs the gates: "states", lanes along the amplitudes; "tokens", a vector in each lane; or "torch"."""
    if not (_HAS_KERNELS and x.device.type == "cpu"):
        return "torch"
    alike = angles.dim() == 1 and phases is None and not x.is_complex()
    return "tokens" if alike and _prefers_tokens(math.prod(x.shape[:-1]), layout, order) else "states"


def _prefers_tokens(tokens: int, layout: Layout, order: int) -> bool:
    """Whether there are vectors enough for one in each lane, and room for a table of every pair of amplitudes."""
    n = layout.n
    pairs = n - 1 if layout.is_nearest_neighbour else min(layout.n_gates, n * (n - 1) // 2)
    few = _FEW if layout.is_nearest_neighbour else _FEW_LONG_RANGE
    return tokens >= few and pairs * pair_count(n, order) <= _MOST_ROWS


def weight_one_matrix(angles: Tensor, layout: Layout) -> Tensor:
    """The matrix of a circuit on the weight-1 sector, (..., n, n): the unit vectors after the gates, as columns."""
    if _HAS_KERNELS and angles.device.type == "cpu" and angles.dim() == 1:
        units = torch.eye(layout.n, dtype=angles.dtype)
        return sweep_tokens(units, angles, gate_wires(layout), layout.n, 1, False).mT
    return circuit_matrix(angles, *gate_lists(layout), layout.n)


def prefers_compound(
    device: torch.device, n: int, order: int, n_gates: int, vectors: int, dtype: torch.dtype, training: bool
) -> bool:
    """Whether a circuit that is a compound is applied faster as one than gate by gate, to so many vectors."""
    if not (_HAS_KERNELS and device.type == "cpu"):
        return order <= 3
    return 0 < order < n and vectors >= fewest_vectors_by_compound(n, order, n_gates, dtype, training)


def prefers_modes(n: int, order: int, vectors: int, dtype: torch.dtype, training: bool) -> bool:
    """Whether the modes of A are faster than building C_k(A) and multiplying by it."""
    return order in (2, 3) and vectors < fewest_vectors("modes", "dense", n, order, dtype, training)


def prefers_rotation(n: int, order: int, vectors: int, dtype: torch.dtype, training: bool) -> bool:
    """Whether A in SO(n) is faster taken apart than applied by its modes, or built."""
    if order > 3:
        return True
    if vectors == 1 and not training and order == 3 and n >= _WIRES_OF_ONE_BY_GATES:
        return True
    least = fewest_vectors("modes", "rotation", n, order, dtype, training)
    if order == 2 and torch.get_num_threads() > 1:
        least = max(least if training else _MODES_BY_THREADS * least, _SHARED_OUT)
    return least <= vectors < fewest_vectors("rotation", "dense", n, order, dtype, training)


def rotates(device: torch.device, n: int, order: int) -> bool:
    """Whether `rotate` serves a sector."""
    return _HAS_KERNELS and device.type == "cpu" and 0 < order < n


def rotate(matrices: Tensor, columns: Tensor, order: int) -> Tensor:
    """C_k(A) for A in SO(n), shape (..., n, n), on vectors in columns (..., C(n, k), tokens), in the dtype of A."""
    n, (dim, tokens) = matrices.shape[-1], columns.shape[-2:]
    flat = matrices.reshape(-1, n, n)
    if rotates_by_gates(matrices, tokens):
        return _rotate_by_gates(flat, columns.reshape(len(flat), dim, tokens), order).reshape(columns.shape)
    rows = columns.reshape(len(flat) * dim, tokens).mT  # one block for each matrix
    return rotate_sectors(rows, flat, None, [order, 0, dim], len(flat), dim).mT.reshape(columns.shape)


def rotates_by_gates(matrices: Tensor, tokens: int) -> bool:
    """Whether `rotate` takes each A apart into gates: for few vectors, where A has no gradient to find."""
    if torch.compiler.is_compiling():  # no operator of torch finds the gates
        return False
    return 0 < tokens < _FEW and matrices.numel() > 0 and not (torch.is_grad_enabled() and matrices.requires_grad)


_brickwork = functools.lru_cache(maxsize=32)(brickwork)


def _rotate_by_gates(matrices: Tensor, columns: Tensor, order: int) -> Tensor:
    """`rotate` by a brickwork of gates, vector by vector; (N, n, n) and (N, C(n, k), tokens)."""
    count, dim, tokens = columns.shape
    layout = _brickwork(matrices.shape[-1])
    turns = [brickwork_turns(a) for a in matrices.detach().resolve_neg().double().contiguous().numpy()]
    angles = torch.stack([torch.from_numpy(np.arctan2(sin, cos)) for cos, sin in turns]).to(matrices.dtype)
    rows, angles = columns.mT.reshape(-1, dim), angles.repeat_interleave(tokens, 0)
    return sweep_states(rows, angles, gate_wires(layout), layout.n, order, False).reshape(count, tokens, dim).mT


def rotates_blocks(device: torch.device, n: int, orders: Sequence[int], dtype: torch.dtype = torch.float32) -> bool:
    """Whether `rotate_blocks` serves a rotation, and is the fastest way to apply it (docs/benchmarks/sweep.py)."""
    if n > _LARGEST_SINGLE and max(orders) == 1:
        return False
    if device.type == "cuda":
        return _HAS_TRITON and cuda.rotates(device, n, orders, dtype)
    return _HAS_KERNELS and device.type == "cpu"


def rotate_blocks(
    x: Tensor,
    matrices: Tensor,
    bias: Tensor | None,
    sectors: Sequence[tuple[int, int, int]],
    n_blocks: int,
    block_size: int,
) -> Tensor:
    """`engine.cpu_rotation.rotate_sectors` on x (..., features), with its sectors as (order, start, stop)."""
    flat = [number for sector in sectors for number in sector]
    rows = x.reshape(-1, x.shape[-1])
    return rotate_sectors(rows, matrices, bias, flat, n_blocks, block_size).reshape(x.shape)


def rotates_in_place(x: Tensor, orders: Sequence[int]) -> bool:
    """Whether `rotate_blocks_in_place` serves vectors x (tokens, features) of these orders."""
    if not (_HAS_KERNELS and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)):
        return False
    return x.dim() == 2 and 1 in x.stride() and 2 in orders and max(orders) == 2


def rotate_blocks_in_place(
    x: Tensor, matrices: Tensor, sectors: Sequence[tuple[int, int, int]], n_blocks: int, block_size: int
) -> None:
    """`engine.cpu_in_place.rotate_in_place`, with sectors as (order, start, stop)."""
    rotate_in_place(x, matrices, [number for sector in sectors for number in sector], n_blocks, block_size)


def rotates_rows(device: torch.device, n: int, orders: Sequence[int]) -> bool:
    """Whether `rotate_rows` serves rotations; else rows can be laid out as more blocks for `rotate_blocks`."""
    return _HAS_KERNELS and device.type == "cpu" and rotates_blocks(device, n, orders)


def rotate_rows(
    x: Tensor,
    matrices: Tensor,
    owners: Sequence[int],
    bias: Tensor | None,
    sectors: Sequence[tuple[int, int, int]],
    n_blocks: int,
    block_size: int,
) -> Tensor:
    """`engine.cpu_rows.rotate_runs` on x (rows, ..., features), each row with the matrices of its owner, or -1."""
    changes = [row for row in range(1, len(owners)) if owners[row] != owners[row - 1]]
    tokens = math.prod(x.shape[1:-1])
    stops = [row * tokens for row in (*changes, len(owners))]
    runs = [owners[row] for row in (0, *changes)]
    flat = [number for sector in sectors for number in sector]
    rows = x.reshape(-1, x.shape[-1])
    return rotate_runs(rows, matrices, bias, stops, runs, flat, n_blocks, block_size).reshape(x.shape)


def builds_rotations(device: torch.device, parameter_map: str, n: int) -> bool:
    """Whether `build_rotations` serves a map, for all matrices of a model in one launch."""
    return _HAS_TRITON and device.type == "cuda" and cuda_orthogonal.serves(parameter_map, n)


def build_rotations(parameters: Tensor, shapes: Sequence[tuple[int, int]], parameter_map: str) -> list[Tensor]:
    """`engine.cuda_orthogonal.build_rotations`, where `builds_rotations` says so for every n."""
    return cuda_orthogonal.build_rotations(parameters, shapes, parameter_map)
