"""Time the PennyLane device: python docs/benchmarks/device.py --help.

One QNode, a brickwork circuit of SingleExcitation gates from a basis state and the expectation value of Z on its last
wire, on ``qicircuits.subspace`` and on other devices: the value alone, and with its gradient, by torch and by
autograd. Beside them what PennyLane takes without any simulation (``null.qubit``), or with a device that answers 0 to
every circuit, which is the least that any device can take; and the same gates on the engine alone. The seconds are
the processor's, of one thread: others on the machine do not add to them, but for the caches that they fill.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pennylane as qml
import torch
import typer
from measure import (
    between_markers,
    environment,
    in_turns,
    markdown_table,
    pin_threads,
    print_table,
    ratio,
    read_json,
    show_seconds,
    show_spread,
    summary,
    write_json,
)

from qicircuits import apply_layout, brickwork, subspace_dim
from qicircuits.engine.plan import occupation

PAGE = Path(__file__).with_suffix(".md")
RESULTS = PAGE.parent / "results" / "device.json"
PACKAGES = ("torch", "numba", "numpy", "pennylane", "pennylane_lightning", "autograd")

VALUE = "value"
OURS, NOTHING, ENGINE, TAPE = "qicircuits.subspace", "null.qubit", "engine alone", "device.execute"
LEAST = "a device that answers 0"
# (n, k) and the rounds of the brickwork's moments: n of them reach every pair of wires.
SIZES = {(12, 4): 12, (16, 4): 16, (20, 5): 20, (64, 2): 64, (200, 2): 20}
WIDEST = {"lightning.qubit": 20, "default.qubit": 16}

Calls = dict[str, Callable[[], object]]


class Zero(qml.devices.Device):
    """No preparation, no simulation: what is left is PennyLane's own."""

    def preprocess_transforms(self, execution_config: Any = None) -> Any:
        return qml.CompilePipeline()

    def execute(self, circuits: Any, execution_config: Any = None) -> tuple[float, ...]:
        return (0.0,) * len(circuits)


def qnode(device: str, n: int, k: int, pairs: list[tuple[int, int]]) -> qml.QNode:
    """The circuit on a device; only its name differs."""
    method = {OURS: "best", "default.qubit": "backprop", LEAST: None}.get(device, "adjoint")

    @qml.qnode(Zero(wires=n) if device == LEAST else qml.device(device, wires=n), diff_method=method)
    def circuit(theta: Any) -> Any:
        qml.BasisState([1] * k + [0] * (n - k), wires=range(n))
        for angle, pair in zip(theta, pairs, strict=True):
            qml.SingleExcitation(angle, wires=pair)
        return qml.expval(qml.Z(n - 1))

    return circuit


def rivals(n: int, k: int) -> tuple[dict[str, Calls], float]:
    """What is to be timed, in three groups, and how far two devices' gradients are apart."""
    layout = brickwork(n)
    moments = layout.moments[: SIZES[n, k]]
    pairs = [pair for moment in moments for pair in moment]
    angles = np.random.default_rng(0).normal(size=len(pairs))
    theta = qml.numpy.array(angles, requires_grad=True)
    names = [OURS, NOTHING, *(name for name, widest in WIDEST.items() if n <= widest)]
    nodes = {name: qnode(name, n, k, pairs) for name in names}
    least = qnode(LEAST, n, k, pairs)
    values: Calls = {name: lambda node=node: node(angles) for name, node in (nodes | {LEAST: least}).items()}
    gradients: Calls = {name: lambda node=node: qml.grad(node)(theta) for name, node in nodes.items()}
    by_torch: Calls = {name: lambda node=node: torch_gradient(node, angles) for name, node in nodes.items()}
    tape = qml.workflow.construct_tape(nodes[OURS], level="device")(angles)
    values[TAPE] = lambda: nodes[OURS].device.execute(tape)
    if len(pairs) == layout.n_gates:
        values[ENGINE] = lambda: on_engine(n, k, angles)
        by_torch[ENGINE] = lambda: engine_gradient(n, k, angles)
    others = [name for name in names if name in WIDEST]
    apart = max((np.abs(gradients[OURS]() - gradients[name]()).max() for name in others), default=float("nan"))
    return {VALUE: values, "gradient by torch": by_torch, "gradient by autograd": gradients}, float(apart)


def torch_gradient(node: qml.QNode, angles: Any) -> None:
    theta = torch.tensor(angles, requires_grad=True)
    node(theta).backward()


def on_engine(n: int, k: int, angles: Any, grad: bool = False) -> torch.Tensor:
    """<Z> on the last wire by `apply_layout`."""
    theta = torch.tensor(-angles / 2, requires_grad=grad)
    start = torch.zeros(1, subspace_dim(n, k), dtype=torch.float64)
    start[0, 0] = 1
    sign = torch.from_numpy(1.0 - 2.0 * occupation(n, k)[:, -1])
    return (apply_layout(start, theta, brickwork(n), k, method="gates").square() * sign).sum()


def engine_gradient(n: int, k: int, angles: Any) -> None:
    on_engine(n, k, angles, grad=True).backward()


def measure(n: int, k: int, repetitions: int, limit: float) -> dict[str, Any]:
    groups, apart = rivals(n, k)
    cell: dict[str, Any] = {"n": n, "k": k, "dim": subspace_dim(n, k), "apart": apart, "times": {}}
    cell["gates"] = sum(len(moment) for moment in brickwork(n).moments[: SIZES[n, k]])
    for name, calls in groups.items():
        times = in_turns(calls, repetitions, limit=limit, clock=time.process_time)
        cell["times"][name] = {rival: summary(turns) for rival, turns in times.items()}
    return cell


def tables(cells: list[dict[str, Any]]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Title, columns and rows."""
    for what in cells[0]["times"]:
        names = [name for name in cells[0]["times"][what] if name != "default.qubit"] + ["default.qubit"]
        rows = []
        for cell in cells:
            times = cell["times"][what]
            slower = [against(times, "lightning.qubit", rival) for rival in (OURS, LEAST)]
            rows.append(
                [f"({cell['n']}, {cell['k']})", str(cell["dim"]), str(cell["gates"])]
                + [show_spread(times.get(name)) for name in names]
                + slower[: 1 + (LEAST in names)]
            )
        compared = ["lightning / ours", "lightning / answering 0"][: 1 + (LEAST in names)]
        yield what.capitalize(), ["(n, k)", "amplitudes", "gates", *names, *compared], rows
    rows = []
    for cell in cells:
        times = cell["times"][VALUE]
        if ENGINE in times:
            engine = times[ENGINE]["median"]
            added = [times[TAPE]["median"] - engine, times[OURS]["median"] - times[LEAST]["median"] - engine]
            apart = f"{cell['apart']:.0e}" if cell["apart"] == cell["apart"] else ""
            rows.append([f"({cell['n']}, {cell['k']})", str(cell["gates"]), *map(signed, added), apart])
    columns = ["(n, k)", "gates", f"{TAPE} - engine", f"QNode - {LEAST} - engine", "gradients apart"]
    yield "What the device adds to the engine", columns, rows


def against(times: dict[str, Any], slow: str, fast: str) -> str:
    return f"{ratio(times[slow], times[fast]):.0f}" if slow in times and fast in times else ""


def signed(seconds: float) -> str:
    return f"{'-' if seconds < 0 else ''}{show_seconds(abs(seconds))}"


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
    repetitions: Annotated[int, typer.Option(help="Turns of every call.", min=1)] = 7,
    limit: Annotated[float, typer.Option(help="Seconds for the turns of one call.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    output: Annotated[Path | None, typer.Option(help="Keep the results in this file.")] = None,
    page: Annotated[
        bool, typer.Option("--page", help="Measure nothing: write the page from the kept results.")
    ] = False,
) -> None:
    """Time the device. Example: python docs/benchmarks/device.py --repetitions 3."""
    if page:
        render(output or RESULTS)
        return
    pin_threads(threads)
    where = environment(PACKAGES, seed=0) | {"repetitions": repetitions, "limit": limit}
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
