"""Diagrams of circuits, layouts, adapters and compound matrices, on matplotlib figures outside pyplot."""

from .adapter import draw_adapter
from .circuit import draw_circuit
from .compound import draw_compound
from .layout import draw_layout

__all__ = ["draw_adapter", "draw_circuit", "draw_compound", "draw_layout"]
