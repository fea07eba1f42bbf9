"""From how many vectors on one method is faster than another: a measured table, and powers of C(n, k) between."""

import bisect
import functools
import math

import torch

__all__ = ["fewest_vectors", "fewest_vectors_by_compound"]

_Row = tuple[float, float, float, float]

_NEVER = (math.inf, math.inf, math.inf, math.inf)

# First method, second method, order, C(n, k): from so many vectors on the second is the faster one, forward in
# float32 and float64, and with the backward in both; on one thread with AVX-512, by docs/benchmarks/limits.py.
# 6 is where gates go from one vector after the other to a vector in each lane. The last order serves those above.
_LIMITS: dict[tuple[str, str], dict[int, dict[int, _Row]]] = {
    ("gates", "compound"): {
        1: {8: (4500, 6000, 5000, 6000), 44: (770, 430, 660, 420), 128: (440, 190, 350, 180)},
        2: {
            28: (30000, 20000, 30000, 20000),
            120: (2800, 1700, 3000, 900),
            351: (240, 140, 280, 130),
            946: (6, 6, 6, 6),
            2016: (6, 6, 4, 4),
            8128: (6, 6, 2.3, 2.1),
        },
        3: {
            56: (30000, 15000, 25000, 15000),
            220: (3400, 1500, 2200, 870),
            1140: (300, 86, 210, 78),
            2024: (89, 45, 84, 45),
            4060: (6, 6, 40, 20),
        },
        4: {
            70: (20000, 5000, 20000, 8000),
            495: (510, 300, 530, 270),
            1820: (160, 67, 200, 72),
            8008: (6, 6, 120, 50),
            15504: (6, 6, 70, 34),
            142506: (6, 6, 9, 9),
        },
    },
    ("modes", "rotation"): {
        2: {
            28: (1100, 820, 580, 350),
            120: (430, 200, 160, 100),
            351: (190, 115, 58, 43),
            946: (66, 47, 26, 20),
            2016: (45, 25, 19, 16),
            8128: (17, 18, 11, 11),
        },
        3: {
            56: (240, 110, 86, 57),
            220: (63, 42, 29, 21),
            1140: (35, 15, 14, 9.8),
            2024: (24, 13, 11, 8.2),
            4060: (19, 9.5, 10, 7.2),
        },
    },
    ("modes", "dense"): {
        2: {
            15: (500, 400, 350, 250),
            28: (650, 390, 480, 290),
            120: (580, 280, 380, 280),
            351: (810, 450, 570, 320),
            946: (2000, 1200, 910, 510),
            2016: _NEVER,
        },
        3: {
            56: (250, 130, 140, 100),
            220: (110, 80, 92, 70),
            1140: (390, 300, 190, 180),
            2024: (640, 350, 300, 220),
            4060: (1200, 600, 420, 400),
            7140: _NEVER,
        },
    },
    ("rotation", "dense"): {
        2: {28: (1, 1, 1, 1), 66: (1000, 1000, 1000, 1000), 120: (4000, 4000, 20000, 20000), 351: _NEVER},
        3: {20: (1, 1, 1, 1), 56: (400, 200, 4000, 3000), 120: (20000, 20000, 20000, 20000), 220: _NEVER},
    },
}

# What a vector takes by the compound, against all n(n-1)/2 gates, where building it no longer counts; by order.
_COMPOUND_RATHER_THAN_GATES = {1: 0.25, 2: 0.4}
_COMPOUND_RATHER_THAN_GATES_ABOVE = 0.5


@torch.compiler.assume_constant_result
def fewest_vectors(first: str, second: str, n: int, order: int, dtype: torch.dtype, training: bool) -> float:
    """The least number of vectors, at least 1, that the second method serves faster than the first.

    Args:
        first: one method, as `_LIMITS` has them.
        second: the other.
        n: wires.
        order: k.
        dtype: of the vectors; what is not float64 counts as float32.
        training: whether the backward counts too.
    """
    return _interpolate(first, second, order, math.comb(n, order), 2 * training + (dtype == torch.float64))


@torch.compiler.assume_constant_result
def fewest_vectors_by_compound(n: int, order: int, n_gates: int, dtype: torch.dtype, training: bool) -> float:
    """`fewest_vectors` from gates to compound, for a circuit of any number of gates.

    With c the gates of a vector, all n(n-1)/2 of them, r c its compound, and b what finding the matrix takes, the
    compound is the faster from T = b / (c - r c) vectors on; with a part f of the gates from b / (f c - r c) on.
    """
    ratio = _COMPOUND_RATHER_THAN_GATES.get(order, _COMPOUND_RATHER_THAN_GATES_ABOVE)
    part = n_gates / (n * (n - 1) / 2)
    if part <= ratio:
        return math.inf
    return fewest_vectors("gates", "compound", n, order, dtype, training) * (1 - ratio) / (part - ratio)


@functools.lru_cache(maxsize=4096)
def _interpolate(first: str, second: str, order: int, dim: int, column: int) -> float:
    """The limit on the line through the logarithms of limits and sizes; the last size serves those beyond."""
    orders = _LIMITS[first, second]
    sizes, limits = zip(*((size, row[column]) for size, row in orders[min(order, max(orders))].items()), strict=True)
    dim = min(max(dim, sizes[0]), sizes[-1])
    index = max(1, bisect.bisect_left(sizes, dim))
    part = math.log(dim / sizes[index - 1]) / math.log(sizes[index] / sizes[index - 1])
    return float(limits[index - 1] ** (1 - part) * limits[index] ** part)
