"""The block structure of a rotation as the drawings need it: from a plan or from plain integers, and checked."""

import itertools
import math
from dataclasses import dataclass
from typing import Protocol

from .style import subscript

__all__ = ["BlockStructure", "Blocks", "check_counts"]


class BlockStructure(Protocol):
    """What a plan must tell to be drawn; the plans of `adapters` do. It may have `n_factors`, else that is 1."""

    @property
    def features(self) -> int: ...  # noqa: D102
    @property
    def orders(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def n_blocks(self) -> int: ...  # noqa: D102
    @property
    def block_size(self) -> int: ...  # noqa: D102
    @property
    def n(self) -> int: ...  # noqa: D102
    @property
    def block_share(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True)
class Blocks:
    """A checked block structure, made from plain integers or from a plan."""

    features: int
    orders: tuple[int, ...]
    n_blocks: int
    block_size: int
    n: int
    block_share: bool
    n_factors: int = 1

    def __post_init__(self) -> None:
        sizes = {"features": self.features, "n_blocks": self.n_blocks, "block_size": self.block_size, "n": self.n}
        check_counts(**sizes, n_factors=self.n_factors)
        orders = self.orders
        if not orders or len(set(orders)) < len(orders) or any(k not in range(1, self.n) for k in orders):
            raise ValueError(f"orders must be distinct integers in 1..n-1 = 1..{self.n - 1}, got {orders}")
        if self.stops[-1] > self.block_size:
            raise ValueError(
                f"the sectors of a block must fit into it: orders {orders} with n={self.n} take {self.stops[-1]} "
                f"features, got block_size={self.block_size}"
            )
        if self.untouched < 0:
            raise ValueError(f"{self.n_blocks} blocks of {self.block_size} exceed features={self.features}")

    @property
    def stops(self) -> list[int]:
        """The edges of the sectors in a block: 0, then the end of each."""
        return list(itertools.accumulate((math.comb(self.n, k) for k in self.orders), initial=0))

    @property
    def pad(self) -> int:
        """The features at the end of each block that R leaves alone."""
        return self.block_size - self.stops[-1]

    @property
    def untouched(self) -> int:
        """The features after the last block, which R leaves alone."""
        return self.features - self.n_blocks * self.block_size

    @property
    def index(self) -> str:
        """The index of a block's A: none where there is a single A."""
        return "" if self.block_share or self.n_blocks == 1 else "ᵢ"

    @property
    def name(self) -> str:
        """What is drawn: R, or one factor D of it."""
        return "R" if self.n_factors == 1 else "D"

    @property
    def formula(self) -> str:
        """R as a direct sum, in one line; or a factor."""
        parts = [f"C{subscript(k)}(A{self.index})" for k in self.orders]
        parts += [f"I{subscript(self.pad)}"] * (self.pad > 0)
        block = " ⊕ ".join(parts)
        if self.n_blocks > 1:
            block = f"⊕ᵢ [ {block} ]" if len(parts) > 1 else f"⊕ᵢ {block}"
        return f"{self.name} = {block}" + f" ⊕ I{subscript(self.untouched)}" * (self.untouched > 0)


def check_counts(**counts: int) -> None:
    """Refuse a size that does not count anything.

    Raises:
        TypeError: one of them is not an integer.
        ValueError: one of them is not positive.
    """
    for name, value in counts.items():
        if type(value) is not int:
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {name}={value}")
