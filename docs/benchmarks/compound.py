"""Time the ways to apply C_k(A) to 1,024 vectors, forward and backward: python docs/benchmarks/compound.py --help.

One thread, float32, the rivals in turns; a cell is the median of the repetitions, and in brackets the interquartile
range in percent of it. "matrix given" is one product with a ready-made matrix of the same size, whose
building and whose gradient towards A are left out: a floor, not a rival.
"""

import json
import math
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from measure import environment, in_turns, pin_threads, print_table, show_spread, summary

from qicircuits import (
    angles_from_orthogonal,
    apply_layout,
    brickwork,
    compound_apply,
    compound_matrix,
    random_orthogonal,
)

SIZES = [(8, 2), (16, 2), (27, 2), (44, 2), (60, 2), (13, 3), (20, 3), (30, 3), (8, 4), (12, 4)]


def rivals(n: int, order: int, vectors: int) -> dict[str, Callable[[], object]]:
    """The functions to time, each one forward and backward."""
    matrix = random_orthogonal(n, dtype=torch.float32, generator=torch.Generator().manual_seed(n))
    angles = angles_from_orthogonal(matrix).requires_grad_()
    compound = compound_matrix(matrix, order)
    matrix.requires_grad_()
    x = torch.randn(vectors, math.comb(n, order), requires_grad=True)
    gradient = torch.randn_like(x)
    chosen: dict[str, Callable[[], object]] = {
        "matrix given": lambda: (x @ compound.mT).backward(gradient),
        "dense": lambda: compound_apply(matrix, x, order, method="dense").backward(gradient),
    }
    if order <= 3:
        chosen["modes"] = lambda: compound_apply(matrix, x, order, method="modes").backward(gradient)
    layout = brickwork(n)
    chosen["gates"] = lambda: apply_layout(x, angles, layout, order, method="gates").backward(gradient)
    return chosen


def main(
    vectors: Annotated[int, typer.Option(help="Number of vectors.")] = 1024,
    repetitions: Annotated[int, typer.Option(help="Repetitions of each cell.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time the ways to apply a compound matrix. Example: python docs/benchmarks/compound.py --repetitions 15."""
    pin_threads(1)
    torch.manual_seed(0)
    results = {
        size: {name: summary(times) for name, times in in_turns(rivals(*size, vectors), repetitions).items()}
        for size in SIZES
    }
    if as_json:
        cells = [{"n": n, "order": k, "dim": math.comb(n, k), "seconds": times} for (n, k), times in results.items()]
        print(json.dumps({"environment": environment(("torch", "numba"), 0), "vectors": vectors, "cells": cells}))
        return
    names = ("matrix given", "dense", "modes", "gates")
    rows = [
        [str(n), str(order), str(math.comb(n, order)), *(show_spread(times.get(name)) for name in names)]
        for (n, order), times in results.items()
    ]
    print_table(f"{vectors} vectors, 1 thread, torch {torch.__version__}", ("n", "k", "C(n, k)", *names), rows)


if __name__ == "__main__":
    typer.run(main)
