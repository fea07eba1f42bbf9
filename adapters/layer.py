"""QuICLayer: a frozen layer whose input or output features are rotated, with PEFT's life cycle of adapters."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from peft.tuners.tuners_utils import check_adapters_to_merge
from torch import Tensor

from .held import HeldAdapters
from .rows import LentRotations, RowGroup, rotate_rows
from .turn import Turn

__all__ = ["QuICLayer"]


class QuICLayer(HeldAdapters):
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

    lent: tuple[LentRotations, ...] = ()

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
            matrices = torch.stack([self.turn_matrices(name, turn) for name, turn in turns])
            places = {name: index for index, (name, _) in enumerate(turns)}
            groups.append(RowGroup(side, rotation, matrices, [places.get(name, -1) for name in adapter_names]))
        return groups

    def _turn(self, x: Tensor, name: str, turn: Turn, bias: Tensor | None) -> Tensor:
        """diag(s) R (x - bias) + bias on the feature dimension of x."""
        features_last = x.movedim(self.feature_dim, -1)
        turned = turn.apply(self.turn_matrices(name, turn), self.turn_scales(name, turn), features_last, bias)
        return self._or_skip(self._as_it_came(turned, x), name, x)

    def _add(self, out: Tensor, name: str, turn: Turn, x: Tensor) -> Tensor:
        """The outputs with what a turn adds to them for the inputs x."""
        added = turn.addition(self.turn_matrices(name, turn), self.turn_scales(name, turn), x, out.shape[-1])
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

        A quantised weight is dequantised and quantised again; `quantised.loss` says what that lost.

        Raises:
            ValueError: the weight is of integers, or `safe_merge` and an adapter gives numbers that are not finite.
        """
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in self.quic_parameters]
        if not names:
            return
        if self.quantised is None:
            weight = self.mergeable_weight()
            merged = self._merged(weight.detach(), names, safe_merge)
            with torch.no_grad():
                weight.copy_(merged)
        else:  # all anew from the weight as it was loaded, to round once
            self.quantised.merge(self._merged(self.quantised.loaded(), [*self.merged_adapters, *names], safe_merge))
        self.merged_adapters.extend(names)

    def _merged(self, weight: Tensor, names: Sequence[str], safe_merge: bool) -> Tensor:
        for name in names:
            weight = self.turn_weight(weight, name, inverse=False)
            if safe_merge and not weight.isfinite().all():
                raise ValueError(f"a merged weight must be finite, got NaN or infinity from adapter {name!r}")
        return weight

    def unmerge(self) -> None:
        """Take merged rotations out again, by their transposes: the weight returns up to rounding.

        A quantised weight returns to the last bit, for it was kept.
        """
        if not self.merged:
            warnings.warn("no adapter is merged, nothing to unmerge", stacklevel=2)
            return
        if self.quantised is None:
            weight = self.mergeable_weight()
            restored = weight.detach()
            for name in reversed(self.merged_adapters):
                restored = self.turn_weight(restored, name, inverse=True)
            with torch.no_grad():
                weight.copy_(restored)
        else:
            self.quantised.restore()
        self.merged_adapters.clear()

    def mergeable_weight(self) -> Tensor:
        """The base weight, of a layer that is not quantised.

        Raises:
            ValueError: it is of integers, as somebody else has packed them.
        """
        weight: Tensor = self.get_base_layer().weight
        if not weight.is_floating_point():
            raise ValueError(
                f"merging needs a floating-point weight, got {weight.dtype}: quantising again would lose most of "
                "the rotation, so merge into the weights as they were before quantisation"
            )
        return weight

    def floating_weight(self) -> Tensor:
        """The base weight as it was loaded; dequantised, if it is quantised."""
        weight: Tensor = self.get_base_layer().weight
        return weight.detach() if self.quantised is None else self.quantised.loaded()

    @torch.no_grad()
    def turn_weight(self, weight: Tensor, name: str, *, inverse: bool) -> Tensor:
        """A weight with an adapter put into it, or taken out of it; in at least float32."""
        turns = self.quic_turns[name]
        for turn in reversed(turns) if inverse else turns:
            dim, parameters = self.weight_dims[turn.side], getattr(self, turn.parameters_in)[name]
            turned = turn.merge(parameters, self.turn_scales(name, turn), weight.movedim(dim, -1), inverse=inverse)
            weight = turned.movedim(-1, dim)
        return weight
