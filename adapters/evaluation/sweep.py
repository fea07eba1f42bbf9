"""A sweep: all cells of some contenders, run by workers, kept one by one, and gone on with after a stop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Protocol

from .cells import Cell, Result
from .contenders import Contender
from .results import Results
from .store import CellStore, Claim

__all__ = ["Outlook", "SweepState", "WorkerDiedError", "Workers", "open_cells", "run_sweep"]

_POLL = 0.5  # seconds between two looks at what others have finished
_LIVES = 2  # so many workers may die over a cell before it counts as failed


class Workers(Protocol):
    """What runs cells: processes here, or a cluster."""

    @property
    def count(self) -> int:
        """How many cells run at a time."""

    def submit(self, cell: Cell) -> Future[Result]:
        """Run a cell; a `WorkerDiedError` says that its process ended, any other exception that the cell failed."""


class WorkerDiedError(RuntimeError):
    """The process that ran a cell has ended without an answer."""


@dataclass(frozen=True)
class SweepState:
    """How far a sweep is.

    Args:
        contenders: what it runs.
        results: so far.
        running: cells that its own workers run now.
    """

    contenders: Sequence[Contender]
    results: Results
    running: frozenset[Cell]


Outlook = Callable[[SweepState], None]
"""Told of every change."""


def open_cells(contenders: Sequence[Contender], results: Results) -> Iterator[Cell]:
    """Cells that can be run now: of each contender its rates, and as soon as the best is known its seeds.

    Cells with a result or a failure are not open.
    """
    for contender in contenders:
        rate = results.rate(contender)
        cells = results.tuning_cells(contender) if rate is None else contender.test_cells(rate)
        for cell in cells:
            if results.get(cell) is None and cell not in results.failures:
                yield cell


def run_sweep(
    contenders: Sequence[Contender],
    store: CellStore,
    workers: Workers,
    *,
    retry_failed: bool = False,
    outlook: Outlook = lambda state: None,
) -> Results:
    """Run every cell that the store does not hold yet, and return all results of these contenders.

    Several sweeps can share a store: each cell is claimed before it is run, so no two run the same. A sweep that is
    killed loses only the cells that were being run. A cell that fails is kept with its error and does not stop the
    others; a rate at which tuning failed is not chosen.

    Args:
        contenders: what to run, the most important first.
        store: where results are and will be.
        workers: what runs them.
        retry_failed: whether to run again what failed before.
        outlook: told of every change.
    """
    results, _ = store.read()
    if retry_failed:
        store.forget(results.failures)
        results = Results(results)
    deaths: Counter[Cell] = Counter()
    running: dict[Future[Result], tuple[Cell, Claim]] = {}
    while True:
        _start_more(contenders, store, workers, results, running)
        outlook(SweepState(contenders, results, frozenset(cell for cell, _ in running.values())))
        if not running:
            if next(open_cells(contenders, results), None) is None:
                return results
            time.sleep(_POLL)  # what is left is being run by others
            continue
        done, _ = wait(running, timeout=_POLL, return_when=FIRST_COMPLETED)
        for future in done:
            cell, claim = running.pop(future)
            try:
                _finish(cell, future, store, results, deaths)
            finally:
                claim.release()


def _start_more(
    contenders: Sequence[Contender],
    store: CellStore,
    workers: Workers,
    results: Results,
    running: dict[Future[Result], tuple[Cell, Claim]],
) -> None:
    """Hand cells to the workers until all have one, or there is none that nobody else runs."""
    taken = {cell for cell, _ in running.values()}
    while len(running) < workers.count:
        found = _claim_next(contenders, store, results, taken)
        if found is None:
            return
        cell, claim = found
        taken.add(cell)
        running[workers.submit(cell)] = (cell, claim)


def _claim_next(
    contenders: Sequence[Contender], store: CellStore, results: Results, taken: set[Cell]
) -> tuple[Cell, Claim] | None:
    """The first open cell that nobody runs, claimed; what others have finished meanwhile is taken in."""
    has_news = True
    while has_news:
        has_news = False
        for cell in open_cells(contenders, results):
            if cell in taken or (claim := store.claim(cell)) is None:
                continue
            entry = store.get(cell)
            if entry is None:
                return cell, claim
            claim.release()
            results.add(entry)
            has_news = True  # what is open may have changed
    return None


def _finish(cell: Cell, future: Future[Result], store: CellStore, results: Results, deaths: Counter[Cell]) -> None:
    """Keep what came of a cell; one whose worker died is left open, once."""
    try:
        result = future.result()
    except WorkerDiedError as error:
        deaths[cell] += 1
        if deaths[cell] < _LIVES:
            return
        message = f"{error} ({_LIVES} times)"
    except Exception as error:  # whatever a method raises must not stop the others
        message = f"{type(error).__name__}: {error}"
    else:
        store.write(result)
        results.add(result)
        return
    store.write_failure(cell, message)
    results.add((cell, message))
