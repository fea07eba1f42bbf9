"""What a question compares: named entries, their contenders on each task, and what they reached in points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

from ..cells import Option
from ..contenders import Contender
from ..profiles import Profile
from ..results import Measured, Results
from ..statistics import Interval, paired_difference
from .picture import Bar

__all__ = ["Entry", "Reached", "contenders_of", "difference", "in_points", "judge", "reached", "words_of"]

_POINTS = {"accuracy": 100.0, "matthews": 100.0, "pearson": 100.0, "exact_match": 100.0, "perplexity": 1.0}


@dataclass(frozen=True)
class Entry:
    """One thing that is compared, on every task of a question.

    Args:
        name: as tables and figures say it.
        role: a key of `picture.COLOUR`.
        method: a name in `rivals.METHODS`.
        size: the method's own knob.
        options: further options of the method, as `cells.freeze_options` writes them.
        targets: which modules are adapted.
        layers: of which layers; None for all.
        measures: what is measured besides the score, where there is text.
        rates: peak learning rates to choose from; the method's own by default.
    """

    name: str
    role: str
    method: str
    size: str = ""
    options: tuple[tuple[str, Option], ...] = ()
    targets: str = "attention_qv"
    layers: tuple[int, ...] | None = None
    measures: tuple[str, ...] = ()
    rates: tuple[float, ...] | None = None

    def contender(self, profile: Profile, task: str) -> Contender:
        """The entry on one task, at the profile's settings."""
        return profile.contender(
            task,
            self.method,
            self.size,
            options=dict(self.options),
            targets=self.targets,
            layers=self.layers,
            measures=() if profile.suite(task) == "image" else self.measures,
            rates=self.rates,
        )


def contenders_of(profile: Profile, entries: Iterable[Entry], tasks: Sequence[str]) -> list[Contender]:
    """Every entry on every task; the tasks of one entry follow each other: a sweep cut short compares most."""
    return [entry.contender(profile, task) for entry in entries for task in tasks]


@dataclass(frozen=True)
class Reached:
    """What an entry reached on all tasks of a comparison.

    Args:
        entry: who.
        measured: by task.
        scores: by (task, seed), in points: percent of an accuracy, hundredths of a correlation, or perplexity.
        shared: by (task, seed), the mean score of all entries of the comparison, above that of the task.
    """

    entry: Entry
    measured: Mapping[str, Measured]
    scores: Mapping[tuple[str, int], float]
    shared: Mapping[tuple[str, int], float] = field(default_factory=dict)

    def bar(self) -> Bar:
        """Mean over tasks and seeds, and half a 95 % interval from the spread of the seeds within the tasks.

        What a seed does to all entries alike, by its batches and its first head, is taken out of the spread.
        """
        own = {pair: score - self.shared.get(pair, 0.0) for pair, score in self.scores.items()}
        return Bar(spread_within(self.scores).mean, spread_within(own).half)

    def on(self, task: str) -> Bar:
        """The same for one task."""
        return spread_within({pair: score for pair, score in self.scores.items() if pair[0] == task})

    def numbers(self) -> int:
        """Trained numbers of the adapter."""
        return next(iter(self.measured.values())).first().adapter_numbers

    def n_bytes(self) -> int:
        """Bytes of the saved adapter."""
        return next(iter(self.measured.values())).first().n_bytes

    def step_seconds(self) -> float:
        """Seconds of a training step: the median over tasks and seeds."""
        return float(np.median([run.seconds_per_step for m in self.measured.values() for run in m.runs.values()]))

    def tuning(self) -> float:
        """Score at the chosen rates on the examples set apart from training, in points, the mean over tasks."""
        return fmean(
            in_points(m.tuning[m.rate], m.first().metric) if m.tuning else m.mean() for m in self.measured.values()
        )

    def extras(self, name: str) -> dict[tuple[str, int], Any]:
        """What a measure found, by (task, seed)."""
        return {
            (task, seed): run.extra[name]
            for task, m in self.measured.items()
            for seed, run in m.runs.items()
            if name in run.extra
        }


def in_points(score: float, metric: str) -> float:
    """Percent of an accuracy, hundredths of a correlation, a perplexity as it is.

    >>> in_points(0.5, "accuracy"), in_points(12.5, "perplexity")
    (50.0, 12.5)
    """
    return _POINTS[metric] * score


def spread_within(scores: Mapping[tuple[str, int], float]) -> Bar:
    """Mean of all scores and half its 95 % interval, from the variance of the seeds pooled over the tasks.

    How hard the tasks are is no spread of a method: only deviations from each task's own mean count.

    Args:
        scores: by (task, seed), at least one.

    Returns:
        the interval's half is 0 where no task has two seeds.
    """
    by_task: dict[str, list[float]] = {}
    for (task, _), score in scores.items():
        by_task.setdefault(task, []).append(score)
    mean = fmean(fmean(values) for values in by_task.values())
    free = sum(len(values) - 1 for values in by_task.values())
    if free == 0:
        return Bar(mean)
    squares = sum((value - fmean(values)) ** 2 for values in by_task.values() for value in values)
    of_mean = sum(1 / len(values) for values in by_task.values()) / len(by_task) ** 2
    return Bar(mean, float(stats.t.ppf(0.975, free) * (squares / free * of_mean) ** 0.5))


def reached(results: Results, profile: Profile, entries: Iterable[Entry], tasks: Sequence[str]) -> list[Reached]:
    """What the entries reached, those that have a result on every one of the tasks."""
    found = []
    for entry in entries:
        measured = {task: m for task in tasks if (m := results.of(entry.contender(profile, task)))}
        if measured and len(measured) == len(tasks):
            scores = {
                pair: in_points(score, m.first().metric)
                for m in measured.values()
                for pair, score in m.scores().items()
            }
            found.append(Reached(entry, measured, scores))
    shared = _shared(found)
    return [replace(one, shared=shared) for one in found]


def _shared(found: Sequence[Reached]) -> dict[tuple[str, int], float]:
    """What a seed adds to the mean score of all entries, for the seeds that all of them have."""
    if len(found) < 3:  # of two entries half of their difference would be taken for what they share
        return {}
    pairs = set.intersection(*(set(one.scores) for one in found))
    means = {pair: fmean(one.scores[pair] for one in found) for pair in pairs}
    tasks = {task: fmean(mean for pair, mean in means.items() if pair[0] == task) for task, _ in pairs}
    return {pair: mean - tasks[pair[0]] for pair, mean in means.items()}


def difference(a: Reached, b: Reached) -> Interval:
    """Paired difference a - b over tasks and seeds, in points."""
    return paired_difference(a.scores, b.scores)


def judge(interval: Interval, *, lower_is_better: bool = False) -> str:
    """Better, worse, or not told apart: whether the 95 % interval of a paired difference excludes zero.

    >>> judge(Interval(1.0, 0.4, 1.6, 6)), judge(Interval(0.3, -0.2, 0.8, 6))
    ('better', 'not told apart')
    """
    if not interval.excludes_zero():
        return "not told apart"
    return "worse" if (interval.mean > 0) == lower_is_better else "better"


def words_of(interval: Interval, unit: str = "points") -> str:
    """An interval as text.

    >>> words_of(Interval(0.81, 0.4, 1.22, 6))
    '+0.8 ± 0.4 points'
    """
    if interval.n == 1:
        return f"{interval.mean:+.1f} {unit} (one pair)"
    return f"{interval.mean:+.1f} ± {interval.high - interval.mean:.1f} {unit}"
