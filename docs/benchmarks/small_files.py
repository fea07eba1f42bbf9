"""Measure what few bits a number cost an adapter in accuracy, and how far R moves: small_files.py --help.

The task and the adapter are those of `quic demo`: all-MiniLM-L6-v2 on movie-review polarity, orders (1, 2) on query
and value, 200 steps. For each seed one adapter is trained as usual and packed to every width, and one is trained with
its numbers rounded for each of 8, 4 and 1 bit, from the same start, for the same steps and at the same rate.
"""

import statistics
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import measure
import torch
import typer
from matplotlib.figure import Figure
from peft import PeftModel, get_peft_model
from rich.console import Console
from torch import Tensor, nn

from adapters.adapter_file import read_tensors
from adapters.evaluation.assets import encoder_folder
from adapters.evaluation.batches import Batch
from adapters.evaluation.demo import STEPS
from adapters.evaluation.methods import HEAD_RATE, QUIC_RATES, quic_config, train_head
from adapters.evaluation.progress import StepProgress
from adapters.evaluation.tasks import movie_polarity
from adapters.evaluation.training import accuracy, fit
from adapters.evaluation.trial import Trial, prepare_trial
from adapters.quantisation_aware import QuantisationAware
from adapters.quantise import BITS, Bits, quantise
from adapters.rounded import score_by_bits
from adapters.storage import pack_adapter

PAGE = measure.PAGES.parent / "results" / "small_files.md"
RESULTS = measure.PAGES / "results" / "small_files.json"
PACKAGES = ("torch", "transformers", "peft", "safetensors", "qicircuits")
TRAINED_BITS: tuple[Bits, ...] = (8, 4, 1)


def logits_of(model: nn.Module) -> Callable[[Batch], Tensor]:
    return lambda batch: model(**batch.inputs)


def train(trial: Trial, bits: Bits | None, folder: Path, progress: StepProgress) -> PeftModel:
    """The demo's adapter, its numbers rounded during training if there are bits."""
    model = get_peft_model(trial.classifier(), quic_config())
    trainable = {key: parameter for key, parameter in model.named_parameters() if parameter.requires_grad}
    head = [parameter for key, parameter in trainable.items() if ".head." in key]
    numbers = [parameter for key, parameter in trainable.items() if ".head." not in key]
    rates = [(numbers, QUIC_RATES["cayley"]), (head, HEAD_RATE)]
    begin = None if bits is None else lambda optimizer: QuantisationAware(model, optimizer, bits)
    with progress.step(f"{folder.name}: train", len(trial.train)) as advance:
        fit(logits_of(model), rates, trial.train, advance, begin)
    model.eval().save_pretrained(folder)
    return model


def run_seed(trial: Trial, folder: Path, progress: StepProgress) -> dict[str, Any]:
    """Accuracy by width without and with rounding in training, and of the head alone."""

    def score(model: nn.Module) -> float:
        with progress.step("evaluate", len(trial.test)) as advance:
            return accuracy(logits_of(model), trial.test, advance)

    folder.mkdir(parents=True, exist_ok=True)
    packed = score_by_bits(train(trial, None, folder / "usual", progress), score)
    aware = {bits: score(train(trial, bits, folder / f"aware-{bits}", progress)) for bits in TRAINED_BITS}
    probe = train_head(trial, HEAD_RATE, folder, progress).accuracy
    return {"seed": trial.seed, "probe": probe, "packed": packed, "aware": aware}


def changes(folders: list[Path]) -> list[dict[str, Any]]:
    """For each width: bytes of the file, and changes of R, over all layers of all seeds."""
    rows = []
    for bits in BITS:
        reports = [pack_adapter(folder, None, bits) for folder in folders]
        layers = [layer for report in reports for layer in report.layers]
        size = reports[0].after
        rows.append(
            {
                "bits": bits,
                "bytes": {"numbers": size.numbers, "names": size.names, "others": size.others, "total": size.total},
                "before": reports[0].before.total,
                "relative": statistics.mean(layer.frobenius / layer.turn for layer in layers),
                "frobenius": statistics.mean(layer.frobenius for layer in layers),
                "operator": max(layer.operator for layer in layers),
            }
        )
    return rows


# The candidates for the levels of 4 bits and the scale of 1 bit, written apart from the library's own.
def uniform(groups: Tensor, levels: Tensor, fractions: Tensor) -> Tensor:
    """The nearest level times the best fraction of the largest magnitude; shape (groups, size)."""
    best, least = groups, torch.full((len(groups), 1), torch.inf)
    for fraction in fractions:
        scale = (groups.abs().amax(1, keepdim=True) * fraction).bfloat16().float()
        found = levels[(groups.unsqueeze(-1) / scale.unsqueeze(-1) - levels).abs().argmin(-1)] * scale
        error = (found - groups).square().sum(1, keepdim=True)
        best, least = torch.where(error < least, found, best), torch.minimum(error, least)
    return best


QUANTILES = torch.special.ndtri(torch.linspace(1 / 32, 31 / 32, 16))
HALF = torch.tensor([0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733])  # Max, 1960
MAX = torch.cat((-HALF.flip(0), HALF))
ONE, MANY = torch.ones(1), torch.linspace(1, 0.4, 31)
CANDIDATES: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "8 bits: i/127, largest magnitude": (8, lambda g: uniform(g, torch.arange(-127, 128) / 127, ONE)),
    "8 bits: i/127, best fraction": (8, lambda g: uniform(g, torch.arange(-127, 128) / 127, MANY)),
    "4 bits: i/7, largest magnitude": (4, lambda g: uniform(g, torch.arange(-7, 8) / 7, ONE)),
    "4 bits: i/7, best fraction": (4, lambda g: uniform(g, torch.arange(-7, 8) / 7, MANY)),
    "4 bits: odd i/15, largest magnitude": (4, lambda g: uniform(g, torch.arange(-15, 16, 2) / 15, ONE)),
    "4 bits: odd i/15, best fraction": (4, lambda g: uniform(g, torch.arange(-15, 16, 2) / 15, MANY)),
    "4 bits: normal quantiles, best fraction": (4, lambda g: uniform(g, QUANTILES / QUANTILES.max(), MANY)),
    "4 bits: Max's, largest magnitude": (4, lambda g: uniform(g, MAX / MAX.max(), ONE)),
    "4 bits: Max's, best fraction": (4, lambda g: uniform(g, MAX / MAX.max(), MANY)),
    "1 bit: ±mean magnitude": (1, lambda g: g.sign() * g.abs().mean(1, keepdim=True)),
    "1 bit: ±largest magnitude / 2": (1, lambda g: g.sign() * g.abs().amax(1, keepdim=True) / 2),
}
GROUPS = (16, 32, 64, 117, 351)


def candidates(folders: list[Path]) -> list[dict[str, Any]]:
    """|Q(x) - x| / |x| over all numbers of all adapters, for each candidate and size of a group."""
    layers = [tensor for folder in folders for name, tensor in read_tensors(folder).items() if "quic_p" in name]
    total = sum(float(layer.square().sum()) for layer in layers)
    rows = []
    for (name, (bits, rounding)), size in product(CANDIDATES.items(), GROUPS):
        parts = [part for layer in layers for part in layer.flatten().split(size)]
        wrong = sum(float((rounding(part[None]) - part).square().sum()) for part in parts)
        rows.append({"name": name, "size": size, "bits": bits + 16 / size, "error": (wrong / total) ** 0.5})
    for bits in TRAINED_BITS:
        wrong = sum(float((quantise(layer, bits) - layer).square().sum()) for layer in layers)
        rows.append({"name": f"library, {bits}", "size": 64, "bits": bits + 16 / 64, "error": (wrong / total) ** 0.5})
    return rows


def write_page(results: dict[str, Any]) -> None:
    """The tables of docs/results/small_files.md, and its plot."""
    seeds, sizes = results["seeds"], results["changes"]

    def share(values: list[float]) -> str:
        spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
        return f"{100 * statistics.mean(values):.1f}{spread} ({len(values)})" if values else ""

    rows = []
    for size in sizes:
        bits = str(size["bits"])
        packed = [seed["packed"][bits] for seed in seeds]
        aware = [seed["aware"][bits] for seed in seeds if bits in seed["aware"]]
        stored = size["bytes"]
        stored_bytes = (f"{stored[part]:,}" for part in ("numbers", "names", "others", "total"))
        norms = (f"{100 * size['relative']:.2g} %", f"{size['operator']:.2g}")
        rows.append([bits, *stored_bytes, *norms, share(packed), share(aware)])
    columns = ("bits", "numbers", "names", "head", "file, bytes", "change of R", "largest, operator norm")
    accuracy_columns = ("accuracy packed, %", "trained rounded, %")
    measure.between_markers(PAGE, "accuracy", measure.markdown_table((*columns, *accuracy_columns), rows))
    machine = results["environment"]
    probe = share([seed["probe"] for seed in seeds if seed["probe"]])
    text = (
        f"{machine['cpu']}, {machine['threads']} thread, {machine['date']}, commit {machine['commit']}; "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        + f". Seeds {', '.join(str(seed['seed']) for seed in seeds)}; a linear probe reaches {probe} %."
    )
    measure.between_markers(PAGE, "machine", text)
    names = list(dict.fromkeys(row["name"] for row in results["candidates"]))
    errors = {(row["name"], row["size"]): f"{100 * row['error']:.2f}" for row in results["candidates"]}
    table = [[name, *(errors.get((name, size), "") for size in GROUPS)] for name in names]
    heads = ("relative error, %", *(f"groups of {size}" for size in GROUPS))
    measure.between_markers(PAGE, "candidates", measure.markdown_table(heads, table))
    plot(seeds, sizes)


def plot(seeds: list[dict[str, Any]], sizes: list[dict[str, Any]]) -> None:
    """Accuracy over the size of the file, without and with rounding in training."""
    figure = Figure(figsize=(7, 3.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    totals = {str(size["bits"]): size["bytes"]["total"] for size in sizes}
    for index, (key, label) in enumerate((("packed", "packed after training"), ("aware", "rounded in training"))):
        points = [(totals[bits], 100 * score) for seed in seeds for bits, score in seed[key].items()]
        means = {x: statistics.mean(score for at, score in points if at == x) for x, _ in points}
        style = {"color": measure.COLOURS[index], "marker": measure.MARKERS[index]}
        axes.plot(*zip(*sorted(means.items()), strict=True), label=label, linewidth=1.2, markersize=5, **style)
        axes.scatter(*zip(*points, strict=True), s=12, alpha=0.5, **style)
    axes.axhline(
        100 * statistics.mean(seed["probe"] for seed in seeds if seed["probe"]),
        color="#999999",
        linestyle=":",
        label="probe",
    )
    for bits, total in totals.items():
        axes.annotate(
            f"{bits} bit", (total, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7
        )
    axes.set(xlabel="bytes of the adapter file, the head's 3,080 included", ylabel="accuracy, %", xscale="log")
    axes.set_xticks([4000, 6000, 8000, 12000, 20000], ["4,000", "6,000", "8,000", "12,000", "20,000"])
    axes.minorticks_off()
    axes.grid(axis="y", linewidth=0.4, color="#cccccc")
    axes.spines[["top", "right"]].set_visible(False)
    measure.save_figure(figure, "small-files")


def main(
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, … to train with.", min=1)] = 3,
    folder: Annotated[Path, typer.Option(help="Where the adapters are kept.")] = Path("runs/small-files"),
    page_only: Annotated[bool, typer.Option(help="Make the page of the numbers that were kept.")] = False,
) -> None:
    """Train, pack and measure. Example: python docs/benchmarks/small_files.py --seeds 3."""
    if not page_only:
        measure.pin_threads(1)
        task, found = movie_polarity(), []
        for seed in range(seeds):
            trial = prepare_trial(encoder_folder(), task.train, task.test, STEPS, seed)
            with StepProgress(Console(stderr=True)) as progress:
                found.append(run_seed(trial, folder / str(seed), progress))
            keep(found, folder)
    write_page(measure.read_json(RESULTS))


def keep(found: list[dict[str, Any]], folder: Path) -> None:
    """Write what was measured, with what the adapters that were left behind say about sizes and levels."""
    folders = [folder / str(one["seed"]) / "usual" for one in found]
    results = {"environment": measure.environment(PACKAGES, 0), "seeds": found, "changes": changes(folders)}
    measure.write_json(RESULTS, {**results, "candidates": candidates(folders)})


if __name__ == "__main__":
    typer.run(main)
