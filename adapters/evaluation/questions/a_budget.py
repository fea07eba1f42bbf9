"""Question a: what accuracy does a number of trained numbers buy, and who holds the Pareto frontier?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..contenders import Contender
from ..pages import Page
from ..profiles import Profile
from ..results import Results
from ..statistics import pareto_frontier
from .entries import Entry, Reached, contenders_of, difference, judge, reached, words_of
from .figures import PROBE, Bar, Curve, Mark, draw_curves, draw_marks
from .line_up import ALL_LINEAR, FULL, HEAD, LORA, QUIC, ours, peers, text_tasks
from .question import Question
from .tables import markdown_table, missing_note

__all__ = ["BUDGET"]

_BUDGETS = (10**3, 10**4, 10**5)


@dataclass(frozen=True)
class _Family:
    """Entries that make one curve."""

    name: str
    role: str
    entries: tuple[Entry, ...]


_OURS = (
    _Family(
        "QuIC (1, 2)",
        "quic",
        (
            ours("QuIC (1, 2), 16 blocks shared", "orders=1+2,n_blocks=16,block_share"),
            ours("QuIC (1, 2), 4 blocks shared", "orders=1+2,n_blocks=4,block_share"),
            ours("QuIC (1, 2), 16 blocks", "orders=1+2,n_blocks=16"),
            QUIC,
        ),
    ),
    _Family(
        "QuIC, all linear layers",
        "second",
        (
            ours(
                "QuIC (1, 2), 8 blocks shared, all linear",
                "orders=1+2,n_blocks=8,block_share",
                role="second",
                targets=ALL_LINEAR,
            ),
            ours("QuIC (1, 2, 3), all linear", "orders=1+2+3", role="second", targets=ALL_LINEAR),
            ours("QuIC (1, 2), all linear", "orders=1+2", role="second", targets=ALL_LINEAR),
        ),
    ),
    _Family(
        "QuIC (1)",
        "control",
        (
            ours("QuIC (1), blocks of 4", "orders=1,block_size=4", role="control"),
            ours("QuIC (1), blocks of 16", "orders=1,block_size=16", role="control"),
        ),
    ),
)


def _families(profile: Profile, suite: str) -> list[_Family]:
    """All curves of a suite, ours first; images have the main ones only where time is short."""
    if suite != "text" and not profile.thorough:
        few = (LORA, Entry("OFT block_size=8", "control", "oft", "oft_block_size=8"), FULL)
        ours_here = _Family(_OURS[0].name, _OURS[0].role, _OURS[0].entries[1:])
        return [ours_here, *(_Family(entry.name.split()[0], entry.role, (entry,)) for entry in few)]
    by_method: dict[str, list[Entry]] = {}
    for entry in peers(profile):
        by_method.setdefault(entry.method, []).append(entry)
    rivals = [_Family(group[0].name.split()[0], group[0].role, tuple(group)) for group in by_method.values()]
    main = ("lora", "oft")
    first = [rival for rival in rivals if rival.entries[0].method in main]
    rest = [rival for rival in rivals if rival not in first]
    return [*_OURS, *first, _Family("full", "other", (FULL,)), *rest]


def _suites(profile: Profile) -> dict[str, tuple[str, ...]]:
    suites = {"text": text_tasks(profile), "image": profile.tasks.get("image", ())}
    return {suite: tasks for suite, tasks in suites.items() if tasks}


def _contenders(profile: Profile) -> list[Contender]:
    found = []
    for suite, tasks in _suites(profile).items():
        entries = [entry for family in _families(profile, suite) for entry in family.entries]
        found += contenders_of(profile, [HEAD, *entries], tasks)
    return found


def _page(profile: Profile, results: Results) -> Page:
    panels, tables, verdicts = {}, [], []
    marks: dict[str, tuple[list[Mark], str]] = {}
    probe_of_marks: tuple[str, Bar] | None = None
    for suite, tasks in _suites(profile).items():
        families = _families(profile, suite)
        entries = [entry for family in families for entry in family.entries]
        everyone = reached(results, profile, [HEAD, *entries], tasks)
        head, found = everyone[:1], everyone[1:]
        if not found or head[0].entry != HEAD:
            continue
        frontier = _frontier(found)
        title = f"{suite}: mean of {', '.join(tasks)}"
        panels[title] = (
            _curves(families, found),
            head[0].bar(),
            [(one.numbers(), one.bar().mean) for one in frontier],
        )
        tables.append(f"## {suite.capitalize()}\n\n" + missing_note([e.name for e in entries], found))
        budgets = _at_budgets(found)
        tables.append("\n".join(one.line() for one in budgets) + "\n")
        tables.append(_table([*head, *found], frontier, tasks) + "\n")
        verdicts += _verdicts(suite, found, budgets)
        if suite == "text":
            marks, probe_of_marks = _marks(families, found), (PROBE, head[0].bar())
    figures = {}
    body = "\n".join(tables)
    if marks:
        figures["a_cost"] = draw_marks(marks, "mean score, points", level=probe_of_marks, height=4.6)
        body = _COST + "\n\n" + body
    if panels:
        figures["a_budget"] = draw_curves(panels, "trained numbers of the adapter", "mean score, points")
        body = _FIGURE + "\n\n" + body
    return Page(" ".join(verdicts) or "Not measured yet.", body, figures)


_FIGURE = (
    "![Mean score against the trained numbers of every method](a_budget.svg)\n\n"
    "Each curve is a method at its sizes, named at its largest; bars are 95 % intervals from the seeds, without what "
    "a seed does to all methods alike. The grey band is the Pareto frontier, the broken line the head alone on the "
    'frozen model. All methods adapt query and value, but for "all linear layers" and "full". QuIC with order 1 '
    "alone is OFT on outputs: it counts as a rival."
)
_COST = (
    "![Mean score against bytes and time of a step](a_cost.svg)\n\n"
    "One mark a method: the size with the best score on the examples set apart for tuning. Memory is measured alone "
    "on the machine, for that of a process that runs one cell after the other says little: it is on the page of "
    "[cost](i_cost.md)."
)


def _frontier(found: Sequence[Reached]) -> list[Reached]:
    chosen = pareto_frontier([one.numbers() for one in found], [one.bar().mean for one in found])
    return [found[i] for i in chosen]


def _curves(families: Sequence[_Family], found: Sequence[Reached]) -> list[Curve]:
    by_entry = {one.entry: one for one in found}
    curves = []
    for family in families:
        members = sorted((by_entry[e] for e in family.entries if e in by_entry), key=Reached.numbers)
        if members:
            points = tuple((one.numbers(), one.bar()) for one in members)
            curves.append(Curve(family.name, family.role, points))
    return curves


def _marks(families: Sequence[_Family], found: Sequence[Reached]) -> dict[str, tuple[list[Mark], str]]:
    by_entry = {one.entry: one for one in found}
    axes = {
        "size of the file": ("bytes", lambda one: float(one.n_bytes())),
        "time": ("milliseconds of a step", lambda one: 1e3 * one.step_seconds()),
    }
    panels: dict[str, tuple[list[Mark], str]] = {title: ([], words) for title, (words, _) in axes.items()}
    for family in families:
        members = [by_entry[e] for e in family.entries if e in by_entry]
        if not members:
            continue
        best = max(members, key=Reached.tuning)
        for title, (_, value) in axes.items():
            if value(best) > 0:
                panels[title][0].append(Mark(family.name, family.role, Bar(value(best)), best.bar()))
    return {title: panel for title, panel in panels.items() if panel[0]}


def _table(found: Sequence[Reached], frontier: Sequence[Reached], tasks: Sequence[str]) -> str:
    rows = []
    for one in sorted(found, key=Reached.numbers):
        bar = one.bar()
        rows.append(
            [
                one.entry.name,
                f"{one.numbers():,}",
                *(f"{one.on(task).mean:.1f}" for task in tasks),
                f"{bar.mean:.1f} ± {bar.half:.1f}",
                "yes" if one in frontier else "",
                f"{one.n_bytes():,}",
                f"{1e3 * one.step_seconds():.0f} ms",
            ]
        )
    return markdown_table(["", "numbers", *tasks, "mean", "frontier", "bytes", "step"], rows)


def _is_ours(one: Reached) -> bool:
    return one.entry.method == "quic" and one.entry.size != "" and not one.entry.size.startswith("orders=1,")


@dataclass(frozen=True)
class _AtBudget:
    """The best of ours against the best of the others among those with at most `budget` numbers.

    Both are chosen on the examples set apart, so that no test score is the best of many; `holds` is not.
    """

    budget: int
    mine: Reached
    rival: Reached
    holds: Reached

    def judgement(self) -> str:
        return judge(difference(self.mine, self.rival))

    def line(self) -> str:
        return (
            f"- Up to {self.budget:,} numbers: {self.mine.entry.name} ({self.mine.numbers():,}) against "
            f"{self.rival.entry.name} ({self.rival.numbers():,}): {words_of(difference(self.mine, self.rival))}, "
            f"{self.judgement()}. The highest mean score is that of {self.holds.entry.name}."
        )


def _at_budgets(found: Sequence[Reached]) -> list[_AtBudget]:
    budgets = []
    for budget in _BUDGETS:
        within = [one for one in found if one.numbers() <= budget]
        mine, others = [o for o in within if _is_ours(o)], [o for o in within if not _is_ours(o)]
        if mine and others:
            best, rival = max(mine, key=Reached.tuning), max(others, key=Reached.tuning)
            budgets.append(_AtBudget(budget, best, rival, max(within, key=lambda one: one.bar().mean)))
    return budgets


def _verdicts(suite: str, found: Sequence[Reached], budgets: Sequence[_AtBudget]) -> list[str]:
    """One sentence on the budgets."""
    sentences = []
    if budgets:
        judged = ", ".join(f"{one.judgement()} up to {one.budget:,}" for one in budgets)
        held = ", ".join(f"{one.budget:,}" for one in budgets if _is_ours(one.holds))
        where = f"up to {held}" if held else "at none of these budgets"
        sentences.append(
            f"{suite.capitalize()}: the best QuIC adapter against the best other method, both chosen by tuning, is "
            f"{judged} numbers; QuIC has the highest mean score {where}."
        )
    return sentences


BUDGET = Question(
    name="a_budget",
    title="What accuracy does a number of trained numbers buy?",
    asks=(
        "Every method at several sizes, on the same modules, with the same steps, batches and first head, each with "
        "its learning rate chosen on examples set apart from training. A method is worth its place where no other "
        "reaches more with as few numbers: on the Pareto frontier. Numbers are those that are trained, each once, "
        "without the head; the same scores against bytes and time show what the count hides."
    ),
    contenders=_contenders,
    page=_page,
)
