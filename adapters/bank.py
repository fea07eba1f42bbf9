"""AdapterBank: thousands of adapters beside one model, served row by row or switched in merged weights."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from .adapter_file import read_tensors
from .bank_cache import KeptRotations
from .bank_checks import check_same_meaning, check_tensors
from .combine import Combination, check_combination, combine, similarities
from .config import QuICConfig
from .model import QuICModel
from .names import nearest_names
from .rows import LentRotations
from .saved import saved_config
from .switching import switch_parameters
from .vectors import VectorPlan, tensor_name

__all__ = ["AdapterBank"]


class AdapterBank:
    """Adapters of one configuration beside a model, each kept as one vector of its trained numbers.

    The model has one adapter of that configuration itself, the host, and the bank any number more. They are served

    - row by row: ``model(x, adapter_names=[...])`` and ``model.generate`` take names of the bank beside those of the
      model and "__base__". The rotations of all adapters of a batch are found in one call of the map for each n, and
      applied in one call for each layer. Modules that the host trains in full serve the bank's adapters too;
    - merged: :meth:`switch` goes from one to the next in the weights themselves, without unmerging.

    Args:
        model: what ``get_peft_model`` or ``PeftModel.from_pretrained`` returned, or its `base_model`.
        host: the name of the model's adapter whose configuration those of the bank share; by default the active one.
        cache_bytes: how much memory the rotations of adapters that were served may keep, the latest first.

    Raises:
        TypeError: the model has no QuIC adapters.
        ValueError: the host is unknown or does more than rotate, or the model has a bank already.
    """

    def __init__(self, model: nn.Module, host: str | None = None, *, cache_bytes: int = 2**28) -> None:
        tuner = model if isinstance(model, QuICModel) else getattr(model, "base_model", None)
        if not isinstance(tuner, QuICModel):
            raise TypeError(f"a bank needs a model with QuIC adapters, got {type(model).__name__}")
        host = tuner.active_adapters[0] if host is None else host
        if host not in tuner.peft_config:
            raise ValueError(f"the model has no adapter {host!r}: {nearest_names([host], tuner.peft_config)}")
        if tuner.bank is not None:
            raise ValueError(f"a model has one bank at a time, got one with {len(tuner.bank)} adapters: detach() it")
        self.host = host
        self._tuner = tuner
        self._plan = VectorPlan(tuner.model, host)
        self._adapters: dict[str, Tensor] = {}
        self._kept = KeptRotations(cache_bytes)
        self._current, self._own = host, torch.empty(0)
        tuner.bank = self

    def detach(self) -> None:
        """Take the bank off the model.

        Raises:
            ValueError: another adapter is in the host's place.
        """
        self._check_place("detaching the bank")
        self._tuner.bank = None

    def __len__(self) -> int:
        return len(self._adapters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._adapters)

    def __contains__(self, name: object) -> bool:
        return name in self._adapters

    @property
    def nbytes(self) -> int:
        """The bytes of the parameters of all adapters, without the rotations that are kept."""
        return sum(vector.nbytes for vector in self._adapters.values())

    @property
    def current(self) -> str:
        """The adapter in the host's place: the one that was last switched to, at first the host itself."""
        return self._current

    def add(self, name: str, source: str | Path | Mapping[str, Tensor]) -> None:
        """Add an adapter.

        Args:
            name: a name that neither the bank nor the model has.
            source: a folder that ``save_pretrained`` wrote, with a safetensors file; or the tensors of such a file,
                as ``peft.get_peft_model_state_dict`` and :meth:`parameters` return them.

        Raises:
            TypeError: the name is no string.
            ValueError: the name is taken; or the adapter has another configuration than the host, other modules or
                shapes, more than rotations, or numbers that are not finite. The bank is as before.
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of an adapter must be a string, got {name!r}")
        if name in self._adapters or name in self._tuner.peft_config or name in ("", "__base__"):
            raise ValueError(f"the name of an adapter must be new to the bank and its model, got {name!r}")
        if not isinstance(source, Mapping):
            folder = Path(source)
            check_same_meaning(self._host_config(), saved_config(folder), name)
            source = read_tensors(folder)
        check_tensors(source, self._plan.shapes(), name)
        self._adapters[name] = self._plan.flatten({tensor_name(key): tensor for key, tensor in source.items()})

    def add_weighted_adapter(
        self,
        adapters: list[str],
        weights: list[float],
        adapter_name: str,
        combination_type: Combination = "lie",
    ) -> None:
        """Add an adapter made of adapters of the bank; as :meth:`~adapters.QuICModel.add_weighted_adapter`."""
        check_combination(adapters, weights, combination_type)
        parts = [self.parameters(name) for name in adapters]
        self.add(adapter_name, combine(self._plan.turns(), parts, weights, combination_type))

    def similarities(self, adapters: list[str]) -> Tensor:
        """tr(R_i^T R_j) / d for every pair of adapters of the bank; see :meth:`~adapters.QuICModel.similarities`."""
        return similarities(self._plan.turns(), [self.parameters(name) for name in adapters])

    def remove(self, name: str) -> None:
        """Remove an adapter.

        Raises:
            ValueError: it is unknown, or in the host's place.
        """
        self._check_known(name)
        if name == self._current:
            self._check_place(f"removing {name!r}")
        del self._adapters[name]
        self._kept.drop(name)

    def shapes(self) -> dict[str, tuple[int, int]]:
        """The shapes of the tensors that :meth:`add` takes and :meth:`parameters` returns."""
        return self._plan.shapes()

    def parameters(self, name: str) -> dict[str, Tensor]:
        """The numbers of an adapter, by the names that they have in an adapter file, without "base_model.model.".

        Raises:
            ValueError: the name is unknown.
        """
        self._check_known(name)
        return {tensor: numbers.clone() for tensor, numbers in self._plan.unflatten(self._adapters[name]).items()}

    def switch(self, name: str) -> None:
        """Put an adapter of the bank, or the host's own, into the host's place, and into the weights.

        Weights that hold another adapter go over by W <- R_new R_old^T W, on side "in" W <- W R_old^T R_new: the
        relative rotation is applied in float64, and W rounded. Weights that hold none are merged. Then the model
        is as if the host had been trained to this adapter and merged, so ``unmerge_adapter`` gives the weights back,
        with the adapter active and unmerged.

        Args:
            name: of the bank's, or the host.

        Raises:
            ValueError: the name is unknown, or the weights hold other adapters than the host, or are also those of
                other modules. Nothing has changed.
        """
        if name != self.host:
            self._check_known(name)
        # As it is now: it may have been trained since.
        own = self._plan.flatten(self._plan.held()) if self._current == self.host else self._own
        vector = own if name == self.host else self._adapters[name]
        switch_parameters(self._tuner, self.host, self._plan.unflatten(vector))
        self._current, self._own = name, own

    @contextmanager
    def lend(self, names: Sequence[str]) -> Iterator[None]:
        """Give the layers the rotations of those of these names that are the bank's, for the length of a context.

        Args:
            names: one for every row of a batch.

        Raises:
            ValueError: the host is among them, and another adapter is in its place.
        """
        if self.host in names:
            self._check_place(f"serving {self.host!r}")
        distinct = [name for name in dict.fromkeys(names) if name in self._adapters]
        if not distinct:
            yield
            return
        places = {name: place for place, name in enumerate(distinct)}
        try:
            for layer, turn, matrices in self._plan.of_layers(self._matrices(distinct)):
                layer.lent = (*layer.lent, LentRotations(turn.side, turn.rotation, places, matrices))
            yield
        finally:
            for layer in self._plan.layers.values():
                layer.lent = ()

    def _matrices(self, names: list[str]) -> list[Tensor]:
        """The rotations of these adapters, for each group of layers shape (adapters, blocks of its layers, n, n)."""
        found = {name: kept for name in names if (kept := self._kept.get(name)) is not None}
        if missing := [name for name in names if name not in found]:
            # Outside of inference mode, for autograd may be used beside them later.
            with torch.inference_mode(False), torch.no_grad():
                groups = self._plan.matrices(torch.stack([self._adapters[name] for name in missing]))
                for name, *own in zip(missing, *groups, strict=True):
                    # Copies, so that an adapter's rotations can be forgotten without those of the others.
                    found[name] = [matrices.clone() for matrices in own]
                    self._kept.put(name, found[name])
        return [torch.stack(group) for group in zip(*(found[name] for name in names), strict=True)]

    def _host_config(self) -> QuICConfig:
        config: QuICConfig = self._tuner.peft_config[self.host]
        return config

    def _check_known(self, name: str) -> None:
        if name not in self._adapters:
            raise ValueError(f"the bank has no adapter {name!r}: {nearest_names([name], self._adapters)}")

    def _check_place(self, what: str) -> None:
        if self._current != self.host:
            raise ValueError(
                f"{what} needs {self.host!r} in its own place, got {self._current!r} there: "
                f"call switch({self.host!r}) first"
            )
