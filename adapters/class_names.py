"""The names of the classes of a head that is saved with an adapter, in a file beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

__all__ = ["CLASS_NAMES", "read_class_names", "write_class_names"]

CLASS_NAMES = "classes.json"
"""The file: a JSON list, in the order of the head's outputs."""


def write_class_names(folder: Path, names: Sequence[str]) -> None:
    """Write the file.

    Args:
        folder: of the adapter.
        names: of the classes, in the order of the head's outputs.
    """
    (folder / CLASS_NAMES).write_text(json.dumps(list(names), ensure_ascii=False, indent=2) + "\n", "utf-8")


def read_class_names(folder: Path) -> list[str] | None:
    """The names in the file; None if there is none.

    Args:
        folder: of the adapter.

    Raises:
        ValueError: the file is no JSON list of different texts.
    """
    file = folder / CLASS_NAMES
    if not file.is_file():
        return None
    try:
        names = json.loads(file.read_text("utf-8"))
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        raise ValueError(f"{CLASS_NAMES} must be a JSON list of different names, got another content in {file}")
    return names
