"""Print the numbers of vectors where methods overtake each other: python docs/benchmarks/limits.py --help.

They come from the cells of dispatch.py and are the table in qicircuits/engine/limits.py.
"""

import math
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer
from measure import read_json

FIRST_AND_SECOND = (
    ("COMPOUND", "apply_layout", "gates", "compound"),
    ("ROTATION", "compound_apply", "modes", "rotation"),
    ("DENSE", "compound_apply", "modes", "dense"),
    ("DENSE_NOT_ROTATION", "compound_apply", "rotation", "dense"),
)
COLUMNS = [(passes, dtype) for passes in ("forward", "training") for dtype in ("float32", "float64")]


def limit(points: dict[int, float]) -> float:
    """The number of vectors from which the second method is taken, at the least loss over all points in all.

    Args:
        points: for every number of vectors the time of the first method over that of the second.

    Returns:
        where the ratio crosses 1 between two numbers of vectors, on a line through its logarithms; 1 where the
        second method is always taken, and infinity where it never is.
    """
    counts = sorted(points)
    logs = [math.log(points[count]) for count in counts]

    def lost(index: int) -> float:
        return sum(max(log, 0) for log in logs[:index]) + sum(max(-log, 0) for log in logs[index:])

    index = min(range(len(counts) + 1), key=lost)
    if index in (0, len(counts)):
        return 1 if index == 0 else math.inf
    before, after = min(logs[index - 1], -1e-9), max(logs[index], 1e-9)
    part = before / (before - after)
    return counts[index - 1] ** (1 - part) * counts[index] ** part


def main(
    cells: Annotated[Path, typer.Argument(help="What dispatch.py --json printed, numbers of vectors doubling.")],
) -> None:
    """Print the limits. Example: python docs/benchmarks/limits.py cells.json."""
    times: dict[tuple[str, int, int, str, str], dict[int, dict[str, float]]] = defaultdict(dict)
    for cell in read_json(cells)["cells"]:
        if cell["circuit"] != "pyramid":
            continue
        key = cell["function"], cell["order"], cell["n"], cell["passes"], cell["dtype"]
        times[key][cell["vectors"]] = {name: one["min"] for name, one in cell["seconds"].items()}
    sectors = sorted({(order, n) for _, order, n, *_ in times})
    for name, function, first, second in FIRST_AND_SECOND:
        print(f"{name}: from how many vectors on {second} is faster than {first}, {COLUMNS}")
        for order, n in sectors:
            rows = [times[function, order, n, passes, dtype] for passes, dtype in COLUMNS]
            ratios = [
                {count: one[first] / one[second] for count, one in row.items() if {first, second} <= set(one)}
                for row in rows
            ]
            if all(ratios):
                print(f"    ({order}, {n}):", ", ".join(f"{limit(one):.2g}" for one in ratios))


if __name__ == "__main__":
    typer.run(main)
