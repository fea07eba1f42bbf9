"""Question c: does nothing train without the first order, or was that the gradient of a determinant?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...plan import BlockPlan, plan_blocks
from ...rotation import Rotation
from ..contenders import Contender
from ..pages import Page
from ..profiles import Profile
from ..results import Results
from ..rivals import parse_size
from ..rivals.paper import DeterminantMap
from .entries import Entry, Reached, contenders_of, difference, judge, reached, words_of
from .figure_lines import Line, draw_lines
from .figure_rows import Row, draw_comparison
from .line_up import HEAD, ours, text_tasks
from .picture import Bar
from .question import Question
from .tables import comparison_table, markdown_table, missing_note

__all__ = ["ARTEFACT", "gradients_at_start"]

_ORDERS: tuple[tuple[int, ...], ...] = ((2,), (3,), (2, 3), (1, 2))
_BLOCKS = "n_blocks=16"  # with one block a step of the determinants takes minutes
_PAPER_RATE = (5e-3,)  # nothing depends on it where the gradient is zero


def _name(orders: Sequence[int]) -> str:
    return f"({', '.join(map(str, orders))})"


def _size(orders: Sequence[int]) -> str:
    return f"orders={'+'.join(map(str, orders))},{_BLOCKS}"


def _right(orders: tuple[int, ...]) -> Entry:
    return ours(f"QuIC {_name(orders)}", _size(orders))


def _paper(orders: tuple[int, ...]) -> Entry:
    rates = None if 1 in orders else _PAPER_RATE
    return Entry(f"determinants {_name(orders)}", "control", "paper", _size(orders), rates=rates)


_PAIRS = tuple((_right(orders), _paper(orders)) for orders in _ORDERS)
_ENTRIES = [entry for pair in _PAIRS for entry in pair]


def _contenders(profile: Profile) -> list[Contender]:
    return contenders_of(profile, [HEAD, *_ENTRIES], text_tasks(profile))


def gradients_at_start(orders: tuple[int, ...], features: int = 30, seed: int = 0) -> dict[str, float]:
    """The norm of the gradient of a random linear loss <G, R> at R = I, in three ways, in float64.

    Args:
        orders: of the adapter, one block.
        features: d.
        seed: of G.

    Returns:
        by our rotation, by the derivative of the paper's formula, and by central differences of that formula, which
        need no derivative of a determinant. The paper's array M holds each of our numbers twice, as
        (M_ij - M_ji) / 2: its gradient has 1/√2 of the norm of ours, which is put right here.
    """
    plan = plan_blocks(features, orders)
    weights = torch.randn(features, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return {
        "ours": float(_our_gradient(plan, weights).norm()),
        "determinants": 2**0.5 * float(_paper_gradient(plan, weights).norm()),
        "differences": 2**0.5 * float(_differences(plan, weights).norm()),
    }


def _our_gradient(plan: BlockPlan, weights: Tensor) -> Tensor:
    parameters = torch.zeros(plan.parameter_shape, dtype=torch.float64, requires_grad=True)
    turned = Rotation(plan, "cayley").apply(parameters, torch.eye(plan.features, dtype=torch.float64))
    return torch.autograd.grad((turned * weights).sum(), parameters)[0]


def _paper_gradient(plan: BlockPlan, weights: Tensor) -> Tensor:
    module = DeterminantMap(plan).double()
    turned = module(torch.eye(plan.features, dtype=torch.float64))
    return torch.autograd.grad((turned * weights).sum(), module.arrays)[0]


@torch.no_grad()
def _differences(plan: BlockPlan, weights: Tensor, step: float = 1e-5) -> Tensor:
    module = DeterminantMap(plan).double()
    unit = torch.eye(plan.features, dtype=torch.float64)
    gradient = torch.zeros_like(module.arrays)
    for place in range(gradient.numel()):
        values = []
        for sign in (1, -1):
            module.arrays.zero_().view(-1)[place] = sign * step
            values.append(float((module(unit) * weights).sum()))
        gradient.view(-1)[place] = (values[0] - values[1]) / (2 * step)
    return gradient


def _gradient_table() -> str:
    rows = []
    for orders in _ORDERS:
        found = gradients_at_start(orders)
        rows.append([_name(orders), *(f"{found[name]:.4f}" for name in ("differences", "ours", "determinants"))])
    return markdown_table(["orders", "central differences", "this library", "derivative of determinants"], rows)


def _page(profile: Profile, results: Results) -> Page:
    tasks = text_tasks(profile)
    everyone = reached(results, profile, [HEAD, *_ENTRIES], tasks)
    head, found = [o for o in everyone if o.entry == HEAD], [o for o in everyone if o.entry != HEAD]
    gradients = (
        "The norm of the gradient of one random linear function of R, at the start, in float64, 30 features and one "
        "block; constants of the parametrisations are taken out:\n\n" + _gradient_table() + "\n"
    )
    if not found or not head:
        return Page("Not measured yet.", gradients)
    probe = head[0]
    rows = [Row(one.entry.name, one.entry.role, one.bar(), difference(one, probe)) for one in found]
    figures = {"c_artefact": draw_comparison(rows, probe.bar(), "the head alone", "mean score, points")}
    losses = _losses(found)
    if losses:
        figures["c_losses"] = draw_lines(losses, height=2.7)
    body = [
        "![Scores of right gradients and of determinants, and their gain over the head alone](c_artefact.svg)\n",
        missing_note([e.name for e in _ENTRIES], found) + comparison_table([probe, *found], probe, tasks),
        "",
        _numbers(found),
        "## The gradient at the start\n",
        gradients,
    ]
    if losses:
        body.append("![Training loss over the steps, for both](c_losses.svg)\n")
    return Page(_verdict(found, probe), "\n".join(body), figures)


def _losses(found: Sequence[Reached]) -> dict[str, tuple[list[Line], str, str]]:
    """Mean training loss of each stretch of steps on the first task, without the first order, for both formulas."""
    panels: dict[str, tuple[list[Line], str, str]] = {}
    by_entry = {one.entry: one for one in found}
    for right, paper in _PAIRS[:2]:
        lines = []
        for entry, dash in ((right, "-"), (paper, "--")):
            if entry in by_entry:
                task, measured = next(iter(by_entry[entry].measured.items()))
                runs = list(measured.runs.values())
                steps = runs[0].cell.steps
                curves = list(zip(*(run.losses for run in runs), strict=True))
                points = tuple(
                    ((i + 0.5) * steps / len(curves), Bar(sum(values) / len(values)))
                    for i, values in enumerate(curves)
                )
                lines.append(Line(entry.name, entry.role, points, dash))
        if lines:
            panels[f"orders {right.name.removeprefix('QuIC ')}, {task}"] = (lines, "step", "training loss")
    return panels


def _numbers(found: Sequence[Reached]) -> str:
    """The count that the paper's tables use, beside the dimension of what it parametrises."""
    by_entry = {one.entry: one for one in found}
    both = [(by_entry[a], by_entry[b]) for a, b in _PAIRS if a in by_entry and b in by_entry]
    if not both:
        return ""
    words = "; ".join(f"{b.entry.name} {b.numbers():,}, of which {a.numbers():,} count" for a, b in both)
    return (
        f"The formula trains an n × n array and uses its skew part alone: {words}. The other half has no effect, "
        "and a table of parameters that lists n² lists each twice.\n"
    )


def _verdict(found: Sequence[Reached], probe: Reached) -> str:
    """Whether determinants without the first order gain nothing over the probe, and right gradients do."""
    by_entry = {one.entry: one for one in found}
    idle, cured, words = [], [], []
    for right, paper in _PAIRS:
        if right not in by_entry or paper not in by_entry or 1 in _orders_of(right):
            continue
        of_paper, gain = difference(by_entry[paper], probe), difference(by_entry[right], probe)
        idle.append(judge(of_paper) != "better")
        cured.append(judge(gain) == "better")
        words.append(f"orders {_name(_orders_of(right))}: {words_of(of_paper)} and {words_of(gain)}")
    if not words:
        return "Not measured yet."
    sentence = (
        f"Gain over the head alone without the first order, determinants and right gradients, {'; '.join(words)}."
    )
    if not all(idle):
        return f"{sentence} Determinants do gain over the head alone here: look closer."
    if all(cured):
        return f"{sentence} Determinants train nothing and right gradients do: the published finding is the artefact."
    return (
        f"{sentence} Determinants train nothing; right gradients show a gain in {sum(cured)} of {len(cured)} cases."
    )


def _orders_of(entry: Entry) -> tuple[int, ...]:
    orders: tuple[int, ...] = parse_size(entry.size)["orders"]
    return orders


ARTEFACT = Question(
    name="c_artefact",
    title="Does nothing train without the first order?",
    asks=(
        "The paper reports that adapters without order 1 do not learn. Its reference formula computes minors with "
        "`torch.linalg.det`, whose derivative is exactly zero at an exactly singular minor, and at the identity all "
        "minors that matter are singular. So here is that formula, and beside it the same adapter with right "
        "gradients: same orders, 16 blocks, same steps and data. If the formula equals the head alone and the other "
        "does not, the finding was an artefact."
    ),
    contenders=_contenders,
    page=_page,
)
