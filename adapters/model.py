"""QuICModel: puts QuIC layers into a model, in the hooks that PEFT gives its tuners."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import peft
import torch
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import Tensor, nn

from .bank_checks import check_same_meaning, check_tensors
from .combine import Combination, check_combination, combine, similarities
from .config import QuICConfig
from .faces import face_of
from .injection import check_is_called, check_name, check_shapes, refuse_loader, remove_adapter
from .layer import QuICLayer
from .maps import share_rotations
from .merge_checks import check_own_weights
from .names import nearest_names
from .packed import unpack_tensors
from .quantised import keep_differentiable
from .rounding_losses import warn_of_rounding
from .row_names import pass_row_names
from .switching import switch_adapter
from .targets import check_targets
from .vectors import VectorPlan

if TYPE_CHECKING:
    from .bank import AdapterBank

__all__ = ["QuICModel"]


class QuICModel(BaseTuner):
    """A model whose target modules carry QuIC adapters; made by ``peft.get_peft_model(model, QuICConfig(...))``.

    Args:
        model: the model to adapt; its target modules are replaced in place.
        config: a :class:`~adapters.config.QuICConfig`.
        adapter_name: name of the adapter.
        low_cpu_mem_usage: whether to create the parameters on the meta device, to be loaded later.

    Raises:
        TypeError, ValueError: a target cannot be adapted; the message names it, and the model is as before.
    """

    prefix = "quic_"
    tuner_layer_cls = QuICLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    bank: "AdapterBank | None" = None
    """More adapters beside the model: see :class:`~adapters.bank.AdapterBank`."""

    def __init__(self, model: nn.Module, peft_config: Any, *args: Any, **kwargs: Any) -> None:
        # PeftModel gives a dictionary of configurations; those who give one read the adapter file themselves.
        if isinstance(peft_config, QuICConfig) and peft_config.packed_bits is not None:
            refuse_loader("another loader, such as load_adapter of transformers")
        super().__init__(model, peft_config, *args, **kwargs)

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Add an adapter to the model, or leave the model as it was if some target cannot be adapted."""
        trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        config = self.peft_config[adapter_name]
        try:
            check_name(adapter_name)
            if config.saved is not None:
                config.saved.check_place(model, config.modules_to_save or (), is_needed=config.inference_mode)
            if config.packed_bits is not None and not hasattr(BaseTuner, "_remap_adapter_state_dict_for_load"):
                refuse_loader(f"PEFT {peft.__version__}")
            super().inject_adapter(model, adapter_name, *args, **kwargs)
            config.saved = config.packed_bits = None
        except Exception:
            remove_adapter(model, adapter_name)
            self.peft_config.pop(adapter_name, None)
            if not hasattr(model, "peft_config") and hasattr(model, "_hf_peft_config_loaded"):
                # The add_adapter of transformers has set it already.
                model._hf_peft_config_loaded = False  # type: ignore[assignment]
            for parameter, requires_grad in trainable:
                parameter.requires_grad = requires_grad
            raise

    def _check_new_adapter_config(self, config: QuICConfig) -> None:
        config.check()
        super()._check_new_adapter_config(config)

    def _prepare_model(self, peft_config: QuICConfig, model: nn.Module) -> None:
        """PEFT calls this when it knows the targets, and has not yet changed the model."""
        model_type = self.get_model_config(model).get("model_type")
        check_targets(peft_config, model, self.target_module_mapping.get(model_type, ()))
        keep_differentiable(model)

    def _create_and_replace(
        self,
        config: QuICConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **kwargs: Any,
    ) -> None:
        own = config.for_module(current_key)
        try:
            if isinstance(target, QuICLayer):
                layer = target
                layer.update_layer(adapter_name, own)
            else:
                check_is_called(parent)
                layer = face_of(target)(target, adapter_name, own)
            if (saved := config.saved) is not None:
                check_shapes(layer, adapter_name, lambda holder: saved.shape_of(current_key, holder))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{current_key}: {error}") from error
        if layer is target:
            return
        if adapter_name not in self.active_adapters:
            for holder in layer.adapter_layer_names:
                getattr(layer, holder).requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Put the rotations of the named adapters, or of the active ones, into the weights, to be unmerged later.

        Args:
            adapter_names: the adapters, in order; the active ones by default.
            safe_merge: whether to refuse a result that is not finite.

        Raises:
            TypeError: `adapter_names` is not a list of names.
            ValueError: a name is unknown, or a weight is also that of another module.
        """
        self.check_merge(adapter_names)
        with warn_of_rounding(self.model):
            super().merge_adapter(adapter_names, safe_merge)

    def switch_adapter(self, adapter_name: str) -> None:
        """Merge an adapter in the place of the one that is merged, or of none.

        Where both have one plan and side, W <- R_new R_old^T W (side "in": W <- W R_old^T R_new) by one rotation in
        float64, after which W is rounded; else one is taken out and the other put in. A quantised weight is merged
        into anew, from what was loaded.

        Args:
            adapter_name: one of the model's adapters.

        Raises:
            ValueError: several adapters are merged, the name is unknown, or a weight is also that of another module.
                Nothing has changed.
        """
        self._check_known([adapter_name])
        switch_adapter(self, adapter_name)

    def add_weighted_adapter(
        self,
        adapters: list[str],
        weights: list[float],
        adapter_name: str,
        combination_type: Combination = "lie",
    ) -> None:
        """Add an adapter made of adapters of one configuration; made of one, it is its power.

        As in PEFT it is not active, and modules trained in full are not combined.

        Args:
            adapters: names.
            weights: one for each; of any sign, they need not add up to 1.
            adapter_name: a new name.
            combination_type: "lie", exp of the weighted sum of the logarithms, or "composition", the product of
                powers: see :func:`~adapters.combine.combine`.

        Raises:
            TypeError: the adapters or weights are no lists.
            ValueError: a name is unknown or taken; the adapters have different configurations or modules, do more
                than rotate, or have several factors; or their map cannot give the result. The model is as before.
        """
        check_combination(adapters, weights, combination_type)
        if adapter_name in self.peft_config or adapter_name in (self.bank or ()):
            raise ValueError(f"the name of the new adapter must be new, got {adapter_name!r}")
        plan, parts = self._rotations_of(adapters)
        made = combine(plan.turns(), parts, weights, combination_type)
        self.peft_config[adapter_name] = dataclasses.replace(self.peft_config[adapters[0]])
        self.inject_adapter(self.model, adapter_name)
        with torch.no_grad():
            for name, held in VectorPlan(self.model, adapter_name).held().items():
                held.copy_(made[name])

    def similarities(self, adapters: list[str]) -> Tensor:
        """tr(R_i^T R_j) / d for every pair of adapters of one configuration, shape (adapters, adapters), float64.

        Args:
            adapters: names.

        Raises:
            ValueError: as :meth:`add_weighted_adapter`.
        """
        plan, parts = self._rotations_of(adapters)
        return similarities(plan.turns(), parts)

    def _rotations_of(self, adapters: list[str]) -> tuple[VectorPlan, list[dict[str, Tensor]]]:
        """Where the rotations of some adapters of one configuration are, and the numbers of each."""
        self._check_known(adapters)
        plan = VectorPlan(self.model, adapters[0])
        parts = [VectorPlan(self.model, name).held() for name in adapters]
        for name, part in zip(adapters, parts, strict=True):
            check_same_meaning(self.peft_config[adapters[0]], self.peft_config[name], name)
            check_tensors(part, plan.shapes(), name)
        return plan, parts

    def _unload_and_optionally_merge(
        self,
        merge: bool = True,
        progressbar: bool = False,
        safe_merge: bool = False,
        adapter_names: list[str] | None = None,
    ) -> nn.Module:
        if not merge:
            return super()._unload_and_optionally_merge(merge, progressbar, safe_merge, adapter_names)
        self.check_merge(adapter_names)
        with warn_of_rounding(self.model):
            return super()._unload_and_optionally_merge(merge, progressbar, safe_merge, adapter_names)

    def check_merge(self, adapter_names: Any) -> None:
        """Refuse unknown adapters, and weights that other modules hold; for the arguments of :meth:`merge_adapter`.

        Raises:
            TypeError, ValueError: as :meth:`merge_adapter`.
        """
        names = self.active_adapters if adapter_names is None else adapter_names
        self._check_known(names)
        check_own_weights(self.model, names)

    @contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Around a forward or generate call: rotations for all layers at once, and `adapter_names` to each."""
        names = kwargs.pop("adapter_names", None)
        if names is not None:
            self._check_adapter_names(names)
        bank = nullcontext() if names is None or self.bank is None else self.bank.lend(names)
        with self._share_rotations(names), bank, pass_row_names(self, names, args, kwargs):
            yield

    def _share_rotations(self, names: Sequence[str] | None) -> AbstractContextManager[None]:
        if torch.compiler.is_compiling():
            return nullcontext()
        layers = [module for module in self.modules() if isinstance(module, QuICLayer)]
        wanted = [one for layer in layers for one in layer.sharable_rotations(names)]
        if not torch.is_grad_enabled():  # what layers on a CPU keep serves them then
            wanted = [one for one in wanted if one[-1].device.type != "cpu"]
        return share_rotations(wanted)

    def _check_adapter_names(self, names: Any) -> None:
        if self.training:
            raise ValueError("adapter_names needs a model in evaluation mode, got one in training: call eval()")
        self._check_known(names, ["__base__"], self.bank or ())

    def _check_known(self, names: Any, *others: Collection[str]) -> None:
        """Refuse what is not a list of names of the model's adapters, or of others."""
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"adapter_names must be a list of names, got {names!r}")
        known = [self.peft_config, *others]
        if unknown := {name for name in names if not any(name in these for these in known)}:
            hint = nearest_names(unknown, [name for these in known for name in these])
            raise ValueError(f"adapter_names must be names of adapters, got {sorted(unknown)}: {hint}")

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: QuICConfig, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """PEFT calls this with what an adapter file holds: unpack a packed one."""
        return super()._remap_adapter_state_dict_for_load(model, config, adapter_name, unpack_tensors(state_dict))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Refuse parameters of another shape; torch calls this before it loads anything below."""
        for name, layer in self.named_modules():
            if not isinstance(layer, QuICLayer):
                continue
            for adapter_name in layer.quic_turns:
                shapes = {
                    holder: tuple(state_dict[key].shape)
                    for holder in layer.adapter_layer_names
                    if (key := f"{prefix}{name}.{holder}.{adapter_name}") in state_dict
                }
                try:
                    check_shapes(layer, adapter_name, shapes.get)
                except ValueError as error:
                    raise ValueError(f"{name.removeprefix('model.')}: {error}") from error
        super()._load_from_state_dict(state_dict, prefix, *args)
