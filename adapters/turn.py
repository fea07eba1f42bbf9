"""What an adapter does to one side of a layer: its rotation, its scales, or what it adds; to features and weights."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .choices import Side
from .maps import LayerRotations
from .rotation import Rotation

__all__ = ["Turn"]


@dataclass(frozen=True)
class Turn:
    """One rotation R of an adapter, with the numbers of its own.

        out:  W' = diag(s) R W                in:  W' = W diag(s) R
        added, out:  W' = W + diag(s) (R - I) E       added, in:  W' = W + E diag(s) (R - I)

    s = exp(sigma) are trained scales, or 1. E of shape (out, in) has ones on its diagonal and zeros elsewhere: with
    it what is added does not depend on W. It is never stored.

    Args:
        side: the features of the layer that R acts on.
        rotation: R.
        is_added: whether it is added to the layer instead of turning it.
        parameters_in: the attribute of the layer that holds its parameters, by the adapter's name.
        matrices: where its A_i are kept.
    """

    side: Side
    rotation: Rotation
    is_added: bool
    parameters_in: Literal["quic_parameters", "quic_in_parameters"]
    matrices: LayerRotations

    def apply(self, matrices: Tensor, scales: Tensor | None, x: Tensor, bias: Tensor | None) -> Tensor:
        """diag(s) R (x - bias) + bias; to the last bit x where R = I and s = 1.

        Args:
            matrices: the A_i.
            scales: sigma, shape (d,), or None for s = 1.
            x: shape (..., d).
            bias: what is not turned, shape (d,), or None.

        Returns:
            shape and dtype of x, rounded once.
        """
        if scales is None:
            return self.rotation.rotate(matrices, x, bias)
        rotated = self.rotation.rotate(matrices, self._widened(x, matrices), bias)
        # Not s times it, plus bias: with s = 1 that would round differently from x.
        return (rotated + torch.expm1(scales) * (rotated if bias is None else rotated - bias)).to(x.dtype)

    def addition(self, matrices: Tensor, scales: Tensor | None, x: Tensor, features: int) -> Tensor:
        """What is added to the outputs of a layer for its inputs x; exactly zero where R = I.

        Args:
            matrices, scales: as for :meth:`apply`.
            x: the inputs, shape (..., in).
            features: the number of outputs.

        Returns:
            shape (..., features), in at least float32.
        """
        own = self._widened(_fitted(x, self.rotation.plan.features), matrices)
        change = self.rotation.rotate(matrices, own) - own
        return _fitted(change if scales is None else scales.exp() * change, features)

    def merge(self, parameters: Tensor, scales: Tensor | None, weight: Tensor, *, inverse: bool) -> Tensor:
        """The weight of the turned layer.

        Args:
            parameters: those of R.
            scales: as for :meth:`apply`.
            weight: W with the features of this side last, shape (..., d).
            inverse: whether to take the turn out again instead.

        Returns:
            W' in the same form, in at least float32.
        """
        if not self.is_added:
            return self._turn_rows(parameters, scales, weight, inverse=inverse)
        unit = torch.eye(*weight.shape, dtype=parameters.dtype, device=weight.device)
        scaled = unit if scales is None else unit * scales.exp()
        added = self._turn_rows(parameters, scales, unit, inverse=False) - scaled
        return weight - added if inverse else weight + added

    def _turn_rows(self, parameters: Tensor, scales: Tensor | None, rows: Tensor, *, inverse: bool) -> Tensor:
        """The columns of W become diag(s) R w; its rows become R^T diag(s) w, for y = W diag(s) R x."""
        rotate = self.rotation.undo if inverse else self.rotation.apply
        is_in = self.side == "in"
        if scales is None:
            return rotate(parameters, rows, transpose=is_in)
        s = torch.exp(-scales if inverse else scales)
        if is_in != inverse:
            return rotate(parameters, rows * s, transpose=is_in)
        return s * rotate(parameters, rows, transpose=is_in)

    @staticmethod
    def _widened(x: Tensor, matrices: Tensor) -> Tensor:
        return x.to(torch.promote_types(matrices.dtype, x.dtype))


def _fitted(x: Tensor, features: int) -> Tensor:
    """E x: as many features, the last ones cut off or zeros put after them."""
    return x[..., :features] if features <= x.shape[-1] else nn.functional.pad(x, (0, features - x.shape[-1]))
