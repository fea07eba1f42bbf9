"""Time free fermions at large n, and their samplers side by side: python docs/benchmarks/free_fermion.py --help.

First table: one call of each function of `qicircuits.free_fermion`, float64, brickwork circuits with random angles
on the first k wires; layouts, angles and orbitals are there. Second table: seconds for one of the shots of a call, by
`sample` on a CPU, by the torch sampler that serves elsewhere, and by ffsim's `sample_slater` where it is installed.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from measure import (
    between_markers,
    environment,
    in_turns,
    markdown_table,
    pin_threads,
    print_table,
    read_json,
    show_spread,
    summary,
    write_json,
)
from torch import Tensor

from qicircuits import brickwork
from qicircuits.engine.determinantal import project_subsets
from qicircuits.free_fermion import amplitude, correlations, evolve, log_amplitude, marginals, sample

RESULTS = Path(__file__).parent / "results" / "free_fermion.json"
PAGE = Path(__file__).with_suffix(".md")
PACKAGES = ("torch", "numba", "numpy", "ffsim")
# (n, k): numbers of shots in a call
SIZES = {(100, 10): (1, 100), (100, 50): (1, 100), (1000, 50): (1, 100), (1000, 500): (1, 10), (2000, 1000): (1,)}

Calls = dict[str, Callable[[], object]]


def functions(n: int, k: int) -> tuple[Tensor, Calls]:
    """The orbitals of a circuit, and a call of every function on them."""
    layout = brickwork(n)
    angles = torch.randn(layout.n_gates, dtype=torch.float64)
    orbitals = evolve(range(k), angles, layout).contiguous()  # makes the circuit's tables, too
    wires = sample(orbitals, 1)[0]
    return orbitals, {
        "evolve": lambda: evolve(range(k), angles, layout),
        "marginals": lambda: marginals(orbitals),
        "correlations": lambda: correlations(orbitals),
        "amplitude": lambda: amplitude(orbitals, wires),
        "log_amplitude": lambda: log_amplitude(orbitals, wires),
    }


def samplers(orbitals: Tensor, shots: int) -> Calls:
    n, k = orbitals.shape
    calls: Calls = {
        "sample": lambda: sample(orbitals, shots),
        "in torch": lambda: project_subsets(orbitals, torch.rand(shots, k, dtype=torch.float64)),
    }
    try:
        import ffsim
    except ModuleNotFoundError:
        return calls
    rotation = torch.linalg.qr(orbitals, mode="complete").Q.numpy()  # its first k columns span the same state
    integers = ffsim.BitstringType.INT
    calls["ffsim"] = lambda: ffsim.sample_slater(n, range(k), rotation, shots=shots, bitstring_type=integers)
    return calls


def measure(n: int, k: int, repetitions: int, limit: float) -> dict[str, Any]:
    orbitals, calls = functions(n, k)
    times = in_turns(calls, repetitions, limit=limit)
    cell: dict[str, Any] = {"n": n, "k": k, "functions": {name: summary(turns) for name, turns in times.items()}}
    cell["log10_dim"] = math.log10(math.comb(n, k))
    cell["samplers"] = {}
    for shots in SIZES[n, k]:
        times = in_turns(samplers(orbitals, shots), repetitions, limit=limit)
        each = {name: summary([seconds / shots for seconds in turns]) for name, turns in times.items()}
        cell["samplers"][str(shots)] = each
    return cell


def tables(cells: list[dict[str, Any]]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Title, columns and rows."""
    names = list(cells[0]["functions"])
    rows = [
        [f"({cell['n']}, {cell['k']})", f"10^{cell['log10_dim']:.0f}"]
        + [show_spread(cell["functions"][name]) for name in names]
        for cell in cells
    ]
    yield "One call", ["(n, k)", "C(n, k)", *names], rows
    names = list(next(iter(cells[0]["samplers"].values())))
    rows = [
        [f"({cell['n']}, {cell['k']})", shots, *[show_spread(each[name]) for name in names]]
        for cell in cells
        for shots, each in cell["samplers"].items()
    ]
    yield "One of so many shots", ["(n, k)", "shots", *names], rows


def render(path: Path) -> None:
    """Write the page's tables from the kept results."""
    results = read_json(path)
    machine = results["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    text = [
        f"{machine['cpu']}, {machine['cores']} cores, threads: {machine['threads']}, Python {machine['python']}, "
        f"{versions}; commit {machine['commit']}, {machine['date']}, load at the start {machine['load']}, seed "
        f"{machine['seed']}."
    ]
    for title, columns, rows in tables(results["cells"]):
        text.append(f"## {title}\n\n" + markdown_table(columns, rows))
    between_markers(PAGE, "results", "\n\n".join(text))


def main(
    threads: Annotated[int, typer.Option(help="Threads.", min=1)] = 1,
    repetitions: Annotated[int, typer.Option(help="Turns of every call.", min=1)] = 11,
    limit: Annotated[float, typer.Option(help="Seconds for the turns of one call.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of angles and shots.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    output: Annotated[Path | None, typer.Option(help="Keep the results in this file.")] = None,
    page: Annotated[
        bool, typer.Option("--page", help="Measure nothing: write the page from the kept results.")
    ] = False,
) -> None:
    """Time free fermions and samplers. Example: python docs/benchmarks/free_fermion.py --repetitions 5."""
    if page:
        render(output or RESULTS)
        return
    pin_threads(threads)
    torch.manual_seed(seed)
    where = environment(PACKAGES, seed) | {"repetitions": repetitions, "limit": limit}
    results = {"environment": where, "cells": [measure(n, k, repetitions, limit) for n, k in SIZES]}
    if output:
        write_json(output, results)
    if as_json:
        print(json.dumps(results))
        return
    for title, columns, rows in tables(results["cells"]):
        print_table(f"{title} (threads: {threads})", columns, rows)


if __name__ == "__main__":
    typer.run(main)
