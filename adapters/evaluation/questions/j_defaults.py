"""Question j: do the defaults come within a point of LoRA with a twentieth of its numbers, over all text tasks?"""

from __future__ import annotations

from collections.abc import Sequence

from ...config import DEFAULT_SHARED_BLOCKS
from ..contenders import Contender
from ..pages import Page
from ..profiles import Profile
from ..results import Results
from .comparison import compare
from .entries import Reached, contenders_of, difference, judge, words_of
from .line_up import ALL_LINEAR, HEAD, LORA, QUIC, ours
from .question import Question

__all__ = ["DEFAULTS"]

_SHARE = 20  # at most a twentieth of LoRA r=8's numbers ...
_POINT = 1.0  # ... within one point of its mean

_DEFAULTS = f"orders=1+2,n_blocks={DEFAULT_SHARED_BLOCKS},block_share"

_CANDIDATES = (
    QUIC,
    ours("2 blocks, shared", "orders=1+2,n_blocks=2,block_share"),
    ours("4 blocks, shared", "orders=1+2,n_blocks=4,block_share"),
    ours("4 blocks, shared, query to output", "orders=1+2,n_blocks=4,block_share", "second", targets="attention"),
    ours("the defaults (8 blocks, shared, all linear)", _DEFAULTS, targets=ALL_LINEAR),
)


def _contenders(profile: Profile) -> list[Contender]:
    return contenders_of(profile, [LORA, *_CANDIDATES, HEAD], profile.tasks["text"])


def _page(profile: Profile, results: Results) -> Page:
    compared = compare(results, profile, LORA, _CANDIDATES, profile.tasks["text"])
    if compared is None:
        return Page("Not measured yet.", "")
    body = "![Mean scores over all text tasks, and their difference to LoRA](j_defaults.svg)\n\n" + compared.table()
    return Page(_verdict(compared.reference, compared.others), body, {"j_defaults": compared.figure()})


def _verdict(lora: Reached, found: Sequence[Reached]) -> str:
    """Which of ours passes the bar, the best by tuning first."""
    limit = lora.numbers() // _SHARE
    said = []
    for one in sorted(found, key=Reached.tuning, reverse=True):
        apart = difference(one, lora)
        enough = "few enough" if one.numbers() <= limit else f"more than the {limit:,} allowed"
        said.append(f"{one.entry.name} {words_of(apart)} ({judge(apart)}) with {one.numbers():,} numbers, {enough}")
    passed = [one.entry.name for one in found if one.numbers() <= limit and difference(one, lora).mean >= -_POINT]
    bar = f"within {_POINT:g} point of the mean of LoRA r=8 with at most 1/{_SHARE} of its {lora.numbers():,} numbers"
    held = f"is reached by {', '.join(passed)}" if passed else "is missed"
    return f"The bar, {bar}, {held}. Best first by the examples set apart: {'; '.join(said)}."


DEFAULTS = Question(
    name="j_defaults",
    title="Do the defaults come close to LoRA with a twentieth of its numbers?",
    asks=(
        "What `QuICConfig` is where nothing is chosen, and its neighbours, on every text task, against LoRA of rank "
        "8 on query and value: the mean over the tasks must not be more than a point lower, with at most a "
        "twentieth of the numbers. Learning rates are chosen as everywhere."
    ),
    contenders=_contenders,
    page=_page,
)
