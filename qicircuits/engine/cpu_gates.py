"""The circuit itself on the CPU: gate after gate over tiles of tokens, as an operator with a reversible backward."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..kept import keep_bytes
from .cpu_lanes import LANE_BYTES, rotate, unrotate
from .cpu_tiles import Flat, flat_rows, in_chunks, kernel, load_tile, scratch, store_tile, tile_width
from .gradient import register_gradient
from .plan import gate_table, pair_count

__all__ = ["sweep_tokens"]


@torch.library.custom_op("qicircuits::sweep_tokens", mutates_args=(), device_types="cpu")
def sweep_tokens(x: Tensor, angles: Tensor, wires: Tensor, n: int, order: int, fermionic: bool) -> Tensor:
    """`engine.reference.sweep_rows` for vectors in rows, with one angle a gate; the fast twin of it.

    Args:
        x: vectors, shape (tokens, C(n, k)), any strides; float32 or float64.
        angles: theta, shape (n_gates,), dtype of `x`.
        wires: the wires of all gates in order of application, int64, shape (2 n_gates,).
        n: number of wires.
        order: Hamming weight k of the sector.
        fermionic: False for RBS, True for FBS.

    Returns:
        The vectors after the circuit, contiguous. Only they and the angles are kept for the backward.
    """
    out = torch.empty(x.shape, dtype=x.dtype)
    source, *steps = flat_rows(x)
    target = out.view(-1).numpy()
    gates, width = _circuit_rows(wires.numpy().tobytes(), n, order, fermionic), tile_width(x.shape[1], x.dtype)
    cos, sin = (turn.detach().contiguous().numpy() for turn in (angles.cos(), angles.sin()))

    def work(first: int, last: int) -> None:
        tile = scratch(x.shape[1] * width, source)
        _sweep(source, *steps, target, x.shape[1], x.shape[1], first, last, tile, width, *gates, cos, sin)

    in_chunks(work, x.shape[0], width, 4 * x.shape[0] * len(cos) * pair_count(n, order))
    return out


@torch.library.custom_op("qicircuits::sweep_tokens_backward", mutates_args=(), device_types="cpu")
def _sweep_tokens_backward(
    grad: Tensor, out: Tensor, angles: Tensor, wires: Tensor, n: int, order: int, fermionic: bool
) -> tuple[Tensor, Tensor]:
    grad_x = torch.empty(out.shape, dtype=out.dtype)
    adjoint, *adjoint_steps = flat_rows(grad)
    state, *state_steps = flat_rows(out)
    target = grad_x.view(-1).numpy()
    dim = out.shape[1]
    gates, width = _circuit_rows(wires.numpy().tobytes(), n, order, fermionic), tile_width(2 * dim, out.dtype)
    cos, sin = (turn.detach().contiguous().numpy() for turn in (angles.cos(), angles.sin()))

    def work(first: int, last: int) -> NDArray[np.float64]:
        tiles = scratch(dim * width, state), scratch(dim * width, state), scratch(width, state)
        overlaps = np.zeros(len(cos))
        _unsweep(
            *(adjoint, *adjoint_steps, state, *state_steps, target, dim, first, last, *tiles, width),
            *(*gates, cos, sin, overlaps),
        )
        return overlaps

    multiplications = 10 * out.shape[0] * len(cos) * pair_count(n, order)
    overlaps = np.sum(in_chunks(work, out.shape[0], width, multiplications), axis=0)
    return grad_x, torch.from_numpy(overlaps).to(angles.dtype)


@sweep_tokens.register_fake
def _(x: Tensor, angles: Tensor, wires: Tensor, n: int, order: int, fermionic: bool) -> Tensor:
    return x.new_empty(x.shape)


@_sweep_tokens_backward.register_fake
def _(
    grad: Tensor, out: Tensor, angles: Tensor, wires: Tensor, n: int, order: int, fermionic: bool
) -> tuple[Tensor, Tensor]:
    return out.new_empty(out.shape), angles.new_empty(angles.shape)


register_gradient(sweep_tokens, _sweep_tokens_backward, keep=lambda output, x, angles: (output, angles))


class _CircuitRows(NamedTuple):
    """The row pairs of a circuit's gates: those of gate g are at stops[tables[g]] .. stops[tables[g] + 1] of a, b."""

    tables: NDArray[np.int64]
    stops: NDArray[np.int64]
    a: NDArray[np.int32]
    b: NDArray[np.int32]


@keep_bytes(2**28)  # at least one circuit, for `engine.dispatch` asks for no more rows
def _circuit_rows(wires: bytes, n: int, order: int, fermionic: bool) -> _CircuitRows:
    """The row pairs of a circuit, cached; `wires` are the numbers of those of `sweep_tokens`."""
    flat = np.frombuffer(wires, np.int64)
    if order == 1:  # a gate has one pair of rows: its wires
        gates = np.arange(len(flat) // 2 + 1)
        return _CircuitRows(gates[:-1], gates, flat[::2].astype(np.int32), flat[1::2].astype(np.int32))
    pairs = list(zip(flat[::2].tolist(), flat[1::2].tolist(), strict=True))
    place = {pair: index for index, pair in enumerate(dict.fromkeys(pairs))}
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for pair in place:
        table = gate_table(n, order, *pair)
        # A rotation by -theta is one by theta with the rows exchanged: parity needs no sign of its own.
        exchanged = (table.parity < 0) & fermionic
        first.append(np.where(exchanged, table.b, table.a))
        second.append(np.where(exchanged, table.a, table.b))
    stops = np.cumsum([len(rows) for rows in first])
    a, b = np.concatenate(first).astype(np.int32), np.concatenate(second).astype(np.int32)
    return _CircuitRows(np.array([place[pair] for pair in pairs], np.int64), stops, a, b)


@kernel()
def _sweep(
    x: Flat,
    token_step: int,
    feature_step: int,
    y: Flat,
    y_token_step: int,
    dim: int,
    first: int,
    last: int,
    tile: Flat,
    width: int,
    tables: Flat,
    stops: Flat,
    a: Flat,
    b: Flat,
    cos: Flat,
    sin: Flat,
) -> None:
    """y = the circuit on `dim` features of the tokens first..last-1 of x; tables to b are `_CircuitRows`."""
    lanes = LANE_BYTES // tile.itemsize
    for token in range(first, last, width):
        count = min(width, last - token)
        load_tile(tile, width, x, token_step, feature_step, token, count, 0, dim)
        for gate in range(tables.size):
            c, s = cos[gate], sin[gate]
            if c == 1 and s == 0:  # not even the sign of a zero changes
                continue
            for e in range(stops[tables[gate]], stops[tables[gate] + 1]):
                for j in range(0, width, lanes):
                    rotate(tile, a[e] * width + j, b[e] * width + j, c, s)
        store_tile(y, y_token_step, tile, width, token, count, 0, dim)


@kernel()
def _unsweep(
    grad: Flat,
    grad_token_step: int,
    grad_feature_step: int,
    y: Flat,
    y_token_step: int,
    y_feature_step: int,
    grad_x: Flat,
    dim: int,
    first: int,
    last: int,
    state: Flat,
    adjoint: Flat,
    overlap: Flat,
    width: int,
    tables: Flat,
    stops: Flat,
    a: Flat,
    b: Flat,
    cos: Flat,
    sin: Flat,
    overlaps: Flat,
) -> None:
    """Undo the gates from the last to the first on y and its gradient; overlaps, float64, one a gate, are added."""
    lanes = LANE_BYTES // state.itemsize
    for token in range(first, last, width):
        count = min(width, last - token)
        load_tile(state, width, y, y_token_step, y_feature_step, token, count, 0, dim)
        load_tile(adjoint, width, grad, grad_token_step, grad_feature_step, token, count, 0, dim)
        for gate in range(tables.size - 1, -1, -1):
            c, s = cos[gate], sin[gate]
            overlap[:] = 0
            for e in range(stops[tables[gate]], stops[tables[gate] + 1]):
                for j in range(0, width, lanes):
                    unrotate(state, adjoint, a[e] * width + j, b[e] * width + j, c, s, overlap, j)
            overlaps[gate] += _total(overlap)
        store_tile(grad_x, dim, adjoint, width, token, count, 0, dim)


@kernel(reorder_sums=True)
def _total(numbers: Flat) -> float:
    """The sum of float32 or float64 numbers, in float64."""
    total = 0.0
    for index in range(numbers.size):
        total += np.float64(numbers[index])
    return total
