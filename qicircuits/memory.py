"""What fits into the machine's memory: a request that does not is refused with the bytes, before any is taken."""

import psutil

__all__ = ["require_memory"]

_ALWAYS_FITS = 2**28
"""Smaller requests are granted unseen: asking the system takes longer than small work."""


def require_memory(needed: int, what: str) -> None:
    """Refuse work that needs more memory than there is: the system would end the process instead.

    Args:
        needed: bytes.
        what: names the work in the message.

    Raises:
        MemoryError: less is available.

    >>> require_memory(10**18, "a vector")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    MemoryError: a vector needs 1,000,000,000,000,000,000 bytes, ... bytes are available
    """
    if needed > _ALWAYS_FITS and needed > (available := psutil.virtual_memory().available):
        raise MemoryError(f"{what} needs {needed:,} bytes, {available:,} bytes are available")
