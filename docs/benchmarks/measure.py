"""What the benchmark scripts share: rivals timed in turns, the machine written down, tables, pages and plots.

A script restarts itself with the threads pinned (`pin_threads`), times dictionaries of callables (`in_turns`), and
keeps what it found as one JSON object (`environment`, `write_json`), from which its page's tables (`between_markers`)
and its plots (`plot_bars`, `plot_lines`) are made again at any time. All times are in seconds.
"""

import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

__all__ = [
    "Summary",
    "between_markers",
    "environment",
    "in_turns",
    "markdown_table",
    "pin_threads",
    "plot_bars",
    "plot_lines",
    "print_table",
    "ratio",
    "read_json",
    "save_figure",
    "show_seconds",
    "show_spread",
    "summary",
    "write_json",
]

Summary = dict[str, float]

PAGES = Path(__file__).parent
IMAGES = PAGES.parent / "images" / "benchmarks"
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
# A turn lasts at least this long, and of calls that are repeated for it the first is not timed: it finds the caches
# as another rival left them, which made the same 0.8 ms take 1.5 ms.
SHORTEST_TURN = 1e-2
# Okabe and Ito's colours, apart for every common colour blindness; ours is always the first.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#000000", "#999999", "#a6761d")
MARKERS = "osD^vP*Xh"


def pin_threads(threads: int) -> None:
    """Run the script with this number of threads in torch and in every library that reads it as it loads.

    Most read it once, so a script whose environment says otherwise is started again: call this before anything else.
    """
    wanted = dict.fromkeys(THREAD_VARIABLES, str(threads))
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, os.environ | wanted)
    torch.set_num_threads(threads)


def in_turns(
    rivals: Mapping[str, Callable[[], object]],
    repetitions: int = 11,
    *,
    limit: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds a call of every turn, the rivals taking turns in one process, after one round to warm up.

    Their order is drawn anew for every round, for a rival can slow down the one after it, by threads that still wait.
    A turn repeats a short call until it lasts ten milliseconds. With `limit`, a rival has no further turn once its
    turns have taken that many seconds; one whose first call takes longer is not called again, and that is its time.
    On a machine that others use, too, `time.process_time` counts only what calls of one thread take themselves.
    """
    calls: dict[str, int] = {}
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for name, call in rivals.items():
        first = _seconds(call, 1, clock)
        if limit is not None and first > limit:
            times[name].append(first)
        else:
            calls[name] = max(1, round(SHORTEST_TURN / max(_seconds(call, 1, clock), 1e-9)))
    draw = random.Random(0)
    for _ in range(repetitions):
        for name, number in draw.sample(list(calls.items()), len(calls)):
            if limit is None or number * sum(times[name]) < limit:
                if number > 1:
                    rivals[name]()
                times[name].append(_seconds(rivals[name], number, clock) / number)
    return times


def _seconds(call: Callable[[], object], number: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(number):
        call()
    return clock() - start


def summary(times: Sequence[float]) -> Summary:
    """Smallest, quartiles, median and number of the times of one rival."""
    low, median, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else 3 * [times[0]]
    return {"min": min(times), "q1": low, "median": median, "q3": high, "runs": len(times)}


def ratio(slow: Summary, fast: Summary) -> float:
    """How many times as long one median is as another."""
    return slow["median"] / fast["median"]


def environment(packages: Sequence[str], seed: int) -> dict[str, Any]:
    """Where and with what something is measured; packages that are not installed are left out of the versions."""
    # Not above: it loads PEFT, which a script whose threads are yet to be pinned would do twice.
    from adapters.evaluation.machine import cpu_name, installed_versions

    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": installed_versions(packages),
        "seed": seed,
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _commit() -> str | None:
    """The commit that was measured, marked where tracked files differ from it; nothing outside a checkout."""
    try:
        described = subprocess.run(
            ("git", "describe", "--always", "--dirty", "--abbrev=8"), cwd=PAGES, capture_output=True, text=True
        )
    except OSError:
        return None
    return described.stdout.strip() or None


def write_json(path: Path, results: Mapping[str, Any]) -> None:
    """Keep what was measured; numbers with six digits, which is more than clocks give."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(results), indent=1) + "\n", "utf-8")


def read_json(path: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return results


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {str(key): _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def show_seconds(seconds: float) -> str:
    """At least three digits, with their unit: 12.3 µs, 4.56 ms, 1.20 s."""
    unit, size = next(((unit, size) for unit, size in (("s", 1.0), ("ms", 1e-3)) if seconds >= size), ("µs", 1e-6))
    scaled = seconds / size
    return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f} {unit}"


def show_spread(times: Summary | None) -> str:
    """The median, and in brackets the interquartile range in percent of it; empty for a rival that takes no part."""
    if times is None:
        return ""
    spread = f"{(times['q3'] - times['q1']) / times['median']:.0%}" if times["runs"] > 1 else "once"
    return f"{show_seconds(times['median'])} ({spread})"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same table for a page, its first column to the left and the others to the right."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (columns, rule, *rows))


def between_markers(page: Path, marker: str, text: str) -> None:
    """Put text between `<!-- marker -->` and `<!-- /marker -->` of a page, in the place of what stands there.

    Raises:
        ValueError: the page does not have both markers, once.
    """
    start, stop = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    old = page.read_text("utf-8")
    if old.count(start) != 1 or old.count(stop) != 1:
        raise ValueError(f"{page.name} must hold {start} and {stop} once each")
    head, rest = old.split(start)
    page.write_text(f"{head}{start}\n{text}\n{stop}{rest.split(stop)[1]}", "utf-8")


def plot_bars(name: str, title: str, groups: Mapping[str, Mapping[str, Summary]], size: tuple[float, float]) -> None:
    """Bars of the median time, on a logarithmic axis, side by side in named groups, with their quartiles.

    Args:
        name: of the files in docs/images/benchmarks, without ending.
        title: over the plot.
        groups: rivals' summaries in every group; a rival may be missing in some.
        size: of the figure, in inches.
    """
    labels = list(dict.fromkeys(label for rivals in groups.values() for label in rivals))
    width = 0.85 / len(labels)
    figure, axes = _axes(title, size)
    for index, label in enumerate(labels):
        at = [(place, rivals[label]) for place, rivals in enumerate(groups.values()) if label in rivals]
        axes.bar(
            [place + (index - (len(labels) - 1) / 2) * width for place, _ in at],
            [times["median"] for _, times in at],
            width,
            label=label,
            color=COLOURS[index % len(COLOURS)],
            yerr=_spread([times for _, times in at]),
            error_kw={"elinewidth": 0.8, "ecolor": "#444444"},
        )
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_yscale("log")
    save_figure(figure, name)


def plot_lines(
    name: str,
    title: str,
    x_label: str,
    series: Mapping[str, Sequence[tuple[float, Summary]]],
    size: tuple[float, float],
) -> None:
    """Lines of the median time over a number, both axes logarithmic, with their quartiles: see `plot_bars`."""
    figure, axes = _axes(title, size)
    for index, (label, points) in enumerate(series.items()):
        axes.errorbar(
            [x for x, _ in points],
            [times["median"] for _, times in points],
            yerr=_spread([times for _, times in points]),
            label=label,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            markersize=4,
            linewidth=1.2,
            capsize=2,
        )
    axes.set(xlabel=x_label, xscale="log", yscale="log")
    save_figure(figure, name)


def _axes(title: str, size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.set_ylabel("seconds (median, quartiles)")
    axes.grid(axis="y", linewidth=0.4, color="#cccccc")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _spread(points: Sequence[Summary]) -> list[list[float]]:
    low = [times["median"] - times["q1"] for times in points]
    return [low, [times["q3"] - times["median"] for times in points]]


def save_figure(figure: Figure, name: str) -> None:
    """As SVG and PNG; without dates and random names, so that the same numbers give the same files."""
    figure.axes[0].legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    IMAGES.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
        figure.savefig(IMAGES / f"{name}.png", metadata={"Software": None})
