"""The rotation of a whole layer on a GPU: the CUDA implementation of the operator `rotate_sectors`."""

from collections.abc import Sequence
from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from .cpu_rotation import rotate_sectors, rotate_sectors_backward
from .cuda_rotation import GROUP, rotate_tokens, tangent_tokens

__all__ = ["rotate", "rotate_backward", "rotates"]

# Programs for each multiprocessor: enough to hide the latency of memory, few enough that sums stay few.
_PROGRAMS = 8
_GROUP = int(GROUP)

# The most shared memory that the kernels were compiled to, for 8.0 and 9.0, by bytes of a number and size of a tile.
# Larger tiles do not fit.
_SHARED_BYTES = {
    2: {16: 16384, 32: 24576, 64: 49152, 128: 196608},
    4: {16: 16384, 32: 24576, 64: 131072},
    8: {16: 36864, 32: 81920, 64: 98304},
}


def rotates(device: torch.device, n: int, orders: Sequence[int], dtype: torch.dtype) -> bool:
    """Whether `rotate` serves a rotation of vectors of this dtype: float64 and float32 up to n = 64, shorter to 128.

    Args:
        device: a CUDA device; it must be of compute capability 8.0 and have the shared memory.
        n: number of wires.
        orders: of the sectors.
        dtype: of the vectors.
    """
    needed = _SHARED_BYTES.get(dtype.itemsize, {}).get(_tile(n)) if dtype.is_floating_point else None
    return needed is not None and set(orders) <= {1, 2} and needed <= _shared_bytes(device)


@torch.compiler.assume_constant_result
def _shared_bytes(device: torch.device) -> int:
    properties = torch.cuda.get_device_properties(device)
    return properties.shared_memory_per_block_optin if properties.major >= 8 else 0  # type: ignore[attr-defined]


def _tile(n: int) -> int:
    """Rows and columns of the tile that holds an n × n matrix: a power of two, and what a product takes."""
    return max(16, 1 << (n - 1).bit_length())


def rotate(
    x: Tensor, matrices: Tensor, bias: Tensor | None, sectors: list[int], n_blocks: int, block_size: int
) -> Tensor:
    """`cpu_rotation.rotate_sectors` for sectors of orders 1 and 2, one of each at most, in one launch.

    Args:
        x: shape (tokens, features), any strides; float32, bfloat16 or float16, the last two read and written as they
            are; float64.
        matrices: A_i, shape (n_blocks, n, n) or (1, n, n), float32, or float64 where x is; n must be one that
            `rotates` serves.
        bias: shape (features,), any float dtype; or None.
        sectors, n_blocks, block_size: as there.

    Returns:
        y, shape and dtype of x, contiguous.
    """
    x = _rows(x)
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    plan = _Plan(x, matrices, bias, sectors, n_blocks, block_size)
    if y.numel():
        with torch.cuda.device_of(x):
            rotate_tokens[plan.grid](x, x.stride(0), y, *plan.arguments, *plan.places, **plan.options)
    return y


def rotate_backward(
    grad: Tensor,
    out: Tensor,
    matrices: Tensor,
    bias: Tensor | None,
    sectors: list[int],
    n_blocks: int,
    block_size: int,
    wants_x: bool,
) -> tuple[Tensor, Tensor]:
    """`cpu_rotation.rotate_sectors_backward` in one launch, and a sum over the groups of tokens.

    Args:
        grad: gradient of y, shape (tokens, features), any strides, dtype of y.
        out: y, contiguous.
        matrices, bias, sectors, n_blocks, block_size: as they were.
        wants_x: whether the gradient of x is wanted; it is found in any case.

    Returns:
        the gradients of x, empty unless wanted, and of A; that of A the same to the last bit in every call.
    """
    grad = _rows(grad)
    grad_x = torch.empty(out.shape, dtype=out.dtype, device=out.device)
    plan = _Plan(out, matrices, bias, sectors, n_blocks, block_size, backward=True)
    n = matrices.shape[-1]
    m = matrices.new_zeros((*plan.grid, n, n)) if not out.numel() else matrices.new_empty((*plan.grid, n, n))
    if out.numel():
        with torch.cuda.device_of(out):
            tangent_tokens[plan.grid](
                grad, grad.stride(0), out, grad_x, *plan.arguments, m, *plan.places, **plan.options
            )
    m = m.sum(0, dtype=torch.float64)
    m = m if len(matrices) > 1 else m.sum(0, keepdim=True)
    return grad_x if wants_x else grad_x.new_empty(0), (m @ matrices.double()).to(matrices.dtype)


rotate_sectors.register_kernel("cuda")(rotate)
rotate_sectors_backward.register_kernel("cuda")(rotate_backward)


def _rows(x: Tensor) -> Tensor:
    """x with features that are neighbours: only then do neighbouring threads read neighbouring numbers."""
    return x if x.stride(1) == 1 or x.shape[1] == 1 else x.contiguous()


class _Plan:
    """One launch: its grid of (groups of tokens, blocks), and what both kernels are told."""

    def __init__(
        self,
        x: Tensor,
        matrices: Tensor,
        bias: Tensor | None,
        sectors: list[int],
        n_blocks: int,
        block_size: int,
        *,
        backward: bool = False,
    ) -> None:
        tokens, features = x.shape
        n = matrices.shape[-1]
        starts = dict(zip(sectors[::3], sectors[1::3], strict=True))
        size = _tile(n)
        groups = max(1, _PROGRAMS * _multiprocessors(x.device) // n_blocks)
        group = -(-tokens // (groups * _GROUP)) * _GROUP
        self.grid = (-(-tokens // max(group, 1)), n_blocks)
        matrix_step = matrices.stride(0) if len(matrices) > 1 else 0
        shift = x if bias is None else bias.contiguous()  # never read without a bias
        self.arguments = (features, shift, matrices, matrix_step, *matrices.stride()[1:])
        self.places = (n, tokens, group, n_blocks, block_size, _gap(sectors), starts.get(1, 0), starts.get(2, 0))
        terms = {torch.bfloat16: 1, torch.float16: 2}.get(x.dtype, 0)
        wide = tl.float64 if x.dtype == torch.float64 else tl.float32
        self.options: dict[str, Any] = {
            "ACC": wide,
            "SHORT": tl.bfloat16 if terms else wide,
            "TERMS": terms,
            "HAS_BIAS": bias is not None,
            "HAS_SINGLES": 1 in starts,
            "HAS_PAIRS": 2 in starts,
            "STACK": max(1, 64 // size),
            "SIZE": size,
            "num_warps": _warps(size, backward or bias is not None),
        }


def _multiprocessors(device: torch.device) -> int:
    """How many the device has; one where kernels are interpreted."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def _gap(sectors: list[int]) -> int:
    """The first feature of a block that is in no sector."""
    gap = 0
    for start, stop in sorted(zip(sectors[1::3], sectors[2::3], strict=True)):
        if start > gap:
            break
        gap = stop
    return gap


def _warps(size: int, many_tiles: bool) -> int:
    """Warps of a program, so that its tiles fit into its registers; read off what was compiled for an H100."""
    return {16: 4, 32: 8, 64: 8}.get(size, 16 if many_tiles else 8)
