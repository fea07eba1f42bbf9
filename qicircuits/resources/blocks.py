"""What has circuits, described for a cost estimate: blocks of one shape, and how many there are."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from ..layouts import Layout
from ..subsets import check_integer

__all__ = ["BlockGroup", "check_orders", "describe_blocks"]


@dataclass(frozen=True)
class BlockGroup:
    """Circuits of one layout that act on sectors of the same orders, as the blocks of a layer do.

    Args:
        layout: where their gates stand.
        orders: the Hamming weights that they act on, in 1..n-1, distinct; or none, if only the gates are wanted.
        copies: how many there are, at least 1.
        label: what a report calls them.

    Raises:
        TypeError: `layout` is not a Layout, or an order or `copies` not an integer.
        ValueError: the orders do not fit, or `copies` is not positive.
    """

    layout: Layout
    orders: tuple[int, ...]
    copies: int
    label: str

    def __post_init__(self) -> None:
        if not isinstance(self.layout, Layout):
            raise TypeError(f"layout must be a Layout, such as brickwork(4), got {self.layout!r}")
        object.__setattr__(self, "orders", check_orders(self.orders, self.layout.n))
        if check_integer(self.copies, "copies") < 1:
            raise ValueError(f"copies must be at least 1, got {self.copies}")


@functools.singledispatch
def describe_blocks(x: object) -> list[BlockGroup]:
    """The circuits of an object, as groups of blocks; a package registers it for its own types.

    `adapters` does so for plans, compiled blocks, layers and models: this package never imports it.

    Raises:
        TypeError: nobody has registered the type.
    """
    raise TypeError(f"resources are estimated for what has circuits, got {type(x).__name__}")


def check_orders(orders: Sequence[int], n: int) -> tuple[int, ...]:
    """The orders as a tuple of distinct integers in 1..n-1, or an empty one.

    Raises:
        TypeError: they are not a sequence of integers.
        ValueError: one is out of range or repeats.
    """
    if not isinstance(orders, Sequence):
        raise TypeError(f"orders must be a sequence of integers, such as (1, 2), got {orders!r}")
    checked = tuple(check_integer(order, "an order") for order in orders)
    if len(set(checked)) < len(checked) or any(not 0 < order < n for order in checked):
        raise ValueError(f"orders must be distinct and in 1..n-1 = 1..{n - 1}, got {checked}")
    return checked
