"""The PennyLane face: gates, templates, and the Hamming-weight sectors of circuits."""

from .gates import FBS, RBS
from .sectors import weight_block
from .templates import orthogonal_layer

__all__ = ["FBS", "RBS", "orthogonal_layer", "weight_block"]
