"""Kernels for C_k(A) of any order on tiles of tokens: A as rotations of six neighbouring wires, kept in registers.

Every A in SO(n) is a product of rotations Q of a window of six neighbouring wires. C_k(Q) mixes only amplitudes that
agree outside the window, and those with m particles inside by C_m(Q): 6, 15 or 20 rows, which stay in the registers
while they are multiplied. The gates of a circuit, two rows at a time, take as many operations, and pass the rows
through the cache four times as often.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kept import keep_bytes
from ..subsets import subset_array
from .cpu_blocks import square_multiplier
from .cpu_lanes import LANE_BYTES
from .cpu_tiles import Flat, kernel, load_tile, store_tile
from .plan import occupation, ranks

__all__ = ["WindowRows", "Windows", "factor_windows", "rotate_windows", "window_rows"]

_WINDOW = 6
"""C(6, 3) = 20 rows and their matrix's row fit in 32 registers; wires of windows that follow overlap by half."""

_multiply_4 = square_multiplier(4)
_multiply_5 = square_multiplier(5)
_multiply_6 = square_multiplier(6)
_multiply_10 = square_multiplier(10)
_multiply_15 = square_multiplier(15)
_multiply_20 = square_multiplier(20)


class Windows(NamedTuple):
    """The windows of a rotation, in order of application.

    Attributes:
        numbers: the matrices C_1(Q), C_2(Q), ... of every window, row by row, one after the other.
        starts: where C_m(Q) of window w starts, at starts[w, m]; -1 where Q = I.
    """

    numbers: Flat
    starts: NDArray[np.int64]


class WindowRows(NamedTuple):
    """The rows that every window mixes in a sector.

    Attributes:
        stops: the classes of window w, alike in their numbers of particles, are stops[w] .. stops[w + 1] - 1.
        particles: m of every class, the particles inside the window.
        counts: the rows in a group of every class, C(6, m).
        group_stops: the groups of rows of class c are group_stops[c] .. group_stops[c + 1] - 1.
        groups: the first row of every group.
        offsets: from the first row of a group to its C(6, m) rows, shape (classes, 20).
    """

    stops: NDArray[np.int64]
    particles: NDArray[np.int64]
    counts: NDArray[np.int64]
    group_stops: NDArray[np.int64]
    groups: NDArray[np.int64]
    offsets: NDArray[np.int64]


@keep_bytes(2**28)
def window_rows(n: int, order: int) -> WindowRows:
    """The rows of all windows in the weight-`order` sector, cached."""
    size = min(_WINDOW, n)
    windows = _schedule(n).windows.tolist()[::-1]
    classes = {start: _classes(n, order, start, size) for start in set(windows)}
    listed = [classes[start] for start in windows]
    flat = list(itertools.chain.from_iterable(listed))
    offsets = np.zeros((len(flat), math.comb(_WINDOW, _WINDOW // 2)), np.int64)
    for row, (_, _, steps) in zip(offsets, flat, strict=True):
        row[: len(steps)] = steps
    return WindowRows(
        np.cumsum([0, *map(len, listed)]),
        np.array([particles for particles, _, _ in flat], np.int64),
        np.array([len(steps) for _, _, steps in flat], np.int64),
        np.cumsum([0, *(len(groups) for _, groups, _ in flat)]),
        np.concatenate([np.empty(0, np.int64), *(groups for _, groups, _ in flat)]),
        offsets,
    )


def _classes(n: int, order: int, start: int, size: int) -> list[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Particles, first rows and offsets of the groups that agree in the particles before and inside a window."""
    occupied = occupation(n, order)
    inside = occupied[:, start : start + size].sum(axis=1)
    before = occupied[:, :start].sum(axis=1)
    classes = []
    for particles in range(max(1, order - n + size), min(order, size - 1) + 1):
        patterns = np.zeros((math.comb(size, particles), size), bool)
        np.put_along_axis(patterns, subset_array(size, particles), True, axis=1)
        first = (inside == particles) & occupied[:, start : start + particles].all(axis=1)
        for ahead in range(order - particles + 1):
            groups = np.flatnonzero(first & (before == ahead))
            if len(groups):
                # A subset's rank is a sum over its wires: moving particles inside adds the same to all groups.
                moved = occupied[groups[:1]].repeat(len(patterns), axis=0)
                moved[:, start : start + size] = patterns
                classes.append((particles, groups, ranks(moved, order) - groups[0]))
    return classes


class _Schedule(NamedTuple):
    """How A becomes triangular, and so I: every window clears matrix elements by rotations of its rows.

    Attributes:
        windows: first wires of the windows, the one applied last first.
        stops: the elements that window w clears are stops[w] .. stops[w + 1] - 1.
        rows: their rows; row r is rotated with row r - 1.
        columns: their columns.
    """

    windows: NDArray[np.int64]
    stops: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


@functools.lru_cache(maxsize=32)
def _schedule(n: int) -> _Schedule:
    size, half = min(_WINDOW, n), _WINDOW // 2
    windows, cleared = [], []
    # The columns of a group are cleared from the bottom up, one group of rows into the one above it.
    for column in range(0, max(1, n - half), half):
        for top in reversed(range(column, max(column + 1, n - half), half)):
            bottom = min(top + _WINDOW, n)
            last_columns = column + half >= n - half
            columns = range(column, n if last_columns else column + half)
            windows.append(min(top, n - size))
            cleared.append([(row, c) for c in columns for row in range(bottom - 1, top + c - column, -1)])
    elements = np.array(list(itertools.chain.from_iterable(cleared)), np.int64).reshape(-1, 2)
    return _Schedule(np.array(windows), np.cumsum([0, *map(len, cleared)]), *elements.T.copy())


def factor_windows(a: NDArray[np.float64], order: int, dtype: np.dtype[np.floating]) -> Windows:
    """The windows whose product is A (n, n) in SO(n), with the matrices that orders up to `order` need.

    A = I gives Q = I exactly.
    """
    n = len(a)
    size, orders = min(_WINDOW, n), min(order, _WINDOW - 1, n - 1)
    schedule = _schedule(n)
    q = _factor(a.copy(), size, *schedule)[::-1]
    lengths = [math.comb(size, m) ** 2 for m in range(1, orders + 1)]
    starts = np.cumsum([0, *lengths * len(q)])[:-1].reshape(len(q), orders)
    numbers = np.empty(sum(lengths) * len(q))
    _compounds(q, numbers, starts, *_laplace(size, orders))
    starts[(q == np.eye(size)).all(axis=(1, 2))] = -1
    return Windows(numbers.astype(dtype), starts)


@functools.lru_cache(maxsize=32)
def _laplace(size: int, orders: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The wires of every subset of 1 to `orders` wires of a window, and the ranks of the subset without each."""
    wires = np.zeros((orders, math.comb(_WINDOW, _WINDOW // 2), orders), np.int64)
    rests = np.zeros_like(wires)
    for order in range(1, orders + 1):
        rank = {subset: index for index, subset in enumerate(itertools.combinations(range(size), order - 1))}
        for index, subset in enumerate(itertools.combinations(range(size), order)):
            wires[order - 1, index, :order] = subset
            rests[order - 1, index, :order] = [rank[subset[:r] + subset[r + 1 :]] for r in range(order)]
    return wires, rests


@kernel()
def _factor(a: NDArray[np.float64], size: int, windows: Flat, stops: Flat, rows: Flat, columns: Flat) -> Flat:
    """The rotations of the windows, shape (windows, size, size), the one applied last first; `a` becomes I."""
    n = len(a)
    q = np.zeros((windows.size, size, size))
    for w in range(windows.size):
        for i in range(size):
            q[w, i, i] = 1
        for e in range(stops[w], stops[w + 1]):
            row, column = rows[e], columns[e]
            along, across = a[row - 1, column], a[row, column]
            if across == 0 and along >= 0:
                continue
            length = math.hypot(along, across)
            c, s = along / length, across / length
            for j in range(n):
                upper, lower = a[row - 1, j], a[row, j]
                a[row - 1, j], a[row, j] = c * upper + s * lower, c * lower - s * upper
            column = row - windows[w]
            for i in range(size):
                left, right = q[w, i, column - 1], q[w, i, column]
                q[w, i, column - 1], q[w, i, column] = c * left + s * right, c * right - s * left
    return q


@kernel()
def _compounds(q: Flat, numbers: Flat, starts: Flat, wires: Flat, rests: Flat) -> None:
    """C_m(Q) of every window from C_{m-1}(Q), by Laplace's expansion along the first column."""
    for w in range(len(q)):
        size = q.shape[1]
        for i in range(size):
            for j in range(size):
                numbers[starts[w, 0] + i * size + j] = q[w, i, j]
        smaller = size
        for m in range(2, starts.shape[1] + 1):
            count = smaller * (size - m + 1) // m  # C(size, m)
            for i in range(count):
                for j in range(count):
                    minor = 0.0
                    for r in range(m):
                        entry = q[w, wires[m - 1, i, r], wires[m - 1, j, 0]]
                        rest = starts[w, m - 2] + rests[m - 1, i, r] * smaller + rests[m - 1, j, 0]
                        minor += (1 - 2 * (r % 2)) * entry * numbers[rest]
                    numbers[starts[w, m - 1] + i * count + j] = minor
            smaller = count


@kernel()
def rotate_windows(
    x: Flat,
    token_step: int,
    feature_step: int,
    y: Flat,
    y_step: int,
    dim: int,
    first: int,
    last: int,
    tile: Flat,
    width: int,
    numbers: Flat,
    starts: Flat,
    stops: Flat,
    particles: Flat,
    counts: Flat,
    group_stops: Flat,
    groups: Flat,
    offsets: Flat,
) -> None:
    """y = C_k(A) x on `dim` features of the tokens first..last-1; numbers to offsets are Windows and WindowRows."""
    rows = offsets.reshape(offsets.size)
    for token in range(first, last, width):
        count = min(width, last - token)
        load_tile(tile, width, x, token_step, feature_step, token, count, 0, dim)
        for w in range(len(starts)):
            for c in range(stops[w], stops[w + 1]):
                number = starts[w, particles[c] - 1]
                if number >= 0:
                    own = groups[group_stops[c] : group_stops[c + 1]]
                    _multiply(tile, width, own, counts[c], rows, c * offsets.shape[1], numbers, number)
        store_tile(y, y_step, tile, width, token, count, 0, dim)


@kernel()
def _multiply(
    tile: Flat, width: int, groups: Flat, count: int, rows: Flat, first: int, numbers: Flat, number: int
) -> None:
    """Multiply every group of `count` rows by the matrix that starts at `number`."""
    lanes = LANE_BYTES // tile.itemsize
    for group in groups:
        for at in range(group * width, (group + 1) * width, lanes):
            if count == 6:
                _multiply_6(tile, at, rows, first, width, numbers, number)
            elif count == 15:
                _multiply_15(tile, at, rows, first, width, numbers, number)
            elif count == 20:
                _multiply_20(tile, at, rows, first, width, numbers, number)
            elif count == 10:
                _multiply_10(tile, at, rows, first, width, numbers, number)
            elif count == 5:
                _multiply_5(tile, at, rows, first, width, numbers, number)
            else:
                _multiply_4(tile, at, rows, first, width, numbers, number)
