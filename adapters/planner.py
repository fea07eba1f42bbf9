"""Which blocks and orders each kind of module gets for a budget of trained numbers or bytes: integers only."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .plan import BlockPlan, check_orders, plan_blocks

__all__ = ["BudgetPlan", "Kind", "Proposal", "group_modules", "plan_budget"]

_MOST_BLOCKS = 64
_MOST_PADDING = 0.15
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Kind:
    """Modules that are alike, and get the same.

    Args:
        pattern: a key for the patterns of a configuration that matches these modules and no others.
        modules: their names.
        widths: the numbers of features that one of them rotates, one for each side.
    """

    pattern: str
    modules: tuple[str, ...]
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Proposal:
    """What one kind of module gets.

    Attributes:
        kind: the modules.
        plans: where the blocks lie, one plan for each width.
    """

    kind: Kind
    plans: tuple[BlockPlan, ...]

    @property
    def numbers_each(self) -> int:
        """Trained numbers of one module."""
        return _numbers(self.plans)

    @property
    def numbers(self) -> int:
        """Trained numbers of all modules of the kind."""
        return len(self.kind.modules) * self.numbers_each

    @property
    def turned(self) -> float:
        """The share of the features that are rotated, not padding."""
        return _turned(self.plans) / sum(self.kind.widths)


@dataclass(frozen=True)
class BudgetPlan:
    """A proposal for every kind of module.

    Attributes:
        proposals: one for each kind.
    """

    proposals: tuple[Proposal, ...]

    @property
    def numbers(self) -> int:
        """All trained numbers."""
        return sum(proposal.numbers for proposal in self.proposals)

    @property
    def n_bytes(self) -> int:
        """The size of the adapter's file in float32, header included."""
        return _file_size(self.proposals)

    def config_values(self) -> dict[str, object]:
        """The values of a configuration that makes this plan: the most common choice, and patterns for the others."""
        choices = Counter[tuple[tuple[int, ...], int]]()
        for proposal in self.proposals:
            choices[proposal.plans[0].orders, proposal.plans[0].n_blocks] += len(proposal.kind.modules)
        orders, n_blocks = choices.most_common(1)[0][0]
        first = self.proposals[0].plans[0]
        return {
            "orders": list(orders),
            "n_blocks": n_blocks,
            "block_share": first.block_share,
            "n_factors": first.n_factors,
            "orders_pattern": {
                p.kind.pattern: list(p.plans[0].orders) for p in self.proposals if p.plans[0].orders != orders
            },
            "n_blocks_pattern": {
                p.kind.pattern: p.plans[0].n_blocks for p in self.proposals if p.plans[0].n_blocks != n_blocks
            },
        }


def plan_budget(
    kinds: Sequence[Kind],
    budget: int,
    *,
    in_bytes: bool = False,
    orders: Sequence[Sequence[int]] = ((1,), (1, 2), (2,), (1, 2, 3)),
    block_share: bool = False,
    n_factors: int = 1,
) -> BudgetPlan:
    """The largest adapter of a budget that is spread evenly: who has the fewest numbers a feature grows first.

    Modules of one width get the same. Every width starts with the fewest numbers that one of the orders allows. Then
    the width with the fewest numbers a feature gets its next larger choice, as long as the budget holds. Choices that
    leave more than 15 % of the features as padding are left out where there are others.

    Args:
        kinds: the modules to adapt.
        budget: how many trained numbers there may be, or how many bytes the file in float32 may have.
        in_bytes: which of the two.
        orders: the choices of orders.
        block_share, n_factors: as in :class:`~adapters.config.QuICConfig`, the same for all.

    Returns:
        what each kind gets.

    Raises:
        TypeError: the budget, or an order, is not an integer.
        ValueError: the budget is too small, or no order fits a kind.

    >>> plan = plan_budget([Kind("query", ("0.query", "1.query"), (384,))], 1000)
    >>> plan.numbers, plan.config_values()["orders"], plan.config_values()["n_blocks"]
    (768, [2], 64)
    """
    if type(budget) is not int:
        raise TypeError(f"budget must be an integer, got {budget!r}")
    if not kinds:
        raise ValueError("a plan needs at least one kind of module, got none")
    allowed = [check_orders(choice) for choice in orders]
    ladders = {kind.widths: _ladder(kind.widths, allowed, block_share, n_factors) for kind in kinds}
    steps = dict.fromkeys(ladders, 0)

    def proposed() -> BudgetPlan:
        return BudgetPlan(tuple(Proposal(kind, ladders[kind.widths][steps[kind.widths]]) for kind in kinds))

    def spent() -> int:
        return proposed().n_bytes if in_bytes else proposed().numbers

    if spent() > budget:
        raise ValueError(
            f"the smallest adapter of these modules and orders has {spent():,} {'bytes' if in_bytes else 'numbers'}, "
            f"got a budget of {budget:,}: adapt fewer modules, share blocks, or allow higher orders"
        )
    growing = set(ladders)
    while growing:
        widths = min(growing, key=lambda widths: (_numbers(ladders[widths][steps[widths]]) / sum(widths), widths))
        steps[widths] += 1
        if steps[widths] == len(ladders[widths]) or spent() > budget:
            steps[widths] -= 1
            growing.remove(widths)
    return proposed()


def _ladder(
    widths: tuple[int, ...], orders: Sequence[tuple[int, ...]], block_share: bool, n_factors: int
) -> list[tuple[BlockPlan, ...]]:
    """Every choice for modules of these widths, by rising numbers; of equally many the one with the least padding."""
    best: dict[int, tuple[BlockPlan, ...]] = {}
    for choice in orders:
        for n_blocks in range(1, _MOST_BLOCKS + 1):
            try:
                plans = tuple(
                    plan_blocks(width, choice, n_blocks=n_blocks, block_share=block_share, n_factors=n_factors)
                    for width in widths
                )
            except ValueError:  # no room for the orders, or factors that mix nothing more
                continue
            known = best.get(_numbers(plans))
            if known is None or _turned(known) < _turned(plans):
                best[_numbers(plans)] = plans
    if not best:
        raise ValueError(f"no choice of the orders {list(orders)} fits modules with {widths} features")
    most = _MOST_PADDING * sum(widths)
    full = [numbers for numbers, plans in best.items() if sum(widths) - _turned(plans) <= most]
    return [best[numbers] for numbers in sorted(full or best)]


def _numbers(plans: tuple[BlockPlan, ...]) -> int:
    return sum(plan.n_parameters for plan in plans)


def _turned(plans: tuple[BlockPlan, ...]) -> int:
    """How many features are rotated, and not padding."""
    return sum(plan.n_blocks * (plan.block_size - plan.pad) for plan in plans)


def _file_size(proposals: Sequence[Proposal]) -> int:
    """The bytes of a safetensors file: the length of its header, the header padded to 8, and the tensors."""
    tensors = dict(sorted(_tensors(proposals)))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + _FLOAT * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    length = len(json.dumps(header, separators=(",", ":")).encode())
    return 8 + 8 * math.ceil(length / 8) + end


def _tensors(proposals: Sequence[Proposal]) -> Iterator[tuple[str, tuple[int, int]]]:
    for proposal in proposals:
        for module in proposal.kind.modules:
            for holder, plan in zip(("quic_parameters", "quic_in_parameters"), proposal.plans, strict=False):
                yield f"base_model.model.{module}.{holder}", plan.parameter_shape


def group_modules(widths: Mapping[str, tuple[int, ...]], template: Callable[[str], str]) -> list[Kind]:
    """Modules whose names differ in the indices of layers alone, as kinds.

    Args:
        widths: the numbers of features that each module rotates, by its name.
        template: a regular expression for a module and those like it.

    Returns:
        the kinds; a pattern is the last part of the names where no other kind has it, else the template.
    """
    groups: dict[tuple[str, tuple[int, ...]], list[str]] = defaultdict(list)
    for module, width in widths.items():
        groups[template(module), width].append(module)
    ends = Counter(next(iter(modules)).rpartition(".")[2] for modules in groups.values())
    kinds = []
    for (pattern, width), modules in groups.items():
        end = modules[0].rpartition(".")[2]
        kinds.append(Kind(end if ends[end] == 1 else pattern, tuple(modules), width))
    return kinds
