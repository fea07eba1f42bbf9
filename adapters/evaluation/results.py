"""The results of a sweep, found by contender."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from .cells import Cell, Result
from .contenders import Contender

__all__ = ["Measured", "Results"]

_BEYOND = 2  # rates tried at most beyond a grid


@dataclass(frozen=True)
class Measured:
    """What a contender reached.

    Args:
        contender: who.
        rate: the chosen peak learning rate.
        tuning: score on the examples set apart, by rate; empty where there was no choice.
        runs: results on the test examples, by seed; at least one.
    """

    contender: Contender
    rate: float
    tuning: Mapping[float, float]
    runs: Mapping[int, Result]

    def scores(self) -> dict[tuple[str, int], float]:
        """Score by (task, seed): what :func:`statistics.paired_difference` takes."""
        return {(run.cell.task, seed): run.score for seed, run in self.runs.items()}

    def mean(self) -> float:
        """Mean score over the seeds."""
        return fmean(run.score for run in self.runs.values())

    def first(self) -> Result:
        """The run of the smallest seed: for what does not depend on the seed, such as counts and bytes."""
        return self.runs[min(self.runs)]


class Results:
    """Results by cell, and what a sweep could not run.

    Args:
        results: at most one a cell.
        failures: by cell, the error that stopped it.
    """

    def __init__(self, results: Iterable[Result] = (), failures: Mapping[Cell, str] | None = None) -> None:
        self._results = {result.cell: result for result in results}
        self.failures = dict(failures or {})

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results.values())

    def __len__(self) -> int:
        return len(self._results)

    def add(self, entry: Result | tuple[Cell, str]) -> None:
        """Take in a result, or a cell and the error that stopped it."""
        if isinstance(entry, Result):
            self._results[entry.cell] = entry
            self.failures.pop(entry.cell, None)
        else:
            self.failures[entry[0]] = entry[1]

    def get(self, cell: Cell) -> Result | None:
        """The result of a cell, if there is one."""
        return self._results.get(cell)

    def tuning_cells(self, contender: Contender) -> list[Cell]:
        """Cells that choose a contender's rate: its own, then those beyond where the best so far is at the edge."""
        cells = contender.tuning_cells()
        for _ in range(_BEYOND):
            if not cells or self._open(cells):
                break
            tried = [cell.rate for cell in cells if cell.rate is not None]
            further = contender.further_rate(tried, *self._tuning(cells))
            if further is None:
                break
            cells.append(replace(cells[0], rate=further))
        return cells

    def rate(self, contender: Contender) -> float | None:
        """The rate that is chosen as soon as every rate has been tried; None before, or if all failed."""
        cells = self.tuning_cells(contender)
        if self._open(cells):
            return None
        tuning, lower_is_better = self._tuning(cells)
        return None if cells and not tuning else contender.best_rate(tuning, lower_is_better)

    def of(self, contender: Contender) -> Measured | None:
        """What a contender reached; None as long as no seed has been measured at its chosen rate."""
        rate = self.rate(contender)
        if rate is None:
            return None
        runs = {cell.seed: run for cell in contender.test_cells(rate) if (run := self.get(cell))}
        tuning, _ = self._tuning(self.tuning_cells(contender))
        return Measured(contender, rate, tuning, runs) if runs else None

    def _open(self, cells: Iterable[Cell]) -> bool:
        """Whether one of the cells has neither a result nor a failure."""
        return any(cell not in self._results and cell not in self.failures for cell in cells)

    def _tuning(self, cells: Iterable[Cell]) -> tuple[dict[float, float], bool]:
        """Score by rate of the cells that have one, and whether a lower one is better."""
        tried = [result for cell in cells if (result := self.get(cell))]
        scores = {result.cell.rate: result.score for result in tried if result.cell.rate is not None}
        return scores, bool(tried) and tried[0].metric == "perplexity"
