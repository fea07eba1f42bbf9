"""The words that a configuration chooses between."""

from typing import Literal

__all__ = [
    "Composition",
    "Constraint",
    "MapName",
    "Operation",
    "ParameterMap",
    "Side",
    "Sides",
    "Start",
    "TrainedBiases",
]

ParameterMap = Literal["cayley", "exponential", "rbs"]
MapName = Literal["cayley", "exponential", "rbs", "rbs from zero", "free"]
"""The maps, with those that only comparisons use."""
Side = Literal["out", "in"]
Sides = Literal["out", "in", "both"]
Composition = Literal["multiplicative", "additive"]
TrainedBiases = Literal["none", "all", "quic_only"]
Constraint = Literal["orthogonal", "free"]
Operation = Literal["det", "permanent", "max", "mean"]
Start = Literal["swap_network", "zero"]
