"""The words that a configuration chooses between."""

from typing import Literal

__all__ = ["Composition", "ParameterMap", "Side", "Sides", "TrainedBiases"]

ParameterMap = Literal["cayley", "exponential", "rbs"]
Side = Literal["out", "in"]
Sides = Literal["out", "in", "both"]
Composition = Literal["multiplicative", "additive"]
TrainedBiases = Literal["none", "all", "quic_only"]
