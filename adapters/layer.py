"""QuICLayer: a frozen layer whose input or output features are rotated, with PEFT's life cycle of adapters."""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn

from .config import ParameterMap, QuICConfig, Side
from .maps import LayerRotations
from .plan import BlockPlan, plan_blocks
from .rotation import Rotation
from .rows import LentRotations, RowGroup, rotate_rows

__all__ = ["QuICLayer"]


class QuICLayer(nn.Module, BaseTunerLayer):
    """A layer with weight W that computes with R W (side "out") or W R (side "in") instead, W left as it is.

        out:  y = R (base(x) - bias) + bias         in:  y = base(R x)

    With R = I the outputs are those of the base layer to the last bit, for finite activations and at the default
    float32 matmul precision ("highest"; "medium" rounds R x to bfloat16). A bias is not rotated, and its gradient
    is that of an ordinary bias. Active adapters compose in their order: W' = R_2 R_1 W, or W' = W R_1 R_2.

    Its subclasses say where a kind of layer keeps its features.

    Args:
        base_layer: the layer to adapt.
        adapter_name: name of the first adapter.
        config: its configuration.

    Raises:
        ValueError: the layer has no room for the orders, or its kind cannot be rotated on that side.
    """

    adapter_layer_names = ("quic_parameters",)
    other_param_names = ("quic_rotation", "quic_matrices", "quic_side", "quic_dropout")
    lent: LentRotations | None = None

    feature_dim: ClassVar[int] = -1
    """The dimension of inputs and outputs that holds the features."""
    weight_dims: ClassVar[dict[Side, int]]
    """The dimension of the weight that holds the features of each side."""

    # What BaseTunerLayer brings; it carries no types, and nn.Module would take these for tensors.
    active_adapters: list[str]
    disable_adapters: bool
    merged: bool
    delete_adapter: Callable[[str], None]
    get_base_layer: Callable[[], Any]
    set_adapter: Callable[..., None]

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: QuICConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.quic_parameters = nn.ParameterDict()
        self.quic_rotation: dict[str, Rotation] = {}
        self.quic_matrices: dict[str, LayerRotations] = {}
        self.quic_side: dict[str, Side] = {}
        self.quic_dropout: dict[str, float] = {}
        self.merged_adapters: list[str] = []
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)
        self.train(base_layer.training)

    @classmethod
    def count_features(cls, base_layer: nn.Module, side: Side) -> int:
        """The number of features of a side.

        Args:
            base_layer: the layer to adapt.
            side: "out" or "in".

        Returns:
            d, at least 1.

        Raises:
            ValueError: this kind of layer cannot be rotated on that side.
        """
        raise NotImplementedError

    @classmethod
    def plan(cls, base_layer: nn.Module, config: QuICConfig) -> BlockPlan:
        """Where the blocks of an adapter would lie in a layer; nothing is created.

        Args:
            base_layer: the layer to adapt.
            config: the adapter's configuration.

        Returns:
            the plan of R for the features of the configuration's side.

        Raises:
            ValueError: as the class.
        """
        features = cls.count_features(base_layer, config.side)
        try:
            return plan_blocks(
                features,
                config.orders,
                n_blocks=config.n_blocks,
                block_size=config.block_size,
                block_share=config.block_share,
                n_factors=config.n_factors,
            )
        except ValueError as error:
            raise ValueError(
                f"{error} (to leave a layer alone, name it in exclude_modules; to train a small head in full, in "
                "modules_to_save, or give the task_type)"
            ) from error

    def update_layer(self, adapter_name: str, config: QuICConfig) -> None:
        """Add an adapter to the layer; its parameters are zero, R = I, unless `config.init_weights` is False."""
        plan = self.plan(self.get_base_layer(), config)
        parameters = torch.zeros(plan.parameter_shape)
        if not config.init_weights:
            nn.init.normal_(parameters, std=0.1)
        self.quic_rotation[adapter_name] = Rotation(plan, config.parameter_map)
        self.quic_matrices[adapter_name] = LayerRotations()
        self.quic_side[adapter_name] = config.side
        self.quic_dropout[adapter_name] = config.module_dropout
        self.quic_parameters[adapter_name] = nn.Parameter(parameters)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def matrices(self, adapter_name: str) -> Tensor:
        """The rotations A_i of an adapter.

        Args:
            adapter_name: its name.

        Returns:
            shape (F N, n, n), or (F, n, n) where the blocks of each of its F factors share one.
        """
        rotation, parameters = self.quic_rotation[adapter_name], self.quic_parameters[adapter_name]
        return self.quic_matrices[adapter_name](rotation.parameter_map, parameters)

    def sharable_rotations(
        self, adapter_names: Sequence[str] | None
    ) -> Iterator[tuple[LayerRotations, ParameterMap, Tensor]]:
        """What `share_rotations` can compute of the rotations that a forward will ask for.

        Args:
            adapter_names: the adapters of the forward; the active ones by default.
        """
        if self.disable_adapters or self.merged:
            return
        for name in self.active_adapters if adapter_names is None else set(adapter_names):
            if name in self.quic_parameters:
                rotation, parameters = self.quic_rotation[name], self.quic_parameters[name]
                # Others are sharded, or stay elsewhere until the layer is called.
                is_whole = type(parameters) in (Tensor, nn.Parameter) and not parameters.is_meta
                is_whole = is_whole and parameters.shape == rotation.plan.parameter_shape
                if is_whole and parameters.dtype in (torch.float32, torch.float64):
                    yield self.quic_matrices[name], rotation.parameter_map, parameters

    def forward(self, x: Tensor, *args: Any, adapter_names: Sequence[str] | None = None, **kwargs: Any) -> Tensor:
        """The base layer with the rotations of the active adapters, or of one adapter a row of the batch."""
        if self.disable_adapters:
            if self.merged:
                self.unmerge()
            return self.base_layer(x, *args, **kwargs)
        if adapter_names is not None:
            return self._forward_rows(x, adapter_names, *args, **kwargs)
        if self.merged:
            return self.base_layer(x, *args, **kwargs)
        names = [name for name in self.active_adapters if name in self.quic_parameters]
        for name in reversed(names):
            if self.quic_side[name] == "in":
                x = self._rotate(x, name, None)
        out: Tensor = self.base_layer(x, *args, **kwargs)
        bias = getattr(self.get_base_layer(), "bias", None)
        for name in names:
            if self.quic_side[name] == "out":
                out = self._rotate(out, name, bias)
        return out

    def _forward_rows(self, x: Tensor, adapter_names: Sequence[str], *args: Any, **kwargs: Any) -> Tensor:
        """One adapter a row of the batch: a call for all of them that have the same plan, side and map."""
        groups = self._groups(x, adapter_names)
        for group in groups:
            if group.side == "in":
                x = self._rotate_rows(x, group, None)
        out: Tensor = self.base_layer(x, *args, **kwargs)
        bias = getattr(self.get_base_layer(), "bias", None)
        for group in groups:
            if group.side == "out":
                out = self._rotate_rows(out, group, bias)
        return out

    def _groups(self, x: Tensor, adapter_names: Sequence[str]) -> list[RowGroup]:
        if self.merged:
            raise ValueError(
                f"adapter_names needs unmerged adapters, got merged {self.merged_adapters}: call unmerge_adapter()"
            )
        if len(adapter_names) != len(x):
            raise ValueError(
                f"adapter_names needs one name a row of the batch, got {len(adapter_names)} names for {len(x)} rows"
            )
        groups = []
        if self.lent is not None:
            owners = [self.lent.places.get(name, -1) for name in adapter_names]
            side, rotation = self.quic_side[self.lent.host], self.quic_rotation[self.lent.host]
            groups.append(RowGroup(side, rotation, self.lent.matrices, owners))
        kinds = defaultdict(list)
        for name in dict.fromkeys(adapter_names):
            if name in self.quic_parameters:  # not "__base__", nor an adapter of other layers only
                kinds[self.quic_side[name], self.quic_rotation[name]].append(name)
        for (side, rotation), names in kinds.items():
            matrices = torch.stack([self.matrices(name) for name in names])
            places = {name: index for index, name in enumerate(names)}
            groups.append(RowGroup(side, rotation, matrices, [places.get(name, -1) for name in adapter_names]))
        return groups

    def _rotate(self, x: Tensor, name: str, bias: Tensor | None) -> Tensor:
        """R (x - bias) + bias on the feature dimension of x."""
        features_last = x.movedim(self.feature_dim, -1)
        rotated = self._as_it_came(self.quic_rotation[name].rotate(self.matrices(name), features_last, bias), x)
        if self.training and self.quic_dropout[name]:
            # Chosen by value, not by a branch, which would break the graph of torch.compile.
            skip = torch.rand((), device=x.device) < self.quic_dropout[name]
            rotated = torch.where(skip, x, rotated)
        return rotated

    def _rotate_rows(self, x: Tensor, group: RowGroup, bias: Tensor | None) -> Tensor:
        features_last = x.movedim(self.feature_dim, -1)
        return self._as_it_came(rotate_rows(group, features_last, bias), x)

    def _as_it_came(self, rotated: Tensor, x: Tensor) -> Tensor:
        """Laid out as x is: convolutions choose their kernel, hence their rounding, by the strides."""
        rotated = rotated.movedim(-1, self.feature_dim)
        return rotated if rotated.stride() == x.stride() else torch.empty_like(x).copy_(rotated)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Put the rotations into the base weight: computed in at least float32, rounded once.

        Args:
            safe_merge: whether to refuse a result that is not finite, before the weight is touched.
            adapter_names: the adapters, in order; the active ones by default.

        Raises:
            ValueError: the weight is quantised, or `safe_merge` and an adapter gives numbers that are not finite.
        """
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in self.quic_parameters]
        if not names:
            return
        weight = self._mergeable_weight()
        merged = weight.detach()
        for name in names:
            merged = self._rotate_weight(merged, name, inverse=False)
            if safe_merge and not merged.isfinite().all():
                raise ValueError(f"a merged weight must be finite, got NaN or infinity from adapter {name!r}")
        with torch.no_grad():
            weight.copy_(merged)
        self.merged_adapters.extend(names)

    def unmerge(self) -> None:
        """Take merged rotations out again, by their transposes: the weight returns up to rounding."""
        if not self.merged:
            warnings.warn("no adapter is merged, nothing to unmerge", stacklevel=2)
            return
        weight = self._mergeable_weight()
        restored = weight.detach()
        for name in reversed(self.merged_adapters):
            restored = self._rotate_weight(restored, name, inverse=True)
        with torch.no_grad():
            weight.copy_(restored)
        self.merged_adapters.clear()

    def _mergeable_weight(self) -> Tensor:
        weight: Tensor = self.get_base_layer().weight
        if not weight.is_floating_point():
            raise ValueError(
                f"merging needs a floating-point weight, got {weight.dtype}: quantising again would lose most of "
                "the rotation, so merge into the weights as they were before quantisation"
            )
        return weight

    @torch.no_grad()
    def _rotate_weight(self, weight: Tensor, name: str, *, inverse: bool) -> Tensor:
        side = self.quic_side[name]
        dim = self.weight_dims[side]
        # Columns of R W are R w; rows of W R are R^T w.
        rotated = self.quic_rotation[name].apply(
            self.quic_parameters[name], weight.movedim(dim, -1), transpose=inverse != (side == "in")
        )
        return rotated.movedim(-1, dim)

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """Follow the base layer's device, and float64, but never its shorter types: R would lose orthogonality."""
        weight = self.get_base_layer().weight
        parameters = self.quic_parameters[adapter_name]
        if parameters.is_meta:
            return
        dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        # In place: it stays the same parameter, trained or not as before.
        parameters.data = parameters.data.to(weight.device if device is None else device, dtype)

    def extra_repr(self) -> str:
        """One line an adapter: what it rotates, and with how many numbers."""
        return "\n".join(
            f"{name}: side={self.quic_side[name]!r}, parameter_map={rotation.parameter_map!r}, "
            f"orders={rotation.plan.orders}, n={rotation.plan.n}, n_factors={rotation.plan.n_factors}, "
            f"n_blocks={rotation.plan.n_blocks}, "
            f"n_parameters={rotation.plan.n_parameters}"
            for name, rotation in self.quic_rotation.items()
        )
