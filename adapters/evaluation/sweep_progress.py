"""The progress view of a sweep: cells done, what runs now, and the time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .outlook import expected_seconds, remaining_cells
from .results import Results
from .sweep import SweepState, Workers

__all__ = ["SweepProgress"]

_PLAIN_EVERY = 60.0  # seconds between two lines where there is no terminal to draw on


class SweepProgress:
    """A bar on a terminal, or a line a minute in a log; called with every state of the sweep.

    Args:
        console: where it is drawn.
        suites: of the tasks, by name.
        workers: that run the cells.
    """

    def __init__(self, console: Console, suites: Mapping[str, str], workers: Workers) -> None:
        self._console, self._suites, self._workers = console, suites, workers
        self._bars = Progress(
            TextColumn("Cells"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar = self._bars.add_task("cells", total=None, left="")
        self._printed = -_PLAIN_EVERY
        self._seen = -1

    def __enter__(self) -> SweepProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, state: SweepState) -> None:
        """Show a state."""
        known = len(state.results) + len(state.results.failures)
        if known == self._seen and self._console.is_terminal:
            return
        now = time.monotonic()
        if not self._console.is_terminal and now - self._printed < _PLAIN_EVERY:
            return
        self._seen, self._printed = known, now
        left = remaining_cells(state.contenders, state.results)
        total = len(remaining_cells(state.contenders, Results()))
        minutes = expected_seconds(left, state.results, self._suites) / self._workers.count / 60
        failed = len(state.results.failures)
        words = f"about {minutes:.0f} min left" + (f", {failed} failed" if failed else "")
        self._bars.update(self._bar, total=total, completed=total - len(left), left=words)
        if not self._console.is_terminal:
            running = "; ".join(sorted(cell.label() for cell in state.running))
            self._console.print(f"{total - len(left)} of {total} cells, {words}; now: {running}", markup=False)
