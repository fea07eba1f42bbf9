"""A contender: one method at one size on one task, with the rates it may choose from and the seeds it is run with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .cells import Cell

__all__ = ["TUNING_SEED", "Contender", "merge_contenders"]

TUNING_SEED = 1000  # apart from the seeds of the test cells, which start at 0


@dataclass(frozen=True)
class Contender:
    """What a comparison compares; it becomes a cell for each rate, and then one for each seed at the best rate.

    Args:
        cell: the setup, without a rate, of split "test".
        rates: peak learning rates to choose from, on examples set apart from the training set, in ascending order; of
            three or more, one or two beyond are tried too where the best is at their edge.
        seeds: of the cells that are measured on the test examples.
        tuned_on: the task whose examples set apart choose the rate, where it is not the cell's own: one of the same
            suite, so that all its tasks share one choice.

    Raises:
        ValueError: the cell has a rate or another split, or there are no seeds or no ascending rates.
    """

    cell: Cell
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    tuned_on: str | None = None

    def __post_init__(self) -> None:
        if self.cell != self.cell.setup():
            raise ValueError(f"a contender's cell has no rate, seed 0 and split 'test', got {self.cell}")
        if not self.rates or not self.seeds:
            raise ValueError(f"a contender needs rates and seeds, got {self.rates} and {self.seeds}")
        if list(self.rates) != sorted(set(self.rates)):
            raise ValueError(f"a contender's rates must ascend, got {self.rates}")

    def tuning_cells(self) -> list[Cell]:
        """One cell for each rate; none where there is no choice."""
        if len(self.rates) == 1:
            return []
        task = self.tuned_on or self.cell.task
        plain = replace(self.cell, task=task, split="tuning", seed=TUNING_SEED, measures=())
        return [replace(plain, rate=rate) for rate in self.rates]

    def further_rate(
        self, tried: Sequence[float], tuning: Mapping[float, float], lower_is_better: bool
    ) -> float | None:
        """The rate beyond the smallest or the largest that is worth trying because that one is the best.

        Three rates, such as 1e-3, 3e-3, 1e-2, lead to 3e-4 or 3e-2: a step repeats the one before the last.

        Args:
            tried: all rates so far.
            tuning: score by rate; rates at which training failed are absent.
            lower_is_better: whether the score is a perplexity.

        Returns:
            None where the best is inside, or no better than its neighbour, or there are fewer than three rates.
        """
        if len(tried) < 3 or not tuning:
            return None
        ascending = sorted(tried)
        best = self.best_rate(tuning, lower_is_better)
        for end, neighbour, next_one in (ascending[:3], ascending[:-4:-1]):
            if best == end and tuning.get(neighbour) != tuning[best]:
                return float(f"{end * neighbour / next_one:.3g}")
        return None

    def test_cells(self, rate: float) -> list[Cell]:
        """One cell for each seed."""
        return [replace(self.cell, rate=rate, seed=seed) for seed in self.seeds]

    def best_rate(self, tuning: Mapping[float, float], lower_is_better: bool) -> float:
        """The rate with the best score on the examples set apart; of equal ones the smallest.

        Args:
            tuning: score by rate; rates at which training failed are absent.
            lower_is_better: whether the score is a perplexity.

        Raises:
            ValueError: no rate has a score.
        """
        if len(self.rates) == 1:
            return self.rates[0]
        if not tuning:
            raise ValueError(f"training must succeed at one of the rates {self.rates}, got none: {self.cell.label()}")
        sign = 1 if lower_is_better else -1
        return min(tuning, key=lambda rate: (sign * tuning[rate], rate))


def merge_contenders(contenders: Iterable[Contender]) -> list[Contender]:
    """Each setup once, in the order of first appearance, with the rates and seeds of all who ask for it."""
    merged: dict[Cell, Contender] = {}
    for contender in contenders:
        earlier = merged.get(contender.cell, contender)
        rates = tuple(sorted({*earlier.rates, *contender.rates}))
        seeds = tuple(sorted({*earlier.seeds, *contender.seeds}))
        merged[contender.cell] = replace(earlier, rates=rates, seeds=seeds)
    return list(merged.values())
