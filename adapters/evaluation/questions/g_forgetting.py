"""Question g: what does the model forget of what it knew, while it learns something new?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from ..contenders import Contender
from ..pages import Page
from ..profiles import Profile
from ..results import Results
from ..statistics import Interval, mean_interval, paired_difference
from .entries import Entry, Reached, contenders_of, in_points, judge, reached, spread_within, words_of
from .figures import Mark, draw_marks
from .line_up import FULL, LORA, QUIC
from .picture import Bar
from .question import Question
from .tables import markdown_table, missing_note

__all__ = ["FORGETTING"]

_ENTRIES = (QUIC, LORA, FULL)
_LANGUAGE = (
    Entry("QuIC (1, 2)", "quic", "quic", "orders=1+2", measures=("old_task",)),
    Entry("LoRA r=8", "rival", "lora", "r=8", measures=("old_task",)),
    Entry("full fine-tuning", "other", "full", measures=("old_task",)),
)


def _text(profile: Profile) -> tuple[str, ...]:
    tasks = profile.tasks["text"]
    return tasks if profile.thorough else tasks[:2]


def _contenders(profile: Profile) -> list[Contender]:
    return [
        *contenders_of(profile, _ENTRIES, _text(profile)),
        *contenders_of(profile, _LANGUAGE, profile.tasks.get("language", ())),
    ]


def _old(one: Reached, when: str) -> dict[tuple[str, int], float]:
    """The old task's score by (task, seed), in points, or the natural logarithm of a perplexity."""
    return {pair: _scale(extra[when], extra["metric"]) for pair, extra in one.extras("old_task").items()}


def _scale(score: float, metric: str) -> float:
    return math.log(score) if metric == "perplexity" else in_points(score, metric)


def _new(one: Reached, *, logarithm: bool) -> dict[tuple[str, int], float]:
    return {pair: math.log(score) for pair, score in one.scores.items()} if logarithm else dict(one.scores)


def _page(profile: Profile, results: Results) -> Page:
    figures, parts, verdicts = {}, [], []
    for name, entries, tasks, is_loss in (
        ("g_text", _ENTRIES, _text(profile), False),
        ("g_language", _LANGUAGE, tuple(profile.tasks.get("language", ())), True),
    ):
        found = [one for one in reached(results, profile, entries, tasks) if one.extras("old_task")]
        if not found:
            continue
        title = "Language model" if is_loss else "Sentence encoder"
        figures[name] = _figure(found, is_loss)
        parts.append(f"## {title}\n\n![{title}: the old task after learning the new one]({name}.svg)\n")
        parts.append(_EXPLAINED[is_loss])
        parts.append(missing_note([e.name for e in entries], found) + _table(found, is_loss) + "\n")
        verdicts.append(f"{title}: {_verdict(found, is_loss)}")
    return Page(" ".join(verdicts) or "Not measured yet.", "\n".join(parts), figures)


_EXPLAINED: Mapping[bool, str] = {
    False: (
        "The old task is the valence of newspaper sentences: its head, a ridge regression on the untouched encoder's "
        "features, stays as it is, and is measured again on the encoder that has learnt the new task. Higher is "
        "better on both axes; the best place is the upper right corner.\n"
    ),
    True: (
        "The old domain is held-out text of the kind that the model answers well already. Both axes are the mean "
        "negative log likelihood of a token, so the best place is the lower left corner.\n"
    ),
}


def _figure(found: Sequence[Reached], is_loss: bool) -> Figure:
    marks = []
    before = spread_within(_old(found[0], "before")).mean
    for one in found:
        new = spread_within(_new(one, logarithm=is_loss))
        marks.append(Mark(one.entry.name, one.entry.role, new, spread_within(_old(one, "after"))))
    unit = "nats a token" if is_loss else "points"
    panels = {"": (marks, f"new task, {unit}")}
    return draw_marks(
        panels, f"old task, {unit}", level=("untouched model", Bar(before)), logarithmic=False, height=3.2
    )


def _changes(one: Reached) -> dict[tuple[str, int], float]:
    before, after = _old(one, "before"), _old(one, "after")
    return {pair: after[pair] - before[pair] for pair in after}


def _table(found: Sequence[Reached], is_loss: bool) -> str:
    unit = "nats" if is_loss else "points"
    rows = []
    for one in found:
        change = mean_interval(list(_changes(one).values()))
        new = spread_within(_new(one, logarithm=is_loss))
        before = fmean(_old(one, "before").values())
        rows.append(
            [
                one.entry.name,
                f"{one.numbers():,}",
                _bar(new, is_loss),
                _bar(Bar(before), is_loss),
                _bar(spread_within(_old(one, "after")), is_loss),
                _words(change, unit),
            ]
        )
    headings = ["", "numbers", f"new task, {unit}", "old, before", "old, after", "change of the old"]
    return markdown_table(headings, rows)


def _bar(bar: Bar, is_loss: bool) -> str:
    digits = 3 if is_loss else 1
    return f"{bar.mean:.{digits}f} ± {bar.half:.{digits}f}" if bar.half else f"{bar.mean:.{digits}f}"


def _words(interval: Interval, unit: str) -> str:
    if unit == "nats":
        return f"{interval.mean:+.3f} ± {interval.high - interval.mean:.3f} nats"
    return words_of(interval, unit)


def _verdict(found: Sequence[Reached], is_loss: bool) -> str:
    """How much each forgets, and whether ours forgets less than the others."""
    unit = "nats" if is_loss else "points"
    first = found[0]
    sentence = (
        f"{first.entry.name} changes the old task by {_words(mean_interval(list(_changes(first).values())), unit)}"
    )
    against = []
    for one in found[1:]:
        apart = paired_difference(_changes(first), _changes(one))
        learnt = paired_difference(_new(first, logarithm=is_loss), _new(one, logarithm=is_loss))
        against.append(
            f"against {one.entry.name} the old task is {judge(apart, lower_is_better=is_loss)} "
            f"({_words(apart, unit)}) and the new one {judge(learnt, lower_is_better=is_loss)} "
            f"({_words(learnt, unit)})"
        )
    return "; ".join([sentence, *against]) + "."


FORGETTING = Question(
    name="g_forgetting",
    title="What does the model forget?",
    asks=(
        "A rotation keeps the lengths and angles of a layer's features, so it might disturb less of what they were "
        "used for. After every method has learnt the same new task with the same steps, an old task is measured "
        "again, with nothing else changed."
    ),
    contenders=_contenders,
    page=_page,
)
