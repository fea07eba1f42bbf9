"""HeldAdapters: what a layer holds of its adapters, made by their configurations and kept where the layer is."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from .choices import MapName, Side
from .config import QuICConfig
from .maps import LayerRotations
from .plan import BlockPlan, plan_blocks
from .quantised import QuantisedWeight, quantised_weight
from .rotation import Rotation
from .turn import Turn

__all__ = ["HeldAdapters"]


class HeldAdapters(nn.Module, BaseTunerLayer):
    """The parameters, scales and turns of a layer's adapters, by name.

    Args:
        base_layer: the layer to adapt.
        adapter_name: name of the first adapter.
        config: its configuration.

    Raises:
        TypeError: the layer is quantised in a way that is not served.
        ValueError: the layer has no room for the orders, or its kind cannot be rotated on that side.
    """

    adapter_layer_names = ("quic_parameters", "quic_in_parameters", "quic_scales")
    other_param_names = ("quic_rotation", "quic_matrices", "quic_side", "quic_dropout", "quic_turns")

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
        self.quantised: QuantisedWeight | None = quantised_weight(base_layer)
        self.quantization_backend = None if self.quantised is None else self.quantised.backend  # what PEFT reports
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
            plan = plan_blocks(
                features,
                config.orders,
                n_blocks=config.n_blocks,
                block_size=config.block_size,
                block_share=bool(config.block_share),  # never None once the configuration was checked
                n_factors=config.n_factors,
            )
        except ValueError as error:
            raise ValueError(
                f"{error} (to leave a layer alone, name it in exclude_modules; to train a small head in full, in "
                "modules_to_save, or give the task_type)"
            ) from error
        return dataclasses.replace(plan, is_free=True) if config.constraint == "free" else plan

    def update_layer(self, adapter_name: str, config: QuICConfig) -> None:
        """Add an adapter to the layer; its parameters are zero, R = I, unless `config.init_weights` is False."""
        sides: list[Side] = ["out", "in"] if config.side == "both" else [config.side]
        plans = [self.plan(self.get_base_layer(), config, side) for side in sides]
        turns: list[Turn] = []
        for side, plan in zip(sides, plans, strict=True):
            holder: Literal["quic_parameters", "quic_in_parameters"] = (
                "quic_in_parameters" if turns else "quic_parameters"
            )
            rotation = _rotation(plan, config)
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
        return self.turn_matrices(adapter_name, self.quic_turns[adapter_name][0])

    def turn_matrices(self, adapter_name: str, turn: Turn) -> Tensor:
        """The rotations A_i of one turn of an adapter."""
        return turn.matrices(turn.rotation.parameter_map, getattr(self, turn.parameters_in)[adapter_name])

    def turn_scales(self, adapter_name: str, turn: Turn) -> Tensor | None:
        """The logarithms of the scales of one turn of an adapter; the second has none."""
        is_first = turn.parameters_in == "quic_parameters"
        return self.quic_scales[adapter_name] if is_first and adapter_name in self.quic_scales else None

    def sharable_rotations(
        self, adapter_names: Sequence[str] | None
    ) -> Iterator[tuple[LayerRotations, MapName, Tensor]]:
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

    def has_only_rotations(self, name: str) -> bool:
        """Whether an adapter of the layer neither scales nor adds, and is made of compounds of rotations."""
        turns = self.quic_turns[name]
        return name not in self.quic_scales and not any(
            turn.is_added or not turn.rotation.is_compound for turn in turns
        )

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
            f"{', with scales' if self.turn_scales(name, turn) is not None else ''}"
            for name, turns in self.quic_turns.items()
            for turn in turns
        )


def _rotation(plan: BlockPlan, config: QuICConfig) -> Rotation:
    if not config.is_ablation:
        return Rotation(plan, config.parameter_map)
    from .ablation import AblatedRotation  # only comparisons need it

    by_start: MapName = "rbs from zero" if config.start == "zero" else config.parameter_map
    return AblatedRotation(plan, "free" if config.constraint == "free" else by_start, config.operation)


def _start(shape: tuple[int, ...], config: QuICConfig) -> nn.Parameter:
    """Zeros, R = I and s = 1; or, if `config.init_weights` is False, numbers near them."""
    return nn.Parameter(torch.zeros(shape) if config.init_weights else nn.init.normal_(torch.empty(shape), std=0.1))
