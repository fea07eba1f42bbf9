"""Where an adapter's blocks, sectors and parameters lie in a layer's features: integers only, no tensors."""

import bisect
import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .mixing import check_mixing

__all__ = ["BlockPlan", "check_block_choice", "check_orders", "plan_blocks"]


@dataclass(frozen=True)
class BlockPlan:
    """How a rotation R acts on the features of one layer.

        R = ⊕_{i=1..N} [ ⊕_{k in orders} C_k(A_i) ⊕ I_pad ] ⊕ I_untouched

    With more than one factor R is a product of such maps, between which the features are shuffled
    (:mod:`adapters.mixing`).

    Args:
        features: d, the number of features that R acts on.
        orders: the compound orders k, in the order in which their sectors lie in a block.
        n_blocks: N, at least 1.
        block_size: b, the number of features of a block, with N b <= d.
        n: the number of wires, the largest with Σ_k C(n, k) <= b.
        sectors: for each order k the features of a block that C_k(A) acts on, as (k, start, stop).
        block_share: whether all blocks of a factor have the same A.
        n_factors: F, the number of factors.
        is_free: whether A is any matrix, of n² numbers, as comparisons have it.

    Made by :func:`plan_blocks`, which checks that everything fits.
    """

    features: int
    orders: tuple[int, ...]
    n_blocks: int
    block_size: int
    n: int
    sectors: tuple[tuple[int, int, int], ...]
    block_share: bool
    n_factors: int = 1
    is_free: bool = False

    @property
    def pad(self) -> int:
        """The number of features at the end of each block that R leaves alone."""
        return self.block_size - self.sectors[-1][2]

    @property
    def untouched(self) -> int:
        """d - N b, the number of features after the last block, which R leaves alone."""
        return self.features - self.n_blocks * self.block_size

    @property
    def parameter_shape(self) -> tuple[int, int]:
        """(F times the number of different blocks, n(n-1)/2): the factors' rows one after the other."""
        numbers = self.n**2 if self.is_free else self.n * (self.n - 1) // 2
        return (self.n_factors * (1 if self.block_share else self.n_blocks), numbers)

    @property
    def n_parameters(self) -> int:
        """F N n(n-1)/2, or F n(n-1)/2 if the blocks share them."""
        return math.prod(self.parameter_shape)

    @property
    def n_rotated_blocks(self) -> int:
        """F N, the number of blocks of all factors."""
        return self.n_factors * self.n_blocks

    def row_of(self, block: int) -> int:
        """The row of the parameters that a block has.

        Args:
            block: its index, in 0..F N - 1: those of the first factor come first.
        """
        return block // self.n_blocks if self.block_share else block

    def single(self) -> "BlockPlan":
        """The plan of one factor."""
        return dataclasses.replace(self, n_factors=1)


def plan_blocks(
    features: int,
    orders: Sequence[int],
    *,
    n_blocks: int | None = None,
    block_size: int | None = None,
    block_share: bool = False,
    n_factors: int = 1,
) -> BlockPlan:
    """Divide d features into N blocks and each block into sectors of the given orders.

    With `block_size` b there are N = d // b blocks, with `n_blocks` N they have b = d // N features; with
    neither there is one block. The number n of wires is the largest with Σ_k C(n, k) <= b, and must exceed
    every order: C_n(A) = det A = 1 would leave its feature alone.

    Args:
        features: d, at least 1.
        orders: the compound orders k, distinct and at least 1.
        n_blocks: N, in 1..d.
        block_size: b, in 1..d; not together with `n_blocks`.
        block_share: whether all blocks of a factor have the same A.
        n_factors: F, at least 1.

    Returns:
        the plan; plans are cached, and equal for equal arguments.

    Raises:
        TypeError: something that counts is not an integer.
        ValueError: an order is not allowed, or a block has no room for the orders, or more factors mix nothing more.

    >>> plan = plan_blocks(768, (1, 2))
    >>> plan.n, plan.sectors, plan.pad, plan.n_parameters
    (38, ((1, 0, 38), (2, 38, 741)), 27, 703)
    >>> plan_blocks(10, (1, 3), block_size=5)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: block_size=5 is too small for orders (1, 3): the smallest block for them is 4 + 4 = 8 ...
    """
    orders = check_orders(orders)
    check_block_choice(n_blocks, block_size)
    plan = _plan_blocks(features, orders, n_blocks, block_size, block_share)
    return plan if n_factors == 1 else _with_factors(plan, n_factors)


def check_orders(orders: Sequence[int]) -> tuple[int, ...]:
    """The orders as a tuple of distinct positive integers.

    Args:
        orders: the compound orders k.

    Returns:
        the same numbers, in the same order.

    Raises:
        TypeError: they are not a sequence of integers.
        ValueError: there is none, or one repeats, or one is not positive.

    >>> check_orders([1, 2])
    (1, 2)
    """
    if not isinstance(orders, Sequence) or any(type(order) is not int for order in orders):
        raise TypeError(f"orders must be a sequence of integers, such as (1, 2), got {orders!r}")
    orders = tuple(orders)
    if not orders:
        raise ValueError("orders must hold at least one compound order, got ()")
    if min(orders) < 1:
        raise ValueError(f"orders must be at least 1 (order 0 is the number 1), got {orders}")
    if len(set(orders)) != len(orders):
        raise ValueError(f"orders must be distinct, got {orders}")
    return orders


def check_block_choice(n_blocks: int | None, block_size: int | None) -> None:
    """Refuse two answers to one question, and blocks that are not counted by a positive integer.

    Args:
        n_blocks: N, or None.
        block_size: b, or None.

    Raises:
        TypeError: one of them is neither None nor an integer.
        ValueError: both are given, or one of them is not positive.
    """
    for name, value in (("n_blocks", n_blocks), ("block_size", block_size)):
        if value is not None and type(value) is not int:
            raise TypeError(f"{name} must be an integer or None, got {value!r}")
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {name}={value}")
    if n_blocks is not None and block_size is not None:
        raise ValueError(f"give n_blocks or block_size, not both, got n_blocks={n_blocks}, block_size={block_size}")


@functools.lru_cache(maxsize=1024)
def _plan_blocks(
    features: int, orders: tuple[int, ...], n_blocks: int | None, block_size: int | None, block_share: bool
) -> BlockPlan:
    if block_size is None:
        n_blocks = n_blocks or 1
        block_size = features // n_blocks
        chosen = f"a block of {features} // {n_blocks} = {block_size} features"
    else:
        if block_size > features:
            raise ValueError(f"block_size={block_size} is larger than the {features} features of the layer")
        n_blocks = features // block_size
        chosen = f"block_size={block_size}"
    smallest = max(orders) + 1
    if _width(smallest, orders) > block_size:
        parts = " + ".join(str(math.comb(smallest, order)) for order in orders)
        total = f"{parts} = {_width(smallest, orders)}" if len(orders) > 1 else parts
        raise ValueError(
            f"{chosen} is too small for orders {orders}: "
            f"the smallest block for them is {total} features with n = {smallest}"
        )
    # C(n, k) >= n for 1 <= k < n, so the largest n is at most b.
    fitting = bisect.bisect_right(range(smallest, block_size + 1), block_size, key=lambda n: _width(n, orders))
    n = smallest - 1 + fitting
    stops = itertools.accumulate(math.comb(n, order) for order in orders)
    sectors = tuple((order, stop - math.comb(n, order), stop) for order, stop in zip(orders, stops, strict=True))
    return BlockPlan(features, orders, n_blocks, block_size, n, sectors, block_share)


@functools.lru_cache(maxsize=1024)
def _with_factors(plan: BlockPlan, n_factors: int) -> BlockPlan:
    check_mixing(plan.features, plan.n_blocks, plan.block_size, plan.sectors)
    return dataclasses.replace(plan, n_factors=n_factors)


def _width(n: int, orders: tuple[int, ...]) -> int:
    """Σ_k C(n, k), the number of features that the sectors of one block take."""
    return sum(math.comb(n, order) for order in orders)
