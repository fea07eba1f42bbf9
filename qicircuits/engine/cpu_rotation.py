"""The rotation of a whole layer on the CPU: C_k(A_i) on every sector of every block, as one operator."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cpu_compound import copy_features, rotate_pairs, rotate_singles, tangent_pairs, tangent_singles
from .cpu_lanes import BLOCK
from .cpu_tangents import tangent_rows, tangent_sector
from .cpu_tiles import Flat, flat_rows, in_chunks, lanes, scratch, tile_width
from .cpu_windows import Windows, factor_windows, rotate_windows, window_rows

__all__ = ["rotate_sectors", "rotate_sectors_backward"]


@torch.library.custom_op("qicircuits::rotate_sectors", mutates_args=(), device_types="cpu")
def rotate_sectors(
    x: Tensor, matrices: Tensor, bias: Tensor | None, sectors: list[int], n_blocks: int, block_size: int
) -> Tensor:
    r"""x + (R v - v) with v = x - bias, or R x without a bias, to the last bit x where A_i = I; A_i in SO(n),

        R = ⊕_i [ ⊕_k C_k(A_i) ⊕ I_pad ] ⊕ I.

    Orders 1 and 2 are products with A_i, higher orders products with rotations of six neighbouring wires.

    Only y, A and the bias are kept for the backward. With w = y - bias = R v, and a change dA = Ω A within SO(n),
    where Ω is skew,

        dw = Σ_ij Ω_ij (a_i^† a_j) w,   dL = Σ_ij Ω_ij M_ij,   M_ij = Σ_tokens <dL/dy, a_i^† a_j w>

    so the gradient of A is 1/2 (M - M^T) A. It is the gradient along SO(n), all that a map into SO(n) passes on;
    what A would feel off SO(n) is not in it. The gradient of x is R^T dL/dy, and the bias has what is left of
    dL/dy: where x ends in the same bias, as a layer's output does, it gets dL/dy in all, unrotated.

    Args:
        x: vectors, shape (tokens, features), any strides.
        matrices: A_i, shape (n_blocks, n, n), or (1, n, n) where all blocks share one; float32 or float64, the
            dtype of `x` or, where that is a shorter one, float32.
        bias: what is not rotated, shape (features,), any float dtype; or None.
        sectors: order, start and stop of every sector of a block, one after the other, none overlapping.
        n_blocks: N.
        block_size: b, with N b <= features.

    Returns:
        y, shape and dtype of x, contiguous; computed in the dtype of `matrices`, and rounded once.
    """
    wide = x.to(matrices.dtype)
    v = wide if bias is None else wide - bias
    out = torch.empty(v.shape, dtype=v.dtype)
    _Layer(matrices, sectors, n_blocks, block_size, v.shape).rotate(flat_rows(v), out.view(-1).numpy())
    return out.to(x.dtype) if bias is None else (wide + (out - v)).to(x.dtype)


@torch.library.custom_op("qicircuits::rotate_sectors_backward", mutates_args=(), device_types="cpu")
def rotate_sectors_backward(
    grad: Tensor,
    out: Tensor,
    matrices: Tensor,
    bias: Tensor | None,
    sectors: list[int],
    n_blocks: int,
    block_size: int,
) -> tuple[Tensor, Tensor]:
    """The gradients of x, in its dtype, and of A, in its own."""
    grad_x = torch.empty(out.shape, dtype=matrices.dtype)
    w = out.to(matrices.dtype)
    adjoint, state = flat_rows(grad.to(matrices.dtype)), flat_rows(w if bias is None else w - bias)
    _Layer(matrices.mT, sectors, n_blocks, block_size, out.shape).rotate(adjoint, grad_x.view(-1).numpy())
    m = torch.from_numpy(_Layer(matrices, sectors, n_blocks, block_size, out.shape).tangents(adjoint, state))
    grad_matrices = 0.5 * (m - m.mT) @ matrices.double()
    return grad_x.to(out.dtype), grad_matrices.to(matrices.dtype)


@rotate_sectors.register_fake
def _(x: Tensor, matrices: Tensor, bias: Tensor | None, sectors: list[int], n_blocks: int, block_size: int) -> Tensor:
    return x.new_empty(x.shape)


@rotate_sectors_backward.register_fake
def _(
    grad: Tensor,
    out: Tensor,
    matrices: Tensor,
    bias: Tensor | None,
    sectors: list[int],
    n_blocks: int,
    block_size: int,
) -> tuple[Tensor, Tensor]:
    return out.new_empty(out.shape), matrices.new_empty(matrices.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, matrices, bias, *ctx.plan = inputs
    ctx.save_for_backward(output, matrices, bias)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    out, matrices, bias = ctx.saved_tensors
    grad_x, grad_matrices = rotate_sectors_backward(grad, out, matrices, bias, *ctx.plan)
    grad_bias = None
    if ctx.needs_input_grad[2]:
        grad_bias = (grad.to(matrices.dtype) - grad_x).sum(0).to(bias.dtype)
    return grad_x, grad_matrices, grad_bias, None, None, None


rotate_sectors.register_autograd(_differentiate, setup_context=_setup_context)

_Vectors = tuple[Flat, int, int]


class _Layer:
    """One application of the kernels: where the sectors lie, and the matrices as the kernels want them."""

    def __init__(
        self, matrices: Tensor, sectors: list[int], n_blocks: int, block_size: int, shape: torch.Size
    ) -> None:
        self.matrices = matrices.detach()
        self.sectors = list(zip(sectors[::3], sectors[1::3], sectors[2::3], strict=True))
        self.n_blocks, self.block_size = n_blocks, block_size
        self.tokens, self.features = shape
        self.n = matrices.shape[-1]
        self.size = -(-self.n // BLOCK) * BLOCK
        self.padded = matrices.new_zeros(len(matrices), self.size, self.size)
        self.padded[:, : self.n, : self.n] = self.matrices
        self.step = self.size**2 if len(matrices) > 1 else 0
        self.lanes = lanes(matrices.dtype)
        self.width = 4 * self.lanes  # the widest tile of the kernels: chunks are made of whole ones

    def rotate(self, x: _Vectors, y: Flat) -> None:
        a = self.padded.view(-1).numpy()
        windows = {order: self._windows(order) for order, _, _ in self.sectors if order > 2}

        def work(first: int, last: int) -> None:
            tokens = first, last
            for start, stop in self._gaps():
                copy_features(*x, y, self.features, *tokens, start, stop)
            for order, start, stop in self.sectors:
                blocks = start, self.block_size, self.n_blocks
                if order == 1:
                    tiles = [scratch(self.size * BLOCK * self.lanes, y) for _ in range(2)]
                    rotate_singles(*x, y, self.features, *tokens, *blocks, a, self.step, self.n, self.size, *tiles)
                elif order == 2:
                    rows = (stop - start, self.size**2, self.size**2)
                    tiles = [scratch(count * self.lanes, y) for count in rows]
                    rotate_pairs(*x, y, self.features, *tokens, *blocks, a, self.step, self.n, self.size, *tiles)
                else:
                    self._rotate_windows(x, y, tokens, (order, start, stop), windows[order])

        in_chunks(work, self.tokens, self.width)

    def tangents(self, grad: _Vectors, y: _Vectors) -> NDArray[np.float64]:
        """M of every A, shape of `matrices`."""

        def work(first: int, last: int) -> Flat:
            sums = np.zeros(self.padded.numel())
            tokens = first, last
            for order, start, stop in self.sectors:
                blocks = start, self.block_size, self.n_blocks
                like = y[0]
                lane_sums = scratch(self.size**2 * self.lanes, like)
                if order == 1:
                    tiles = [scratch(self.size * BLOCK * self.lanes, like) for _ in range(2)]
                    tangent_singles(
                        *(*grad, *y, *tokens, *blocks, self.n, self.size),
                        *(*tiles, lane_sums, sums, self.step),
                    )
                elif order == 2:
                    rows = (stop - start, self.size**2, self.size**2)
                    tiles = [scratch(count * self.lanes, like) for count in rows]
                    tangent_pairs(
                        *(*grad, *y, *tokens, *blocks, self.n, self.size),
                        *(*tiles, lane_sums, sums, self.step),
                    )
                else:
                    self._overlaps(grad, y, tokens, order, start, stop, sums)
            return sums

        sums = np.sum(in_chunks(work, self.tokens, self.width), axis=0)
        return sums.reshape(self.padded.shape)[:, : self.n, : self.n]

    def _gaps(self) -> list[tuple[int, int]]:
        """The features that no sector covers, as (start, stop)."""
        taken = [
            (block * self.block_size + start, block * self.block_size + stop)
            for block in range(self.n_blocks)
            for _, start, stop in sorted(self.sectors, key=lambda sector: sector[1])
        ]
        edges = [0, *(edge for span in taken for edge in span), self.features]
        return [(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop]

    def _windows(self, order: int) -> list[Windows]:
        """The windows of each A."""
        dtype = self.padded.numpy().dtype
        return [factor_windows(a, order, dtype) for a in self.matrices.double().contiguous().numpy()]

    def _rotate_windows(
        self, x: _Vectors, y: Flat, tokens: tuple[int, int], sector: tuple[int, int, int], windows: list[Windows]
    ) -> None:
        order, start, stop = sector
        dim = stop - start
        rows = window_rows(self.n, order)
        width = tile_width(dim, self.padded.dtype)
        tile = scratch(dim * width, y)
        for block in range(self.n_blocks):
            begin = start + block * self.block_size
            source, own = x[0][begin * x[2] :], windows[block if self.step else 0]
            rotate_windows(source, *x[1:], y[begin:], self.features, dim, *tokens, tile, width, *own, *rows)

    def _overlaps(
        self, grad: _Vectors, y: _Vectors, tokens: tuple[int, int], order: int, start: int, stop: int, sums: Flat
    ) -> None:
        dim = stop - start
        rows = tangent_rows(self.n, order, self.size)
        tiles = [scratch(count * self.lanes, y[0]) for count in (2 * dim + 1, 2 * dim + 1, self.size**2)]
        for block in range(self.n_blocks):
            begin = start + block * self.block_size
            own = sums[block * self.step : block * self.step + self.size**2]
            tangent_sector(*grad, *y, *tokens, begin, dim, rows, self.size, *tiles, own)
