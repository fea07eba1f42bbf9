"""Intervals against scipy on known data, and frontiers against their definition."""

import math

import numpy as np
import pytest
from scipy import stats

from adapters.evaluation.statistics import bootstrap_interval, mean_interval, paired_difference, pareto_frontier

# Student's own data (1908): hours of sleep gained by ten patients with two drugs.
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_a_paired_difference_is_that_of_scipy(confidence):
    ours = paired_difference(dict(enumerate(SECOND)), dict(enumerate(FIRST)), confidence)
    theirs = stats.ttest_rel(SECOND, FIRST).confidence_interval(confidence)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.mean == pytest.approx(1.58)
    assert ours.n == 10


def test_the_interval_excludes_zero_where_the_test_rejects():
    p = stats.ttest_rel(SECOND, FIRST).pvalue
    for confidence in (0.9, 0.99, 0.999):
        interval = paired_difference(dict(enumerate(SECOND)), dict(enumerate(FIRST)), confidence)
        assert interval.excludes_zero() == (p < 1 - confidence)


def test_only_shared_pairs_count():
    a, b = {("movie", 0): 0.8, ("movie", 1): 0.9, ("bbc", 0): 0.1}, {("movie", 1): 0.7, ("movie", 0): 0.7}
    assert paired_difference(a, b) == mean_interval([0.8 - 0.7, 0.9 - 0.7])
    with pytest.raises(ValueError, match="needs pairs that both have"):
        paired_difference({0: 1.0}, {1: 1.0})


def test_the_bootstrap_is_that_of_scipy():
    ours = bootstrap_interval(SECOND, resamples=20_000)
    theirs = stats.bootstrap((SECOND,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.05)
    assert bootstrap_interval(SECOND, seed=3) == bootstrap_interval(SECOND, seed=3)


def test_students_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(1.0, 2.0, (4000, 3))
    covered = [i.low <= 1.0 <= i.high for i in (mean_interval(list(x)) for x in draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("interval", [mean_interval, bootstrap_interval])
def test_one_value_says_nothing_about_its_spread(interval):
    assert interval([0.5]).mean == 0.5
    assert (interval([0.5]).low, interval([0.5]).high) == (-math.inf, math.inf)
    assert not interval([0.5]).excludes_zero()


@pytest.mark.parametrize("interval", [mean_interval, bootstrap_interval])
@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_a_mean_needs_finite_values(interval, values):
    with pytest.raises(ValueError, match="a mean needs at least one value, all finite"):
        interval(values)


def test_confidence_is_a_probability():
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        mean_interval([1.0, 2.0], 95)


def beats(a, b):
    return a != b and a[0] <= b[0] and a[1] >= b[1]


def test_the_frontier_is_what_no_point_beats():
    rng = np.random.default_rng(0)
    for n in (0, 1, 2, 5, 40):
        for _ in range(20):
            costs, scores = rng.integers(0, 6, (2, n)).tolist()  # with ties
            points = list(zip(costs, scores, strict=True))
            expected = {i for i, p in enumerate(points) if not any(beats(q, p) for q in points)}
            found = pareto_frontier(costs, scores)
            assert set(found) == expected
            assert [costs[i] for i in found] == sorted(costs[i] for i in found)


def test_every_point_of_the_frontier_needs_both():
    with pytest.raises(ValueError, match="every point needs a cost and a score, got 2 and 1"):
        pareto_frontier([1, 2], [1])
