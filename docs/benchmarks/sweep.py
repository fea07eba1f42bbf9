"""Time the rotation of a whole layer, forward and backward: python docs/benchmarks/sweep.py --help.

One thread, float32, the rivals in turns; a cell is the median of the repetitions, and in brackets the interquartile
range in percent of it. Upper table: R x alone, its A_i given, by the kernels of the CPU, by building each C_k(A_i)
and by its modes. Lower table: one frozen linear layer alone, with LoRA of rank 8 beside it, and with the rotation
behind it, Cayley's map included; the backward goes to the inputs and to what is trained.
"""

import json
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from measure import Summary, environment, in_turns, pin_threads, print_table, show_spread, summary
from torch import Tensor

from adapters.plan import BlockPlan, plan_blocks
from adapters.rotation import Rotation
from qicircuits import compound_apply
from qicircuits.engine.dispatch import rotate_blocks

# (features, blocks, orders)
LAYERS = [
    (384, 1, (1, 2)),
    (768, 3, (1, 2)),
    (768, 1, (1, 2)),
    (1024, 1, (1, 2)),
    (1024, 1, (1, 2, 3)),
    (4096, 4, (1, 2)),
]
RANK = 8
ROTATIONS = ("dense", "modes", "kernels")
LINEARS = ("frozen", "LoRA r=8", "QuIC")

Function = Callable[[], Tensor]


def by_sectors(plan: BlockPlan, matrices: Tensor, x: Tensor, method: str) -> Tensor:
    """R x in torch, sector by sector, features first."""
    covered = plan.n_blocks * plan.block_size
    blocks = x[:, :covered].mT.contiguous().unflatten(0, (plan.n_blocks, plan.block_size))
    parts = [
        compound_apply(matrices, blocks[:, start:stop].movedim(-1, 0), order, method=method).movedim(0, -1)
        for order, start, stop in plan.sectors
    ]
    rotated = torch.cat((*parts, blocks[:, plan.sectors[-1][2] :]), dim=1).flatten(0, 1).mT
    return torch.cat((rotated, x[:, covered:]), dim=1)


def rivals(features: int, n_blocks: int, orders: tuple[int, ...], tokens: int) -> dict[str, Function]:
    """The functions to time, each from inputs that want gradients to an output."""
    plan = plan_blocks(features, orders, n_blocks=n_blocks)
    rotation = Rotation(plan, "cayley")
    parameters = (torch.randn(plan.parameter_shape) / 10).requires_grad_()
    matrices = rotation.matrices(parameters).detach().requires_grad_()
    x = torch.randn(tokens, features, requires_grad=True)
    weight = torch.randn(features, features) / features**0.5
    down = torch.randn(RANK, features, requires_grad=True)
    up = torch.randn(features, RANK, requires_grad=True)
    return {
        "dense": lambda: by_sectors(plan, matrices, x, "dense"),
        "modes": lambda: by_sectors(plan, matrices, x, "modes"),
        "kernels": lambda: rotate_blocks(x, matrices, None, plan.sectors, plan.n_blocks, plan.block_size),
        "frozen": lambda: x @ weight.mT,
        "LoRA r=8": lambda: x @ weight.mT + (x @ down.mT) @ up.mT,
        "QuIC": lambda: rotation.apply(parameters, x @ weight.mT),
    }


def measure_layer(functions: dict[str, Function], repetitions: int) -> dict[str, Summary]:
    """The times of every forward and of every forward and backward."""
    calls: dict[str, Callable[[], object]] = {}
    for name, function in functions.items():
        gradient = torch.ones_like(function())
        calls[f"{name}\nforward"] = function
        calls[f"{name}\nand backward"] = lambda function=function, gradient=gradient: function().backward(gradient)
    return {name: summary(times) for name, times in in_turns(calls, repetitions).items()}


def main(
    tokens: Annotated[int, typer.Option(help="Number of tokens.")] = 1024,
    repetitions: Annotated[int, typer.Option(help="Repetitions of each cell.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time ways to rotate a layer's features. Example: python docs/benchmarks/sweep.py --repetitions 15."""
    pin_threads(1)
    torch.manual_seed(0)
    results = {layer: measure_layer(rivals(*layer, tokens), repetitions) for layer in LAYERS}
    if as_json:
        cells = [
            {"features": features, "n_blocks": n_blocks, "orders": orders, "seconds": times}
            for (features, n_blocks, orders), times in results.items()
        ]
        print(json.dumps({"environment": environment(("torch", "numba"), 0), "tokens": tokens, "cells": cells}))
        return
    for names, title in ((ROTATIONS, "R x alone"), (LINEARS, "linear layer")):
        columns = [f"{name}\n{part}" for name in names for part in ("forward", "and backward")]
        rows = [
            [str(features), str(n_blocks), str(orders), *(show_spread(times[column]) for column in columns)]
            for (features, n_blocks, orders), times in results.items()
        ]
        print_table(
            f"{title}: {tokens} tokens, 1 thread, torch {torch.__version__}", ("d", "N", "orders", *columns), rows
        )


if __name__ == "__main__":
    typer.run(main)
