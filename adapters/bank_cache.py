"""KeptRotations: the rotations of the adapters that were served last, within a bound of memory."""

from collections import OrderedDict

from torch import Tensor

__all__ = ["KeptRotations"]


class KeptRotations:
    """Rotations by name, of which the least recently used are forgotten when they exceed a number of bytes.

    Args:
        limit: bytes; 0 keeps nothing.

    Raises:
        ValueError: the limit is negative.

    >>> import torch
    >>> kept = KeptRotations(16)
    >>> for name in ("a", "b", "c"):
    ...     kept.put(name, [torch.zeros(2)])
    >>> kept.get("a") is None, kept.get("c")
    (True, [tensor([0., 0.])])
    """

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise ValueError(f"the bytes to keep must not be negative, got {limit}")
        self.limit = limit
        self.nbytes = 0
        self._rotations: OrderedDict[str, list[Tensor]] = OrderedDict()

    def get(self, name: str) -> list[Tensor] | None:
        """What was put under a name, if it is still there."""
        if name in self._rotations:
            self._rotations.move_to_end(name)
        return self._rotations.get(name)

    def put(self, name: str, rotations: list[Tensor]) -> None:
        """Keep rotations under a name, and forget others for them."""
        self.drop(name)
        self._rotations[name] = rotations
        self.nbytes += _bytes(rotations)
        while self.nbytes > self.limit:
            self.drop(next(iter(self._rotations)))

    def drop(self, name: str) -> None:
        """Forget what was put under a name, if anything was."""
        self.nbytes -= _bytes(self._rotations.pop(name, []))


def _bytes(rotations: list[Tensor]) -> int:
    return sum(matrices.nbytes for matrices in rotations)
