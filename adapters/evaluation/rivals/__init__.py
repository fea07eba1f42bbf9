"""The methods that the laboratory compares: their registry, and how each is put into a model."""

from .method import Method
from .parts import adapter_parameters, head_parameters, saved_bytes, trainable_numbers
from .registry import METHODS, attach, count_numbers, merge_ok, merged
from .size import parse_size

__all__ = [
    "METHODS",
    "Method",
    "adapter_parameters",
    "attach",
    "count_numbers",
    "head_parameters",
    "merge_ok",
    "merged",
    "parse_size",
    "saved_bytes",
    "trainable_numbers",
]
