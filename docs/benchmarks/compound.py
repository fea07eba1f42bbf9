"""Time the ways to apply C_k(A) to 1,024 vectors, forward and backward: python docs/benchmarks/compound.py --help.

One thread, float32, the rivals interleaved; a cell is the median of the repetitions in milliseconds, and in
brackets the interquartile range. "matrix given" is one product with a ready-made matrix of the same size, whose
building and whose gradient towards A are left out: a floor, not a rival.
"""

import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

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


def measure(functions: dict[str, Callable[[], object]], repetitions: int) -> dict[str, list[float]]:
    """Milliseconds of every repetition, the functions taking turns, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for repetition in range(repetitions + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if repetition:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def main(
    vectors: Annotated[int, typer.Option(help="Number of vectors.")] = 1024,
    repetitions: Annotated[int, typer.Option(help="Repetitions of each cell.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time the ways to apply a compound matrix. Example: python docs/benchmarks/compound.py --repetitions 15."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    results = {size: measure(rivals(*size, vectors), repetitions) for size in SIZES}
    if as_json:
        cells = [{"n": n, "order": k, "dim": math.comb(n, k), "ms": times} for (n, k), times in results.items()]
        print(json.dumps({"torch": torch.__version__, "vectors": vectors, "cells": cells}))
        return
    machine = f"{platform.machine()}, 1 thread, torch {torch.__version__}"
    table = Table(
        "n", "k", "C(n, k)", "matrix given", "dense", "modes", "gates", title=f"ms, {vectors} vectors, {machine}"
    )
    for (n, order), times in results.items():
        cells = [_cell(times.get(name)) for name in ("matrix given", "dense", "modes", "gates")]
        table.add_row(str(n), str(order), str(math.comb(n, order)), *cells)
    Console().print(table)


def _cell(times: list[float] | None) -> str:
    if times is None:
        return ""
    quarter = statistics.quantiles(times, n=4)
    return f"{statistics.median(times):.1f} ({quarter[2] - quarter[0]:.1f})"


if __name__ == "__main__":
    typer.run(main)
