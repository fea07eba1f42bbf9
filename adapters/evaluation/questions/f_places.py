"""Question f: factors, mixing, sides, scales, shared blocks, modules and layers: where should the numbers go?"""

from __future__ import annotations

from ..contenders import Contender
from ..pages import Page
from ..profiles import Profile
from ..results import Results
from .comparison import compare
from .entries import Entry, contenders_of
from .line_up import ALL_LINEAR, HEAD, QUIC, ours, text_tasks
from .question import Question

__all__ = ["PLACES"]

_SHAPES = (
    ours("two factors, mixed", QUIC.size, options={"n_factors": 2}),
    Entry("two factors, not mixed", "control", "control_unmixed", "orders=1+2,n_factors=2"),
    ours("inputs rotated", QUIC.size, "rival", options={"side": "in"}),
    ours("inputs and outputs rotated", QUIC.size, "rival", options={"side": "both"}),
    ours("with scales", QUIC.size, "second", options={"scaling": True}),
    ours("4 blocks", "orders=1+2,n_blocks=4"),
    ours("4 blocks, shared", "orders=1+2,n_blocks=4,block_share"),
)
_PLACES = (
    ours("query, key, value, output", QUIC.size, "control", targets="attention"),
    ours("all linear layers", QUIC.size, "control", targets=ALL_LINEAR),
    ours("first half of the layers", QUIC.size, "second", layers=(0, 1, 2)),
    ours("last half of the layers", QUIC.size, "second", layers=(3, 4, 5)),
)
_RIVALS = (Entry("LoRA r=1, all linear layers", "other", "lora", "r=1", targets=ALL_LINEAR),)
_MORE = (
    ours("three factors, mixed", QUIC.size, options={"n_factors": 3}),
    ours("two factors of 4 blocks, mixed", "orders=1+2,n_blocks=4", options={"n_factors": 2}),
    ours("16 blocks", "orders=1+2,n_blocks=16"),
    ours("16 blocks, shared", "orders=1+2,n_blocks=16,block_share"),
    ours("inputs rotated, all linear", QUIC.size, "rival", options={"side": "in"}, targets=ALL_LINEAR),
    ours("both, all linear", QUIC.size, "rival", options={"side": "both"}, targets=ALL_LINEAR),
)


def _entries(profile: Profile) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """What R is, and where it is put."""
    shapes = (*_SHAPES, *_MORE) if profile.thorough else _SHAPES
    return shapes, (*_PLACES, *_RIVALS)


def _contenders(profile: Profile) -> list[Contender]:
    shapes, places = _entries(profile)
    return contenders_of(profile, [HEAD, QUIC, *shapes, *places], text_tasks(profile))


def _page(profile: Profile, results: Results) -> Page:
    shapes, places = _entries(profile)
    figures, parts, verdicts = {}, [], []
    for name, title, entries in (
        ("f_shapes", "What R is made of", shapes),
        ("f_places", "Where R is put", places),
    ):
        compared = compare(results, profile, QUIC, entries, text_tasks(profile))
        if compared is not None:
            figures[name] = compared.figure()
            parts += [f"## {title}\n", f"![{title}: scores and differences]({name}.svg)\n", compared.table()]
            verdicts.append(f"{title}: {compared.sentences()}")
    return Page(" ".join(verdicts) or "Not measured yet.", "\n".join(parts), figures)


PLACES = Question(
    name="f_places",
    title="What should R be made of, and where should it go?",
    asks=(
        "One thing is changed at a time: the number of factors, with and without a shuffle of the features in "
        "between; the side of the layer that is rotated; trained scales; smaller blocks, with one rotation each or "
        "one for all; the modules and the layers that are adapted. Numbers differ here, so the table gives them: a "
        "variant with more of them must be judged against the curve of the [budget](a_budget.md)."
    ),
    contenders=_contenders,
    page=_page,
)
