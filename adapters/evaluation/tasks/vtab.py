"""VTAB-1k, from the hub: nineteen image tasks with 1,000 training images each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .hub import HubImages, hub_rows
from .task import Split, Task, TaskSpec

__all__ = ["VTAB_SPECS"]

_BACKBONE = "facebook/dinov2-large"
_N_TRAIN = 1000
_PIXELS = 224
_REPOSITORIES: Mapping[str, str] = {
    "caltech101": "caltech101",
    "cifar100": "cifar100",
    "clevr_count": "clevr_count_all",
    "clevr_distance": "clevr_closest_object_distance",
    "dmlab": "dmlab",
    "dsprites_location": "dsprites_label_x_position",
    "dsprites_orientation": "dsprites_label_orientation",
    "dtd": "dtd",
    "eurosat": "eurosat",
    "flowers102": "flowers",
    "kitti": "kitti_closest_vehicle_distance",
    "patch_camelyon": "pcam",
    "pets": "pets",
    "resisc45": "resisc45",
    "retinopathy": "diabetic_retinopathy",
    "smallnorb_azimuth": "smallnorb_label_azimuth",
    "smallnorb_elevation": "smallnorb_label_elevation",
    "sun397": "sun397",
    "svhn": "svhn",
}
_LABELS = ("label", "cls")


def _repository(key: str) -> str:
    return f"clip-benchmark/wds_vtab-{_REPOSITORIES[key]}"


def _load(key: str, cache: Path | None = None) -> Task:
    """A task of VTAB: 1,000 training images by a fixed permutation, and the whole test split.

    The images of the original benchmark are the first 1,000 in the order of another package, so that numbers are
    comparable, not equal, to published ones.

    Reference:
        X. Zhai et al., A Large-scale Study of Representation Learning with the Visual Task Adaptation Benchmark,
        arXiv:1910.04867.
    """
    train, test = (hub_rows(_repository(key), part) for part in ("train", "test"))
    image, label = _columns(train, key)
    order = np.random.RandomState(0).permutation(len(train))[:_N_TRAIN]
    train = train.select(order)
    names = getattr(train.features[label], "names", None)
    n_classes = len(names) if names else 1 + max(*train[label], *test[label])
    classes = tuple(names or map(str, range(n_classes)))
    learnt, measured = (
        Split(HubImages(rows, image, _PIXELS), tuple(map(int, rows[label]))) for rows in (train, test)
    )
    return Task(
        f"vtab/{key}", f"VTAB-1k {key}", "image", "accuracy", classes, learnt, measured, _BACKBONE, pixels=_PIXELS
    )


def _columns(rows: Any, key: str) -> tuple[str, str]:
    images = [name for name, feature in rows.features.items() if type(feature).__name__ == "Image"]
    labels = [name for name in _LABELS if name in rows.features]
    if not images or not labels:
        raise ValueError(
            f"{_repository(key)} must have a column of images and one of {_LABELS}, got {list(rows.features)}"
        )
    return images[0], labels[0]


VTAB_SPECS = tuple(
    TaskSpec(f"vtab/{key}", "image", partial(_load, key), f"hub {_repository(key)}", "that of each set", online=True)
    for key in _REPOSITORIES
)
