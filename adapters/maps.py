"""From trained numbers to rotations: all layers of a model in one call, and kept while nothing changes."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from qicircuits.engine.dispatch import build_rotations, builds_rotations
from qicircuits.engine.precision import full_precision
from qicircuits.givens import orthogonal_from_angles
from qicircuits.orthogonal import cayley, exponential, swap_network

from .choices import MapName

__all__ = ["LayerRotations", "rotations", "share_rotations"]


def _free(numbers: Tensor) -> Tensor:
    """A = I + M for any M; for comparisons."""
    n = math.isqrt(numbers.shape[-1])
    return torch.eye(n, dtype=numbers.dtype, device=numbers.device) + numbers.unflatten(-1, (n, n))


_MAPS: dict[MapName, Callable[[Tensor], Tensor]] = {
    "cayley": cayley,
    "exponential": exponential,
    "rbs": swap_network,
    "rbs from zero": orthogonal_from_angles,
    "free": _free,
}


def rotations(parameter_map: MapName, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The rotations A of several parameters, in one call of the map.

    Unlike the maps themselves it saves no tensor for its backward, it only remembers some. So its graph can be passed
    backward any number of times, as several losses of one forward do, and checkpointing; and a layer saves the same
    tensors whether it computes its A or is given it, as checkpointing demands.

    Args:
        parameter_map: its name.
        parameters: shapes (N_i, n(n-1)/2) with one n, on a GPU also with several; of one dtype, float32 or float64,
            and device.

    Returns:
        The matrices, shapes (N_i, n, n). Where one of them gets no gradient, its parameters get none.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():  # these keep their own books
        return _apply_map(parameter_map, parameters)
    matrices: tuple[Tensor, ...] = _Rotations.apply(parameter_map, *parameters)
    return matrices


def _apply_map(parameter_map: MapName, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The map on all parameters at once: in one launch on a GPU, whatever their sizes."""
    sizes = [1 + math.isqrt(2 * numbers.shape[-1]) for numbers in parameters]  # n, from n(n-1)/2
    device = parameters[0].device
    if all(builds_rotations(device, parameter_map, n) for n in sizes):
        shapes = [(len(numbers), n) for numbers, n in zip(parameters, sizes, strict=True)]
        return tuple(build_rotations(torch.cat([numbers.flatten() for numbers in parameters]), shapes, parameter_map))
    with full_precision(device):
        stacked = _MAPS[parameter_map](torch.cat(tuple(parameters)))
    return stacked.split([len(numbers) for numbers in parameters])


class _Rotations(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parameter_map: MapName, *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.parameter_map = parameter_map
        ctx.parameters = [numbers.clone() for numbers in parameters]  # as they are now, whatever becomes of them
        return _apply_map(parameter_map, ctx.parameters)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        found = [gradient for gradient in gradients if gradient is not None]
        if not found:
            return None, *gradients
        parts = zip(ctx.parameters, gradients, strict=True)
        wanted = [numbers.requires_grad_() for numbers, gradient in parts if gradient is not None]
        with torch.enable_grad():
            matrices = _apply_map(ctx.parameter_map, wanted)
        results = iter(torch.autograd.grad(matrices, wanted, found))
        return None, *(None if gradient is None else next(results) for gradient in gradients)


class LayerRotations:
    """The rotations of one adapter of one layer, from wherever they can be had.

    In the order tried: those that the model computed for all of its layers at the start of the call that is running;
    on a CPU and where no gradient is wanted those of the last call, if the parameters still have the same values (so
    it matters not by which way they change); else by the map.
    """

    def __init__(self) -> None:
        self._given: tuple[Tensor, Tensor] | None = None
        self._kept: tuple[MapName, Tensor, Tensor] | None = None

    def __call__(self, parameter_map: MapName, parameters: Tensor) -> Tensor:
        """A, shape (N, n, n), in at least float32.

        Args:
            parameter_map: the adapter's.
            parameters: as they are now, shape (N, n(n-1)/2).
        """
        if torch.compiler.is_compiling():
            return _rotation(parameter_map, parameters)
        wants_gradient = torch.is_grad_enabled() and parameters.requires_grad
        given, matrices = self._given or (None, parameters)
        # The same tensor: replicas of a layer on several devices share this object.
        if given is parameters and (matrices.requires_grad or not wants_gradient):
            return matrices
        if wants_gradient or parameters.device.type != "cpu":
            return _rotation(parameter_map, parameters)
        if (kept := self._kept) is not None and kept[0] == parameter_map and _same(kept[1], parameters):
            return kept[2]
        # Outside of inference mode, for autograd may be used beside them later.
        with torch.inference_mode(False), torch.no_grad():
            matrices = _rotation(parameter_map, parameters)
            self._kept = parameter_map, parameters.clone(), matrices
        return matrices

    def give(self, parameters: Tensor, matrices: Tensor) -> None:
        """Use these matrices for these parameters, until `take`."""
        self._given = parameters, matrices

    def take(self) -> None:
        """Use what was given no longer."""
        self._given = None

    def __reduce__(self) -> tuple[type["LayerRotations"], tuple[()]]:
        """Copies and files hold nothing of it."""
        return LayerRotations, ()


@contextmanager
def share_rotations(wanted: Sequence[tuple[LayerRotations, MapName, Tensor]]) -> Iterator[None]:
    """Compute the rotations of many layers at once, for the length of a context.

    Args:
        wanted: where they are asked for, with map and parameters, which are float32 or float64.
    """
    groups = defaultdict(list)
    for layer, parameter_map, parameters in wanted:
        n = 1 + math.isqrt(2 * parameters.shape[-1])
        size = None if builds_rotations(parameters.device, parameter_map, n) else n
        groups[parameter_map, size, parameters.dtype, parameters.device].append((layer, parameters))
    try:
        for (parameter_map, *_), members in groups.items():
            matrices = rotations(parameter_map, [parameters for _, parameters in members])
            for (layer, parameters), own in zip(members, matrices, strict=True):
                layer.give(parameters, own)
        yield
    finally:
        for layer, _, _ in wanted:
            layer.take()


def _rotation(parameter_map: MapName, parameters: Tensor) -> Tensor:
    return rotations(parameter_map, [parameters.to(torch.promote_types(parameters.dtype, torch.float32))])[0]


def _same(kept: Tensor, parameters: Tensor) -> bool:
    return kept.dtype == parameters.dtype and kept.device == parameters.device and kept.equal(parameters)
