"""A page of the laboratory's report: one question, its figures and its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from matplotlib.figure import Figure

__all__ = ["Page"]


@dataclass(frozen=True)
class Page:
    """What a question's cells say, in Markdown; `report` adds the question's title and the state of the cells.

    Args:
        verdict: the answer, in one to three sentences computed from the numbers; printed first, and in the index.
        body: tables, figures (`![what is seen](NAME.svg)`) and what else there is to say.
        figures: by NAME; written as NAME.svg beside the page.
    """

    verdict: str
    body: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
