"""The PennyLane face: gates, templates, and the Hamming-weight sectors of circuits."""

from .execute import layer_qnode, run_layer
from .gates import FBS, RBS
from .sectors import weight_block
from .templates import orthogonal_layer

__all__ = ["FBS", "RBS", "layer_qnode", "orthogonal_layer", "run_layer", "weight_block"]
