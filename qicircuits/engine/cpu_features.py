"""Small kernels around those of the sectors: features copied or shifted, matrices padded or found to be I."""

from .cpu_lanes import LANE_BYTES, copy
from .cpu_tiles import Flat, kernel

__all__ = ["copy_spans", "find_identities", "pad_matrices", "shift_features"]


@kernel()
def copy_spans(
    x: Flat, token_step: int, feature_step: int, y: Flat, y_step: int, first: int, last: int, edges: Flat
) -> None:
    """y = x on the features edges[0]..edges[1]-1, edges[2]..edges[3]-1 and so on of the tokens first..last-1."""
    lanes = LANE_BYTES // y.itemsize
    for token in range(first, last):
        for span in range(0, edges.size, 2):
            start, stop = edges[span], edges[span + 1]
            origin, target = token * token_step, token * y_step
            if feature_step == 1:
                while start + lanes <= stop:
                    copy(y, target + start, x, origin + start, y.dtype.type(1))
                    start += lanes
            for feature in range(start, stop):
                y[target + feature] = x[origin + feature * feature_step]


@kernel()
def shift_features(
    x: Flat, token_step: int, feature_step: int, y: Flat, y_step: int, count: int, bias: Flat, sign: int
) -> None:
    """y = x + sign bias on the first bias.size features of the first `count` tokens."""
    for token in range(count):
        for i in range(bias.size):
            y[token * y_step + i] = x[token * token_step + i * feature_step] + sign * bias[i]


@kernel()
def pad_matrices(matrices: Flat, transposed: bool, size: int, padded: Flat) -> None:
    """Row i of `padded`, size times size zeros, gets the i-th matrix, or its transpose, as its corner."""
    n = matrices.shape[1]
    for index in range(len(matrices)):
        for i in range(n):
            for j in range(n):
                padded[index, i * size + j] = matrices[index, j, i] if transposed else matrices[index, i, j]


@kernel()
def find_identities(matrices: Flat, found: Flat) -> None:
    """found[i] = whether the i-th matrix, or the only one, is the identity."""
    n = matrices.shape[1]
    for index in range(found.size):
        matrix = matrices[index if len(matrices) > 1 else 0]
        found[index] = True
        for i in range(n):
            for j in range(n):
                if matrix[i, j] != (1 if i == j else 0):
                    found[index] = False
