"""Measure what shots and noise on one block of an adapter do to the accuracy of the fine-tuned model: see --help.

The folder is the adapter of `quic demo`. The features of every token pass the block of one layer on a machine that
loads, rotates and is measured, order by order, by `measure_layer`; all else is exact. Noise on 28 wires is
drawn by trajectories on the sectors.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import numpy as np
import torch
import typer
from matplotlib.figure import Figure
from measure import IMAGES, between_markers, markdown_table
from numpy.typing import NDArray
from peft import PeftModel
from rich.progress import track
from shots import logits
from torch import Tensor

import adapters  # noqa: F401  (registers the method)
from adapters.compile import CompiledBlock, adapted_layers, compile_adapter
from adapters.evaluation.assets import encoder_folder
from adapters.evaluation.demo import TEST_SENTENCES
from adapters.evaluation.tasks import movie_polarity
from adapters.evaluation.trial import Trial, prepare_trial
from qicircuits.circuits import Noise, Trajectories, measure_layer
from qicircuits.circuits.execute_measured import Protocol

PAGE, RESULT = Path(__file__).with_name("shots.md"), Path(__file__).parent / "results" / "noise.json"
CHUNK = 64  # vectors of one piece of work

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """One machine, from exact to realistic; shots=None are the limit of many."""

    shots: int | None = None
    depolarizing: float = 0.0
    readout: float = 0.0
    post_select: bool = True
    protocol: Protocol = "magnitudes"


SETTINGS = (
    Setting(),
    Setting(10_000),
    Setting(10_000, readout=0.01, post_select=False),
    Setting(10_000, readout=0.01),
    Setting(10_000, depolarizing=1e-5, readout=0.01),
    Setting(10_000, depolarizing=1e-4, readout=0.01, post_select=False),
    Setting(10_000, depolarizing=1e-4, readout=0.01),
    Setting(None, depolarizing=1e-4, readout=0.01),
    Setting(10_000, depolarizing=1e-4, readout=0.01, protocol="interference"),
    Setting(10_000, depolarizing=1e-3, readout=0.01, post_select=False),
    Setting(10_000, depolarizing=1e-3, readout=0.01),
)


def run_chunk(
    x: Floats, compiled: CompiledBlock, order: int, setting: Setting, number: int, seed: int
) -> tuple[Floats, Floats]:
    """y and the kept fractions of some vectors, in the order of the features."""
    measured = measure_layer(
        x,
        compiled.angles.double().numpy(),
        compiled.layout,
        order,
        shots=setting.shots,
        noise=Noise(setting.depolarizing, setting.readout),
        trajectories=Trajectories(number),
        post_select=setting.post_select,
        protocol=setting.protocol,
        seed=seed,
    )
    return compiled.read_out(measured.y.T, order).T, measured.kept


def base_outputs(model: PeftModel, trial: Trial, module: str) -> tuple[Any, list[Tensor]]:
    """The layer, and what its base layer gives for every test batch, without the bias: (sentences, tokens, d)."""
    (layer, _), *_ = [(layer, name) for path, layer, name in adapted_layers(model, None) if path.endswith(module)]
    found: list[Tensor] = []

    def keep(base: Any, _inputs: object, output: Tensor) -> None:
        found.append(output - base.bias)

    handle = layer.get_base_layer().register_forward_hook(keep)
    logits(model, trial)
    handle.remove()
    return layer, found


def logits_with(model: PeftModel, trial: Trial, layer: Any, rotated: list[Tensor]) -> Tensor:
    """The model's answers if the layer gives what was measured."""
    batches = iter(rotated)
    handle = layer.register_forward_hook(lambda _layer, _inputs, _output: next(batches) + layer.get_base_layer().bias)
    found = logits(model, trial)
    handle.remove()
    return found


def measured_outputs(
    outputs: list[Tensor],
    trial: Trial,
    layer: Any,
    compiled: CompiledBlock,
    setting: Setting,
    number: int,
    pool: ProcessPoolExecutor,
) -> tuple[list[Tensor], float, float]:
    """What leaves the layer in this setting, the mean of |y' - y|/|y| over tokens and orders, and of the kept."""
    rotation = layer.quic_rotation[layer.active_adapters[0]]
    exact = [
        rotation.apply(layer.quic_parameters[layer.active_adapters[0]].detach().double(), v.double()) for v in outputs
    ]
    masks = [batch.inputs["attention_mask"].bool() for batch in trial.test]
    tokens = torch.cat([v[mask] for v, mask in zip(outputs, masks, strict=True)]).double().numpy()
    answers = torch.cat([v[mask] for v, mask in zip(exact, masks, strict=True)]).numpy().copy()
    jobs = [(sector, first) for sector in rotation.plan.sectors for first in range(0, len(tokens), CHUNK)]
    futures = [
        pool.submit(
            run_chunk, tokens[first : first + CHUNK, start:stop], compiled, order, setting, number, seed=first + order
        )
        for (order, start, stop), first in jobs
    ]
    errors, kept = [], []
    for ((_, start, stop), first), future in zip(jobs, track(futures, description=str(setting)), strict=True):
        y, fractions = future.result()
        part = answers[first : first + CHUNK, start:stop]
        errors.append(np.linalg.norm(y - part, axis=1) / np.linalg.norm(part, axis=1))
        kept.append(fractions)
        answers[first : first + CHUNK, start:stop] = y
    measured, rest = [], torch.from_numpy(answers).float()
    for v, mask in zip(exact, masks, strict=True):
        whole = v.float()
        whole[mask], rest = rest[: mask.sum()], rest[mask.sum() :]
        measured.append(whole)
    return measured, float(np.concatenate(errors).mean()), float(np.concatenate(kept).mean())


def compare(found: Tensor, exact: Tensor, labels: Tensor) -> dict[str, float]:
    """The accuracy of answers, and how many differ from the exact ones."""
    right, changed = found.argmax(1) == labels, found.argmax(1) != exact.argmax(1)
    return {"accuracy": float(right.double().mean()), "changed": float(changed.double().mean())}


def sentence(references: dict[str, dict[str, float]]) -> str:
    """What the layer is worth to the task: the scale for the table."""
    off, zero = references["not rotated"], references["zero"]
    without, nothing = (f"{100 * each['accuracy']:.1f} %, {100 * each['changed']:.1f} %" for each in (off, zero))
    return f"With this layer's adapter off: {without} of the answers changed; with zeros for its output: {nothing}."


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for the page."""
    heads = (
        "protocol",
        "shots",
        "p",
        "q",
        "runs that count",
        "kept",
        "error of y",
        "accuracy, %",
        "answers changed, %",
    )
    cells = []
    for row in rows:
        s = Setting(**row["setting"])
        shots = "many" if s.shots is None else f"{s.shots:,}"
        where = (
            s.protocol,
            shots,
            f"{s.depolarizing:g}",
            f"{s.readout:g}",
            "of weight k" if s.post_select else "all",
        )
        numbers = (row["kept"], row["error"])
        percents = (row["accuracy"], row["changed"])
        cells.append([*where, *(f"{each:.3f}" for each in numbers), *(f"{100 * each:.1f}" for each in percents)])
    return markdown_table(heads, cells)


def plot(rows: list[dict[str, Any]], chance: float) -> None:
    """Accuracy of every setting, from exact to realistic."""
    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    labels = []
    for row in rows:
        s = Setting(**row["setting"])
        parts = ["many shots" if s.shots is None else f"{s.shots:,} shots"]
        parts += [f"q = {s.readout:g}"] * (s.readout > 0) + [f"p = {s.depolarizing:g}"] * (s.depolarizing > 0)
        parts += ["all runs"] * (not s.post_select) + ["interference"] * (s.protocol == "interference")
        labels.append(", ".join(parts) if s != Setting() else "exact")
    places = range(len(rows))
    colours = ["#4477aa" if row["setting"]["post_select"] else "#cc6677" for row in rows]
    axes.barh(places, [100 * row["accuracy"] for row in rows], color=colours)
    axes.axvline(100 * chance, color="#444444", linewidth=0.8, linestyle="--")
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set(xlim=(40, 100), xlabel="accuracy, % (dashed: chance)")
    axes.spines[["top", "right"]].set_visible(False)
    with mpl.rc_context({"svg.hashsalt": "noise", "svg.fonttype": "none"}):
        figure.savefig(IMAGES / "noise.svg", metadata={"Date": None})


def main(
    adapter: Annotated[Path, typer.Argument(help="The folder `adapter` that quic demo left.", exists=True)],
    module: Annotated[str, typer.Option(help="End of the name of the layer.")] = "layer.5.attention.self.value",
    sentences: Annotated[int, typer.Option(help="Test sentences.", min=1, max=TEST_SENTENCES)] = 100,
    number: Annotated[int, typer.Option(help="Trajectories with errors for each token.", min=1)] = 16,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    page: Annotated[bool, typer.Option(help="Write table, picture and numbers into the documentation.")] = False,
) -> None:
    """Measure accuracy against noise. Example: python docs/benchmarks/noise.py runs/demo/adapter --page."""
    torch.set_num_threads(1)
    task = movie_polarity()
    trial = prepare_trial(encoder_folder(), task.train, task.test.first(sentences), steps=1, seed=0)
    model = PeftModel.from_pretrained(trial.classifier(), adapter).eval()
    labels = torch.cat([batch.labels for batch in trial.test])
    exact = logits(model, trial)
    layer, outputs = base_outputs(model, trial, module)
    compiled = compile_adapter(model, module, dtype=torch.float64)
    references = {
        "not rotated": compare(logits_with(model, trial, layer, outputs), exact, labels),
        "zero": compare(logits_with(model, trial, layer, [torch.zeros_like(v) for v in outputs]), exact, labels),
    }
    rows = []
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for setting in SETTINGS:
            rotated, error, kept = measured_outputs(outputs, trial, layer, compiled, setting, number, pool)
            found = logits_with(model, trial, layer, rotated)
            compared = compare(found, exact, labels)
            rows.append({"setting": asdict(setting), "kept": kept, "error": error, **compared})
            print(json.dumps(rows[-1]), flush=True)
    chance = float(labels.double().mean())
    text = f"{table(rows)}\n\n{sentence(references)}"
    print(text)
    if page:
        tokens = sum(int(batch.inputs["attention_mask"].sum()) for batch in trial.test)
        settings = {"sentences": sentences, "tokens": tokens, "module": module, "trajectories": number}
        RESULT.write_text(json.dumps(settings | {"references": references, "rows": rows}, indent=1) + "\n", "utf-8")
        between_markers(PAGE, "noise", text)
        plot(rows, max(chance, 1 - chance))


if __name__ == "__main__":
    typer.run(main)
