"""Hamming-weight-preserving circuits and their exact classical simulation.

The public names are those listed here; `qicircuits.circuits` holds the PennyLane face, `qicircuits.drawing`
the diagrams and `qicircuits.testing` the assertions to check circuits of your own with.
"""

from .choice import explain_compound, explain_layout
from .compound import compound_apply, compound_matrix
from .givens import angles_from_orthogonal, orthogonal_from_angles
from .layouts import Layout, brickwork, butterfly, pyramid, round_robin, staircase, v_shape, x_shape
from .orthogonal import cayley, exponential, is_orthogonal, random_orthogonal, swap_network
from .subsets import rank_subset, subsets, subspace_dim, unrank_subset
from .subspace import apply_layout, is_compound
from .warm_up import warm_up

__all__ = [
    "Layout",
    "angles_from_orthogonal",
    "apply_layout",
    "brickwork",
    "butterfly",
    "cayley",
    "compound_apply",
    "compound_matrix",
    "explain_compound",
    "explain_layout",
    "exponential",
    "is_compound",
    "is_orthogonal",
    "orthogonal_from_angles",
    "pyramid",
    "random_orthogonal",
    "rank_subset",
    "round_robin",
    "staircase",
    "subsets",
    "subspace_dim",
    "swap_network",
    "unrank_subset",
    "v_shape",
    "warm_up",
    "x_shape",
]
