"""A reference and its variants: one figure, one table, and who is better, worse or not told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from ..profiles import Profile
from ..results import Results
from .entries import Entry, Reached, difference, judge, reached, words_of
from .figure_rows import Row, draw_comparison
from .line_up import HEAD
from .tables import comparison_table, missing_note

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """What a reference and its variants reached.

    Args:
        reference: what the others are compared with.
        others: the variants that have results, in their order.
        probe: the head alone, if it has results.
        tasks: that all of them share.
        asked: names of all variants.
    """

    reference: Reached
    others: tuple[Reached, ...]
    probe: Reached | None
    tasks: tuple[str, ...]
    asked: tuple[str, ...]

    def figure(self) -> Figure:
        """Scores, and differences to the reference."""
        rows = [Row(self.reference.entry.name, self.reference.entry.role, self.reference.bar())]
        for one in self.others:
            rows.append(Row(one.entry.name, one.entry.role, one.bar(), difference(one, self.reference)))
        probe = self.probe.bar() if self.probe else None
        short = self.reference.entry.name.partition(":")[0]  # the first row says the rest
        return draw_comparison(rows, probe, short, "mean score, points")

    def table(self) -> str:
        """The same as a table, with what is missing."""
        everyone = [*([self.probe] if self.probe else []), self.reference, *self.others]
        return missing_note(self.asked, everyone) + comparison_table(everyone, self.reference, self.tasks) + "\n"

    def sentences(self) -> str:
        """Every variant against the reference, grouped by the judgement."""
        groups: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
        for one in self.others:
            apart = difference(one, self.reference)
            groups[judge(apart)].append(f"{one.entry.name} ({words_of(apart)})")
        words = [f"{judgement}: {', '.join(names)}" for judgement, names in groups.items() if names]
        return f"Against {self.reference.entry.name}, {'; '.join(words)}." if words else ""


def compare(
    results: Results, profile: Profile, reference: Entry, others: Sequence[Entry], tasks: tuple[str, ...]
) -> Comparison | None:
    """The comparison, or None as long as the reference or all others lack results."""
    by_entry = {one.entry: one for one in reached(results, profile, [HEAD, reference, *others], tasks)}
    probe, first = by_entry.pop(HEAD, None), by_entry.pop(reference, None)
    if first is None or not by_entry:
        return None
    return Comparison(first, tuple(by_entry.values()), probe, tasks, tuple(entry.name for entry in others))
