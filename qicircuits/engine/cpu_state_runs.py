"""Which runs of neighbouring amplitudes a gate rotates, in closed form.

In lexicographic order the amplitudes that share the occupation of the first wires are neighbours. A gate on wires
i < j therefore rotates whole runs: for each occupation of the wires below j, i left out, that has t ones, two runs
of C(n-j-1, k-t-1) amplitudes.
"""

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..subsets import subset_array

__all__ = ["Integers", "Runs", "choose", "count_runs", "gate_runs", "prefix_starts", "tail_runs"]

Integers = NDArray[np.int64]


class Runs(NamedTuple):
    """Pairs of runs of amplitudes that a gate rotates with one sign.

    Attributes:
        length: amplitudes in each run.
        between: how many ones stand between the two wires, or a number of the same parity.
        lower: where the runs start that have the lower one of the two wires occupied.
        higher: where the runs start that have the higher one occupied.
    """

    length: int
    between: int
    lower: Integers
    higher: Integers


def choose(n: int, k: int) -> int:
    """C(n, k), and 0 where there is no such subset."""
    return math.comb(n, k) if 0 <= k <= n else 0


def prefix_starts(n: int, order: int, wires: int, ones: int) -> Integers:
    """The first amplitude of each occupation of the first `wires` wires that has `ones` ones.

    The subsets that come after one whose first elements are q_0 < q_1 < ... and whose others follow at once are
    those that exceed it first in the r-th element, C(n-1-q_r, k-r) each. Complements are in the reverse order.
    """
    if 2 * ones > wires:  # fewer zeros than ones
        last = choose(n, order) - choose(n - wires, order - ones)
        return last - prefix_starts(n, n - order, wires, wires - ones)[::-1]
    starts = np.full(choose(wires, ones), choose(n, order) - choose(n - wires, order - ones), np.int64)
    members = subset_array(wires, ones)
    for r in range(ones):
        starts -= _later(n, order - r)[members[:, r]]
    return starts


@functools.lru_cache(maxsize=1024)
def _later(n: int, order: int) -> Integers:
    """C(n-1-w, k) for each wire w."""
    return np.array([choose(n - 1 - wire, order) for wire in range(n)], np.int64)


def gate_runs(n: int, order: int, low: int, high: int) -> Iterator[Runs]:
    """The runs of a gate on wires low < high of a sector."""
    for ones in range(max(0, order - n + low + 1), min(low, order - 1) + 1):  # fewer leave too many behind
        starts = prefix_starts(n, order, low, ones)[:, None]
        # With wire `low` empty, its block follows that with `low` occupied.
        block = choose(n - low - 1, order - ones - 1)
        for length, between, lower, higher in tail_runs(n - low - 1, order - ones - 1, high - low - 1):
            yield Runs(length, between, (starts + lower).ravel(), (starts + block + higher).ravel())


def tail_runs(n: int, order: int, between: int) -> Iterator[Runs]:
    """The runs within the n wires behind the lower wire of a gate; its higher wire is the one numbered `between`.

    Args:
        n: number of wires behind the lower one.
        order: the ones that they hold while the lower wire is occupied; there is one more while it is empty.
        between: number of wires between the two.
    """
    for ones in range(min(between, order) + 1):
        if length := choose(n - between - 1, order - ones):
            # With the higher wire empty, the run follows those with it occupied.
            skipped = choose(n - between - 1, order - ones - 1)
            lower = prefix_starts(n, order, between, ones) + skipped
            yield Runs(length, ones, lower, prefix_starts(n, order + 1, between, ones))


def count_runs(high: int, ones: range) -> int:
    """How many pairs of runs a gate has with this higher wire and so many ones, without its own, before that."""
    return sum(choose(high - 1, count) for count in ones)
