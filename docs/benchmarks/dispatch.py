"""Find where method="auto" is not the fastest of our methods: python docs/benchmarks/dispatch.py --help.

Over a grid of circuits, sizes, numbers of vectors, dtypes, and forward alone or with the backward to vectors and
angles (or matrix), every explicit method of `apply_layout` and `compound_apply` takes turns with "auto". auto loses
where it takes more than 1.2 times as long as the fastest explicit method, in the medians and in the shortest times
alike, and does so again when the cell is measured a second time: noise rarely shows in all four.
"""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from measure import (
    Summary,
    between_markers,
    environment,
    in_turns,
    markdown_table,
    pin_threads,
    print_table,
    read_json,
    show_seconds,
    summary,
    write_json,
)
from rich.console import Console
from rich.progress import track
from rivals import Problem, our_call, our_methods

from qicircuits import pyramid, v_shape

PAGE = Path(__file__).with_suffix(".md")
RESULTS = Path(__file__).parent / "results" / "dispatch.json"
PACKAGES = ("torch", "numba", "numpy")
SIZES = [
    *((n, 1) for n in (8, 44, 128)),
    *((n, 2) for n in (8, 16, 27, 44, 64, 128)),
    *((n, 3) for n in (8, 12, 20, 24, 30)),
    *((8, 4), (12, 4), (16, 4), (20, 5), (8, 6), (16, 12)),
]
CIRCUITS = {"pyramid": pyramid, "v_shape": v_shape}
VECTORS = (1, 16, 128, 1024)
DTYPES = {"float32": torch.float32, "float64": torch.float64}
PASSES = ("forward", "training")
MOST_AMPLITUDES = 2**21
ALLOWED = 1.2

Cell = dict[str, Any]


def calls(problem: Problem, function: str, passes: str) -> dict[str, Callable[[], object]]:
    """Every explicit method of a function that serves the problem, and auto; nothing where none does."""
    methods = our_methods(problem)[function]
    if passes == "training":
        names = ("x", "angles") if function == "apply_layout" else ("x", "matrix")
        problem = replace(problem, **{name: getattr(problem, name).clone().requires_grad_() for name in names})
        wanted = [getattr(problem, name) for name in names]
    output_gradient = torch.ones_like(problem.x)

    def train(method: str) -> None:
        torch.autograd.grad(our_call(problem, function, method), wanted, output_gradient)

    run = train if passes == "training" else partial(our_call, problem, function)
    served = {}
    for method in methods[1:]:
        try:
            run(method)
        except ValueError:
            continue
        served[method] = partial(run, method)
    return {"auto": partial(run, "auto"), **served} if served else {}


def loss(times: dict[str, Summary]) -> tuple[float, str]:
    """How many times as long as the fastest explicit method auto takes, by the kinder of two figures; and which."""
    explicit = {method: one for method, one in times.items() if method != "auto"}
    best = min(explicit, key=lambda method: explicit[method]["median"])
    return min(times["auto"][figure] / explicit[best][figure] for figure in ("median", "min")), best


def measure(
    methods: dict[str, Callable[[], object]], repetitions: int, limit: float
) -> tuple[dict[str, Summary], float, str]:
    """The times of every method, and `loss` of them."""
    times = {method: summary(one) for method, one in in_turns(methods, repetitions, limit=limit).items()}
    return times, *loss(times)


def measure_grid(
    grid: list[tuple[str, tuple[int, int], int, str, str]], repetitions: int, limit: float, seed: int
) -> list[Cell]:
    cells = []
    for circuit, (n, order), vectors, dtype, passes in track(grid, "Cells", console=Console(stderr=True)):
        problem = Problem.random(n, order, (vectors,), DTYPES[dtype], seed, circuit=CIRCUITS[circuit])
        # A matrix is the same work whatever its circuit.
        for function in our_methods(problem) if circuit == "pyramid" else ["apply_layout"]:
            methods = calls(problem, function, passes)
            if not methods:
                continue
            times, ratio, best = measure(methods, repetitions, limit)
            if ratio > ALLOWED:
                times, ratio, best = min(
                    measure(methods, repetitions, limit), (times, ratio, best), key=itemgetter(1)
                )
            cell = {
                "function": function,
                "circuit": circuit,
                "n": n,
                "order": order,
                "vectors": vectors,
                "dtype": dtype,
                "passes": passes,
            }
            cells.append(cell | {"seconds": times, "auto_over_best": ratio, "best": best})
    return cells


def rows(cells: list[Cell]) -> list[list[str]]:
    """One line for each of these cells."""
    return [
        [
            cell["function"] if cell["function"] == "compound_apply" else f"apply_layout, {cell['circuit']}",
            f"({cell['n']}, {cell['order']})",
            str(cell["vectors"]),
            cell["dtype"],
            cell["passes"],
            show_seconds(cell["seconds"]["auto"]["median"]),
            f"{cell['best']}: {show_seconds(cell['seconds'][cell['best']]['median'])}",
            f"{cell['auto_over_best']:.2f}",
        ]
        for cell in cells
    ]


COLUMNS = ("function", "(n, k)", "vectors", "dtype", "", "auto", "fastest", "ratio")


def render(path: Path) -> None:
    """Write the page's tables from the results of all thread counts."""
    text = []
    for threads, results in sorted(read_json(path).items()):
        machine, lost = results["environment"], results["lost"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        text.append(
            f"## Threads: {threads}\n\n{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, "
            f"{versions}; commit {machine['commit']}, {machine['date']}, load at the start {machine['load']}, seed "
            f"{machine['seed']}. auto loses in {len(lost)} of {results['n_cells']} cells."
        )
        if lost:
            text.append(markdown_table(COLUMNS, rows(lost)))
    between_markers(PAGE, "results", "\n\n".join(text))


def main(
    threads: Annotated[int, typer.Option(help="Threads.", min=1)] = 1,
    repetitions: Annotated[int, typer.Option(help="Turns of every method.", min=1)] = 7,
    limit: Annotated[float, typer.Option(help="Seconds for the turns of one method in one cell.")] = 0.15,
    sizes: Annotated[str, typer.Option(help='Only these, as "16,4 44,2".')] = "",
    vectors: Annotated[str, typer.Option(help="Numbers of vectors.")] = " ".join(map(str, VECTORS)),
    circuits: Annotated[str, typer.Option(help="Layouts of apply_layout.")] = " ".join(CIRCUITS),
    dtypes: Annotated[str, typer.Option(help="Types of vectors, angles and matrices.")] = " ".join(DTYPES),
    passes: Annotated[str, typer.Option(help="forward, training, or both.")] = " ".join(PASSES),
    seed: Annotated[int, typer.Option(help="Seed of angles and vectors.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print all cells as one JSON object.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Keep the lost cells in this file, beside other threads'.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where auto loses.")] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Measure nothing: write the page from the kept results.")
    ] = False,
) -> None:
    """Find where auto loses. Example: python docs/benchmarks/dispatch.py --sizes "16,4 44,2" --vectors 1 --check."""
    if page:
        render(output or RESULTS)
        return
    pin_threads(threads)
    chosen = [tuple(map(int, size.split(","))) for size in sizes.split()] or SIZES
    grid = [
        (circuit, size, number, dtype, one)
        for circuit, size, number, dtype, one in product(
            circuits.split(), chosen, map(int, vectors.split()), dtypes.split(), passes.split()
        )
        if number * math.comb(*size) <= MOST_AMPLITUDES
    ]
    where = environment(PACKAGES, seed) | {"repetitions": repetitions, "limit": limit}
    cells = measure_grid(grid, repetitions, limit, seed)
    lost = [cell for cell in cells if cell["auto_over_best"] > ALLOWED]
    lost.sort(key=lambda cell: cell["auto_over_best"], reverse=True)
    if output:
        results = {"environment": where, "n_cells": len(cells), "lost": lost}
        write_json(output, (read_json(output) if output.exists() else {}) | {str(threads): results})
    if as_json:
        print(json.dumps({"environment": where, "cells": cells}))
    else:
        print_table(f"auto loses in {len(lost)} of {len(cells)} cells, threads: {threads}", COLUMNS, rows(lost))
    if check and lost:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
