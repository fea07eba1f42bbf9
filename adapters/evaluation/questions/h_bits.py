"""Question h: with how few bits a number can a trained adapter be stored?"""

from __future__ import annotations

from statistics import fmean

from ..contenders import Contender
from ..pages import Page
from ..profiles import Profile
from ..results import Results
from ..statistics import Interval, paired_difference
from .entries import Reached, contenders_of, in_points, judge, reached, spread_within, words_of
from .figure_lines import Line, draw_lines
from .line_up import HEAD, LORA, QUIC, text_tasks
from .picture import Bar
from .question import Question
from .tables import markdown_table

__all__ = ["BITS_QUESTION"]


def _contenders(profile: Profile) -> list[Contender]:
    return contenders_of(profile, [HEAD, QUIC, LORA], text_tasks(profile))


def _scores(one: Reached, bits: str) -> dict[tuple[str, int], float]:
    """Score by (task, seed) of the packed adapter, in points."""
    return {
        pair: in_points(extra[bits]["score"], one.measured[pair[0]].first().metric)
        for pair, extra in one.extras("packing").items()
    }


def _bytes(one: Reached, bits: str) -> float:
    return fmean(extra[bits]["bytes"] for extra in one.extras("packing").values())


def _page(profile: Profile, results: Results) -> Page:
    found = reached(results, profile, [QUIC], text_tasks(profile))
    if not found or not found[0].extras("packing"):
        return Page("Not measured yet.", "")
    one = found[0]
    widths = sorted((int(bits) for bits in next(iter(one.extras("packing").values()))), reverse=True)
    probe = reached(results, profile, [HEAD], text_tasks(profile))
    rows, losses = [], {}
    for bits in widths:
        scores = _scores(one, str(bits))
        losses[bits] = paired_difference(scores, _scores(one, str(widths[0])))
        bar = spread_within(scores)
        change = "reference" if bits == widths[0] else f"{_fine(losses[bits])}, {_kept(losses[bits])}"
        rows.append([str(bits), f"{_bytes(one, str(bits)):,.0f}", f"{bar.mean:.1f} ± {bar.half:.1f}", change])
    table = markdown_table(["bits", "bytes of the numbers", "mean score", f"against {widths[0]} bits"], rows)
    panels = _panels(one, losses, probe)
    ticks = {title: [x for x, _ in lines[0].points] for title, (lines, _, _) in panels.items()}
    figure = draw_lines(panels, logarithmic=(True, False), ticks=ticks)
    body = f"![Score by the bits of a number, and by the bytes](h_bits.svg)\n\n{_NOTE}\n\n{table}\n"
    return Page(_verdict(losses, widths, one, profile, results), body, {"h_bits": figure})


_NOTE = (
    "One adapter trained as usual, its numbers rounded afterwards as `quic pack` does, measured again on the same "
    "test examples; the head stays in float32. Bytes are those of the numbers alone, without names and the head. "
    "Bars are 95 % intervals of the paired loss."
)


def _panels(
    one: Reached, losses: dict[int, Interval], probe: list[Reached]
) -> dict[str, tuple[list[Line], str, str]]:
    """Scores by bits and by bytes; the bars are those of the paired loss against the widest."""
    bars = {
        bits: Bar(spread_within(_scores(one, str(bits))).mean, loss.high - loss.mean) for bits, loss in losses.items()
    }
    ascending = sorted(losses)
    by_bits = [Line(one.entry.name, "quic", tuple((float(bits), bars[bits]) for bits in ascending))]
    sizes = {bits: _bytes(one, str(bits)) for bits in ascending}
    by_bytes = [Line(one.entry.name, "quic", tuple((sizes[bits], bars[bits]) for bits in ascending))]
    if probe:
        level = Bar(probe[0].bar().mean)
        by_bits.append(Line("head only", "probe", tuple((float(bits), level) for bits in ascending), "--"))
        by_bytes.append(Line("head only", "probe", tuple((sizes[bits], level) for bits in ascending), "--"))
    vertical = "mean score, points"
    return {
        "by the width of a number": (by_bits, "bits", vertical),
        "by the size": (by_bytes, "bytes of the numbers", ""),
    }


def _fine(interval: Interval) -> str:
    """Two digits: what rounding costs is small."""
    return f"{interval.mean:+.2f} ± {interval.high - interval.mean:.2f}"


def _kept(interval: Interval) -> str:
    return "no loss shown" if not interval.excludes_zero() or interval.mean > 0 else "worse"


def _verdict(losses: dict[int, Interval], widths: list[int], one: Reached, profile: Profile, results: Results) -> str:
    free = [bits for bits in widths[1:] if _kept(losses[bits]) == "no loss shown"]
    paid = [bits for bits in widths[1:] if bits not in free]
    parts = []
    if free:
        parts.append(f"Rounding to {', '.join(map(str, free))} bits shows no loss")
    parts += [f"{bits} bit{'s' * (bits > 1)} cost{'s' * (bits == 1)} {_fine(losses[bits])} points" for bits in paid]
    sentence = "; ".join(parts) + "."
    rival = reached(results, profile, [LORA], text_tasks(profile))
    least = min(free, default=widths[0])
    if rival:
        apart = paired_difference(_scores(one, str(least)), rival[0].scores)
        sentence += (
            f" With {least} bits its numbers take {_bytes(one, str(least)):,.0f} bytes, LoRA r=8 in float32 "
            f"{rival[0].n_bytes():,}: {words_of(apart)}, {judge(apart)}."
        )
    return sentence


BITS_QUESTION = Question(
    name="h_bits",
    title="With how few bits can an adapter be stored?",
    asks=(
        "The numbers of an adapter are rounded to 16, 8, 4 and 1 bit after training. A rotation stays a rotation, "
        "whatever its numbers are rounded to; the question is whether it stays the same one closely enough."
    ),
    contenders=_contenders,
    page=_page,
)
