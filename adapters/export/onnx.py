"""The merged model as an ONNX file, checked against itself in ONNX Runtime."""

from __future__ import annotations

import os
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .merged import output_of
from .saved_model import probe_inputs

__all__ = ["save_onnx"]


def save_onnx(model: PreTrainedModel, output: Path) -> float:
    """Export a model, whose adapters are merged, to ONNX, with the batch (and for text the length) left open.

    Args:
        model: what :func:`~adapters.export.merged.merge` returns.
        output: the file, which must not exist yet.

    Returns:
        the largest difference of an output in ONNX Runtime from that in torch, over the largest output.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime are missing.
        ValueError: the file exists, or the model's inputs are neither text nor images.
    """
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise ImportError(f"ONNX export needs pip install 'qicircuits[onnx]', got no {missing[0]}")
    if output.exists():
        raise ValueError(f"the ONNX file must not exist yet, got {output}")
    inputs = probe_inputs(model)
    if inputs is None:
        raise ValueError(f"ONNX export knows models of text and images, got one of {model.main_input_name}")
    import onnxruntime  # optional

    open_sizes = {0: "batch"} if "pixel_values" in inputs else {0: "batch", 1: "length"}
    folder = tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent)
    with folder as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, of which a user can mend nothing; the result is checked
        file = Path(scratch) / output.name
        torch.onnx.export(
            _FirstOutput(model.eval()),
            kwargs={"inputs": inputs},
            f=str(file),
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=list(inputs),
            output_names=["output"],
            dynamic_shapes={"inputs": dict.fromkeys(inputs, open_sizes)},
        )
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        found = session.run(None, {name: value.numpy() for name, value in inputs.items()})[0]
        expected = output_of(model, inputs)
        os.replace(file, output)
    return float((torch.from_numpy(found).double() - expected).abs().max() / expected.abs().max())


class _FirstOutput(nn.Module):
    """A model of tensors only, as an ONNX graph is: neither caches nor classes of outputs."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """The first output."""
        first: Tensor = self.model(**inputs, return_dict=False)[0]
        return first
