"""In what order the gates of a circuit act on the runs of a state vector, and the tables of those runs.

A small sector is one table for each pair of wires. A large one is cut at a wire: a gate on one side of the cut acts
alike on many blocks, so that tables of the two sides, square roots of the sector, are enough, and several gates act
on one block while it is in the cache.
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .cpu_state_runs import Integers, Runs, choose, count_runs, gate_runs, prefix_starts, tail_runs

__all__ = ["Stage", "StatePlan", "state_plan"]

_UNCUT = 2**18
"""Amplitudes of the largest sector that is not cut."""

_SMALLEST_BLOCK = 32
"""How many amplitudes blocks must have in the mean for a cut to pay."""

_COLUMNS = 2**18
"""How many amplitudes the gates before the cut act on at a time."""

_KEPT_RUNS = 2**23
"""Tables of more runs than this are made anew at each use."""

_Pair = tuple[int, int]


class Stage(NamedTuple):
    """Some gates of a circuit, and the places on each of which they act independently.

    Attributes:
        offset_a: for each place, what is added to `a`, in amplitudes.
        offset_b: for each place, what is added to `b`.
        kind: for each place, which of the tables of a gate applies.
        gates: positions of the gates in the circuit, in order of application.
        tables: for each gate the first of its tables, one a kind.
        groups: table t is the groups groups[t] .. groups[t + 1].
        lengths: amplitudes in each run of a group.
        signs: parity of a group.
        stops: group g is the pairs of runs stops[g] .. stops[g + 1].
        a: where the runs with the first wire of the gate occupied start.
        b: where those with its second wire occupied start.
    """

    offset_a: Integers
    offset_b: Integers
    kind: Integers
    gates: Integers
    tables: Integers
    groups: Integers
    lengths: Integers
    signs: Integers
    stops: Integers
    a: NDArray[Any]
    b: NDArray[Any]


class _Kind(NamedTuple):
    """Places with the same tables: their offsets for a gate's lower and higher wire, and the runs of such a gate."""

    lower: Integers
    higher: Integers
    runs: Callable[[int, int], Iterable[Runs]]


@functools.lru_cache(maxsize=8)
def state_plan(wires: bytes, n: int, order: int, fermionic: bool) -> "StatePlan":
    """The plan of a circuit, cached.

    Args:
        wires: the wires of all gates in order of application, 2 n_gates int64 numbers.
        n: number of wires.
        order: Hamming weight k of the sector.
        fermionic: False for RBS, True for FBS.
    """
    return StatePlan(np.frombuffer(wires, np.int64).tolist(), n, order, fermionic)


class StatePlan:
    """The stages of a circuit on one sector; arguments as in `state_plan`."""

    def __init__(self, wires: list[int], n: int, order: int, fermionic: bool) -> None:
        self.n, self.order, self.fermionic = n, order, fermionic
        self.pairs: list[_Pair] = list(zip(wires[::2], wires[1::2], strict=True))
        self.dim = math.comb(n, order)
        blocks = sum(choose(n // 2, ones) for ones in range(max(0, order - n + n // 2), min(order, n // 2) + 1))
        self.cut = n // 2 if self.dim > _UNCUT and blocks * _SMALLEST_BLOCK <= self.dim else 0
        kept = sum(map(self._count, set(self.pairs))) <= _KEPT_RUNS
        self._batches = self._split()
        self._kept = [self._stage(batch) for batch in self._batches] if kept else None

    def stages(self, backwards: bool = False) -> Iterator[Stage]:
        """The stages in order of application, or in the reverse of it."""
        step = -1 if backwards else 1
        return map(self._stage, self._batches[::step]) if self._kept is None else iter(self._kept[::step])

    def _split(self) -> list[list[int]]:
        """Gates on one side of the cut, or a single gate across it; those on different sides commute."""
        batches: list[list[int]] = []
        sides: tuple[list[int], list[int]] = [], []
        held: set[_Pair] = set()  # the pairs of wires that have tables in these batches
        runs = 0
        for gate, pair in enumerate(self.pairs):
            across = min(pair) < self.cut <= max(pair)
            runs += 0 if pair in held else self._count(pair)
            if across or runs > _KEPT_RUNS:
                batches += filter(None, sides)
                sides, held, runs = ([], []), set(), self._count(pair)
            if across:
                batches.append([gate])
            else:
                held.add(pair)
                sides[max(pair) >= self.cut].append(gate)
        return [*batches, *filter(None, sides)]

    def _count(self, pair: _Pair) -> int:
        """At the most, how many pairs of runs the tables of a gate hold."""
        high = max(pair) - self.cut if max(pair) >= self.cut else self.cut
        fewest = 0 if self.cut else max(0, self.order - self.n + high)  # what is left fits behind the higher wire
        return count_runs(high, range(fewest, self.order))

    def _stage(self, batch: list[int]) -> Stage:
        pairs = [self.pairs[gate] for gate in batch]
        low, high = min(pairs[0]), max(pairs[0])
        across = low < self.cut <= high
        kinds = list(self._across(low) if across else self._before() if high < self.cut else self._behind())
        lower, higher = (np.concatenate([np.empty(0, np.int64), *(kind[side] for kind in kinds)]) for side in (0, 1))
        kind = np.repeat(np.arange(len(kinds)), [len(kind.lower) for kind in kinds])
        nearest = np.argsort(lower, kind="stable")  # neighbours in memory, and an even load for all threads
        offset_a, offset_b = (higher, lower) if across and pairs[0][0] == high else (lower, higher)
        first_table = {pair: len(kinds) * index for index, pair in enumerate(dict.fromkeys(pairs))}
        return Stage(
            offset_a[nearest],
            offset_b[nearest],
            kind[nearest],
            np.array(batch),
            np.array([first_table[pair] for pair in pairs]),
            *self._tables([(pair, kind) for pair in first_table for kind in kinds]),
        )

    def _behind(self) -> Iterator[_Kind]:
        """Blocks of the wires behind the cut, for each number of ones before it."""
        n, cut = self.n - self.cut, self.cut
        for ones in range(min(cut, self.order - 1) + 1):
            starts, order = prefix_starts(self.n, self.order, cut, ones), self.order - ones
            if order < n:
                yield _Kind(starts, starts, functools.partial(_shifted_runs, n, order, cut))

    def _before(self) -> Iterator[_Kind]:
        """Columns, the same amplitudes of all blocks, for each number of ones before the cut."""
        for ones in range(1, min(self.cut - 1, self.order) + 1):
            blocks = prefix_starts(self.n, self.order, self.cut, ones)
            size = choose(self.n - self.cut, self.order - ones)
            width = max(1, min(size, _COLUMNS // len(blocks)))
            whole, rest = divmod(size, width)
            for columns, starts in ((width, width * np.arange(whole)), (rest, np.array([whole * width]))):
                if columns * whole:
                    merge = columns == size
                    runs = functools.partial(_block_runs, self.cut, ones, blocks, columns, merge)
                    yield _Kind(starts, starts, runs)

    def _across(self, low: int) -> Iterator[_Kind]:
        """Pairs of blocks behind the cut, for each number of ones before wire `low`, and between it and the cut."""
        n, between = self.n - low - 1, self.cut - low - 1
        for ones in range(min(low, self.order - 1) + 1):
            starts, order = prefix_starts(self.n, self.order, low, ones)[:, None], self.order - ones - 1
            for passed in range(min(between, order) + 1):
                lower = starts + prefix_starts(n, order, between, passed)
                higher = starts + choose(n, order) + prefix_starts(n, order + 1, between, passed)
                runs = functools.partial(_behind_runs, self.n - self.cut, order - passed, passed, self.cut)
                yield _Kind(lower.ravel(), higher.ravel(), runs)

    def _tables(self, tables: list[tuple[_Pair, _Kind]]) -> tuple[Integers, Integers, Integers, Integers, Any, Any]:
        """The fields of a stage from `groups` on."""
        runs = [[*kind.runs(min(pair), max(pair))] for pair, kind in tables]
        flat = [(run, pair[0] < pair[1]) for (pair, _), table in zip(tables, runs, strict=True) for run in table]
        index = np.int32 if self.dim < 2**31 else np.int64
        empty = np.empty(0, index)
        return (
            _stops(map(len, runs)),
            np.array([run.length for run, _ in flat], np.int64),
            np.array([(-1) ** run.between if self.fermionic else 1 for run, _ in flat], np.int64),
            _stops(len(run.lower) for run, _ in flat),
            np.concatenate([empty, *(run.lower if rising else run.higher for run, rising in flat)], dtype=index),
            np.concatenate([empty, *(run.higher if rising else run.lower for run, rising in flat)], dtype=index),
        )


def _block_runs(
    cut: int, ones: int, blocks: Integers, columns: int, merge: bool, low: int, high: int
) -> Iterator[Runs]:
    """The runs of a gate before the cut: it takes blocks as it would the amplitudes of a sector of those wires."""
    for runs in gate_runs(cut, ones, low, high):
        lower, higher = (
            blocks[(starts[:, None] + np.arange(runs.length)).ravel()] for starts in (runs.lower, runs.higher)
        )
        pairs = Runs(columns, runs.between, lower, higher)
        yield from _merged(pairs) if merge else (pairs,)


def _shifted_runs(n: int, order: int, cut: int, low: int, high: int) -> Iterator[Runs]:
    """The runs of a gate behind the cut, in one block."""
    return gate_runs(n, order, low - cut, high - cut)


def _behind_runs(n: int, order: int, passed: int, cut: int, low: int, high: int) -> Iterator[Runs]:
    """The runs behind the cut of a gate across it, with `passed` ones between its lower wire and the cut."""
    for runs in tail_runs(n, order, high - cut):
        yield runs._replace(between=passed + runs.between)


def _merged(runs: Runs) -> Iterator[Runs]:
    """The same runs, those joined that follow on each other."""
    follows = (np.diff(runs.lower) == runs.length) & (np.diff(runs.higher) == runs.length)
    first = np.concatenate([[0], np.flatnonzero(~follows) + 1])
    counts = np.diff(first, append=len(runs.lower))
    for count in np.unique(counts):
        chosen = first[counts == count]
        yield Runs(runs.length * int(count), runs.between, runs.lower[chosen], runs.higher[chosen])


def _stops(counts: Iterable[int]) -> Integers:
    """0 and the sums of the first numbers."""
    return np.cumsum([0, *counts], dtype=np.int64)
