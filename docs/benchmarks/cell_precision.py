"""Measure what precision and attention do to the time of a cell of the laboratory: see --help.

Products of the sizes of an encoder's layer, and training steps of LoRA on all-MiniLM-L6-v2, one thread, in turns.
Times are those of the processor: other work on the machine does not count, as in the laboratory itself.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import measure
import torch
import typer
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from adapters.evaluation.batches import Batch, training_batches
from adapters.evaluation.cells import Cell
from adapters.evaluation.examples import examples_of
from adapters.evaluation.pretrained import fresh_model
from adapters.evaluation.rivals import adapter_parameters, attach, head_parameters

RESULTS = measure.PAGES / "results" / "cell_precision.json"
PAGE = measure.PAGES.parent / "how-to" / "laboratory.md"
PACKAGES = ("torch", "transformers", "peft", "qicircuits")
ROWS, INNER, COLUMNS = 512, 384, 1536  # of a product: tokens, and the widths of the encoder's middle layers
CELL = Cell("movie", "lora", "r=8", rate=1e-3, batch_size=32, max_length=64)
TYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
KERNELS = {
    "plain": [SDPBackend.MATH],
    "fused": [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
}


def product(dtype: torch.dtype) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(shape, generator=generator).to(dtype) for shape in ((ROWS, INNER), (INNER, COLUMNS)))
    return lambda: a @ b


@contextmanager
def computing(precision: str, attention: str) -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"), sdpa_kernel(KERNELS[attention]):
        yield


def training_step(model: nn.Module, batch: Batch, precision: str, attention: str) -> Callable[[], object]:
    """Forward, backward and AdamW, on the same examples every time."""
    optimizer = torch.optim.AdamW([*adapter_parameters(model), *head_parameters(model)], lr=CELL.rate)

    def step() -> None:
        optimizer.zero_grad()
        with computing(precision, attention):
            logits = model(**batch.inputs)
        nn.functional.cross_entropy(logits, batch.labels).backward()
        optimizer.step()

    return step


def measured(repetitions: int) -> dict[str, Any]:
    """Seconds by name of what is measured: (precision,) for products, (precision, attention) for steps."""
    with torch.inference_mode():
        products = measure.in_turns(
            {name: product(dtype) for name, dtype in TYPES.items()}, repetitions, clock=time.process_time
        )
    (batch,) = training_batches(examples_of(CELL).train, CELL.batch_size, 1, CELL.seed)
    steps = {
        f"{precision}, {attention}": training_step(lora(), batch, precision, attention)
        for precision in TYPES
        for attention in KERNELS
    }
    times = measure.in_turns(steps, repetitions, clock=time.process_time)
    return {
        "environment": measure.environment(PACKAGES, CELL.seed) | {"repetitions": repetitions},
        "tokens": list(batch.inputs["input_ids"].shape),
        "products": {name: measure.summary(seconds) for name, seconds in products.items()},
        "steps": {name: measure.summary(seconds) for name, seconds in times.items()},
    }


def lora() -> nn.Module:
    return attach(
        fresh_model(CELL.task, CELL.seed, CELL.backbone), CELL.method, CELL.size, ["query", "value"], CELL.seed
    ).train()


def table(results: dict[str, Any]) -> str:
    flops = 2 * ROWS * INNER * COLUMNS
    rates = [f"{flops / results['products'][name]['median'] / 1e9:,.0f}" for name in TYPES]
    rows = [[f"products of {ROWS} x {INNER} with {INNER} x {COLUMNS:,}, GFLOP/s", *rates]]
    for attention in KERNELS:
        spent = [measure.show_spread(results["steps"][f"{name}, {attention}"]) for name in TYPES]
        rows.append([f"step of LoRA r=8, {attention} attention", *spent])
    where, (sentences, tokens) = results["environment"], results["tokens"]
    note = (
        f"{where['cpu']}, one thread, {where['repetitions']} turns, load {where['load']}, torch "
        f"{where['versions']['torch']}, {where['date']}; the step has {sentences} sentences of {tokens} tokens."
    )
    return f"{measure.markdown_table(('', *TYPES), rows)}\n\n{note}"


def main(
    repetitions: Annotated[int, typer.Option(help="Turns of each rival.", min=1)] = 11,
    page_only: Annotated[bool, typer.Option(help="Make the page's table of the numbers that were kept.")] = False,
) -> None:
    """Measure, keep the numbers, and write the table. Example: python docs/benchmarks/cell_precision.py."""
    if not page_only:
        measure.pin_threads(1)
        measure.write_json(RESULTS, measured(repetitions))
    measure.between_markers(PAGE, "precision", table(measure.read_json(RESULTS)))


if __name__ == "__main__":
    typer.run(main)
