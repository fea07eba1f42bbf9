"""What the measurement of learning rates runs: tasks, adapters, maps, optimisers, rates and seeds."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from adapters.choices import ParameterMap

TASKS = {"movie reviews": "movieReviewSnippets", "product reviews": "amazonReviewSnippets"}
ADAPTERS: dict[str, dict[str, Any]] = {
    "orders (1, 2), 1 block": {"orders": (1, 2), "n_blocks": 1},
    "orders (1, 2), 16 blocks": {"orders": (1, 2), "n_blocks": 16},
}
PAIRS = (
    ("movie reviews", "orders (1, 2), 1 block"),
    ("product reviews", "orders (1, 2), 1 block"),
    ("movie reviews", "orders (1, 2), 16 blocks"),
)
MAPS = get_args(ParameterMap)
OPTIMISERS = ("AdamW", "Riemannian")
KINDS = tuple((name, optimiser) for optimiser in OPTIMISERS for name in MAPS)
RATES = tuple(10 ** (half / 2) for half in range(-6, -1))  # 1e-3, 3.2e-3, ..., 1e-1


@dataclass(frozen=True)
class Run:
    task: str
    adapter: str
    parameter_map: ParameterMap
    optimiser: str
    rate: float
    seed: int

    def file(self, folder: Path) -> Path:
        words = f"{self.task} {self.adapter} {self.parameter_map} {self.optimiser} {self.rate:.1e} {self.seed}"
        return folder / ("-".join("".join(c if c.isalnum() else " " for c in words).split()) + ".json")


def runs(seeds: int) -> Iterator[tuple[tuple[str, int], list[Run]]]:
    """All runs, in the order of seeds; those that share their states together."""
    for seed, task in itertools.product(range(seeds), TASKS):
        pairs = [pair for pair in PAIRS if pair[0] == task]
        own = [(pair, kind, rate) for pair in pairs for kind, rate in itertools.product(kinds(pair), RATES)]
        yield (task, seed), [Run(*pair, *kind, rate, seed) for pair, kind, rate in own]


def kinds(pair: tuple[str, str]) -> list[tuple[ParameterMap, str]]:
    """Maps and optimisers: all on the first pair, then RiemannianAdam with one map, for all take the same course."""
    return [kind for kind in KINDS if pair == PAIRS[0] or kind[1] == "AdamW" or kind[0] == MAPS[0]]


def course(run: dict[str, Any]) -> tuple[Any, ...]:
    """What the runs at all rates have in common."""
    return tuple(run[key] for key in ("task", "adapter", "parameter_map", "optimiser", "seed"))
