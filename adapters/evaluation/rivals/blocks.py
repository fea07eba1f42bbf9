"""The block plan that the paper's formula and the controls share with a QuIC adapter of the same size."""

from collections.abc import Mapping
from typing import Any

from ...plan import BlockPlan, plan_blocks

__all__ = ["plan_of"]

_NAMES = ("orders", "n_blocks", "block_size", "block_share")


def plan_of(features: int, values: Mapping[str, Any]) -> BlockPlan:
    """The plan of a QuIC adapter for a layer's outputs.

    Args:
        features: d.
        values: `orders`, and `n_blocks`, `block_size` or `block_share` as in QuICConfig.

    Raises:
        ValueError: another value is given, or the orders do not fit.
    """
    if unknown := sorted(values.keys() - set(_NAMES)):
        raise ValueError(f"the values must be of {_NAMES}, got {unknown}")
    return plan_blocks(features, **{"orders": (1, 2), **values})
