"""What adapters must have in common to be kept together, or combined."""

import dataclasses
from collections.abc import Mapping

from torch import Tensor

from .config import QuICConfig
from .vectors import tensor_name

__all__ = ["check_same_meaning", "check_tensors"]

_PLACE = {
    *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "init_weights", "module_dropout", "config_version", "packed_bits"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save"),
}
"""Fields that say how an adapter was trained and where it goes: its tensors' names tell the modules."""


def check_same_meaning(host: QuICConfig, config: QuICConfig, name: str) -> None:
    """Refuse an adapter whose numbers mean other rotations than the host's would.

    Args:
        host: the configuration that the others share.
        config: the configuration of another adapter.
        name: its name.

    Raises:
        ValueError: some values differ; the message has all of them.
    """
    fields = [field.name for field in dataclasses.fields(host) if field.name not in _PLACE]
    others = [field for field in fields if getattr(host, field) != getattr(config, field)]
    if others:
        needed, got = (", ".join(f"{field}={getattr(of, field)!r}" for field in others) for of in (host, config))
        raise ValueError(f"adapters must have one configuration to be used together, {needed}, got {got} in {name!r}")


def check_tensors(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, int]], name: str) -> None:
    """Refuse tensors that are not the parameters of an adapter of a bank.

    Args:
        tensors: by the names of an adapter file.
        shapes: the shape of the host's parameters, by their names in :class:`~adapters.vectors.VectorPlan`.
        name: the adapter's name.

    Raises:
        ValueError: something is missing, or too much, or of another shape, or not finite.
    """
    found = {tensor_name(key): tensor for key, tensor in tensors.items()}
    missing, extra = [key for key in shapes if key not in found], [key for key in found if key not in shapes]
    if missing or extra:
        parts = [
            f"{len(these)} {kind}, such as {these[0]}"
            for kind, these in (("missing", missing), ("more", extra))
            if these
        ]
        raise ValueError(
            f"an adapter must have the {len(shapes)} tensors of rotations that the others have and nothing else, "
            f"got {' and '.join(parts)} in {name!r} (an adapter that trains more is loaded with load_adapter)"
        )
    for key, shape in shapes.items():
        if tuple(found[key].shape) != shape:
            raise ValueError(
                f"{key}: the parameters of an adapter must have the shape that the others have, {shape}, "
                f"got {tuple(found[key].shape)} in {name!r}"
            )
        if not found[key].is_floating_point() or not found[key].isfinite().all():
            raise ValueError(f"{key}: parameters must be finite floating-point numbers, got others in {name!r}")
