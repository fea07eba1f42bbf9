"""Labels of rows: classes as numbers with their names, or the numbers of a regression."""

from __future__ import annotations

import math
from typing import Any

from datasets import ClassLabel, Dataset

from .data import Examples

__all__ = ["class_names", "encode_classes", "encode_numbers"]


def class_names(examples: Examples, column: str) -> list[str]:
    """The classes that the training examples have: by the names stored with them, or else sorted.

    Args:
        examples: both sets.
        column: their labels.

    Raises:
        ValueError: labels are neither integers nor names, are fewer than two, or are others for the validation.
    """
    feature = examples.train.features[column]
    if isinstance(feature, ClassLabel):
        names = [str(name) for name in feature.names]
        found = {feature.int2str(label) for label in examples.train.unique(column)}
    else:
        labels = examples.train.unique(column)
        for label in labels:
            if not isinstance(label, int | str):  # bool is an int
                raise ValueError(
                    f"labels of a classification must be integers or names, got {label!r} in {column!r} (for "
                    "numbers, set task: regression)"
                )
        names = [str(label) for label in sorted(labels)]
        found = set(names)
    if len(found) < 2:
        raise ValueError(f"a classification needs at least two classes in {column!r}, got {sorted(found)}")
    unknown = sorted(set(_as_names(examples.validation, column)) - set(names))
    if unknown:
        raise ValueError(
            f"labels of data.validation must be among those of data.train, {_few(names)}, got {_few(unknown)}"
        )
    return names


def encode_classes(rows: Dataset, column: str, names: list[str]) -> list[int]:
    """The number of each row's class."""
    numbers = {name: number for number, name in enumerate(names)}
    return [numbers[name] for name in _as_names(rows, column)]


def encode_numbers(rows: Dataset, column: str) -> list[float]:
    """The number of each row, for a regression.

    Raises:
        ValueError: one of them is no finite number.
    """
    values: list[Any] = list(rows[column])
    for row, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(
                f"labels of a regression must be finite numbers, got {value!r} in row {row} of {column!r}"
            )
    return [float(value) for value in values]


def _as_names(rows: Dataset, column: str) -> list[str]:
    feature = rows.features[column]
    values = list(rows[column])
    return [str(feature.int2str(value) if isinstance(feature, ClassLabel) else value) for value in values]


def _few(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
