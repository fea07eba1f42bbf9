"""Question e: which map from numbers to rotations trains best, and from which start?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..contenders import Contender
from ..pages import Page
from ..profiles import Profile
from ..results import Results
from .comparison import compare
from .entries import Reached, contenders_of
from .figure_lines import Line, draw_lines
from .line_up import HEAD, QUIC, ours, text_tasks
from .picture import Bar
from .question import Question
from .tables import markdown_table

__all__ = ["MAPS"]

_MEASURES = ("jacobian",)
_CAYLEY = replace(QUIC, name="cayley")
_VARIANTS = (
    ours("exponential", QUIC.size, "second", options={"parameter_map": "exponential"}, measures=_MEASURES),
    ours("rbs, swap-network start", QUIC.size, "rival", options={"parameter_map": "rbs"}, measures=_MEASURES),
    ours(
        "rbs, all angles zero",
        QUIC.size,
        "control",
        options={"parameter_map": "rbs", "start": "zero"},
        measures=_MEASURES,
    ),
)
_DASHES = {"quic": "-", "second": "--", "rival": "-.", "control": ":"}


def _contenders(profile: Profile) -> list[Contender]:
    return contenders_of(profile, [HEAD, QUIC, *_VARIANTS], text_tasks(profile))


def _page(profile: Profile, results: Results) -> Page:
    compared = compare(results, profile, _CAYLEY, _VARIANTS, text_tasks(profile))
    if compared is None:
        return Page("Not measured yet.", "")
    found = [compared.reference, *compared.others]
    figures = {"e_maps": compared.figure()}
    body = ["![Scores of the maps, and their difference to Cayley's](e_maps.svg)\n", compared.table()]
    figures["e_losses"] = draw_lines(
        {f"{task}: mean of the seeds": (_losses(found, task), "step", "training loss") for task in compared.tasks[:2]}
    )
    body.append("![Training loss over the steps](e_losses.svg)\n")
    spectra = _spectra(found)
    if spectra:
        figures["e_jacobian"] = draw_lines(spectra)
        body += ["![Singular values of the Jacobian at the start and at the end](e_jacobian.svg)\n", _SPECTRA_NOTE]
        body.append(_conditions(found))
    verdict = " ".join([compared.sentences(), *_rank_sentences(found)])
    return Page(verdict, "\n".join(body), figures)


_SPECTRA_NOTE = (
    "The Jacobian is that of the numbers of a layer's first block -> A^T dA in so(n), an entry of the strict upper "
    "triangle counted once, for the first and the last adapted layer; the compounds multiply all of its singular "
    "values by one constant. Values below 1e-6 of the largest are drawn at zero and counted as lost directions.\n"
)


def _losses(found: Sequence[Reached], task: str) -> list[Line]:
    lines = []
    for one in found:
        runs = list(one.measured[task].runs.values())
        curves = list(zip(*(run.losses for run in runs), strict=True))
        steps = runs[0].cell.steps
        points = tuple(((i + 0.5) * steps / len(curves), Bar(float(np.mean(v)))) for i, v in enumerate(curves))
        lines.append(Line(one.entry.name, one.entry.role, points, _DASHES[one.entry.role]))
    return lines


def _mean_spectrum(one: Reached, when: str) -> np.ndarray | None:
    """Singular values by rank, the mean over tasks, seeds and layers."""
    found = [layer[when] for extra in one.extras("jacobian").values() for layer in extra["layers"]]
    return np.mean(np.array(found), axis=0) if found else None


def _spectra(found: Sequence[Reached]) -> dict[str, tuple[list[Line], str, str]]:
    panels: dict[str, tuple[list[Line], str, str]] = {}
    for when, title in (("start", "at the start"), ("end", "after training")):
        lines = []
        for one in found:
            values = _mean_spectrum(one, when)
            if values is not None:
                places = np.linspace(0, 1, len(values))
                points = tuple((float(x), Bar(float(v))) for x, v in zip(places, values, strict=True))
                lines.append(Line(one.entry.name, one.entry.role, points, _DASHES[one.entry.role]))
        if lines:
            panels[title] = (lines, "rank of the singular value, largest = 0, smallest = 1", "singular value")
    return panels


def _conditions(found: Sequence[Reached]) -> str:
    rows = []
    for one in found:
        row = [one.entry.name]
        for when in ("start", "end"):
            values = _mean_spectrum(one, when)
            if values is not None:
                lost = float(np.mean(values < 1e-6 * values.max()))
                kept = values[values >= 1e-6 * values.max()]
                row += [f"{100 * (1 - lost):.0f} %", f"{kept.max() / kept.min():.2f}"]
        rows.append(row)
    headings = ["", "rank at the start", "condition at the start", "rank at the end", "condition at the end"]
    return markdown_table(headings, [row for row in rows if len(row) == len(headings)]) + "\n"


def _rank_sentences(found: Sequence[Reached]) -> list[str]:
    sentences = []
    for one in found:
        start, end = _mean_spectrum(one, "start"), _mean_spectrum(one, "end")
        if start is None or end is None:
            continue
        rank, later = (float(np.mean(values >= 1e-6 * values.max())) for values in (start, end))
        if rank < 0.99:
            sentences.append(
                f"{one.entry.name} reaches {100 * rank:.0f} % of the directions of so(n) at the start and "
                f"{100 * later:.0f} % at the end."
            )
    return sentences


MAPS = Question(
    name="e_maps",
    title="Which map to rotations trains best, and from which start?",
    asks=(
        "Cayley's transform, the matrix exponential, and angles of a brickwork of RBS gates are maps of as many "
        "numbers onto rotations; all start at the identity. With all angles zero gates on the same wires share one "
        "generator, so that most directions are lost at first; from the swap network every pair of wires meets once. "
        "The Jacobian's singular values say how evenly a step of the numbers turns the features."
    ),
    contenders=_contenders,
    page=_page,
)
