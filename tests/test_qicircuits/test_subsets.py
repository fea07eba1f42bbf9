"""Subsets: order, rank and unrank, and their refusals."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qicircuits import rank_subset, subsets, subspace_dim, unrank_subset
from qicircuits.subsets import subset_array, subset_integers


@pytest.mark.parametrize("n", range(7))
def test_subsets_are_lexicographic_and_ranked_by_position(n):
    for order in range(n + 1):
        members = subsets(n, order)
        assert members == list(itertools.combinations(range(n), order))
        assert len(members) == subspace_dim(n, order) == math.comb(n, order)
        assert [rank_subset(s, n) for s in members] == list(range(len(members)))
        assert [unrank_subset(i, n, order) for i in range(len(members))] == members
        assert [tuple(row) for row in subset_array(n, order).tolist()] == members


@given(st.data())
def test_rank_and_unrank_are_inverse_at_any_size(data):
    n = data.draw(st.integers(1, 5000))
    order = data.draw(st.integers(0, min(n, 6)))
    index = data.draw(st.integers(0, math.comb(n, order) - 1))
    subset = unrank_subset(index, n, order)
    assert len(subset) == order
    assert rank_subset(subset, n) == index


def test_integers_descend_with_wire_zero_as_most_significant_bit():
    integers = subset_integers(6, 3).tolist()
    assert integers == sorted(integers, reverse=True)
    assert integers[0] == 0b111000
    assert all(bin(s).count("1") == 3 for s in integers)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: subsets(4, 5), "Hamming weight in 0..4, got order=5"),
        (lambda: subspace_dim(4, -1), "got order=-1"),
        (lambda: subspace_dim(-1, 0), "at least 0, got n=-1"),
        (lambda: rank_subset((2, 1), 4), r"strictly increasing wires in 0..3, got \(2, 1\)"),
        (lambda: rank_subset((1, 1), 4), "strictly increasing"),
        (lambda: rank_subset((1, 4), 4), r"got \(1, 4\)"),
        (lambda: rank_subset(range(90), 60), r"got \(0, 1, 2, 3, 4, 5, \.\.\.\)$"),
        (lambda: unrank_subset(6, 4, 2), r"in 0..5, got 6"),
        (lambda: subset_integers(63, 2), "n <= 62"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("subset", "n", "got"), [((0.0, 1), 4, r"0\.0"), ("01", 4, "'0'"), ((0, 1), 4.0, r"4\.0")])
def test_what_is_no_integer_is_refused(subset, n, got):
    with pytest.raises(TypeError, match=f"must be an integer, got {got}"):
        rank_subset(subset, n)


def test_the_cached_table_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        subset_array(4, 2)[0, 0] = 3
