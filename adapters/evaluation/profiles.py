"""How much of the laboratory is run: which tasks, how many seeds, how many steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .cells import Cell, freeze_options
from .contenders import Contender
from .rivals import METHODS

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True)
class Profile:
    """A budget for every question.

    Args:
        name: as in `quic bench run --profile NAME`.
        tasks: names of the tasks of each suite, the one that shows most first: a question that can afford only one
            task of a suite takes that.
        settings: by suite, the fields of a cell that all methods share: steps, batch_size, max_length, train_limit,
            test_limit, precision.
        seeds: of the cells that are measured on the test examples.
        thorough: whether questions run every size, task and option they know, and tune on every task; or those that
            fit an hour, with the rates of a suite's first task for all of its tasks.
    """

    name: str
    tasks: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    thorough: bool

    def suites(self) -> dict[str, str]:
        """The suite of each task."""
        return {name: suite for suite, names in self.tasks.items() for name in names}

    def suite(self, task: str) -> str:
        """The suite of a task of this profile.

        Raises:
            ValueError: the profile does not run the task.
        """
        suites = self.suites()
        if task not in suites:
            raise ValueError(f"the profile {self.name} runs the tasks {', '.join(suites)}, got {task!r}")
        return suites[task]

    def contender(
        self,
        task: str,
        method: str,
        size: str = "",
        *,
        options: Mapping[str, Any] | None = None,
        targets: str = "attention_qv",
        layers: Sequence[int] | None = None,
        measures: Sequence[str] = (),
        rates: Sequence[float] | None = None,
    ) -> Contender:
        """A contender at this profile's settings; rivals on a task share steps, batches and data.

        Args:
            task: a task of this profile.
            method: a name in `METHODS`.
            size: the method's own knob.
            options: further options of the method.
            targets: which modules are adapted.
            layers: of which layers; None for all.
            measures: what is measured besides the score.
            rates: peak learning rates to choose from; the method's own by default.
        """
        cell = Cell(
            task=task,
            method=method,
            size=size,
            options=freeze_options(options or {}),
            targets=targets,
            layers=None if layers is None else tuple(layers),
            measures=tuple(measures),
            **self.settings[self.suite(task)],
        )
        tuned_on = None if self.thorough else self.tasks[self.suite(task)][0]
        return Contender(cell, tuple(rates or METHODS[method].default_rates), self.seeds, tuned_on)


_FAST = {
    "text": {"steps": 60, "batch_size": 16, "max_length": 24, "train_limit": 2000, "test_limit": 600},
    "image": {"steps": 60, "batch_size": 16, "train_limit": 1000, "test_limit": 600},
    "language": {"steps": 24, "batch_size": 4, "max_length": 48, "train_limit": 200, "test_limit": 48},
}
_FULL = {
    "text": {"steps": 300, "batch_size": 32, "max_length": 64},
    "image": {"steps": 300, "batch_size": 32, "train_limit": 1000},
    "language": {"steps": 300, "batch_size": 8, "max_length": 128},
}

_TEXT = ("movie", "uci", "bbc", "r8", "tweets", "amazon", "valence", "newsgroups")

PROFILES: dict[str, Profile] = {
    "fast": Profile(
        name="fast",
        tasks={"text": _TEXT, "image": ("fashion",), "language": ("brown",)},
        settings={suite: dict(values, precision="bfloat16") for suite, values in _FAST.items()},
        seeds=(0, 1, 2),
        thorough=False,
    ),
    "full": Profile(
        name="full",
        tasks={
            "text": _TEXT,
            "image": ("fashion", "digits", "mnist", "emoji"),
            "language": ("brown",),
        },
        settings={suite: dict(values, precision="bfloat16") for suite, values in _FULL.items()},
        seeds=(0, 1, 2, 3, 4),
        thorough=True,
    ),
}
