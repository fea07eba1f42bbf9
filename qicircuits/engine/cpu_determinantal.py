"""Exact draws from a projection determinantal point process on the CPU, by rejection: no cost depends on n."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cpu_tiles import Flat, in_chunks, kernel

__all__ = ["reject_subsets"]

# SplitMix64: one stream of random numbers for each shot, whatever thread draws it.
_STEP, _FIRST, _SECOND = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def reject_subsets(v: Tensor, seeds: Tensor) -> Tensor:
    """Subsets I with the probabilities det(V[I, :])^2; the fast twin of `engine.determinantal.project_subsets`.

    Wire j is proposed with probability |v_j|^2 / k, and accepted with the probability that is left of |v_j|^2 after
    projection on the complement of the rows drawn before. That takes k / (k - s) proposals for the wire after s
    others, k log k in all, with s products of k numbers at most for each: less than n k^2 for every n and k measured
    (docs/benchmarks/free_fermion.md).

    Args:
        v: V, shape (n, k), orthonormal columns; float64.
        seeds: int64, shape (shots,).

    Returns:
        The elements in the order in which they were drawn, shape (shots, k), int64.

    Reference:
        S. Barthelmé, N. Tremblay and P.-O. Amblard, arXiv:2210.17358.
    """
    rows = v.contiguous().numpy()
    density = np.square(rows).sum(axis=1)
    heights, k = density.cumsum(), v.shape[1]
    states, wires = seeds.numpy().view(np.uint64), np.empty((len(seeds), k), np.int64)

    def work(first: int, last: int) -> None:
        _reject(rows, density, heights, states, first, last, np.empty((k, k)), np.empty(k), wires)

    in_chunks(work, len(seeds), 1)
    return torch.from_numpy(wires)


@kernel(reorder_sums=True)
def _reject(
    rows: NDArray[np.float64],
    density: Flat,
    heights: Flat,
    states: NDArray[np.uint64],
    first: int,
    last: int,
    drawn: NDArray[np.float64],
    overlaps: Flat,
    wires: NDArray[np.int64],
) -> None:
    """Fill wires[first:last]; `drawn` takes an orthonormal basis of the rows of the wires drawn so far."""
    k = rows.shape[1]
    for shot in range(first, last):
        state = states[shot]
        for step in range(k):
            left = floor = 0.0
            while not left > floor:
                state, u = _uniform(state)
                # u < 1 and rounding keep u * total below the total, and a wire without density has no height.
                j = np.searchsorted(heights, u * heights[-1], side="right")
                state, u = _uniform(state)
                left, floor = density[j], u * density[j]
                for earlier in range(step):
                    if wires[shot, earlier] == j:  # nothing is left of it, whatever rounding says
                        left = 0.0
                for basis in range(step):
                    if not left > floor:
                        break
                    overlaps[basis] = _dot(drawn[basis], rows[j])
                    left -= overlaps[basis] ** 2
            wires[shot, step] = j
            drawn[step] = rows[j]
            for basis in range(step):
                for i in range(k):
                    drawn[step, i] -= overlaps[basis] * drawn[basis, i]
            drawn[step] /= np.sqrt(_dot(drawn[step], drawn[step]))


@kernel(reorder_sums=True)
def _dot(a: Flat, b: Flat) -> float:
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@kernel()
def _uniform(state: np.uint64) -> tuple[np.uint64, float]:
    """The next state of the stream, and one of its numbers in [0, 1), a multiple of 2^-53."""
    state += _STEP
    mixed = (state ^ (state >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return state, ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
