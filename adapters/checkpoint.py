"""What a saved adapter must hold, checked before anything is loaded."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peft.utils import SAFETENSORS_WEIGHTS_NAME
from torch import Tensor, nn

from .adapter_file import Shapes, read_where
from .plan import plan_blocks

if TYPE_CHECKING:
    from .config import QuICConfig

__all__ = ["SavedAdapter", "read_saved_adapter"]


@dataclass(frozen=True)
class SavedAdapter:
    """The tensors that lie in a folder beside the configuration of an adapter.

    Args:
        folder: where.
        shapes: the shape of each tensor, by its name in the file; None if there is no file.
    """

    folder: Path
    shapes: Shapes | None

    def shape_of(self, module: str, holder: str) -> tuple[int, ...] | None:
        """The shape of the saved parameters of a module.

        Args:
            module: its name in the model without adapters.
            holder: the attribute of its layer that holds them.

        Returns:
            the shape, or None if the file has none for it.
        """
        return (self.shapes or {}).get(f"base_model.model.{module}.{holder}")

    def check_place(self, model: nn.Module, trained_in_full: Sequence[str], *, is_needed: bool) -> None:
        """Refuse a missing file, and biases and modules trained in full of other shapes than those of a model.

        Args:
            model: the model that the adapter is about to be put into.
            trained_in_full: ends of the names of modules that the file must hold, if it is needed.
            is_needed: whether the adapter would be of no use without a file, because it will not be trained.

        Raises:
            ValueError: there is no file, a tensor has another shape than the model's parameter of its name, or one
                of a module trained in full is missing.
        """
        if self.shapes is None and is_needed:
            raise ValueError(
                f"the folder of an adapter must hold {SAFETENSORS_WEIGHTS_NAME}, got none in {self.folder} (to train "
                "a new adapter by this configuration, set its inference_mode to False)"
            )
        expected = {_plain(name): tuple(parameter.shape) for name, parameter in model.named_parameters()}
        for name, shape in (self.shapes or {}).items():
            parameter = _plain(name.removeprefix("base_model.model."))
            if shape != expected.get(parameter, shape):
                raise ValueError(
                    f"{parameter}: a saved tensor must have the shape of the model's parameter, "
                    f"{expected[parameter]}, got {shape} in {self.folder}"
                )
        if self.shapes is not None and is_needed:
            for name, module in model.named_modules():
                if name.endswith(tuple(trained_in_full)):
                    self._check_module(name, module)

    def _check_module(self, name: str, module: nn.Module) -> None:
        held = {key.removeprefix("base_model.model.") for key in self.shapes or {}}
        own = {f"{name}.{key}" for key in getattr(module, "original_module", module).state_dict()}
        if missing := sorted(own - held):
            raise ValueError(
                f"a module of modules_to_save must be saved with the adapter, got no {missing[0]} in {self.folder}"
            )


def read_saved_adapter(folder: Path, file: Path | None, config_of: Callable[[str], "QuICConfig"]) -> SavedAdapter:
    """Read an adapter file, and refuse one that its configuration cannot have written.

    The parameters of a layer have shape (factors times different blocks, n(n-1)/2), n > max(orders); beside them lie
    those of its other side if both are turned, and its scales if it has any. Only they are read, not the
    modules trained in full.

    Args:
        folder: where it lies, for messages.
        file: the file, or None if there is none.
        config_of: the configuration of a module, by its name in the model without adapters.

    Returns:
        the shapes of the tensors, or None for them if there is no file.

    Raises:
        ValueError: the file is truncated or not readable, holds no parameters of a QuIC adapter, or parameters of
            another shape, or some that are not finite floating-point numbers.
    """
    if file is None:
        return SavedAdapter(folder, None)
    shapes, parameters = read_where(file, _is_own)
    if not parameters:
        raise ValueError(f"a QuIC adapter file must hold tensors named quic_parameters, got none in {file}")
    _check_holders(parameters, config_of(""), file)
    for name, tensor in parameters.items():
        module, _, holder = name.removeprefix("base_model.model.").rpartition(".")
        if holder != "quic_scales":
            _check_parameters(tuple(tensor.shape), config_of(module), f"{name} in {file}")
        elif tensor.dim() != 1:
            raise ValueError(f"scales must have shape (features,), got {tuple(tensor.shape)} for {name} in {file}")
        if not tensor.is_floating_point():
            raise ValueError(f"parameters must be floating-point numbers, got {tensor.dtype} for {name} in {file}")
        if not tensor.isfinite().all():
            raise ValueError(f"parameters must be finite, got NaN or infinity for {name} in {file}")
    return SavedAdapter(folder, shapes)


def _check_holders(parameters: Mapping[str, Tensor], config: "QuICConfig", file: Path) -> None:
    """Refuse layers without one of the tensors that the configuration gives them all, or with one more."""
    expected = {"quic_parameters"}
    expected |= {"quic_in_parameters"} if config.side == "both" else set()
    expected |= {"quic_scales"} if config.scaling else set()
    held = defaultdict(set)
    for name in parameters:
        module, _, holder = name.rpartition(".")
        held[module].add(holder)
    for module, holders in held.items():
        if holders != expected:
            raise ValueError(
                f"a layer must have tensors {sorted(expected)} for side={config.side!r}, scaling={config.scaling}, "
                f"got {sorted(holders)} for {module} in {file}"
            )


def _check_parameters(shape: tuple[int, ...], config: "QuICConfig", place: str) -> None:
    """Refuse parameters of one module that its configuration cannot have."""
    orders, n_blocks, block_size, block_share = config.orders, config.n_blocks, config.block_size, config.block_share
    n_factors = config.n_factors
    is_counted = block_size is None or block_share
    rows = n_factors * (1 if block_share else n_blocks or 1) if is_counted else None
    is_free = config.constraint == "free"
    columns = None if block_size is None else _columns(block_size, orders, is_free)
    fits = len(shape) == 2 and rows in (None, shape[0]) and shape[0] % n_factors == 0
    if not fits or (columns != shape[1] if columns is not None else _wires(shape[1], is_free) <= max(orders)):
        numbers = "n²" if is_free else "n(n-1)/2"
        raise ValueError(
            f"parameters must have shape ({rows if is_counted else 'blocks'}, "
            f"{f'{numbers} with n > {max(orders)}' if columns is None else columns}) for {orders=}, "
            f"{n_blocks=}, {block_size=}, {block_share=}, {n_factors=}, got {shape} for {place}"
        )


def _is_own(name: str) -> bool:
    return name.rpartition(".")[2] in ("quic_parameters", "quic_in_parameters", "quic_scales")


def _plain(name: str) -> str:
    """A parameter's name in the model without adapters."""
    return name.replace(".base_layer.", ".").replace(".original_module.", ".")


def _columns(block_size: int, orders: tuple[int, ...], is_free: bool) -> int:
    return dataclasses.replace(plan_blocks(block_size, orders), is_free=is_free).n_parameters


def _wires(n_numbers: int, is_free: bool) -> int:
    """The n with n(n-1)/2 = n_numbers, or n² of them where A is any matrix, or 0 if there is none."""
    if is_free:
        n = math.isqrt(n_numbers)
        return n if n**2 == n_numbers else 0
    n = (1 + math.isqrt(1 + 8 * n_numbers)) // 2
    return n if n * (n - 1) // 2 == n_numbers else 0
