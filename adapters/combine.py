"""Adapters made of adapters: weighted means and products of all their rotations, and tables of how alike they are."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from .arithmetic import compose, distance, mean, power, similarity
from .turn import Turn

__all__ = ["Combination", "check_combination", "combine", "distances", "similarities"]

Combination = Literal["lie", "composition"]
_Adapter = Mapping[str, Tensor]


def check_combination(adapters: Sequence[str], weights: Sequence[float], combination_type: str) -> None:
    """Refuse what `combine` cannot take.

    Args:
        adapters: names.
        weights: one for each.
        combination_type: "lie" or "composition".

    Raises:
        TypeError: the adapters are no list of names, or the weights no list of numbers.
        ValueError: there are none, or not equally many, or a weight is not finite, or the type is another one.
    """
    if not isinstance(adapters, list | tuple) or not all(isinstance(name, str) for name in adapters):
        raise TypeError(f"adapters must be a list of names, got {adapters!r}")
    if not isinstance(weights, list | tuple) or not all(type(weight) in (int, float) for weight in weights):
        raise TypeError(f"weights must be a list of numbers, got {weights!r}")
    if not adapters or len(adapters) != len(weights):
        raise ValueError(
            f"there must be one weight for each of at least one adapter, got {len(adapters)} adapters and "
            f"{len(weights)} weights"
        )
    if not all(math.isfinite(weight) for weight in weights):
        raise ValueError(f"weights must be finite, got {list(weights)}")
    if combination_type not in get_args(Combination):
        raise ValueError(f"combination_type must be one of {get_args(Combination)}, got {combination_type!r}")


def combine(
    turns: Mapping[str, Turn], adapters: Sequence[_Adapter], weights: Sequence[float], combination_type: Combination
) -> dict[str, Tensor]:
    """The numbers of an adapter made of others, rotation by rotation.

        "lie":          R = exp(Σ_j w_j L_j), L_j the generator of R_j
        "composition":  R = R_m^{w_m} ... R_1^{w_1}, on the input side R_1^{w_1} ... R_m^{w_m}: as the adapters act
                        when all are active

    Args:
        turns: every rotation, by the name of its tensor.
        adapters: the numbers of each, by these names.
        weights: w_j.
        combination_type: one of the two.

    Returns:
        the numbers, by these names.

    Raises:
        ValueError: a rotation has several factors, or a map cannot give the result.
    """
    made = {}
    for name, turn in turns.items():
        try:
            parts = [adapter[name] for adapter in adapters]
            if combination_type == "lie":
                made[name] = mean(turn.rotation, parts, weights)
            else:
                made[name] = _product(turn, parts, weights)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return made


def _product(turn: Turn, parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    dtype = parts[0].dtype
    first, *others = (power(turn.rotation, own.double(), weight) for own, weight in zip(parts, weights, strict=True))
    for other in others:
        first = compose(turn.rotation, *((first, other) if turn.side == "out" else (other, first)))
    return first.to(dtype)


def similarities(turns: Mapping[str, Turn], adapters: Sequence[_Adapter]) -> Tensor:
    """tr(R_i^T R_j) / d of every pair of adapters, over all rotations: d features are those of all of them together.

    Args:
        turns: every rotation, by the name of its tensor.
        adapters: the numbers of each, by these names.

    Returns:
        shape (adapters, adapters), float64, symmetric, with ones on the diagonal.

    Raises:
        ValueError: a rotation has several factors.
    """
    sizes = {name: turn.rotation.plan.features for name, turn in turns.items()}
    table = torch.eye(len(adapters), dtype=torch.float64)
    for i, j in torch.combinations(torch.arange(len(adapters))).tolist():
        alike = sum(
            sizes[name] * similarity(turn.rotation, adapters[i][name], adapters[j][name])
            for name, turn in turns.items()
        )
        table[i, j] = table[j, i] = alike / sum(sizes.values())
    return table


def distances(turns: Mapping[str, Turn], adapters: Sequence[_Adapter]) -> Tensor:
    """The length of the shortest path between every pair of adapters, all rotations together: see `distance`.

    Args:
        turns: every rotation, by the name of its tensor.
        adapters: the numbers of each, by these names.

    Returns:
        shape (adapters, adapters), float64, symmetric, with zeros on the diagonal.

    Raises:
        ValueError: a rotation has several factors.
    """
    table = torch.zeros(len(adapters), len(adapters), dtype=torch.float64)
    for i, j in torch.combinations(torch.arange(len(adapters))).tolist():
        parts = [distance(turn.rotation, adapters[i][name], adapters[j][name]) for name, turn in turns.items()]
        table[i, j] = table[j, i] = math.hypot(*parts)
    return table
