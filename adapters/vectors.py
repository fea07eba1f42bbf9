"""VectorPlan: the trained numbers of an adapter, of all layers, as one vector."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .choices import MapName
from .layer import QuICLayer
from .maps import rotations
from .turn import Turn

__all__ = ["VectorPlan", "tensor_name"]


@dataclass(frozen=True)
class _Place:
    """Where the numbers of one rotation lie among those of its group, as rows of one matrix."""

    name: str
    layer: QuICLayer
    turn: Turn
    rows: slice


@dataclass(frozen=True)
class _Group:
    """Rotations whose A have the same n and the same map, side by side, so that one call finds all of them."""

    parameter_map: MapName
    columns: int
    places: tuple[_Place, ...]

    @property
    def rows(self) -> int:
        return self.places[-1].rows.stop


class VectorPlan:
    """Where the numbers of one adapter of a model lie in a vector: rotation by rotation, those of one n together.

    Args:
        model: a model with QuIC layers.
        adapter_name: the adapter whose layers and shapes count.

    Raises:
        ValueError: the adapter does more than rotate.

    Attributes:
        layers: every layer that has the adapter, by its name in the model without adapters.
        size: how many numbers the vector has.
    """

    def __init__(self, model: nn.Module, adapter_name: str) -> None:
        self._adapter_name = adapter_name
        self.layers: dict[str, QuICLayer] = {}
        kinds: dict[tuple[MapName, int], list[tuple[str, QuICLayer, Turn]]] = defaultdict(list)
        for name, layer in model.named_modules():
            if not isinstance(layer, QuICLayer) or adapter_name not in layer.quic_turns:
                continue
            if not layer.has_only_rotations(adapter_name):
                raise ValueError(
                    "many adapters beside one model must be rotations alone, got one with scaling, the additive "
                    f"composition or an ablation: {adapter_name!r} in {name}"
                )
            self.layers[name] = layer
            for turn in layer.quic_turns[adapter_name]:
                columns = turn.rotation.plan.parameter_shape[1]
                kinds[turn.rotation.parameter_map, columns].append((f"{name}.{turn.parameters_in}", layer, turn))
        self._groups = [_group(*kind, members) for kind, members in kinds.items()]
        self.size = sum(group.rows * group.columns for group in self._groups)

    @property
    def _places(self) -> list[_Place]:
        return [place for group in self._groups for place in group.places]

    def turns(self) -> dict[str, Turn]:
        """Every rotation, by the name of its tensor."""
        return {place.name: place.turn for place in self._places}

    def shapes(self) -> dict[str, tuple[int, int]]:
        """The shape of the parameters of every rotation, by the name of its tensor."""
        return {place.name: place.turn.rotation.plan.parameter_shape for place in self._places}

    def held(self) -> dict[str, Tensor]:
        """The parameters that the layers hold for the adapter."""
        return {place.name: self._held(place) for place in self._places}

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The vector of some tensors, on the CPU and in the dtype of the layers' parameters; a copy.

        Args:
            tensors: by the names of `shapes`, of these shapes.
        """
        places = self._places
        dtype = self._held(places[0]).dtype
        return torch.cat([tensors[place.name].detach().to("cpu", dtype).flatten() for place in places])

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """The tensors of a vector, as views of it."""
        shapes = self.shapes()
        parts = vector.split([rows * columns for rows, columns in shapes.values()])
        return {name: part.view(shapes[name]) for name, part in zip(shapes, parts, strict=True)}

    def matrices(self, vectors: Tensor) -> list[Tensor]:
        """The rotations A_i of several adapters, by one call of the map for each n.

        Args:
            vectors: shape (adapters, size).

        Returns:
            for each group of rotations shape (adapters, all their A, n, n), on the device of the first one's layer.
        """
        found = []
        parts = vectors.split([group.rows * group.columns for group in self._groups], dim=1)
        for group, part in zip(self._groups, parts, strict=True):
            numbers = part.reshape(-1, group.columns).to(self._held(group.places[0]).device)
            (matrices,) = rotations(group.parameter_map, [numbers])
            found.append(matrices.unflatten(0, (len(vectors), group.rows)))
        return found

    def of_layers(self, matrices: list[Tensor]) -> Iterator[tuple[QuICLayer, Turn, Tensor]]:
        """Every rotation of every layer, with its part of what `matrices` returns, shape (adapters, its A, n, n)."""
        for group, own in zip(self._groups, matrices, strict=True):
            for place in group.places:
                yield place.layer, place.turn, own[:, place.rows].to(self._held(place).device)

    def _held(self, place: _Place) -> Tensor:
        parameters: Tensor = getattr(place.layer, place.turn.parameters_in)[self._adapter_name]
        return parameters


def tensor_name(name: str) -> str:
    """The name of a tensor in :meth:`VectorPlan.shapes`, from that in an adapter file.

    >>> tensor_name("base_model.model.encoder.layer.0.query.quic_parameters")
    'encoder.layer.0.query.quic_parameters'
    """
    return name.removeprefix("base_model.model.")


def _group(parameter_map: MapName, columns: int, members: list[tuple[str, QuICLayer, Turn]]) -> _Group:
    sizes = [turn.rotation.plan.parameter_shape[0] for *_, turn in members]
    rows = [slice(stop - size, stop) for size, stop in zip(sizes, itertools.accumulate(sizes), strict=True)]
    places = (_Place(*member, own) for member, own in zip(members, rows, strict=True))
    return _Group(parameter_map, columns, tuple(places))
