"""The unit of a sweep: one method trained once on one task, and what came of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

__all__ = ["Cell", "Option", "Precision", "Result", "SplitName", "freeze_options"]

Option = bool | int | float | str | None | tuple["Option", ...]
SplitName = Literal["tuning", "test"]
Precision = Literal["bfloat16", "float32"]

_KEY_LENGTH = 20  # hexadecimal digits: 80 bits, so that thousands of cells never meet


def freeze_options(options: Mapping[str, Any]) -> tuple[tuple[str, Option], ...]:
    """Options as sorted pairs, lists in them as tuples, so that a cell can be hashed.

    >>> freeze_options({"orders": [1, 2], "n_blocks": 4})
    (('n_blocks', 4), ('orders', (1, 2)))
    """
    return tuple((name, _frozen(options[name])) for name in sorted(options))


def _frozen(value: Any) -> Option:
    if isinstance(value, list | tuple):
        return tuple(_frozen(entry) for entry in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"an option must be a number, a string, True, False, None or a list of them, got {value!r}")


@dataclass(frozen=True)
class Cell:
    """What is trained, on what, and how it is measured; equal cells give equal numbers.

    Args:
        task: a name in `tasks.TASKS`.
        method: a name in `rivals.METHODS`.
        size: the method's own knob, such as "r=8"; "" where it has none.
        options: further options of the method, as :func:`freeze_options` writes them.
        targets: which modules are adapted: a name in `backbones.target_sets`, or ends of module names, with commas.
        layers: indices of the layers whose modules are adapted; None for all.
        measures: names in `measures.MEASURES` of what is measured after training besides the score.
        seed: of the batches, the first head and the adapter's first values.
        rate: peak learning rate of the adapter (of the head for the method "head"); None as long as none is chosen.
        steps: training steps.
        batch_size: examples of a step.
        split: "test" trains on the training examples and measures on the test examples; "tuning" sets a fifth of the
            training examples apart, measures on those, and does not touch the test examples.
        train_limit: the training examples are the first so many; None for all.
        test_limit: the test examples are the first so many; None for all.
        max_length: text is cut to so many tokens.
        precision: "bfloat16" computes under torch's autocast, parameters stay in float32; or "float32".
        backbone: a model instead of the task's own; None for that one.

    Raises:
        ValueError: a value is not allowed; the message says the rule and the value.
    """

    task: str
    method: str
    size: str = ""
    options: tuple[tuple[str, Option], ...] = ()
    targets: str = "attention_qv"
    layers: tuple[int, ...] | None = None
    measures: tuple[str, ...] = ()
    seed: int = 0
    rate: float | None = None
    steps: int = 100
    batch_size: int = 16
    split: SplitName = "test"
    train_limit: int | None = None
    test_limit: int | None = None
    max_length: int = 32
    precision: Precision = "float32"
    backbone: str | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "max_length", "train_limit", "test_limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.rate is not None and not (math.isfinite(self.rate) and self.rate > 0):
            raise ValueError(f"rate must be a positive number, got {self.rate}")
        for name, choices in (("split", SplitName), ("precision", Precision)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {get_args(choices)}, got {getattr(self, name)!r}")
        if self.options != freeze_options(dict(self.options)):
            raise ValueError(f"options must be sorted pairs, as freeze_options writes them, got {self.options}")

    def key(self) -> str:
        """A name for the cell's file, the same in every process and release.

        It is a hash of the values that differ from the defaults, so that a field that a later release adds leaves the
        keys of earlier cells as they were.
        """
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:_KEY_LENGTH]

    def setup(self) -> Cell:
        """The cell without what varies within a comparison: rate, seed and split; rivals' setups are compared."""
        return replace(self, rate=None, seed=0, split="test")

    def label(self) -> str:
        """The cell in words, for messages: method, size, options, task."""
        chosen = ", ".join(f"{name}={value}" for name, value in self.options)
        words = [self.method, self.size, chosen, f"on {self.task}"]
        if self.targets != "attention_qv":
            words.append(f"in {self.targets}")
        if self.layers is not None:
            words.append(f"of layers {list(self.layers)}")
        return " ".join(word for word in words if word)

    def to_json(self) -> dict[str, Any]:
        """The values that differ from the defaults, in JSON's types."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        document = {f.name: values[f.name] for f in fields(self) if values[f.name] != f.default}
        if self.options:
            document["options"] = {name: _thawed(value) for name, value in self.options}
        return {name: _thawed(value) for name, value in document.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Cell:
        """The cell that `to_json` wrote.

        Raises:
            ValueError: a field is unknown, missing or not allowed.
        """
        unknown = set(document) - {f.name for f in fields(cls)}
        if unknown or not {"task", "method"} <= set(document):
            raise ValueError(f"a cell needs a task and a method and no unknown fields, got {sorted(document)}")
        values = {name: _frozen(value) for name, value in document.items() if name != "options"}
        values["options"] = freeze_options(document.get("options", {}))
        return cls(**values)  # type: ignore[arg-type]


def _thawed(value: Any) -> Any:
    return [_thawed(entry) for entry in value] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Result:
    """What came of a cell; equal cells give equal results, but for the seconds, the memory and the environment.

    Args:
        cell: what was run.
        metric: of the task: "accuracy" in [0, 1], "pearson" in [-1, 1], or "perplexity", where lower is better.
        score: on the test examples, or on those set apart for tuning.
        losses: the mean training loss of equal stretches of the steps, in order; at most twenty.
        train_examples: how many examples there were to train on.
        test_examples: how many examples the score was measured on.
        adapter_numbers: trained numbers of the adapter.
        head_numbers: trained numbers of the head.
        n_bytes: size of the saved adapter, without the head, in bytes.
        seconds_per_step: median processor time of a training step.
        seconds: time of the whole cell, by the clock.
        peak_memory: largest resident memory of the process while it trained, in bytes; None where it is unknown.
        extra: what the cell's measures found, by name.
        environment: machine, versions and threads.
    """

    cell: Cell
    metric: str
    score: float
    losses: tuple[float, ...]
    train_examples: int
    test_examples: int
    adapter_numbers: int
    head_numbers: int
    n_bytes: int
    seconds_per_step: float
    seconds: float
    peak_memory: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The result in JSON's types."""
        document = {f.name: getattr(self, f.name) for f in fields(self)}
        return document | {"cell": self.cell.to_json(), "losses": list(self.losses)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Result:
        """The result that `to_json` wrote.

        Raises:
            ValueError: fields are missing or unknown, or the score is not a number.
        """
        names = {f.name for f in fields(cls)}
        if set(document) != names:
            raise ValueError(f"a result has the fields {sorted(names)}, got {sorted(document)}")
        if not isinstance(document["score"], int | float) or not math.isfinite(document["score"]):
            raise ValueError(f"a score must be a finite number, got {document['score']!r}")
        values = dict(document, cell=Cell.from_json(document["cell"]), losses=tuple(document["losses"]))
        return cls(**values)
