"""Cost the paper's three models: python docs/benchmarks/resources.py prints the tables, --page writes them.

Nothing is measured: every number follows from the shapes below and the assumptions that are printed. The shapes are
those of the public configurations; every linear layer is adapted on its output side, with orders (1, 2).
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import typer
from measure import IMAGES, between_markers, markdown_table, show_seconds
from pennylane import estimator

from adapters.plan import BlockPlan, plan_blocks
from qicircuits import brickwork, pyramid, subspace_dim
from qicircuits.circuits.loaders import direct_sum_loader
from qicircuits.drawing import draw_resources
from qicircuits.resources import (
    IONS,
    SUPERCONDUCTING,
    Assumptions,
    BlockGroup,
    Machine,
    Report,
    closed_form,
    crossovers,
    estimate,
    t_per_rotation,
    task_seconds,
)

PAGE = Path(__file__).parents[1] / "results" / "resources.md"
ORDERS = (1, 2)
# Name: blocks N, transformer layers, and for each number of output features how many linear layers have it.
MODELS = {
    "DeBERTaV3-base": (3, 12, {768: 5, 3072: 1}),
    "DINOv2-large": (3, 24, {1024: 5, 4096: 1}),
    "LLaMA-7B": (4, 32, {4096: 5, 11008: 2}),
}
MACHINES = (SUPERCONDUCTING, IONS)
Rows = list[list[str]]


def plans(model: str) -> list[tuple[BlockPlan, int]]:
    """The plan of each shape of layer, and how many layers have it."""
    n_blocks, depth, shapes = MODELS[model]
    return [(plan_blocks(d, ORDERS, n_blocks=n_blocks), depth * count) for d, count in shapes.items()]


def cost(model: str, machine: Machine) -> Report:
    """The estimate of all blocks of a model."""
    groups = [
        BlockGroup(brickwork(plan.n), plan.orders, layers * plan.n_blocks, f"{plan.features} features")
        for plan, layers in plans(model)
    ]
    return estimate(groups, assumptions=Assumptions(machine=machine))


def blocks() -> tuple[tuple[str, ...], Rows]:
    """One circuit of each shape."""
    rows = []
    for model in MODELS:
        for (plan, layers), circuit in zip(plans(model), cost(model, SUPERCONDUCTING).circuits, strict=True):
            counts = circuit.counts
            sizes = [plan.features, layers, circuit.copies, plan.n, plan.sectors[-1][2], counts.gates["CNOT"]]
            sizes += [counts.depth, counts.two_qubit_depth, circuit.t_count]
            rows.append([model, *(f"{size:,}" for size in sizes)])
    return ("model", "d", "layers", "circuits", "n", "D", "CNOT, RY, H each", "depth", "CNOT depth", "T count"), rows


def totals() -> tuple[tuple[str, ...], Rows]:
    """One token through all blocks of a model."""
    rows = []
    for model in MODELS:
        reports = [cost(model, machine) for machine in MACHINES]
        flops = sum(c.copies * sum(s.paths[0].flops for s in c.sectors) for c in reports[0].circuits)
        numbers = sum(plan.n_parameters * layers for plan, layers in plans(model))
        first = [f"{each:,}" for each in (numbers, reports[0].n_circuits, reports[0].two_qubit_gates)]
        times = [long_time(report.quantum_seconds) for report in reports]
        ratio = f"{reports[0].quantum_seconds / reports[0].classical_seconds:.1e}"
        shots = f"{reports[0].shots:.1e}"
        classical = show_seconds(reports[0].classical_seconds)
        rows.append([model, *first, f"{reports[0].t_count:.1e}", shots, *times, f"{flops:.1e}", classical, ratio])
    quantum = [f"circuits, {machine.name}" for machine in MACHINES]
    names = ("model", "trained numbers", "circuits", "CNOT", "T count", "runs")
    return (*names, *quantum, "flops", "classical, one core", "superconducting / classical"), rows


def crossing() -> tuple[tuple[str, ...], Rows]:
    """From where on a circuit would take less time, for the widths of the models' blocks."""
    widths = sorted({plan.n for model in MODELS for plan, _ in plans(model)})
    rows = []
    for n in (widths[0], widths[-1]):
        for c in crossovers(n, max(ORDERS), Assumptions()):
            here = f"never, to k = {n // 2}" if c.order_here is None else f"from k = {c.order_here}"
            wires = "never, to n = 1,048,576" if c.wires_here is None else f"from n = {c.wires_here:,}"
            times = [long_time(c.quantum_seconds), show_seconds(c.classical_seconds)]
            rows.append([c.task, str(n), *times, here, wires])
    return ("task", "n", "circuit, k = 2", "classical, k = 2", "order, at this n", "wires, at k = 2"), rows


def growth() -> tuple[tuple[str, ...], Rows]:
    """How many times as long as the classical engine a circuit takes for a whole vector."""
    sizes = (16, 64, 256, 1024, 4096)
    rows = []
    for order in (1, 2, 3, 4):
        times = [task_seconds("vector", n, order, Assumptions()) for n in sizes]
        rows.append([f"k = {order}", *(f"{quantum / classical:.1e}" for quantum, classical in times)])
    return ("circuit / classical", *(f"n = {n:,}" for n in sizes)), rows


def loading() -> tuple[tuple[str, ...], Rows]:
    """Our loader of all sectors of a block against the bound that the times of a vector have in them."""
    rows = []
    for n in (5, 8, 12, 22):
        dim = sum(subspace_dim(n, order) for order in ORDERS)
        loader = direct_sum_loader([1.0] * dim, ORDERS, wires=range(n))
        counts = estimate(loader).circuits[0].counts
        depth = 2 * math.ceil((dim - 1) / (n // 2))
        sizes = (n, dim, counts.two_qubit_gates, 2 * (dim - 1), counts.two_qubit_depth, depth)
        rows.append([f"{size:,}" for size in sizes])
    return ("n", "D", "CNOT, our loader", "at least", "CNOT depth, our loader", "at least"), rows


def rotations() -> tuple[tuple[str, ...], Rows]:
    """T counts of one real n x n rotation."""
    rows = []
    for n in (8, 22, 44, 90):
        ours = closed_form(pyramid(n)).rotations * t_per_rotation(1e-9)
        theirs = estimator.estimate(estimator.BasisRotation(n)).gate_counts["T"]
        rows.append([str(n), f"{ours:,}", f"{theirs:,}", f"{theirs / ours:.2f}"])
    return ("n", "pyramid of RBS", "BasisRotation", "ratio"), rows


def long_time(seconds: float) -> str:
    """A time from nanoseconds to years."""
    for scale, unit in ((31557600.0, "years"), (86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return show_seconds(seconds)


TABLES: dict[str, Callable[[], tuple[tuple[str, ...], Rows]]] = {
    "One circuit of each shape": blocks,
    "One token through a model": totals,
    "Where a circuit would take less time": crossing,
    "A whole vector, as the number of wires grows": growth,
    "Loading the sectors of orders 1 and 2": loading,
    "T counts of a real rotation, 1e-9 a gate": rotations,
}


def main(
    page: Annotated[bool, typer.Option(help="Write the tables and the picture into the documentation.")] = False,
) -> None:
    """Print what the circuits of three models cost. Example: python docs/benchmarks/resources.py."""
    parts = [f"### {title}\n\n{markdown_table(*table())}" for title, table in TABLES.items()]
    parts.append("### Assumptions\n\n" + "\n".join(f"- {each}" for each in Assumptions().sentences()))
    text = "\n\n".join(part.strip() for part in parts)
    if not page:
        print(text)
        return
    between_markers(PAGE, "results", text)
    axes = draw_resources(estimate(brickwork(44), orders=ORDERS))
    # Without dates and random names, so that the same numbers give the same file.
    with mpl.rc_context({"svg.hashsalt": "resources", "svg.fonttype": "none"}):
        axes.figure.savefig(IMAGES / "resources.svg", metadata={"Date": None})


if __name__ == "__main__":
    typer.run(main)
