"""The rotation of a whole layer on the CPU: C_k(A_i) on every sector of every block, as one operator."""

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.library import CustomOpDef  # type: ignore[attr-defined]

from . import cpu_circuits as cpu_circuits  # brings its operator's kernels with it
from .cpu_blocks import BLOCK
from .cpu_compound import rotate_blocks, unrotate_blocks
from .cpu_features import copy_spans, find_identities, pad_matrices, shift_features
from .cpu_tangents import added_tangent, tangent_rows, tangent_sector
from .cpu_tiles import Flat, flat_rows, in_chunks, lanes, scratch, tile_width
from .cpu_windows import Windows, factor_windows, rotate_windows, window_rows
from .gradient import kept_tensors, refuse_second_derivatives
from .plan import pair_count

__all__ = ["SectorKernels", "register_rotation_gradient", "rotate_sectors", "rotate_sectors_backward"]


@torch.library.custom_op("qicircuits::rotate_sectors", mutates_args=(), device_types="cpu")
def rotate_sectors(
    x: Tensor, matrices: Tensor, bias: Tensor | None, sectors: list[int], n_blocks: int, block_size: int
) -> Tensor:
    r"""y = R (x - bias) + bias, or R x without a bias, for A_i in SO(n); to the last bit x in a block with A_i = I,

        R = ⊕_i [ ⊕_k C_k(A_i) ⊕ I_pad ] ⊕ I.

    Orders 1 and 2 are products with A_i, higher orders products with rotations of six neighbouring wires.

    Only y, A and the bias are kept for the backward. With w = y - bias = R v, and a change dA = Ω A,

        dw = Σ_ij Ω_ij (a_i^† a_j) w,   dL = Σ_ij Ω_ij M_ij,   M_ij = Σ_tokens <dL/dy, a_i^† a_j w>

    so the gradient of A is M A. The gradient of x is R^T dL/dy, and the bias has what is left of dL/dy: where x
    ends in the same bias, as a layer's output does, it gets dL/dy in all, unrotated.

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
    out = torch.empty(x.shape, dtype=matrices.dtype)
    layer = SectorKernels(matrices, bias, sectors, n_blocks, block_size, x.shape)
    layer.rotate(flat_rows(x.to(matrices.dtype)), out.view(-1).numpy())
    return out.to(x.dtype)


@torch.library.custom_op("qicircuits::rotate_sectors_backward", mutates_args=(), device_types="cpu")
def rotate_sectors_backward(
    grad: Tensor,
    out: Tensor,
    matrices: Tensor,
    bias: Tensor | None,
    sectors: list[int],
    n_blocks: int,
    block_size: int,
    wants_x: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients of x, in its dtype, and of A, in its own; that of x is empty unless `wants_x`."""
    grad_x = torch.empty(out.shape if wants_x else (0,), dtype=matrices.dtype)
    layer = SectorKernels(matrices, bias, sectors, n_blocks, block_size, out.shape)
    adjoint, state = flat_rows(grad.to(matrices.dtype)), flat_rows(out.to(matrices.dtype))
    m = torch.from_numpy(layer.unrotate(adjoint, state, grad_x.view(-1).numpy() if wants_x else None))
    return grad_x.to(out.dtype), (m @ matrices.double()).to(matrices.dtype)


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
    wants_x: bool,
) -> tuple[Tensor, Tensor]:
    return out.new_empty(out.shape if wants_x else (0,)), matrices.new_empty(matrices.shape)


def register_rotation_gradient(operator: CustomOpDef, backward: CustomOpDef) -> None:
    """Let `backward(grad, out, matrices, bias, *plan, wants_x)` serve `operator(x, matrices, bias, *plan)`."""

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, matrices, bias, *ctx.plan = inputs
        ctx.save_for_backward(output, matrices, bias)

    def differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        out, matrices, bias = kept_tensors(ctx)
        wants_x, _, wants_bias, *_ = ctx.needs_input_grad
        grad_x, grad_matrices = backward(grad, out, matrices, bias, *ctx.plan, wants_x or wants_bias)
        grad_bias = (grad.to(matrices.dtype) - grad_x).sum(0).to(bias.dtype) if wants_bias else None
        return grad_x if wants_x else None, grad_matrices, grad_bias, *[None] * len(ctx.plan)

    operator.register_autograd(differentiate, setup_context=setup)
    refuse_second_derivatives(backward)


register_rotation_gradient(rotate_sectors, rotate_sectors_backward)

_Vectors = tuple[Flat, int, int]

# Where a bias needs passes of its own, above order 2, they follow each other on so many tokens, in the cache.
_TOKENS_IN_PART = 256


class SectorKernels:
    """One application of the kernels: where the sectors lie, and the matrices as the kernels want them."""

    def __init__(
        self,
        matrices: Tensor,
        bias: Tensor | None,
        sectors: list[int],
        n_blocks: int,
        block_size: int,
        shape: torch.Size,
    ) -> None:
        self.matrices = matrices.detach()
        self.sectors = list(zip(sectors[::3], sectors[1::3], sectors[2::3], strict=True))
        self.n_blocks, self.block_size = n_blocks, block_size
        self.tokens, self.features = shape
        self.n, self.lanes = matrices.shape[-1], lanes(matrices.dtype)
        self.width = 4 * self.lanes  # the widest tile of the kernels: chunks are made of whole ones
        starts = {order: start for order, start, _ in self.sectors}
        self.single, self.pair = starts.get(1, -1), starts.get(2, -1)
        # Beside order 2 there is a column for order 1.
        self.size = -(-(self.n + (self.single >= 0 and self.pair >= 0)) // BLOCK) * BLOCK
        self.has_products = max(self.single, self.pair) >= 0
        self._numbers: Flat = self.matrices.contiguous().numpy()
        self.is_identity = np.empty(n_blocks, np.bool_)
        find_identities(self._numbers, self.is_identity)
        self.turned = np.flatnonzero(~self.is_identity)
        self.has_bias = bias is not None
        # A copy: storage that numpy has seen cannot be freed, and sharded training frees that of parameters.
        own = self.matrices.new_zeros(self.features) if bias is None else bias.detach().to(matrices.dtype, copy=True)
        self.bias: Flat = own.contiguous().numpy()

    def rotate(self, x: _Vectors, y: Flat) -> None:
        """y = R (x - bias) + bias."""
        a, windows = self.padded(), self._windows(self.matrices)

        def work(first: int, last: int) -> None:
            tokens = first, last
            copy_spans(*x, y, self.features, *tokens, self._unturned())
            if self.has_products:
                rotate_blocks(
                    *(*x, y, self.features, *tokens, self.turned, self.block_size, self.single, self.pair, self.bias),
                    *(a, self.n, self.size, *self.tiles(2)),
                )
            self._rotate_windows(x, y, tokens, windows, self.has_bias)

        in_chunks(work, self.tokens, self.width, self.multiplications)

    def unrotate(self, grad: _Vectors, y: _Vectors, grad_x: Flat | None) -> NDArray[np.float64]:
        """grad_x = R^T grad, where it is wanted; returns M of every A, shape of `matrices`."""
        inverse = self.padded(transposed=True)
        target = np.empty(0, self.bias.dtype) if grad_x is None else grad_x
        is_kept = self.is_identity | (grad_x is None)  # blocks whose grad_x is not written
        windows = {} if grad_x is None else self._windows(self.matrices.mT)

        def work(first: int, last: int) -> Flat:
            tokens = first, last
            sums = np.zeros((len(self.matrices), self.size**2))
            if grad_x is not None:
                copy_spans(*grad, grad_x, self.features, *tokens, self._unturned())
            if self.has_products:
                lane_sums = self._scratch(self.size**2 * self.lanes)
                unrotate_blocks(
                    *(*grad, *y, target, self.features, *tokens, is_kept, self.block_size),
                    *(self.single, self.pair, self.bias, inverse, self.n, self.size),
                    *(*self.tiles(3), lane_sums, sums),
                )
            self._add_tangents(grad, y, tokens, sums)
            if grad_x is not None:
                self._rotate_windows(grad, grad_x, tokens, windows, has_bias=False)
            return sums

        sums = np.sum(in_chunks(work, self.tokens, self.width, 3 * self.multiplications), axis=0)
        return sums.reshape(-1, self.size, self.size)[:, : self.n, : self.n]

    @property
    def multiplications(self) -> int:
        """About how many a rotation of all tokens takes; a number that is only moved counts as one."""
        n = self.n
        gates = sum(2 * n * (n - 1) * pair_count(n, order) for order, _, _ in self.sectors)
        return self.tokens * (self.features + len(self.turned) * gates)

    def padded(self, *, transposed: bool = False) -> Flat:
        """The matrices, or their transposes, with zeros around them, to size times size, a row each."""
        padded = np.zeros((len(self.matrices), self.size**2), self.bias.dtype)
        pad_matrices(self._numbers, transposed, self.size, padded)
        return padded

    def _unturned(self) -> NDArray[np.int64]:
        """Starts and stops of the features that no rotation but the identity reaches."""
        edges = [
            block * self.block_size + edge
            for block in self.turned.tolist()
            for _, start, stop in sorted(self.sectors, key=lambda sector: sector[1])
            for edge in (start, stop)
        ]
        return np.array([0, *edges, self.features], np.int64)

    def _scratch(self, count: int) -> Flat:
        return scratch(count, self.bias)

    def tiles(self, tensors: int) -> list[Flat]:
        """A tile of a sector, and tensors: of order 2, or for order 1 alone tiles of the widest kind."""
        if self.pair < 0:
            return [self._scratch(self.size * self.width) for _ in range(tensors + 1)]
        rows = max(self.n, self.n * (self.n - 1) // 2)
        return [self._scratch(count * self.lanes) for count in (rows, *[self.size**2] * tensors)]

    def _windows(self, matrices: Tensor) -> dict[int, list[Windows]]:
        """The windows of each A, for every order above 2."""
        orders = [order for order, _, _ in self.sectors if order > 2]
        arrays = matrices.double().contiguous().numpy() if orders else ()
        return {order: [factor_windows(a, order, self.bias.dtype) for a in arrays] for order in orders}

    def _rotate_windows(
        self, x: _Vectors, y: Flat, tokens: tuple[int, int], windows: dict[int, list[Windows]], has_bias: bool
    ) -> None:
        """y = R (x - bias) + bias on the sectors above order 2."""
        for order, start, stop in self.sectors:
            if order <= 2:
                continue
            dim, rows = stop - start, window_rows(self.n, order)
            width = tile_width(dim, self.matrices.dtype)
            tile = self._scratch(dim * width)
            for (first, last), block in itertools.product(self._parts(tokens, has_bias), self.turned.tolist()):
                begin, own = start + block * self.block_size, windows[order][self._matrix(block)]
                source = _from(x, first, begin)
                target = y[first * self.features + begin :], self.features, 1
                bias = self.bias[begin : begin + dim]
                if has_bias:
                    shift_features(*source, *target[:2], last - first, bias, -1)
                    source = target
                rotate_windows(*source, *target[:2], dim, 0, last - first, tile, width, *own, *rows)
                if has_bias:
                    shift_features(*target, *target[:2], last - first, bias, 1)

    def _add_tangents(self, grad: _Vectors, y: _Vectors, tokens: tuple[int, int], sums: NDArray[np.float64]) -> None:
        """Add M of the sectors above order 2."""
        for order, start, stop in self.sectors:
            if order <= 2:
                continue
            dim, rows = stop - start, tangent_rows(self.n, order, self.size)
            tiles = [self._scratch(count * self.lanes) for count in (2 * dim + 1, 2 * dim + 1, self.size**2)]
            stage = self._scratch(_TOKENS_IN_PART * dim), dim, 1
            for (first, last), block in itertools.product(self._parts(tokens, self.has_bias), range(self.n_blocks)):
                begin, own = start + block * self.block_size, np.zeros(self.size**2)
                state = _from(y, first, begin)
                if self.has_bias:
                    shift_features(*state, *stage[:2], last - first, self.bias[begin : begin + dim], -1)
                    state = stage
                tangent_sector(
                    *_from(grad, first, begin), *state, 0, last - first, 0, dim, rows, self.size, *tiles, own
                )
                sums[self._matrix(block)] += added_tangent(own.reshape(self.size, -1), self.n, order).ravel()

    def _parts(self, tokens: tuple[int, int], has_bias: bool) -> list[tuple[int, int]]:
        first, last = tokens
        step = _TOKENS_IN_PART if has_bias else max(1, last - first)
        return [(start, min(start + step, last)) for start in range(first, last, step)]

    def _matrix(self, block: int) -> int:
        return block if len(self.matrices) > 1 else 0


def _from(vectors: _Vectors, token: int, feature: int) -> _Vectors:
    numbers, token_step, feature_step = vectors
    return numbers[token * token_step + feature * feature_step :], token_step, feature_step
