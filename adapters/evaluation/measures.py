"""What can be measured of a trained cell besides its score: an old task, few bits, the Jacobian of the map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ..layer import QuICLayer
from ..maps import rotations
from ..quantise import BITS, encoded_size
from ..rounded import numbers_of, score_by_bits
from .cells import Cell
from .old_task import old_language_score, old_text_score
from .pretrained import kept_model

__all__ = ["MEASURES", "Measure", "Subject"]

_SPECTRUM = 41  # singular values that are kept
_DIGITS = 6
_LARGEST = 64  # wires: the Jacobian has about n^4 / 2 entries


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained cell.

    Args:
        cell: that was run.
        suite: of its task.
        model: with the trained method in it, in evaluation mode.
        score: the score of the model as it is.
    """

    cell: Cell
    suite: str
    model: nn.Module
    score: Callable[[nn.Module], float]


Measure = Callable[[Subject], Any]
"""What is found of a subject, in JSON's types; None where there is nothing to measure."""


def old_task(subject: Subject) -> dict[str, Any] | None:
    """What the model still can of an old task: {"metric", "before", "after"}; of images there is none."""
    if subject.suite == "image":
        return None
    score, metric = (old_text_score, "pearson") if subject.suite == "text" else (old_language_score, "perplexity")
    return {"metric": metric, "before": _untouched_score(subject), "after": score(subject.model, subject.cell)}


def _untouched_score(subject: Subject) -> float:
    cell = subject.cell
    # Only what the score of the untouched model depends on, so that it is computed once.
    plain = Cell(
        cell.task,
        "head",
        test_limit=cell.test_limit,
        max_length=cell.max_length,
        precision=cell.precision,
        backbone=cell.backbone,
    )
    return _kept_score(plain, subject.suite)


@lru_cache(maxsize=8)
def _kept_score(cell: Cell, suite: str) -> float:
    score = old_text_score if suite == "text" else old_language_score
    return score(kept_model(cell.task, 0, cell.backbone), cell)


def packing(subject: Subject) -> dict[str, Any] | None:
    """Score and bytes of the adapter's numbers by their width: {"32": {"score", "bytes"}, ...}; QuIC's only."""
    if subject.cell.method != "quic":
        return None
    scores = score_by_bits(subject.model, subject.score, BITS)
    counts = [parameter.numel() for parameter in numbers_of(subject.model, None)]
    return {
        str(bits): {"score": score, "bytes": sum(encoded_size(count, bits) for count in counts)}
        for bits, score in scores.items()
    }


def jacobian(subject: Subject) -> dict[str, Any] | None:
    """Singular values of numbers -> A^T dA in so(n), at the start and after training; QuIC's only.

    An entry of the strict upper triangle counts once. Of the first block of the first and the last adapted layer; at
    most 41 values, evenly spaced by rank, the largest and the smallest among them. Not of blocks of over 64 wires.
    """
    if subject.cell.method != "quic":
        return None
    layers = [module for module in subject.model.modules() if isinstance(module, QuICLayer)]
    if any(
        turn.rotation.plan.n > _LARGEST for layer in layers for turn in layer.quic_turns[layer.active_adapters[0]]
    ):
        return None
    return {"layers": [_layer_spectra(layer) for layer in (layers[0], layers[-1])]}


def _layer_spectra(layer: QuICLayer) -> dict[str, list[float]]:
    name = layer.active_adapters[0]
    turn = layer.quic_turns[name][0]
    trained = getattr(layer, turn.parameters_in)[name].detach()[:1].double()

    def rotate(numbers: Tensor) -> Tensor:
        return rotations(turn.rotation.parameter_map, [numbers])[0]

    return {"start": _spectrum(rotate, torch.zeros_like(trained)), "end": _spectrum(rotate, trained)}


def _spectrum(rotate: Callable[[Tensor], Tensor], numbers: Tensor) -> list[float]:
    with torch.no_grad():
        rotation = rotate(numbers)[0]
    slopes = torch.autograd.functional.jacobian(rotate, numbers, vectorize=True)[0, :, :, 0]  # (n, n, numbers)
    n = rotation.shape[-1]
    rows, columns = torch.triu_indices(n, n, 1)
    generators = torch.einsum("ki,kjp->ijp", rotation, slopes)[rows, columns]
    values = torch.linalg.svdvals(generators)
    ranks = torch.linspace(0, len(values) - 1, min(_SPECTRUM, len(values))).round().long()
    return [round(float(value), _DIGITS) for value in values[ranks]]


MEASURES: Mapping[str, Measure] = {"jacobian": jacobian, "old_task": old_task, "packing": packing}
