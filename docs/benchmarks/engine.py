"""Time one Hamming-weight circuit in our engine and in its peers: python docs/benchmarks/engine.py --help.

Three parts: one float64 vector through a pyramid; the gradient of an expectation towards all its angles; 1,024
float32 vectors. Every rival's answer is compared with ours first, and a wrong one is not timed. The rivals take turns
in one process; see rivals.py for what a call holds.
"""

import json
import math
import resource
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from measure import (
    between_markers,
    environment,
    in_turns,
    markdown_table,
    pin_threads,
    plot_bars,
    print_table,
    ratio,
    read_json,
    show_spread,
    summary,
    write_json,
)
from rich.console import Console
from rich.progress import track
from rivals import Problem, Rival, gradients, states, vectors

RESULTS = Path(__file__).parent / "results" / "engine.json"
PAGE = Path(__file__).with_suffix(".md")
PACKAGES = ("torch", "numba", "numpy", "ffsim", "qibo", "pennylane", "pennylane_lightning")
SIZES = [(8, 2), (12, 3), (16, 4), (20, 5), (24, 6), (44, 2), (64, 2), (128, 2), (1000, 2)]
VECTOR_SIZES = [(44, 2), (24, 3), (16, 4)]
N_VECTORS = 1024
# part: (sizes, shape of the batch, dtype, rivals, largest deviation from our answer)
PARTS = {
    "state": (SIZES, (), torch.float64, states, 1e-10),
    "gradient": (SIZES, (), torch.float64, gradients, 1e-10),
    "vectors": (VECTOR_SIZES, (N_VECTORS,), torch.float32, vectors, 1e-5),
}
OURS_BY_ANGLES = ("apply_layout auto", "apply_layout gates", "apply_layout compound")
OURS_BY_MATRIX = (
    "compound_apply auto",
    "compound_apply modes",
    "compound_apply rotation",
    "compound_apply dense",
)
FFSIM = ("ffsim kernel", "ffsim gates")
# title: (part, rivals)
TABLES = {
    "One state, pyramid given by its angles": (
        "state",
        (*OURS_BY_ANGLES, *FFSIM, "qibo", "lightning.qubit", "default.qubit"),
    ),
    "One state, pyramid given by its matrix": ("state", (*OURS_BY_MATRIX, "ffsim orbital rotation")),
    "Gradient of ⟨Z⟩ towards all angles": (
        "gradient",
        (*OURS_BY_ANGLES, "lightning adjoint", "default.qubit backprop"),
    ),
    "1,024 vectors, float32": ("vectors", (*OURS_BY_ANGLES, *OURS_BY_MATRIX, "C_k given", "torch.linalg.det")),
}
PLOTS = {
    "state": (
        "apply_layout auto",
        "compound_apply auto",
        "ffsim kernel",
        "ffsim orbital rotation",
        "qibo",
        "lightning.qubit",
        "default.qubit",
    ),
    "gradient": ("apply_layout auto", "lightning adjoint", "default.qubit backprop"),
    "vectors": ("apply_layout auto", "compound_apply auto", "C_k given", "torch.linalg.det"),
}
# part, ours, rival, {size: at least so many times as fast}; one size stands for all
TARGETS: list[tuple[str, str, str, dict[tuple[int, int], float]]] = [
    ("state", "apply_layout auto", "ffsim kernel", dict.fromkeys(SIZES, 3.0)),
    ("state", "apply_layout auto", "ffsim orbital rotation", dict.fromkeys(SIZES, 10.0)),
    ("state", "compound_apply auto", "ffsim orbital rotation", dict.fromkeys(SIZES, 10.0)),
    ("gradient", "apply_layout auto", "lightning adjoint", {(16, 4): 100.0, (20, 5): 500.0}),
    ("vectors", "apply_layout auto", "C_k given", {(44, 2): 4.0, (24, 3): 6.0, (16, 4): 6.0}),
    ("vectors", "compound_apply auto", "C_k given", {(44, 2): 4.0, (24, 3): 6.0, (16, 4): 6.0}),
]

Results = dict[str, Any]


def measure_cell(part: str, size: tuple[int, int], repetitions: int, limit: float, seed: int) -> Results:
    """The times of all rivals of one part at one size, how far their answers are from ours, and who takes no part."""
    _, batch, dtype, groups, tolerance = PARTS[part]
    problem = Problem.random(*size, batch, dtype, seed)
    calls: dict[str, Callable[[], object]] = {}
    agreement, notes = {}, {}
    reference: np.ndarray | None = None
    for rival, built in _rivals(groups(problem), notes):
        try:
            answer = np.asarray(built.read(built.call()))
        except Exception as error:  # whatever another package, or the memory, says no with is the finding
            notes[rival] = f"{type(error).__name__}: {error}".splitlines()[0][:120]
            continue
        if reference is None:  # ours, gate by gate: `_rivals` gives it first
            reference = answer
        agreement[rival] = float(np.abs(answer - reference).max())
        if agreement[rival] <= tolerance:
            calls[rival] = built.call
        else:
            notes[rival] = f"not timed: differs from ours by {agreement[rival]:.1e}"
    seconds = {rival: summary(times) for rival, times in in_turns(calls, repetitions, limit=limit).items()}
    n, order = size
    where = {"part": part, "n": n, "order": order, "dim": math.comb(n, order), "gates": problem.layout.n_gates}
    return where | {"seconds": seconds, "agreement": agreement, "notes": notes}


def _rivals(
    groups: Mapping[str, Callable[[], dict[str, Rival]]], notes: dict[str, str]
) -> Iterator[tuple[str, Rival]]:
    """Every rival that can be built, ours gate by gate first; `notes` says why others cannot."""
    for group, build in groups.items():
        try:
            built = build()
        except ModuleNotFoundError as error:
            notes[group] = f"not installed: {error.name}"
        except MemoryError as error:
            notes[group] = f"takes part for {error}"
        else:
            yield from sorted(built.items(), key=lambda item: item[0] != "apply_layout gates")


def tables(results: Results) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Title, columns and rows of every table that something was measured for."""
    for title, (part, rivals) in TABLES.items():
        cells = [cell for cell in results["cells"] if cell["part"] == part]
        shown = [rival for rival in rivals if any(rival in cell["seconds"] for cell in cells)]
        rows = [
            [f"({cell['n']}, {cell['order']})", *(show_spread(cell["seconds"].get(rival)) for rival in shown)]
            for cell in cells
        ]
        if rows:
            yield title, ["(n, k)", *shown], rows


def targets(results: Results) -> list[list[str]]:
    """Every target whose rival was measured: who, where, how many times as fast, and whether reached."""
    cells = {(cell["part"], cell["n"], cell["order"]): cell["seconds"] for cell in results["cells"]}
    rows = []
    for part, ours, rival, wanted in TARGETS:
        for size, factor in wanted.items():
            seconds = cells.get((part, *size), {})
            if rival in seconds:
                found = ratio(seconds[rival], seconds[ours]) if ours in seconds else 0.0
                verdict = "reached" if found >= factor else "not reached"
                measured = f"{found:.3g}×" if found else "no answer"
                rows.append([f"{part} {size}: {ours} against {rival}", f"{factor:g}×", measured, verdict])
    return rows


def notes(results: Results) -> list[str]:
    """Who takes no part and why, the sizes gathered, and the largest deviation of the others."""
    why: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for cell in results["cells"]:
        for rival, note in cell["notes"].items():
            rivals, sizes = why.setdefault((cell["part"], note), ({}, {}))
            rivals[rival] = sizes[f"({cell['n']}, {cell['order']})"] = None
    lines = [
        f"{part}, at {', '.join(sizes)} without {', '.join(rivals)}: {note}."
        for (part, note), (rivals, sizes) in why.items()
    ]
    for part in PARTS:
        worst = [max(cell["agreement"].values()) for cell in results["cells"] if cell["part"] == part]
        if worst:
            lines.append(f"{part}: answers differ by {max(worst):.0e} at most.")
    return lines


def render(path: Path) -> None:
    """Write the page's tables and the plots from the results of all thread counts."""
    text = []
    for threads, results in sorted(read_json(path).items()):
        machine = results["environment"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        text.append(
            f"## Threads: {threads}\n\n{machine['cpu']}, {machine['cores']} cores, Python "
            f"{machine['python']}, {versions}; commit {machine['commit']}, {machine['date']}, load at the start "
            f"{machine['load']}, seed {machine['seed']}."
        )
        rows = targets(results)
        if rows:
            text.append("### Targets\n\n" + markdown_table(["", "target", "measured", ""], rows))
        text += [f"### {title}\n\n" + markdown_table(columns, rows) for title, columns, rows in tables(results)]
        text.append("\n".join(f"- {line}" for line in notes(results)))
        for part, rivals in PLOTS.items():
            groups = {
                f"({cell['n']}, {cell['order']})": {name: times[name] for name in rivals if name in times}
                for cell in results["cells"]
                if cell["part"] == part and (times := cell["seconds"])
            }
            if groups:
                title = f"{part} at (n, k), threads: {threads}"
                plot_bars(f"engine-{part}-{threads}", title, groups, (6 + 0.6 * len(groups), 3.6))
                text.append(f"![{title}](../images/benchmarks/engine-{part}-{threads}.svg)")
    between_markers(PAGE, "results", "\n\n".join(text))


def main(
    threads: Annotated[int, typer.Option(help="Threads of every rival.", min=1)] = 1,
    repetitions: Annotated[int, typer.Option(help="Turns of every rival.", min=1)] = 11,
    limit: Annotated[float, typer.Option(help="Seconds for the turns of one rival in one cell.")] = 1.0,
    sizes: Annotated[str, typer.Option(help='Only these, as "16,4 44,2".')] = "",
    parts: Annotated[str, typer.Option(help="Only these of the parts, with spaces between.")] = " ".join(PARTS),
    seed: Annotated[int, typer.Option(help="Seed of angles and vectors.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    output: Annotated[Path | None, typer.Option(help="Keep the results in this file, beside other threads'.")] = None,
    page: Annotated[
        bool, typer.Option("--page", help="Measure nothing: page and plots from the kept results.")
    ] = False,
) -> None:
    """Time our engine and its peers. Example: python docs/benchmarks/engine.py --threads 2 --sizes "16,4 44,2"."""
    if page:
        render(output or RESULTS)
        return
    pin_threads(threads)
    _refuse_more_than_half_of_the_memory()
    wanted = [tuple(map(int, size.split(","))) for size in sizes.split()]
    jobs = [(part, size) for part in parts.split() for size in PARTS[part][0] if not wanted or size in wanted]
    results: Results = {"environment": environment(PACKAGES, seed) | {"repetitions": repetitions, "limit": limit}}
    results["cells"] = [
        measure_cell(part, size, repetitions, limit, seed)
        for part, size in track(jobs, "Cells", console=Console(stderr=True))
    ]
    if output:
        write_json(output, (read_json(output) if output.exists() else {}) | {str(threads): results})
    if as_json:
        print(json.dumps(results))
        return
    for title, columns, rows in tables(results):
        print_table(f"{title} (threads: {threads})", columns, rows)
    print_table("Targets", ["", "target", "measured", ""], targets(results))
    print("\n".join(notes(results)))


def _refuse_more_than_half_of_the_memory() -> None:
    """A method that asks for more fails at once, and is noted, where the machine would have swapped or killed us."""
    half = int(Path("/proc/meminfo").read_text("utf-8").split()[1]) * 512
    resource.setrlimit(resource.RLIMIT_DATA, (half, resource.RLIM_INFINITY))


if __name__ == "__main__":
    typer.run(main)
