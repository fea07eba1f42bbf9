"""QuICLayer: a frozen layer whose input or output features are rotated, with PEFT's life cycle of adapters."""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn

from .config import ParameterMap, QuICConfig, Side
from .maps import LayerRotations
from .plan import BlockPlan, plan_blocks
from .rotation import Rotation
from .rows import LentRotations, RowGroup, rotate_rows
from .turn import Turn

__all__ = ["QuICLayer"]


class QuICLayer(nn.Module, BaseTunerLayer):
    """A layer with weight W that computes with R W (side "out") or W R (side "in") instead, W left as it is.

        out:  y = R (base(x) - bias) + bias         in:  y = base(R x)

    The class :class:`~adapters.turn.Turn` says what scales, both sides and the additive form make of it.

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

    adapter_layer_names = ("quic_parameters", "quic_in_parameters", "quic_scales")
    other_param_names = ("quic_rotation", "quic_matrices", "quic_side", "quic_dropout", "quic_turns")
    lent: tuple[LentRotations, ...] = ()

    feature_dim: ClassVar[int] = -1
    """The dimension of inputs and outputs that holds the features."""
    weight_dims: ClassVar[dict[Side, int]]
    """The dimension of the weight that holds the features of each side."""
    can_add: ClassVar[bool] = False
    """Whether the layer is linear in features alone, so that the additive form is a weight of it."""

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
        self.quic_in_parameters = nn.ParameterDict()  # of the input side, where both are turned
        self.quic_scales = nn.ParameterDict()
        self.quic_turns: dict[str, tuple[Turn, ...]] = {}
        # Those of the first turn.
        self.quic_rotation: dict[str, Rotation] = {}
        self.quic_matrices: dict[str, LayerRotations] = {}
        self.quic_side: dict[str, str] = {}
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
    def plan(cls, base_layer: nn.Module, config: QuICConfig, side: Side) -> BlockPlan:
        """Where the blocks of an adapter would lie in a layer; nothing is created.

        Args:
            base_layer: the layer to adapt.
            config: the adapter's configuration.
            side: one that the configuration turns.

        Returns:
            the plan of R for the features of that side.

        Raises:
            ValueError: as the class.
        """
        features = cls.count_features(base_layer, side)
        if config.composition == "additive" and not cls.can_add:
            raise ValueError(
                "composition='additive' needs a linear layer, whose weight has an identity to rotate, got "
                f"{type(base_layer).__name__}"
            )
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
        sides: list[Side] = ["out", "in"] if config.side == "both" else [config.side]
        plans = [self.plan(self.get_base_layer(), config, side) for side in sides]
        turns: list[Turn] = []
        for side, plan in zip(sides, plans, strict=True):
            holder: Literal["quic_parameters", "quic_in_parameters"] = (
                "quic_in_parameters" if turns else "quic_parameters"
            )
            rotation = Rotation(plan, config.parameter_map)
            turns.append(Turn(side, rotation, config.composition == "additive", holder, LayerRotations()))
            getattr(self, holder)[adapter_name] = _start(plan.parameter_shape, config)
        if config.scaling:
            self.quic_scales[adapter_name] = _start((plans[0].features,), config)
        self.quic_turns[adapter_name] = tuple(turns)
        self.quic_rotation[adapter_name] = turns[0].rotation
        self.quic_matrices[adapter_name] = turns[0].matrices
        self.quic_side[adapter_name] = config.side
        self.quic_dropout[adapter_name] = config.module_dropout
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def matrices(self, adapter_name: str) -> Tensor:
        """The rotations A_i of an adapter; of the output side if it turns both.

        Args:
            adapter_name: its name.

        Returns:
            shape (F N, n, n), or (F, n, n) where the blocks of each of its F factors share one.
        """
        return self._matrices(adapter_name, self.quic_turns[adapter_name][0])

    def _matrices(self, adapter_name: str, turn: Turn) -> Tensor:
        return turn.matrices(turn.rotation.parameter_map, getattr(self, turn.parameters_in)[adapter_name])

    def _scales(self, adapter_name: str, turn: Turn) -> Tensor | None:
        is_first = turn.parameters_in == "quic_parameters"
        return self.quic_scales[adapter_name] if is_first and adapter_name in self.quic_scales else None

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
            for turn in self.quic_turns.get(name, ()):
                rotation, parameters = turn.rotation, getattr(self, turn.parameters_in)[name]
                # Others are sharded, or stay elsewhere until the layer is called.
                is_whole = type(parameters) in (Tensor, nn.Parameter) and not parameters.is_meta
                is_whole = is_whole and parameters.shape == rotation.plan.parameter_shape
                if is_whole and parameters.dtype in (torch.float32, torch.float64):
                    yield turn.matrices, rotation.parameter_map, parameters

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
        turns = [(name, turn) for name in self.active_adapters for turn in self.quic_turns.get(name, ())]
        x, seen = self._turn_inputs(x, turns)
        return self._turn_outputs(self.base_layer(x, *args, **kwargs), turns, seen)

    def _turn_inputs(self, x: Tensor, turns: list[tuple[str, Turn]]) -> tuple[Tensor, dict[str, Tensor]]:
        """The inputs of the base layer, and those that each adapter sees that is added to it."""
        seen = {}
        for name, turn in reversed(turns):
            if turn.is_added:
                seen[name] = x
            elif turn.side == "in":
                x = self._turn(x, name, turn, None)
        return x, seen

    def _turn_outputs(self, out: Tensor, turns: list[tuple[str, Turn]], seen: dict[str, Tensor]) -> Tensor:
        bias = getattr(self.get_base_layer(), "bias", None)
        for name, turn in turns:
            if turn.is_added:
                out = self._add(out, name, turn, seen[name])
            elif turn.side == "out":
                out = self._turn(out, name, turn, bias)
        return out

    def _forward_rows(self, x: Tensor, adapter_names: Sequence[str], *args: Any, **kwargs: Any) -> Tensor:
        """One adapter a row of the batch: a call for all of them with the same plan, side and map."""
        groups = self._groups(x, adapter_names)
        for group in groups:
            if group.side == "in":
                x = self._rotate_rows(x, group, None)
        single = []
        for name in dict.fromkeys(adapter_names):
            if name in self.quic_turns and not self.has_only_rotations(name):
                rows = torch.tensor(
                    [row for row, other in enumerate(adapter_names) if other == name], device=x.device
                )
                turns = [(name, turn) for turn in self.quic_turns[name]]
                turned, seen = self._turn_inputs(x.index_select(0, rows), turns)
                x = x.index_copy(0, rows, turned)
                single.append((rows, turns, seen))
        out: Tensor = self.base_layer(x, *args, **kwargs)
        for rows, turns, seen in single:
            out = out.index_copy(0, rows, self._turn_outputs(out.index_select(0, rows), turns, seen))
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
        for lent in self.lent:
            owners = [lent.places.get(name, -1) for name in adapter_names]
            groups.append(RowGroup(lent.side, lent.rotation, lent.matrices, owners))
        kinds = defaultdict(list)
        for name in dict.fromkeys(adapter_names):
            if name in self.quic_turns and self.has_only_rotations(name):
                for turn in self.quic_turns[name]:
                    kinds[turn.side, turn.rotation].append((name, turn))
        for (side, rotation), turns in kinds.items():
            matrices = torch.stack([self._matrices(name, turn) for name, turn in turns])
            places = {name: index for index, (name, _) in enumerate(turns)}
            groups.append(RowGroup(side, rotation, matrices, [places.get(name, -1) for name in adapter_names]))
        return groups

    def has_only_rotations(self, name: str) -> bool:
        """Whether an adapter of the layer neither scales nor adds."""
        return name not in self.quic_scales and not any(turn.is_added for turn in self.quic_turns[name])

    def _turn(self, x: Tensor, name: str, turn: Turn, bias: Tensor | None) -> Tensor:
        """diag(s) R (x - bias) + bias on the feature dimension of x."""
        features_last = x.movedim(self.feature_dim, -1)
        turned = turn.apply(self._matrices(name, turn), self._scales(name, turn), features_last, bias)
        return self._or_skip(self._as_it_came(turned, x), name, x)

    def _add(self, out: Tensor, name: str, turn: Turn, x: Tensor) -> Tensor:
        """The outputs with what a turn adds to them for the inputs x."""
        added = turn.addition(self._matrices(name, turn), self._scales(name, turn), x, out.shape[-1])
        return self._or_skip((out + added).to(out.dtype), name, out)

    def _or_skip(self, turned: Tensor, name: str, x: Tensor) -> Tensor:
        """What was turned or, by the adapter's module dropout, what it was before."""
        if not self.training or not self.quic_dropout[name]:
            return turned
        # Chosen by value, not by a branch, which would break the graph of torch.compile.
        skip = torch.rand((), device=x.device) < self.quic_dropout[name]
        return torch.where(skip, x, turned)

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
        weight = self.mergeable_weight()
        merged = weight.detach()
        for name in names:
            merged = self.turn_weight(merged, name, inverse=False)
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
        weight = self.mergeable_weight()
        restored = weight.detach()
        for name in reversed(self.merged_adapters):
            restored = self.turn_weight(restored, name, inverse=True)
        with torch.no_grad():
            weight.copy_(restored)
        self.merged_adapters.clear()

    def mergeable_weight(self) -> Tensor:
        """The base weight.

        Raises:
            ValueError: it is quantised.
        """
        weight: Tensor = self.get_base_layer().weight
        if not weight.is_floating_point():
            raise ValueError(
                f"merging needs a floating-point weight, got {weight.dtype}: quantising again would lose most of "
                "the rotation, so merge into the weights as they were before quantisation"
            )
        return weight

    @torch.no_grad()
    def turn_weight(self, weight: Tensor, name: str, *, inverse: bool) -> Tensor:
        """A weight with an adapter put into it, or taken out of it; in at least float32."""
        turns = self.quic_turns[name]
        for turn in reversed(turns) if inverse else turns:
            dim, parameters = self.weight_dims[turn.side], getattr(self, turn.parameters_in)[name]
            turned = turn.merge(parameters, self._scales(name, turn), weight.movedim(dim, -1), inverse=inverse)
            weight = turned.movedim(-1, dim)
        return weight

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """Follow the base layer's device, and float64, but never its shorter types: R would lose orthogonality."""
        weight = self.get_base_layer().weight
        dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        for holder in self.adapter_layer_names:
            parameters = getattr(self, holder).get(adapter_name)
            if parameters is not None and not parameters.is_meta:
                # In place: it stays the same parameter, trained or not as before.
                parameters.data = parameters.data.to(weight.device if device is None else device, dtype)

    def extra_repr(self) -> str:
        """One line an adapter: what it rotates, and with how many numbers."""
        return "\n".join(
            f"{name}: side={turn.side!r}{', additive' if turn.is_added else ''}, "
            f"parameter_map={turn.rotation.parameter_map!r}, orders={turn.rotation.plan.orders}, "
            f"n={turn.rotation.plan.n}, n_factors={turn.rotation.plan.n_factors}, "
            f"n_blocks={turn.rotation.plan.n_blocks}, n_parameters={turn.rotation.plan.n_parameters}"
            f"{', with scales' if self._scales(name, turn) is not None else ''}"
            for name, turns in self.quic_turns.items()
            for turn in turns
        )


def _start(shape: tuple[int, ...], config: QuICConfig) -> nn.Parameter:
    """Zeros, R = I and s = 1; or, if `config.init_weights` is False, numbers near them."""
    return nn.Parameter(torch.zeros(shape) if config.init_weights else nn.init.normal_(torch.empty(shape), std=0.1))
