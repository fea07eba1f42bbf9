"""Question: what is asked, which contenders answer it, and the page that their results make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..contenders import Contender
from ..pages import Page
from ..profiles import Profile
from ..results import Results

__all__ = ["Question"]


@dataclass(frozen=True)
class Question:
    """One question to the laboratory.

    Args:
        name: a letter and a word, "a_budget": of the page's file and its figures.
        title: in words, for the head of the page and the index.
        asks: what the page shows and why that answers the question, in Markdown, without numbers.
        contenders: who must run for it under a profile, the most important first.
        page: verdict, figures and tables from whatever results there are.
    """

    name: str
    title: str
    asks: str
    contenders: Callable[[Profile], list[Contender]]
    page: Callable[[Profile, Results], Page]
