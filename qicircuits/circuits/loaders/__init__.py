"""Loaders: vectors and subspaces into the amplitudes of Hamming-weight sectors, as PennyLane templates."""

from .clifford import clifford_loader
from .costs import LoaderCost, clifford_cost, direct_sum_cost, slater_cost, subspace_cost, unary_cost
from .operation import Loader, LoaderPlan, Slot
from .slater import slater_loader
from .subspace import direct_sum_loader, subspace_loader
from .unary import unary_loader

__all__ = [
    "Loader",
    "LoaderCost",
    "LoaderPlan",
    "Slot",
    "clifford_cost",
    "clifford_loader",
    "direct_sum_cost",
    "direct_sum_loader",
    "slater_cost",
    "slater_loader",
    "subspace_cost",
    "subspace_loader",
    "unary_cost",
    "unary_loader",
]
