"""Tiles: a few tokens at a time with amplitudes as rows, moved in and out of vectors, shared out over threads."""

import concurrent.futures
import functools
import os
from collections.abc import Callable
from typing import Any

import numba
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cpu_lanes import LANE_BYTES, copy, transpose

__all__ = ["Flat", "flat_rows", "in_chunks", "kernel", "lanes", "load_tile", "scratch", "store_tile", "tile_width"]

# What a tile may fill of the cache that a core has to itself.
_TILE_BYTES = 2**20
# Less is not worth waking a thread for: about half a millisecond, and so many tiles where their work is not known.
_MULTIPLICATIONS_PER_THREAD = 2**23
_TILES_PER_THREAD = 4

Flat = NDArray[Any]


def kernel(*, reorder_sums: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function with numba, once for the machine where there is a folder to keep the result in.

    Kernels release the interpreter's lock and run in threads of Python: numba's own parallel loops would abort the
    process in a forked child (OpenMP) or under two calls at once (workqueue).
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc"} if reorder_sums else False}

    def compile_lazily(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's can be written to
            return numba.njit(**options)(function)

    return compile_lazily


def lanes(dtype: torch.dtype) -> int:
    """How many numbers a vector register holds."""
    return LANE_BYTES // dtype.itemsize


def tile_width(dim: int, dtype: torch.dtype) -> int:
    """Tokens in a tile of `dim` rows: one to four registers, as many as keep it in the cache."""
    width = 4 * lanes(dtype)
    while width > lanes(dtype) and dim * width * dtype.itemsize > _TILE_BYTES:
        width //= 2
    return width


def flat_rows(x: Tensor) -> tuple[Flat, int, int]:
    """The numbers of x (tokens, features) as one flat array, and its steps from token to token, feature to feature.

    Nothing is copied where the features of a token, or the tokens of a feature, are neighbours.
    """
    if x.stride(1) != 1 and x.stride(0) != 1:
        x = x.contiguous()
    extent = 1 + sum((size - 1) * step for size, step in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0
    return x.detach().as_strided((extent,), (1,)).numpy(), x.stride(0), x.stride(1)


def in_chunks(
    work: Callable[[int, int], Any], tokens: int, width: int, multiplications: int | None = None
) -> list[Any]:
    """The results of work(first, last) on chunks of range(tokens) made of whole tiles, one for each torch thread.

    There are fewer chunks where threads would have too little to do, by the number of multiplications that all tokens
    take together, or else by the number of tiles.
    """
    tiles = -(-tokens // width)
    worth = tiles // _TILES_PER_THREAD if multiplications is None else multiplications // _MULTIPLICATIONS_PER_THREAD
    chunks = max(1, min(torch.get_num_threads(), tiles, worth))
    bounds = [min(tokens, width * (tiles * chunk // chunks)) for chunk in range(chunks + 1)]
    if chunks == 1:
        return [work(0, tokens)]
    others = _threads(os.getpid(), chunks - 1).map(work, bounds[1:-1], bounds[2:])
    return [work(0, bounds[1]), *others]


@functools.lru_cache(maxsize=4)
def _threads(process: int, count: int) -> concurrent.futures.ThreadPoolExecutor:
    """Threads of this process: a forked child inherits the executor of its parent, but not its threads."""
    return concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix="qicircuits")


def scratch(count: int, like: Flat) -> Flat:
    """Zeroed numbers that start on a cache line, as numpy's need not: a split register costs twice."""
    numbers = torch.empty(count, dtype=torch.float32 if like.itemsize == 4 else torch.float64).numpy()
    numbers.fill(0)  # not torch.zeros, which would start torch's threads within ours
    return numbers


@kernel()
def load_tile(
    tile: Flat, width: int, x: Flat, token_step: int, feature_step: int, first: int, count: int, start: int, dim: int
) -> None:
    """Rows 0..dim-1 of a tile from features start.. of `count` tokens from `first`; other columns become 0."""
    lanes = LANE_BYTES // tile.itemsize
    for j in range(0, width, lanes):
        origin = (first + j) * token_step + start * feature_step
        present = max(0, min(lanes, count - j))
        whole = 0
        if present == lanes and token_step == 1:
            whole = dim
            for i in range(dim):
                copy(tile, i * width + j, x, origin + i * feature_step, tile.dtype.type(1))
        elif present == lanes and feature_step == 1:
            whole = dim // lanes * lanes
            for i in range(0, whole, lanes):
                transpose(tile, i * width + j, width, x, origin + i, token_step)
            if 0 < whole < dim:  # a square that overlaps the last one is faster than single numbers
                transpose(tile, (dim - lanes) * width + j, width, x, origin + dim - lanes, token_step)
                whole = dim
        for i in range(whole, dim):
            for t in range(present):
                tile[i * width + j + t] = x[origin + t * token_step + i * feature_step]
            for t in range(present, lanes):
                tile[i * width + j + t] = 0


@kernel()
def store_tile(
    y: Flat, token_step: int, tile: Flat, width: int, first: int, count: int, start: int, dim: int
) -> None:
    """The inverse of `load_tile`, to tokens whose features are neighbours."""
    lanes = LANE_BYTES // tile.itemsize
    for j in range(0, width, lanes):
        origin = (first + j) * token_step + start
        present = max(0, min(lanes, count - j))
        whole = dim // lanes * lanes if present == lanes else 0
        for i in range(0, whole, lanes):
            transpose(y, origin + i, token_step, tile, i * width + j, width)
        if 0 < whole < dim:
            transpose(y, origin + dim - lanes, token_step, tile, (dim - lanes) * width + j, width)
            whole = dim
        for t in range(present):
            for i in range(whole, dim):
                y[origin + t * token_step + i] = tile[i * width + j + t]
