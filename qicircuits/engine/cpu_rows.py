"""Rotations of several adapters in one operator on the CPU: runs of tokens, each with its own A_i."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .cpu_compound import rotate_blocks
from .cpu_features import copy_spans
from .cpu_rotation import SectorKernels, register_rotation_gradient, rotate_sectors, rotate_sectors_backward
from .cpu_tiles import Flat, flat_rows, in_chunks, kernel, scratch
from .cpu_vectors import columns, rotate_vectors

__all__ = ["rotate_runs"]


# Runs of fewer tokens than this are faster vector by vector, measured for n from 16 to 54.
_FEW = 6


@torch.library.custom_op("qicircuits::rotate_runs", mutates_args=(), device_types="cpu")
def rotate_runs(
    x: Tensor,
    matrices: Tensor,
    bias: Tensor | None,
    stops: list[int],
    owners: list[int],
    sectors: list[int],
    n_blocks: int,
    block_size: int,
) -> Tensor:
    """y = R_g (x - bias) + bias for every token, g being the owner of its run; x itself in a run without owner.

    Args:
        x: vectors, shape (tokens, features), any strides.
        matrices: the A_i of every owner g, shape (owners, n_blocks, n, n), or (owners, 1, n, n) where all blocks of
            an owner share one; float32 or float64, as for `engine.cpu_rotation.rotate_sectors`.
        bias, sectors, n_blocks, block_size: as there.
        stops: the token after the last one of every run, increasing; the first run starts at token 0.
        owners: g of every run, or -1.

    Returns:
        y, shape and dtype of x, contiguous; every run as `rotate_sectors` gives it, to the last bit.
    """
    out = torch.empty(x.shape, dtype=matrices.dtype)
    wide = x.to(matrices.dtype)
    plan = sectors, n_blocks, block_size
    if max(sectors[::3]) > 2:  # taking every A apart takes longer than going from one to the next
        for (start, stop), owner in _runs(stops, owners):
            run = wide[start:stop]
            out[start:stop] = run if owner < 0 else rotate_sectors(run, matrices[owner], bias, *plan)
    else:
        _rotate(wide, out, matrices, bias, stops, owners, *plan)
    return out.to(x.dtype)


@torch.library.custom_op("qicircuits::rotate_runs_backward", mutates_args=(), device_types="cpu")
def _rotate_runs_backward(
    grad: Tensor,
    out: Tensor,
    matrices: Tensor,
    bias: Tensor | None,
    stops: list[int],
    owners: list[int],
    sectors: list[int],
    n_blocks: int,
    block_size: int,
    wants_x: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients of x, in its dtype, and of all A_i, in theirs; that of x is empty unless `wants_x`."""
    grad_x = torch.empty(out.shape if wants_x else (0,), dtype=out.dtype)
    grad_matrices = torch.zeros_like(matrices)
    for (start, stop), owner in _runs(stops, owners):
        run_grad = grad[start:stop]
        if owner >= 0:
            run = run_grad, out[start:stop], matrices[owner]
            run_grad, found = rotate_sectors_backward(*run, bias, sectors, n_blocks, block_size, wants_x)
            grad_matrices[owner] += found
        if wants_x:
            grad_x[start:stop] = run_grad
    return grad_x, grad_matrices


@rotate_runs.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


@_rotate_runs_backward.register_fake
def _(grad: Tensor, out: Tensor, matrices: Tensor, *plan: Any) -> tuple[Tensor, Tensor]:
    return out.new_empty(out.shape if plan[-1] else (0,)), matrices.new_empty(matrices.shape)


register_rotation_gradient(rotate_runs, _rotate_runs_backward)


def _runs(stops: list[int], owners: list[int]) -> Iterator[tuple[tuple[int, int], int]]:
    return zip(zip([0, *stops[:-1]], stops, strict=True), owners, strict=True)


def _rotate(
    x: Tensor,
    out: Tensor,
    matrices: Tensor,
    bias: Tensor | None,
    stops: list[int],
    owners: list[int],
    sectors: list[int],
    n_blocks: int,
    block_size: int,
) -> None:
    """Orders 1 and 2: all runs in one call of a kernel for each thread."""
    each = matrices.shape[1]  # n_blocks, or 1
    flat = matrices.flatten(0, 1)
    kernels = SectorKernels(flat, bias, sectors, len(flat), block_size, x.shape)
    vectors, y = flat_rows(x), out.view(-1).numpy()
    runs = np.array(stops), np.array(owners), kernels.is_identity, each
    edges = np.array(
        [edge for _, start, stop in sorted(kernels.sectors, key=lambda one: one[1]) for edge in (start, stop)]
    )
    padded, line = kernels.padded(), columns(kernels.n, matrices.dtype.itemsize)

    def work(first: int, last: int) -> None:
        vector_buffers = scratch(4 * kernels.size * line, kernels.bias).reshape(4, -1)
        _rotate_runs(
            *(*vectors, y, kernels.features, first, last, *runs, edges, n_blocks, block_size),
            *(kernels.single, kernels.pair, kernels.bias, padded, kernels.n, kernels.size),
            *(line, vector_buffers, *kernels.tiles(2)),
        )

    in_chunks(work, kernels.tokens, kernels.width, kernels.multiplications)


@kernel()
def _rotate_runs(
    x: Flat,
    token_step: int,
    feature_step: int,
    y: Flat,
    y_step: int,
    first: int,
    last: int,
    stops: Flat,
    owners: Flat,
    is_identity: Flat,
    each: int,
    edges: Flat,
    n_blocks: int,
    block_size: int,
    single: int,
    pair: int,
    bias: Flat,
    matrices: Flat,
    n: int,
    size: int,
    line: int,
    vector_buffers: Flat,
    tile: Flat,
    tensor: Flat,
    product: Flat,
) -> None:
    """The runs between the tokens first..last-1; edges: starts and stops of the sectors of a block."""
    begin = 0
    for run in range(stops.size):
        start, stop, owner = max(begin, first), min(stops[run], last), owners[run]
        begin = stops[run]
        if start >= stop:
            continue
        if owner < 0:
            copy_spans(x, token_step, feature_step, y, y_step, start, stop, np.array([0, y_step]))
            continue
        own = matrices[owner * each : (owner + 1) * each]
        kept = np.zeros(2 + n_blocks * edges.size, np.int64)
        turned = np.zeros(n_blocks, np.int64)
        count = 0
        for block in range(n_blocks):
            if not is_identity[owner * each + (block if each > 1 else 0)]:
                turned[count] = block
                kept[1 + count * edges.size : 1 + (count + 1) * edges.size] = edges + block * block_size
                count += 1
        kept[1 + count * edges.size] = y_step
        copy_spans(x, token_step, feature_step, y, y_step, start, stop, kept[: 2 + count * edges.size])
        if pair >= 0 and stop - start < _FEW:
            for block in turned[:count]:
                a = own[block if each > 1 else 0]
                rotate_vectors(
                    *(x, token_step, feature_step, y, y_step, start, stop, block * block_size, single, pair, bias),
                    *(a, n, size, line, vector_buffers[0], vector_buffers[1], vector_buffers[2], vector_buffers[3]),
                )
        else:
            rotate_blocks(
                *(x, token_step, feature_step, y, y_step, start, stop, turned[:count], block_size),
                *(single, pair, bias, own, n, size, tile, tensor, product),
            )
