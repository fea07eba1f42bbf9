"""What is left of a sweep, and how long it takes, from what its cells took so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from .cells import Cell
from .contenders import Contender
from .results import Results

__all__ = ["expected_seconds", "remaining_cells"]

# Until a cell of the task has run, rounded from LoRA and QuIC on one idle core: seconds to prepare a cell, for a
# token of a training step, and for a token that is measured. An image of 56 pixels has 17 tokens.
_START: Mapping[str, float] = {"text": 1.0, "image": 1.0, "language": 2.0}
_TRAINING: Mapping[str, float] = {"text": 3e-4, "image": 6e-4, "language": 3e-3}
_MEASURING: Mapping[str, float] = {"text": 3e-5, "image": 3e-5, "language": 8e-4}
_IMAGE_TOKENS = 17
_TESTED = 1000  # where a cell does not limit the test examples


def remaining_cells(contenders: Sequence[Contender], results: Results) -> list[Cell]:
    """Cells that are neither done nor failed, each once; where a rate is open, the seeds at the smallest."""
    cells: list[Cell] = []
    for contender in contenders:
        rate, tuning = results.rate(contender), results.tuning_cells(contender)
        cells += tuning
        if rate is not None:
            cells += contender.test_cells(rate)
        elif not all(cell in results.failures for cell in tuning):
            cells += contender.test_cells(min(contender.rates))
    # Once: contenders that are tuned on one task share those cells.
    return [cell for cell in dict.fromkeys(cells) if results.get(cell) is None and cell not in results.failures]


def expected_seconds(cells: Iterable[Cell], results: Results, suites: Mapping[str, str]) -> float:
    """Seconds that cells take on one core, one after the other.

    A cell is expected to take the median of those of its task and method, if there are any, else of its task, else
    what its steps and examples took elsewhere.

    Args:
        cells: to be run.
        results: of cells that were run already.
        suites: "text", "image" or "language", by task.
    """
    by_method, by_task = defaultdict(list), defaultdict(list)
    for result in results:
        by_method[result.cell.task, result.cell.method].append(result.seconds)
        by_task[result.cell.task].append(result.seconds)
    total = 0.0
    for cell in cells:
        like = by_method.get((cell.task, cell.method)) or by_task.get(cell.task)
        total += median(like) if like else _typical_seconds(cell, suites[cell.task])
    return total


def _typical_seconds(cell: Cell, suite: str) -> float:
    tokens = _IMAGE_TOKENS if suite == "image" else cell.max_length
    trained, tested = cell.steps * cell.batch_size * tokens, (cell.test_limit or _TESTED) * tokens
    if cell.method == "head":  # the examples pass through the model once for all cells of the task
        trained = 0
    return _START[suite] + _TRAINING[suite] * trained + _MEASURING[suite] * tested
