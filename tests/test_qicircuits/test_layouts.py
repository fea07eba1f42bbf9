"""Layouts: gate counts and depths against the closed forms, and what makes a layout valid."""

import itertools

import numpy as np
import pytest

from qicircuits import Layout, brickwork, butterfly, pyramid, round_robin, staircase, v_shape, x_shape
from qicircuits.layouts import LAYOUTS
from qicircuits.testing import layout_cases

# name: (gates, depth, neighbours only) in closed form, for n >= 3
CLOSED_FORMS = {
    "pyramid": lambda n: (n * (n - 1) // 2, 2 * n - 3, True),
    "brickwork": lambda n: (n * (n - 1) // 2, n, True),
    "x_shape": lambda n: (2 * n - 3, n - 1, True),
    "v_shape": lambda n: (2 * n - 3, 2 * n - 3, True),
    "staircase": lambda n: (n - 1, n - 1, True),
    "butterfly": lambda n: (n // 2 * (n.bit_length() - 1), n.bit_length() - 1, False),
    "round_robin": lambda n: (n * (n - 1) // 2, n - 1 if n % 2 == 0 else n, False),
}


def test_every_layout_has_closed_forms_and_cases():
    assert {layout.name for layout in layout_cases(4)} == set(CLOSED_FORMS) == set(LAYOUTS)


@pytest.mark.parametrize("layout", list(layout_cases(33, min_n=3)), ids=repr)
def test_counts_and_depth_are_the_closed_forms(layout):
    assert (layout.n_gates, layout.depth, layout.is_nearest_neighbour) == CLOSED_FORMS[layout.name](layout.n)
    assert layout.n_gates == sum(len(moment) for moment in layout.moments) == len(layout.pairs)
    assert layout.depth == len(layout.moments)
    assert layout.pairs == tuple(itertools.chain(*layout.moments))


@pytest.mark.parametrize("layout", list(layout_cases(2)), ids=repr)
def test_two_wires_take_one_gate(layout):
    assert layout.moments == (((0, 1),),)


@pytest.mark.parametrize("constructor", [pyramid, brickwork, v_shape, staircase, round_robin, butterfly])
def test_one_wire_takes_no_gate(constructor):
    layout = constructor(1)
    assert layout.pairs == ()
    assert layout.depth == 0
    assert layout.is_nearest_neighbour


def test_depth_is_the_least_that_the_order_of_gates_allows():
    for layout in layout_cases(17):
        busy_until = [0] * layout.n
        for i, j in layout.pairs:
            busy_until[i] = busy_until[j] = max(busy_until[i], busy_until[j]) + 1
        assert layout.depth == max(busy_until)


@pytest.mark.parametrize("n", range(2, 12))
def test_round_robin_meets_every_pair_once(n):
    assert sorted(round_robin(n).pairs) == list(itertools.combinations(range(n), 2))


@pytest.mark.parametrize("n", range(2, 12))
def test_swapping_at_every_gate_of_a_brickwork_meets_every_pair_once(n):
    at = list(range(n))
    met = []
    for p, q in brickwork(n).pairs:
        met.append(tuple(sorted((at[p], at[q]))))
        at[p], at[q] = at[q], at[p]
    assert sorted(met) == list(itertools.combinations(range(n), 2))
    assert at == list(range(n))[::-1]


def test_equal_layouts_are_equal_whatever_their_name():
    assert pyramid(3) == Layout(3, brickwork(3).moments, "mine") == v_shape(3)
    assert hash(pyramid(3)) == hash(v_shape(3))
    assert pyramid(4) != brickwork(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Layout(0, ()), "at least 1 wire, got n=0"),
        (lambda: Layout(3, (((0, 3),),)), r"in 0..2, got \(\(0, 3\),\) in moment 0"),
        (lambda: Layout(3, (((1, 1),),)), "must not share wires"),
        (lambda: Layout(3, (((0, 1), (1, 2)),)), "must not share wires"),
        (lambda: Layout(3, (((0, 1),), ())), "got none in moment 1"),
        (lambda: brickwork(-1), "got n=-1"),
        (lambda: x_shape(5), "even number of wires, .* got n=5"),
        (lambda: butterfly(6), "power of two of wires, got n=6"),
        (lambda: butterfly(0), "at least 1 wire, got n=0"),
        (lambda: Layout(3, ((0, 1),)), "moments hold pairs of wires, .* got 0 in place of a pair"),
        (lambda: Layout(3, (((0, 1, 2),),)), r"got \(0, 1, 2\)"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("constructor", [brickwork, butterfly, pyramid, round_robin, staircase, v_shape, x_shape])
def test_wires_are_counted_by_integers(constructor):
    assert constructor(np.int64(4)) == constructor(4)
    for n in (4.0, "4", None):
        with pytest.raises(TypeError, match=f"n must be an integer, got {n!r}"):
            constructor(n)


def test_wires_are_integers():
    with pytest.raises(TypeError, match=r"a wire must be an integer, got 1\.5"):
        Layout(3, (((0, 1.5),),))
