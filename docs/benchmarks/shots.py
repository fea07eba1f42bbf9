"""Measure what finite shots for one block of an adapter do to the accuracy of the fine-tuned model: see --help.

The folder is the adapter of `quic demo`. The features of every token pass the block of one layer by finite shots,
order by order; all else is exact. 28 wires are too many for a density matrix, and for a state of each of tens of
thousands of tokens: outcomes are drawn from the probabilities that the circuits of `measure_layer` have on a machine
without noise, (y_I + u_I)^2/4 and (y_I - u_I)^2/4 with the last wire 0 and 1, and y_I^2.
"""

import json
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from peft import PeftModel
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.hooks import RemovableHandle

import adapters  # noqa: F401  (registers the method)
from adapters.compile import adapted_layers
from adapters.evaluation.assets import encoder_folder
from adapters.evaluation.demo import TEST_SENTENCES
from adapters.evaluation.tasks import movie_polarity
from adapters.evaluation.trial import Trial, prepare_trial
from qicircuits.circuits.execute_measured import Protocol

Floats = NDArray[np.float64]


def sampled(y: Floats, shots: int, protocol: Protocol, rng: np.random.Generator) -> Floats:
    """y from counts of S shots, shape (batch, D), as `measure_layer` estimates it on a perfect machine."""
    norms = np.linalg.norm(y, axis=1, keepdims=True)
    unit, u = y / norms, y.shape[1] ** -0.5
    both = np.concatenate(((unit + u) ** 2, (unit - u) ** 2), axis=1) / 4
    for_signs = shots - shots // 2 if protocol == "magnitudes" else shots
    difference = np.subtract(*np.split(rng.multinomial(for_signs, both / both.sum(1, keepdims=True)), 2, axis=1))
    if protocol == "interference":
        return norms * difference / (shots * u)
    squares = unit**2
    counts = rng.multinomial(shots // 2, squares / squares.sum(1, keepdims=True))
    return norms * np.where(difference < 0, -1, 1) * np.sqrt(counts / (shots // 2))


def run_by_shots(model: PeftModel, module: str, shots: int, protocol: Protocol, seed: int) -> RemovableHandle:
    """From now on, what leaves the blocks of one layer is what the shots give."""
    (layer, name), *_ = [(layer, name) for path, layer, name in adapted_layers(model, None) if path.endswith(module)]
    plan, bias = layer.quic_rotation[name].plan, layer.get_base_layer().bias
    rng = np.random.default_rng(seed)

    def measure(_layer: object, _inputs: object, output: Tensor) -> Tensor:
        rotated = output - bias
        for block in range(plan.n_blocks):
            for _order, start, stop in plan.sectors:
                features = slice(block * plan.block_size + start, block * plan.block_size + stop)
                y = rotated[..., features].double().flatten(0, -2).numpy()
                counted = torch.from_numpy(sampled(y, shots, protocol, rng))
                rotated[..., features] = counted.reshape(*output.shape[:-1], -1).to(output.dtype)
        return rotated + bias

    return layer.register_forward_hook(measure)


@torch.no_grad()
def logits(model: PeftModel, trial: Trial) -> Tensor:
    """shape (sentences, classes)"""
    return torch.cat([model(**b.inputs) for b in trial.test])


def main(
    adapter: Annotated[Path, typer.Argument(help="The folder `adapter` that quic demo left.", exists=True)],
    module: Annotated[str, typer.Option(help="End of the name of the layer.")] = "layer.5.attention.self.value",
    sentences: Annotated[int, typer.Option(help="Test sentences.", min=1, max=TEST_SENTENCES)] = TEST_SENTENCES,
    seeds: Annotated[int, typer.Option(help="Repetitions.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure accuracy against shots. Example: python docs/benchmarks/shots.py runs/demo/adapter."""
    task = movie_polarity()
    trial = prepare_trial(encoder_folder(), task.train, task.test.first(sentences), steps=1, seed=0)
    model = PeftModel.from_pretrained(trial.classifier(), adapter).eval()
    labels = torch.cat([batch.labels for batch in trial.test])
    exact = logits(model, trial)
    rows = [("exact", "", [float((exact.argmax(1) == labels).double().mean())], 0.0, 0.0)]
    for protocol in get_args(Protocol):
        for shots in (10, 100, 1_000, 10_000, 100_000):
            found = []
            for seed in range(seeds):
                handle = run_by_shots(model, module, shots, protocol, seed)
                found.append(logits(model, trial))
                handle.remove()
            right = [float((one.argmax(1) == labels).double().mean()) for one in found]
            every = torch.stack(found)
            changed = float((every.argmax(2) != exact.argmax(1)).double().mean())
            rows.append((protocol, f"{shots:,}", right, changed, float((every - exact).pow(2).mean().sqrt())))
    if as_json:
        keys = ("protocol", "shots", "accuracy", "changed", "logits")
        print(
            json.dumps(
                {"sentences": sentences, "module": module, "rows": [dict(zip(keys, r, strict=True)) for r in rows]}
            )
        )
        return
    table = Table(
        "protocol", "shots for each token and order", "accuracy, %", "answers changed, %", "error of logits"
    )
    for protocol, shots, right, changed, error in rows:
        table.add_row(
            protocol, shots, ", ".join(f"{100 * r:.1f}" for r in right), f"{100 * changed:.1f}", f"{error:.3f}"
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
