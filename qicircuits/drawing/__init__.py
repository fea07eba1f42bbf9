"""Diagrams of circuits, layouts, adapters, compound matrices, training and costs; figures outside pyplot."""

from .adapter import draw_adapter
from .circuit import draw_circuit
from .compound import draw_compound
from .layout import draw_layout
from .resources import draw_resources
from .training import draw_training

__all__ = ["draw_adapter", "draw_circuit", "draw_compound", "draw_layout", "draw_resources", "draw_training"]
