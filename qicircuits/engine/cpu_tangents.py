"""The gradient of A in SO(n) from C_k(A) x, any order, on tiles of tokens: one matrix product over smaller subsets.

With the rows a_i x of a vector, (a_i x)_S = p x_{S + i} for the subsets S of k - 1 wires without i, the sign p being
(-1)^(wires of S before i), the overlaps M_ij = <g, a_i^† a_j y> are sums of products of rows, M = Σ_S G_S Y_S^T:
sixteen of them stay in registers. Beyond k = n/2 there are fewer rows a_i^† x, over the subsets T of k + 1 wires:

    P = Σ_T G_T Y_T^T,   M = <g, y> I - P^T,   tr P = (n - k) <g, y>
"""

import numpy as np
from numpy.typing import NDArray

from ..kept import keep_bytes
from ..subsets import subset_array, subspace_dim
from .cpu_blocks import BLOCK, accumulate_gathered
from .cpu_compound import TILES_PER_FLUSH, flush
from .cpu_lanes import LANE_BYTES, copy
from .cpu_tiles import Flat, kernel, load_tile
from .plan import ranks

__all__ = ["added_tangent", "tangent_rows", "tangent_sector"]


@keep_bytes(2**28)
def tangent_rows(n: int, order: int, size: int) -> NDArray[np.int32]:
    """Where (a_i x)_S, or (a_i^† x)_T beyond k = n/2, stands in a tile of x, -x and a row of zeros, for i < `size`.

    Shape (C(n, k-1) size,), or (C(n, k+1) size,); S and T in their order.
    """
    dim = subspace_dim(n, order)
    step = 1 if 2 * order > n else -1
    others = subset_array(n, order + step)
    rows = np.full((len(others), size), 2 * dim, np.int32)
    occupied = np.zeros((len(others), n), bool)
    np.put_along_axis(occupied, others, True, axis=1)
    before = np.cumsum(occupied, axis=1) - occupied
    for wire in range(n):
        serves = occupied[:, wire] == (step > 0)
        changed = occupied[serves]
        changed[:, wire] = step < 0
        rows[serves, wire] = ranks(changed, order) + dim * (before[serves, wire] % 2)
    return rows.ravel()


def added_tangent(sums: NDArray[np.float64], n: int, order: int) -> NDArray[np.float64]:
    """M of a sector from what `tangent_sector` summed, both of shape (size, size)."""
    if 2 * order <= n:
        return sums
    return np.trace(sums) / (n - order) * np.eye(len(sums)) - sums.T


@kernel()
def tangent_sector(
    grad: Flat,
    grad_token_step: int,
    grad_feature_step: int,
    y: Flat,
    y_token_step: int,
    y_feature_step: int,
    first: int,
    last: int,
    start: int,
    dim: int,
    rows: Flat,
    size: int,
    adjoint: Flat,
    state: Flat,
    sums: Flat,
    tangent: Flat,
) -> None:
    """tangent += M, size times size, in float64.

    rows: `tangent_rows`; adjoint, state: 2 dim + 1 registers; sums: size^2 registers of zeros.
    """
    lanes = LANE_BYTES // state.itemsize
    count = rows.size // size
    adjoint[2 * dim * lanes :] = 0
    state[2 * dim * lanes :] = 0
    for token in range(first, last, lanes):
        present = min(lanes, last - token)
        load_tile(adjoint, lanes, grad, grad_token_step, grad_feature_step, token, present, start, dim)
        load_tile(state, lanes, y, y_token_step, y_feature_step, token, present, start, dim)
        for at in range(0, dim * lanes, lanes):
            copy(adjoint, at + dim * lanes, adjoint, at, -adjoint.dtype.type(1))
            copy(state, at + dim * lanes, state, at, -state.dtype.type(1))
        for i in range(0, size, BLOCK):
            for j in range(0, size, BLOCK):
                at = (i * size + j) * lanes
                accumulate_gathered(sums, at, size * lanes, adjoint, state, rows, i, j, size, count)
        if (token - first) // lanes % TILES_PER_FLUSH == TILES_PER_FLUSH - 1 or token + lanes >= last:
            flush(sums, tangent, lanes)
