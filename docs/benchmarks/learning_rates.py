"""Measure which learning rate each map of an adapter wants, with AdamW and with RiemannianAdam: see --help.

Adapters on query and value of the last layer of all-MiniLM-L6-v2 are trained beside a new head on sentences that
people rated. What the layers below give never changes, so it is computed once a seed and shared by all runs. A run is
one (task, adapter, map, optimiser, rate, seed); each is kept in a file of its own: a call that was cut off goes on.
"""

import copy
import functools
import html
import io
import statistics
import tarfile
import time
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import measure
import torch
import typer
from learning_rate_grid import ADAPTERS, RATES, TASKS, Run, course, runs
from learning_rate_page import write_page
from peft import get_peft_model
from rich.console import Console
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging

from adapters import QuICConfig, RiemannianAdam, riemannian_groups
from adapters.distance import eigenvalue_angles
from adapters.evaluation.assets import SENTENCES, encoder_folder, fetch
from adapters.evaluation.batches import Batch, sorted_batches, tokenise, training_batches
from adapters.evaluation.classifier import load_tokenizer
from adapters.evaluation.methods import HEAD_RATE
from adapters.evaluation.progress import StepProgress
from adapters.evaluation.tasks import Split
from adapters.layer import QuICLayer

RESULTS = measure.PAGES / "results" / "learning_rates.json"
PACKAGES = ("torch", "transformers", "peft", "qicircuits")
BELOW = 5  # layers that are frozen
HELD_OUT, LENGTH, BATCH, STEPS = 500, 20, 16, 60


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
    return [States(encoder(**b.inputs).last_hidden_state, b.inputs["attention_mask"], b.labels) for b in batches]


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
        **({"block_share": False} | ADAPTERS[run.adapter]),
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
