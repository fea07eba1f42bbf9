"""Merged weights from one adapter to another in place: W <- R_new R_old^T W, without unmerging."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qicircuits.engine.dispatch import rotate_blocks_in_place, rotates_in_place

from .layer import QuICLayer
from .turn import Turn

if TYPE_CHECKING:
    from .model import QuICModel

__all__ = ["switch_adapter", "switch_parameters"]

_VECTORS_AT_ONCE = 256
"""Columns or rows of a weight that are rotated at once: few enough to stay in the cache."""


@torch.no_grad()
def switch_adapter(tuner: "QuICModel", name: str) -> None:
    """Merge an adapter of a model in the place of the one that is merged, or of none.

    Args:
        tuner: the model.
        name: one of its adapters.

    Raises:
        ValueError: several adapters are merged, or a weight is also that of another module. Nothing has changed.
    """
    old = _merged_adapter(tuner)
    if old is None:
        tuner.merge_adapter([name])
        return
    tuner.check_merge([name])
    for layer in _mergeable(tuner, (old, name)):
        has_new = name in layer.quic_parameters
        _exchange(layer, old if layer.merged else None, name if has_new else None)
        layer.merged_adapters[:] = [name] if has_new else []


@torch.no_grad()
def switch_parameters(tuner: "QuICModel", name: str, parameters: Mapping[str, Tensor]) -> None:
    """Give an adapter other parameters, and with them put it into the weights, where it is merged or nothing is.

    Args:
        tuner: the model.
        name: the adapter.
        parameters: all of the adapter's, by their names in :class:`~adapters.vectors.VectorPlan`.

    Raises:
        ValueError: another adapter is merged, or a weight is also that of another module. Nothing has changed.
    """
    old = _merged_adapter(tuner)
    if old not in (name, None):
        raise ValueError(f"the weights must hold {name!r} or no adapter, got {old!r} merged: call unmerge_adapter()")
    tuner.check_merge([name])
    _mergeable(tuner, (name,))
    for module, layer in tuner.model.named_modules():
        if isinstance(layer, QuICLayer) and name in layer.quic_turns:
            numbers = [parameters[f"{module}.{turn.parameters_in}"] for turn in layer.quic_turns[name]]
            if old is not None and layer.quantised is None:
                _go_over(layer, name, name, numbers)
            for turn, own in zip(layer.quic_turns[name], numbers, strict=True):
                getattr(layer, turn.parameters_in)[name].copy_(own)
            if old is not None and layer.quantised is not None:
                layer.unmerge()
                layer.merge(adapter_names=[name])
    if old is None:
        tuner.merge_adapter([name])


def _merged_adapter(tuner: "QuICModel") -> str | None:
    """The one adapter that is merged, or None."""
    merged = {name for layer in _layers(tuner) for name in layer.merged_adapters}
    if len(merged) > 1:
        raise ValueError(
            f"switching needs weights that hold one adapter or none, got {sorted(merged)} merged: "
            "call unmerge_adapter()"
        )
    return next(iter(merged), None)


def _mergeable(tuner: "QuICModel", names: tuple[str, ...]) -> list[QuICLayer]:
    """The layers that have one of some adapters; refused, before anything changes, if the weight of one cannot."""
    layers = [layer for layer in _layers(tuner) if any(name in layer.quic_parameters for name in names)]
    for layer in layers:
        if layer.quantised is None:
            layer.mergeable_weight()
    return layers


def _layers(tuner: "QuICModel") -> list[QuICLayer]:
    return [module for module in tuner.model.modules() if isinstance(module, QuICLayer)]


def _exchange(layer: QuICLayer, old: str | None, new: str | None) -> None:
    """Take an adapter out of the weight, if it is in it, and put another in, if the layer has it."""
    if layer.quantised is not None:  # from the weight as it was loaded: errors of rounding would add up
        if old is not None:
            layer.unmerge()
        if new is not None:
            layer.merge(adapter_names=[new])
        return
    if old is not None and new is not None and _have_one_form(layer, old, new):
        _go_over(layer, old, new, [getattr(layer, turn.parameters_in)[new] for turn in layer.quic_turns[new]])
        return
    weight = layer.mergeable_weight()
    turned = weight if old is None else layer.turn_weight(weight, old, inverse=True)
    weight.copy_(turned if new is None else layer.turn_weight(turned, new, inverse=False))


def _have_one_form(layer: QuICLayer, old: str, new: str) -> bool:
    """Whether both only rotate, the same sides by the same plans."""
    old_form, new_form = ([(turn.side, turn.rotation.plan) for turn in layer.quic_turns[name]] for name in (old, new))
    return old_form == new_form and layer.has_only_rotations(old) and layer.has_only_rotations(new)


def _go_over(layer: QuICLayer, old: str, new: str, numbers: Sequence[Tensor]) -> None:
    """W <- R_new R_old^T W, or W R_old^T R_new; `new` has the form of `old`, and the given numbers, turn by turn."""
    weight = layer.mergeable_weight().detach()
    for before, turn, own in zip(layer.quic_turns[old], layer.quic_turns[new], numbers, strict=True):
        # In float64: A rounded to float32 is off by the same at every switch, a hundred times more after many.
        held = getattr(layer, before.parameters_in)[old].double()
        out_of, into = before.rotation.matrices(held), turn.rotation.matrices(own.to(held))
        if turn.side == "in":  # rows of W R are R^T w
            out_of, into = out_of.mT, into.mT
        _turn_vectors(turn, out_of, into, weight.movedim(layer.weight_dims[turn.side], -1))


def _turn_vectors(turn: Turn, out_of: Tensor, into: Tensor, vectors: Tensor) -> None:
    """x <- R_new R_old^T x, on side "in" R_new^T R_old x, whose matrices come transposed; x is rounded once."""
    rotation, plan = turn.rotation, turn.rotation.plan
    if plan.n_factors == 1 and rotates_in_place(vectors, plan.orders):
        rotate_blocks_in_place(vectors, into @ out_of.mT, plan.sectors, plan.n_blocks, plan.block_size)
        return
    for x in vectors.split(_VECTORS_AT_ONCE):
        if plan.n_factors == 1:
            x.copy_(rotation.rotate(into @ out_of.mT, x))
            continue
        is_in = turn.side == "in"
        wide = x.double()
        back = rotation.rotate(out_of.mT, wide) if is_in else rotation.rotate(out_of, wide, transpose=True)
        x.copy_(rotation.rotate(into.mT, back, transpose=True) if is_in else rotation.rotate(into, back))
