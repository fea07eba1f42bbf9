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

_LINE_EVERY = 60.0  # seconds, where there is no terminal to draw on


class SweepProgress:
    """A bar on a terminal, or a line a minute and one at the end in a log; called with every state of the sweep.

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
            TextColumn("{task.fields[words]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar = self._bars.add_task("cells", total=None, words="")
        self._last: SweepState | None = None
        self._shown_cells, self._shown_at = -1, -_LINE_EVERY

    def __enter__(self) -> SweepProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last is not None:
            self._show(self._last)
        self._bars.stop()

    def __call__(self, state: SweepState) -> None:
        """Show a state, if it is news."""
        self._last = state
        known, now = len(state.results) + len(state.results.failures), time.monotonic()
        is_news = known != self._shown_cells
        if is_news and (self._console.is_terminal or now - self._shown_at >= _LINE_EVERY):
            self._shown_cells, self._shown_at = known, now
            self._show(state)

    def _show(self, state: SweepState) -> None:
        left = remaining_cells(state.contenders, state.results)
        total = len(remaining_cells(state.contenders, Results()))
        minutes = expected_seconds(left, state.results, self._suites) / self._workers.count / 60
        failed = len(state.results.failures)
        words = f"about {minutes:.0f} min left" + (f", {failed} failed" if failed else "")
        self._bars.update(self._bar, total=total, completed=total - len(left), words=words)
        if not self._console.is_terminal:
            running = "; ".join(sorted(cell.label() for cell in state.running)) or "nothing"
            line = f"{total - len(left)} of {total} cells, {words}; now: {running}"
            self._console.print(line, markup=False, soft_wrap=True)
