"""Leading dimensions that broadcast."""

from collections.abc import Sequence

import torch

__all__ = ["common_shape"]


def common_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """`torch.broadcast_shapes`, which takes as long as a small circuit also where there is nothing to do.

    Raises:
        RuntimeError: the shapes do not broadcast.

    >>> common_shape((2, 1), (), (3,))
    (2, 3)
    """
    different = {tuple(shape) for shape in shapes if len(shape)}
    return tuple(torch.broadcast_shapes(*different)) if len(different) > 1 else (*different, ())[0]
