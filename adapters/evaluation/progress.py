"""Progress of a run: one line with a bar for each of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["StepProgress"]


class StepProgress:
    """Bars on a console, one below the other.

    Args:
        console: where they are drawn.
    """

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )

    def __enter__(self) -> StepProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """A bar of `total` parts for the body of the `with`; call what it yields after each part."""
        bar = self._bars.add_task(title, total=total)
        yield lambda: self._bars.advance(bar)
        self._bars.stop_task(bar)
