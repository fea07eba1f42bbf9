"""Data sets of the hub, or local copies of them, read with the `datasets` package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .task import Images

__all__ = ["HubImages", "hub_rows"]

_LOCAL = "QICIRCUITS_DATASETS"


def hub_rows(repository: str, split: str, subset: str | None = None) -> Any:
    """The rows of a split of a data set.

    They come from the folder `$QICIRCUITS_DATASETS/REPOSITORY[/SUBSET]`, with one file `SPLIT.jsonl`, `.json`, `.csv`
    or `.parquet`, or one folder `SPLIT` of images, for each split, where there is such a folder; from the hub
    otherwise.

    Args:
        repository: its name on the hub, such as "nyu-mll/glue".
        split: name of the split, such as "train".
        subset: name of the configuration, where there are several.

    Raises:
        ValueError: the data set is in neither place, the hub cannot be reached, or `datasets` is not installed.
    """
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ValueError("tasks of the hub need the extra 'finetune', got no package datasets") from error
    local = _local_source(repository, split, subset)
    try:
        if local is not None:
            return load_dataset(**local, split="train")
        return load_dataset(repository, subset, split=split)
    except Exception as error:  # whatever datasets, the hub or the network raise
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{repository} must be on a hub that can be reached, or below the folder {_LOCAL}, got neither: {reason}"
        ) from error


def _local_source(repository: str, split: str, subset: str | None) -> dict[str, str] | None:
    root = os.environ.get(_LOCAL)
    if not root:
        return None
    folder = Path(root).expanduser() / repository / (subset or "")
    if (folder / split).is_dir():
        return {"path": "imagefolder", "data_dir": str(folder / split)}
    builders = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
    for suffix, builder in builders.items():
        if (folder / f"{split}{suffix}").is_file():
            return {"path": builder, "data_files": str(folder / f"{split}{suffix}")}
    return None


class HubImages(Sequence[Any]):
    """The images of a data set as uint8 squares, decoded when they are asked for.

    Args:
        rows: of the data set.
        column: that holds the images.
        pixels: width and height they are resized to, after their shorter side was filled by the middle of the image.
    """

    def __init__(self, rows: Any, column: str, pixels: int) -> None:
        self._rows, self._column, self._pixels = rows, column, pixels

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        """One image, shape (pixels, pixels, 3); the images of a list of rows, stacked; or the images of a slice."""
        if isinstance(index, slice):
            return HubImages(self._rows.select(range(*index.indices(len(self)))), self._column, self._pixels)
        if isinstance(index, Sequence):
            return np.stack([self[row] for row in index])
        return self._decode(self._rows[int(index)][self._column])

    def _decode(self, image: Any) -> Images:
        from PIL import ImageOps

        square = (self._pixels, self._pixels)
        return np.asarray(ImageOps.fit(image.convert("RGB"), square))
