"""Progress of a run: a bar with the time left, and every logged line in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

__all__ = ["RunLog", "TrainingBar"]


class TrainingBar(TrainerCallback):
    """A bar of the steps on a console, with the time left, and a line for each evaluation.

    Args:
        console: where it is drawn.
    """

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=console,
        )

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin at the step that the run begins or goes on with."""
        self._task = self._bar.add_task("Fine-tune", total=state.max_steps, completed=state.global_step, loss="")
        self._bar.start()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """One step more."""
        self._bar.update(self._task, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """The last loss beside the bar, and metrics in a line above it."""
        if logs and "loss" in logs:
            self._bar.update(self._task, loss=f"loss {logs['loss']:.4f}")
        metrics = {
            name.removeprefix("eval_"): value for name, value in (logs or {}).items() if name.startswith("eval_")
        }
        shown = [f"{n} {v:.4f}" for n, v in metrics.items() if not n.endswith(("runtime", "per_second"))]
        if shown and self._bar.live.is_started:  # not for the best checkpoint, once more at the end
            self._bar.console.print(f"step {state.global_step}: {', '.join(shown)}", highlight=False)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """All steps are done."""
        self.close()

    def close(self) -> None:
        """Leave the bar as it stands; also where training failed."""
        if self._bar.live.is_started:
            self._bar.stop()


class RunLog(TrainerCallback):
    """Every line that Trainer logs, as one JSON object a line; a resumed run goes on where its checkpoint was.

    Args:
        file: where they are written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Lines after the checkpoint, of a run that was cut short, are written again."""
        if state.is_world_process_zero:
            self._file.write_text("".join(json.dumps(line) + "\n" for line in state.log_history), "utf-8")

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """One line more."""
        if state.is_world_process_zero and state.log_history:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(state.log_history[-1]) + "\n")
