"""The PennyLane face: gates, templates, loaders, and the Hamming-weight sectors of circuits."""

from .connectivity import Routing, connectivity_report, route
from .controlled import ControlledRBS
from .execute import layer_qnode, run_layer
from .execute_measured import MeasuredLayer, measure_layer
from .gates import FBS, RBS
from .loaders import clifford_loader, direct_sum_loader, slater_loader, subspace_loader, unary_loader
from .native import to_native
from .noise import Noise, weight_kept
from .qasm import to_openqasm
from .sectors import weight_block
from .templates import orthogonal_layer
from .train import trainable_layer
from .trajectories import Trajectories

__all__ = [
    "FBS",
    "RBS",
    "ControlledRBS",
    "MeasuredLayer",
    "Noise",
    "Routing",
    "Trajectories",
    "clifford_loader",
    "connectivity_report",
    "direct_sum_loader",
    "layer_qnode",
    "measure_layer",
    "orthogonal_layer",
    "route",
    "run_layer",
    "slater_loader",
    "subspace_loader",
    "to_native",
    "to_openqasm",
    "trainable_layer",
    "unary_loader",
    "weight_block",
    "weight_kept",
]
