"""Question b: are higher orders worth it at equal numbers, against controls of the same dimension?"""

from __future__ import annotations

from collections.abc import Sequence

from ..contenders import Contender
from ..pages import Page
from ..profiles import Profile
from ..results import Results
from .comparison import Comparison, compare
from .entries import Entry, Reached, contenders_of, difference, judge, words_of
from .line_up import HEAD, ours, text_tasks
from .question import Question

__all__ = ["ORDERS"]

# About 78 numbers for a layer of 384 outputs: 13 wires have 13 * 12 / 2 = 78.
_FIRST = ours("K = 1: one block of 13, repeated", "orders=1,block_size=13,block_share", role="control")
_HIGHER = (
    ours("K = 2: 4 blocks, shared", "orders=1+2,n_blocks=4,block_share"),
    ours("K = 3: one block", "orders=1+2+3"),
    ours("K = 4: 5 blocks", "orders=1+2+3+4,n_blocks=5"),
    ours("K = 5: 5 blocks", "orders=1+2+3+4+5,n_blocks=5"),
    ours("K = 6: 3 blocks", "orders=1+2+3+4+5+6,n_blocks=3"),
)
_CONTROLS = (
    Entry("random subspace of so(377)", "second", "control_subspace", "orders=1+2+3"),
    Entry("OFT blocks of 2, some untouched", "control", "control_small_oft", "orders=1+2+3"),
)

# About 36 numbers a layer, in the thorough profile only.
_FIRST_36 = ours("K = 1: one block of 9, repeated", "orders=1,block_size=9,block_share", role="control")
_HIGHER_36 = (
    ours("K = 2: 8 blocks, shared", "orders=1+2,n_blocks=8,block_share"),
    ours("K = 3: 2 blocks, shared", "orders=1+2+3,n_blocks=2,block_share"),
    ours("K = 4: one block", "orders=1+2+3+4"),
    ours("K = 5: one block", "orders=1+2+3+4+5"),
    ours("K = 6: one block", "orders=1+2+3+4+5+6"),
)


_Group = tuple[Entry, tuple[Entry, ...], tuple[Entry, ...]]


def _groups(profile: Profile) -> dict[str, _Group]:
    """By name of the figure: K = 1, higher orders, controls; of about equal numbers."""
    groups: dict[str, _Group] = {"b_orders": (_FIRST, _HIGHER, _CONTROLS)}
    if profile.thorough:
        groups["b_orders_small"] = (_FIRST_36, _HIGHER_36, ())
    return groups


def _contenders(profile: Profile) -> list[Contender]:
    entries = [HEAD]
    for first, higher, controls in _groups(profile).values():
        entries += [first, *higher, *controls]
    return contenders_of(profile, entries, text_tasks(profile))


def _page(profile: Profile, results: Results) -> Page:
    figures, parts, verdicts = {}, [], []
    for name, (first, higher, controls) in _groups(profile).items():
        compared = compare(results, profile, first, [*higher, *controls], text_tasks(profile))
        if compared is None:
            continue
        figures[name] = compared.figure()
        numbers = compared.reference.numbers()
        parts += [f"![Score by the highest order K, at about {numbers:,} numbers]({name}.svg)\n", compared.table()]
        verdicts.append(_verdict(compared, higher))
    return Page(" ".join(verdicts) or "Not measured yet.", "\n".join(parts), figures)


def _verdict(compared: Comparison, higher: Sequence[Entry]) -> str:
    """Whether the best higher order, by tuning, beats K = 1 and every other control."""
    tried = [one for one in compared.others if one.entry in higher]
    if not tried:
        return "No higher order is measured yet."
    best = max(tried, key=Reached.tuning)
    controls = [one for one in compared.others if one.entry not in higher]
    against = [(one.entry.name, difference(best, one)) for one in (compared.reference, *controls)]
    listed = "; ".join(f"{name} {words_of(apart)}, {judge(apart)}" for name, apart in against)
    sentence = (
        f"At about {compared.reference.numbers():,} numbers, the higher order with the best tuning score, "
        f"{best.entry.name}, against controls of its dimension: {listed}."
    )
    wins = [judge(apart) for _, apart in against]
    if all(win == "better" for win in wins):
        return f"{sentence} So higher orders are worth it here."
    if "worse" in wins:
        return f"{sentence} So higher orders are not what helps here: something of the same dimension does better."
    return f"{sentence} So a gain that is due to higher orders is not shown here."


ORDERS = Question(
    name="b_orders",
    title="Are higher orders worth it at equal numbers?",
    asks=(
        "Orders (1, ..., K) with blocks chosen so that every adapter trains about as many numbers. If compounds "
        "carry more than their dimension, they must beat controls of the same dimension: one small OFT block "
        "repeated along the diagonal (which is K = 1), rotations in a random frozen subspace of the skew matrices, "
        "scaled like the compounds' generators, and OFT blocks as small as they come."
    ),
    contenders=_contenders,
    page=_page,
)
