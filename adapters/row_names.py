"""Around a forward or generate call: the name of one adapter a row, handed to every layer that has adapters."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peft.utils.other import AuxiliaryTrainingWrapper
from torch import Tensor, nn
from transformers import GenerationConfig

from .layer import QuICLayer

if TYPE_CHECKING:
    from .model import QuICModel

__all__ = ["pass_row_names"]


@contextmanager
def pass_row_names(
    tuner: "QuICModel", names: Sequence[str] | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[None]:
    """For the length of a context, layers get `adapter_names`, as often as generation repeats a row.

    Args:
        tuner: the model.
        names: one a row of the batch; nothing is passed for None.
        args, kwargs: the arguments of the call.
    """
    if names is None:
        yield
        return
    copies = _copies_of_rows(tuner.model, args, kwargs)
    bank = tuner.bank
    # Modules trained in full are those of the host for all adapters of a bank.
    served = names if bank is None else [bank.host if name in bank else name for name in names]

    def pass_names(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> Any:
        # Generation repeats each row, but not for the encoder of an encoder-decoder model.
        repeat = copies if args and len(args[0]) == copies * len(names) else 1
        own = names if isinstance(module, QuICLayer) else served
        return args, {**kwargs, "adapter_names": [name for name in own for _ in range(repeat)]}

    hooks = [
        module.register_forward_pre_hook(pass_names, with_kwargs=True)
        for module in tuner.modules()
        if isinstance(module, QuICLayer | AuxiliaryTrainingWrapper)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _copies_of_rows(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How often a generate call with these arguments repeats each row: for its beams or its samples."""
    passed = [kwargs.get("generation_config"), *args]
    configs = [config for config in passed if isinstance(config, GenerationConfig)]
    configs.append(getattr(model, "generation_config", None))

    def value(name: str) -> int:
        values = [kwargs.get(name), *(getattr(config, name, None) for config in configs)]
        return next((value for value in values if value is not None), 1)

    return max(value("num_beams"), value("num_return_sequences"))
