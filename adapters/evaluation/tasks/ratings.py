"""Tasks made of sentences whose sentiment many people rated."""

from __future__ import annotations

import html
import io
import tarfile
import zipfile
from pathlib import Path

from ..assets import SENTENCES, fetch
from .task import Task, divide, unique

__all__ = ["amazon_polarity", "editorial_valence", "movie_polarity", "tweet_polarity"]

_BUNDLE = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"
_NEUTRAL = 0.5  # ratings this close to zero say neither good nor bad
_TEST_SHARE = 0.2


def movie_polarity(cache: Path | None = None) -> Task:
    """Is a sentence of a movie review negative (0) or positive (1)?

    Twenty people rated each sentence between -4 and 4. Sentences whose mean rating lies within 0.5
    of zero are dropped as neutral, repeated texts are kept once, and a fixed permutation sets a
    fifth apart for the test: 8,033 sentences to train on and 2,008 to test on.

    Args:
        cache: folder of the offline assets; `assets.cache_folder()` by default.

    Raises:
        AssetError: the archive of sentences could not be fetched, or is not the pinned one.

    Reference:
        C. J. Hutto and E. Gilbert, VADER, ICWSM 2014 (the ratings behind it).
    """
    return _polarity("movie", "movie-review polarity", "movieReviewSnippets", cache)


def tweet_polarity(cache: Path | None = None) -> Task:
    """Is a tweet negative (0) or positive (1)? As `movie_polarity`."""
    return _polarity("tweets", "tweet polarity", "tweets", cache)


def amazon_polarity(cache: Path | None = None) -> Task:
    """Is a sentence of a product review negative (0) or positive (1)? As `movie_polarity`."""
    return _polarity("amazon", "product-review polarity", "amazonReviewSnippets", cache)


def editorial_valence(cache: Path | None = None) -> Task:
    """How positive is a sentence of a newspaper's editorial: the mean rating, between -4 and 4; all sentences."""
    rated = unique(_ratings("nytEditorialSnippets", cache))
    train, test = divide(rated, round(_TEST_SHARE * len(rated)))
    return Task("valence", "editorial valence", "text", "pearson", (), train, test, "all-MiniLM-L6-v2")


def _polarity(name: str, title: str, file: str, cache: Path | None) -> Task:
    rated = unique([(text, int(rating > 0)) for text, rating in _ratings(file, cache) if abs(rating) > _NEUTRAL])
    train, test = divide(rated, round(_TEST_SHARE * len(rated)))
    classes = ("negative", "positive")
    return Task(name, title, "text", "accuracy", classes, train, test, "all-MiniLM-L6-v2")


def _ratings(file: str, cache: Path | None) -> list[tuple[str, float]]:
    """(sentence, mean rating) of every sentence, in the order of the file."""
    name = f"hutto_ICWSM_2014/{file}_GroundTruth.txt"
    with zipfile.ZipFile(fetch(SENTENCES, cache)) as archive:
        bundle = archive.read(_BUNDLE)
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        member = tar.extractfile(name)
        if member is None:
            raise ValueError(f"{name} must be a file in {_BUNDLE}, got a folder")
        lines = member.read().decode("latin-1").splitlines()
    columns = [line.split("\t") for line in lines]
    return [(html.unescape(c[2].strip()), float(c[1])) for c in columns if len(c) >= 3]
