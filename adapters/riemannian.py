"""RiemannianAdam: Adam on the rotations themselves, whatever numbers a map gives them by."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from .choices import MapName, ParameterMap
from .frames import frame
from .layer import QuICLayer
from .optimizer import parameter_groups

__all__ = ["RiemannianAdam", "riemannian_groups"]

_ENTRIES = 2**25
"""Of the matrices of several layers that are computed together: a quarter of a gigabyte."""


class RiemannianAdam(torch.optim.Optimizer):
    r"""Adam on SO(n) for the numbers of rotations, AdamW for all others.

    Each row theta of the parameters of a group with a `parameter_map` is one rotation A. With J of
    :class:`~adapters.frames.Frame` and P = n(n-1)/2

    .. math:: \gamma = J^{-T} \partial L/\partial\theta, \qquad m \leftarrow \beta_1 m + (1 - \beta_1)\,\gamma, \qquad
              v \leftarrow \beta_2 v + (1 - \beta_2)\,|\gamma|^2 / P,

    .. math:: \theta \leftarrow \theta - lr\, J^{-1}\, \hat m / (\sqrt{\hat v} + \epsilon) + O(lr^2),

    the hats as in Adam. To first order in lr the steps of A are then those of any other map, and of any rotated
    basis: v is one number a rotation, for Adam's squares of single numbers depend on the basis. m is kept in so(n),
    which moves with A. With betas=(0, 0) and equal weights the direction is that of the natural gradient.

    `lr` is the step of a mean entry of A^T dA: the unit of Adam on the map "exponential" at theta = 0, twice that of
    "cayley". A block turns by about lr sqrt(P) radians a step, as the root of the sum of the squares of its angles.

    Args:
        params: groups, as :func:`riemannian_groups` makes them; those with a "parameter_map" hold parameters of shape
            (rows, n(n-1)/2), float32 or float64.
        lr: the learning rate, at least 0.
        betas: of the moments, in [0, 1).
        eps: at least 0.
        weight_decay: as in AdamW; for rotations it must be 0.
        damping: of singular J, positive: directions in which J is shorter than its root are not followed as far.

    Raises:
        ValueError: a value is not in its range, or parameters are no rotations of their map.

    Reference:
        G. Becigneul and O.-E. Ganea, Riemannian Adaptive Optimization Methods, ICLR 2019, arXiv:1810.00760: one
        second moment for each factor of a product of manifolds.

    >>> theta = nn.Parameter(torch.zeros(2, 6))
    >>> optimizer = RiemannianAdam([{"params": [theta], "parameter_map": "rbs"}], lr=0.1)
    >>> theta[:, 0].sum().backward()
    >>> optimizer.step()
    >>> bool(theta[0, 0] < 0)
    True
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 5e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        damping: float = 1e-3,
    ) -> None:
        values = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "damping": damping}
        super().__init__(params, {**values, "parameter_map": None})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take more parameters.

        Raises:
            ValueError, TypeError: as at construction.
        """
        super().add_param_group(param_group)
        try:
            _check(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that was saved.

        Raises:
            ValueError: it is of other groups, or of other maps.
        """
        saved = [group.get("parameter_map") for group in state_dict["param_groups"]]
        own = [group["parameter_map"] for group in self.param_groups]
        if saved != own:
            raise ValueError(f"a saved state must be of groups with the maps {own}, got {saved}")
        super().load_state_dict(state_dict)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step down the gradients that there are.

        Args:
            closure: computes the loss, with its gradients.

        Returns:
            what `closure` returns.

        Raises:
            ValueError: the numbers of a rotation are not finite.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["parameter_map"] is None:
                for parameter in moved:
                    own = _local(parameter)
                    own.mul_(1 - group["lr"] * group["weight_decay"])
                    own.add_(self._direction(parameter, _local(parameter.grad), group), alpha=-group["lr"])
            else:
                for members in _together(moved):
                    self._turn(members, group)
        return loss

    def _turn(self, members: list[Tensor], group: dict[str, Any]) -> None:
        """One step of the rotations of several layers that have one n."""
        rows = [len(_local(parameter)) for parameter in members]
        numbers = torch.cat([_local(parameter) for parameter in members]).double()
        if not numbers.isfinite().all():
            raise ValueError(
                "the numbers of a rotation must be finite, got NaN or infinity (a smaller learning rate may help)"
            )
        own = frame(group["parameter_map"], numbers, group["damping"])
        gradients = own.to_algebra(torch.cat([_local(parameter.grad) for parameter in members]).double())
        directions = [
            self._direction(parameter, gradient.to(parameter.dtype), group)
            for parameter, gradient in zip(members, gradients.split(rows), strict=True)
        ]
        steps = own.to_numbers(torch.cat(directions).double() * -group["lr"])
        for parameter, step in zip(members, steps.split(rows), strict=True):
            _local(parameter).add_(step.to(parameter.dtype))

    def _direction(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        """m / (sqrt(v) + eps) without the bias of their start, once this gradient is among them."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            like = parameter if group["parameter_map"] is None else parameter[:, :1]
            state["exp_avg_sq"] = torch.zeros_like(like, memory_format=torch.preserve_format)
        state["step"] += 1
        squares = gradient.square()
        if group["parameter_map"] is not None:
            squares = squares.mean(-1, keepdim=True)
        first, second = group["betas"]
        count = state["step"].item()
        moment = _local(state["exp_avg"]).lerp_(gradient, 1 - first)
        square = _local(state["exp_avg_sq"]).lerp_(squares, 1 - second)
        return moment / (1 - first**count) / ((square / (1 - second**count)).sqrt() + group["eps"])


def riemannian_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The trained parameters for :class:`RiemannianAdam`, the rotations of QuIC adapters with their map.

    Args:
        model: a model with adapters.
        weight_decay: for the trained matrices of other modules, as in :func:`~adapters.optimizer.parameter_groups`.

    Returns:
        groups with "params", "weight_decay" and "parameter_map", which is None for what is no rotation: scales,
        biases, and modules trained in full.

    Raises:
        ValueError: `weight_decay` is negative, or nothing is trained.
    """
    maps: dict[int, MapName] = {}
    for layer in model.modules():
        if isinstance(layer, QuICLayer):
            for name, turns in layer.quic_turns.items():
                for turn in turns:
                    maps[id(getattr(layer, turn.parameters_in)[name])] = turn.rotation.parameter_map
    groups = []
    for group in parameter_groups(model, weight_decay):
        kinds: dict[MapName | None, list[nn.Parameter]] = defaultdict(list)
        for parameter in group["params"]:
            kinds[maps.get(id(parameter))].append(parameter)
        groups += [{**group, "params": members, "parameter_map": kind} for kind, members in kinds.items()]
    return groups


def _local(tensor: Any) -> Tensor:
    """The part on this process of what FSDP shards: whole rows, hence whole rotations."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _together(parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """Parameters of one n, dtype and device, as many as their matrices leave memory for."""
    kinds = defaultdict(list)
    for parameter in parameters:
        kinds[parameter.shape[1], parameter.dtype, parameter.device].append(parameter)
    for (columns, *_), members in kinds.items():
        most = max(1, _ENTRIES // (columns**2 * max(len(parameter) for parameter in members)))
        yield from (members[start : start + most] for start in range(0, len(members), most))


def _check(group: dict[str, Any]) -> None:
    for name in ("lr", "eps", "weight_decay"):
        if not 0 <= group[name] < math.inf:
            raise ValueError(f"{name} must be at least 0 and finite, got {group[name]}")
    if len(group["betas"]) != 2 or not all(0 <= beta < 1 for beta in group["betas"]):
        raise ValueError(f"betas must be two numbers in [0, 1), got {group['betas']}")
    if not 0 < group["damping"] < math.inf:
        raise ValueError(f"damping must be positive and finite, got {group['damping']}")
    known = group["parameter_map"]
    if known is None:
        return
    if known not in get_args(ParameterMap):
        raise ValueError(f"parameter_map must be None or one of {get_args(ParameterMap)}, got {known!r}")
    if group["weight_decay"]:
        raise ValueError(f"weight_decay of rotations must be 0, it would turn them back, got {group['weight_decay']}")
    for parameter in group["params"]:
        columns = parameter.shape[-1] if parameter.dim() == 2 else 0
        n = (1 + math.isqrt(1 + 8 * columns)) // 2
        if columns < 1 or columns != n * (n - 1) // 2 or parameter.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                "parameters of rotations have shape (rows, n(n-1)/2), float32 or float64, got "
                f"{tuple(parameter.shape)}, {parameter.dtype}"
            )
