"""Paired differences with confidence intervals, and Pareto frontiers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import stats

__all__ = ["Interval", "bootstrap_interval", "mean_interval", "paired_difference", "pareto_frontier"]

_K = TypeVar("_K")


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval.

    Args:
        mean: of the values.
        low: lower end; -inf of a single value, which says nothing about its spread.
        high: upper end; inf of a single value.
        n: how many values there were.
    """

    mean: float
    low: float
    high: float
    n: int

    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's interval of a mean: mean ± t(n - 1) s / sqrt(n).

    Args:
        values: at least one, taken as independent and about normal.
        confidence: probability, in (0, 1), that the interval covers the mean.

    Raises:
        ValueError: there are no values, one is not finite, or the confidence is not a probability.
    """
    x = _checked(values, confidence)
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    half = float(stats.t.ppf((1 + confidence) / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return Interval(mean, mean - half, mean + half, len(x))


def bootstrap_interval(
    values: Sequence[float], confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Percentile interval of a mean over resamples of the values with replacement; no shape is assumed.

    Args:
        values: at least one; for fewer than about ten Student's interval is wider, and honest.
        confidence: probability, in (0, 1), that the interval covers the mean.
        resamples: how many.
        seed: of the resamples.

    Raises:
        ValueError: there are no values, one is not finite, or the confidence is not a probability.
    """
    x = _checked(values, confidence)
    if len(x) == 1:
        return Interval(float(x[0]), -math.inf, math.inf, 1)
    rows = np.random.default_rng(seed).integers(0, len(x), (resamples, len(x)))
    low, high = np.quantile(x[rows].mean(1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(x.mean()), float(low), float(high), len(x))


def _checked(values: Sequence[float], confidence: float) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"a mean needs at least one value, all finite, got {values}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    return x


def paired_difference(a: Mapping[_K, float], b: Mapping[_K, float], confidence: float = 0.95) -> Interval:
    """Student's interval of the mean of a - b over what both were measured on, such as (task, seed).

    Pairing takes out what rivals share: the task, the batches, the first head.

    Args:
        a: score by pair.
        b: score by pair; pairs that only one of the two has do not count.
        confidence: probability, in (0, 1), that the interval covers the mean.

    Raises:
        ValueError: they share no pair.
    """
    shared = [pair for pair in a if pair in b]
    if not shared:
        raise ValueError(f"a paired difference needs pairs that both have, got {list(a)} and {list(b)}")
    return mean_interval([a[pair] - b[pair] for pair in shared], confidence)


def pareto_frontier(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Indices of the points that no other point beats: none has at most their cost and a higher score, or less cost
    and at least their score; in order of cost, then of index.

    Args:
        costs: lower is better.
        scores: higher is better, as many.

    Raises:
        ValueError: the two are not of equal length.

    >>> pareto_frontier([1, 2, 3], [0.5, 0.9, 0.8])
    [0, 1]
    """
    if len(costs) != len(scores):
        raise ValueError(f"every point needs a cost and a score, got {len(costs)} and {len(scores)}")
    frontier: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -scores[i], i)):
        last = frontier[-1] if frontier else None
        if last is None or scores[i] > scores[last] or (scores[i], costs[i]) == (scores[last], costs[last]):
            frontier.append(i)
    return frontier
