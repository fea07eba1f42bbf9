"""Ways out: a merged checkpoint, ONNX, and an approximate LoRA adapter."""

from .dequantised import dequantise
from .lora import LayerLoss, save_as_lora
from .merged import MergeReport, save_merged
from .onnx import save_onnx
from .saved_model import load_saved_model

__all__ = ["LayerLoss", "MergeReport", "dequantise", "load_saved_model", "save_as_lora", "save_merged", "save_onnx"]
