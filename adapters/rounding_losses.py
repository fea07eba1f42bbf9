"""What merging into quantised weights lost: by layer, and as a warning that says what to do instead."""

import statistics
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from .layer import QuICLayer
from .quantised import RoundingLoss

__all__ = ["rounding_losses", "warn_of_rounding"]


def rounding_losses(model: nn.Module) -> dict[str, RoundingLoss]:
    """What rounding lost in every quantised layer of a model that holds a merged adapter, by the layer's name.

    Args:
        model: after ``merge_adapter``; ``merge_and_unload`` leaves no layers to ask, and warns with the mean.
    """
    return {
        name: layer.quantised.loss
        for name, layer in model.named_modules()
        if isinstance(layer, QuICLayer) and layer.quantised is not None and layer.quantised.loss is not None
    }


@contextmanager
def warn_of_rounding(model: nn.Module) -> Iterator[None]:
    """Warn at the end of a merge of what rounding lost in the model, with advice against 4 bits."""
    layers = [layer for layer in model.modules() if isinstance(layer, QuICLayer) and layer.quantised is not None]
    before = [layer.quantised.loss for layer in layers]  # type: ignore[union-attr]
    yield
    after = [layer.quantised.loss for layer in layers if layer.quantised is not None]
    new = [loss for loss, old in zip(after, before, strict=True) if loss is not None and loss is not old]
    if new:
        warnings.warn(_sentence(new), stacklevel=4)


def _sentence(losses: list[RoundingLoss]) -> str:
    kinds = " and ".join(sorted({loss.kind for loss in losses}))
    mean, most = statistics.mean(loss.error for loss in losses), max(loss.error for loss in losses)
    said = (
        f"merging has quantised {len(losses)} weights again ({kinds}): they are off by {mean:.2%} on average, "
        f"{most:.2%} at most, where the adapter changes them by {statistics.mean(loss.change for loss in losses):.2%}"
    )
    if not any(loss.kind == "bitsandbytes 4-bit" for loss in losses):
        return said
    return (
        f"{said}. Do not merge into 4 bits: keep the adapter unmerged, or merge it into the base model as it was "
        "before quantisation, which adds no error (quic merge, or load the base without quantization_config, then "
        "PeftModel.from_pretrained and merge_and_unload)"
    )
