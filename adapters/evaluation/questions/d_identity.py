"""Question d: what do orthogonality, the determinant and the product buy, if everything starts at the identity?"""

from __future__ import annotations

from ..contenders import Contender
from ..pages import Page
from ..profiles import Profile
from ..results import Results
from .comparison import compare
from .entries import Entry, contenders_of
from .line_up import HEAD, QUIC, ours, text_tasks
from .question import Question

__all__ = ["IDENTITY"]

_VARIANTS = (
    ours("unconstrained A = I + S", QUIC.size, "control", options={"constraint": "free"}),
    ours("permanent for determinant", QUIC.size, "second", options={"operation": "permanent"}),
    ours("maximum for determinant", QUIC.size, "second", options={"operation": "max"}),
    ours("mean for determinant", QUIC.size, "second", options={"operation": "mean"}),
    ours("added: W + (R - I) E", QUIC.size, "rival", options={"composition": "additive"}),
)
_MORE = (
    ours("unconstrained, permanent", QUIC.size, "control", options={"constraint": "free", "operation": "permanent"}),
    ours("unconstrained, added", QUIC.size, "rival", options={"constraint": "free", "composition": "additive"}),
)


def _variants(profile: Profile) -> tuple[Entry, ...]:
    return (*_VARIANTS, *_MORE) if profile.thorough else _VARIANTS


def _contenders(profile: Profile) -> list[Contender]:
    return contenders_of(profile, [HEAD, QUIC, *_variants(profile)], text_tasks(profile))


def _page(profile: Profile, results: Results) -> Page:
    compared = compare(results, profile, QUIC, _variants(profile), text_tasks(profile))
    if compared is None:
        return Page("Not measured yet.", "")
    body = "![Scores of other maps, and their difference to the default](d_identity.svg)\n\n" + compared.table()
    return Page(compared.sentences(), body, {"d_identity": compared.figure()})


IDENTITY = Question(
    name="d_identity",
    title="Orthogonal, determinant, product: what does each buy?",
    asks=(
        "The paper's unconstrained and max/mean variants begin away from the identity, so that they damage the "
        "model before they learn. Here every variant is the identity at the start, exactly, and differs from the "
        "default in one thing: A need not be orthogonal; the entries of the compound are permanents, maxima or means "
        "in the place of determinants; or the change is added to the layer instead of multiplied with it."
    ),
    contenders=_contenders,
    page=_page,
)
