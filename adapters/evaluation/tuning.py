"""Learning rates by held-out accuracy: `python -m adapters.evaluation.tuning [seed]`.

The last 1,000 training sentences are held out; every method trains on the others for the demo's
number of steps, once for each rate of its grid. The test set is not used.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from peft import PeftConfig
from rich.console import Console

from .assets import encoder_folder
from .demo import STEPS
from .methods import QUIC_RATES, lora_config, quic_config, train_adapter, train_head
from .progress import StepProgress
from .tasks import movie_polarity
from .trial import Trial, prepare_trial

__all__ = ["held_out_trial", "tune"]

_HELD_OUT = 1000
_HEAD_GRID = (3e-3, 1e-2, 3e-2)
_GRID = (2e-3, 5e-3, 1e-2)


def held_out_trial(steps: int, seed: int) -> Trial:
    """The demo's trial with its last 1,000 training sentences in place of the test set."""
    train = movie_polarity().train
    kept = len(train) - _HELD_OUT
    return prepare_trial(encoder_folder(), train.first(kept), train.rest(kept), steps, seed)


def tune(trial: Trial, rates: tuple[float, ...], config: PeftConfig | None, progress: StepProgress) -> list[float]:
    """Held-out accuracy for each peak learning rate.

    Args:
        trial: what to train and measure on.
        rates: the grid.
        config: of the adapter; None for the head alone.
        progress: where the steps are shown.
    """
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if config is None:
            outcomes = [train_head(trial, rate, folder, progress) for rate in rates]
        else:
            outcomes = [train_adapter(trial, f"{rate:g}", config, rate, folder, progress)[0] for rate in rates]
    return [outcome.accuracy for outcome in outcomes]


def _main(seed: int) -> None:
    trial = held_out_trial(STEPS, seed)
    methods: dict[str, PeftConfig | None] = {"head": None, "LoRA": lora_config()}
    methods |= {f"QuIC, {name}": quic_config(name) for name in QUIC_RATES}
    with StepProgress(Console(stderr=True)) as progress:
        for name, config in methods.items():
            rates = _HEAD_GRID if config is None else _GRID
            reached = tune(trial, rates, config, progress)
            row = ", ".join(f"{rate:g}: {100 * a:.1f} %" for rate, a in zip(rates, reached, strict=True))
            print(f"{name}: {row}")


if __name__ == "__main__":
    _main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
