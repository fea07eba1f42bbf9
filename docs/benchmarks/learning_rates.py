"""Measure which learning rate each map of an adapter wants, with AdamW and with RiemannianAdam: see --help.

Adapters on query and value of the last layer of all-MiniLM-L6-v2 are trained beside a new head on sentences that
people rated. What the layers below give never changes, so it is computed once a seed and shared by all runs. A run is
one (task, adapter, map, optimiser, rate, seed); each is kept in a file of its own: a call that was cut off goes on.
"""

import copy
import functools
import html
import io
import itertools
import math
import statistics
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import measure
import torch
import typer
from matplotlib.figure import Figure
from peft import get_peft_model
from rich.console import Console
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging

from adapters import QuICConfig, RiemannianAdam, riemannian_groups
from adapters.choices import ParameterMap
from adapters.distance import eigenvalue_angles
from adapters.evaluation.assets import SENTENCES, encoder_folder, fetch
from adapters.evaluation.batches import Batch, sorted_batches, tokenise, training_batches
from adapters.evaluation.classifier import load_tokenizer
from adapters.evaluation.methods import HEAD_RATE
from adapters.evaluation.progress import StepProgress
from adapters.evaluation.tasks import Split
from adapters.layer import QuICLayer

PAGE = measure.PAGES.parent / "results" / "learning_rates.md"
RESULTS = measure.PAGES / "results" / "learning_rates.json"
PACKAGES = ("torch", "transformers", "peft", "qicircuits")

TASKS = {"movie reviews": "movieReviewSnippets", "product reviews": "amazonReviewSnippets"}
ADAPTERS: dict[str, dict[str, Any]] = {
    "orders (1, 2), 1 block": {"orders": (1, 2), "n_blocks": 1},
    "orders (1, 2), 16 blocks": {"orders": (1, 2), "n_blocks": 16},
}
PAIRS = (
    ("movie reviews", "orders (1, 2), 1 block"),
    ("product reviews", "orders (1, 2), 1 block"),
    ("movie reviews", "orders (1, 2), 16 blocks"),
)
MAPS = get_args(ParameterMap)
OPTIMISERS = ("AdamW", "Riemannian")
KINDS = tuple((name, optimiser) for optimiser in OPTIMISERS for name in MAPS)
RATES = tuple(10 ** (half / 2) for half in range(-6, -1))  # 1e-3, 3.2e-3, ..., 1e-1
BELOW = 5  # layers that are frozen
HELD_OUT, LENGTH, BATCH, STEPS = 500, 20, 16, 60
WITHIN = 0.005


@dataclass(frozen=True)
class Run:
    task: str
    adapter: str
    parameter_map: ParameterMap
    optimiser: str
    rate: float
    seed: int

    def file(self, folder: Path) -> Path:
        words = f"{self.task} {self.adapter} {self.parameter_map} {self.optimiser} {self.rate:.1e} {self.seed}"
        return folder / ("-".join("".join(c if c.isalnum() else " " for c in words).split()) + ".json")


def polarity(source: str) -> tuple[Split, Split]:
    """Sentences that people rated clearly negative or positive, in a fixed order; the last ones held out."""
    inner = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"
    with zipfile.ZipFile(fetch(SENTENCES)) as archive:
        bundle = archive.read(inner)
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        lines = tar.extractfile(f"hutto_ICWSM_2014/{source}_GroundTruth.txt").read().decode("latin-1").splitlines()
    labels: dict[str, int] = {}
    for columns in (line.split("\t") for line in lines):
        if len(columns) >= 3 and abs(float(columns[1])) > 0.5:
            labels.setdefault(html.unescape(columns[2].strip()), int(float(columns[1]) > 0))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)).tolist()
    texts, classes = list(labels), list(labels.values())
    split = Split(tuple(texts[i] for i in order), tuple(classes[i] for i in order))
    kept = len(split) - HELD_OUT
    return split.first(kept), split.rest(kept)


class Above(nn.Module):
    """The upper layers of the encoder, under a linear head on the mean of what they make of the tokens."""

    def __init__(self, encoder: PreTrainedModel, seed: int) -> None:
        super().__init__()
        self.encoder = encoder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(encoder.config.hidden_size, 2)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        states = self.encoder(inputs_embeds=states, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        return self.head((states * weights).sum(1) / weights.sum(1))


class Given(nn.Module):
    """In the place of the embeddings: the states that the layers below have made."""

    def forward(self, inputs_embeds: Tensor, **ignored: object) -> Tensor:
        return inputs_embeds


def load_encoder(layers: slice) -> PreTrainedModel:
    options = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "attn_implementation": "sdpa"}
    encoder = AutoModel.from_pretrained(encoder_folder(), local_files_only=True, add_pooling_layer=False, **options)
    encoder.encoder.layer = encoder.encoder.layer[layers]
    return encoder.requires_grad_(False)


@functools.cache
def upper_layers() -> PreTrainedModel:
    encoder = load_encoder(slice(BELOW, None))
    encoder.embeddings = Given()
    return encoder


@dataclass(frozen=True)
class States:
    """A batch as the frozen layers see it: (batch, length, width), mask (batch, length), class numbers (batch,)."""

    states: Tensor
    mask: Tensor
    labels: Tensor


@torch.no_grad()
def below(batches: list[Batch]) -> list[States]:
    encoder = load_encoder(slice(0, BELOW)).eval()
    return [
        States(encoder(b.input_ids, b.attention_mask).last_hidden_state, b.attention_mask, b.labels) for b in batches
    ]


def prepare(task: str, seed: int) -> tuple[list[States], list[States]]:
    """What to train and to measure on."""
    train, held_out = polarity(TASKS[task])
    tokenizer = load_tokenizer(encoder_folder())
    batches = training_batches(tokenise(train, tokenizer, LENGTH), BATCH, STEPS, seed)
    return below(batches), below(list(sorted_batches(tokenise(held_out, tokenizer, LENGTH), 64)))


def make_optimizer(model: nn.Module, run: Run) -> torch.optim.Optimizer:
    """The rotations at the rate of the run, the head at its own."""
    made = riemannian_groups(model, 0.0)
    made = [{**group, "lr": HEAD_RATE if group["parameter_map"] is None else run.rate} for group in made]
    if run.optimiser == "Riemannian":
        return RiemannianAdam(made)
    return torch.optim.AdamW([{"params": group["params"], "lr": group["lr"]} for group in made], weight_decay=0.0)


def measure_run(run: Run, train: list[States], held_out: list[States]) -> dict[str, Any]:
    """Train, and measure on the sentences that were held out."""
    torch.manual_seed(run.seed)
    config = QuICConfig(
        target_modules=["query", "value"],
        parameter_map=run.parameter_map,
        modules_to_save=["head"],
        **ADAPTERS[run.adapter],
    )
    model = get_peft_model(Above(copy.deepcopy(upper_layers()), run.seed), config)
    optimizer = make_optimizer(model, run)
    ramp = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 8, 1 - step / STEPS))
    start, losses, spent = time.perf_counter(), [], 0.0
    for batch in train:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch.states, batch.mask), batch.labels)
        loss.backward()
        before = time.perf_counter()
        optimizer.step()
        spent += time.perf_counter() - before
        ramp.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - start
    loss, right = scores(model, held_out)
    return {
        **asdict(run),
        "loss": loss,
        "accuracy": right,
        "training_loss": statistics.mean(losses[-20:]),
        "angle": turned(model),
        "seconds": seconds,
        "optimizer_seconds": spent,
    }


@torch.no_grad()
def scores(model: nn.Module, batches: list[States]) -> tuple[float, float]:
    """Mean cross entropy, and the share that is classified rightly."""
    outputs = [(model(batch.states, batch.mask), batch.labels) for batch in batches]
    logits, labels = (torch.cat(parts) for parts in zip(*outputs, strict=True))
    return nn.functional.cross_entropy(logits, labels).item(), (logits.argmax(-1) == labels).double().mean().item()


@torch.no_grad()
def turned(model: nn.Module) -> float:
    """The root of the mean square of the angles of all blocks, in radians."""
    angles = [
        eigenvalue_angles(turn.rotation, getattr(layer, turn.parameters_in)["default"]).flatten()
        for layer in model.modules()
        if isinstance(layer, QuICLayer)
        for turn in layer.quic_turns["default"]
    ]
    return torch.cat(angles).square().mean().sqrt().item()


def runs(seeds: int) -> Iterator[tuple[tuple[str, int], list[Run]]]:
    """All runs, in the order of seeds; those that share their states together."""
    for seed, task in itertools.product(range(seeds), TASKS):
        pairs = [pair for pair in PAIRS if pair[0] == task]
        own = [(pair, kind, rate) for pair in pairs for kind, rate in itertools.product(kinds(pair), RATES)]
        yield (task, seed), [Run(*pair, *kind, rate, seed) for pair, kind, rate in own]


def kinds(pair: tuple[str, str]) -> list[tuple[ParameterMap, str]]:
    """Maps and optimisers: all on the first pair, then RiemannianAdam with one map, for all take the same course."""
    return [kind for kind in KINDS if pair == PAIRS[0] or kind[1] == "AdamW" or kind[0] == MAPS[0]]


def measure_all(seeds: int, folder: Path) -> None:
    """Every run that is not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    with StepProgress(Console(stderr=True)) as progress:
        for (task, seed), members in runs(seeds):
            missing = [run for run in members if not run.file(folder).exists()]
            if not missing:
                continue
            train, held_out = prepare(task, seed)
            with progress.step(f"{task}, seed {seed}", len(missing)) as advance:
                for run in missing:
                    measure.write_json(run.file(folder), measure_run(run, train, held_out))
                    advance()


def collect(folder: Path) -> dict[str, Any]:
    """The runs that are there, of every map and optimiser the seeds for which all rates are."""
    found = [measure.read_json(file) for file in sorted(folder.glob("*.json"))]
    courses = Counter(course(one) for one in found)
    complete = [one for one in found if courses[course(one)] == len(RATES)]
    return {"environment": measure.environment(PACKAGES, 0), "runs": complete}


def course(run: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(run[key] for key in ("task", "adapter", "parameter_map", "optimiser", "seed"))


@dataclass(frozen=True)
class Curve:
    """What one map and optimiser reached on one task with one adapter: for each rate the values of all seeds."""

    rates: list[float]
    accuracies: list[list[float]]
    losses: list[list[float]]
    angles: list[float]

    @property
    def loss(self) -> list[float]:
        return [statistics.mean(values) for values in self.losses]

    @property
    def accuracy(self) -> list[float]:
        return [statistics.mean(values) for values in self.accuracies]

    @property
    def best(self) -> int:
        """The rate of the least loss, which is smoother than accuracy."""
        return self.loss.index(min(self.loss))

    @property
    def fitted(self) -> float:
        """The rate at the bottom of the parabola through the least loss and its neighbours."""
        at = self.best
        if not 0 < at < len(self.rates) - 1:
            return self.rates[at]
        left, middle, right = self.loss[at - 1 : at + 2]
        half = math.log10(self.rates[1] / self.rates[0]) / 2
        return self.rates[at] * 10 ** (half * (left - right) / (left - 2 * middle + right))

    @property
    def good(self) -> tuple[float, float]:
        """The least and the largest rate around the best accuracy that lose at most half a point."""
        least = max(self.accuracy) - WITHIN - 1e-9
        first = last = self.accuracy.index(max(self.accuracy))
        while first > 0 and self.accuracy[first - 1] >= least:
            first -= 1
        while last < len(self.rates) - 1 and self.accuracy[last + 1] >= least:
            last += 1
        return self.rates[first], self.rates[last]


def curve(results: list[dict[str, Any]], pair: tuple[str, str], name: str, optimiser: str) -> Curve:
    """Without rates, if it was not measured."""
    own = [one for one in results if course(one)[:4] == (*pair, name, optimiser)]
    rates = sorted({one["rate"] for one in own})
    by_rate = [[one for one in own if one["rate"] == rate] for rate in rates]
    return Curve(
        rates,
        [[one["accuracy"] for one in ones] for ones in by_rate],
        [[one["loss"] for one in ones] for ones in by_rate],
        [statistics.mean(one["angle"] for one in ones) for ones in by_rate],
    )


def write_page(results: dict[str, Any]) -> None:
    """The tables of docs/results/learning_rates.md, and its plots."""
    found, machine = results["runs"], results["environment"]
    for optimiser in OPTIMISERS:
        measure.between_markers(PAGE, optimiser, table(found, optimiser))
    measure.between_markers(PAGE, "summary", summary_table(found))
    text = (
        f"{machine['cpu']}, {machine['threads']} thread, {machine['date']}; "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        + f". {len(found)} runs, {sum(one['seconds'] for one in found) / 60:.0f} minutes on a busy machine."
    )
    measure.between_markers(PAGE, "machine", text)
    plot(found, "accuracy", "held-out accuracy, %", 100)
    plot(found, "loss", "held-out loss", 1)


def table(found: list[dict[str, Any]], optimiser: str) -> str:
    rows = []
    for pair, name in itertools.product(PAIRS, MAPS):
        own = curve(found, pair, name, optimiser)
        if not own.rates:
            continue
        reached = [f"{own.fitted:.1e}", f"{min(own.loss):.4f}", f"{own.angles[own.best]:.2f}"]
        ranges = [f"{100 * max(own.accuracy):.1f}", f"{own.good[0]:.1e} to {own.good[1]:.1e}"]
        losses = " ".join(f"{one - min(own.loss):.4f}".removeprefix("0") for one in own.loss)
        rows.append([", ".join(pair), f"`{name}`", str(len(own.losses[0])), *reached, losses, *ranges])
    columns = ("task, adapter", "map", "seeds", "best rate", "loss", "angle", f"loss more at {shown_rates()}")
    return measure.markdown_table((*columns, "accuracy, %", "within half a point"), rows)


def shown_rates() -> str:
    return ", ".join(f"{rate:.1e}" for rate in RATES)


def summary_table(found: list[dict[str, Any]]) -> str:
    """For each map and optimiser the mean of the best rates, and how much more loss than the best each rate has."""
    rows = []
    for optimiser, name in itertools.product(OPTIMISERS, MAPS):
        own = [one for pair in PAIRS if (one := curve(found, pair, name, optimiser)).rates]
        mean = 10 ** statistics.mean(math.log10(one.fitted) for one in own)
        behind = [statistics.mean(one.loss[at] - min(one.loss) for one in own) for at in range(len(RATES))]
        spent = [one for one in found if (one["parameter_map"], one["optimiser"]) == (name, optimiser)]
        share = statistics.median(one["optimizer_seconds"] / one["seconds"] for one in spent)
        losses = " ".join(f"{one:.4f}".removeprefix("0") for one in behind)
        rows.append([f"`{name}`", optimiser, str(len(own)), f"{mean:.1e}", losses, f"{100 * share:.0f}"])
    columns = ("map", "optimiser", "courses", "mean of the best rates", f"loss more than the best at {shown_rates()}")
    return measure.markdown_table((*columns, "time in the optimiser, %"), rows)


def plot(found: list[dict[str, Any]], key: str, label: str, unit: float) -> None:
    """A panel for each optimiser and pair, a line for each map: the mean over seeds, and their spread."""
    figure = Figure(figsize=(10, 5), dpi=130, layout="constrained")
    # The first panel that is made has the legend, beside it.
    for row, column in itertools.product(range(len(OPTIMISERS)), reversed(range(len(PAIRS)))):
        axes = figure.add_subplot(len(OPTIMISERS), len(PAIRS), row * len(PAIRS) + column + 1)
        task, adapter = PAIRS[column]
        for index, name in enumerate(MAPS):
            own = curve(found, PAIRS[column], name, OPTIMISERS[row])
            if not own.rates:
                continue
            values = [[unit * v for v in ones] for ones in (own.accuracies if key == "accuracy" else own.losses)]
            style = {"color": measure.COLOURS[index]}
            axes.plot(own.rates, [statistics.mean(v) for v in values], marker=measure.MARKERS[index], label=name,
                      linewidth=1.2, markersize=4, **style)  # fmt: skip
            axes.fill_between(own.rates, [min(v) for v in values], [max(v) for v in values], alpha=0.15, **style)
        axes.set(xscale="log")
        axes.set_title(f"{task}\n{adapter}" if row == 0 else "", fontsize=9)
        if row == len(OPTIMISERS) - 1:
            axes.set_xlabel("peak learning rate", fontsize=9)
        if column == 0:
            axes.set_ylabel(f"{OPTIMISERS[row]}\n{label}", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(linewidth=0.4, color="#cccccc")
        axes.spines[["top", "right"]].set_visible(False)
    measure.save_figure(figure, f"learning-rates-{key}")


def main(
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, … to train with.", min=1)] = 2,
    folder: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("runs/learning-rates"),
    page_only: Annotated[bool, typer.Option(help="Make the page of the numbers that were kept.")] = False,
) -> None:
    """Train with every rate, and write the page. Example: python docs/benchmarks/learning_rates.py --seeds 2."""
    if not page_only:
        measure.pin_threads(1)
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        measure_all(seeds, folder)
        measure.write_json(RESULTS, collect(folder))
    write_page(measure.read_json(RESULTS))


if __name__ == "__main__":
    typer.run(main)
