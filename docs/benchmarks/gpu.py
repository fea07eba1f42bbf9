"""Time rotations and adapted layers on a GPU: python docs/benchmarks/gpu.py --help.

bfloat16, by CUDA events, the rivals taking turns in one process, the L2 cache emptied before every turn. Kernels: R x
and its backward, A_i given, against the memory-bandwidth bound, a copy of x; a backward moves half as much again.
Layers: forward and whole training step (forward, backward, AdamW) of one frozen linear layer without bias, alone and
adapted by PEFT; the backward goes to the inputs and to what is trained. Without a GPU it refuses.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import measure
import torch
import typer
from peft import LoraConfig, OFTConfig, PeftConfig, get_peft_model
from torch import Tensor, nn

from adapters import QuICConfig
from adapters.plan import BlockPlan, plan_blocks
from qicircuits import random_orthogonal
from qicircuits.engine.dispatch import rotate_blocks, rotates_blocks

PACKAGES = ("torch", "triton", "peft", "qicircuits")
SEED = 0
ORDERS = (1, 2)
FEATURES = (1024, 4096, 8192)
BLOCKS = (1, 4, 16)
COPY, FROZEN = "copy", "frozen"
# More than the L2 cache of any device.
_FLUSHED_BYTES = 2**28

Rivals = Mapping[str, Callable[[], object]]


def kernels(features: int, tokens: int, device: str) -> Rivals:
    """A copy of x, and R x and its backward for every number of blocks that the kernels serve."""
    x = torch.randn(tokens, features, device=device, dtype=torch.bfloat16)
    y = torch.empty_like(x)
    rivals: dict[str, Callable[[], object]] = {COPY: lambda: y.copy_(x)}
    for n_blocks in BLOCKS:
        plan = plan_blocks(features, ORDERS, n_blocks=n_blocks)
        if rotates_blocks(x.device, plan.n, ORDERS, x.dtype):
            rivals |= _rotation(plan, x)
    return rivals


def _rotation(plan: BlockPlan, x: Tensor) -> Rivals:
    matrices = random_orthogonal(plan.n, batch_shape=(plan.n_blocks,), dtype=torch.float32).to(x.device)
    where = plan.sectors, plan.n_blocks, plan.block_size
    inputs = x.clone().requires_grad_(), matrices.clone().requires_grad_()
    out = rotate_blocks(*inputs, None, *where)
    name = f"N={plan.n_blocks} n={plan.n}"
    return {
        f"R x {name}": lambda: rotate_blocks(x, matrices, None, *where),
        f"backward {name}": lambda: torch.autograd.grad(out, inputs, x, retain_graph=True),
    }


def layers(features: int, tokens: int, device: str) -> tuple[Rivals, Rivals]:
    """Forwards and training steps of a linear layer, frozen alone and with each adapter."""
    configs: dict[str, PeftConfig | None] = {
        FROZEN: None,
        "LoRA r=8": LoraConfig(r=8, target_modules=["0"]),
        "OFT": OFTConfig(target_modules=["0"]),
    }
    for kind in ("cayley", "rbs"):
        configs |= {
            f"QuIC {kind} N={n_blocks}": QuICConfig(
                target_modules=["0"], n_blocks=n_blocks, orders=ORDERS, parameter_map=kind
            )
            for n_blocks in BLOCKS
        }
    x = torch.randn(tokens, features, device=device, dtype=torch.bfloat16, requires_grad=True)
    grad = torch.randn_like(x)
    linear = nn.Linear(features, features, bias=False, device=device, dtype=torch.bfloat16).requires_grad_(False)
    forwards, steps = {}, {}
    for name, config in configs.items():
        base = nn.Sequential(linear)
        # Adapters of PEFT's own in bfloat16 too, which is the faster; ours keep their numbers in float32.
        own = isinstance(config, QuICConfig)
        model = base if config is None else get_peft_model(base, config, autocast_adapter_dtype=own)
        forwards[name] = lambda model=model: model(x)
        steps[name] = _step(model, x, grad)
    return forwards, steps


def _step(model: nn.Module, x: Tensor, grad: Tensor) -> Callable[[], None]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4) if trained else None

    def step() -> None:
        x.grad = None
        model(x).backward(grad)
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()

    return step


def in_turns(rivals: Rivals, repetitions: int) -> dict[str, list[float]]:
    """Seconds of every call on the device, the rivals taking turns, after three rounds to compile and warm up."""
    flushed = torch.empty(_FLUSHED_BYTES, dtype=torch.int8, device="cuda")
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for repetition in range(-3, repetitions):
        for name, call in rivals.items():
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            flushed.zero_()
            start.record()
            call()
            stop.record()
            stop.synchronize()
            if repetition >= 0:
                times[name].append(1e-3 * start.elapsed_time(stop))
    return times


def measure_cell(features: int, tokens: int, repetitions: int) -> dict[str, dict[str, measure.Summary]]:
    """Summaries of kernels, forwards and steps."""
    torch.manual_seed(SEED)
    forwards, steps = layers(features, tokens, "cuda")
    parts = {"kernels": kernels(features, tokens, "cuda"), "forwards": forwards, "steps": steps}
    return {
        part: {name: measure.summary(times) for name, times in in_turns(rivals, repetitions).items()}
        for part, rivals in parts.items()
    }


def table_rows(cells: dict[str, Any], part: str, bound: str) -> list[list[str]]:
    """Name, time, and how many times that of the bound, for each number of features."""
    rows = []
    for features, cell in cells.items():
        least = cell[part][bound]
        for name, times in cell[part].items():
            rows.append([features, name, measure.show_spread(times), f"{measure.ratio(times, least):.2f}"])
    return rows


def main(
    tokens: Annotated[int, typer.Option(help="Number of tokens.", min=1)] = 8192,
    repetitions: Annotated[int, typer.Option(help="Calls of each rival.", min=1)] = 31,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    output: Annotated[Path | None, typer.Option(help="Keep the results in this file.")] = None,
) -> None:
    """Time rotations on a GPU. Example: python docs/benchmarks/gpu.py --repetitions 101 --output gpu.json."""
    if not torch.cuda.is_available():
        sys.exit("gpu.py needs a CUDA device, found none")
    results = {
        "environment": measure.environment(PACKAGES, SEED) | {"repetitions": repetitions, "tokens": tokens},
        "cells": {str(features): measure_cell(features, tokens, repetitions) for features in FEATURES},
    }
    if output is not None:
        measure.write_json(output, results)
    if as_json:
        print(json.dumps(results))
        return
    where = f"{tokens} tokens, bfloat16, {results['environment']['gpu']}, torch {torch.__version__}"
    for part, bound in (("kernels", COPY), ("forwards", FROZEN), ("steps", FROZEN)):
        columns = ["d", part, "median (interquartile range)", f"against {bound}"]
        measure.print_table(f"{part}: {where}", columns, table_rows(results["cells"], part, bound))


if __name__ == "__main__":
    typer.run(main)
