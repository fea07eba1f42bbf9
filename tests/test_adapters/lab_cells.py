"""Cells that are run in an instant, by a formula: for the tests of what runs them."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from adapters.evaluation.cells import Cell, Result, freeze_options
from adapters.evaluation.contenders import Contender

RATES, SEEDS = (1e-3, 1e-2), (0, 1, 2)


def contender(name, **options):
    return Contender(Cell("movie", name, options=freeze_options(options)), RATES, SEEDS)


def closed_form(cell):
    """A score that depends on the cell alone, best at a rate of 1e-2."""
    score = (len(cell.method) % 7 + cell.seed % 5) / 20 + (0.1 if cell.rate == 1e-2 else 0)
    return Result(cell, "accuracy", score, (1.0, 0.5), 10, 5, 3, 2, 12, 0.01, 0.02)


def fails_when_told(cell):
    """As above, but methods named "bad" raise."""
    if cell.method == "bad":
        raise RuntimeError(f"no such thing at a rate of {cell.rate}")
    return closed_form(cell)


def diverges_above(cell):
    """As above, but the largest rate fails, and it is the best."""
    if cell.rate == 1e-2:
        raise ArithmeticError("the loss is not finite")
    return closed_form(cell)


def notes_and_waits(cell):
    """As above, after LAB_SECONDS, leaving a line for each run in the file LAB_LOG."""
    with Path(os.environ["LAB_LOG"]).open("a") as file:
        file.write(f"{cell.key()} {os.getpid()}\n")
    time.sleep(float(os.environ["LAB_SECONDS"]))
    return closed_form(cell)


def dies_once(cell):
    """As above, but the first time of all the process is killed."""
    mark = Path(str(dict(cell.options)["mark"]))
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return closed_form(cell)


def always_dies(cell):
    """The process is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def plain(result):
    """A result without what differs between two runs of a cell."""
    return replace(result, seconds=0.0, seconds_per_step=0.0, peak_memory=None, environment={})
