"""Training with the numbers that a packed file will hold: rounded in the forward, unrounded in the steps."""

from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .quantise import Bits, check_bits, quantise
from .rounded import numbers_of

__all__ = ["QuantisationAware", "QuantisationAwareCallback"]

_KEPT = "quic_unrounded"


class QuantisationAware:
    r"""Keeps an adapter's numbers rounded to few bits while an optimizer trains them.

    With θ the numbers that the optimizer moves and Q the rounding of :func:`~adapters.quantise.quantise`, the model
    always holds Q(θ), and a step is θ <- θ - η g with g the gradient at Q(θ): the straight-through estimator, which
    takes dQ/dθ for the identity. So what is evaluated, merged and saved is what a packed file gives back, to the bit.

    The unrounded θ are in the optimizer's state and saved with it: training goes on from a checkpoint as if it had
    not stopped. Gradients must be whole: parameters sharded over processes are not supported.

    Args:
        model: a model with QuIC adapters; its numbers are rounded at once.
        optimizer: what trains it.
        bits: 8, 4 or 1 for codes; 16 and 32 are allowed.
        adapter_name: the adapter; every active one if left out.

    Raises:
        ValueError: the model has no such adapter, the optimizer does not train it, or the width is another one.

    Use it as a context, or call `remove` when training is over; the model keeps Q(θ). With transformers' Trainer use
    :class:`QuantisationAwareCallback`.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, bits: Bits, *, adapter_name: str | None = None
    ) -> None:
        check_bits(bits)
        trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        self._parameters = [one for one in numbers_of(model, adapter_name) if id(one) in trained]
        if not self._parameters:
            raise ValueError("the optimizer must train numbers of the adapter, got one that trains none of them")
        self.bits = bits
        self._optimizer = optimizer
        self._first = [parameter.detach().clone() for parameter in self._parameters]
        self._round()
        self._hooks = (
            optimizer.register_step_pre_hook(lambda *_: self._restore()),
            optimizer.register_step_post_hook(lambda *_: self._keep()),
        )

    def remove(self) -> None:
        """Stop; the model keeps the rounded numbers."""
        for hook in self._hooks:
            hook.remove()
        for parameter in self._parameters:
            self._optimizer.state[parameter].pop(_KEPT, None)

    def __enter__(self) -> "QuantisationAware":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @torch.no_grad()
    def _restore(self) -> None:
        for parameter, first in zip(self._parameters, self._first, strict=True):
            parameter.copy_(self._optimizer.state.get(parameter, {}).get(_KEPT, first))

    @torch.no_grad()
    def _keep(self) -> None:
        for parameter in self._parameters:
            # After the step, because optimizers take a state that is not empty for one that they have made.
            self._optimizer.state[parameter][_KEPT] = parameter.detach().clone()
        self._round()

    @torch.no_grad()
    def _round(self) -> None:
        for parameter in self._parameters:
            parameter.copy_(quantise(parameter, self.bits))


class QuantisationAwareCallback(TrainerCallback):
    """:class:`QuantisationAware` for transformers: ``Trainer(..., callbacks=[QuantisationAwareCallback(bits=4)])``.

    Args:
        bits: as there.
        adapter_name: as there.
    """

    def __init__(self, bits: Bits, *, adapter_name: str | None = None) -> None:
        check_bits(bits)
        self._bits, self._adapter_name = bits, adapter_name
        self._running: QuantisationAware | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin, with the optimizer that the Trainer has made, or loaded from a checkpoint."""
        optimizer = kwargs["optimizer"]
        optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
        self._running = QuantisationAware(kwargs["model"], optimizer, self._bits, adapter_name=self._adapter_name)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop; the model keeps the rounded numbers."""
        if self._running is not None:
            self._running.remove()
            self._running = None
