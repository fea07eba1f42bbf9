"""The base of a run in 8 or 4 bits: what transformers is told, and what is made ready for training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from peft import prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig, PreTrainedModel, TorchAoConfig

from .config import FinetuneConfig

__all__ = ["prepare_quantised", "quantised_settings"]


def quantised_settings(config: FinetuneConfig, in_full: Sequence[str]) -> dict[str, Any]:
    """What transformers' ``from_pretrained`` is told to quantise the base; nothing if it is not to be.

    Args:
        config: of the run.
        in_full: names of layers that are trained, and so are not quantised.

    Raises:
        ValueError: the package for it is not installed, or the run is sharded.
    """
    if config.quantisation == "none":
        return {}
    if config.training.trainer_arguments.get("fsdp"):
        raise ValueError(f"a sharded run needs quantisation: none, got {config.quantisation}")
    package = "torchao" if config.quantisation == "int8" else "bitsandbytes"
    if find_spec(package) is None:
        raise ValueError(
            f"quantisation: {config.quantisation} needs pip install 'qicircuits[quantised]', got no {package}"
        )
    # With a list of ours, transformers leaves out nothing else: not the output embedding either.
    left = [*in_full, "lm_head"] if in_full else None
    if config.quantisation == "int8":
        from torchao.quantization import Int8WeightOnlyConfig

        return {"quantization_config": TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=left)}
    # It says in every call on a CPU that inputs are cast.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    if config.quantisation == "8bit":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=left)}
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, config.dtype),
            llm_int8_skip_modules=left,
        )
    }


def prepare_quantised(model: PreTrainedModel, config: FinetuneConfig) -> None:
    """Bring what is not quantised, as norms and embeddings, to float32, as PEFT does for bitsandbytes.

    Args:
        model: as it was loaded; changed in place.
        config: of the run.
    """
    if config.quantisation != "none":
        # Checkpointing is Trainer's to begin; PEFT 0.21 asks transformers 5.23 for it by an old name.
        prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
