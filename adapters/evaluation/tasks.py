"""Text classification tasks made of human-rated sentences."""

from __future__ import annotations

import html
import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .assets import SENTENCES, fetch

__all__ = ["Split", "TextTask", "movie_polarity"]

_BUNDLE = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"
_MOVIE_RATINGS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


@dataclass(frozen=True)
class Split:
    """Sentences and their class numbers, in a fixed order."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, count: int) -> Split:
        """The split cut down to its first `count` sentences."""
        return Split(self.texts[:count], self.labels[:count])

    def rest(self, count: int) -> Split:
        """The split without its first `count` sentences."""
        return Split(self.texts[count:], self.labels[count:])


@dataclass(frozen=True)
class TextTask:
    """A text classification task: names of the classes, training and test sentences."""

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split


def movie_polarity(cache: Path | None = None) -> TextTask:
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
    polarity: dict[str, int] = {}
    for text, rating in _movie_ratings(cache):
        if abs(rating) > 0.5:
            polarity.setdefault(text, int(rating > 0))
    sentences = list(polarity.items())
    order = np.random.RandomState(0).permutation(len(sentences))
    n_test = round(0.2 * len(sentences))
    return TextTask(
        name="movie-review polarity",
        classes=("negative", "positive"),
        train=_select(sentences, order[n_test:]),
        test=_select(sentences, order[:n_test]),
    )


def _select(sentences: list[tuple[str, int]], order: NDArray[np.int64]) -> Split:
    chosen = [sentences[i] for i in order]
    return Split(tuple(text for text, _ in chosen), tuple(label for _, label in chosen))


def _movie_ratings(cache: Path | None) -> list[tuple[str, float]]:
    """(sentence, mean rating) of every movie-review sentence, in the order of the file."""
    with zipfile.ZipFile(fetch(SENTENCES, cache)) as archive:
        bundle = archive.read(_BUNDLE)
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        member = tar.extractfile(_MOVIE_RATINGS)
        if member is None:
            raise ValueError(f"{_MOVIE_RATINGS} must be a file in {_BUNDLE}, got a folder")
        lines = member.read().decode("latin-1").splitlines()
    columns = [line.split("\t") for line in lines]
    return [(html.unescape(c[2].strip()), float(c[1])) for c in columns if len(c) >= 3]
