"""Question i: what do accuracy, time and memory of a step look like side by side?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..contenders import Contender
from ..pages import Page
from ..profiles import Profile
from ..results import Results
from .entries import Entry, Reached, contenders_of, difference, judge, reached, words_of
from .figures import Mark, draw_marks
from .line_up import FULL, HEAD, LORA, QUIC, ours, peers, text_tasks
from .picture import Bar
from .question import Question
from .tables import markdown_table, missing_note

__all__ = ["COST"]

_BENCHMARK = Path(__file__).parents[3] / "docs" / "benchmarks" / "results" / "adapter_step.json"
_THREADS, _MODEL = "1", "bert"
_QUIC_3 = ours("QuIC (1, 2, 3)", "orders=1+2+3")
_TIMED = ("oft", "boft", "hra", "road", "psoft", "vera", "fourierft", "randlora", "c3a")
"""The methods whose step is timed; the benchmark calls them by their titles."""


def _pairs(profile: Profile) -> list[tuple[Entry, str]]:
    """Entries whose accuracy is measured here, and what the benchmark that measures their step calls them."""
    smallest = {entry.method: entry for entry in reversed(peers(profile))}
    return [
        (QUIC, "QuIC cayley N=1 (1, 2)"),
        (_QUIC_3, "QuIC cayley N=1 (1, 2, 3)"),
        (LORA, LORA.name),
        *((smallest[method], _title(smallest[method])) for method in _TIMED),
        (FULL, "full"),
        (HEAD, "head only"),
    ]


def _contenders(profile: Profile) -> list[Contender]:
    return contenders_of(profile, [entry for entry, _ in _pairs(profile)], text_tasks(profile))


def _page(profile: Profile, results: Results) -> Page:
    if not _BENCHMARK.is_file():
        return Page("Not to be told: the engine's benchmark is not beside this installation.", "")
    steps = json.loads(_BENCHMARK.read_text("utf-8"))[_THREADS]
    methods = steps["models"][_MODEL]["methods"]
    pairs = [(entry, name) for entry, name in _pairs(profile) if name in methods]
    found = {one.entry: one for one in reached(results, profile, [e for e, _ in pairs], text_tasks(profile))}
    timed = [(found[entry], methods[name]) for entry, name in pairs if entry in found]
    if not timed or QUIC not in found:
        return Page("Not measured yet.", "")
    lora = methods[LORA.name]["step"]["median"]
    marks: dict[str, tuple[list[Mark], str]] = {
        "time": ([_mark(one, step["step"]["median"] / lora) for one, step in timed], "time of a step, of LoRA's"),
        "memory": ([_mark(one, step["step_bytes"] / 2**20) for one, step in timed], "MiB that a step takes"),
    }
    figure = draw_marks(marks, "mean score, points", height=4.2)
    note = _NOTE.format(**steps["environment"])
    table = _table(timed, lora)
    body = f"![Score against time and memory of a step](i_cost.svg)\n\n{note}\n\n"
    body += missing_note([e.name for e, _ in pairs], list(found.values())) + table + "\n"
    return Page(_verdict(timed, lora), body, {"i_cost": figure})


_NOTE = (
    "Scores are those of the [budget](a_budget.md), on query and value of the sentence encoder. Time and memory are "
    "those of [one training step](../../benchmarks/adapter_step.md) of an encoder as wide as BERT, every linear "
    "layer adapted, one thread, measured alone on {cpu} ({date}): sweeps run side by side, so their own times are "
    "noisier. Sizes are PEFT's defaults there and the smallest of the budget here, but for LoRA, r = 8 in both."
)


def _mark(one: Reached, x: float) -> Mark:
    return Mark(_title(one.entry), one.entry.role, Bar(x), one.bar())


def _title(entry: Entry) -> str:
    """The method without its size: the others' sizes are too long for a figure."""
    return entry.name if entry.method in ("quic", "head", "full") else entry.name.split()[0]


def _table(timed: Sequence[tuple[Reached, Mapping[str, Any]]], lora: float) -> str:
    rows = []
    for one, step in timed:
        bar = one.bar()
        rows.append(
            [
                one.entry.name,
                f"{bar.mean:.1f} ± {bar.half:.1f}",
                f"{one.numbers():,}",
                f"{1e3 * step['step']['median']:.0f} ms",
                f"{step['step']['median'] / lora:.2f}",
                f"{step['step_bytes'] / 2**20:.0f}",
                f"{1e3 * one.step_seconds():.0f} ms",
            ]
        )
    headings = ["", "mean score", "numbers here", "benchmark's step", "of LoRA's", "step's MiB", "step in the sweep"]
    return markdown_table(headings, rows)


def _verdict(timed: Sequence[tuple[Reached, Mapping[str, Any]]], lora: float) -> str:
    by_entry = {one.entry: (one, step) for one, step in timed}
    ours_, mine = by_entry[QUIC]
    sentences = [
        f"A step of {QUIC.name} takes {mine['step']['median'] / lora:.2f} times LoRA's and "
        f"{mine['step_bytes'] / 2**20:.0f} MiB."
    ]
    if LORA in by_entry:
        rival, step = by_entry[LORA]
        apart = difference(ours_, rival)
        sentences[0] = (
            f"A step of {QUIC.name} takes {mine['step']['median'] / lora:.2f} times as long as LoRA's and "
            f"{mine['step_bytes'] / step['step_bytes']:.2f} times its memory, for {words_of(apart)} ({judge(apart)})."
        )
    cheaper = [
        one.entry.name
        for one, step in timed
        if step["step"]["median"] <= mine["step"]["median"]
        and step["step_bytes"] <= mine["step_bytes"]
        and one.entry != QUIC
        and one.bar().mean >= ours_.bar().mean
    ]
    if cheaper:
        sentences.append(f"No slower, no larger and no worse in the mean: {', '.join(cheaper)}.")
    else:
        sentences.append("No other method of the list is no slower, no larger and no worse in the mean.")
    return " ".join(sentences)


COST = Question(
    name="i_cost",
    title="What do accuracy, time and memory look like side by side?",
    asks=(
        "Few numbers are of little use if a step takes long. The time and the memory of a training step are measured "
        "by the engine's benchmark, alone on the machine, and stand here beside what was learnt."
    ),
    contenders=_contenders,
    page=_page,
)
