"""A recorder of training: an adapter's numbers, the angles of its rotations and their distance from the identity."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from qicircuits.subsets import check_integer

from .compile import adapted_layers
from .distance import distance_from_identity, eigenvalue_angles, turning_angles

__all__ = ["AdapterHistory"]

_Arrays = dict[str, NDArray[np.floating[Any]]]
_PARTS = ("parameters", "angles", "distances")


class AdapterHistory(TrainerCallback):
    """Records an adapter while it is trained, by transformers' Trainer or by hand.

    A layer whose both sides are rotated is recorded as two, "<name>.out" and "<name>.in".

    ``Trainer(..., callbacks=[history])`` records before the first step, every so many steps and after the last; in a
    loop of one's own, call :meth:`record`. Then ``draw_training(history.angles, history.distances, history.steps)``.

    Args:
        every: record each step that is a multiple of it.
        adapter_name: name of the adapter; the active one if left out.

    Attributes:
        steps: the steps recorded, ascending.

    Raises:
        TypeError: `every` is not an integer.
        ValueError: `every` is not positive.
    """

    def __init__(self, every: int = 10, adapter_name: str | None = None) -> None:
        if check_integer(every, "every") < 1:
            raise ValueError(f"every must be at least 1, got {every=}")
        self.every = every
        self.adapter_name = adapter_name
        self.steps: list[int] = []
        self._records: list[dict[str, _Arrays]] = []

    @property
    def parameters(self) -> _Arrays:
        """For each module its trained numbers, shape (steps, rows, n(n-1)/2), rows as in the adapter's plan."""
        return self._stacked("parameters")

    @property
    def angles(self) -> _Arrays:
        """For each module the angles of its rotations A, in radians, shape (steps, rows times floor(n/2))."""
        return self._stacked("angles")

    @property
    def distances(self) -> _Arrays:
        """For each module the distance of R from the identity, shape (steps,)."""
        return self._stacked("distances")

    def _stacked(self, part: str) -> _Arrays:
        names = self._records[0][part] if self._records else {}
        return {name: np.stack([record[part][name] for record in self._records]) for name in names}

    def record(self, model: nn.Module, step: int) -> None:
        """Record the adapter as it is now. Where parameters are sharded, every process has to call this.

        Args:
            model: a model with QuIC adapters, the same at every step.
            step: larger than every step before.

        Raises:
            TypeError: the step is not an integer.
            ValueError: the step is not larger, the adapter is not there, several are active, or it has other layers.
        """
        step = check_integer(step, "step")
        if self.steps and step <= self.steps[-1]:
            raise ValueError(f"steps must grow, got {step} after {self.steps[-1]}")
        layers = adapted_layers(model, self.adapter_name)
        if len({name for name, _, _ in layers}) < len(layers):
            active = sorted({adapter for _, _, adapter in layers})
            raise ValueError(f"adapter_name must be given where several are active, got {active}")
        found: dict[str, _Arrays] = {part: {} for part in _PARTS}
        for name, layer, adapter in layers:
            turns = layer.quic_turns[adapter]
            for turn in turns:
                key = name if len(turns) == 1 else f"{name}.{turn.side}"
                numbers = _whole(getattr(layer, turn.parameters_in)[adapter])
                angles = eigenvalue_angles(turn.rotation, numbers)
                found["parameters"][key] = numbers.to(torch.promote_types(numbers.dtype, torch.float32)).numpy()
                found["angles"][key] = turning_angles(angles).flatten().numpy()
                found["distances"][key] = np.array(distance_from_identity(angles, turn.rotation.plan))
        if self._records and _shapes(found) != _shapes(self._records[0]):
            raise ValueError("the adapter must have the same layers at every step, got others")
        self._records.append(found)
        self.steps.append(step)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **_: Any
    ) -> None:
        """Record the start. What was recorded from this step on is forgotten: that training is repeated."""
        kept = sum(step < state.global_step for step in self.steps)
        del self.steps[kept:], self._records[kept:]
        self.record(model, state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **_: Any
    ) -> None:
        """Record each step that is a multiple of `every`."""
        if state.global_step % self.every == 0:
            self.record(model, state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **_: Any
    ) -> None:
        """Record the end."""
        if self.steps[-1] < state.global_step:
            self.record(model, state.global_step)

    def save(self, path: str | Path) -> None:
        """Write everything into one file .npz, all or nothing.

        Raises:
            ValueError: the file has another suffix.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"a history is a file .npz, got {path}")
        arrays: dict[str, Any] = {
            f"{part}/{name}": values for part in _PARTS for name, values in self._stacked(part).items()
        }
        partial = path.with_name(f".{path.name}.partial")
        try:
            with partial.open("wb") as file:
                np.savez(file, steps=np.array(self.steps, dtype=np.int64), every=np.array(self.every), **arrays)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "AdapterHistory":
        """Read what :meth:`save` wrote; nothing in the file is run.

        Raises:
            OSError: there is no such file.
            ValueError: it is not a history.
        """
        try:
            with open(path, "rb") as stream, np.load(stream) as file:
                arrays = dict(file)
            history = cls(int(arrays.pop("every")))
            history.steps = arrays.pop("steps").tolist()
            history._records = [{part: {} for part in _PARTS} for _ in history.steps]
            for key, values in arrays.items():
                part, _, name = key.partition("/")
                for record, value in zip(history._records, values, strict=True):
                    record[part][name] = value
        except (KeyError, TypeError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"a history is a file .npz that AdapterHistory wrote, got {path}") from error
        return history


def _whole(parameters: Tensor) -> Tensor:
    """The parameters on the CPU; gathered where they are sharded, which every process takes part in."""
    tensor = parameters.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu()


def _shapes(record: dict[str, _Arrays]) -> dict[str, tuple[int, ...]]:
    return {name: np.shape(values) for name, values in record["parameters"].items()}
