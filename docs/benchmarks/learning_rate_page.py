"""The page of the learning rates, made of the runs that were kept: its tables, and its plots."""

import itertools
import math
import statistics
from dataclasses import dataclass
from typing import Any

import measure
from learning_rate_grid import MAPS, OPTIMISERS, PAIRS, RATES, course
from matplotlib.figure import Figure

PAGE = measure.PAGES.parent / "results" / "learning_rates.md"
WITHIN = 0.005


@dataclass(frozen=True)
class Curve:
    """What one map and optimiser reached on one task with one adapter: for each rate the values of all seeds."""

    rates: list[float]
    accuracies: list[list[float]]
    losses: list[list[float]]
    angles: list[float]

    @property
    def loss(self) -> list[float]:
        return [statistics.mean(values) for values in self.losses]

    @property
    def accuracy(self) -> list[float]:
        return [statistics.mean(values) for values in self.accuracies]

    @property
    def best(self) -> int:
        """The rate of the least loss, which is smoother than accuracy."""
        return self.loss.index(min(self.loss))

    @property
    def fitted(self) -> float:
        """The rate at the bottom of the parabola through the least loss and its neighbours."""
        at = self.best
        if not 0 < at < len(self.rates) - 1:
            return self.rates[at]
        left, middle, right = self.loss[at - 1 : at + 2]
        half = math.log10(self.rates[1] / self.rates[0]) / 2
        return self.rates[at] * 10 ** (half * (left - right) / (left - 2 * middle + right))

    @property
    def good(self) -> tuple[float, float]:
        """The least and the largest rate around the best accuracy that lose at most half a point."""
        least = max(self.accuracy) - WITHIN - 1e-9
        first = last = self.accuracy.index(max(self.accuracy))
        while first > 0 and self.accuracy[first - 1] >= least:
            first -= 1
        while last < len(self.rates) - 1 and self.accuracy[last + 1] >= least:
            last += 1
        return self.rates[first], self.rates[last]


def curve(results: list[dict[str, Any]], pair: tuple[str, str], name: str, optimiser: str) -> Curve:
    """Without rates, if it was not measured."""
    own = [one for one in results if course(one)[:4] == (*pair, name, optimiser)]
    rates = sorted({one["rate"] for one in own})
    by_rate = [[one for one in own if one["rate"] == rate] for rate in rates]
    return Curve(
        rates,
        [[one["accuracy"] for one in ones] for ones in by_rate],
        [[one["loss"] for one in ones] for ones in by_rate],
        [statistics.mean(one["angle"] for one in ones) for ones in by_rate],
    )


def write_page(results: dict[str, Any]) -> None:
    """The tables of docs/results/learning_rates.md, and its plots."""
    found, machine = results["runs"], results["environment"]
    for optimiser in OPTIMISERS:
        measure.between_markers(PAGE, optimiser, table(found, optimiser))
    measure.between_markers(PAGE, "summary", summary_table(found))
    text = (
        f"{machine['cpu']}, {machine['threads']} thread, {machine['date']}; "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        + f". {len(found)} runs, {sum(one['seconds'] for one in found) / 60:.0f} minutes on a busy machine."
    )
    measure.between_markers(PAGE, "machine", text)
    plot(found, "accuracy", "held-out accuracy, %", 100)
    plot(found, "loss", "held-out loss", 1)


def table(found: list[dict[str, Any]], optimiser: str) -> str:
    rows = []
    for pair, name in itertools.product(PAIRS, MAPS):
        own = curve(found, pair, name, optimiser)
        if not own.rates:
            continue
        reached = [f"{own.fitted:.1e}", f"{min(own.loss):.4f}", f"{own.angles[own.best]:.2f}"]
        ranges = [f"{100 * max(own.accuracy):.1f}", f"{own.good[0]:.1e} to {own.good[1]:.1e}"]
        losses = " ".join(f"{one - min(own.loss):.4f}".removeprefix("0") for one in own.loss)
        rows.append([", ".join(pair), f"`{name}`", str(len(own.losses[0])), *reached, losses, *ranges])
    columns = ("task, adapter", "map", "seeds", "best rate", "loss", "angle", f"loss more at {shown_rates()}")
    return measure.markdown_table((*columns, "accuracy, %", "within half a point"), rows)


def shown_rates() -> str:
    return ", ".join(f"{rate:.1e}" for rate in RATES)


def summary_table(found: list[dict[str, Any]]) -> str:
    """For each map and optimiser the mean of the best rates, and how much more loss than the best each rate has."""
    rows = []
    for optimiser, name in itertools.product(OPTIMISERS, MAPS):
        own = [one for pair in PAIRS if (one := curve(found, pair, name, optimiser)).rates]
        mean = 10 ** statistics.mean(math.log10(one.fitted) for one in own)
        behind = [statistics.mean(one.loss[at] - min(one.loss) for one in own) for at in range(len(RATES))]
        spent = [one for one in found if (one["parameter_map"], one["optimiser"]) == (name, optimiser)]
        share = statistics.median(one["optimizer_seconds"] / one["seconds"] for one in spent)
        losses = " ".join(f"{one:.4f}".removeprefix("0") for one in behind)
        rows.append([f"`{name}`", optimiser, str(len(own)), f"{mean:.1e}", losses, f"{100 * share:.0f}"])
    columns = ("map", "optimiser", "courses", "mean of the best rates", f"loss more than the best at {shown_rates()}")
    return measure.markdown_table((*columns, "time in the optimiser, %"), rows)


def plot(found: list[dict[str, Any]], key: str, label: str, unit: float) -> None:
    """A panel for each optimiser and pair, a line for each map: the mean over seeds, and their spread."""
    figure = Figure(figsize=(10, 5), dpi=130, layout="constrained")
    # The first panel that is made has the legend, beside it.
    for row, column in itertools.product(range(len(OPTIMISERS)), reversed(range(len(PAIRS)))):
        axes = figure.add_subplot(len(OPTIMISERS), len(PAIRS), row * len(PAIRS) + column + 1)
        task, adapter = PAIRS[column]
        for index, name in enumerate(MAPS):
            own = curve(found, PAIRS[column], name, OPTIMISERS[row])
            if not own.rates:
                continue
            values = [[unit * v for v in ones] for ones in (own.accuracies if key == "accuracy" else own.losses)]
            style = {"color": measure.COLOURS[index]}
            axes.plot(own.rates, [statistics.mean(v) for v in values], marker=measure.MARKERS[index], label=name,
                      linewidth=1.2, markersize=4, **style)  # fmt: skip
            axes.fill_between(own.rates, [min(v) for v in values], [max(v) for v in values], alpha=0.15, **style)
        axes.set(xscale="log")
        axes.set_title(f"{task}\n{adapter}" if row == 0 else "", fontsize=9)
        if row == len(OPTIMISERS) - 1:
            axes.set_xlabel("peak learning rate", fontsize=9)
        if column == 0:
            axes.set_ylabel(f"{OPTIMISERS[row]}\n{label}", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(linewidth=0.4, color="#cccccc")
        axes.spines[["top", "right"]].set_visible(False)
    measure.save_figure(figure, f"learning-rates-{key}")
