"""Run a cell: train its method on its task, measure it, and say what it cost."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from torch import Tensor, nn

from .autocast import forward_of
from .backbones import target_sets
from .batches import Batch, training_batches
from .cells import Cell, Result
from .examples import EmbeddedSplit, Examples, embed, examples_of
from .machine import environment, peak_memory, reset_peak_memory
from .measures import MEASURES, Subject
from .objectives import score_batches
from .pretrained import fresh_model, kept_model
from .rivals import adapter_parameters, attach, head_parameters, saved_bytes
from .training import fit

__all__ = ["HEAD_RATE", "run_cell"]

HEAD_RATE = 1e-2
"""Peak learning rate of the head beside every adapter; the method "head" chooses its own."""

_STRETCHES = 20  # of the loss curve


def run_cell(cell: Cell) -> Result:
    """Train, measure and weigh; the same cell gives the same numbers, whatever ran before it in the process.

    Args:
        cell: with a rate.

    Raises:
        ValueError: the cell has no rate, or names what there is not.
        DivergedError: a training loss is not finite.
        AssetError: data or a model could not be fetched.
    """
    if unknown := sorted(set(cell.measures) - set(MEASURES)):
        raise ValueError(f"measures must be of {sorted(MEASURES)}, got {unknown}")
    if cell.rate is None:
        raise ValueError(f"a cell needs a rate to be run, got none: {cell.label()}")
    started = time.perf_counter()
    examples = examples_of(cell)
    run = _probe if cell.method == "head" else _adapt
    values = run(cell, examples)
    return Result(
        cell=cell,
        metric=examples.task.metric,
        train_examples=len(examples.train.lengths),
        test_examples=len(examples.test.lengths),
        seconds=time.perf_counter() - started,
        environment=environment(),
        **values,
    )


def _adapt(cell: Cell, examples: Examples) -> dict[str, Any]:
    """Fine-tune an adapter, or the whole model, together with the head."""
    assert cell.rate is not None
    base = fresh_model(cell.task, cell.seed, cell.backbone)
    model = attach(base, cell.method, cell.size, _targets(cell, base), cell.seed, dict(cell.options)).train()
    adapter, head = list(adapter_parameters(model)), list(head_parameters(model))
    test = examples.test_batches()

    def score(measured: nn.Module) -> float:
        return score_batches(examples.task.metric, forward_of(measured, cell.precision), test)

    resets = reset_peak_memory()
    groups = [(adapter, cell.rate), (head, HEAD_RATE)]
    batches = training_batches(examples.train, cell.batch_size, cell.steps, cell.seed)
    forward = forward_of(model, cell.precision)
    log = fit(forward, [group for group in groups if group[0]], batches, _nothing, loss=examples.objective.loss)
    peak = peak_memory() if resets else None
    subject = Subject(cell, examples.task.suite, model.eval(), score)
    found = {name: MEASURES[name](subject) for name in cell.measures}
    return {
        "score": score(model),
        "losses": _stretches(log.losses),
        "adapter_numbers": _count(adapter),
        "head_numbers": _count(head),
        "n_bytes": saved_bytes(model),
        "seconds_per_step": median(log.seconds),
        "peak_memory": peak,
        "extra": {name: value for name, value in found.items() if value is not None},
    }


def _probe(cell: Cell, examples: Examples) -> dict[str, Any]:
    """Train the head on features of the frozen model, which each example gives once; a step is one of the head."""
    assert cell.rate is not None
    train, test = _embedded(replace(cell, seed=0, rate=None, steps=1, batch_size=1))
    head = copy.deepcopy(kept_model(cell.task, cell.seed, cell.backbone).get_submodule("head")).requires_grad_(True)
    resets = reset_peak_memory()

    def forward(batch: Batch) -> Tensor:
        logits: Tensor = head(batch.inputs["features"])
        return logits

    batches = training_batches(train, cell.batch_size, cell.steps, cell.seed)
    log = fit(forward, [(head.parameters(), cell.rate)], batches, _nothing, loss=examples.objective.loss)
    return {
        "score": score_batches(examples.task.metric, forward, [test.collate(range(len(test.lengths)))]),
        "losses": _stretches(log.losses),
        "adapter_numbers": 0,
        "head_numbers": _count(head.parameters()),
        "n_bytes": 0,
        "seconds_per_step": median(log.seconds),
        "peak_memory": peak_memory() if resets else None,
    }


@lru_cache(maxsize=4)
def _embedded(cell: Cell) -> tuple[EmbeddedSplit, EmbeddedSplit]:
    """Features of the training and of the test examples; `cell` is without what they do not depend on."""
    examples, model = examples_of(cell), kept_model(cell.task, cell.seed, cell.backbone)
    if not hasattr(model, "features"):
        raise ValueError(f"the method 'head' needs a model with a head, got the task {cell.task!r}")
    return embed(model, examples.train, cell.precision), embed(model, examples.test, cell.precision)


def _targets(cell: Cell, model: nn.Module) -> list[str]:
    """Names of the modules that the cell adapts.

    Raises:
        ValueError: there is none.
    """
    known = target_sets(model)
    ends = cell.targets.split(",")
    names = known.get(cell.targets) or [
        n for n in known["all_linear"] if n.endswith(tuple(f".{end}" for end in ends))
    ]
    if cell.layers is not None:
        names = [name for name in names if _layer_of(name) in cell.layers]
    if not names:
        raise ValueError(
            f"targets must be one of {', '.join(known)}, or ends of names of linear modules, in layers that there "
            f"are, got {cell.targets!r} in layers {cell.layers}"
        )
    return names


def _layer_of(name: str) -> int | None:
    """The index of the layer that a module is in: the first number in its name."""
    return next((int(part) for part in name.split(".") if part.isdigit()), None)


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _stretches(losses: Sequence[float]) -> tuple[float, ...]:
    """Means of twenty stretches of about equal length, or the losses themselves if they are fewer."""
    count = min(_STRETCHES, len(losses))
    edges = [round(i * len(losses) / count) for i in range(count + 1)]
    return tuple(fmean(losses[a:b]) for a, b in pairwise(edges))


def _nothing() -> None:
    """Nobody watches a single step."""
