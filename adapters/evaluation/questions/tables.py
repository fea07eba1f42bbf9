"""Markdown tables of what entries reached."""

from __future__ import annotations

from collections.abc import Sequence

from ..statistics import Interval
from .entries import Reached, difference, judge, words_of

__all__ = ["comparison_table", "markdown_table", "missing_note"]


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is left-aligned and whose others are right-aligned.

    >>> print(markdown_table(["a", "b"], [["x", "1"]]))
    | a | b |
    | --- | ---: |
    | x | 1 |
    """
    lines = [list(headings), ["---", *["---:"] * (len(headings) - 1)], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def comparison_table(
    found: Sequence[Reached], reference: Reached, tasks: Sequence[str], *, lower_is_better: bool = False
) -> str:
    """Numbers, score by task, mean, and the paired difference to the reference with its verdict."""
    headings = ["", "numbers", *tasks, "mean", f"difference to {reference.entry.name}", "", "learning rate"]
    rows = []
    for one in found:
        apart: list[str] = ["", "reference"]
        if one.entry != reference.entry:
            interval: Interval = difference(one, reference)
            apart = [words_of(interval), judge(interval, lower_is_better=lower_is_better)]
        rates = ", ".join(f"{rate:g}" for rate in dict.fromkeys(one.measured[task].rate for task in tasks))
        by_task = [_bar(one.on(task)) for task in tasks]
        mean = _bar(one.bar())
        rows.append([one.entry.name, f"{one.numbers():,}", *by_task, mean, *apart, rates])
    return markdown_table(headings, rows)


def _bar(bar: object) -> str:
    mean, half = bar.mean, bar.half  # type: ignore[attr-defined]
    return f"{mean:.1f} ± {half:.1f}" if half else f"{mean:.1f}"


def missing_note(asked: Sequence[str], found: Sequence[Reached]) -> str:
    """A sentence that names the entries without a result on every task; empty if there is none."""
    have = {one.entry.name for one in found}
    missing = [name for name in asked if name not in have]
    return f"Not measured on every task, so left out: {', '.join(missing)}.\n\n" if missing else ""
