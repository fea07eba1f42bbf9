"""Measure what the capacity knobs of an adapter cost and reach: see --help."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from measure import in_turns, markdown_table, pin_threads, summary
from peft import PeftModel, get_peft_model
from torch import Tensor, nn
from transformers.utils import logging

from adapters import QuICConfig, start_from_gradient
from adapters.evaluation.batches import Batch
from adapters.evaluation.methods import HEAD_RATE, QUIC_RATES
from adapters.evaluation.training import accuracy, fit
from adapters.evaluation.trial import Trial
from adapters.evaluation.tuning import held_out_trial
from adapters.mixing import count_until_mixed, factors_to_mix, rotated_sets
from adapters.plan import BlockPlan, plan_blocks

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

KNOBS: dict[str, dict[str, Any]] = {
    "orders (1, 2)": {},
    "n_factors=2": {"n_factors": 2},
    "side='both'": {"side": "both"},
    "scaling=True": {"scaling": True},
    "composition='additive'": {"composition": "additive"},
    "start by the gradient, 0.1": {"angle": 0.1},
    "start by the gradient, 0.5": {"angle": 0.5},
}
WIDTHS = (
    (768, (1,), 4),
    (768, (1,), 24),
    (768, (1, 2), 1),
    (768, (1, 2), 4),
    (768, (1, 2), 16),
    (4096, (1,), 64),
    (4096, (1, 2), 1),
    (4096, (1, 2), 4),
)
MOST = 16


def positions_of(plan: BlockPlan, *, shuffles: bool, shift: int) -> Callable[[int], Sequence[int]]:
    """The feature at each position in each factor, for a step of a perfect shuffle or none, and a shift."""
    covered = plan.n_blocks * plan.block_size

    def step(i: int) -> int:
        shuffled = i % plan.block_size * plan.n_blocks + i // plan.block_size if shuffles and i < covered else i
        return (shuffled + shift) % plan.features

    def feature_at(factor: int) -> Sequence[int]:
        stands = list(range(plan.features))
        for _ in range(factor):
            stands = [step(place) for place in stands]
        return sorted(range(plan.features), key=stands.__getitem__)

    return feature_at


@app.command()
def mixing() -> None:
    """Count the factors after which every feature reaches every other, for each way to move them in between."""
    rows = []
    for features, orders, n_blocks in WIDTHS:
        plan = plan_blocks(features, orders, n_blocks=n_blocks)
        where = (features, n_blocks, plan.block_size, plan.sectors)
        half = (plan.block_size + 1) // 2
        rivals = [
            count_until_mixed(rotated_sets(*where), positions_of(plan, shuffles=shuffles, shift=shift), MOST)
            for shuffles, shift in ((False, half), (True, 0), (False, plan.block_size))
        ]
        counts = [factors_to_mix(*where, most=MOST), *rivals]
        rows.append([features, orders, n_blocks, *(f"> {MOST}" if count is None else count for count in counts)])
    headings = ["d", "orders", "N", "shuffle and shift", "shift by b/2", "shuffle", "shift by b"]
    print(markdown_table(headings, [[str(cell) for cell in row] for row in rows]))


@app.command()
def times(
    tokens: Annotated[int, typer.Option(help="Vectors of a call.")] = 1024,
    features: Annotated[int, typer.Option(help="Features of the layer, in and out.")] = 768,
    repetitions: Annotated[int, typer.Option(help="Turns.")] = 15,
) -> None:
    """Time a training step of one adapted layer for each knob, on one thread: the shortest of many turns."""
    pin_threads(1)
    steps: dict[str, Callable[[], object]] = {}
    numbers = {}
    base = nn.Linear(features, features).requires_grad_(False)
    x = torch.randn(tokens, features, requires_grad=True)
    steps["frozen layer"], numbers["frozen layer"] = lambda: base(x).square().sum().backward(), 0
    for name, values in KNOBS.items():
        if "angle" in values:
            continue
        config = QuICConfig(target_modules=["0"], **({"block_share": False} | values))
        model = get_peft_model(nn.Sequential(nn.Linear(features, features)), config)
        steps[name] = lambda model=model: model(x).square().sum().backward()
        numbers[name] = model.get_nb_trainable_parameters()[0]
    found = {name: summary(seconds) for name, seconds in in_turns(steps, repetitions).items()}
    least = {name: times["min"] for name, times in found.items()}
    own = least["orders (1, 2)"] - least["frozen layer"]
    rows = [
        [
            name,
            f"{numbers[name]:,}",
            f"{1e3 * least[name]:.1f}",
            f"{(least[name] - least['frozen layer']) / own:.1f}",
        ]
        for name in steps
    ]
    print(markdown_table(["layer", "numbers", "ms a step", "beyond the frozen layer, relative"], rows))


@app.command()
def task(
    seed: Annotated[int, typer.Option(help="Of batches and head.")] = 0,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 60,
    only: Annotated[list[str] | None, typer.Option(help="Only these rows; may be repeated.")] = None,
) -> None:
    """Fine-tune the demo's encoder with each knob at the demo's rate; accuracy on 1,000 held-out sentences."""
    pin_threads(1)
    logging.disable_progress_bar()
    trial = held_out_trial(steps, seed)
    for name, values in KNOBS.items():
        if only is None or name in only:
            print(json.dumps({"knob": name, "seed": seed, "steps": steps, **_run(trial, **values)}), flush=True)


def _run(trial: Trial, angle: float | None = None, **values: Any) -> dict[str, float]:
    config = QuICConfig(
        target_modules=["query", "value"], modules_to_save=["head"], **({"block_share": False} | values)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(trial.seed)
        model: PeftModel = get_peft_model(trial.classifier(), config)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    head = [p for name, p in trained.items() if ".head." in name]
    adapter = [p for name, p in trained.items() if ".head." not in name]

    def logits(batch: Batch) -> Tensor:
        found: Tensor = model(**batch.inputs)
        return found

    def loss(batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(logits(batch), batch.labels)

    if angle is not None:
        start_from_gradient(model, trial.train[:8], loss, angle=angle)
    fit(logits, [(adapter, QUIC_RATES["cayley"]), (head, HEAD_RATE)], trial.train, lambda: None)
    model.eval()
    with TemporaryDirectory() as folder, torch.no_grad():
        model.save_pretrained(folder)
        sizes = [len(batch.labels) for batch in trial.test]
        losses = [float(loss(batch)) for batch in trial.test]
        return {
            "numbers": sum(p.numel() for p in adapter),
            "bytes": Path(folder, "adapter_model.safetensors").stat().st_size,
            "accuracy": accuracy(logits, trial.test, lambda: None),
            "loss": sum(a * b for a, b in zip(sizes, losses, strict=True)) / sum(sizes),
        }


if __name__ == "__main__":
    app()
