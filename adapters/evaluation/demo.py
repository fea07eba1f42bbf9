"""The demo: a pretrained transformer fine-tuned with a QuIC adapter whose circuits are verified."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from peft import PeftModel
from transformers.utils import logging

from qicircuits.drawing import draw_adapter, draw_circuit

from ..choices import ParameterMap
from ..compile import compile_adapter
from .assets import encoder_folder
from .checks import check_adapter
from .methods import HEAD_RATE, LORA_RATE, QUIC_RATES, lora_config, quic_config, train_adapter, train_head
from .progress import StepProgress
from .report import DemoReport
from .run_folder import check_replaceable, run_folder
from .tasks import Task, movie_polarity
from .trial import Trial, prepare_trial

__all__ = ["STEPS", "TEST_SENTENCES", "DemoSettings", "run_demo"]

STEPS = 200
TEST_SENTENCES = 2008
_DRAWN = "encoder.encoder.layer.0.attention.self.query"
_FILES = {"adapter": "adapter", "circuit": "circuit.png", "block": "block.png", "summary": "summary.json"}


@dataclass(frozen=True)
class DemoSettings:
    """What a user chooses about a demo run.

    Args:
        output: folder for the adapter, the pictures and the summary.
        seed: of the batches, the first head and LoRA's first factors.
        steps: training steps of each method, 32 sentences each.
        test_sentences: how many test sentences to measure accuracy on.
        parameter_map: map of the adapter.
    """

    output: Path
    seed: int = 0
    steps: int = STEPS
    test_sentences: int = TEST_SENTENCES
    parameter_map: ParameterMap = "cayley"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be positive, got {self.steps}")
        if not 1 <= self.test_sentences <= TEST_SENTENCES:
            raise ValueError(f"test_sentences must be between 1 and {TEST_SENTENCES}, got {self.test_sentences}")
        check_replaceable(self.output, _FILES.values(), mark=_FILES["summary"])


def run_demo(settings: DemoSettings, progress: StepProgress) -> DemoReport:
    """Run every step of the demo and leave its folder behind.

    The folder is complete when it appears; if any step fails, what was there before stays.

    Args:
        settings: what the user chose.
        progress: where the steps are shown.

    Raises:
        AssetError: the encoder or the sentences could not be fetched.
        CheckError: reloading, merging or compiling the adapter changed it.
    """
    started = time.perf_counter()
    task, trial = _load(settings, progress)
    with run_folder(settings.output) as folder, TemporaryDirectory() as rivals:
        probe = train_head(trial, HEAD_RATE, Path(rivals), progress)
        quic, model = train_adapter(
            trial,
            "QuIC, orders (1, 2)",
            quic_config(settings.parameter_map),
            QUIC_RATES[settings.parameter_map],
            folder / _FILES["adapter"],
            progress,
        )
        checks = check_adapter(trial, model, folder / _FILES["adapter"], progress)
        _draw(model, folder, progress)
        lora, _ = train_adapter(trial, "LoRA, r = 8", lora_config(), LORA_RATE, Path(rivals), progress)
        report = DemoReport(
            task=task.title,
            parameter_map=settings.parameter_map,
            seed=settings.seed,
            steps=settings.steps,
            test_sentences=sum(len(batch.labels) for batch in trial.test),
            outcomes=(probe, quic, lora),
            checks=checks,
            files={name: settings.output.absolute() / file for name, file in _FILES.items()},
            seconds=time.perf_counter() - started,
            peak_memory=_peak_memory(),
        )
        (folder / _FILES["summary"]).write_text(json.dumps(report.to_json(), indent=2) + "\n")
    return report


def _load(settings: DemoSettings, progress: StepProgress) -> tuple[Task, Trial]:
    logging.disable_progress_bar()  # transformers' bars for weights would break ours
    with progress.step("Load encoder and sentences", 3) as advance:
        encoder = encoder_folder()
        advance()
        task = movie_polarity()
        advance()
        test = task.test.first(settings.test_sentences)
        trial = prepare_trial(encoder, task.train, test, settings.steps, settings.seed)
        advance()
    return task, trial


def _draw(model: PeftModel, folder: Path, progress: StepProgress) -> None:
    with progress.step("Draw a circuit and its block", 2) as advance:
        circuit = compile_adapter(model, _DRAWN)
        _figure(draw_circuit(circuit.layout, circuit.angles)).savefig(folder / _FILES["circuit"], dpi=150)
        advance()
        plan = model.get_submodule(circuit.module).quic_rotation[model.active_adapter].plan
        _figure(draw_adapter(plan)).savefig(folder / _FILES["block"], dpi=150)
        advance()


def _figure(ax: Axes) -> Figure:
    return cast(Figure, ax.figure)  # the drawings make whole figures, not parts of one


def _peak_memory() -> int | None:
    """Largest resident memory of this process so far, in bytes; unknown on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
