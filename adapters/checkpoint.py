"""What a saved adapter file must hold, checked from its header before anything is loaded."""

import math
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from .plan import plan_blocks

__all__ = ["check_adapter_file"]


def check_adapter_file(
    file: Path, orders: Sequence[int], n_blocks: int | None, block_size: int | None, block_share: bool
) -> None:
    """Refuse an adapter file that is damaged, or that its configuration cannot have written.

    The parameters of a layer have shape (number of different blocks, n(n-1)/2), n > max(orders). Reads the
    header of the file only, so the cost does not depend on its size.

    Args:
        file: a safetensors file.
        orders, n_blocks, block_size, block_share: as in :class:`~adapters.config.QuICConfig`.

    Raises:
        ValueError: the file is truncated, is not a safetensors file, holds no parameters of a QuIC adapter, or
            holds parameters of another shape.
    """
    rows = None if block_size is not None and not block_share else 1 if block_share else n_blocks or 1
    columns = None if block_size is None else plan_blocks(block_size, orders).n_parameters
    shapes = _read_shapes(file)
    if not shapes:
        raise ValueError(f"a QuIC adapter file must hold tensors named quic_parameters, got none in {file}")
    for name, shape in shapes.items():
        fits = len(shape) == 2 and rows in (None, shape[0])
        if not fits or (columns != shape[1] if columns is not None else _wires(shape[1]) <= max(orders)):
            raise ValueError(
                f"parameters must have shape ({'blocks' if rows is None else rows}, "
                f"{f'n(n-1)/2 with n > {max(orders)}' if columns is None else columns}) for orders={tuple(orders)}, "
                f"{n_blocks=}, {block_size=}, {block_share=}, got {shape} for {name} in {file}"
            )


def _read_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(file, framework="pt") as tensors:
            names = [name for name in tensors.keys() if "quic_parameters" in name]  # noqa: SIM118 (not a dict)
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"an adapter file must be a complete safetensors file, got {file}: {error}") from error


def _wires(n_numbers: int) -> int:
    """The n with n(n-1)/2 = n_numbers, or 0 if there is none."""
    n = (1 + math.isqrt(1 + 8 * n_numbers)) // 2
    return n if n * (n - 1) // 2 == n_numbers else 0
