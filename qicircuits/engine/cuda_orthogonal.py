"""The rotations of all modules of a model on a GPU, from one vector of parameters in one launch."""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..orthogonal import swap_rotations
from .cuda_maps import COLUMNS, cayley_backward, cayley_forward, swap_backward, swap_forward
from .gradient import register_gradient

__all__ = ["LARGEST_MAP", "build_rotations", "serves"]

# A program of Cayley's map holds a whole matrix in its registers, in float64.
LARGEST_MAP = 128


def serves(parameter_map: str, n: int) -> bool:
    """Whether `build_rotations` takes a map and a size."""
    return parameter_map in ("cayley", "rbs") and 1 <= n <= LARGEST_MAP


def build_rotations(parameters: Tensor, shapes: Sequence[tuple[int, int]], parameter_map: str) -> list[Tensor]:
    """The rotations of many modules, differentiable in their parameters: one launch forward, one backward.

    Args:
        parameters: the parameters of all modules one after the other, each those of `qicircuits.cayley` or
            `qicircuits.swap_network` for a shape (N, n(n-1)/2), flattened; shape (Σ N n(n-1)/2,), float32 or float64,
            contiguous, on a CUDA device.
        shapes: (N, n) of every module, N at least 0 and n in 1..128; n may differ from module to module.
        parameter_map: "cayley" or "rbs".

    Returns:
        for every module A of shape (N, n, n), dtype and device of `parameters`: views of one tensor. Computed in
        float64 and rounded once; zero maps to I exactly.

    Raises:
        ValueError: the map is another one, an n is not in 1..128, or the parameters are not as many.
    """
    if parameter_map not in ("cayley", "rbs"):
        raise ValueError(f'parameter_map must be "cayley" or "rbs", got {parameter_map!r}')
    if any(not 1 <= n <= LARGEST_MAP for _, n in shapes):
        raise ValueError(f"n must be in 1..{LARGEST_MAP}, got {max(shapes, key=lambda shape: abs(shape[1]))[1]}")
    count = sum(number * n * (n - 1) // 2 for number, n in shapes)
    if parameters.shape != (count,):
        raise ValueError(f"shapes {list(shapes)} have {count} parameters, got shape {tuple(parameters.shape)}")
    numbers, sizes = [number for number, _ in shapes], [n for _, n in shapes]
    flat = build_flat(parameters, numbers, sizes, parameter_map)
    parts = flat.split([number * n * n for number, n in shapes])
    return [part.view(number, n, n) for part, (number, n) in zip(parts, shapes, strict=True)]


@torch.library.custom_op("qicircuits::build_rotations", mutates_args=(), device_types="cuda")
def build_flat(parameters: Tensor, numbers: list[int], sizes: list[int], parameter_map: str) -> Tensor:
    """`build_rotations`, the matrices one after the other, flat. Only they and the parameters are kept."""
    plan = _plan(tuple(numbers), tuple(sizes), parameters.device)
    out = parameters.new_empty(plan.entries)
    if plan.matrices:
        with torch.cuda.device_of(parameters):
            if parameter_map == "cayley":
                cayley_forward[(plan.matrices,)](parameters, out, *plan.starts, SIZE=plan.size, num_warps=plan.warps)
            else:
                swap_forward[plan.grid](
                    parameters, out, *plan.starts, *_tables(plan.each, parameters.device), SIZE=plan.size
                )
    return out


@torch.library.custom_op("qicircuits::build_rotations_backward", mutates_args=(), device_types="cuda")
def build_flat_backward(
    grad: Tensor, out: Tensor, parameters: Tensor, numbers: list[int], sizes: list[int], parameter_map: str
) -> Tensor:
    """The gradient of the parameters."""
    plan = _plan(tuple(numbers), tuple(sizes), parameters.device)
    grad = grad.contiguous()
    count = parameters.numel()
    if not count:
        return parameters.new_empty(0)
    with torch.cuda.device_of(parameters):
        if parameter_map == "cayley":
            grad_parameters = torch.empty_like(parameters)
            options = {"SIZE": plan.size, "num_warps": plan.warps}
            cayley_backward[(plan.matrices,)](grad, out, grad_parameters, *plan.starts, **options)
            return grad_parameters
        # Small matrices have fewer groups of columns: what is not written is zero.
        partial = torch.zeros(plan.grid[1], count, dtype=torch.float64, device=parameters.device)
        tables = _tables(plan.each, parameters.device)
        swap_backward[plan.grid](grad, out, parameters, partial, count, *plan.starts, *tables, SIZE=plan.size)
    return partial.sum(0).to(parameters.dtype)


@build_flat.register_fake
def _(parameters: Tensor, numbers: list[int], sizes: list[int], parameter_map: str) -> Tensor:
    return parameters.new_empty(sum(number * n * n for number, n in zip(numbers, sizes, strict=True)))


@build_flat_backward.register_fake
def _(
    grad: Tensor, out: Tensor, parameters: Tensor, numbers: list[int], sizes: list[int], parameter_map: str
) -> Tensor:
    return parameters.new_empty(parameters.shape)


register_gradient(build_flat, build_flat_backward, keep=lambda output, parameters: (output, parameters))


class _MapPlan(NamedTuple):
    """Where the parameters and entries of every matrix lie.

    Attributes:
        each: n of every matrix.
        entries: numbers in all matrices.
        starts: for each matrix, on the device, its n, its first parameter and its first entry.
        size: the smallest power of two that holds every n, at least 16.
    """

    each: tuple[int, ...]
    entries: int
    starts: tuple[Tensor, Tensor, Tensor]
    size: int

    @property
    def matrices(self) -> int:
        return len(self.each)

    @property
    def grid(self) -> tuple[int, int]:
        """Programs of the swap network: matrices, and groups of columns."""
        return self.matrices, -(-max(self.each) // int(COLUMNS))

    @property
    def warps(self) -> int:
        """Warps of a program that holds a whole matrix: 16 numbers in each thread."""
        return max(1, self.size**2 // 512)


@functools.lru_cache(maxsize=64)
def _plan(numbers: tuple[int, ...], sizes: tuple[int, ...], device: torch.device) -> _MapPlan:
    each = tuple(n for number, n in zip(numbers, sizes, strict=True) for _ in range(number))
    parameters = list(itertools.accumulate((n * (n - 1) // 2 for n in each), initial=0))
    entries = list(itertools.accumulate((n * n for n in each), initial=0))
    lists = (list(each), parameters[:-1], entries[:-1])
    n, parameter_starts, entry_starts = (torch.tensor(numbers, dtype=torch.int64).to(device) for numbers in lists)
    size = max(16, 1 << (max(each, default=1) - 1).bit_length())
    return _MapPlan(each, entries[-1], (n.int(), parameter_starts, entry_starts), size)


@functools.lru_cache(maxsize=64)
def _tables(each: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For every different n, partner, gate and sign of each wire in each of n moments; where each A finds its own.

    A wire that no gate acts on is its own partner, with sign 0.
    """
    distinct = sorted(set(each))
    columns = [torch.cat(column) for column in zip(*[_swap_tables(n) for n in distinct], strict=True)]
    starts = dict(zip(distinct, itertools.accumulate((n * n for n in distinct), initial=0), strict=False))
    partners, gates, signs = (column.to(device) for column in columns)
    return partners, gates, signs, torch.tensor([starts[n] for n in each]).to(device)


def _swap_tables(n: int) -> tuple[Tensor, Tensor, Tensor]:
    wires, sizes, signs = swap_rotations(n)
    moments = [moment for moment, size in enumerate(sizes) for _ in range(size)]
    at = torch.tensor(moments, dtype=torch.int64) * n
    a, b = torch.tensor(wires, dtype=torch.int64).view(-1, 2).unbind(1)
    gate = torch.arange(len(signs))
    partners, gates, sign = torch.arange(n).repeat(n), torch.zeros(n * n).long(), torch.zeros(n * n).long()
    partners[at + a], partners[at + b] = b, a
    gates[at + a], gates[at + b] = gate, gate
    sign[at + b] = torch.tensor(signs).long()
    sign[at + a] = -sign[at + b]
    return partners.int(), gates.int(), sign.int()
