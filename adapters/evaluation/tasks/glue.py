"""GLUE, from the hub: eight tasks of sentences and pairs of sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .hub import hub_rows
from .task import Metric, Split, Task, TaskSpec

__all__ = ["GLUE_SPECS"]

_BACKBONE = "microsoft/deberta-v3-base"
_REPOSITORY = "nyu-mll/glue"


@dataclass(frozen=True)
class _Columns:
    """Where a task of GLUE has its texts, what is measured, and on which split with labels."""

    texts: tuple[str, ...]
    classes: tuple[str, ...]
    metric: Metric = "accuracy"
    measured: str = "validation"


_SAME = ("not_equivalent", "equivalent")
_FOLLOWS = ("entailment", "not_entailment")
_COLUMNS: Mapping[str, _Columns] = {
    "cola": _Columns(("sentence",), ("unacceptable", "acceptable"), "matthews"),
    "sst2": _Columns(("sentence",), ("negative", "positive")),
    "mrpc": _Columns(("sentence1", "sentence2"), _SAME),
    "stsb": _Columns(("sentence1", "sentence2"), (), "pearson"),
    "qqp": _Columns(("question1", "question2"), ("not_duplicate", "duplicate")),
    "mnli": _Columns(
        ("premise", "hypothesis"), ("entailment", "neutral", "contradiction"), measured="validation_matched"
    ),
    "qnli": _Columns(("question", "sentence"), _FOLLOWS),
    "rte": _Columns(("sentence1", "sentence2"), _FOLLOWS),
}


def _load(key: str, cache: Path | None = None) -> Task:
    """A task of GLUE; it is measured on the validation split, for the test labels are not public.

    Reference:
        A. Wang et al., GLUE, ICLR 2019.
    """
    columns = _COLUMNS[key]
    train = _split(hub_rows(_REPOSITORY, "train", key), columns)
    test = _split(hub_rows(_REPOSITORY, columns.measured, key), columns)
    return Task(f"glue/{key}", f"GLUE {key}", "text", columns.metric, columns.classes, train, test, _BACKBONE)


def _split(rows: Any, columns: _Columns) -> Split:
    texts = [list(rows[name]) for name in columns.texts]
    inputs = tuple(texts[0]) if len(texts) == 1 else tuple(zip(*texts, strict=True))
    to_label = int if columns.classes else float
    return Split(inputs, tuple(to_label(label) for label in rows["label"]))


GLUE_SPECS = tuple(
    TaskSpec(f"glue/{key}", "text", partial(_load, key), f"hub {_REPOSITORY}", "that of each corpus", online=True)
    for key in _COLUMNS
)
