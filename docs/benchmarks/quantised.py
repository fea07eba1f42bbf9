"""Measure adapters on quantised bases, and what merging into them loses: quantised.py --help.

The task and the adapter are those of `quic demo`: all-MiniLM-L6-v2 on movie-review polarity, orders (1, 2) on query
and value. For every seed and base one adapter is trained from the same start on the same batches, saved, and merged
in three ways: into the weights that it was trained on, quantised again; into the same, dequantised; and into the
weights as they were before quantisation.
"""

import logging
import statistics
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import measure
import torch
import typer
from peft import PeftModel, get_peft_model, prepare_model_for_kbit_training
from rich.console import Console
from torch import Tensor, nn
from torchao.quantization import Int8WeightOnlyConfig
from transformers import AutoModel, BitsAndBytesConfig, TorchAoConfig

from adapters.evaluation.assets import encoder_folder
from adapters.evaluation.batches import Batch
from adapters.evaluation.methods import HEAD_RATE, QUIC_RATES, quic_config
from adapters.evaluation.progress import StepProgress
from adapters.evaluation.tasks import movie_polarity
from adapters.evaluation.training import fit
from adapters.evaluation.trial import Trial, prepare_trial
from adapters.export import dequantise
from adapters.quantised import quantised_weight
from adapters.rounding_losses import rounding_losses

PAGE = measure.PAGES.parent / "how-to" / "quantised_bases.md"
RESULTS = measure.PAGES / "results" / "quantised.json"
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "torchao", "qicircuits")
BASES: dict[str, Any] = {
    "float32": None,
    "8-bit, bitsandbytes": BitsAndBytesConfig(load_in_8bit=True),
    "int8, torchao": TorchAoConfig(Int8WeightOnlyConfig()),
    "nf4, bitsandbytes": BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    ),
}


def classifier(trial: Trial, base: str) -> nn.Module:
    """The trial's classifier with its encoder quantised."""
    model = trial.classifier()
    if BASES[base] is not None:
        # Without dropout, as there.
        values = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "local_files_only": True}
        encoder = AutoModel.from_pretrained(trial.encoder, quantization_config=BASES[base], **values)
        model.encoder = prepare_model_for_kbit_training(encoder, use_gradient_checkpointing=False)
    return model


def logits_of(model: nn.Module, batch: Batch) -> Tensor:
    return model(**batch.inputs)


def train(trial: Trial, base: str, progress: StepProgress) -> PeftModel:
    model = get_peft_model(classifier(trial, base), quic_config()).train()
    trainable = {key: parameter for key, parameter in model.named_parameters() if parameter.requires_grad}
    head = [parameter for key, parameter in trainable.items() if ".head." in key]
    numbers = [parameter for key, parameter in trainable.items() if ".head." not in key]
    rates = [(numbers, QUIC_RATES["cayley"]), (head, HEAD_RATE)]
    with progress.step(f"{base}: train", len(trial.train)) as advance:
        fit(lambda batch: logits_of(model, batch), rates, trial.train, advance)
    return model.eval()


@torch.no_grad()
def outputs(model: nn.Module, trial: Trial, progress: StepProgress) -> Tensor:
    """The logits of all test sentences, shape (sentences, classes)."""
    with progress.step("evaluate", len(trial.test)) as advance:
        found = []
        for batch in trial.test:
            found.append(logits_of(model, batch))
            advance()
    return torch.cat(found)


def reached(logits: Tensor, trial: Trial, unmerged: Tensor) -> dict[str, float]:
    """Accuracy, loss, and how far the logits are from those of the adapter as it was trained."""
    labels = torch.cat([batch.labels for batch in trial.test])
    return {
        "accuracy": float((logits.argmax(-1) == labels).float().mean()),
        "loss": float(nn.functional.cross_entropy(logits, labels)),
        "logits": float((logits - unmerged).norm() / unmerged.norm()),
    }


def bytes_of(model: nn.Module) -> int:
    """Of all weights, with the scales of quantised ones."""
    tensors: list[Tensor] = []
    for tensor in model.state_dict().values():
        is_torchao = type(tensor).__module__.startswith("torchao.")
        tensors += [tensor.qdata, tensor.scale, tensor.zero_point] if is_torchao else [tensor]
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def base_errors(model: nn.Module, plain: nn.Module) -> Iterator[float]:
    """|W_q - W| / |W| of every quantised weight."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and (quantised := quantised_weight(layer)) is not None:
            weight = plain.get_submodule(name).weight
            yield float((quantised.loaded() - weight).norm() / weight.norm())


def run_base(trial: Trial, base: str, folder: Path, progress: StepProgress) -> dict[str, Any]:
    """Train on a base, and merge in three ways."""
    errors = list(base_errors(classifier(trial, base), trial.classifier()))
    size = bytes_of(classifier(trial, base).encoder)
    model = train(trial, base, progress)
    model.save_pretrained(folder)
    unmerged = outputs(model, trial, progress)
    found = {
        "base": base,
        "seed": trial.seed,
        "bytes": size,
        "base_error": statistics.mean(errors) if errors else 0.0,
        "unmerged": reached(unmerged, trial, unmerged),
    }
    onto = PeftModel.from_pretrained(trial.classifier(), str(folder)).eval().merge_and_unload()
    found["unquantised"] = reached(outputs(onto, trial, progress), trial, unmerged)
    if base == "float32":
        return found
    fresh = PeftModel.from_pretrained(classifier(trial, base), str(folder)).eval()
    found["reloaded"] = reached(outputs(fresh, trial, progress), trial, unmerged)["logits"]
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # they are what is measured
        fresh.merge_adapter()
    losses = rounding_losses(fresh).values()
    found["weights"] = statistics.mean(loss.error for loss in losses)
    found["change"] = statistics.mean(loss.change for loss in losses)
    found["requantised"] = reached(outputs(fresh, trial, progress), trial, unmerged)
    fresh.unmerge_adapter()
    dequantise(fresh.get_base_model().encoder)
    found["dequantised"] = reached(outputs(fresh.merge_and_unload(), trial, progress), trial, unmerged)
    return found


def write_page(results: dict[str, Any]) -> None:
    """The tables of docs/how-to/quantised_bases.md."""
    runs = results["runs"]
    rows, merged = [], []
    for base in BASES:
        own = [run for run in runs if run["base"] == base]
        of = {key: [run[key] for run in own if key in run] for key in ("unmerged", *_WAYS)}
        error = statistics.mean(run["base_error"] for run in own)
        rows.append(
            [
                base,
                f"{own[0]['bytes'] / 1e6:.1f}",
                f"{100 * error:.2f} %" if error else "0",
                _spread([100 * one["accuracy"] for one in of["unmerged"]]),
                f"{statistics.mean(one['loss'] for one in of['unmerged']):.4f}",
            ]
        )
        for way, label in _WAYS.items():
            if of[way]:
                weights = statistics.mean(run["weights"] for run in own) if way == "requantised" else None
                merged.append(
                    [
                        base,
                        label,
                        "" if weights is None else f"{100 * weights:.2f} %",
                        f"{100 * statistics.mean(one['logits'] for one in of[way]):.2g} %",
                        _spread([100 * one["accuracy"] for one in of[way]]),
                        f"{statistics.mean(one['loss'] for one in of[way]):.4f}",
                    ]
                )
    heads = ("base", "weights, MB", "quantisation error", "accuracy, %", "test loss")
    measure.between_markers(PAGE, "bases", measure.markdown_table(heads, rows))
    heads = ("trained on", "merged into", "weights off by", "logits off by", "accuracy, %", "test loss")
    measure.between_markers(PAGE, "merged", measure.markdown_table(heads, merged))
    machine = results["environment"]
    changes = [run["change"] for run in runs if "change" in run]
    text = (
        f"{machine['cpu']}, {machine['threads']} thread, {machine['date']}, commit {machine['commit']}; "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        + f". {results['steps']} steps of 32 sentences, {results['tested']} test sentences, seeds "
        + f"{', '.join(sorted({str(run['seed']) for run in runs}))}. The adapter changes the weights by "
        + f"{100 * statistics.mean(changes):.0f} % (Frobenius norm); an adapter that is loaded again on a freshly "
        + f"quantised base gives logits that differ by {max(run.get('reloaded', 0) for run in runs):.1g}."
    )
    measure.between_markers(PAGE, "machine", text)


_WAYS = {
    "requantised": "the same weights, quantised again",
    "dequantised": "the same weights, dequantised",
    "unquantised": "the weights before quantisation",
}


def _spread(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def main(
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, … to train with.", min=1)] = 2,
    steps: Annotated[int, typer.Option(help="Training steps.", min=1)] = 100,
    sentences: Annotated[int, typer.Option(help="Test sentences, of 2,008.", min=1)] = 2008,
    page_only: Annotated[bool, typer.Option(help="Make the page of the numbers that were kept.")] = False,
) -> None:
    """Train, merge and measure. Example: python docs/benchmarks/quantised.py --seeds 2."""
    if not page_only:
        measure.pin_threads(1)
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        task, runs = movie_polarity(), []
        for seed in range(seeds):
            trial = prepare_trial(encoder_folder(), task.train, task.test.first(sentences), steps, seed)
            with StepProgress(Console(stderr=True)) as progress, tempfile.TemporaryDirectory() as folder:
                runs += [run_base(trial, base, Path(folder, str(i)), progress) for i, base in enumerate(BASES)]
        environment = measure.environment(PACKAGES, 0)
        tested = min(sentences, len(task.test))
        measure.write_json(RESULTS, {"environment": environment, "steps": steps, "tested": tested, "runs": runs})
    write_page(measure.read_json(RESULTS))


if __name__ == "__main__":
    typer.run(main)
